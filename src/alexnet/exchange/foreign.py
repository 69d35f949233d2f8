"""Networks of other programs, read from their files: as a run would have them, with their own definition to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange import caffe_read, onnx_file, onnx_read, torchvision
from alexnet.exchange.build import Built, network_of_steps
from alexnet.exchange.inputs import Input, Takes, as_run, input_of
from alexnet.network import networks
from alexnet.network.model import AlexNet
from alexnet.network.named import differences, nearest, without_dropout
from alexnet.network.spec import Network
from alexnet.run.locate import is_network_file
from alexnet.tensors import is_safetensors

Kind = Literal["caffe", "torchvision", "onnx", "cuda-convnet", "alexnet"]

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
    """What a user says of the files; None is what they say themselves, or what their kind takes."""

    mean: str | None = None
    """A file (.binaryproto, .npy) or three values, in the order of the file's colours."""
    takes: Takes | None = None
    input_size: int | None = None
    """Side of the network's input, in pixels."""
    image_size: int | None = None
    """Side of the images that crops are taken from, in pixels."""
    name: str | None = None
    """Name of the network."""


@dataclass(frozen=True)
class Foreign:
    """A network of another program as a run would have it, and what it is compared with."""

    network: Network
    weights: dict[str, Tensor]
    mean: np.ndarray
    """float32 [S, S, 3], R, G, B, 0-255."""
    notes: tuple[str, ...]
    logits: Callable[[Tensor], Tensor]
    """The logits by the file's own definition, for pixels without a mean taken off: float32 [N, 3, S, S], R, G, B, 0-255."""
    by: str
    """What computes them, in words."""
    classes: list[str] | None = None
    """Names of the classes, where the file has them."""

    def module(self) -> AlexNet:
        """Return the network with its weights, in eval mode; InputError, naming the layer, for weights that do not fit it."""
        with torch.device("meta"):
            network = AlexNet(self.network)
        for name, tensor in network.state_dict().items():
            if name not in self.weights or self.weights[name].shape != tensor.shape:
                shape = list(self.weights[name].shape) if name in self.weights else "missing"
                raise InputError(f"{name} is {shape} in the file; the network has {list(tensor.shape)}")
        network.load_state_dict(self.weights, assign=True)
        return network.eval()


def kind_of(files: Sequence[Path], kind: Kind | None = None) -> Kind:
    """Return `kind` if it is given, else "alexnet" of a network file, else what the first file's name or its first bytes say.

    InputError if there is no file, or its kind is not known.
    """
    if not files:
        raise InputError("import needs a FILE: .caffemodel, .pth, .safetensors, .onnx or layers-*.cfg")
    if kind:
        return kind
    file = files[0]
    if is_network_file(file):
        return "alexnet"
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    if file.suffix.lower() in SUFFIXES:
        return SUFFIXES[file.suffix.lower()]
    with file.open("rb") as opened:
        start = opened.read(1024)
    if start.startswith(b"PK") or is_safetensors(start):
        return "torchvision"
    if start.startswith(b"\x08"):
        return "onnx"  # ir_version, its first field
    if start.startswith(b"\x0a"):
        return "caffe"  # the name of the network
    raise InputError(f"{file}: not known by its name or its first bytes; say --kind {', '.join(get_args(Kind))}")


def read(files: Sequence[Path], kind: Kind, options: Options) -> Foreign:
    """Read the network in these files; InputError, naming file and layer, for what is damaged or does not fit."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    if kind != "caffe" and len(files) != 1:
        raise InputError(f"{files[1]}: {kind} networks are one file")
    assert kind != "alexnet", "network_files reads these"
    if kind == "cuda-convnet":
        raise InputError(f"{files[0]}: a layer file has no weights; import_layers makes a network of it")
    try:
        if kind == "caffe":
            return _caffe(files, options)
        return _torchvision(files[0], options) if kind == "torchvision" else _onnx(files[0], options)
    except UnicodeDecodeError as error:
        raise InputError(f"{files[0]}: damaged; a name in it is no text ({error})") from None


def _caffe(files: Sequence[Path], options: Options) -> Foreign:
    texts = [file for file in files if file.suffix == ".prototxt"]
    models = [file for file in files if file not in texts]
    if len(models) != 1 or len(texts) > 1:
        raise InputError("Caffe: give one .caffemodel, and beside it at most one .prototxt")
    net = caffe_read.read(models[0], texts[0] if texts else None)
    size = options.input_size or net.size
    if size is None:
        raise InputError(
            f"{models[0]}: the size of its input is not in it; give the .prototxt too, or --input-size 227"
        )
    built = _named(network_of_steps(options.name or net.name, caffe_read.steps_of(net), size), options)
    input = input_of(options.takes or "caffe", options.mean, net.mean, 1.0 if net.scale is None else net.scale)
    by = "Caffe's definitions, layer by layer"
    return _foreign(built, input, input, size, options, lambda images: caffe_read.forward(net, images), by)


def _torchvision(file: Path, options: Options) -> Foreign:
    state = torchvision.read(file)
    weights = torchvision.weights(state, file)
    size = options.input_size or networks.torchvision.input_size
    network = replace(networks.torchvision, classes=len(weights["fc8.bias"]), input_size=size)
    network = replace(network, name=options.name or network.name)
    input = input_of(options.takes or "torchvision", options.mean)
    reference = torchvision.reference(state)
    return _foreign(
        Built(network, weights, ()), input, input, size, options, reference, "torchvision's layers in torch.nn"
    )


def _onnx(file: Path, options: Options) -> Foreign:
    opened = onnx_file.read(file)
    size = options.input_size or opened.size
    if size is None:
        raise InputError(f"{file}: the size of its input is open; say it with --input-size 224")
    graph = onnx_read.graph_of(opened)
    name = options.name or opened.model.graph.name or file.stem
    built = _named(network_of_steps(name, graph.steps, size), options)
    takes = options.takes or _guess(file, built.network, graph)
    outer = input_of(takes, options.mean, (0.0, 0.0, 0.0) if graph.prepares else ())
    if outer.mean.ndim == 3 and graph.prepares:
        raise InputError("--mean: an image does not fit a graph that has arithmetic before conv1; give three values")
    inner = outer
    if graph.prepares:
        # factor · (pixels - mean) · scale + shift, brought to (pixels - mean') · scale'.
        red, green, blue = scale = np.array(outer.scale, np.float64) * graph.factor[:, 0, 0]
        shifted = outer.mean[:, None, None] - graph.shift / scale[:, None, None]
        shifted = np.asarray(shifted[:, 0, 0] if shifted.shape[1] == 1 else shifted, np.float32)
        inner = Input(outer.order, shifted, (float(red), float(green), float(blue)))
    run = onnx_file.runner(opened, graph.logits)
    return replace(_foreign(built, inner, outer, size, options, run, "onnxruntime"), classes=opened.classes)


def _foreign(
    built: Built, inner: Input, outer: Input, size: int, options: Options, run: Callable[[Tensor], Tensor], by: str
) -> Foreign:
    """Return the network for a run, where conv1 takes `inner`, and the file, which `run` computes, takes `outer`.

    size: side of the file's input in pixels, of which the network may read fewer.
    """
    network, weights, mean = as_run(built.network, built.weights, inner, options.image_size)
    return Foreign(
        network, weights, mean, built.notes, lambda pixels: run(outer.from_pixels(pixels, len(mean), size)), by
    )


def _guess(file: Path, network: Network, graph: onnx_read.Graph) -> Takes:
    if graph.prepares:
        # Whoever wrote arithmetic before conv1 brings what comes to about 0 and 1: from 0-255, or from 0-1.
        mean, largest = float(np.abs(graph.shift / graph.factor).max()), float(np.abs(graph.factor).max())
        if mean > 1.5 or largest < 0.05:
            return "pixels"
        if mean > 0 or largest > 1.5:
            return "unit"
    elif not differences(without_dropout(replace(network, input_scale=1.0)), without_dropout(networks.torchvision)):
        return "torchvision"
    elif network.normalization_name == "caffe":
        return "caffe"
    raise InputError(f"{file}: what it takes is not in it; say --input {', '.join(get_args(Takes))}")


def _named(built: Built, options: Options) -> Built:
    """Replace the network by the named one that computes the same, if there is one, and note that."""
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
        parts = "; ".join(differ) if len(differ) <= 4 else f"{len(differ)} parts differ"
        return replace(built, notes=(*notes, f"no named network computes this; nearest is {named.name}: {parts}"))
    network = replace(named, classes=network.classes, name=options.name or named.name)
    return replace(built, network=network, notes=(*notes, f"equals the named network {named.name}"))
