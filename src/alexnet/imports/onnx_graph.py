"""An ONNX graph of AlexNet's kind as steps: one chain of nodes, or two where it has two columns.

The walk keeps the names of the tensors that hold the network's state, one, or one a column. Files of `alexnet export` are
read with all that is theirs: the mean inside, columns as two chains, normalization made of elementary nodes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.imports.onnx_file import Opened, attributes, called
from alexnet.imports.steps import Activation, BatchNorm, Conv, Dropout, Linear, Lrn, MapNorm, Pool, Step, weighted
from alexnet.network.normalization import band

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
NOTHING = ("Flatten", "Reshape", "Squeeze", "Identity")
"""Nodes that change no number of a chain that ends in vectors."""

AFFINE = ("Sub", "Add", "Mul", "Div")


@dataclass(frozen=True)
class Graph:
    """The steps of a graph; what it does to its input before conv1, factor · x + shift; the tensor that has the logits."""

    steps: list[Step]
    factor: np.ndarray
    """[3]"""
    shift: np.ndarray
    """[3] or [3, S, S]"""
    prepares: bool
    """Whether there were nodes for that."""
    logits: str


def graph_of(of: Opened) -> Graph:
    """Follow the graph from its input to its logits. InputError, naming the node, for what does not fit a network here."""
    return _Walk(of).go()


class _Walk:
    def __init__(self, of: Opened) -> None:
        self.of, self.constants = of, of.constants
        self.readers: dict[str, list[Any]] = {}
        for node in of.model.graph.node:
            for name in set(node.input):
                self.readers.setdefault(name, []).append(node)
        self.parts = [of.input]
        self.steps: list[Step] = []
        self.factor, self.shift, self.prepares = np.ones(1), np.zeros(1), False

    def go(self) -> Graph:
        for _ in range(len(self.of.model.graph.node) + 1):
            nodes = self._next()
            if not nodes or nodes[0].op_type in ("Softmax", "LogSoftmax"):
                return self._end()
            self._take(nodes)
        raise InputError(f"{self.of.path}: its nodes go in a circle")

    def _end(self) -> Graph:
        if len(self.parts) != 1:
            raise InputError(f"{self.of.path}: it ends in {len(self.parts)} tensors")
        factor, shift = self.factor.reshape(-1), self.shift
        if not np.isfinite(factor).all() or len(factor) not in (1, 3) or (factor == 0).any():
            raise InputError(
                f"{self.of.path}: its input is multiplied by {self.factor.shape}; one number a colour fits"
            )
        shift = shift.reshape(shift.shape[-3:]) if shift.ndim > 3 else shift
        shift = np.broadcast_to(shift, (3, *shift.shape[-2:])) if shift.ndim == 3 else np.broadcast_to(shift, (3, 1, 1))
        shift = shift.reshape(3) if shift.shape == (3, 1, 1) else shift
        return Graph(self.steps, np.broadcast_to(factor, 3), shift, self.prepares, self.parts[0])

    def _next(self) -> list[Any]:
        """The nodes that read the state: one, or one a column."""
        found: list[Any] = []
        for part in self.parts:
            readers = [node for node in self.readers.get(part, []) if node.op_type != "Shape"]
            if {node.op_type for node in readers} == {"Mul", "Div"} and len(readers) == 2 and len(self.parts) == 1:
                return readers  # normalization from elementary nodes
            if len(readers) > 1:
                names = ", ".join(called(node) for node in readers)
                raise InputError(f"{self.of.path}: {part} is read by {names}; only chains of nodes fit")
            found += [node for node in readers if node not in found]
        if len({node.op_type for node in found}) > 1 or (found and len(found) not in (1, len(self.parts))):
            raise InputError(f"{self.of.path}: {', '.join(map(called, found))}: the two columns differ")
        return found

    def _take(self, nodes: list[Any]) -> None:
        node = nodes[0]
        kind, how = node.op_type, attributes(node)
        if len(nodes) == 2 and len(self.parts) == 1:
            self.parts = [self._normalization(nodes)]
            return
        if kind == "Concat" and len(self.parts) == 2 and list(node.input) == self.parts and how.get("axis") == 1:
            self.parts = [node.output[0]]
            return
        if len(nodes) != len(self.parts):
            raise self._unfit(node, "it reads one column of two")
        if kind == "Split" and len(self.parts) == 1 and len(node.output) == 2 and how.get("axis") == 1:
            self.parts = list(node.output)
            return
        same = [attributes(other) == how for other in nodes[1:]]
        if not all(same):
            raise self._unfit(node, "the two columns differ")
        skipped = 0
        if kind == "Conv":
            self.steps.append(self._convolution(nodes, how))
        elif kind in ("Gemm", "MatMul"):
            step, skipped = self._linear(nodes, how)
            self.steps.append(step)
        elif kind in ACTIVATIONS:
            self.steps.append(Activation(called(node), ACTIVATIONS[kind]))  # type: ignore[arg-type]
        elif kind == "LRN":
            size = how["size"]
            alpha = how.get("alpha", 1e-4) / max(size, 1)
            columns = len(self.parts)
            self.steps.append(Lrn(called(node), size, how.get("bias", 1.0), alpha, how.get("beta", 0.75), columns))
        elif kind == "MaxPool":
            size, stride, begin, end = self._window(node, how)
            self.steps.append(Pool(called(node), size, stride, begin, end, bool(how.get("ceil_mode"))))
        elif kind == "AveragePool":
            if self._window(node, how) != (1, 1, 0, 0):
                raise self._unfit(node, "a network here pools by maximum")
        elif kind == "BatchNormalization":
            self.steps.append(self._batch_normalization(node, how))
        elif kind == "Dropout":
            ratio = (
                self.constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else how.get("ratio", 0.5)
            )
            self.steps.append(Dropout(called(node), round(float(ratio if ratio is not None else 0.5), 6)))
        elif kind in AFFINE:
            self._elementwise(node)
        elif kind not in NOTHING:
            raise self._unfit(node, "this kind of node does not fit into a network here")
        self.parts = [other.output[0] for other in nodes]
        for _ in range(skipped):
            self.parts = [self.readers[part][0].output[0] for part in self.parts]

    def _unfit(self, node: Any, why: str) -> InputError:
        return InputError(f"{self.of.path}: node {called(node)}: {why}")

    def _constant(self, node: Any, at: int) -> np.ndarray:
        if len(node.input) <= at or node.input[at] not in self.constants:
            raise self._unfit(node, f"its input {at} is no constant")
        return self.constants[node.input[at]]

    def _tensor(self, node: Any, at: int) -> Tensor:
        array = self._constant(node, at)
        if array.dtype.kind != "f":
            raise self._unfit(node, f"its weights are {array.dtype}; floating point is needed")
        return torch.from_numpy(np.array(array, np.float32))

    def _window(self, node: Any, how: dict[str, Any]) -> tuple[int, int, int, int]:
        """Size, stride, padding at the top and left, padding at the bottom and right."""
        if how.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise self._unfit(node, f"auto_pad {how['auto_pad']}; pads are needed")
        pads = how.get("pads", [0, 0, 0, 0]) if how.get("auto_pad") != "VALID" else [0, 0, 0, 0]
        sizes = list(how.get("kernel_shape", ())) or list(self._constant(node, 1).shape[2:])
        strides = how.get("strides", [1, 1])
        square = all(len(pair) == 2 and pair[0] == pair[1] for pair in (sizes, strides))
        if (
            not square
            or len(pads) != 4
            or pads[0] != pads[1]
            or pads[2] != pads[3]
            or set(how.get("dilations", [1])) != {1}
        ):
            raise self._unfit(node, "its window is not square, or dilated")
        return sizes[0], strides[0], pads[0], pads[2]

    def _convolution(self, nodes: list[Any], how: dict[str, Any]) -> Conv:
        size, stride, begin, end = self._window(nodes[0], how)
        groups = how.get("group", 1)
        if len(nodes) == 2 and groups != 1:
            raise self._unfit(nodes[0], f"{groups} groups inside a column")
        weight = torch.cat([self._tensor(node, 1) for node in nodes])
        biases = [
            self._tensor(node, 2) if len(node.input) > 2 else torch.zeros(self._tensor(node, 1).shape[0])
            for node in nodes
        ]
        made: Conv = weighted(
            Conv,
            called(nodes[0]),
            weight,
            torch.cat(biases),
            stride=stride,
            padding=begin,
            end=end,
            groups=groups * len(nodes),
        )
        if made.size != size:
            raise self._unfit(nodes[0], f"its window is {size}, its weights are {list(weight.shape)}")
        return made

    def _linear(self, nodes: list[Any], how: dict[str, Any]) -> tuple[Linear, int]:
        """The layer, and how many nodes behind these belong to it: the Add of a MatMul."""
        weights, biases, skipped = [], [], 0
        for node in nodes:
            if node.input[0] not in self.parts or how.get("transA"):
                raise self._unfit(node, "the layer's input must be its first factor, as it is")
            weight = self._tensor(node, 1)
            if weight.ndim != 2:
                raise self._unfit(node, f"its weights are {list(weight.shape)}; a matrix is needed")
            weight = (weight if how.get("transB") else weight.T).contiguous() * how.get("alpha", 1.0)
            bias = torch.zeros(len(weight))
            if node.op_type == "Gemm" and len(node.input) > 2:
                bias = self._tensor(node, 2).flatten().expand(len(weight)) * how.get("beta", 1.0)
            following = self.readers.get(node.output[0], [])
            if node.op_type == "MatMul" and len(following) == 1 and following[0].op_type == "Add":
                add, skipped = following[0], 1
                bias = self._tensor(add, 1 - list(add.input).index(node.output[0])).flatten()
            weights.append(weight)
            biases.append(bias)
        columns = len(nodes)
        made: Linear = weighted(Linear, called(nodes[0]), torch.cat(weights), torch.cat(biases))
        if columns == 1:
            return made, skipped
        weight = torch.stack(weights)
        return Linear(made.name, made.units, columns * made.inputs, columns, weight, made.bias), skipped

    def _batch_normalization(self, node: Any, how: dict[str, Any]) -> BatchNorm:
        if len(self.parts) != 1:
            raise self._unfit(node, "it normalizes one column of two")
        scale, shift, mean, variance = (self._tensor(node, at) for at in range(1, 5))
        # PyTorch adds 1e-5 to the variance; the file's own constant becomes part of it.
        variance = variance.double() + how.get("epsilon", 1e-5) - 1e-5
        return BatchNorm(called(node), scale, shift, mean, variance.float())

    def _elementwise(self, node: Any) -> None:
        """Arithmetic with a constant: on the input, or the x (1 - p) of dropout at test."""
        at = 1 if node.input[0] in self.parts else 0
        value = self._constant(node, at).astype(np.float64)
        if not self.steps:
            if at == 0 and node.op_type in ("Sub", "Div"):
                raise self._unfit(node, "a constant minus or divided by the image does not fit")
            if node.op_type in ("Mul", "Div"):
                value = value if node.op_type == "Mul" else 1 / value
                self.factor, self.shift = self.factor * value, self.shift * value
            else:
                self.shift = self.shift + (value if node.op_type == "Add" else -value)
            self.prepares = True
        elif node.op_type == "Mul" and value.size == 1 and 0 < value.item() < 1:
            self.steps.append(Dropout(called(node), round(1 - value.item(), 6), "mask"))
        else:
            raise self._unfit(node, "arithmetic with a constant fits only before the first convolution")

    def _normalization(self, nodes: list[Any]) -> str:
        """x / (sums of squares)^(3/4) as `alexnet export` writes it; returns the name of what it gives."""
        x = self.parts[0]
        squares, out = sorted(nodes, key=lambda node: node.op_type != "Mul")
        wrong = self._unfit(out, "normalization in a form that is not known here")
        if list(squares.input) != [x, x] or out.input[0] != x:
            raise wrong
        node, chain = squares, []
        for _ in range(4):
            readers = self.readers.get(node.output[0], [])
            if not readers or node.op_type == "Sqrt":
                break
            node = readers[0]
            chain.append(node)
        kinds = [node.op_type for node in chain]
        root = chain[-1].output[0] if chain else ""
        fourth = [node.output[0] for node in self.readers.get(root, []) if node.op_type == "Sqrt"]
        product = [
            node for node in self.readers.get(root, []) if node.op_type == "Mul" and fourth and fourth[0] in node.input
        ]
        if not product or product[0].output[0] != out.input[1]:
            raise wrong
        if kinds == ["Conv", "Sqrt"]:
            sums, k = self._tensor(chain[0], 1), self._tensor(chain[0], 2)
            alpha = float(sums.max())
            for columns in (1, 2):
                if len(sums) % columns == 0 and torch.equal(sums, alpha * band(len(sums), 5, columns)):
                    self.steps.append(Lrn(called(out), 5, float(k[0]), alpha, 0.75, columns))
                    return out.output[0]
        elif kinds == ["AveragePool", "Mul", "Add", "Sqrt"]:
            alpha, one = float(self._constant(chain[1], 1)), float(self._constant(chain[2], 1))
            if list(attributes(chain[0]).get("kernel_shape", ())) == [5, 5] and abs(alpha - 0.001) < 1e-8 and one == 1:
                self.steps.append(MapNorm(called(out)))
                return out.output[0]
        raise wrong
