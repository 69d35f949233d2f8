"""An ONNX graph of AlexNet's kind is read as steps: one chain of nodes, or two where it has two columns.

The walk keeps the names of the tensors that hold the network's state, one, or one a column. Files of `alexnet export` are
read with all their nodes: the mean inside, columns as two chains, normalization made of elementary nodes.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange.onnx_file import Opened
from alexnet.exchange.steps import (
    Activation,
    BatchNorm,
    Conv,
    Dropout,
    Kind,
    Linear,
    Lrn,
    MapNorm,
    Pool,
    Step,
    with_weights,
)
from alexnet.network.normalization import band

ACTIVATIONS: dict[str, Kind] = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
NOTHING = ("Flatten", "Reshape", "Squeeze", "Identity")
"""Nodes that change no number of a chain that ends in vectors."""

AFFINE = ("Sub", "Add", "Mul", "Div")


@dataclass(frozen=True)
class Graph:
    """The steps of a graph; what it does to its input before conv1, factor · x + shift; the tensor that has the logits."""

    steps: list[Step]
    factor: np.ndarray
    """[3, 1, 1]"""
    shift: np.ndarray
    """[3, 1, 1] or [3, S, S]"""
    prepares: bool
    """Whether nodes change the input before conv1."""
    logits: str


def graph_of(file: Opened) -> Graph:
    """Follow the graph from its input to its logits; InputError, naming the node, for one that does not fit a network here."""
    walk = _Walk(file)
    for _ in range(len(file.model.graph.node) + 1):
        nodes = walk.next()
        if not nodes or nodes[0].op_type in ("Softmax", "LogSoftmax"):
            if len(walk.parts) != 1:
                raise InputError(f"{file.path}: it ends in {len(walk.parts)} tensors")
            return Graph(walk.steps, walk.factor, walk.shift, walk.prepares, walk.parts[0])
        walk.take(nodes)
    raise InputError(f"{file.path}: its nodes go in a circle")


def _called(node: Any) -> str:
    """Return what messages call a node."""
    return f"{node.name or node.output[0]} ({node.op_type})"


def _attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a node by name, as values of Python."""
    from onnx import helper

    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


class _Walk:
    """How far a graph has been followed: the tensors that hold the state, the steps so far."""

    def __init__(self, file: Opened) -> None:
        self.file, self.parts = file, [file.input]
        self.steps: list[Step] = []
        self.factor, self.shift, self.prepares = np.ones((3, 1, 1)), np.zeros((3, 1, 1)), False
        self.makers = {name: node for node in file.model.graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in file.model.graph.node:
            for name in set(node.input):
                self.readers.setdefault(name, []).append(node)

    def next(self) -> list[Any]:
        """Return the nodes that read the state: one, or one a column."""
        nodes: list[Any] = []
        for part in self.parts:
            readers = [node for node in self.readers.get(part, []) if node.op_type != "Shape"]
            if {node.op_type for node in readers} == {"Mul", "Div"} and len(readers) == 2 and len(self.parts) == 1:
                return readers  # normalization from elementary nodes
            if len(readers) > 1:
                names = ", ".join(map(_called, readers))
                raise InputError(f"{self.file.path}: {part} is read by {names}; only chains of nodes fit")
            nodes += [node for node in readers if node not in nodes]
        if len({node.op_type for node in nodes}) > 1 or (nodes and len(nodes) not in (1, len(self.parts))):
            raise InputError(f"{self.file.path}: {', '.join(map(_called, nodes))}: the two columns differ")
        return nodes

    def take(self, nodes: list[Any]) -> None:
        """Add the steps of these nodes; the state is then what they give."""
        node, attributes = nodes[0], _attributes(nodes[0])
        if len(nodes) == 2 and len(self.parts) == 1:
            self.parts = [self._normalization(nodes)]
            return
        along_channels = attributes.get("axis") == 1
        if node.op_type == "Concat" and along_channels and len(self.parts) == 2 and list(node.input) == self.parts:
            self.parts = [node.output[0]]
            return
        if len(nodes) != len(self.parts):
            raise self._unfit(node, "it reads one column of two")
        if node.op_type == "Split" and along_channels and len(self.parts) == 1 and len(node.output) == 2:
            self.parts = list(node.output)
            return
        if any(_attributes(other) != attributes for other in nodes[1:]):
            raise self._unfit(node, "the two columns differ")
        self.parts = [other.output[0] for other in nodes]
        if node.op_type in ("Gemm", "MatMul"):
            self.steps.append(self._linear(nodes, attributes))
        elif node.op_type in AFFINE:
            self._elementwise(node)
        elif step := self._step(nodes, attributes):
            self.steps.append(step)

    def _step(self, nodes: list[Any], attributes: dict[str, Any]) -> Step | None:
        """Return the step of a node, or of equal nodes in both columns; None for one that changes nothing."""
        node, kind, name = nodes[0], nodes[0].op_type, _called(nodes[0])
        if kind == "Conv":
            return self._convolution(nodes, attributes)
        if kind in ACTIVATIONS:
            return Activation(name, ACTIVATIONS[kind])
        if kind == "LRN":
            size, alpha = attributes.get("size", 0), attributes.get("alpha", 1e-4)
            coefficients = (attributes.get("bias", 1.0), alpha / max(size, 1), attributes.get("beta", 0.75))
            return Lrn(name, size, *coefficients, columns=len(nodes))
        if kind == "MaxPool":
            size, stride, begin, end = self._window(node, attributes)
            up = bool(attributes.get("ceil_mode"))
            return Pool(name=name, size=size, stride=stride, padding=begin, end=end, up=up)
        if kind == "AveragePool" and self._window(node, attributes) != (1, 1, 0, 0):
            raise self._unfit(node, "a network here pools by maximum")
        if kind == "BatchNormalization":
            if len(nodes) != 1:
                raise self._unfit(node, "it normalizes one column of two")
            scale, shift, mean, variance = (self._tensor(node, at) for at in range(1, 5))
            # PyTorch adds 1e-5 to the variance; the file's own constant becomes part of it.
            variance = (variance.double() + attributes.get("epsilon", 1e-5) - 1e-5).float()
            return BatchNorm(name, scale, shift, mean, variance)
        if kind == "Dropout":
            ratio = attributes.get("ratio", 0.5)
            if len(node.input) > 1 and node.input[1] in self.file.constants:
                ratio = self._number(node, 1)
            return Dropout(name, round(float(ratio), 6))
        if kind not in (*NOTHING, "AveragePool"):
            raise self._unfit(node, "this kind of node does not fit into a network here")
        return None

    def _unfit(self, node: Any, why: str) -> InputError:
        return InputError(f"{self.file.path}: node {_called(node)}: {why}")

    def _constant(self, node: Any, at: int) -> np.ndarray:
        if len(node.input) <= at or node.input[at] not in self.file.constants:
            raise self._unfit(node, f"its input {at} is no constant")
        return self.file.constants[node.input[at]]

    def _number(self, node: Any, at: int) -> float:
        value = self._constant(node, at)
        if value.size != 1:
            raise self._unfit(node, f"its input {at} is {list(value.shape)}; a number is needed")
        return float(value.item())

    def _tensor(self, node: Any, at: int) -> Tensor:
        array = self._constant(node, at)
        if array.dtype.kind != "f":
            raise self._unfit(node, f"its weights are {array.dtype}; floating point is needed")
        return torch.from_numpy(np.array(array, np.float32))

    def _window(self, node: Any, attributes: dict[str, Any]) -> tuple[int, int, int, int]:
        """Return size, stride, padding at the top and left, and padding at the bottom and right."""
        auto = attributes.get("auto_pad", "NOTSET")
        if auto not in ("NOTSET", "VALID"):
            raise self._unfit(node, f"auto_pad {auto}; pads are needed")
        pads = attributes.get("pads", [0] * 4) if auto == "NOTSET" else [0] * 4
        sizes = list(attributes.get("kernel_shape", ())) or list(self._constant(node, 1).shape[2:])
        strides = list(attributes.get("strides", [1, 1]))
        square = all(len(pair) == 2 and pair[0] == pair[1] for pair in (sizes, strides))
        even = len(pads) == 4 and pads[0] == pads[1] and pads[2] == pads[3]
        if not square or not even or set(attributes.get("dilations", [1])) != {1}:
            raise self._unfit(node, "its window is not square, or dilated")
        return sizes[0], strides[0], pads[0], pads[2]

    def _convolution(self, nodes: list[Any], attributes: dict[str, Any]) -> Conv:
        size, stride, begin, end = self._window(nodes[0], attributes)
        groups = attributes.get("group", 1)
        if len(nodes) == 2 and groups != 1:
            raise self._unfit(nodes[0], f"{groups} groups inside a column")
        weights = [self._tensor(node, 1) for node in nodes]
        biases = [
            self._tensor(node, 2) if len(node.input) > 2 else torch.zeros(weight.shape[:1])
            for node, weight in zip(nodes, weights, strict=True)
        ]
        window = {"size": size, "stride": stride, "padding": begin, "end": end}
        weight, bias = self._joined(nodes, weights), self._joined(nodes, biases)
        return with_weights(Conv, _called(nodes[0]), weight, bias, columns=groups * len(nodes), **window)

    def _linear(self, nodes: list[Any], attributes: dict[str, Any]) -> Linear:
        """Return a fully connected layer; the Add behind a MatMul belongs to it, and the state moves on behind it."""
        weights, biases = [], []
        for column, node in enumerate(nodes):
            if node.input[0] in self.file.constants or attributes.get("transA"):
                raise self._unfit(node, "the layer's input must be its first factor, as it is")
            weight = self._tensor(node, 1)
            if weight.ndim != 2:
                raise self._unfit(node, f"its weights are {list(weight.shape)}; a matrix is needed")
            weight = (weight if attributes.get("transB") else weight.T).contiguous() * attributes.get("alpha", 1.0)
            bias = torch.zeros(len(weight))
            following = self.readers.get(node.output[0], [])
            if node.op_type == "Gemm" and len(node.input) > 2:
                bias = self._tensor(node, 2).flatten() * attributes.get("beta", 1.0)
            elif node.op_type == "MatMul" and len(following) == 1 and following[0].op_type == "Add":
                add = following[0]
                bias = self._tensor(add, 1 - list(add.input).index(self.parts[column]))
                self.parts[column] = add.output[0]
            weights.append(weight)
            biases.append(bias.flatten().expand(len(weight)) if bias.numel() == 1 else bias.flatten())
        step = with_weights(Linear, _called(nodes[0]), self._joined(nodes, weights), self._joined(nodes, biases))
        return step if len(nodes) == 1 else replace(step, columns=len(nodes), weight=torch.stack(weights))

    def _joined(self, nodes: list[Any], tensors: list[Tensor]) -> Tensor:
        """Join the tensors of the columns; InputError if they are not alike."""
        if len({tensor.shape for tensor in tensors}) != 1 or not tensors[0].ndim:
            raise self._unfit(nodes[0], "the two columns differ")
        return torch.cat(tensors)

    def _elementwise(self, node: Any) -> None:
        """Take in arithmetic with a constant: on the input, or the x (1 - p) of dropout at test."""
        at = 0 if node.input[0] in self.file.constants else 1
        value = self._constant(node, at).astype(np.float64)
        if self.steps:
            if node.op_type != "Mul" or value.size != 1 or not 0 < value.item() < 1:
                raise self._unfit(node, "arithmetic with a constant fits only before the first convolution")
            self.steps.append(Dropout(_called(node), round(1 - value.item(), 6), "mask"))
            return
        if at == 0 and node.op_type in ("Sub", "Div"):
            raise self._unfit(node, "a constant minus or divided by the image does not fit")
        self.prepares = True
        value, side = self._by_colour(node, value), self.shift.shape[1]
        if node.op_type in ("Mul", "Div"):
            if value.shape[1] != 1 or not np.isfinite(value).all() or not value.all():
                raise self._unfit(node, "its input is multiplied by more than one number a colour, or by 0")
            value = value if node.op_type == "Mul" else 1 / value
            self.factor, self.shift = self.factor * value, self.shift * value
        elif side == 1 or value.shape[1] in (1, side):
            self.shift = self.shift + (value if node.op_type == "Add" else -value)
        else:
            raise self._unfit(node, f"an image of {value.shape[1]} pixels behind one of {side}")

    def _by_colour(self, node: Any, value: np.ndarray) -> np.ndarray:
        """Return a constant, which is one number, one a colour or an image, as [3, 1, 1] or [3, S, S]."""
        shape = (1,) * (3 - value.ndim) + value.shape[-3:]
        if value.size != math.prod(shape) or shape[0] not in (1, 3) or shape[1] != shape[2]:
            raise self._unfit(node, f"its constant is {list(value.shape)}; a number, one a colour or an image fits")
        return np.broadcast_to(value.reshape(shape), (3, *shape[1:]))

    def _normalization(self, nodes: list[Any]) -> str:
        """Add x / (sums of squares)^beta as `alexnet export` writes it; returns the name of the tensor that it gives."""
        squares, out = sorted(nodes, key=lambda node: node.op_type != "Mul")
        x = self.parts[0]
        unknown = self._unfit(out, "normalization in a form that is not known here")
        try:
            # Backwards: out = x / sums^beta, or x / (root · √root), root = √sums, where beta is 0.75.
            power, beta = self.makers[out.input[1]], 0.75
            if list(squares.input) != [x, x] or out.input[0] != x:
                raise unknown
            if power.op_type == "Pow":
                sums, beta = self.makers[power.input[0]], self._number(power, 1)
            else:
                root, fourth = (self.makers[name] for name in power.input)
                sums = self.makers[root.input[0]]
                kinds = [node.op_type for node in (power, root, fourth)]
                if kinds != ["Mul", "Sqrt", "Sqrt"] or list(fourth.input) != list(root.output):
                    raise unknown
            if sums.op_type == "Conv" and sums.input[0] == squares.output[0]:
                weight, k = self._tensor(sums, 1), self._tensor(sums, 2)
                if not len(k) or weight.shape != (len(k), len(k), 1, 1):
                    raise unknown
                alpha = float(weight.max())
                n = max(1, 2 * int(weight[0].count_nonzero()) - 1)  # the first kernel has none before it
                for columns in (1, 2):
                    if len(k) % columns == 0 and torch.equal(weight, alpha * band(len(k), n, columns)):
                        self.steps.append(Lrn(_called(out), n, float(k[0]), alpha, beta, columns))
                        return str(out.output[0])
            scaled = self.makers[sums.input[0]]
            means = self.makers[scaled.input[0]]
        except (KeyError, ValueError, IndexError):
            raise unknown from None
        kinds = [node.op_type for node in (sums, scaled, means)]
        if kinds != ["Add", "Mul", "AveragePool"] or list(means.input) != list(squares.output):
            raise unknown
        window = list(_attributes(means).get("kernel_shape", ()))
        if window != [5, 5] or abs(self._number(scaled, 1) - 0.001) > 1e-8 or self._number(sums, 1) != 1:
            raise unknown
        self.steps.append(MapNorm(_called(out)))
        return str(out.output[0])
