"""Seconds on the device's own clock, and the two limits that every figure is a share of: a matrix product and a copy.

What is called only where there is a GPU (graphs, events, freeing) is in the few short functions here, each of which has a
form for the CPU, so that all that is built on them also runs without one.
"""

import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from alexnet.errors import RunFailed
from alexnet.gpu.figures import Row, in_turn, row
from alexnet.network.networks import networks
from alexnet.network.spec import Network

INSIDE = 5
"""Repetitions of a form in one graph: what it costs to start the graph is then a small part of its time."""
REPLAYS = 4
"""Of a graph in a round."""
LOW = torch.bfloat16
"""What training on a GPU computes in."""
LAST = torch.channels_last


@dataclass(frozen=True)
class Size:
    """How large everything is that is measured. A test takes less."""

    network: Network = networks["paper"]
    image: int = 256
    """Side of the images that crops are taken from."""
    images: int = 4096
    """Images in device memory, 0.8 GB: sixteen times an H100's second-level cache of 50 MB."""
    batches: tuple[int, ...] = (128, 256, 1024)
    """Of training steps."""
    profiled: tuple[int, ...] = (128, 1024)
    round: int = 12800
    """Images to one round of steps."""
    product: int = 8192
    """Side of the matrices of the limit."""
    copied: int = 1 << 29
    """Numbers of float32 to the copy of the limit."""
    maps: int = 512
    """Images whose maps are normalized at once: 191 MB and more."""
    augmented: int = 1024
    convolved: tuple[int, ...] = (128, 1024)
    visits: int = 1_280_000
    """Images that the long run trains on in all, repeated ones counted."""
    resident: int = 81_920
    """Different images of the long run, 16.1 GB."""
    validated: int = 5000


@dataclass(frozen=True)
class Given:
    """What a piece of the measurements is given."""

    repeats: int = 5
    """Rounds that count."""
    stop: Callable[[], bool] = lambda: False
    """Asked between rounds and forms; True ends a piece with the figures that are there."""
    say: Callable[[str], None] = lambda line: None
    device: torch.device = torch.device("cuda")
    size: Size = Size()
    limits: dict[str, float] = field(default_factory=dict)
    """"product" in operations/s and "copy" in bytes/s, once they have been measured (`measure_limits`)."""
    left_out: list[str] = field(default_factory=list)
    """What failed, or there was no time for."""

    def leave_out(self, what: str, why: BaseException | str) -> None:
        """Go on without `what`."""
        reason = why if isinstance(why, str) else f"{type(why).__name__}: {str(why)[:500]}"
        self.left_out.append(f"{what}: {reason}")
        self.say(f"left out: {what}: {reason}")
        if isinstance(why, BaseException):
            self.say("".join(traceback.format_exception(why)[-3:]))


def device_seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Mean seconds of one `work()`, by the device's clock where it has one."""
    if device.type != "cuda":
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begun) / times
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(times):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / times


def graphed(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """`work`, INSIDE times, to be replayed as a CUDA graph; on another device as it is, once."""
    if device.type != "cuda":
        return work

    def several() -> None:
        for _ in range(INSIDE):
            work()

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries choose their algorithms, Triton compiles
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        several()
    return graph.replay  # which keeps the graph


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak(device: torch.device) -> int | None:
    """Most bytes of device memory that this process has held since the last call; None where nobody counts."""
    if device.type != "cuda":
        return None
    most = torch.cuda.max_memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    return most


def timed(forms: dict[str, Callable[[], object]], given: Given) -> dict[str, list[float]]:
    """Device seconds of each form, in turn, round by round. A form that fails is left out; the others go on."""
    ready: dict[str, Callable[[], float | None]] = {}
    # Without a GPU there is nothing to time well, and Triton's interpreter takes seconds for what takes microseconds.
    inside, replays = (INSIDE, REPLAYS) if given.device.type == "cuda" else (1, 1)
    for name, work in forms.items():
        try:
            replay = graphed(work, given.device)
            device_seconds(replay, given.device, 1)  # what fails on the device fails here
            ready[name] = partial(device_seconds, replay, given.device, replays)
        except Exception as error:  # a GPU is there for minutes: one form that fails leaves the others' figures
            given.leave_out(name, error)
    seconds = in_turn(ready, given.repeats, 1, given.stop, given.leave_out)
    return {name: [each / inside for each in took] for name, took in seconds.items()}


def measure_limits(given: Given) -> list[Row]:
    """The two limits, on random numbers: a bfloat16 product, a copy. Kept in `given.limits`."""
    size, device = given.size, given.device
    a, b = (torch.randn(size.product, size.product, device=device, dtype=LOW) for _ in range(2))
    out = torch.empty_like(a)
    source = torch.randn(size.copied, device=device)
    target = torch.empty_like(source)
    seconds = timed({"product": lambda: torch.mm(a, b, out=out), "copy": lambda: target.copy_(source)}, given)
    if len(seconds) < 2:
        raise RunFailed("the limits, which every share is of, could not be measured: " + "; ".join(given.left_out))
    product = row(
        f"bfloat16 product, {size.product}²", [2 * size.product**3 / s / 1e12 for s in seconds["product"]], "TFLOP/s"
    )
    copy = row(
        f"copy of {4 * size.copied / 1e9:.1f} GB",
        [2 * 4 * size.copied / s / 1e12 for s in seconds["copy"]],
        "TB/s",
        "bytes read and written",
    )
    given.limits.update(product=product.median * 1e12, copy=copy.median * 1e12)
    return [product, copy]


def micro(seconds: list[float]) -> str:
    """Their median in microseconds."""
    return f"{1e6 * statistics.median(seconds):,.1f} µs"


def of_copy(name: str, seconds: list[float], size: float, limits: dict[str, float]) -> Row:
    """`size` bytes in these seconds, as a share of what a copy does."""
    return row(name, [100 * size / s / limits["copy"] for s in seconds], "% of copy", micro(seconds))


def of_product(name: str, seconds: list[float], work: float, limits: dict[str, float]) -> Row:
    """`work` floating-point operations in these seconds, as a share of what the product does."""
    note = f"{micro(seconds)}, {work / statistics.median(seconds) / 1e12:,.0f} TFLOP/s"
    return row(name, [100 * work / s / limits["product"] for s in seconds], "% of product", note)
