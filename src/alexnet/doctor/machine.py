"""The machine is examined: versions, device, threads, memory for a batch, room on the disk."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from alexnet import device as devices
from alexnet.doctor.finding import Finding, error, gigabytes, ok, warning
from alexnet.errors import InputError
from alexnet.extras import EXTRAS, TRACKERS, missing
from alexnet.fast import bf16_unit, compiled
from alexnet.memory import memory_free
from alexnet.run.memory import batch_memory
from alexnet.run.recipe import Recipe

OLDEST_TORCH = (2, 11)


def examine() -> Iterator[Finding]:
    """Yield findings about versions, device, threads and compiled loops of this machine."""
    yield from _versions()
    yield _device()
    yield _threads()
    yield _compiled()
    yield _extras()


def _versions() -> Iterator[Finding]:
    # Bugs that nobody else can see again begin with a version nobody else has.
    versions = [f"{name} {installed(name)}" for name in ("alexnet", "torch", "numpy", "pillow", "simplejpeg")]
    yield ok(f"versions: Python {platform.python_version()}, {', '.join(versions)}")
    if tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2]) < OLDEST_TORCH:
        yield warning(
            f"torch {torch.__version__} is older than any that this was tested with",
            "pip install -c constraints.txt torch, from the repository",
        )


def installed(package: str) -> str:
    """Return the installed version of a package, or "missing"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _device() -> Finding:
    # An accelerator that torch does not see: the run works, thirty times slower, and says nothing.
    picked = devices.pick()
    if picked.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        return ok(
            f"device: {torch.cuda.get_device_name()}, {gigabytes(free)} of {gigabytes(total)} free, {_precision(picked)}"
        )
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        reason = f"torch (CUDA {torch.version.cuda}) cannot use it"
        fix = "update the NVIDIA driver, or install a torch built for an older CUDA; look at CUDA_VISIBLE_DEVICES too"
        if torch.version.cuda is None:
            reason = "this torch is built for the CPU only"
            fix = "install a torch with CUDA: make setup TORCH=torch==VERSION"
        return warning(f"device: {picked.type}, though this machine has an NVIDIA GPU: {reason}", fix)
    if picked.type != "cpu":
        return ok(f"device: {picked.type}")
    return ok(f"device: cpu, {_precision(picked)}")


def _precision(device: torch.device) -> str:
    """Return what a network computes in on `device` by default; why, where that is not bf16."""
    low = devices.low_precision("auto", device)
    name = devices.precision_name(low, device)
    if low:
        return name
    loops = device.type == "cpu" and bf16_unit()
    return f"{name}, as {'its bf16 needs the compiled loops' if loops else 'it multiplies no bf16 in hardware'}"


def _threads() -> Finding:
    # Slow loading and slow steps: fewer threads than cores, or in a container more than it may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    if threads < cores and variable is not None:
        return warning(
            f"threads: torch computes with {threads} of {cores} cores, as OMP_NUM_THREADS={variable} says",
            "unset OMP_NUM_THREADS before training",
        )
    if threads > cores:
        return warning(
            f"threads: torch computes with {threads} threads on {cores} cores, which is slower than with {cores}",
            f"set OMP_NUM_THREADS={cores} before training",
        )
    return ok(f"threads: torch computes with {threads}, on {cores} cores")


def _compiled() -> Finding:
    # Without numba everything works, and takes its time.
    if compiled():
        return ok(f"compiled loops: numba {installed('numba')}")
    off = os.environ.get("ALEXNET_COMPILED") == "0"
    fix = "unset ALEXNET_COMPILED" if off else 'pip install "alexnet[fast]"'
    return warning("compiled loops: none, so preparing and training on the CPU are slower", fix)


def _extras() -> Finding:
    # Nothing is wrong without them; but whoever misses a picture wants to know why.
    lacks = {extra: names for extra in EXTRAS if extra not in ("fast", *TRACKERS) and (names := missing(extra))}
    if not lacks:
        return ok("optional packages: all are there")
    listed = (f"{', '.join(names)} for {EXTRAS[extra][0]} (alexnet[{extra}])" for extra, names in lacks.items())
    return ok(f"optional packages: not there are {'; '.join(listed)}", f'pip install "alexnet[{",".join(lacks)}]"')


def memory(recipe: Recipe) -> Finding:
    """Return whether a batch of `recipe` fits, since training runs out of memory only after the data has been read."""
    try:
        needed = batch_memory(recipe)
        device = devices.pick(recipe.device)
    except InputError as problem:
        return error(f"recipe {recipe.name} cannot run here: {problem}", "change that field of the recipe")
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else memory_free()
    images = recipe.micro_batch or recipe.batch
    text = (
        f"memory: recipe {recipe.name} takes about {gigabytes(needed)} for {images} images at a time"
        " (estimated: 3 × its activations + 3 × its weights)"
    )
    if free is None:
        return ok(f"{text}; how much is free on {device.type} is not known")
    text += f"; {gigabytes(free)} are free on {device.type}"
    if needed <= 0.9 * free:
        return ok(text)
    while images > 1 and needed > 0.9 * free:
        images //= 2
        needed = batch_memory(replace(recipe, micro_batch=images))
    return warning(text, f"--micro-batch {images}: the same result, in less memory")


def disk(images: int | None, size: int, where: Path) -> Finding:
    """Return whether the disk that holds `where` has room for `images` prepared images of size × size."""
    free = shutil.disk_usage(where).free
    if images is None:
        return ok(f"disk: a prepared image takes {size * size * 3:,} bytes; {gigabytes(free)} are free at {where}")
    needed = images * size * size * 3
    text = f"disk: {images:,} prepared images of {size}×{size} take {gigabytes(needed)}; {gigabytes(free)} are free at {where}"
    if needed > free:
        return warning(text, f"prepare to another disk, or smaller: alexnet prepare --size {max(64, size // 2)}")
    return ok(text)
