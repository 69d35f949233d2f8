"""What the GPU's benchmarks share: how large they are, images in device memory, the device's clock, its limits, result files."""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet.claims.scales import scales
from alexnet.data.augment import Augmentation, Preparation, training_batch
from alexnet.files import write_text
from alexnet.network.networks import networks
from alexnet.network.spec import Network
from benchmarks.measure import Row, document, in_turn, ratios, row

LOW = torch.bfloat16
"""What training on a GPU computes in."""
LAST = torch.channels_last


@dataclass(frozen=True)
class Size:
    """How large everything is that is measured; a rehearsal takes less."""

    network: Network = networks["paper"]
    image: int = 256
    """Side of the images that crops are taken from."""
    images: int = 4096
    """In device memory, 0.8 GB: sixteen times an H100's second-level cache of 50 MB."""
    product: int = 8192
    """Side of the matrices of the limit."""
    copied: int = 1 << 29
    """Numbers of float32 to the copy of the limit."""
    maps: int = 512
    """Images whose maps are normalized at once, 191 MB and more."""
    side: int = 1 << 10
    """Of those maps, at most: Triton's interpreter takes seconds for what takes microseconds."""
    augmented: int = 1024
    convolved: int = 128
    round: int = 12_800
    """Images to one round of steps."""
    rounds: int = 5


TINY = Size(scales["smoke"].recipe.network, 32, 8, 16, 1 << 10, 1, 5, 4, 2, 2, 1)


@dataclass
class Bench:
    """One benchmark: what it is given, and its result file, written anew after every part: if it is killed, parts remain."""

    name: str
    out: Path
    rehearsal: bool
    batch: int
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.rehearsal else "cuda")

    @property
    def size(self) -> Size:
        return TINY if self.rehearsal else Size()

    def do(self, parts: Mapping[str, Callable[[], list[Row]]]) -> None:
        """Measure the parts in their order. One that fails is left out; what is not reached is named in the file."""
        names = list(parts)
        for number, (name, work) in enumerate(parts.items(), 1):
            try:
                measured = work()  # which may take rows away that it measures again
                self.rows += measured
            except Exception as error:  # the GPU is there for minutes: the others' figures are worth having
                self.leave_out(name, error)
            gc.collect()
            if not self.rehearsal:
                torch.cuda.empty_cache()
            if self.rows:
                self._write([*self.left_out, *(f"{later}: not reached" for later in names[number:])])
        if not self.rows:
            sys.exit("nothing could be measured: " + "; ".join(self.left_out))

    def leave_out(self, what: str, error: Exception) -> None:
        """Go on without this."""
        self.left_out.append(f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        print(f"left out: {self.left_out[-1]}", file=sys.stderr, flush=True)

    def _write(self, left_out: list[str]) -> None:
        given = [word for word in sys.argv[1:] if word != str(self.out)]
        command = " ".join(["python", "-m", f"benchmarks.gpu.{Path(sys.argv[0]).stem}", *given])
        if self.rehearsal:
            self.more["rehearsal"] = True
        made = document(
            self.name, command, self.rows, **{"cuda": torch.version.cuda, "left out": left_out, **self.more}
        )
        write_text(self.out, json.dumps(made, indent=1) + "\n")

    def measure_limits(self) -> list[Row]:
        """What every share is of: a bfloat16 product and a copy, both larger than the caches."""
        size = self.size
        a, b = (torch.randn(size.product, size.product, device=self.device, dtype=LOW) for _ in range(2))
        source, out = torch.randn(size.copied, device=self.device), torch.empty_like(a)
        target = torch.empty_like(source)
        took = compare({"product": lambda: torch.mm(a, b, out=out), "copy": lambda: target.copy_(source)}, self)
        product = [2 * size.product**3 / s / 1e12 for s in took["product"]]
        copy = [8 * size.copied / s / 1e12 for s in took["copy"]]
        rows = [row(f"bfloat16 product, {size.product}²", product, "TFLOP/s")]
        rows.append(row(f"copy of {4 * size.copied / 1e9:.1f} GB", copy, "TB/s", "bytes read and written"))
        self.more["limits"] = {"product": rows[0].median * 1e12, "copy": rows[1].median * 1e12}
        return rows

    @property
    def limits(self) -> dict[str, float]:
        """Operations/s of the product and bytes/s of the copy."""
        return self.more["limits"]


def start(description: str | None) -> Bench:
    """The benchmark that the command line asks for. A rehearsal runs Triton's kernels in its interpreter."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the result file to write")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU: that it runs; gives no figures")
    parser.add_argument("--batch", type=int, default=128, help="images of a training step")
    given = parser.parse_args()
    if given.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        sys.exit("there is no CUDA GPU here; --rehearse tries it on the CPU")
    torch.backends.cudnn.benchmark = True  # as `alexnet train` has it
    return Bench(given.out.stem, given.out, given.rehearse, 2 if given.rehearse else given.batch)


def seconds(work: Callable[[], object]) -> float:
    """Of one `work()`: several in a CUDA graph, by the device's clock, so that no start-up time of Python's is in it."""
    if torch.cuda.is_available():
        from triton.testing import do_bench_cudagraph

        return float(do_bench_cudagraph(work, return_mode="median")) / 1e3
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compare(forms: Mapping[str, Callable[[], object]], bench: Bench) -> dict[str, list[float]]:
    """Seconds of every form in every round, in turn. A form that fails the first time is left out."""
    ready = {}
    for name, work in forms.items():
        try:
            seconds(work)
            ready[name] = partial(seconds, work)
        except Exception as error:
            bench.leave_out(name, error)
    return in_turn(ready, bench.size.rounds, warmup=0)


def compiled(function: Any, bench: Bench, mode: str | None = None) -> Any:
    """By torch.compile; in a rehearsal without its code generator, which takes half a minute."""
    return torch.compile(function, dynamic=False, **({"backend": "eager"} if bench.rehearsal else {"mode": mode}))


class Images:
    """A set in device memory, and what turns indices into a training batch, as the trainer does it."""

    def __init__(self, bench: Bench) -> None:
        size, device = bench.size, bench.device
        self.device, self.number, self.how = device, 0, Augmentation()
        self.pixels = torch.randint(0, 256, (size.images, size.image, size.image, 3), dtype=torch.uint8, device=device)
        self.labels = torch.randint(size.network.classes, (size.images,), device=device)
        mean, vectors = 100 + 50 * torch.rand(3, size.image, size.image), torch.linalg.qr(torch.randn(3, 3))[0]
        values = torch.tensor([14830.0, 1376.0, 389.0])  # of ImageNet
        self.preparation = Preparation(size.network.input_size, mean, values, vectors).to(device)
        self.generator = torch.Generator(device)

    def draw(self, number: int) -> tuple[Tensor, Tensor]:
        """Indices and labels of the next batch, each step with seeds of its own, as in the trainer."""
        self.number += 1
        self.generator.manual_seed(self.number)
        torch.manual_seed(self.number)
        indices = torch.randint(len(self.pixels), (number,), device=self.device)
        return indices, self.labels.index_select(0, indices)

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[N, 3, C, C] of the images at `indices`."""
        return training_batch(self.pixels, self.preparation, self.how, self.generator, indices, dtype=dtype)


def against(name: str, ours: list[float], theirs: list[float]) -> Row:
    """How many times faster what is written by hand is than torch.compile, and whether that is worth keeping it: 10%."""
    gains = ratios(ours, theirs)
    gain = 100 * (statistics.median(gains) - 1)
    verb = f"beats torch.compile by {gain:.0f}%" if gain >= 0 else f"is behind torch.compile by {-gain:.0f}%"
    return row(f"hand-written {name} against torch.compile", gains, "x", f"{verb}: {'keep' if gain >= 10 else 'go'}")
