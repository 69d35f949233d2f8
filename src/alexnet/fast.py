"""What computes fast on the CPU, and where it may: compiled loops, forms with a gradient of their own, work in parts.

Loops are compiled by numba (extra `fast`), which brings its compiler with it. Where it is not installed, or does not work,
or ALEXNET_COMPILED=0 is set, plain torch does the work. The first call of a loop takes seconds; what was
compiled is kept on disk where that can be written.
"""

import importlib.util
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

TRITON = importlib.util.find_spec("triton") is not None
"""Whether the kernels for a GPU can be compiled. Builds of torch for CUDA bring Triton."""


@cache
def compiled() -> bool:
    """Whether compiled loops are to be used."""
    if os.environ.get("ALEXNET_COMPILED", "1") == "0" or importlib.util.find_spec("numba") is None:
        return False
    try:
        import numba  # noqa: F401
    except (ImportError, OSError) as error:  # a numba that does not take this numpy, say; one there is no memory for
        warnings.warn(f"numba is installed and does not work ({error}); plain torch does its work", stacklevel=2)
        return False
    return True


@cache
def bf16_unit() -> str | None:
    """The part of this processor that multiplies bf16: AMX (matrices), AVX512-BF16 (vectors), or None."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else None


def loop(function: Callable[..., Any]) -> Any:
    """`function` as a compiled loop, which lets go of the interpreter lock.

    No fastmath: how it rounds would depend on how a loop happened to be compiled, and a resumed run has to have the same
    bits. It is not needed either: sums are written out, and the rest is the speed of memory.
    """
    from numba import njit

    try:
        kept: Any = njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to keep it in can be written
        return njit(nogil=True, error_model="numpy")(function)
    if hasattr(kept, "_cache"):  # not with NUMBA_DISABLE_JIT
        save = kept._cache.save_overload

        def save_if_there_is_room(*compiled: Any) -> None:
            with suppress(OSError):  # it works as well without
                save(*compiled)

        kept._cache.save_overload = save_if_there_is_room
    return kept


def by_hand(x: Tensor) -> bool:
    """Whether a form with a gradient of its own, outside torch's operations, may take x.

    Not while torch.compile or a tracer looks for the operations, and not under functorch's transforms or on tensors that
    are none (subclasses, fakes): those get torch's own operations.
    """
    return (
        type(x) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


def float32_on_the_cpu(x: Tensor) -> bool:
    """Whether the CPU's fast forms for float32 alone may take x; they have gradients of their own."""
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
    return on_cpu and not torch.is_autocast_enabled("cpu") and by_hand(x)


def loops_take(x: Tensor) -> bool:
    """Whether compiled loops may take x: on the CPU, float32 or bf16. They have gradients of their own."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and by_hand(x) and compiled()


@cache
def _pool(threads: int, purpose: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=purpose)


if hasattr(os, "register_at_fork"):  # the threads are not there in the child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def in_parts(work: Callable[[int, int], object], items: int, least: int = 1, purpose: str = "parts") -> None:
    """work(start, stop) on parts of range(items) until all are done, by all threads; `work` lets go of the interpreter lock.

    least: items below which a part is not worth a thread. purpose: work of one waits for no thread of another's. Raises
    what `work` raises, after all threads have ended.
    """
    threads = min(torch.get_num_threads(), items // least)
    if threads <= 1:
        work(0, items)
        return
    # More parts than threads: the threads of the operation before still spin for some milliseconds, on some cores only.
    number = min(8 * threads, items // least)
    bounds = [items * part // number for part in range(number + 1)]
    parts = iter(list(zip(bounds[:-1], bounds[1:], strict=True)))  # `next` is one step of the interpreter

    def share() -> None:
        for start, stop in parts:
            work(start, stop)

    others = [_pool(threads, purpose).submit(share) for _ in range(threads - 1)]
    try:
        share()
    finally:
        for other in others:
            other.exception()  # waits
    for other in others:
        other.result()
