"""A convolution with a cheaper gradient of its biases on the CPU (benchmarks/convolutions.py)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class Convolved(torch.autograd.Function):
    """conv2d, whose biases' gradient is summed apart: asked for both at once, oneDNN takes the longer for the weights'."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = [stride, stride], [padding, padding], [1, 1], False, [0, 0], groups
        return F.conv2d(x, weight, bias, stride, padding, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        x_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, *ctx.geometry, wanted
        )
        bias_gradient = gradient.permute(0, 2, 3, 1).flatten(1, 2).sum(1).sum(0) if ctx.needs_input_grad[2] else None
        return x_gradient, weight_gradient, bias_gradient, None, None, None
