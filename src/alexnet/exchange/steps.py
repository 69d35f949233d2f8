"""The steps of a network in their order, with their weights: what every file of others is read into."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.network.spec import MAX_WEIGHTS


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Sliding):
    """Max pooling."""


@dataclass(frozen=True)
class Activation:
    """An activation function."""

    name: str
    kind: Literal["relu", "tanh", "sigmoid"]


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


def convolution(
    name: str, weight: Tensor, bias: Tensor | None, size: int, stride: int, padding: int, end: int, columns: int
) -> Conv:
    """A convolution of a file; InputError, naming it, for weights of another shape, and for NaN among them."""
    weight, bias = _checked(name, weight, bias, 4)
    if weight.shape[2] != weight.shape[3]:
        raise InputError(f"{name}: its window is {weight.shape[2]}×{weight.shape[3]}; windows here are square")
    if weight.shape[2] != size:
        raise InputError(f"{name}: its window is {size}×{size}, its weights are {list(weight.shape)}")
    return Conv(
        name=name,
        width=len(weight),
        inputs=weight.shape[1],
        columns=columns,
        weight=weight,
        bias=bias,
        size=size,
        stride=stride,
        padding=padding,
        end=end,
    )


def linear(name: str, weight: Tensor, bias: Tensor | None) -> Linear:
    """A fully connected layer of a file; InputError as `convolution`."""
    weight, bias = _checked(name, weight, bias, 2)
    return Linear(name=name, width=len(weight), inputs=weight.shape[1], weight=weight, bias=bias)


def _checked(name: str, weight: Tensor, bias: Tensor | None, dimensions: int) -> tuple[Tensor, Tensor]:
    if weight.ndim != dimensions or 0 in weight.shape or weight.numel() > MAX_WEIGHTS:
        raise InputError(f"{name}: its weights are {list(weight.shape)}; {dimensions} dimensions are needed")
    bias = torch.zeros(len(weight)) if bias is None else bias
    if tuple(bias.shape) != (len(weight),):
        raise InputError(f"{name}: its biases are {list(bias.shape)}, its weights {list(weight.shape)}")
    for what, tensor in (("weights", weight), ("biases", bias)):
        check_finite(tensor, f"{name}: NaN or infinity is among its {what}")
    return weight.float(), bias.float()


def check_finite(tensor: Tensor, what: str) -> None:
    """InputError, beginning with `what`, if NaN or infinity is in a file's tensor."""
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"{what}; the file is damaged, or training failed")
