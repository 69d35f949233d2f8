"""Which compilers there are, and work in parts.

Loops that numba compiles (extra `fast`), over as many threads as torch uses on the CPU.

numba brings its own compiler, so none has to be on the machine; where numba is not installed, or ALEXNET_COMPILED=0 is
set, the plain torch forms are used. The first call of a compiled loop takes a second or two; the result is kept on disk.
"""

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

TRITON = importlib.util.find_spec("triton") is not None
"""Whether the kernels for a GPU can be compiled. Builds of torch for CUDA bring Triton."""


@cache
def compiled() -> bool:
    """Whether compiled loops are to be used."""
    return os.environ.get("ALEXNET_COMPILED", "1") != "0" and importlib.util.find_spec("numba") is not None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="parts")


def in_parts(work: Callable[[int, int], object], items: int, least: int = 1) -> None:
    """work(start, stop) on equal parts of range(items), one part a thread; `work` lets go of the interpreter lock.

    `least`: items below which a part is not worth a thread. Raises what `work` raises, after all parts have ended.
    """
    threads = min(torch.get_num_threads(), items // least)
    if threads <= 1:
        work(0, items)
        return
    bounds = [items * part // threads for part in range(threads + 1)]
    # This thread does the last part itself: it would only wait.
    others = [_pool(threads).submit(work, *pair) for pair in zip(bounds[:-2], bounds[1:-1], strict=True)]
    try:
        work(*bounds[-2:])
    finally:
        for other in others:
            other.exception()  # waits
    for other in others:
        other.result()
