"""Local response normalization on a GPU, alone and fused with the ReLU before it and the max pooling after it (Triton).

Every kernel passes over memory once each way, computes in float32 whatever the input is (float32, bfloat16), and keeps the
input alone for the backward pass, where the sums are taken again. With S the sum of squares over the window, d = k + alpha S
and y = x d^-3/4, the gradient is gx = g d^-3/4 - 3/2 alpha x W(g x d^-7/4), W being the sum over the same window, which is
symmetric.

Channels-last maps are read as rows of V adjacent kernels, 16 bytes, one row a thread: a window of five then lies in a
thread's own row and the rows beside it, which the cache has. So nothing is exchanged between threads, nothing is padded to a
power of two, and the sum is exact. The fused kernels compute a position once for every window that it is in, and spare the
memory half of its work.

The kernels also run in Triton's interpreter on the CPU (TRITON_INTERPRET=1), which is how they are tested without a GPU.
`gpu.py` starts them.
"""
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disable-error-code="assignment,var-annotated"
# (parameters of a kernel have Triton's types; the tuples grow as the loops over them are unrolled)

import triton
import triton.language as tl

ROWS = tl.constexpr(128)
"""Rows, or single elements, to one block of four warps; with up to 80 registers a thread, six blocks share a multiprocessor."""

NOWHERE = tl.constexpr(255)
"""A position that no window has."""

HALF = tl.constexpr(2)
"""Kernels of the window on either side of its middle."""


@triton.jit
def _unpack(tile, V: tl.constexpr):
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
def _pack(t, V: tl.constexpr):
    """The opposite of `_unpack`."""
    if V == 4:
        even = tl.join(t[0], t[2])
        odd = tl.join(t[1], t[3])
    else:
        even = tl.reshape(tl.join(tl.join(t[0], t[4]), tl.join(t[2], t[6])), [ROWS, 4])
        odd = tl.reshape(tl.join(tl.join(t[1], t[5]), tl.join(t[3], t[7])), [ROWS, 4])
    return tl.reshape(tl.join(even, odd), [ROWS, V])


@triton.jit
def _load_near(x, at, inside, left, right, V: tl.constexpr, other: tl.constexpr = 0, kind: tl.constexpr = tl.float32):
    """3 V vectors: the row at `at`, between the row before and the row after; `other` where these are not in the column."""
    first = tl.load(x + at - V, mask=left[:, None], other=other).to(kind)
    second = tl.load(x + at, mask=inside[:, None], other=other).to(kind)
    third = tl.load(x + at + V, mask=right[:, None], other=other).to(kind)
    return _unpack(first, V) + _unpack(second, V) + _unpack(third, V)


@triton.jit
def _relu_all(x):
    out = ()
    for i in tl.static_range(len(x)):
        out = out + (tl.maximum(x[i], 0.0, propagate_nan=tl.PropagateNan.ALL),)
    return out


@triton.jit
def _squares(x, i: tl.constexpr):
    """Sum of squares over the window around x[i]."""
    total = x[i - HALF] * x[i - HALF]
    for j in tl.static_range(1, 2 * HALF + 1):
        total += x[i - HALF + j] * x[i - HALF + j]
    return total


@triton.jit
def _powers(d):
    """d^-3/4 and d^-7/4."""
    root = tl.rsqrt(d)
    power = root * tl.sqrt(root)
    return power, power * root * root


@triton.jit
def _forward(x, y, rows, k, alpha, GROUPS: tl.constexpr, V: tl.constexpr):
    """x, y [rows, V], GROUPS rows to a pixel's column."""
    start = tl.program_id(0).to(tl.int64) * ROWS
    x += start * V
    y += start * V
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, ROWS)[:, None] * V + tl.arange(0, V)[None, :]
    inside = row < rows
    near = _load_near(x, at, inside, inside & (row % GROUPS != 0), inside & ((row + 1) % GROUPS != 0), V)
    out = ()
    for i in tl.static_range(V, 2 * V):
        power, _ = _powers(k + alpha * _squares(near, i))
        out = out + (near[i] * power,)
    tl.store(y + at, _pack(out, V).to(y.dtype.element_ty), mask=inside[:, None])


@triton.jit
def _gradient(near, g, k, alpha, V: tl.constexpr):
    """V vectors: the gradient by the middle V of `near`, from 3 V vectors of inputs and of gradients of the output."""
    direct = ()
    terms = ()
    for i in tl.static_range(V - HALF, 2 * V + HALF):
        power, next_power = _powers(k + alpha * _squares(near, i))
        direct = direct + (g[i] * power,)
        terms = terms + (g[i] * near[i] * next_power,)
    out = ()
    for i in tl.static_range(V):
        total = terms[i]
        for j in tl.static_range(1, 2 * HALF + 1):
            total += terms[i + j]
        out = out + (direct[i + HALF] - 1.5 * alpha * near[V + i] * total,)
    return out


@triton.jit
def _backward(x, g, gx, rows, k, alpha, GROUPS: tl.constexpr, V: tl.constexpr):
    """The gradient gx by x, from g by y; all [rows, V]."""
    start = tl.program_id(0).to(tl.int64) * ROWS
    x += start * V
    g += start * V
    gx += start * V
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, ROWS)[:, None] * V + tl.arange(0, V)[None, :]
    inside = row < rows
    left = inside & (row % GROUPS != 0)
    right = inside & ((row + 1) % GROUPS != 0)
    near = _load_near(x, at, inside, left, right, V)
    out = _gradient(near, _load_near(g, at, inside, left, right, V), k, alpha, V)
    tl.store(gx + at, _pack(out, V).to(gx.dtype.element_ty), mask=inside[:, None])


@triton.jit
def _forward_pool(
    z, pooled, positions, k, alpha,
    H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, G: tl.constexpr, GROUPS: tl.constexpr,
    V: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """ReLU if RELU, normalization, max pooling of z [N, H, W, G, V].

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
    inside = row < OW * G
    best = ()
    where = ()
    for position in tl.static_range(WINDOW * WINDOW):
        down = position // WINDOW
        across = position % WINDOW
        there = inside & (left + across < W) & (top + down < H)
        at = (((down * W + left + across) * G + group) * V)[:, None] + vector
        near = _load_near(z, at, there, there & (group % GROUPS != 0), there & ((group + 1) % GROUPS != 0), V)
        if RELU:
            near = _relu_all(near)
        new_best = ()
        new_where = ()
        for i in tl.static_range(V):
            power, _ = _powers(k + alpha * _squares(near, V + i))
            value = near[V + i] * power
            if position == 0:
                new_best = new_best + (value,)
                new_where = new_where + (tl.zeros([ROWS], tl.int32),)
            else:
                better = there & ((value > best[i]) | (value != value))  # a NaN wins, as in torch
                new_best = new_best + (tl.where(better, value, best[i]),)
                new_where = new_where + (tl.where(better, position, where[i]),)
        best = new_best
        where = new_where
    out = line.to(tl.int64) * (OW * G * V)
    at = row[:, None] * V + vector
    tl.store(pooled + out + at, _pack(best, V).to(pooled.dtype.element_ty), mask=inside[:, None])
    tl.store(positions + out + at, _pack(where, V).to(tl.uint8), mask=inside[:, None])


@triton.jit
def _backward_pool(
    z, g, positions, gz, k, alpha,
    H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, G: tl.constexpr, GROUPS: tl.constexpr,
    V: tl.constexpr, WINDOW: tl.constexpr, STRIDE: tl.constexpr, RELU: tl.constexpr,
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
    inside = row < W * G
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
                there = inside & (ox >= 0) & (ox < OW) & (across < WINDOW)
                at = (((oy * OW + ox) * G + group) * V)[:, None] + vector
                gradient = _load_near(g, at, there, there & has_left, there & has_right, V)
                position = _load_near(positions, at, there, there & has_left, there & has_right, V, NOWHERE, tl.int32)
                new = ()
                for v in tl.static_range(3 * V):
                    mine = position[v] == down * WINDOW + across
                    new = new + (gathered[v] + tl.where(mine, gradient[v], 0.0),)
                gathered = new
    lines = line.to(tl.int64) * (W * G * V)
    at = row[:, None] * V + vector
    near = _load_near(z + lines, at, inside, inside & has_left, inside & has_right, V)
    if RELU:
        near = _relu_all(near)
    gradients = _gradient(near, gathered, k, alpha, V)
    out = ()
    for i in tl.static_range(V):
        out = out + (tl.where(near[V + i] <= 0, 0.0, gradients[i]) if RELU else gradients[i],)
    tl.store(gz + lines + at, _pack(out, V).to(gz.dtype.element_ty), mask=inside[:, None])
