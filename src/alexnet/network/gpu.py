"""Local response normalization on a GPU, alone and fused with the ReLU before it and the max pooling after it (Triton).

Every kernel passes over memory once each way, computes in float32 whatever the input is (float32, bfloat16, float16), and
keeps the input alone for the backward pass, where the sums are taken again. With S the sum of squares over the window,
d = k + alpha S and y = x d^-beta, the gradient is gx = g d^-beta - 2 alpha beta x W(g x d^(-beta-1)), W being the sum over
the same window, which is symmetric.

Channels-last maps are read as rows of V adjacent kernels, 16 bytes, one row a thread: a window then lies in a thread's own
row and the rows beside it, which the cache has. So nothing is exchanged between threads, nothing is padded to a power of
two, and the sum is exact; a product with the banded matrix on the matrix unit would need its operand in two or three
parts for that. The fused kernels compute a position once for every window that it is in, and spare the memory half of
its work.
Any other map, and any other window, goes through a kernel that reads each neighbour by itself.

Importing this needs Triton; `alexnet.network.normalization` does so only where it is installed. The kernels also run in
Triton's interpreter on the CPU (TRITON_INTERPRET=1), which is how they are tested without a GPU.
"""
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disable-error-code="assignment,var-annotated"
# (parameters of a kernel have Triton's types; the tuples grow as the loops over them are unrolled)

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

ROWS = 128
"""Rows, or single elements, to one block of four warps; with up to 80 registers a thread, six blocks share a multiprocessor."""

TYPES = (torch.float32, torch.bfloat16, torch.float16)


@triton.jit
def _unpack(tile, ROWS: tl.constexpr, V: tl.constexpr):
    """The V columns of [ROWS, V], which one thread holds, as V vectors."""
    even, odd = tl.split(tl.reshape(tile, [ROWS, V // 2, 2]))
    if V == 4:
        a, c = tl.split(even)
        b, d = tl.split(odd)
        return a, b, c, d
    else:
        a_e, c_g = tl.split(tl.reshape(even, [ROWS, 2, 2]))
        b_f, d_h = tl.split(tl.reshape(odd, [ROWS, 2, 2]))
        a, e = tl.split(a_e)
        b, f = tl.split(b_f)
        c, g = tl.split(c_g)
        d, h = tl.split(d_h)
        return a, b, c, d, e, f, g, h


@triton.jit
def _pack(t, ROWS: tl.constexpr, V: tl.constexpr):
    """The opposite of `_unpack`."""
    if V == 4:
        even = tl.join(t[0], t[2])
        odd = tl.join(t[1], t[3])
    else:
        even = tl.reshape(tl.join(tl.join(t[0], t[4]), tl.join(t[2], t[6])), [ROWS, 4])
        odd = tl.reshape(tl.join(tl.join(t[1], t[5]), tl.join(t[3], t[7])), [ROWS, 4])
    return tl.reshape(tl.join(even, odd), [ROWS, V])


@triton.jit
def _load_near(x, at, own, left, right, ROWS: tl.constexpr, V: tl.constexpr):
    """3 V vectors: the row at `at`, between the row before and the row after; zeros where these are not in the column."""
    first = tl.load(x + at - V, mask=left[:, None], other=0.0).to(tl.float32)
    second = tl.load(x + at, mask=own[:, None], other=0.0).to(tl.float32)
    third = tl.load(x + at + V, mask=right[:, None], other=0.0).to(tl.float32)
    return _unpack(first, ROWS, V) + _unpack(second, ROWS, V) + _unpack(third, ROWS, V)


@triton.jit
def _relu(x):
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _relu_all(x):
    out = ()
    for i in tl.static_range(len(x)):
        out = out + (_relu(x[i]),)
    return out


@triton.jit
def _squares(x, i: tl.constexpr, HALF: tl.constexpr):
    """Sum of squares over the window around x[i]."""
    total = x[i - HALF] * x[i - HALF]
    for j in tl.static_range(1, 2 * HALF + 1):
        total += x[i - HALF + j] * x[i - HALF + j]
    return total


@triton.jit
def _powers(d, beta, QUARTERS: tl.constexpr):
    """d^-beta and d^(-beta-1); QUARTERS says that beta is 0.75, which needs two roots and no logarithm."""
    if QUARTERS:
        root = tl.rsqrt(d)
        power = root * tl.sqrt(root)
        return power, power * root * root
    else:
        power = tl.exp2(-beta * tl.log2(d))
        return power, power / d


@triton.jit
def _forward_rows(
    x, y, rows, k, alpha, beta,
    GROUPS: tl.constexpr, ROWS: tl.constexpr, V: tl.constexpr, HALF: tl.constexpr,
    QUARTERS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """x, y [rows, V], GROUPS rows to a pixel's column."""
    start = tl.program_id(0).to(tl.int64) * ROWS
    x += start * V
    y += start * V
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, ROWS)[:, None] * V + tl.arange(0, V)[None, :]
    own = row < rows
    near = _load_near(x, at, own, own & (row % GROUPS != 0), own & ((row + 1) % GROUPS != 0), ROWS, V)
    if RELU:
        near = _relu_all(near)
    out = ()
    for i in tl.static_range(V, 2 * V):
        power, _ = _powers(k + alpha * _squares(near, i, HALF), beta, QUARTERS)
        out = out + (near[i] * power,)
    tl.store(y + at, _pack(out, ROWS, V).to(y.dtype.element_ty), mask=own[:, None])


@triton.jit
def _gradient(near, g, k, alpha, beta, V: tl.constexpr, HALF: tl.constexpr, QUARTERS: tl.constexpr, RELU: tl.constexpr):
    """V vectors: the gradient by the middle V of `near`, from 3 V vectors of inputs and of gradients of the output."""
    direct = ()
    terms = ()
    for i in tl.static_range(V - HALF, 2 * V + HALF):
        power, next_power = _powers(k + alpha * _squares(near, i, HALF), beta, QUARTERS)
        direct = direct + (g[i] * power,)
        terms = terms + (g[i] * near[i] * next_power,)
    out = ()
    for i in tl.static_range(V):
        total = terms[i]
        for j in tl.static_range(1, 2 * HALF + 1):
            total += terms[i + j]
        gx = direct[i + HALF] - 2 * alpha * beta * near[V + i] * total
        if RELU:
            gx = tl.where(near[V + i] <= 0, 0.0, gx)
        out = out + (gx,)
    return out


@triton.jit
def _backward_rows(
    x, g, gx, rows, k, alpha, beta,
    GROUPS: tl.constexpr, ROWS: tl.constexpr, V: tl.constexpr, HALF: tl.constexpr,
    QUARTERS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """The gradient gx by x, from g by y; all [rows, V]."""
    start = tl.program_id(0).to(tl.int64) * ROWS
    x += start * V
    g += start * V
    gx += start * V
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, ROWS)[:, None] * V + tl.arange(0, V)[None, :]
    own = row < rows
    left = own & (row % GROUPS != 0)
    right = own & ((row + 1) % GROUPS != 0)
    near = _load_near(x, at, own, left, right, ROWS, V)
    if RELU:
        near = _relu_all(near)
    out = _gradient(near, _load_near(g, at, own, left, right, ROWS, V), k, alpha, beta, V, HALF, QUARTERS, RELU)
    tl.store(gx + at, _pack(out, ROWS, V).to(gx.dtype.element_ty), mask=own[:, None])


@triton.jit
def _place(e, start, step, PER_COLUMN: tl.constexpr):
    """Which kernel of its column an element is; only the block's own first element needs 64 bits."""
    first = (start % (step * PER_COLUMN)).to(tl.int32)
    return ((first + e) // step) % PER_COLUMN


@triton.jit
def _squares_at(x, e, place, inside, step, PER_COLUMN: tl.constexpr, HALF: tl.constexpr, RELU: tl.constexpr):
    """Sum of squares around element `e`, which is kernel `place` of its column; kernels lie `step` elements apart."""
    total = tl.zeros(e.shape, tl.float32)
    for j in tl.static_range(2 * HALF + 1):
        near = inside & (place + j >= HALF) & (place + j < PER_COLUMN + HALF)
        value = tl.load(x + e + (j - HALF) * step, mask=near, other=0.0).to(tl.float32)
        if RELU:
            value = _relu(value)
        total += value * value
    return total


@triton.jit
def _forward_any(
    x, y, elements, step, k, alpha, beta,
    PER_COLUMN: tl.constexpr, BLOCK: tl.constexpr, HALF: tl.constexpr, QUARTERS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """x, y of any dense layout, `step` elements from one kernel to the next."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    x += start
    y += start
    e = tl.arange(0, BLOCK)
    inside = e < elements - start
    place = _place(e, start, step, PER_COLUMN)
    value = tl.load(x + e, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        value = _relu(value)
    power, _ = _powers(k + alpha * _squares_at(x, e, place, inside, step, PER_COLUMN, HALF, RELU), beta, QUARTERS)
    tl.store(y + e, (value * power).to(y.dtype.element_ty), mask=inside)


@triton.jit
def _backward_any(
    x, g, gx, elements, step, k, alpha, beta,
    PER_COLUMN: tl.constexpr, BLOCK: tl.constexpr, HALF: tl.constexpr, QUARTERS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """The gradient gx by x, from g by y."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    x += start
    g += start
    gx += start
    e = tl.arange(0, BLOCK)
    inside = e < elements - start
    place = _place(e, start, step, PER_COLUMN)
    own = tl.load(x + e, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        own = _relu(own)
    direct = tl.zeros([BLOCK], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for j in tl.static_range(2 * HALF + 1):
        there = place + j - HALF
        near = inside & (there >= 0) & (there < PER_COLUMN)
        at = e + (j - HALF) * step
        value = tl.load(x + at, mask=near, other=0.0).to(tl.float32)
        if RELU:
            value = _relu(value)
        gradient = tl.load(g + at, mask=near, other=0.0).to(tl.float32)
        d = k + alpha * _squares_at(x, at, there, near, step, PER_COLUMN, HALF, RELU)
        power, next_power = _powers(d, beta, QUARTERS)
        total += gradient * value * next_power
        if j == HALF:
            direct = gradient * power
    result = direct - 2 * alpha * beta * own * total
    if RELU:
        result = tl.where(own <= 0, 0.0, result)
    tl.store(gx + e, result.to(gx.dtype.element_ty), mask=inside)


NOWHERE = tl.constexpr(255)
"""The position of a maximum that a later ReLU has cut off."""


@triton.jit
def _forward_pool(
    z, pooled, positions, k, alpha, beta,
    H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    G: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, V: tl.constexpr, HALF: tl.constexpr,
    QUARTERS: tl.constexpr, BEFORE: tl.constexpr, AFTER: tl.constexpr,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    """ReLU (BEFORE or AFTER, or neither), normalization, max pooling of z [N, H, W, G, V].

    pooled [N, OH, OW, G, V]; positions, uint8 of the same shape, says where in its window, row by row, the first maximum
    lay. A block takes a part of one line of outputs; lines follow each other, so that the lines which two windows share
    are still in the cache.
    """
    parts: tl.constexpr = (OW * G + ROWS - 1) // ROWS
    line = tl.program_id(0) // parts
    row = (tl.program_id(0) % parts) * ROWS + tl.arange(0, ROWS)
    image, top = line // OH, (line % OH) * STRIDE
    z += (image.to(tl.int64) * H + top) * (W * G * V)
    left, group = (row // G) * STRIDE, row % G
    vector = tl.arange(0, V)[None, :]
    own = row < OW * G
    best = ()
    where = ()
    for position in tl.static_range(WINDOW * WINDOW):
        down = position // WINDOW
        across = position % WINDOW
        here = own & (left + across < W) & (top + down < H)
        at = (((down * W + left + across) * G + group) * V)[:, None] + vector
        near = _load_near(
            z, at, here, here & (group % GROUPS != 0), here & ((group + 1) % GROUPS != 0), ROWS, V
        )  # fmt: skip
        if BEFORE:
            near = _relu_all(near)
        new_best = ()
        new_where = ()
        for i in tl.static_range(V):
            power, _ = _powers(k + alpha * _squares(near, V + i, HALF), beta, QUARTERS)
            value = near[V + i] * power
            if position == 0:
                new_best = new_best + (value,)
                new_where = new_where + (tl.zeros([ROWS], tl.int32),)
            else:
                better = here & ((value > best[i]) | (value != value))  # a NaN wins, as in torch
                new_best = new_best + (tl.where(better, value, best[i]),)
                new_where = new_where + (tl.where(better, position, where[i]),)
        best = new_best
        where = new_where
    if AFTER:
        new_where = ()
        for i in tl.static_range(V):
            new_where = new_where + (tl.where(best[i] <= 0, NOWHERE, where[i]),)
        where = new_where
        best = _relu_all(best)
    out = line.to(tl.int64) * (OW * G * V)
    at = row[:, None] * V + vector
    tl.store(pooled + out + at, _pack(best, ROWS, V).to(pooled.dtype.element_ty), mask=own[:, None])
    tl.store(positions + out + at, _pack(where, ROWS, V).to(tl.uint8), mask=own[:, None])


@triton.jit
def _load_near_positions(p, at, own, left, right, ROWS: tl.constexpr, V: tl.constexpr):
    first = tl.load(p + at - V, mask=left[:, None], other=NOWHERE).to(tl.int32)
    second = tl.load(p + at, mask=own[:, None], other=NOWHERE).to(tl.int32)
    third = tl.load(p + at + V, mask=right[:, None], other=NOWHERE).to(tl.int32)
    return _unpack(first, ROWS, V) + _unpack(second, ROWS, V) + _unpack(third, ROWS, V)


@triton.jit
def _backward_pool(
    z, g, positions, gz, k, alpha, beta,
    H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    G: tl.constexpr, GROUPS: tl.constexpr, ROWS: tl.constexpr, V: tl.constexpr, HALF: tl.constexpr,
    QUARTERS: tl.constexpr, BEFORE: tl.constexpr,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    """The gradient gz by z, from g by the pooled map.

    Each pixel gathers from the windows that it lies in, at most four for 3/2, so that no two threads add to one place.
    """
    parts: tl.constexpr = (W * G + ROWS - 1) // ROWS
    windows: tl.constexpr = (WINDOW + STRIDE - 1) // STRIDE
    line = tl.program_id(0) // parts
    row = (tl.program_id(0) % parts) * ROWS + tl.arange(0, ROWS)
    image, y = line // H, line % H
    x, group = row // G, row % G
    vector = tl.arange(0, V)[None, :]
    own = row < W * G
    has_left = group % GROUPS != 0
    has_right = (group + 1) % GROUPS != 0
    g += image.to(tl.int64) * (OH * OW * G * V)
    positions += image.to(tl.int64) * (OH * OW * G * V)
    gathered = ()
    for _ in tl.static_range(3 * V):
        gathered = gathered + (tl.zeros([ROWS], tl.float32),)
    for i in tl.static_range(windows):
        oy = y // STRIDE - i
        down = y - oy * STRIDE
        if (oy >= 0) & (oy < OH) & (down < WINDOW):  # for 3/2 every other line is in one window only
            for j in tl.static_range(windows):
                ox = x // STRIDE - j
                across = x - ox * STRIDE
                here = own & (ox >= 0) & (ox < OW) & (across < WINDOW)
                at = (((oy * OW + ox) * G + group) * V)[:, None] + vector
                gradient = _load_near(g, at, here, here & has_left, here & has_right, ROWS, V)
                position = _load_near_positions(positions, at, here, here & has_left, here & has_right, ROWS, V)
                new = ()
                for v in tl.static_range(3 * V):
                    mine = position[v] == down * WINDOW + across
                    new = new + (gathered[v] + tl.where(mine, gradient[v], 0.0),)
                gathered = new
    lines = line.to(tl.int64) * (W * G * V)
    at = row[:, None] * V + vector
    near = _load_near(z + lines, at, own, own & has_left, own & has_right, ROWS, V)
    if BEFORE:
        near = _relu_all(near)
    out = _gradient(near, gathered, k, alpha, beta, V, HALF, QUARTERS, BEFORE)
    tl.store(gz + lines + at, _pack(out, ROWS, V).to(gz.dtype.element_ty), mask=own[:, None])


# Triton starts a kernel on the current device, hence `device_of` around each.


def takes(x: Tensor) -> bool:
    """Whether these kernels are for x: a map [N, C, H, W] on a GPU, of a type that they compute."""
    return x.is_cuda and x.ndim == 4 and x.dtype in TYPES


def local_response_normalization(
    x: Tensor, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
) -> Tensor:
    """`alexnet.network.normalization.local_response_normalization`, with its gradient. x: [N, C, H, W] -> the same."""
    return torch.ops.alexnet.lrn(_dense(x), size, k, alpha, beta, columns, False)


def relu_lrn(
    z: Tensor, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
) -> Tensor:
    """The same of relu(z)."""
    return torch.ops.alexnet.lrn(_dense(z), size, k, alpha, beta, columns, True)


def relu_lrn_pool(
    z: Tensor,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    columns: int = 1,
    window: int = 3,
    stride: int = 2,
    ceil: bool = True,
    relu: str = "before",
) -> Tensor:
    """max_pool(normalization(relu(z))), [N, C, H, W] -> [N, C, H', W']; `ceil` as in torch's max_pool2d.

    relu: "before" (§3.5), "after" the pooling (layer 1 of the 2012 program), or "none". Of equal maxima the first gets the
    gradient, as in torch. Beside z only a byte for each pooled value is kept for the backward pass.
    """
    z = _dense(z)
    if not (_channels_last(z) and _vector(z, size, columns) and 1 <= stride <= window <= 15):
        normalized = torch.ops.alexnet.lrn(z, size, k, alpha, beta, columns, relu == "before")
        pooled = F.max_pool2d(normalized, window, stride, ceil_mode=ceil)
        return pooled.relu() if relu == "after" else pooled
    pooled, _ = torch.ops.alexnet.lrn_pool(z, size, k, alpha, beta, columns, window, stride, ceil, relu)
    return pooled


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _dense(x: Tensor) -> Tensor:
    return x if _channels_last(x) or x.is_contiguous() else x.contiguous()


def _vector(x: Tensor, size: int, columns: int) -> int:
    """Kernels to a row of the channels-last kernels: 16 bytes of them; 0 if columns or window do not go into rows."""
    vector = 16 // x.element_size()
    return vector if x.shape[1] % (columns * vector) == 0 and 2 * (size // 2) <= vector else 0


def _as(x: Tensor, g: Tensor) -> Tensor:
    """g in the layout of x."""
    return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)


def _blocks(items: int) -> tuple[int]:
    return (triton.cdiv(items, ROWS),)


@torch.library.custom_op("alexnet::lrn", mutates_args=())
def _lrn(x: Tensor, size: int, k: float, alpha: float, beta: float, columns: int, relu: bool) -> Tensor:
    y = torch.empty_like(x)
    if not x.numel():
        return y
    vector = _vector(x, size, columns)
    with torch.cuda.device_of(x):
        if vector and _channels_last(x):
            rows, groups = x.numel() // vector, x.shape[1] // columns // vector
            _forward_rows[_blocks(rows)](
                x, y, rows, k, alpha, beta, groups, ROWS, vector, size // 2, beta == 0.75, relu
            )  # fmt: skip
        else:
            _forward_any[_blocks(x.numel())](
                x, y, x.numel(), x.stride(1), k, alpha, beta, x.shape[1] // columns, ROWS, size // 2, beta == 0.75, relu
            )  # fmt: skip
    return y


@_lrn.register_fake
def _(x: Tensor, size: int, k: float, alpha: float, beta: float, columns: int, relu: bool) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("alexnet::lrn_backward", mutates_args=())
def _lrn_backward(
    x: Tensor, g: Tensor, size: int, k: float, alpha: float, beta: float, columns: int, relu: bool
) -> Tensor:
    g, gx = _as(x, g), torch.empty_like(x)
    if not x.numel():
        return gx
    vector = _vector(x, size, columns)
    with torch.cuda.device_of(x):
        if vector and _channels_last(x):
            rows, groups = x.numel() // vector, x.shape[1] // columns // vector
            _backward_rows[_blocks(rows)](
                x, g, gx, rows, k, alpha, beta, groups, ROWS, vector, size // 2, beta == 0.75, relu
            )  # fmt: skip
        else:
            _backward_any[_blocks(x.numel())](
                x, g, gx, x.numel(), x.stride(1), k, alpha, beta, x.shape[1] // columns, ROWS, size // 2, beta == 0.75, relu
            )  # fmt: skip
    return gx


@_lrn_backward.register_fake
def _(x: Tensor, g: Tensor, size: int, k: float, alpha: float, beta: float, columns: int, relu: bool) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.settings = inputs[1:]


def _lrn_gradient(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    return torch.ops.alexnet.lrn_backward(x, g, *ctx.settings), *(None,) * 6


_lrn.register_autograd(_lrn_gradient, setup_context=_keep)


def _pooled_size(size: int, window: int, stride: int, ceil: bool) -> int:
    """Windows along a side; with `ceil` the last may hang over the edge (stride <= window, so it begins inside)."""
    rest = size - window
    return (-(-rest // stride) if ceil else rest // stride) + 1


def _pooled_shape(z: Tensor, window: int, stride: int, ceil: bool) -> tuple[int, int, int, int]:
    images, channels, height, width = z.shape
    return images, channels, _pooled_size(height, window, stride, ceil), _pooled_size(width, window, stride, ceil)


def _pool_settings(z: Tensor, size: int, columns: int, shape: tuple[int, int, int, int]) -> tuple[int, ...]:
    """H, W, OH, OW, G, GROUPS, ROWS, V, HALF of the kernels."""
    vector = _vector(z, size, columns)
    groups = z.shape[1] // vector
    return z.shape[2], z.shape[3], shape[2], shape[3], groups, groups // columns, ROWS, vector, size // 2


@torch.library.custom_op("alexnet::lrn_pool", mutates_args=())
def _lrn_pool(
    z: Tensor,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    columns: int,
    window: int,
    stride: int,
    ceil: bool,
    relu: str,
) -> tuple[Tensor, Tensor]:
    shape = _pooled_shape(z, window, stride, ceil)
    pooled = z.new_empty(shape).contiguous(memory_format=torch.channels_last)
    positions = torch.empty_like(pooled, dtype=torch.uint8)
    if pooled.numel():
        settings = _pool_settings(z, size, columns, shape)
        lines, parts = shape[0] * shape[2], triton.cdiv(shape[3] * settings[4], ROWS)
        with torch.cuda.device_of(z):
            _forward_pool[(lines * parts,)](
                z, pooled, positions, k, alpha, beta, *settings, beta == 0.75, relu == "before", relu == "after",
                window, stride,
            )  # fmt: skip
    return pooled, positions


@_lrn_pool.register_fake
def _(
    z: Tensor,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    columns: int,
    window: int,
    stride: int,
    ceil: bool,
    relu: str,
) -> tuple[Tensor, Tensor]:
    pooled = z.new_empty(_pooled_shape(z, window, stride, ceil)).contiguous(memory_format=torch.channels_last)
    return pooled, torch.empty_like(pooled, dtype=torch.uint8)


@torch.library.custom_op("alexnet::lrn_pool_backward", mutates_args=())
def _lrn_pool_backward(
    z: Tensor,
    g: Tensor,
    positions: Tensor,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    columns: int,
    window: int,
    stride: int,
    relu: str,
) -> Tensor:
    gz = torch.empty_like(z)
    if z.numel():
        settings = _pool_settings(z, size, columns, tuple(positions.shape))  # type: ignore[arg-type]
        lines, parts = z.shape[0] * z.shape[2], triton.cdiv(z.shape[3] * settings[4], ROWS)
        g = g if _channels_last(g) else g.contiguous(memory_format=torch.channels_last)
        with torch.cuda.device_of(z):
            _backward_pool[(lines * parts,)](
                z, g, positions, gz, k, alpha, beta, *settings, beta == 0.75, relu == "before", window, stride
            )  # fmt: skip
    return gz


@_lrn_pool_backward.register_fake
def _(
    z: Tensor,
    g: Tensor,
    positions: Tensor,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    columns: int,
    window: int,
    stride: int,
    relu: str,
) -> Tensor:
    return torch.empty_like(z)


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], output[1])
    ctx.mark_non_differentiable(output[1])
    size, k, alpha, beta, columns, window, stride, _, relu = inputs[1:]
    ctx.settings = size, k, alpha, beta, columns, window, stride, relu


def _lrn_pool_gradient(ctx: Any, g: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    z, positions = ctx.saved_tensors
    return torch.ops.alexnet.lrn_pool_backward(z, g, positions, *ctx.settings), *(None,) * 9


_lrn_pool.register_autograd(_lrn_pool_gradient, setup_context=_keep_pool)
