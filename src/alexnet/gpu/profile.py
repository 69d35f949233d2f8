"""Where a step's time goes: its kernels by kind beside what each kind needs at the least, and the time between kernels."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from alexnet.errors import RunFailed
from alexnet.gpu import timing
from alexnet.gpu.figures import Row, row
from alexnet.gpu.needs import floors
from alexnet.gpu.stepping import Images, Loop, our_step
from alexnet.gpu.timing import Given

KINDS = {
    "augmentation": r"_augment",
    "normalization and its pooling": r"_(forward|backward)_(rows|any|pool)",
    "update": r"_sgd",
    "pooling": r"max_?pool",
    "copies and fills": r"memcpy|memset",
    "layout": r"nchwtonhwc|nhwctonchw|transpose|_pad\b|constant_?pad|catarray",
    "convolutions": r"cudnn|conv|fprop|dgrad|wgrad",
    "fully connected": r"gemm|gemv|nvjet|cutlass|splitk|cublas",
}
"""Kinds of kernels by parts of their names, the first that fits."""
REST = "elementwise and sums"
"""Every other kernel: ReLU, dropout, bias, conversions, sums, random numbers."""
STEPS = 5
"""Profiled steps."""
KEPT = 40
"""Kernels to go into the result by name, those that take longest."""


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, kernel.lower())), REST)


def profile(given: Given) -> tuple[list[Row], dict[str, Any]]:
    """The kernels of one step of `paper` by kind; each kernel by name goes into the rest.

    Profiled kernel by kernel, which the graph replays just so; the wall time is that of the graph, without a profiler.
    """
    rows: list[Row] = []
    more: dict[str, Any] = {}
    images, network = Images(given.size, given.device), given.size.network
    for batch in given.size.profiled:
        if rows and given.stop():
            given.leave_out(f"profile of {batch} images", "no time left")
            continue
        try:
            loop = Loop(our_step(network, images, batch), images, batch, max(1, given.size.round // batch))
            wall = [batch * loop() for _ in range(given.repeats)]
            loop.step = our_step(network, images, batch, capture=False)
            loop.run(STEPS)
            spent, number = kernels_of(lambda loop=loop: loop.run(STEPS), given.device)  # type: ignore[misc]
            more[f"kernels, {batch}"] = [
                {"kernel": name[:160], "kind": kind_of(name), "microseconds": round(1e6 * s / STEPS, 2)}
                for name, s in spent.most_common(KEPT)
            ]
            per_step = {name: s / STEPS for name, s in spent.items()}
            rows += table(batch, per_step, number / STEPS, wall, floors(network, batch, given.limits))
            del loop
        except Exception as error:  # the other batch size's table is still worth having
            given.leave_out(f"profile of {batch} images", error)
        timing.free(given.device)
    return rows, more


def kernels_of(work: Callable[[], object], device: torch.device) -> tuple[Counter[str], int]:
    """Seconds on the device by kernel while `work` ran, and how many kernels there were. RunFailed if none was seen."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    timing.wait(device)
    with torch.profiler.profile(activities=[activity]) as seen:
        work()
        timing.wait(device)
    return sum_up(seen.key_averages(), device)


def sum_up(events: Iterable[Any], device: torch.device) -> tuple[Counter[str], int]:
    """Seconds and number of the events that were on `device`; ranges, which hold kernels counted by themselves, are not."""
    of_cuda = device.type == "cuda"
    spent: Counter[str] = Counter()
    number = 0
    for event in events:
        there = event.device_type == torch.autograd.DeviceType.CUDA
        if there == of_cuda and not event.is_user_annotation:
            microseconds = event.self_device_time_total if of_cuda else event.self_cpu_time_total
            spent[event.key] += microseconds / 1e6  # type: ignore[assignment]
            number += event.count
    if not spent:
        raise RunFailed(f"torch.profiler saw no kernel on {device}")
    return spent, number


def table(batch: int, spent: dict[str, float], kernels: float, wall: list[float], least: dict[str, float]) -> list[Row]:
    """The rows of one batch size: seconds of a step by kernel, kernels a step, seconds of a step as the graph takes them."""
    kinds: Counter[str] = Counter()
    for kernel, seconds in spent.items():
        kinds[kind_of(kernel)] += seconds  # type: ignore[assignment]
    busy, floor = sum(spent.values()), sum(least.values())
    step = row(f"step, {batch}", [1e6 * s for s in wall], "µs", f"{batch / sorted(wall)[len(wall) // 2]:,.0f} images/s")
    rows = [
        step,
        row(f"its kernels, {batch}", [1e6 * busy], "µs", f"{kernels:,.0f} kernels; at least {1e6 * floor:,.0f} µs"),
        # Negative where kernels of a graph overlap.
        row(f"between kernels, {batch}", [step.median - 1e6 * busy], "µs", f"{100 - 1e8 * busy / step.median:.0f}%"),
    ]
    for kind, seconds in kinds.most_common():
        note = f"{1e8 * seconds / step.median:.0f}% of the step"
        if kind in least:
            note += f"; at least {1e6 * least[kind]:,.0f} µs"
        rows.append(row(f"{kind}, {batch}", [1e6 * seconds], "µs", note))
    return rows
