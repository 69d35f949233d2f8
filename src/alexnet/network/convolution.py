"""A convolution with an overhanging window, and what makes its gradients cheaper on the CPU (benchmarks/convolutions.py)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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
        assert self.bias is not None
        stride, padding = self.stride[0], int(self.padding[0])
        trains = torch.is_grad_enabled() and self.weight.requires_grad and _for_the_cpu(input)
        if trains and stride > 1 and self.groups == 1 and self.in_channels == 3 and not input.requires_grad:
            output = (input.shape[2] + self.overhang + 2 * padding - self.kernel_size[0]) // stride + 1
            images = in_blocks(input, stride, padding, output - 1 + -(-self.kernel_size[0] // stride))
            return _Convolved.apply(images, weight_for_blocks(self.weight, stride), self.bias, 1, 0, 1)
        if self.overhang:
            input = F.pad(input, (0, self.overhang, 0, self.overhang))
        if trains:
            return _Convolved.apply(input, self.weight, self.bias, stride, padding, self.groups)
        return super().forward(input)


def _for_the_cpu(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.shape[2] == x.shape[3]
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def in_blocks(images: Tensor, side: int, padding: int, blocks: int) -> Tensor:
    """[N, C, S, S] -> [N, side · side · C, blocks, blocks]: each square of side x side pixels becomes one position.

    A convolution of stride `side` over pixels is one of stride 1 over such blocks. With three channels the processor's
    vectors are nearly empty, with 48 they are full: half the time for the gradient of conv1's weights.
    """
    number, channels, size, _ = images.shape
    more = blocks * side - padding - size  # below 0 where the last pixels go unread
    pixels = F.pad(images, (padding, more, padding, more)).permute(0, 2, 3, 1)
    rows = pixels.reshape(number, blocks, side, blocks, side * channels)
    if side * channels % 4 == 0:  # four numbers are moved at once, as one of the largest type that there is
        rows = rows.view(torch.complex128)
    cut = rows.transpose(2, 3).contiguous().view(number, blocks, blocks, -1)
    return cut.view(images.dtype).permute(0, 3, 1, 2)


def weight_for_blocks(weight: Tensor, side: int) -> Tensor:
    """[K, C, k, k] -> [K, side · side · C, k', k']: the same kernels over what `in_blocks` makes, k' being k / side, up."""
    kernels, channels, size, _ = weight.shape
    blocks = -(-size // side)
    more = blocks * side - size
    whole = F.pad(weight, (0, more, 0, more)).reshape(kernels, channels, blocks, side, blocks, side)
    return whole.permute(0, 2, 4, 3, 5, 1).reshape(kernels, blocks, blocks, -1).permute(0, 3, 1, 2)


class _Convolved(torch.autograd.Function):
    """conv2d; its biases' gradient is summed apart, which takes a quarter of the time that oneDNN takes over it."""

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
        return of_x, of_weight, gradient.permute(0, 2, 3, 1).flatten(1, 2).sum(1).sum(0), None, None, None
