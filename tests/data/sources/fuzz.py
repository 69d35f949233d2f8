"""Mutated files: bytes flipped, cut out and grown."""

import tracemalloc
from collections.abc import Callable

from hypothesis import strategies as st

from alexnet.errors import InputError


@st.composite
def mutations(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with one to four stretches changed."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(("flip", "cut", "grow", "end", "large")))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "grow":
            data[at:at] = draw(st.binary(min_size=1, max_size=8)) * draw(st.sampled_from((1, 3, 1000)))
        elif how == "end":
            del data[at:]
        else:  # where a length may be
            data[at : at + 4] = draw(st.sampled_from((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"9999", b"\0\0\0\0")))
    return bytes(data)


def holds_the_law(work: Callable[[], object], megabytes: int) -> None:
    """`work` ends well or in an InputError of one line, and never holds so much memory."""
    tracemalloc.start()
    try:
        work()
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < megabytes << 20
