"""The matrix products of the fully connected layers, on the CPU by oneDNN, which also computes the convolutions.

PyTorch gives float32 products to MKL, which keeps to half of an AMD processor's vector width; oneDNN does not
(benchmarks/training_step.py measures both).
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.fast import float32_on_the_cpu


def _times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [N, in] · weight [out, in]ᵀ + bias"""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@cache
def _available() -> bool:
    """Whether this build of PyTorch has that operation: one for 64-bit x86 has."""
    try:
        x, weight = torch.ones(2, 3, device="cpu"), torch.ones(4, 3, device="cpu")
        return torch.equal(_times(x, weight), torch.full((2, 4), 3.0, device="cpu"))
    except (AttributeError, RuntimeError):
        return False


def _fast(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN multiplies these: float32 on the CPU, of shapes that go together, none of them empty."""
    alike = x.ndim == 2 and x.shape[1] == weight.shape[1] and weight.dtype == torch.float32
    return alike and x.numel() > 0 and float32_on_the_cpu(x) and _available()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [N, in] · weight [out, in]ᵀ + bias [out], by whichever library multiplies faster here; without a gradient."""
    return _times(x.contiguous(), weight.contiguous(), bias) if _fast(x, weight) else F.linear(x, weight, bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _times(gradient, weight.t()) if wanted[0] else None,
            _times(gradient.t(), x.t()) if wanted[1] else None,
            gradient.sum(dim=0) if wanted[2] else None,
        )


class Linear(nn.Linear):
    """`nn.Linear`, by whichever library multiplies faster here; can be differentiated once.

    Float32 weights make float32 of a bf16 input, so that a layer may be more precise than those before it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """input [N, in] -> [N, out]"""
        finer = input.dtype == torch.bfloat16 and self.weight.dtype == torch.float32
        if finer and not torch.is_autocast_enabled(input.device.type):
            input = input.float()
        if _fast(input, self.weight):
            return _Product.apply(input, self.weight, self.bias)
        return F.linear(input, self.weight, self.bias)
