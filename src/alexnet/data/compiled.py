"""Loops over pixels that numba compiles (extra `fast`); each gives the very bits of its plain form, which is tested.

The plain forms: `augment.plain_batch`, `image.plain_resize`, `statistics.products_of`.
"""

from functools import lru_cache

import numpy as np

from alexnet.bf16 import rounded
from alexnet.fast import loop

BITS = 22  # of Pillow's fixed-point weights, Resample.c: 32 - 8 - 2
ROWS = 32  # of an image that are resized at once: their columns are vectors of the processor


@loop
def augment(
    mean: np.ndarray,
    divisor: np.float32,
    images: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    mean_top: np.ndarray,
    mean_left: np.ndarray,
    flip: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    """out [N, C, C, 3] = (crop of images [N, S, S, 3] - crop of mean [S, S, 3], mirrored where flip, + offset) / divisor.

    images uint8; mean and offsets [N, 3] float32; out float32 or bf16 (`alexnet.bf16`); top, left, mean_top, mean_left int64
    [N]; flip bool [N].
    """
    side = out.shape[1]
    offset, line = np.empty(3 * side, np.float32), np.empty(3 * side, np.float32)
    for n in range(len(images)):
        for i in range(3 * side):
            offset[i] = offsets[n, i % 3]
        for y in range(side):
            pixels = images[n, top[n] + y].reshape(-1)[3 * left[n] :]
            means = mean[mean_top[n] + y].reshape(-1)[3 * mean_left[n] :]
            target = out[n, y].reshape(-1)
            for i in range(3 * side):
                line[i] = np.float32(pixels[i]) - means[i] + offset[i]
            if divisor != 1:
                for i in range(3 * side):
                    line[i] /= divisor
            if not flip[n]:
                for i in range(3 * side):
                    target[i] = rounded(line[i], out)  # type: ignore[call-arg]
            else:
                for x in range(side):
                    for c in range(3):
                        target[3 * x + c] = rounded(line[3 * (side - 1 - x) + c], out)  # type: ignore[call-arg]


@loop
def products(pixels: np.ndarray) -> np.ndarray:
    """uint8 [N, 3] -> int64 [3, 3], the sums of R·R, R·G, ..."""
    total = np.zeros((3, 3), np.int64)
    for start in range(0, len(pixels), 1 << 14):  # so many squares of 255 fit 32 bits
        rr = rg = rb = gg = gb = bb = np.uint32(0)
        for n in range(start, min(start + (1 << 14), len(pixels))):
            r, g, b = np.uint32(pixels[n, 0]), np.uint32(pixels[n, 1]), np.uint32(pixels[n, 2])
            rr += r * r
            rg += r * g
            rb += r * b
            gg += g * g
            gb += g * b
            bb += b * b
        total += np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]], np.int64)
    return total


def resize(pixels: np.ndarray, size: int, left: float, top: float, side: float) -> np.ndarray:
    """uint8 [H, W, 3] -> [size, size, 3]: the square at left, top by Pillow's bicubic filter, columns first, byte for byte."""
    height, width, _ = pixels.shape
    return _resize(np.ascontiguousarray(pixels), *_weights(width, left, side, size), *_weights(height, top, side, size))


@lru_cache(64)
def _weights(length: int, begin: float, side: float, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights that make `size` pixels of `side` of the `length` there are: first pixel, number, weights [size, K].

    As Pillow computes them (Resample.c, precompute_coeffs and normalize_coeffs_8bpc).
    """
    start, end = np.float32(begin), np.float32(begin + side)
    if start == 0 and end == size == length:  # nothing to do along this axis
        return np.arange(size), np.ones(size, np.int64), np.full((size, 1), 1 << BITS, np.int32)
    scale = float(end - start) / size
    stretch = max(scale, 1.0)
    support = 2.0 * stretch
    taps = int(np.ceil(support)) * 2 + 1
    centres = float(start) + (np.arange(size) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    number = np.minimum((centres + support + 0.5).astype(np.int64), length) - first
    x = np.abs((np.arange(taps) + first[:, None] - centres[:, None] + 0.5) * (1.0 / stretch))
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0)) * (np.arange(taps) < number[:, None])
    total = np.zeros(size)
    for tap in range(taps):  # one by one, as Pillow adds them
        total += weights[:, tap]
    weights = weights / total[:, None] * (1 << BITS)
    return first, number, np.trunc(weights + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)


@loop
def _resize(
    pixels: np.ndarray,
    x_first: np.ndarray,
    x_number: np.ndarray,
    x_weights: np.ndarray,
    y_first: np.ndarray,
    y_number: np.ndarray,
    y_weights: np.ndarray,
) -> np.ndarray:
    """Along the columns, rounded to uint8 as Pillow does between its passes, then along the rows."""
    size, half = len(x_first), np.int32(1 << (BITS - 1))
    left, right = x_first[0], x_first[-1] + x_number[-1]
    out = np.empty((size, size, 3), np.uint8)
    line = np.empty(3 * (right - left), np.int32)
    columns = np.zeros((right - left, 3 * ROWS), np.uint8)
    sums = np.empty(3 * ROWS, np.int32)
    for start in range(0, size, ROWS):
        rows = min(ROWS, size - start)
        for r in range(rows):
            y = start + r
            line[:] = half
            for tap in range(y_number[y]):
                weight = y_weights[y, tap]
                row = pixels[y_first[y] + tap].reshape(-1)[3 * left : 3 * right]
                for i in range(len(line)):
                    line[i] += weight * np.int32(row[i])
            for i in range(len(line)):
                line[i] = min(max(line[i] >> BITS, 0), 255)
            for x in range(right - left):
                for c in range(3):
                    columns[x, c * ROWS + r] = line[3 * x + c]
        for x in range(size):
            sums[:] = half
            for tap in range(x_number[x]):
                weight = x_weights[x, tap]
                column = columns[x_first[x] - left + tap]
                for i in range(3 * ROWS):
                    sums[i] += weight * np.int32(column[i])
            for i in range(3 * ROWS):
                sums[i] = min(max(sums[i] >> BITS, 0), 255)
            for r in range(rows):
                for c in range(3):
                    out[start + r, x, c] = sums[c * ROWS + r]
    return out
