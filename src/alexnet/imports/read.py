"""Files of others -> a network as a run would have it, and their own definition to compare it with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from alexnet.data.statistics import LARGEST
from alexnet.errors import InputError
from alexnet.imports import torchvision
from alexnet.imports.build import Built, network_of_steps
from alexnet.imports.run import Imported, Input, imported
from alexnet.network import networks
from alexnet.network.named import differences, nearest, without_dropout
from alexnet.network.spec import Network
from alexnet.reading import read_array

Kind = Literal["caffe", "torchvision", "onnx", "cuda-convnet"]

Takes = Literal["pixels", "unit", "torchvision", "caffe"]
"""pixels: RGB 0-255 minus the mean; unit: RGB 0-1; torchvision: RGB 0-1 minus its mean, divided by its deviation; caffe: BGR
0-255 minus the mean."""

SUFFIXES: dict[str, Kind] = {
    ".caffemodel": "caffe",
    ".prototxt": "caffe",
    ".pth": "torchvision",
    ".pt": "torchvision",
    ".safetensors": "torchvision",
    ".onnx": "onnx",
    ".cfg": "cuda-convnet",
}


@dataclass(frozen=True)
class Options:
    """What the files do not say."""

    mean: str | None = None
    """A file (.binaryproto, .npy) or three values, in the order of the file's colours."""
    takes: Takes | None = None
    input_size: int | None = None
    image_size: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class Read:
    """An imported network and what it is compared with."""

    imported: Imported
    theirs: Callable[[Tensor], Tensor]
    """Pixels, float32 [N, 3, S, S], R, G, B, 0-255 -> the file's own logits."""
    by: str
    """Who computes them."""
    classes: list[str] | None = None
    """Names that the file has."""


def kind_of(file: Path) -> Kind:
    """Which kind of file it is, by its name, else by how it begins. InputError if that is not known."""
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    if file.suffix.lower() in SUFFIXES:
        return SUFFIXES[file.suffix.lower()]
    with file.open("rb") as opened:
        start = opened.read(1024)
    if start.startswith(b"PK") or torchvision.is_safetensors(start):
        return "torchvision"
    if start.startswith(b"\x08"):
        return "onnx"  # ir_version, its first field
    if start.startswith(b"\x0a"):
        return "caffe"  # the name of the network
    raise InputError(f"{file}: not known by its name or its first bytes; say --kind {', '.join(get_args(Kind))}")


def read(files: Sequence[Path], kind: Kind, options: Options) -> Read:
    """The network of these files. InputError, naming file and layer, for what is damaged or does not fit."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    if kind != "caffe" and len(files) != 1:
        raise InputError(f"{files[1]}: {kind} networks are one file")
    try:
        if kind == "caffe":
            return _caffe(files, options)
        return _torchvision(files[0], options) if kind == "torchvision" else _onnx(files[0], options)
    except UnicodeDecodeError as error:
        raise InputError(f"{files[0]}: damaged; a name in it is no text ({error})") from None


def _caffe(files: Sequence[Path], options: Options) -> Read:
    from alexnet.imports import caffe, caffe_forward

    texts = [file for file in files if file.suffix == ".prototxt"]
    models = [file for file in files if file not in texts]
    if len(models) != 1 or len(texts) > 1:
        raise InputError("Caffe: give one .caffemodel, and beside it at most one .prototxt")
    net = caffe.read(models[0], texts[0] if texts else None)
    size = options.input_size or net.size
    if size is None:
        raise InputError(
            f"{models[0]}: the size of its input is not in it; give the .prototxt too, or --input-size 227"
        )
    built = network_of_steps(options.name or net.name, caffe.steps_of(net), size)
    network, notes = _named(built, options)
    takes = options.takes or "caffe"
    how = _input(takes, _mean(options.mean, takes, net.mean), 1.0 if net.scale is None else net.scale)
    made = imported("caffe", network, built.weights, how, options.image_size, notes)

    def theirs(pixels: Tensor) -> Tensor:
        images = _taken(pixels, how, network.input_size, len(made.mean))
        left = size - network.input_size  # pixels that conv1 never reads
        return caffe_forward.forward(net, torch.nn.functional.pad(images, (0, left, 0, left)))

    return Read(made, theirs, "Caffe's definitions, layer by layer")


def _torchvision(file: Path, options: Options) -> Read:
    state = torchvision.read(file)
    weights = torchvision.weights(state, file)
    size = options.input_size or networks.torchvision.input_size
    network = replace(networks.torchvision, classes=len(weights["fc8.bias"]), input_size=size)
    network = replace(network, name=options.name or network.name)
    takes = options.takes or "torchvision"
    mean = _mean(options.mean, takes, ())
    how = _input(takes, mean)
    made = imported("torchvision", network, weights, how, options.image_size)
    reference = torchvision.reference(state)
    return Read(
        made, lambda pixels: reference(_taken(pixels, how, size, len(made.mean))), "torchvision's layers in torch.nn"
    )


def _onnx(file: Path, options: Options) -> Read:
    from alexnet.imports import onnx_file, onnx_graph

    of = onnx_file.opened(file)
    size = options.input_size or of.size
    if size is None:
        raise InputError(f"{file}: the size of its input is open; say it with --input-size 224")
    graph = onnx_graph.graph_of(of)
    built = network_of_steps(options.name or of.model.graph.name or file.stem, graph.steps, size)
    network, notes = _named(built, options)
    takes = options.takes or _guess(file, network, graph.prepares, graph.shift, graph.factor)
    outer = _input(takes, _mean(options.mean, takes, (0.0, 0.0, 0.0) if graph.prepares else ()))
    # factor · (pixels - mean) · scale + shift, brought to (pixels - mean') · scale'.
    scale = np.array(outer.scale, np.float64) * graph.factor
    if outer.mean.ndim == 3 and graph.prepares:
        raise InputError("--mean: an image does not fit a graph that has arithmetic before conv1; give three values")
    shift = graph.shift / (scale[:, None, None] if graph.shift.ndim == 3 else scale)
    mean = (outer.mean[:, None, None] if graph.shift.ndim == 3 else outer.mean) - shift
    how = Input(outer.order, np.asarray(mean, np.float32), (float(scale[0]), float(scale[1]), float(scale[2])))
    made = imported("onnx", network, built.weights, how, options.image_size, notes)
    session = onnx_file.Session(of, graph.logits, size)
    given = Read(
        made,
        lambda pixels: session(_taken(pixels, outer, network.input_size, len(made.mean))),
        "onnxruntime",
        of.classes,
    )
    return given


def _guess(file: Path, network: Network, prepares: bool, shift: np.ndarray, factor: np.ndarray) -> Takes:
    if prepares:
        # Whoever wrote arithmetic before conv1 brings what comes to about 0 and 1: from 0-255, or from 0-1.
        mean = float(np.abs(shift / (factor[:, None, None] if shift.ndim == 3 else factor)).max())
        largest = float(np.abs(factor).max())
        if mean > 1.5 or largest < 0.05:
            return "pixels"
        if mean > 0 or largest > 1.5:
            return "unit"
    elif not differences(without_dropout(replace(network, input_scale=1.0)), without_dropout(networks.torchvision)):
        return "torchvision"
    elif network.normalization_name == "caffe":
        return "caffe"
    raise InputError(f"{file}: what it takes is not in it; say --input {', '.join(get_args(Takes))}")


def _input(takes: Takes, mean: np.ndarray, scale: float = 1.0) -> Input:
    unit = 255.0 * np.array(torchvision.STD)
    if takes == "torchvision":
        return Input("rgb", mean, (float(1 / unit[0]), float(1 / unit[1]), float(1 / unit[2])))
    factor = scale / 255 if takes == "unit" else scale
    return Input("bgr" if takes == "caffe" else "rgb", mean, (factor, factor, factor))


def _taken(pixels: Tensor, how: Input, size: int, side: int) -> Tensor:
    """Pixels as the file's network takes them."""
    images = (pixels.flip(1) if how.order == "bgr" else pixels) - _crop(how.mean, size, side)
    return images * torch.tensor(how.scale).float()[:, None, None]


def _crop(mean: np.ndarray, size: int, side: int) -> Tensor:
    """What the centre crop of an image of `side` pixels subtracts, [3, 1, 1] or [3, size, size]."""
    if mean.ndim == 1:
        return torch.from_numpy(np.array(mean, np.float32))[:, None, None]
    start = (mean.shape[1] - size) // 2
    if mean.shape[1] > side:  # cut to `side` first, as the run's mean image is
        start = (mean.shape[1] - side) // 2 + (side - size) // 2
    return torch.from_numpy(np.array(mean[:, start : start + size, start : start + size], np.float32))


def _mean(given: str | None, takes: Takes, known: Sequence[float]) -> np.ndarray:
    """The mean, [3] or [3, S, S] on 0-255, in the order of the file's colours."""
    if given is None:
        if takes == "torchvision":
            return np.float32(255) * np.array(torchvision.MEAN, np.float32)
        if len(known) not in (1, 3):
            raise InputError(
                "--mean is missing: imagenet_mean.binaryproto, an .npy of [3, S, S], or three values in the order of the"
                " file's colours, such as --mean 104,117,123 for B,G,R of ImageNet"
            )
        return np.array(np.broadcast_to(np.array(known), 3), np.float32)
    file = Path(given)
    if not file.is_file():
        try:
            values = [float(value) for value in given.split(",")]
        except ValueError:
            raise InputError(f"--mean {given}: no such file, and not three values such as 104,117,123") from None
        if len(values) != 3:
            raise InputError(f"--mean {given}: {len(values)} values; three are needed, or a file")
        return np.array(values, np.float32)
    if file.suffix == ".npy":
        try:
            image = read_array(file, most=LARGEST)
        except (OSError, ValueError) as error:
            raise InputError(f"--mean {file}: no array of numbers ({error})") from None
    else:
        from alexnet.imports import caffe

        image = caffe.mean_of(file)
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        image = image.transpose(2, 0, 1)  # as the mean.npy of a run or a prepared dataset, R, G, B
        image = image[::-1] if takes == "caffe" else image
    if image.dtype.kind not in "fiu" or image.shape[:1] != (3,) or image.ndim not in (1, 3):
        raise InputError(f"--mean {file}: {image.dtype} {list(image.shape)}; it must be [3, S, S]")
    return np.array(image, np.float32)


def _named(built: Built, options: Options) -> tuple[Network, tuple[str, ...]]:
    """The network by the name of the named one that computes the same, with its rows; else as it is."""
    network, notes = built.network, built.notes
    named, differ = nearest(network)
    if differ and not network.dropout:
        # A file made for use alone has no dropout; where all else is a named network's, that one's comes back.
        for candidate in networks.networks.values():
            if not differences(network, without_dropout(candidate)):
                note = f"no dropout is in the file; that of {candidate.name} is taken for training"
                named, differ, notes = candidate, [], (*notes, note)
                break
    if differ:
        said = "; ".join(differ) if len(differ) <= 4 else f"{len(differ)} parts differ"
        return network, (*notes, f"no named network computes this; nearest is {named.name}: {said}")
    made = replace(named, classes=network.classes, name=options.name or named.name)
    return made, (*notes, f"equals the named network {named.name}")
