"""A convolution with an overhanging window, and a cheaper gradient of its biases on the CPU (benchmarks/convolutions.py)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.parallel import float32_on_the_cpu


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
            return _Convolved.apply(input, self.weight, self.bias, self.stride[0], padding, self.groups)
        return super().forward(input)


class _Convolved(torch.autograd.Function):
    """conv2d, whose biases' gradient is summed apart: asked for both at once, oneDNN takes the longer for the weights'."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = [stride, stride], [padding, padding], [1, 1], False, [0, 0], groups
        return F.conv2d(x, weight, bias, stride, padding, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(gradient, x, weight, None, *ctx.how, wanted)
        of_bias = gradient.permute(0, 2, 3, 1).flatten(1, 2).sum(1).sum(0) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None, None, None
