"""Caffe's networks: .caffemodel (both formats of layers, both of shapes) and .prototxt, read without running anything.

A .caffemodel holds structure and weights; a .prototxt beside it, deploy or train_val, has the say on the structure. What
Caffe does and others do not: images are BGR; convolutions round the number of windows down and pooling up; the alpha of
its normalization is divided by the number of kernels; fully connected layers read channels, rows, columns, as ours do.
`caffe_forward` computes such a network again, from Caffe's definitions, to compare with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.imports import caffe_messages as messages
from alexnet.imports.steps import Activation, Conv, Dropout, Linear, Lrn, Pool, Step, weighted
from alexnet.network.spec import MAX_WEIGHTS

DATA = ("Data", "ImageData", "WindowData", "HDF5Data", "MemoryData", "DummyData", "Input", "AnnotatedData")
NO_IMAGES = ("HDF5Data", "DummyData")
"""Of DATA, layers that Caffe does not transform: they give labels, say."""

ENDS = ("Softmax", "SoftmaxWithLoss", "Accuracy", "Silence", "ArgMax")
"""Layers behind the one that gives the classes."""

_V1_TYPES = {"LRN": "LRN", "RELU": "ReLU", "TANH": "TanH", "SOFTMAX_LOSS": "SoftmaxWithLoss", "HDF5_DATA": "HDF5Data"}
ACTIVATIONS = {"ReLU": "relu", "TanH": "tanh", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Layer:
    """One layer: its type in today's words, what it reads and gives, its parameters (a message) and its blobs."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Any
    blobs: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class CaffeNet:
    """A network as its files have it."""

    name: str
    layers: tuple[Layer, ...]
    size: int | None
    """Side of its input in pixels, where a file says it."""
    mean: tuple[float, ...]
    """Of B, G, R, where a data layer says it."""
    scale: float | None
    """What a data layer multiplies pixels minus the mean by, where it says it."""


def read(model: Path, prototxt: Path | None = None) -> CaffeNet:
    """The network of a .caffemodel, its structure from `prototxt` if given. InputError, naming file and layer, if unfit."""
    found = _net(messages.parse("NetParameter", model.read_bytes(), model), model)
    if prototxt is None:
        return found
    try:
        text = prototxt.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{prototxt}: no text; give the .prototxt beside the .caffemodel") from None
    made = _net(messages.parse_text("NetParameter", text, prototxt), prototxt)
    blobs = {layer.name: layer.blobs for layer in found.layers}
    for layer in made.layers:
        if layer.type in ("Convolution", "InnerProduct") and not blobs.get(layer.name):
            raise InputError(f"{model}: no weights for layer {layer.name} of {prototxt}; they are of another network")
    layers = tuple(replace(layer, blobs=blobs.get(layer.name, ())) for layer in made.layers)
    # A deploy file says nothing of mean and scale, and the model was saved with its data layer.
    scale = found.scale if made.scale is None else made.scale
    return CaffeNet(made.name or found.name, layers, made.size or found.size, made.mean or found.mean, scale)


def _net(message: Any, where: Path) -> CaffeNet:
    new = bool(len(message.layer))
    layers = []
    for one in message.layer if new else message.layers:
        kind = one.type
        if not new:
            if one.HasField("layer"):
                raise InputError(
                    f"{where}: of 2013, before Caffe's layers had types; upgrade_net_proto_binary renews it"
                )
            enum = one.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[kind].name
            kind = _V1_TYPES.get(enum, "".join(part.capitalize() for part in enum.split("_")))
        blobs = tuple(blob_of(blob, f"{where}: {one.name}") for blob in one.blobs)
        layers.append(Layer(one.name, kind, tuple(one.bottom), tuple(one.top), one, blobs))
    if not layers:
        raise InputError(f"{where}: no layers in it; it is no network of Caffe")
    size, mean, scale = _data(message, layers, where)
    return CaffeNet(message.name or where.stem, tuple(layers), size, mean, scale)


def _data(message: Any, layers: list[Layer], where: Path) -> tuple[int | None, tuple[float, ...], float | None]:
    """Input size, mean and scale as the first layer of images says them: a second one, as for testing, has no say."""
    dims = list(message.input_dim) or [dim for shape in message.input_shape[:1] for dim in shape.dim]
    size: int | None = None
    mean: tuple[float, ...] = ()
    scale: float | None = None
    first = next((layer for layer in layers if layer.type in DATA and layer.type not in NO_IMAGES), None)
    if first:
        # What was in data_param before there was transform_param.
        how, before = first.parameters.transform_param, first.parameters.data_param
        if hasattr(first.parameters, "input_param") and not dims:
            dims = [dim for shape in first.parameters.input_param.shape[:1] for dim in shape.dim]
        size, mean = how.crop_size or before.crop_size or None, tuple(how.mean_value)
        scale = next((one.scale for one in (how, before) if one.HasField("scale")), None)
    if dims:
        if len(dims) != 4 or dims[1] != 3 or dims[2] != dims[3]:
            raise InputError(f"{where}: its input is {dims}; a network here reads [N, 3, S, S]")
        size = int(dims[2])
    if (scale is not None and not 0 < scale < math.inf) or not all(math.isfinite(value) for value in mean):
        raise InputError(f"{where}: its data layer has scale {scale} and mean {mean}, which no image can be given")
    return size, mean, scale


def blob_of(blob: Any, where: str) -> Tensor:
    """The numbers of a BlobProto as float32. InputError if there are not as many as its shape says, or its shape is absurd."""
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
    """A mean image of Caffe, float32 [3, S, S] in the order B, G, R: imagenet_mean.binaryproto."""
    image = blob_of(messages.parse("BlobProto", file.read_bytes(), file), str(file)).squeeze(0)
    return image.numpy()


def steps_of(net: CaffeNet) -> list[Step]:
    """The network's steps, conv1 still reading B, G, R. InputError, naming the layer, for what does not fit."""
    steps: list[Step] = []
    same: dict[str, str] = {}  # a blob that Split gave -> the blob it copies
    current: str | None = None
    for layer in net.layers:
        if layer.type in DATA or layer.type in ENDS:
            continue
        bottoms = [same.get(bottom, bottom) for bottom in layer.bottoms]
        if len(bottoms) != 1:
            raise InputError(f"{layer.name} ({layer.type}): it reads {len(bottoms)} blobs; only chains of layers fit")
        if layer.type == "Split":
            same |= dict.fromkeys(layer.tops, bottoms[0])
            continue
        if current is not None and bottoms[0] != current:
            raise InputError(
                f"{layer.name} ({layer.type}): it reads {bottoms[0]}, not {current}; only chains of layers fit"
            )
        if len(layer.tops) != 1:
            raise InputError(
                f"{layer.name} ({layer.type}): it gives {len(layer.tops)} blobs; only chains of layers fit"
            )
        steps += _step(layer)
        current = layer.tops[0]
    return steps


def _step(layer: Layer) -> list[Step]:
    name, how = layer.name, layer.parameters
    if layer.type == "Convolution":
        return [_convolution(layer)]
    if layer.type == "InnerProduct":
        weight, bias = _blobs(layer, how.inner_product_param)
        weight = (
            weight.reshape(weight.shape[-2:])
            if weight.ndim > 2 and weight.numel() == math.prod(weight.shape[-2:])
            else weight
        )
        weight = weight.T.contiguous() if how.inner_product_param.transpose and weight.ndim == 2 else weight
        return [weighted(Linear, name, weight, bias)]
    if layer.type == "Pooling":
        pool = how.pooling_param
        if pool.pool != 0 or pool.global_pooling:
            raise InputError(f"{name} (Pooling): not of maxima over windows; a network here pools by maximum")
        size = one_of(layer, "kernel", [pool.kernel_size] if pool.kernel_size else [], pool.kernel_h, pool.kernel_w, 0)
        stride = one_of(
            layer, "stride", [pool.stride] if pool.HasField("stride") else [], pool.stride_h, pool.stride_w, 1
        )
        padding = one_of(layer, "pad", [pool.pad] if pool.pad else [], pool.pad_h, pool.pad_w, 0)
        return [Pool(name, size, stride, padding, padding, up=pool.round_mode == 0)]
    if layer.type == "LRN":
        lrn = how.lrn_param
        if lrn.norm_region != 0:
            raise InputError(f"{name} (LRN): WITHIN_CHANNEL; a network here normalizes across channels")
        return [Lrn(name, lrn.local_size, lrn.k, lrn.alpha / max(1, lrn.local_size), lrn.beta)]
    if layer.type in ACTIVATIONS:
        if layer.type == "ReLU" and how.relu_param.negative_slope:
            raise InputError(f"{name} (ReLU): negative_slope {how.relu_param.negative_slope:g} does not fit")
        return [Activation(name, ACTIVATIONS[layer.type])]  # type: ignore[arg-type]
    if layer.type == "Dropout":
        return [Dropout(name, round(how.dropout_param.dropout_ratio, 6))]
    if layer.type == "Flatten":
        return []
    raise InputError(f"{name} ({layer.type}): this kind of layer does not fit into a network here")


def _convolution(layer: Layer) -> Conv:
    how = layer.parameters.convolution_param
    size = one_of(layer, "kernel", how.kernel_size, how.kernel_h, how.kernel_w, 0)
    stride = one_of(layer, "stride", how.stride, how.stride_h, how.stride_w, 1)
    padding = one_of(layer, "pad", how.pad, how.pad_h, how.pad_w, 0)
    if one_of(layer, "dilation", how.dilation, 0, 0, 1) != 1:
        raise InputError(f"{layer.name} (Convolution): dilation does not fit")
    weight, bias = _blobs(layer, how)
    made: Conv = weighted(
        Conv, layer.name, weight, bias, stride=stride, padding=padding, end=padding, groups=how.group or 1
    )
    if made.size != size:
        raise InputError(f"{layer.name}: its window is {size}×{size}, its weights are {list(weight.shape)}")
    return _without_zeros(made)


def _without_zeros(step: Conv) -> Conv:
    """The convolution without zeros before its kernels that only make up for as much padding, as `alexnet export` writes
    a window that hangs over the right and bottom edge."""
    assert step.weight is not None
    used = step.weight.any(1).any(0)
    first = int(used.any(1).int().argmax()), int(used.any(0).int().argmax())
    over = min(*first, step.padding)
    if not over:
        return step
    weight = step.weight[:, :, over:, over:].contiguous()
    return replace(step, size=step.size - over, padding=step.padding - over, weight=weight)


def _blobs(layer: Layer, how: Any) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of a layer; None for biases that it has none of."""
    wanted = 2 if how.bias_term else 1
    if len(layer.blobs) != wanted:
        raise InputError(f"{layer.name}: {len(layer.blobs)} blobs of weights; {layer.type} has {wanted} here")
    weight, bias = layer.blobs[0], layer.blobs[1].flatten() if wanted == 2 else None
    units = weight.shape[-2] if layer.type == "InnerProduct" and weight.ndim > 1 else weight.shape[0]
    if layer.type == "InnerProduct" and how.transpose:
        units = weight.shape[-1]
    if how.num_output and units != how.num_output:
        raise InputError(f"{layer.name}: {how.num_output} outputs, and weights {list(weight.shape)}")
    return weight, bias


def one_of(layer: Layer, what: str, values: Sequence[int], high: int, wide: int, default: int) -> int:
    """A size that Caffe may give once, once an axis, or by axis' name; InputError if the axes differ."""
    given = set(values) or ({high, wide} if high or wide else {default})
    if len(given) != 1:
        raise InputError(f"{layer.name} ({layer.type}): {what} {sorted(given)}; windows here are square")
    return int(given.pop())
