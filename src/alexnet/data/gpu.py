"""Training batches on a GPU in one pass over memory (Triton): from uint8 images to the network's input (§4.1).

Each byte of a crop is read once and each number of the result written once; the mean image stays in the cache.
Importing this needs Triton. The kernel also runs in Triton's interpreter on the CPU, which is how it is tested.
"""
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# (parameters of a kernel have Triton's types)

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 512
"""Pixels to a block, four a thread; 224 x 224 is 98 blocks exactly."""


@triton.jit
def _augment(
    images, indices, top, left, flip, mean, noise, out, divisor,
    S: tl.constexpr, C: tl.constexpr,
    INDEXED: tl.constexpr, OWN_MEAN: tl.constexpr, NOISE: tl.constexpr, DIVIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out [N, C, C, 3] from images [M, S, S, 3] and mean, [3, S, S] if OWN_MEAN, else [3, C, C]; a pixel a thread."""
    n = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < C * C
    y, x = pixel // C, pixel % C
    x = tl.where(tl.load(flip + n) != 0, C - 1 - x, x)
    begin = tl.load(top + n) * S + tl.load(left + n)
    which = n
    if INDEXED:
        which = tl.load(indices + n).to(tl.int64)
    images += which * (S * S * 3) + begin * 3
    out += n * (C * C * 3)
    side: tl.constexpr = S if OWN_MEAN else C
    if OWN_MEAN:
        mean += begin
    for c in tl.static_range(3):
        value = tl.load(images + (y * S + x) * 3 + c, mask=inside, other=0).to(tl.float32)
        value -= tl.load(mean + (y * side + x) + c * side * side, mask=inside, other=0.0)
        if NOISE:
            value += tl.load(noise + n * 3 + c)
        if DIVIDE:
            value = value / divisor
        tl.store(out + pixel * 3 + c, value.to(out.dtype.element_ty), mask=inside)


def augment(
    images: Tensor,
    indices: Tensor | None,
    top: Tensor,
    left: Tensor,
    flip: Tensor,
    mean: Tensor,
    noise: Tensor | None,
    divide: float,
    size: int,
    out_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """(crop - mean, mirrored where `flip`, + noise) / divide: uint8 [M, S, S, 3] -> [N, 3, size, size], channels-last.

    indices [N] of the images, or None for all in their order (N = M); top, left [N] of the crops; flip bool [N]; mean
    float32 [3, S, S], of which a crop subtracts its own part, or [3, size, size], which all crops subtract; noise float32
    [N, 3]. The arithmetic is in float32 and rounded once, to `out_dtype`. Indices and crops are not checked: on the GPU
    that would wait for it.
    """
    number, side = len(top), images.shape[1]
    if images.dtype != torch.uint8 or images.shape[1:] != (side, side, 3) or not images.is_contiguous():
        raise ValueError(f"images are {images.dtype} {list(images.shape)}; uint8 [M, S, S, 3], contiguous, are needed")
    if mean.shape not in ((3, side, side), (3, size, size)) or size > side:
        raise ValueError(f"mean is {list(mean.shape)}; [3, {side}, {side}] or [3, {size}, {size}] is needed")
    out = torch.empty(
        number, 3, size, size, dtype=out_dtype, device=images.device, memory_format=torch.channels_last
    )  # fmt: skip
    if number:
        with torch.cuda.device_of(images):  # Triton starts kernels on the current device
            # An argument that a kernel does not read has to be some tensor still.
            _augment[(triton.cdiv(size * size, BLOCK), number)](
                images, top if indices is None else indices, top.contiguous(), left.contiguous(), flip.contiguous(),
                mean.contiguous(), mean if noise is None else noise.contiguous(), out, float(divide),
                side, size, indices is not None, mean.shape[-1] == side, noise is not None, divide != 1, BLOCK,
            )  # fmt: skip
    return out
