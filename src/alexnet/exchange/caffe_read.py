"""Networks of Caffe are read from .caffemodel (both formats of layers, both of shapes) and .prototxt; nothing is run.

A .caffemodel holds structure and weights; a .prototxt beside it, deploy or train_val, has the say on the structure. What
Caffe does and others do not: images are BGR; convolutions round the number of windows down and pooling up; the alpha of
its normalization is divided by the number of kernels; fully connected layers read channels, rows, columns, as ours do.
`steps_of` is the network as ours, `forward` computes it from Caffe's definitions, to compare with.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange import caffe_messages as messages
from alexnet.exchange.steps import Activation, Conv, Dropout, Kind, Linear, Lrn, Pool, Step, with_weights
from alexnet.network.spec import MAX_WEIGHTS

DATA = ("Data", "ImageData", "WindowData", "HDF5Data", "MemoryData", "DummyData", "Input", "AnnotatedData")
NO_IMAGES = ("HDF5Data", "DummyData")
"""Those of DATA whose output Caffe does not transform; they give labels, for example."""

ENDS = ("Softmax", "SoftmaxWithLoss", "Accuracy", "Silence", "ArgMax")
"""Layers behind the one that gives the classes."""

_V1_TYPES = {"LRN": "LRN", "RELU": "ReLU", "TANH": "TanH", "SOFTMAX_LOSS": "SoftmaxWithLoss", "HDF5_DATA": "HDF5Data"}
_ACTIVATIONS: dict[str, Kind] = {"ReLU": "relu", "TanH": "tanh", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Layer:
    """One layer: its type in today's words, what it reads and gives, its parameters (a message) and its blobs."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Any
    blobs: tuple[Tensor, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True)
class CaffeNet:
    """A network as its files have it."""

    name: str
    layers: tuple[Layer, ...]
    size: int | None
    """Side of its input in pixels, where a file says it."""
    mean: tuple[float, ...]
    """The mean of B, G and R, where a data layer says it."""
    scale: float | None
    """What a data layer multiplies pixels minus the mean by, where it says it."""

    @property
    def computing(self) -> list[Layer]:
        """The layers between the image and the classes."""
        return [layer for layer in self.layers if layer.type not in (*DATA, *ENDS)]


def read(model: Path, prototxt: Path | None = None) -> CaffeNet:
    """Read a .caffemodel, its structure from `prototxt` if that is given; InputError, naming file and layer, if it does not fit."""
    trained = _net(messages.parse("NetParameter", model.read_bytes(), model), model)
    if prototxt is None:
        return trained
    try:
        text = prototxt.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{prototxt}: no text; give the .prototxt beside the .caffemodel") from None
    described = _net(messages.parse_text("NetParameter", text, prototxt), prototxt)
    blobs = {layer.name: layer.blobs for layer in trained.layers}
    for layer in described.layers:
        if layer.type in ("Convolution", "InnerProduct") and not blobs.get(layer.name):
            raise InputError(f"{model}: no weights for layer {layer.name} of {prototxt}; they are of another network")
    # A deploy file says nothing of mean and scale, and the model was saved with its data layer.
    return CaffeNet(
        described.name or trained.name,
        tuple(replace(layer, blobs=blobs.get(layer.name, ())) for layer in described.layers),
        described.size or trained.size,
        described.mean or trained.mean,
        trained.scale if described.scale is None else described.scale,
    )


def _net(message: Any, where: Path) -> CaffeNet:
    layers = []
    for layer in message.layer or message.layers:
        kind = layer.type
        if not message.layer:
            if layer.HasField("layer"):
                raise InputError(
                    f"{where}: of 2013, before Caffe's layers had types; upgrade_net_proto_binary renews it"
                )
            enum = layer.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[kind].name
            kind = _V1_TYPES.get(enum, "".join(part.capitalize() for part in enum.split("_")))
        blobs = tuple(_blob(blob, f"{where}: {layer.name}") for blob in layer.blobs)
        layers.append(Layer(layer.name, kind, tuple(layer.bottom), tuple(layer.top), layer, blobs))
    if not layers:
        raise InputError(f"{where}: no layers in it; it is no network of Caffe")
    return CaffeNet(message.name or where.stem, tuple(layers), *_input(message, layers, where))


def _input(message: Any, layers: list[Layer], where: Path) -> tuple[int | None, tuple[float, ...], float | None]:
    """Return input size, mean and scale as the first layer of images says them; a second one is for testing."""
    dims = list(message.input_dim) or [dim for shape in message.input_shape[:1] for dim in shape.dim]
    size: int | None = None
    mean: tuple[float, ...] = ()
    scale: float | None = None
    first = next((layer.parameters for layer in layers if layer.type in DATA and layer.type not in NO_IMAGES), None)
    if first:
        # What was in data_param before there was transform_param.
        now, before = first.transform_param, first.data_param
        if hasattr(first, "input_param") and not dims:
            dims = [dim for shape in first.input_param.shape[:1] for dim in shape.dim]
        size, mean = now.crop_size or before.crop_size or None, tuple(now.mean_value)
        scale = next((part.scale for part in (now, before) if part.HasField("scale")), None)
    if dims:
        if len(dims) != 4 or dims[1] != 3 or dims[2] != dims[3]:
            raise InputError(f"{where}: its input is {dims}; a network here reads [N, 3, S, S]")
        size = int(dims[2])
    if (scale is not None and not 0 < scale < math.inf) or not all(math.isfinite(value) for value in mean):
        raise InputError(f"{where}: its data layer has scale {scale} and mean {mean}, which no image can be given")
    return size, mean, scale


def _blob(blob: Any, where: str) -> Tensor:
    """Return the numbers of a BlobProto as float32; InputError if they are not as many as its shape says, or too many."""
    shape = list(blob.shape.dim) if blob.HasField("shape") else [blob.num, blob.channels, blob.height, blob.width]
    count = math.prod(shape)
    if any(dim < 1 for dim in shape) or len(shape) > 8 or count > MAX_WEIGHTS:
        raise InputError(f"{where}: a blob of shape {shape}; the file is damaged")
    content, kind = (b"".join(blob.data), "<f4") if blob.data else (b"".join(blob.double_data), "<f8")
    if len(content) != count * np.dtype(kind).itemsize:
        raise InputError(
            f"{where}: a blob of shape {shape} with {len(content):,} bytes of numbers; the file is damaged"
        )
    return torch.from_numpy(np.frombuffer(content, kind).astype(np.float32)).reshape(shape)


def mean_of(file: Path) -> np.ndarray:
    """Read a mean image of Caffe (imagenet_mean.binaryproto), float32 [3, S, S] in the order B, G, R."""
    image = _blob(messages.parse("BlobProto", file.read_bytes(), file), str(file)).squeeze(0)
    return image.numpy()


def steps_of(net: CaffeNet) -> list[Step]:
    """Return the steps of the network, whose conv1 reads B, G, R; InputError, naming the layer, for one that does not fit."""
    steps: list[Step] = []
    copied: dict[str, str] = {}  # a blob that Split gave -> the blob it copies
    current: str | None = None
    for layer in net.computing:
        bottoms = [copied.get(bottom, bottom) for bottom in layer.bottoms]
        if len(bottoms) != 1:
            raise InputError(f"{layer}: it reads {len(bottoms)} blobs; only chains of layers fit")
        if layer.type == "Split":
            copied |= dict.fromkeys(layer.tops, bottoms[0])
            continue
        if current is not None and bottoms[0] != current:
            raise InputError(f"{layer}: it reads {bottoms[0]}, not {current}; only chains of layers fit")
        if len(layer.tops) != 1:
            raise InputError(f"{layer}: it gives {len(layer.tops)} blobs; only chains of layers fit")
        if step := _step(layer):
            steps.append(step)
        current = layer.tops[0]
    return steps


def _step(layer: Layer) -> Step | None:
    """Return the step that a layer computes; None for a layer that changes nothing."""
    name, parameters = layer.name, layer.parameters
    if layer.type == "Convolution":
        return _convolution(layer)
    if layer.type == "InnerProduct":
        return with_weights(Linear, name, *_weights(layer, parameters.inner_product_param))
    if layer.type == "Pooling":
        pool = parameters.pooling_param
        if pool.pool != 0 or pool.global_pooling:
            raise InputError(f"{layer}: not of maxima over windows; a network here pools by maximum")
        size, stride, padding = _window(layer, pool)
        return Pool(name=name, size=size, stride=stride, padding=padding, end=padding, up=pool.round_mode == 0)
    if layer.type == "LRN":
        lrn = parameters.lrn_param
        if lrn.norm_region != 0:
            raise InputError(f"{layer}: WITHIN_CHANNEL; a network here normalizes across channels")
        return Lrn(name, lrn.local_size, lrn.k, lrn.alpha / max(1, lrn.local_size), lrn.beta)
    if layer.type in _ACTIVATIONS:
        slope = parameters.relu_param.negative_slope
        if layer.type == "ReLU" and slope:
            raise InputError(f"{layer}: negative_slope {slope:g} does not fit")
        return Activation(name, _ACTIVATIONS[layer.type])
    if layer.type == "Dropout":
        return Dropout(name, round(parameters.dropout_param.dropout_ratio, 6))
    if layer.type != "Flatten":
        raise InputError(f"{layer}: this kind of layer does not fit into a network here")
    return None


def _convolution(layer: Layer) -> Conv:
    parameters = layer.parameters.convolution_param
    size, stride, padding = _window(layer, parameters)
    if set(parameters.dilation) - {1}:
        raise InputError(f"{layer}: dilation does not fit")
    weight, bias = _weights(layer, parameters)
    window = {"size": size, "stride": stride, "padding": padding, "end": padding}
    step = with_weights(Conv, layer.name, weight, bias, columns=parameters.group or 1, **window)
    # Zeros before kernels that only make up for as much padding: a window of ours that hangs over the right and bottom
    # edge, as `caffe_write` has to say it.
    used = weight.any(1).any(0)
    over = min(int(used.any(1).int().argmax()), int(used.any(0).int().argmax()), padding)
    if not over:
        return step
    return replace(step, size=size - over, padding=padding - over, weight=weight[:, :, over:, over:].contiguous())


def _weights(layer: Layer, parameters: Any) -> tuple[Tensor, Tensor | None]:
    """Return the weights [kernels or units, ...] and the biases of a layer, which may have no biases."""
    wanted = 2 if parameters.bias_term else 1
    if len(layer.blobs) != wanted:
        raise InputError(f"{layer.name}: {len(layer.blobs)} blobs of weights; {layer.type} has {wanted} here")
    weight, bias = layer.blobs[0], layer.blobs[1].flatten() if wanted == 2 else None
    if layer.type == "InnerProduct":
        if weight.ndim > 2 and weight.numel() == math.prod(weight.shape[-2:]):
            weight = weight.reshape(weight.shape[-2:])
        weight = weight.T.contiguous() if parameters.transpose and weight.ndim == 2 else weight
    if parameters.num_output and len(weight) != parameters.num_output:
        raise InputError(f"{layer.name}: {parameters.num_output} outputs, and weights {list(weight.shape)}")
    return weight, bias


def _window(layer: Layer, parameters: Any) -> tuple[int, int, int]:
    """Return size, stride and padding, which Caffe says once, per axis, or by the axis' name; InputError if the axes differ."""
    sides = []
    for name, field, default in (("kernel", "kernel_size", 0), ("stride", "stride", 1), ("pad", "pad", 0)):
        value, high, wide = (getattr(parameters, part) for part in (field, f"{name}_h", f"{name}_w"))
        given = set(value) if layer.type == "Convolution" else {value} if parameters.HasField(field) else set()
        given = given or ({high, wide} if high or wide else {default})
        if len(given) != 1:
            raise InputError(f"{layer}: {name} {sorted(given)}; windows here are square")
        sides.append(int(given.pop()))
    return sides[0], sides[1], sides[2]


@torch.no_grad()
def forward(net: CaffeNet, images: Tensor) -> Tensor:
    """Compute the logits [N, classes] for images [N, 3, S, S]: B, G, R, minus the mean, scaled.

    Computed apart from `steps_of` and `AlexNet` on purpose: blobs by name as Caffe keeps them, the plain functions of torch.
    """
    blobs: dict[str, Tensor] = {}
    output = images
    for layer in net.computing:
        # The first blob that nothing gave is the input.
        output = _apply(layer, blobs.get(layer.bottoms[0], images))
        blobs |= dict.fromkeys(layer.tops, output)
    return output


def _apply(layer: Layer, x: Tensor) -> Tensor:
    parameters = layer.parameters
    if layer.type == "Convolution":
        weight, bias = _weights(layer, parameters.convolution_param)
        _, stride, padding = _window(layer, parameters.convolution_param)
        return F.conv2d(x, weight, bias, stride, padding, 1, parameters.convolution_param.group or 1)
    if layer.type == "InnerProduct":
        return F.linear(x.flatten(1), *_weights(layer, parameters.inner_product_param))
    if layer.type == "Pooling":
        pool = parameters.pooling_param
        return F.max_pool2d(x, *_window(layer, pool), ceil_mode=pool.round_mode == 0)
    if layer.type == "LRN":
        lrn = parameters.lrn_param  # Caffe's alpha is divided by the number of kernels, and so is PyTorch's
        return F.local_response_norm(x, lrn.local_size, lrn.alpha, lrn.beta, lrn.k)
    if layer.type in _ACTIVATIONS:
        activation: Tensor = getattr(torch, _ACTIVATIONS[layer.type])(x)
        return activation
    return x.flatten(1) if layer.type == "Flatten" else x  # Dropout, Split: `steps_of` let no others through
