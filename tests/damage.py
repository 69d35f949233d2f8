"""Damage for files, and a bound on what reading them may take."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from alexnet.errors import InputError

INSERTED = (
    b"",
    b"\0",
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"9" * 30,
    b"-1",
    b"NaN",
    b"1e999",
    b"[",
    b"[" * 20_000,
    b"null",
    b"\n",
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with up to three of: bits flipped, bytes cut out or off, bytes put in or in place of others, parts repeated."""
    for _ in range(draw(st.integers(1, 3))):
        # Headers are where a byte says most.
        at = draw(st.one_of(st.integers(0, len(content)), st.integers(0, min(200, len(content)))))
        kind = draw(st.sampled_from(("flip", "cut", "cut off", "put in", "put over", "repeat")))
        length = draw(st.integers(1, 64))
        if kind == "flip":
            content = (
                content[:at]
                + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in content[at : at + 1])
                + content[at + 1 :]
            )
        elif kind == "cut":
            content = content[:at] + content[at + length :]
        elif kind == "cut off":
            content = content[:at]
        elif kind in ("put in", "put over"):
            more = draw(st.sampled_from(INSERTED))
            content = content[:at] + more + content[at + (len(more) if kind == "put over" else 0) :]
        else:
            content = content[:at] + content[at : at + length] * 3 + content[at + length :]
    return content


@contextmanager
def set_bytes(file: Path, content: bytes) -> Iterator[None]:
    """`file` with other contents, for a while."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def one_line_or_success(work: Callable[[], object], megabytes: int) -> None:
    """Fails unless `work` ends well or in an InputError of one line, with no more memory than that."""
    with below(megabytes):
        try:
            work()
        except InputError as error:
            assert "\n" not in str(error)


@contextmanager
def below(megabytes: int) -> Iterator[None]:
    """Fails where more is allocated at once inside it: by Python and numpy, or by torch and C libraries for good."""
    resident = _peak()
    tracemalloc.start()
    try:
        yield
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < megabytes << 20, f"{taken >> 20} MB were allocated"
    assert _peak() - resident < (megabytes + 100) << 20, f"{_peak() - resident >> 20} MB more are resident"


def _peak() -> int:
    """Most bytes that this process ever had in memory; 0 where that is not known."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) << 10
