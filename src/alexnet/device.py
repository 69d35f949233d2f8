"""Where a network is computed, and in which numbers."""

import ctypes
import sys
from contextlib import suppress
from typing import Literal

import torch

from alexnet.errors import InputError
from alexnet.fast import bf16_unit, compiled


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
    number = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device.type]
    if (device.index or 0) >= number:
        raise InputError(
            f"--device {wanted}: not there on this machine; use --device cpu, or auto to take what there is"
        )
    return device


Precision = Literal["auto", "float32", "bf16"]


def low_precision(wanted: Precision, device: torch.device) -> torch.dtype | None:
    """The type that the network computes in, if not float32: bf16 where `wanted` says so; weights stay float32.

    "auto" takes bf16 on CUDA devices and CPUs that multiply it in hardware: by what the device can do and not by a measurement,
    so that a resumed run computes as it did before. On a CPU the compiled loops have to be there, as torch's own pooling and
    normalization in bf16 take what the products gain.
    """
    if wanted == "auto":
        on_cpu = device.type == "cpu" and bf16_unit() and compiled()
        in_hardware = torch.cuda.is_bf16_supported() if device.type == "cuda" else on_cpu
        return torch.bfloat16 if in_hardware else None
    return torch.bfloat16 if wanted == "bf16" else None


def precision_name(low: torch.dtype | None, device: torch.device) -> str:
    """What a network computes in, as a line says it: "float32", "bf16", on a CPU with what multiplies, "bf16 by AMX"."""
    if low is None:
        return "float32"
    return f"bf16 by {bf16_unit() or 'emulation'}" if device.type == "cpu" else "bf16"


def keep_memory() -> None:
    """Let the C library keep freed blocks for the next step instead of returning them to the kernel.

    glibc returns every large block at once, and the next step faults its pages in again: a third of a step on the CPU.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            # M_MMAP_THRESHOLD = -3 (no own mapping for blocks up to 1 GiB), M_TRIM_THRESHOLD = -1 (-1: never give back).
            libc.mallopt(-3, 1 << 30)
            libc.mallopt(-1, -1)
