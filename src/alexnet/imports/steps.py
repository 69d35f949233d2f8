"""What every file of others is read into: the steps of its network in their order, with their weights."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.network.spec import MAX_WEIGHTS


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution. weight [kernels, channels / groups, size, size] and bias [kernels], where the file has weights."""

    name: str
    kernels: int
    inputs: int
    """Channels that one kernel reads."""
    size: int
    stride: int = 1
    padding: int = 0
    """Zeros at the top and left."""
    end: int = 0
    """Zeros at the bottom and right."""
    groups: int = 1
    up: bool = False
    """Whether the number of windows is rounded up, the last one reading zeros beyond the map."""
    weight: Tensor | None = None
    bias: Tensor | None = None
    std: float = 0.01
    start: float = 0.0
    """What the biases start from in training."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A fully connected layer. weight [units, inputs] or, in two columns, [2, units / 2, inputs / 2]; bias [units]."""

    name: str
    units: int
    inputs: int
    """-1: as many as there are, in a file without weights."""
    columns: int = 1
    weight: Tensor | None = None
    bias: Tensor | None = None
    std: float = 0.01
    start: float = 0.0


@dataclass(frozen=True)
class Activation:
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
    name: str
    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    """With what PyTorch adds to it, 1e-5, taken off."""


@dataclass(frozen=True)
class Pool:
    """Max pooling; `end` and `up` as in Conv."""

    name: str
    size: int
    stride: int
    padding: int = 0
    end: int = 0
    up: bool = False


@dataclass(frozen=True)
class Dropout:
    name: str
    p: float
    form: Literal["mask", "inverted"] = "inverted"


Step = Conv | Linear | Activation | Lrn | MapNorm | BatchNorm | Pool | Dropout


def weighted(kind: type, name: str, weight: Tensor, bias: Tensor | None, **how: Any) -> Any:
    """A Conv or Linear with these weights, looked through: InputError, naming the layer, for NaN or a wrong shape."""
    dimensions = 4 if kind is Conv else 2
    if weight.ndim != dimensions or 0 in weight.shape or weight.numel() > MAX_WEIGHTS:
        raise InputError(f"{name}: its weights are {list(weight.shape)}; {dimensions} dimensions are needed")
    if kind is Conv and weight.shape[2] != weight.shape[3]:
        raise InputError(f"{name}: its window is {weight.shape[2]}×{weight.shape[3]}; windows here are square")
    if bias is None:
        bias = torch.zeros(len(weight))
    if tuple(bias.shape) != (len(weight),):
        raise InputError(f"{name}: its biases are {list(bias.shape)}, its weights {list(weight.shape)}")
    for what, tensor in (("weights", weight), ("biases", bias)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name}: NaN or infinity is among its {what}; the file is damaged, or training failed")
    sizes = {"kernels": len(weight), "inputs": weight.shape[1], "size": weight.shape[2]} if kind is Conv else {}
    if kind is Linear:
        sizes = {"units": len(weight), "inputs": weight.shape[1]}
    assert set(how) <= {field.name for field in fields(kind)}
    return kind(name, **sizes, weight=weight.float(), bias=bias.float(), **how)
