"""Where a training step of `paper` goes: its kernels by kind, beside what each kind needs at the least, and the time between.

python -m benchmarks.gpu.profile profile.json --batch 128
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.utils.benchmark import Timer

from benchmarks.gpu.common import Bench, Images, start
from benchmarks.gpu.needs import floors
from benchmarks.gpu.steps import our_step
from benchmarks.measure import Row, row

KINDS = {
    "augmentation": r"_augment",
    "normalization and its pooling": r"^_(forward|backward)(_pool)?$",
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


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, kernel.lower())), REST)


def seconds_by_kernel(events: Iterable[Any], device: torch.device) -> tuple[Counter[str], int]:
    """Seconds and number of the kernels on `device`; ranges, which hold kernels counted by themselves, are not."""
    on_gpu, spent, number = device.type == "cuda", Counter[str](), 0
    for event in events:
        if (event.device_type == DeviceType.CUDA) == on_gpu and not event.is_user_annotation:
            spent[event.key] += (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6
            number += event.count
    return spent, number


def table(batch: int, spent: dict[str, float], kernels: float, wall: list[float], least: dict[str, float]) -> list[Row]:
    """Rows from seconds of a step by kernel, kernels a step, seconds of a step as the graph takes them, the least by kind."""
    kinds: Counter[str] = Counter()
    for kernel, seconds in spent.items():
        kinds[kind_of(kernel)] += seconds  # type: ignore[assignment]
    busy, floor = sum(spent.values()), sum(least.values())
    step = row(f"step, {batch}", [1e6 * s for s in wall], "µs")
    between = step.median - 1e6 * busy  # negative where kernels of a graph overlap
    rows = [
        step,
        row(f"its kernels, {batch}", [1e6 * busy], "µs", f"{kernels:,.0f} kernels; at least {1e6 * floor:,.0f} µs"),
        row(f"between kernels, {batch}", [between], "µs", f"{100 * between / step.median:.0f}%"),
    ]
    for kind, seconds in kinds.most_common():
        note = f"{1e8 * seconds / step.median:.0f}% of the step"
        note += f"; at least {1e6 * least[kind]:,.0f} µs" if kind in least else ""
        rows.append(row(f"{kind}, {batch}", [1e6 * seconds], "µs", note))
    return rows


def measure(bench: Bench) -> list[Row]:
    """The wall time is that of the captured graph; profiled are the same kernels, started one by one."""
    images = Images(bench)
    replayed, single = our_step(bench, images), our_step(bench, images, capture=False)
    for _ in range(STEPS):
        replayed()
        single()
    timer = Timer("work()", globals={"work": replayed})
    wall = [timer.timeit(max(1, bench.size.round // bench.batch)).mean for _ in range(bench.size.rounds)]
    activity = torch.profiler.ProfilerActivity.CPU if bench.rehearsal else torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[activity]) as seen:
        for _ in range(STEPS):
            single()
        if not bench.rehearsal:
            torch.cuda.synchronize()
    spent, number = seconds_by_kernel(seen.key_averages(), bench.device)
    bench.more["longest kernels"] = [
        {"kernel": name[:160], "kind": kind_of(name), "microseconds": round(1e6 * s / STEPS, 2)}
        for name, s in spent.most_common(40)
    ]
    least = floors(bench.size.network, bench.batch, bench.limits)
    return table(bench.batch, {name: s / STEPS for name, s in spent.items()}, number / STEPS, wall, least)


def main() -> None:
    bench = start(__doc__)
    bench.do({"limits": bench.measure_limits, "profile": lambda: measure(bench)})


if __name__ == "__main__":
    main()
