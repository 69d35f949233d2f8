"""The steps of a network in their order, with their weights; files of all kinds are read into them."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.network.spec import MAX_WEIGHTS

Kind = Literal["relu", "tanh", "sigmoid"]
"""The kind of an activation function."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted:
    """A layer with weights; `weight` and `bias` are None where the file has none."""

    name: str
    width: int
    """Kernels or units."""
    inputs: int
    """Channels, or numbers, that one of them reads; -1: as many as there are, in a file without weights."""
    columns: int = 1
    """Parts of the input, each read by its part of the kernels or units."""
    weight: Tensor | None = None
    bias: Tensor | None = None
    """[width]"""
    std: float = 0.01
    start: float = 0.0
    """What the biases start from in training."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sliding:
    """A layer whose square window moves over a map."""

    name: str
    size: int
    stride: int = 1
    padding: int = 0
    """Zeros at the top and left."""
    end: int = 0
    """Zeros at the bottom and right."""
    up: bool = False
    """Whether the number of windows is rounded up, the last one reading beyond the map."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Weighted, Sliding):
    """A convolution: weight [kernels, channels / columns, size, size]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Weighted):
    """A fully connected layer: weight [units, inputs] or, in two columns, [2, units / 2, inputs]."""


W = TypeVar("W", Conv, Linear)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Sliding):
    """Max pooling."""


@dataclass(frozen=True)
class Activation:
    """An activation function."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Lrn:
    """x · (k + alpha · sum of squares over `size` kernels)^-beta, §3.3; `columns` 2: the window stays in its column."""

    name: str
    size: int
    k: float
    alpha: float
    beta: float
    columns: int = 1


@dataclass(frozen=True)
class MapNorm:
    """The second normalization of the 2012 program: 5x5 pixels of the same map."""

    name: str


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch normalization; `variance` without the 1e-5 that PyTorch adds to it."""

    name: str
    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Dropout:
    """Dropout with probability `p`, in one of the two forms of `Network.dropout_form`."""

    name: str
    p: float
    form: Literal["mask", "inverted"] = "inverted"


Step = Conv | Linear | Activation | Lrn | MapNorm | BatchNorm | Pool | Dropout


def with_weights(kind: type[W], name: str, weight: Tensor, bias: Tensor | None, **fields: int) -> W:
    """Return a layer with the weights of a file; biases that are not there are zeros.

    InputError, naming the layer, for weights of another shape than `fields` say, and for NaN among them.
    """
    dimensions = 4 if kind is Conv else 2
    if weight.ndim != dimensions or 0 in weight.shape or weight.numel() > MAX_WEIGHTS:
        raise InputError(f"{name}: its weights are {list(weight.shape)}; {dimensions} dimensions are needed")
    bias = torch.zeros(len(weight)) if bias is None else bias
    if tuple(bias.shape) != (len(weight),):
        raise InputError(f"{name}: its biases are {list(bias.shape)}, its weights {list(weight.shape)}")
    for part, tensor in (("weights", weight), ("biases", bias)):
        check_finite(tensor, f"{name}: NaN or infinity is among its {part}")
    if kind is Conv and weight.shape[2] != weight.shape[3]:
        raise InputError(f"{name}: its window is {weight.shape[2]}×{weight.shape[3]}; windows here are square")
    if kind is Conv and weight.shape[2] != fields["size"]:
        raise InputError(
            f"{name}: its window is {fields['size']}×{fields['size']}, its weights are {list(weight.shape)}"
        )
    shape: dict[str, Any] = {"width": len(weight), "inputs": weight.shape[1]} | fields
    return kind(name=name, weight=weight.float(), bias=bias.float(), **shape)


def check_finite(tensor: Tensor, message: str) -> None:
    """Raise InputError, beginning with `message`, if NaN or infinity is in a tensor of a file."""
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"{message}; the file is damaged, or training failed")
