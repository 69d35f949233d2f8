"""The update rule (§5) on a GPU in one pass over memory (Triton): each of w, v, g read once, w and v written once.

Importing this needs Triton. The kernel also runs in Triton's interpreter on the CPU, which is how it is tested.
"""
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# (parameters of a kernel have Triton's types)

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 512
"""Weights to a block: one 16-byte load a thread from each of w and v, and no exchange between threads for the smaller types."""


@triton.jit
def _sgd(w, v, g, copy, rate, momentum, decay, size, COPY: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = tl.arange(0, BLOCK)
    inside = at < size - start
    lr = tl.load(rate)
    weight = tl.load(w + start + at, mask=inside)
    velocity = tl.load(v + start + at, mask=inside) * momentum
    velocity -= decay * lr * weight
    velocity -= lr * tl.load(g + start + at, mask=inside).to(tl.float32)
    weight += velocity
    tl.store(v + start + at, velocity, mask=inside)
    tl.store(w + start + at, weight, mask=inside)
    if COPY:
        tl.store(copy + start + at, weight.to(copy.dtype.element_ty), mask=inside)


def sgd_(
    w: Tensor, v: Tensor, g: Tensor, lr: Tensor, momentum: float, decay: float, copy: Tensor | None = None
) -> None:
    """v <- momentum v - decay lr w - lr g;  w <- w + v, in place, as `PaperSGD` does it.

    w, v float32; g float32, bfloat16 or float16, of the same shape; lr a float32 of no dimensions on the same device, so
    that a captured graph can be replayed with another rate. `copy`, of any floating type, becomes w, rounded: the weights
    that a network in bfloat16 computes with.
    """
    for tensor in (v, g, copy):
        if tensor is not None and tensor.shape != w.shape:
            raise ValueError(f"w is {list(w.shape)}, another of the tensors {list(tensor.shape)}")
    if w.dtype != torch.float32 or v.dtype != torch.float32 or lr.dtype != torch.float32 or lr.numel() != 1:
        raise ValueError("w, v and lr must be float32, and lr one number")
    if not (w.is_contiguous() or w.is_contiguous(memory_format=torch.channels_last)) or (
        v.stride() != w.stride() or (copy is not None and copy.stride() != w.stride())
    ):
        raise ValueError("w, v and the copy must lie in memory alike, without gaps")
    if g.stride() != w.stride():
        g = torch.empty_like(w, dtype=g.dtype).copy_(g)
    if w.numel():
        with torch.cuda.device_of(w):  # Triton starts kernels on the current device
            _sgd[(triton.cdiv(w.numel(), BLOCK),)](
                w, v, g, w if copy is None else copy, lr, momentum, decay, w.numel(), copy is not None, BLOCK
            )  # fmt: skip
