"""Training batches on a GPU in one pass over memory (Triton): from uint8 images to the network's input (§4.1).

Each byte of a crop is read once and each number of the result written once; the mean image stays in the cache.
Importing this needs Triton. The kernel also runs in Triton's interpreter on the CPU, which is how it is tested.
"""
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disable-error-code="assignment,var-annotated"
# (parameters of a kernel have Triton's types)

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS, LINES = 256, 8
"""A block is a part of some lines of a crop: numbers of a line, three a pixel, two a thread; and lines, over which what depends
on the column alone is computed once. 224 x 224 is 3 x 28 blocks."""


@triton.jit
def _augment(
    images, indices, top, left, flip, mean, noise, out, divisor,
    S: tl.constexpr, C: tl.constexpr, MEAN_C: tl.constexpr, MEAN_Y: tl.constexpr, MEAN_X: tl.constexpr,
    INDEXED: tl.constexpr, OWN_MEAN: tl.constexpr, NOISE: tl.constexpr, DIVIDE: tl.constexpr,
    COLUMNS: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """out [N, C, C, 3] from images [M, S, S, 3] and mean, [3, S, S] if OWN_MEAN, else [3, C, C], with its strides.

    Neighbouring threads have neighbouring numbers, of the crop and of the result, so that memory is passed over as it lies.
    """
    n = tl.program_id(1).to(tl.int64)
    parts: tl.constexpr = (3 * C + COLUMNS - 1) // COLUMNS
    column = (tl.program_id(0) % parts) * COLUMNS + tl.arange(0, COLUMNS)
    line = (tl.program_id(0) // parts) * LINES
    in_line = column < 3 * C
    x, c = column // 3, column % 3
    x = tl.where(tl.load(flip + n) != 0, C - 1 - x, x)
    first, before = tl.load(top + n) + line, tl.load(left + n)
    image = n
    if INDEXED:
        image = tl.load(indices + n).to(tl.int64)
    images += image * (S * S * 3) + (first * S + before) * 3
    mean += (first * MEAN_Y + before * MEAN_X) if OWN_MEAN else line * MEAN_Y
    out += n * (C * C * 3) + line * (C * 3)
    if NOISE:
        colour = tl.load(noise + n * 3 + c)
    pixels, means = (), ()
    for i in tl.static_range(LINES):  # all before the first use, as much of memory's time passes at once
        inside = in_line & (line + i < C)
        pixels = pixels + (tl.load(images + i * S * 3 + x * 3 + c, mask=inside, other=0),)
        means = means + (tl.load(mean + i * MEAN_Y + x * MEAN_X + c * MEAN_C, mask=inside, other=0.0),)
    for i in tl.static_range(LINES):
        value = pixels[i].to(tl.float32) - means[i]
        if NOISE:
            value += colour
        if DIVIDE:
            value = value / divisor
        tl.store(out + i * C * 3 + column, value.to(out.dtype.element_ty), mask=in_line & (line + i < C))


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
            _augment[(triton.cdiv(3 * size, COLUMNS) * triton.cdiv(size, LINES), number)](
                images, top if indices is None else indices, top.contiguous(), left.contiguous(), flip.contiguous(),
                mean, mean if noise is None else noise.contiguous(), out, float(divide), side, size, *mean.stride(),
                indices is not None, mean.shape[-1] == side, noise is not None, divide != 1, COLUMNS, LINES,
            )  # fmt: skip
    return out
