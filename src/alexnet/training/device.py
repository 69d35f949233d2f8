"""Where a network is computed, and in which numbers."""

import ctypes
import sys

import torch

from alexnet.errors import InputError


def pick(wanted: str = "auto") -> torch.device:
    """The device called `wanted`; "auto" is cuda, else mps, else cpu. InputError if it is not there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {wanted}: no such kind of device; use auto, cpu, cuda or mps")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device.type]
    if (device.index or 0) >= there:
        raise InputError(
            f"--device {wanted}: not there on this machine; use --device cpu, or auto to take what there is"
        )
    return device


def low_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """What the network computes in if not in float32, bf16 where the recipe says so; "auto" does on CUDA devices that
    have it. Weights stay float32."""
    auto = wanted == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if wanted == "bf16" or auto else None


def keep_memory() -> bool:
    """Let the C library keep freed blocks for the next step instead of returning them to the kernel; True if it will.

    glibc returns every large block at once, and the next step faults its pages in again: a third of a step on the CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD = -3 (no own mapping for blocks up to 1 GiB), M_TRIM_THRESHOLD = -1 (never give back).
        return bool(libc.mallopt(-3, 1 << 30)) and bool(libc.mallopt(-1, (1 << 31) - 1))
    except (OSError, AttributeError):
        return False
