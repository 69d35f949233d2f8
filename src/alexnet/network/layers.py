"""The layers that PyTorch does not have, or has in another form."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.fast import float32_on_the_cpu
from alexnet.network import fused
from alexnet.network.convolution import Convolved
from alexnet.network.spec import LRN


class ColumnLinear(nn.Module):
    """A fully connected layer in which every column reads only its own part of the input.

    weight [columns, out / columns, in / columns], bias [out]; input [N, in] -> [N, out].
    """

    def __init__(self, inputs: int, units: int, columns: int) -> None:
        super().__init__()
        bound = math.sqrt(columns / inputs)
        self.weight = nn.Parameter(torch.empty(columns, units // columns, inputs // columns).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(units).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        columns, units, inputs = self.weight.shape
        parts = x.view(-1, columns, inputs)
        return torch.einsum("nci,cui->ncu", parts, self.weight).flatten(1) + self.bias


class Scale(nn.Module):
    """The input times a number: `network.input_scale`."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class Dropout(nn.Module):
    """A 0/1 mask in training and x (1 - p) at test: the paper's form, §4.2. (nn.Dropout is the inverted form.)"""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x * torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Convolution(nn.Conv2d):
    """A convolution whose last window may hang over the right and bottom edge, where it reads zeros.

    `overhang` is by how many pixels. 0 is the mean, because the mean has been subtracted (the 2012 program, layer 1).
    """

    def __init__(
        self, inputs: int, kernels: int, size: int, stride: int, padding: int, groups: int = 1, overhang: int = 0
    ) -> None:
        super().__init__(inputs, kernels, size, stride, padding, groups=groups)
        self.overhang = overhang

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", overhang={self.overhang}" if self.overhang else "")

    def forward(self, input: Tensor) -> Tensor:
        """input [N, inputs, H, W] -> [N, kernels, H', W']"""
        if self.overhang:
            input = F.pad(input, (0, self.overhang, 0, self.overhang))
        plain = self.padding_mode == "zeros" and self.dilation == (1, 1) and self.bias is not None
        trains = torch.is_grad_enabled() and self.weight.requires_grad
        channels_last = input.is_contiguous(memory_format=torch.channels_last)
        if plain and trains and channels_last and float32_on_the_cpu(input):
            padding = int(self.padding[0])
            return Convolved.apply(input, self.weight, self.bias, self.stride[0], padding, self.groups)
        return super().forward(input)


class LocalResponseNormalization(nn.Module):
    """`fused.local_response_normalization` as a layer (§3.3)."""

    def __init__(self, lrn: LRN = LRN(), columns: int = 1) -> None:
        super().__init__()
        self.lrn, self.columns = lrn, columns

    def forward(self, x: Tensor) -> Tensor:
        return fused.local_response_normalization(x, self.lrn, self.columns)

    def extra_repr(self) -> str:
        lrn = self.lrn
        return f"n={lrn.n}, k={lrn.k}, alpha={lrn.alpha:g}, beta={lrn.beta}, columns={self.columns}"


class MapNormalization(nn.Module):
    """`fused.map_normalization` as a layer: the second normalization of the 2012 program's layer 2."""

    def forward(self, x: Tensor) -> Tensor:
        return fused.map_normalization(x)


def through(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """x after all these layers; ReLU, normalization and pooling that follow each other are one pass over memory.

    A layer with a hook gets and gives what is its own, and so does one of another class than these.
    """
    layers = list(layers)
    while layers:
        relu = type(layers[0]) is nn.ReLU
        norm = next((layer for layer in layers[relu:][:1] if type(layer) is LocalResponseNormalization), None)
        steps = relu + (norm is not None)
        pool = next((layer for layer in layers[steps:][:1] if type(layer) is nn.MaxPool2d), None)
        pooled = None
        if steps and pool and not any(_watched(layer) for layer in layers[: steps + 1]):
            pooled = fused.relu_lrn_pool(x, relu, norm.lrn if norm else None, norm.columns if norm else 1, pool)
        x, layers = (layers[0](x), layers[1:]) if pooled is None else (pooled, layers[steps + 1 :])
    return x


def _watched(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)
