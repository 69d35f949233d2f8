"""The update rule (§5) as one compiled loop: reads w, v and g once, writes w and v once."""

from alexnet.parallel import loop


@loop
def update(w, v, g, momentum, shrink, rate):  # type: ignore[no-untyped-def]
    """v <- momentum v - shrink w - rate g;  w <- w + v. Arrays of float32, one dimension."""
    for i in range(len(w)):
        v[i] = momentum * v[i] - shrink * w[i] - rate * g[i]
        w[i] += v[i]
