"""The update rule (§5) as one compiled loop: reads w, v and g once, writes w and v once."""

from alexnet.bf16 import rounded, wide
from alexnet.fast import loop

BLOCK = 4096
"""Weights that are rounded while they are in the nearest cache."""


@loop
def update(w, v, g, copy, momentum, shrink, rate):  # type: ignore[no-untyped-def]
    """v <- momentum v - shrink w - rate g;  w <- w + v;  copy <- w, rounded. Arrays of one dimension.

    w, v float32; g float32 or bf16; copy float32 or bf16, of w's length or empty.
    """
    for start in range(0, len(w), BLOCK):
        stop = min(start + BLOCK, len(w))
        for i in range(start, stop):
            v[i] = momentum * v[i] - shrink * w[i] - rate * wide(g[i])
            w[i] += v[i]
        for i in range(start, min(stop, len(copy))):
            copy[i] = rounded(w[i], copy)
