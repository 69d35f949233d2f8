"""How what a GPU gives is compared with the plain forms, and what is compared.

Kernels are compared with float64, number by number: |found - expected| over |expected| plus the root of the mean square, the
largest of all. A bound is what rounding allows: two units of the last place of bfloat16 and float16, which are rounded
once, at the end; in float32, where all arithmetic is, some sums, roots and powers. A number that was never written is NaN or
255, and so is the error. Gradients of whole networks are compared as vectors, since a sum in another order may choose another
maximum for some pixel.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.gpu.timing import LOW
from alexnet.network.networks import networks
from alexnet.network.spec import Network
from alexnet.training.graph import WARM

CLOSE = {torch.float32: 1e-5, LOW: 2**-7, torch.float16: 2**-10}
"""What a number may be off by."""


@dataclass(frozen=True)
class Case:
    """A map that is normalized."""

    dtype: torch.dtype
    channels: int
    side: int
    columns: int = 1
    """2: the window stays inside its column."""

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        return f"{self.channels} x {self.side}² {name}, {self.columns} column{'s' * (self.columns > 1)}"


# Every case has kernels of its own, which take a second or two to compile.
CASES = (
    *(Case(LOW, *size, columns) for size in ((96, 55), (256, 27)) for columns in (1, 2)),
    # A column with two kernels of the other beside it: a window across, where each column is on a device of its own.
    Case(LOW, 50, 55),
    Case(LOW, 130, 27),
    Case(torch.float32, 96, 55),
    Case(torch.float32, 256, 27, 2),
    Case(torch.float32, 32, 14),  # whose last pooling window hangs over the edge
)


@dataclass(frozen=True)
class Extent:
    """What is checked. A test takes less."""

    cases: tuple[Case, ...] = CASES
    networks: tuple[Network, ...] = (networks["paper"], networks["authors-2012"])
    image: int = 256
    images: int = 64
    weights: int = 1_000_003
    batch: int = 32
    steps: int = WARM + 3
    """Three of them replayed."""
    mapped: int = 3
    """Images whose maps are normalized."""


@dataclass(frozen=True)
class Found:
    """One comparison."""

    name: str
    error: float
    bound: float


Part = Callable[[Extent, torch.device, int], Iterator[Found]]


@contextmanager
def exact() -> Iterator[None]:
    """float32 products and convolutions in float32: TF32 has 10 bits of its 23."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def poisoned() -> Iterator[None]:
    """New tensors are NaN, or the largest whole number, until they are written."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of operations that have no deterministic form
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def worst(found: Tensor, expected: Tensor) -> float:
    """The largest error of a number, relative to it and to the typical one together; NaN if one is NaN."""
    found, expected = found.double(), expected.double()
    return float(((found - expected).abs() / (expected.abs() + expected.square().mean().sqrt())).max())


def apart(found: list[Tensor], expected: list[Tensor]) -> float:
    """|found - expected| / |expected| of the pair that is farthest apart; NaN if one is NaN."""
    pairs = zip(found, expected, strict=True)
    return float(torch.stack([(a.double() - b.double()).norm() / b.double().norm() for a, b in pairs]).max())


def both(form: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """form(x), and the gradient by x of its product with g."""
    x = x.detach().requires_grad_()
    y = form(x)
    return y.detach(), torch.autograd.grad(y, x, g.to(y.dtype))[0]


def compared(
    name: str,
    ours: Callable[[Tensor], Tensor],
    theirs: Callable[[Tensor], Tensor],
    x: Tensor,
    where: Tensor | None = None,
) -> Found:
    """Output and gradient of ours, into poisoned memory, against theirs in float64; `where` the output has a gradient."""
    with torch.no_grad():
        shape = theirs(x.double()).shape
    g = torch.randn(shape, device=x.device).to(LOW)  # numbers that every type holds
    g = g if where is None else g * where
    expected = both(theirs, x.double(), g)
    with poisoned():
        found = both(ours, x, g)
    errors = [worst(a, b) for a, b in zip(found, expected, strict=True)]
    return Found(name, math.nan if any(map(math.isnan, errors)) else max(errors), CLOSE[x.dtype])


def clear(y: Tensor, ceil: bool) -> Tensor:
    """Which windows of the pooling have one maximum: not two numbers that are equal but for rounding, of which either may be taken.

    y [N, C, H, W] -> bool [N, C, H', W']. Zeros are equal in every form, and the first is taken.
    """
    more = (y.shape[-1] - 3) % 2 if ceil else 0
    windows = F.pad(y, (0, more, 0, more), value=-math.inf).unfold(2, 3, 2).unfold(3, 3, 2).flatten(-2)
    first, second = windows.topk(2).values.unbind(-1)
    return (first - second > 1e-5 * first.abs()) | (first == 0)
