"""Local response normalization (§3.3) on the CPU, with ReLU and pooling in the same pass: compiled loops and their gradients.

A pass goes over memory once and keeps its input alone. Arrays are float32 or bf16 (`alexnet.bf16`) and the arithmetic float32;
they are channels-last, so that the adjacent kernels of a position lie side by side: a row of them fits the nearest cache,
where the window's sum is taken. The window is of five kernels and the power 3/4. `fused.py` decides when this is used.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import float32, uint8
from torch import Tensor
from torch.autograd.function import once_differentiable

from alexnet.bf16 import array_of, rounded, wide
from alexnet.fast import in_parts, loop
from alexnet.network.normalization import MAP
from alexnet.network.spec import LRN
from alexnet.network.window import steps_of


def local_response_normalization(x: Tensor, lrn: LRN, columns: int) -> Tensor:
    """`normalization.local_response_normalization`; channels-last whatever x is."""
    return _Normalized.apply(_channels_last(x), partial(_positions, columns=columns), LOOPS, *_coefficients(lrn))


def map_normalization(x: Tensor) -> Tensor:
    """`normalization.map_normalization`; channels-last whatever x is."""
    return _Normalized.apply(_channels_last(x), _maps, MAP_LOOPS, *_coefficients(MAP))


def relu_lrn_pool(x: Tensor, relu: bool, lrn: LRN | None, columns: int, window: int, stride: int, ceil: bool) -> Tensor:
    """`fused.relu_lrn_pool`, with pooling windows of `window` pixels, `stride` apart; `ceil` as in torch's max_pool2d."""
    settings = relu, lrn is not None, *_coefficients(lrn or LRN()), window, stride
    return _Pooled.apply(_channels_last(x), columns, ceil, settings)


class _Normalized(torch.autograd.Function):
    """A normalization by a pair of loops, forward and backward, over the arrays that `view` makes of tensors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, view: Any, loops: tuple[Any, Any], k: np.float32, alpha: np.float32) -> Tensor:
        ctx.save_for_backward(x)
        ctx.settings = view, loops[1], k, alpha
        out = torch.empty_like(x)
        _run(loops[0], [view(x), view(out)], k, alpha)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        view, backward_loop, k, alpha = ctx.settings
        out = torch.empty_like(x)
        _run(backward_loop, [view(x), view(_channels_last(gradient)), view(out)], k, alpha)
        return out, None, None, None, None


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, columns: int, ceil: bool, settings: tuple[Any, ...]) -> Tensor:
        *_, window, stride = settings
        height, width = (steps_of(side - window, stride, ceil) for side in z.shape[2:])
        shape = (*z.shape[:2], height + 1, width + 1)
        out = torch.empty(shape, dtype=z.dtype, memory_format=torch.channels_last)
        positions = torch.empty_like(out, dtype=torch.uint8)  # torch keeps 8 bytes each
        _run(normalize_and_pool, [_rows(each, columns) for each in (z, out, positions)], *settings)
        ctx.save_for_backward(z, positions)
        ctx.settings = columns, settings
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, positions = ctx.saved_tensors
        columns, settings = ctx.settings
        out = torch.empty_like(z)
        tensors = z, positions, _channels_last(gradient), out
        _run(normalize_and_pool_backward, [_rows(each, columns) for each in tensors], *settings)
        return out, None, None, None


def _run(compiled: Any, arrays: list[Any], *settings: Any) -> None:
    """A compiled loop over arrays of one length, by all threads."""
    in_parts(lambda start, stop: compiled(*(array[start:stop] for array in arrays), *settings), len(arrays[0]))


def _coefficients(lrn: LRN) -> tuple[np.float32, np.float32]:
    return np.float32(lrn.k), np.float32(lrn.alpha)  # a Python float would make the loops' arithmetic float64


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _rows(x: Tensor, columns: int) -> Any:
    """[N, C, H, W] in channels-last memory as an array [N, H, W, columns, C / columns], without a copy."""
    return array_of(x.permute(0, 2, 3, 1).unflatten(3, (columns, -1)))


def _positions(x: Tensor, columns: int) -> Any:
    """The same as an array [N H W, columns, C / columns]."""
    return _rows(x, columns).reshape(-1, columns, x.shape[1] // columns)


def _maps(x: Tensor) -> Any:
    """The same as an array [N, H, W, C]."""
    return _rows(x, 1)[..., 0, :]


# --- the loops --------------------------------------------------------------------------------------------------------


@loop
def normalize(x, out, k, alpha):  # type: ignore[no-untyped-def]
    """out = x · d^-0.75, d = k + alpha · (sum of x² over five adjacent kernels); x, out [positions, columns, kernels]."""
    positions, columns, kernels = x.shape
    squares = np.zeros(kernels + 4, np.float32)  # two zeros on either side: a window ends where its column ends
    for p in range(positions):
        for column in range(columns):
            for c in range(kernels):
                value = wide(x[p, column, c])
                squares[c + 2] = value * value
            for c in range(kernels):
                total = squares[c] + squares[c + 1] + squares[c + 2] + squares[c + 3] + squares[c + 4]
                root = float32(1) / math.sqrt(k + alpha * total)  # d^-0.5: two square roots instead of a power
                out[p, column, c] = rounded(wide(x[p, column, c]) * (root * math.sqrt(root)), out)


@loop
def normalize_backward(x, gradient, out, k, alpha):  # type: ignore[no-untyped-def]
    """out = gradient · d^-0.75 - 1.5 alpha x · (sum over the window of gradient · x · d^-1.75); shapes as above."""
    positions, columns, kernels = x.shape
    squares, terms = np.zeros(kernels + 4, np.float32), np.zeros(kernels + 4, np.float32)
    direct = np.empty(kernels, np.float32)
    scale = float32(1.5) * alpha
    for p in range(positions):
        for column in range(columns):
            for c in range(kernels):
                value = wide(x[p, column, c])
                squares[c + 2] = value * value
            for c in range(kernels):
                total = squares[c] + squares[c + 1] + squares[c + 2] + squares[c + 3] + squares[c + 4]
                root = float32(1) / math.sqrt(k + alpha * total)
                direct[c] = wide(gradient[p, column, c]) * (root * math.sqrt(root))
                terms[c + 2] = direct[c] * wide(x[p, column, c]) * (root * root)
            for c in range(kernels):
                total = terms[c] + terms[c + 1] + terms[c + 2] + terms[c + 3] + terms[c + 4]
                out[p, column, c] = rounded(direct[c] - scale * wide(x[p, column, c]) * total, out)


@loop
def _sums_around(plane, lines, sums):  # type: ignore[no-untyped-def]
    """sums[y, x] = the sum of plane over the 5x5 positions around, those outside counting 0; all [H, W, kernels]."""
    height, width, kernels = plane.shape
    for y in range(height):
        for x in range(width):
            line = lines[y, x]
            line[:] = float32(0)
            for near in range(max(0, x - 2), min(width, x + 3)):
                for c in range(kernels):
                    line[c] += plane[y, near, c]
    for y in range(height):
        for x in range(width):
            total = sums[y, x]
            total[:] = float32(0)
            for near in range(max(0, y - 2), min(height, y + 3)):
                for c in range(kernels):
                    total[c] += lines[near, x, c]


@loop
def _squared(maps, out):  # type: ignore[no-untyped-def]
    """out = the squares of maps, as float32; both [H, W, kernels]."""
    height, width, kernels = maps.shape
    for y in range(height):
        for p in range(width):
            for c in range(kernels):
                value = wide(maps[y, p, c])
                out[y, p, c] = value * value


@loop
def normalize_map(x, out, k, alpha):  # type: ignore[no-untyped-def]
    """out = x · d^-0.75, d = k + alpha · (sum of x² over 5x5 positions of the same map); x, out [N, H, W, kernels]."""
    images, height, width, kernels = x.shape
    squares, lines = np.empty(x.shape[1:], np.float32), np.empty(x.shape[1:], np.float32)
    sums = np.empty(x.shape[1:], np.float32)
    for n in range(images):
        _squared(x[n], squares)
        _sums_around(squares, lines, sums)
        for y in range(height):
            for p in range(width):
                for c in range(kernels):
                    root = float32(1) / math.sqrt(k + alpha * sums[y, p, c])
                    out[n, y, p, c] = rounded(wide(x[n, y, p, c]) * (root * math.sqrt(root)), out)


@loop
def normalize_map_backward(x, gradient, out, k, alpha):  # type: ignore[no-untyped-def]
    """out = gradient · d^-0.75 - 1.5 alpha x · (sum over 5x5 positions of gradient · x · d^-1.75); shapes as above."""
    images, height, width, kernels = x.shape
    terms, lines = np.empty(x.shape[1:], np.float32), np.empty(x.shape[1:], np.float32)
    sums, direct = np.empty(x.shape[1:], np.float32), np.empty(x.shape[1:], np.float32)
    scale = float32(1.5) * alpha
    for n in range(images):
        _squared(x[n], terms)
        _sums_around(terms, lines, sums)
        for y in range(height):
            for p in range(width):
                for c in range(kernels):
                    root = float32(1) / math.sqrt(k + alpha * sums[y, p, c])
                    direct[y, p, c] = wide(gradient[n, y, p, c]) * (root * math.sqrt(root))
                    terms[y, p, c] = direct[y, p, c] * wide(x[n, y, p, c]) * (root * root)
        _sums_around(terms, lines, sums)
        for y in range(height):
            for p in range(width):
                for c in range(kernels):
                    out[n, y, p, c] = rounded(direct[y, p, c] - scale * wide(x[n, y, p, c]) * sums[y, p, c], out)


@loop
def _rectified(z, out):  # type: ignore[no-untyped-def]
    """ReLU of one row of a map, [width, columns, kernels], as float32; a NaN stays one."""
    width, columns, kernels = z.shape
    for p in range(width):
        for column in range(columns):
            for c in range(kernels):
                value = wide(z[p, column, c])
                out[p, column, c] = float32(0) if value < 0 else value


@loop
def normalize_and_pool(z, out, positions, relu, norm, k, alpha, window, stride):  # type: ignore[no-untyped-def]
    """z [N, H, W, columns, kernels] -> out [N, H', W', columns, kernels]: ReLU if `relu`, normalization if `norm`, maxima.

    At least one of the two is there. Rows of the map are normalized once, into a ring of `window` rows; a window may hang
    over the edge. `positions`, uint8 as `out`, say where each maximum was, counting the positions of a window row by row.
    """
    images, height, width, columns, kernels = z.shape
    pooled_height, pooled_width = out.shape[1:3]
    ring, rectified = np.empty((window, width, columns, kernels), np.float32), np.empty(z.shape[2:], np.float32)
    best = np.empty(kernels, np.float32)
    for n in range(images):
        ready = 0
        for oy in range(pooled_height):
            top, bottom = oy * stride, min(oy * stride + window, height)
            while ready < bottom:
                slot = ring[ready % window]
                if not norm:
                    _rectified(z[n, ready], slot)
                elif relu:
                    _rectified(z[n, ready], rectified)
                    normalize(rectified, slot, k, alpha)
                else:
                    normalize(z[n, ready], slot, k, alpha)
                ready += 1
            for ox in range(pooled_width):
                left, right = ox * stride, min(ox * stride + window, width)
                for column in range(columns):
                    maxima, codes = out[n, oy, ox, column], positions[n, oy, ox, column]
                    first = ring[top % window, left, column]
                    for c in range(kernels):
                        best[c], codes[c] = first[c], 0
                    for row in range(top, bottom):
                        for across in range(left, right):
                            values = ring[row % window, across, column]
                            code = uint8((row - top) * window + across - left)
                            for c in range(kernels):
                                # As torch decides: the first of equals; a NaN wins.
                                better = values[c] > best[c] or values[c] != values[c]
                                best[c] = values[c] if better else best[c]
                                codes[c] = code if better else codes[c]
                    for c in range(kernels):
                        maxima[c] = rounded(best[c], out)


@loop
def normalize_and_pool_backward(z, positions, gradient, out, relu, norm, k, alpha, window, stride):  # type: ignore[no-untyped-def]
    """Gradient of z, into `out`, shaped as z, from `gradient`, that of the pooled maps, shaped as `positions`."""
    images, height, width, columns, kernels = z.shape
    pooled_height, pooled_width = gradient.shape[1:3]
    ring, rectified = np.zeros((window, width, columns, kernels), np.float32), np.empty(z.shape[2:], np.float32)
    for n in range(images):
        done = 0
        for oy in range(pooled_height):
            top, bottom = oy * stride, min(oy * stride + window, height)
            for ox in range(pooled_width):
                left, right = ox * stride, min(ox * stride + window, width)
                for column in range(columns):
                    pooled, codes = gradient[n, oy, ox, column], positions[n, oy, ox, column]
                    for row in range(top, bottom):
                        for across in range(left, right):
                            sums = ring[row % window, across, column]
                            code = uint8((row - top) * window + across - left)
                            for c in range(kernels):
                                sums[c] += wide(pooled[c]) if codes[c] == code else float32(0)
            # Rows above the next window have all they get.
            final = min((oy + 1) * stride, height) if oy + 1 < pooled_height else height
            while done < final:
                slot, row_of_z, row_out = ring[done % window], z[n, done], out[n, done]
                if not norm:
                    for across in range(width):
                        for column in range(columns):
                            for c in range(kernels):
                                row_out[across, column, c] = rounded(slot[across, column, c], out)
                elif relu:
                    _rectified(row_of_z, rectified)
                    normalize_backward(rectified, slot, row_out, k, alpha)
                else:
                    normalize_backward(row_of_z, slot, row_out, k, alpha)
                if relu:
                    for across in range(width):
                        for column in range(columns):
                            for c in range(kernels):
                                if wide(row_of_z[across, column, c]) <= 0:
                                    row_out[across, column, c] = 0
                slot[:] = float32(0)
                done += 1


LOOPS, MAP_LOOPS = (normalize, normalize_backward), (normalize_map, normalize_map_backward)
