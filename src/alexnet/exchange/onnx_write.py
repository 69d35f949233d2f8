"""AlexNet is written as an ONNX graph, layer by layer, from pixels to probabilities and logits.

Written node by node and not traced: that needs no exporter, the nodes carry the layers' names, and two things get the
form that runtimes compute fastest. Normalization is made of elementary nodes: the sum over adjacent kernels is a 1x1
convolution, the power of 0.75 two square roots. And the columns (§3.2) are two chains of nodes that meet where the network's
links say, as on the two GPUs of 2012: a grouped convolution would be computed in float32 even in a network of int8.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from alexnet.network.layers import (
    ColumnLinear,
    Convolution,
    Dropout,
    LocalResponseNormalization,
    MapNormalization,
    Scale,
)
from alexnet.network.model import AlexNet
from alexnet.network.normalization import MAP, band
from alexnet.network.window import Window

OPSET, IR_VERSION = 17, 8
"""Versions of the format, low enough for the runtimes of the last years."""

ACTIVATIONS = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}


class _Graph:
    """The nodes and constants so far; a node has one output, called like the node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Tensor | float) -> str:
        array = np.ascontiguousarray(torch.as_tensor(value, dtype=torch.float32).detach().cpu().numpy())
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def split(self, name: str, input: str, parts: int) -> list[str]:
        """Append a node that splits the channels into `parts` equal parts."""
        names = [f"{name}.{part}" for part in range(1, parts + 1)]
        self.nodes.append(helper.make_node("Split", [input], names, name=name, axis=1))
        return names


def onnx_model(network: AlexNet, mean: Tensor, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return the graph of `network` in eval mode.

    Input `pixels`, float32 [N, 3, S, S], RGB on 0-255, for any N; the graph subtracts `mean`, float32 [3, S, S]. Outputs
    `probabilities` and `logits`, float32 [N, classes]. `metadata` goes into the file's
    properties.
    """
    graph, side, classes = _Graph(), network.spec.input_size, network.spec.classes
    # What the layers so far have given: one map of all channels, or one a column.
    parts = [graph.add("Sub", "centred", ["pixels", graph.constant("mean", mean[None])])]
    channels = 3
    for name, layer in network.named_children():
        if isinstance(layer, Convolution):
            channels = layer.out_channels
        parts = _layer(graph, name, layer, parts, channels, network.windows.get(name))
    graph.nodes[-1].output[0] = "logits"
    graph.add("Softmax", "probabilities", ["logits"], axis=1)

    def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.spec.name,
            [value("pixels", "N", 3, side, side)],
            [value("probabilities", "N", classes), value("logits", "N", classes)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="alexnet",
    )
    helper.set_model_props(model, dict(metadata))
    return model


def _layer(
    graph: _Graph, name: str, layer: nn.Module, parts: list[str], channels: int, window: Window | None
) -> list[str]:
    """Append one layer that reads `parts`; returns the names of what it gives, for all columns or one for each."""
    if isinstance(layer, Convolution):
        assert window and layer.bias is not None
        ends = window.padding + layer.overhang  # zeros of the centred image, which are its mean
        sizes = {"strides": [window.stride] * 2, "pads": [window.padding, window.padding, ends, ends]}
        return _weighted(graph, "Conv", name, layer.weight, layer.bias, layer.groups, parts, **sizes)
    if isinstance(layer, nn.Linear):
        return _weighted(graph, "Gemm", name, layer.weight, layer.bias, 1, parts, transB=1)
    if isinstance(layer, ColumnLinear):
        weight, columns = layer.weight.flatten(0, 1), len(layer.weight)
        return _weighted(graph, "Gemm", name, weight, layer.bias, columns, parts, transB=1)
    if isinstance(layer, nn.MaxPool2d):
        assert window
        overhang = max(0, window.overhang)  # what pads here is never the largest
        sizes = {"kernel_shape": [window.window] * 2, "strides": [window.stride] * 2}
        return _each(graph, "MaxPool", name, parts, pads=[0, 0, overhang, overhang], **sizes)
    if isinstance(layer, Scale):
        return [graph.add("Mul", name, [parts[0], graph.constant(f"{name}.factor", layer.factor)])]
    if type(layer) in ACTIVATIONS:
        return _each(graph, ACTIVATIONS[type(layer)], name, parts)
    if isinstance(layer, nn.Flatten):  # kernel by kernel: a column's are together before and after
        return _each(graph, "Flatten", name, parts, axis=1)
    if isinstance(layer, Dropout):
        return _each(graph, "Mul", name, parts, graph.constant(f"{name}.keep", 1 - layer.p))
    if isinstance(layer, nn.Dropout):  # the inverted form: nothing at test
        return parts
    x = _whole(graph, name, parts)
    if isinstance(layer, LocalResponseNormalization):
        sums_of = graph.constant(f"{name}.band", layer.lrn.alpha * band(channels, layer.lrn.n, layer.columns))
        k = graph.constant(f"{name}.k", torch.full((channels,), layer.lrn.k))
        squares = graph.add("Mul", f"{name}.squares", [x, x])
        return _divided(graph, name, x, graph.add("Conv", f"{name}.sums", [squares, sums_of, k]), layer.lrn.beta)
    if isinstance(layer, MapNormalization):
        sizes = {"kernel_shape": [MAP.n] * 2, "pads": [MAP.n // 2] * 4}
        squares = graph.add("Mul", f"{name}.squares", [x, x])
        means = graph.add("AveragePool", f"{name}.means", [squares], count_include_pad=1, **sizes)
        scaled = graph.add("Mul", f"{name}.scaled", [means, graph.constant(f"{name}.alpha", MAP.alpha * MAP.n**2)])
        sums = graph.add("Add", f"{name}.sums", [scaled, graph.constant(f"{name}.k", MAP.k)])
        return _divided(graph, name, x, sums, MAP.beta)
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_mean is not None and layer.running_var is not None
        numbers = {"scale": layer.weight, "shift": layer.bias, "mean": layer.running_mean, "var": layer.running_var}
        constants = [graph.constant(f"{name}.{key}", value) for key, value in numbers.items()]
        return [graph.add("BatchNormalization", name, [x, *constants], epsilon=layer.eps)]
    raise NotImplementedError(f"{name}: no ONNX form of {layer}")


def _weighted(
    graph: _Graph, kind: str, name: str, weight: Tensor, bias: Tensor, columns: int, parts: list[str], **attributes: Any
) -> list[str]:
    """Append a layer with weights: one node, or one for each column, which reads its own part."""
    if columns == 1:
        parts = [_whole(graph, name, parts)]
    elif len(parts) == 1:
        parts = graph.split(f"{name}.input", parts[0], columns)
    outputs = []
    for node, x, w, b in zip(_names(name, parts), parts, weight.chunk(columns), bias.chunk(columns), strict=True):
        constants = [graph.constant(f"{node}.weight", w), graph.constant(f"{node}.bias", b)]
        outputs.append(graph.add(kind, node, [x, *constants], **attributes))
    return outputs


def _each(graph: _Graph, kind: str, name: str, parts: list[str], *constants: str, **attributes: Any) -> list[str]:
    """Append a layer that treats every number, or every map, by itself."""
    named = zip(_names(name, parts), parts, strict=True)
    return [graph.add(kind, node, [x, *constants], **attributes) for node, x in named]


def _names(name: str, parts: list[str]) -> list[str]:
    return [name] if len(parts) == 1 else [f"{name}.{number}" for number in range(1, len(parts) + 1)]


def _whole(graph: _Graph, name: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.add("Concat", f"{name}.joined", parts, axis=1)


def _divided(graph: _Graph, name: str, x: str, sums: str, beta: float) -> list[str]:
    """Append x · sums^-beta; for the paper's 0.75 as two square roots, which take less time than a power."""
    if beta == 0.75:
        root = graph.add("Sqrt", f"{name}.root", [sums])
        power = graph.add("Mul", f"{name}.power", [root, graph.add("Sqrt", f"{name}.fourth-root", [root])])
    else:
        power = graph.add("Pow", f"{name}.power", [sums, graph.constant(f"{name}.beta", beta)])
    return [graph.add("Div", name, [x, power])]
