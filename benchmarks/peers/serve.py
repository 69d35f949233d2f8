"""One side of `measure.Peer`: runs rounds on request. Needs nothing of alexnet, since peers have their own environment."""

import ctypes
import os
import sys
import time
from collections.abc import Callable


def keep_memory() -> None:
    """The allocator setting of the benchmark that started this process: freed blocks kept, or glibc's default."""
    if os.environ.get("ALEXNET_BENCH_ALLOCATOR") == "kept" and sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD


def serve(one_round: Callable[[], object]) -> None:
    """Say "ready"; then one round for each line of standard input, answered with its seconds."""
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        one_round()
        print(time.perf_counter() - begun, flush=True)
