"""Files of others, written byte by byte from their formats: nothing of the package has a part in them."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 67
"""Side of the small networks' input: 11x11 windows at stride 4 fit it, and every pooling after them."""


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- protobuf's wire format -------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def real(tag: int, value: float) -> bytes:
    return varint(tag << 3 | 5) + struct.pack("<f", value)


def chunk(tag: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(tag << 3 | 2) + varint(len(content)) + content


# --- Caffe ------------------------------------------------------------------------------------------------------------


@dataclass
class CaffeLayer:
    """A layer of a network of Caffe's kind; `parameters` are its fields as a .prototxt names them."""

    name: str
    type: str
    bottom: str
    top: str
    parameters: dict[str, float] = field(default_factory=dict)
    blobs: tuple[np.ndarray, ...] = ()


PARAMETERS = {
    "Convolution": ("convolution_param", 106, 10),
    "InnerProduct": ("inner_product_param", 117, 17),
    "LRN": ("lrn_param", 118, 18),
    "Pooling": ("pooling_param", 121, 19),
    "Dropout": ("dropout_param", 108, 12),
}
FIELDS = {
    "Convolution": {"num_output": 1, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6},
    "InnerProduct": {"num_output": 1},
    "LRN": {"local_size": 1, "alpha": 2, "beta": 3, "k": 5},
    "Pooling": {"pool": 1, "kernel_size": 2, "stride": 3},
    "Dropout": {"dropout_ratio": 1},
}
V1 = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18, "Dropout": 6, "Softmax": 20}


def caffe_layers(
    order: Sequence[str] = ("norm", "pool"),
    widths: Sequence[int] = (8, 16, 12, 12, 8),
    hidden: int = 16,
    classes: int = 5,
    size: int = SIZE,
    seed: int = 0,
    lrn: Mapping[str, float] | None = None,
    groups: int = 2,
    pool: tuple[int, int] = (3, 2),
) -> list[CaffeLayer]:
    """The layers of bvlc_alexnet, or with ("pool", "norm") of caffenet, of any width, with random weights."""
    random, layers, bottom = draw(seed), [], "data"

    def add(
        name: str, kind: str, parameters: dict[str, float] | None = None, blobs: tuple = (), in_place: bool = False
    ) -> None:
        nonlocal bottom
        top = bottom if in_place else name
        layers.append(CaffeLayer(name, kind, bottom, top, parameters or {}, blobs))
        bottom = top

    def normal(*shape: int) -> np.ndarray:
        fan_in = int(np.prod(shape[1:]))
        return (random.standard_normal(shape, np.float32) * np.float32(1.4 / np.sqrt(fan_in))).astype(np.float32)

    windows = [(11, 4, 0, 1), (5, 1, 2, groups), (3, 1, 1, 1), (3, 1, 1, groups), (3, 1, 1, groups)]
    channels, side = 3, size
    for n, (width, (window, stride, pad, group)) in enumerate(zip(widths, windows, strict=True), 1):
        parameters = {"num_output": width, "pad": pad, "kernel_size": window, "group": group, "stride": stride}
        weight = normal(width, channels // group, window, window)
        # The scale of pixels in, so that normalization is no constant factor.
        blobs = (weight, random.standard_normal(width, np.float32))
        add(f"conv{n}", "Convolution", {key: value for key, value in parameters.items() if value not in (0,)}, blobs)
        add(f"relu{n}", "ReLU", in_place=True)
        channels, side = width, (side + 2 * pad - window) // stride + 1
        for step in order if n < 3 else ("pool",) if n == 5 else ():
            if step == "norm":
                add(f"norm{n}", "LRN", {"local_size": 5, "alpha": 1e-4, "beta": 0.75, **(lrn or {})})
            else:
                add(f"pool{n}", "Pooling", {"kernel_size": pool[0], "stride": pool[1]})
                side = -(-(side - pool[0]) // pool[1]) + 1
    for n, (inputs, units) in enumerate([(channels * side**2, hidden), (hidden, hidden), (hidden, classes)], 6):
        blobs = (normal(units, inputs), random.standard_normal(units, np.float32))
        add(f"fc{n}", "InnerProduct", {"num_output": units}, blobs)
        if n < 8:
            add(f"relu{n}", "ReLU", in_place=True)
            add(f"drop{n}", "Dropout", {"dropout_ratio": 0.5}, in_place=True)
    add("prob", "Softmax")
    return layers


def prototxt(layers: Sequence[CaffeLayer], size: int = SIZE, name: str = "Small", old: bool = False) -> str:
    """A deploy file; `old`: with the types and the name of layers of 2014."""
    text = f'name: "{name}"\ninput: "data"\ninput_dim: 10\ninput_dim: 3\ninput_dim: {size}\ninput_dim: {size}\n'
    for layer in layers:
        kind = {"InnerProduct": "INNER_PRODUCT"}.get(layer.type, layer.type.upper()) if old else f'"{layer.type}"'
        text += f'{"layers" if old else "layer"} {{\n  name: "{layer.name}"\n  type: {kind}\n'
        text += f'  bottom: "{layer.bottom}"\n  top: "{layer.top}"\n'
        text += "  blobs_lr: 1\n" if old else "  param { lr_mult: 1 }\n"  # fields that nothing here reads
        if layer.type in PARAMETERS:
            text += f"  {PARAMETERS[layer.type][0]} {{\n" + ("    pool: MAX\n" if layer.type == "Pooling" else "")
            text += "".join(f"    {key}: {value}\n" for key, value in layer.parameters.items())
            text += '    weight_filler { type: "gaussian" std: 0.01 }\n' if layer.blobs else ""
            text += "  }\n"
        text += "}\n"
    return text


def blob(array: np.ndarray, old: bool = False, double: bool = False) -> bytes:
    """A BlobProto: its shape as four numbers (old) or a list, its numbers packed."""
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(number(tag, side) for tag, side in enumerate(shape, 1))
    else:
        head = chunk(7, chunk(1, b"".join(varint(side) for side in array.shape)))
    return head + (chunk(8, array.astype("<f8").tobytes()) if double else chunk(5, array.astype("<f4").tobytes()))


def caffemodel(
    layers: Sequence[CaffeLayer],
    size: int = SIZE,
    name: str = "Small",
    old: bool = False,
    double: bool = False,
    mean: Sequence[float] = (),
    scale: float | None = None,
    more: bytes = b"",
) -> bytes:
    """A trained model as Caffe saves one: with its data layer and its loss, in the format of 2014 (`old`) or today's.

    `scale` is the data layer's; `more` is the parameters of images of a second one, for testing (today's format).
    """
    content = chunk(1, name)
    transform = number(3, size) + b"".join(real(5, value) for value in mean)
    transform += b"" if scale is None else real(1, scale)
    if old:
        content += chunk(
            2, chunk(4, "data") + number(5, 5) + chunk(3, "data") + chunk(3, "label") + chunk(36, transform)
        )
    else:
        data = chunk(1, "data") + chunk(2, "Data") + chunk(4, "data") + chunk(4, "label") + chunk(100, transform)
        content += chunk(100, data)
        if more:
            content += chunk(100, chunk(1, "test") + chunk(2, "Data") + chunk(4, "data") + chunk(100, more))
    for layer in layers:
        kind, bottoms = layer.type, [layer.bottom]
        if kind == "Softmax":
            kind, bottoms = ("SoftmaxWithLoss", [layer.bottom, "label"])
        blobs = [blob(array, old, double) for array in layer.blobs]
        parameters = b""
        if layer.type in PARAMETERS:
            for key, value in layer.parameters.items():
                tag = FIELDS[layer.type][key]
                parameters += real(tag, value) if isinstance(value, float) else number(tag, int(value))
        if old:
            body = b"".join(chunk(2, bottom) for bottom in bottoms) + chunk(3, layer.top) + chunk(4, layer.name)
            body += number(5, 21 if kind == "SoftmaxWithLoss" else V1[kind]) + b"".join(
                chunk(6, part) for part in blobs
            )
            body += chunk(PARAMETERS[layer.type][2], parameters) if parameters else b""
            content += chunk(2, body)
        else:
            body = chunk(1, layer.name) + chunk(2, kind) + b"".join(chunk(3, bottom) for bottom in bottoms)
            body += chunk(4, layer.top) + b"".join(chunk(7, part) for part in blobs)
            body += chunk(PARAMETERS[layer.type][1], parameters) if parameters else b""
            content += chunk(100, body)
    return content


def binaryproto(side: int, seed: int = 3) -> tuple[bytes, np.ndarray]:
    """A mean image as Caffe keeps one, [1, 3, side, side] in the order B, G, R; and its numbers."""
    image = draw(seed).uniform(90, 130, (3, side, side)).astype(np.float32)
    return blob(image[None], old=True), image


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def logits(layers: Sequence[CaffeLayer], images: Tensor) -> Tensor:
    """What Caffe's documentation says these layers give for images [N, 3, S, S]: B, G, R, minus the mean."""
    x = images
    for layer in layers:
        parameters, blobs = layer.parameters, [torch.from_numpy(array) for array in layer.blobs]
        if layer.type == "Convolution":
            x = F.conv2d(
                x,
                *blobs,
                int(parameters.get("stride", 1)),
                int(parameters.get("pad", 0)),
                1,
                int(parameters.get("group", 1)),
            )
        elif layer.type == "LRN":
            # x / (k + alpha / n * sum) ** beta over n channels, as many before as behind
            n = int(parameters["local_size"])
            squares = F.pad(x.double() ** 2, (0, 0, 0, 0, n // 2, n // 2))
            sums = sum(squares[:, at : at + x.shape[1]] for at in range(n))
            x = (x / (parameters.get("k", 1.0) + parameters["alpha"] / n * sums) ** parameters["beta"]).float()
        elif layer.type == "Pooling":
            # As many windows as cover the map, the last cut off at its edge.
            window, stride = int(parameters["kernel_size"]), int(parameters["stride"])
            number = -(-(x.shape[-1] - window) // stride) + 1
            places = [slice(stride * at, stride * at + window) for at in range(number)]
            rows = [x[:, :, place].amax(2) for place in places]
            rows = [torch.stack([row[:, :, place].amax(2) for place in places], 2) for row in rows]
            x = torch.stack(rows, 2)
        elif layer.type == "InnerProduct":
            x = x.flatten(1) @ blobs[0].T + blobs[1]
        elif layer.type == "ReLU":
            x = x.clamp(min=0)
    return x


# --- the layer files of 2012 ------------------------------------------------------------------------------------------


def section(name: str, **fields: object) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in fields.items()) + "\n"


def two_columns(pool: int = 3, **conv2: object) -> str:
    """A network of two columns, three convolutions and two hidden layers, in the words of 2012."""
    text = section("data", type="data", dataIdx=0) + section("labels", type="data", dataIdx=1)
    rows = [
        ("conv1", {"type": "conv", "filters": 8, "stride": 2, "filterSize": 5, "initW": 0.01, "partialSum": 5}, "data"),
        ("rnorm1", {"type": "cmrnorm", "size": 5, "channels": 8}, "conv1"),
        (
            "pool1",
            {"type": "pool", "pool": "max", "sizeX": pool, "stride": 2, "channels": 8, "neuron": "relu"},
            "rnorm1",
        ),
        (
            "conv2",
            {"type": "conv", "filters": 8, "padding": 1, "filterSize": 3, "initW": 0.03, "initB": 1, "channels": 8},
            "pool1",
        ),
        ("pool2", {"type": "pool", "pool": "max", "sizeX": pool, "stride": 2, "channels": 8}, "conv2"),
    ]
    for name, fields, below in rows:
        fields = {**fields, **(conv2 if name == "conv2" else {})}
        if name == "conv1":
            fields["channels"] = 3
        elif name == "conv2":
            fields["neuron"] = fields.get("neuron", "relu")
        for gpu, column in enumerate("ab"):
            inputs = below if below == "data" else below + column
            text += section(name + column, inputs=inputs, gpu=gpu, **fields)
    for gpu, column in enumerate("ab"):
        wide = {"filters": "6,6", "padding": "1,1", "filterSize": "3,3", "channels": "8,8", "initW": ".03,.03"}
        text += section("conv3" + column, type="conv", inputs="pool2a,pool2b", neuron="relu", gpu=gpu, **wide)
    for number, below in ((1, "conv3"), (2, "hs1")):
        for column in "ab":
            both = f"{below}a,{below}b" if column == "a" else f"{below}b,{below}a"
            text += section(
                f"fc{number}{column}", type="fc", inputs=both, outputs=16, initW=".01,.01", initB=1, neuron="relu"
            )
        text += "".join(section(f"hs{number}{c}", type="hs", keep=0.5, inputs=f"fc{number}{c}") for c in "ab")
    text += section("fc9", type="fc", outputs=10, inputs="hs2a,hs2b", initW="0.01,0.01", gpu=0)
    return (
        text
        + section("probs", type="softmax", inputs="fc9")
        + section("cost", type="cost.logreg", inputs="labels,probs")
    )
