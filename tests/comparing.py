"""How what kernels and whole networks give is compared with the plain forms."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from alexnet.network.layers import LocalResponseNormalization
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.normalization import local_response_normalization

from .conftest import TINY_NETWORK
from .triton_device import cases

CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
"""What a number may be off by, which is what rounding allows: two units of the last place of bfloat16, which is rounded
once, at the end; in float32, where all arithmetic is, some sums, roots and powers."""


def worst(found: Tensor, expected: Tensor) -> float:
    """The largest error of a number, relative to it and to the typical one together; NaN if one is NaN."""
    found, expected = found.double(), expected.to(found.device).double()
    return float(((found - expected).abs() / (expected.abs() + expected.square().mean().sqrt())).max())


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """|found - expected| / |expected| of the pair that is farthest apart; NaN if one is NaN.

    Gradients of whole networks are compared so, as a sum in another order may choose another maximum for some pixel.
    """
    pairs = zip(found, expected, strict=True)
    return float(torch.stack([(a.double() - b.double()).norm() / b.double().norm() for a, b in pairs]).max())


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


@contextmanager
def exact() -> Iterator[None]:
    """float32 products and convolutions in float32: TF32 has 10 bits of its 23."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was


Form = Callable[[Tensor], Tensor]


def with_gradient(form: Form, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """form(x), and the gradient by x of its product with g."""
    x = x.detach().requires_grad_()
    y = form(x)
    return y.detach(), torch.autograd.grad(y, x, g.to(y))[0]


def assert_equal_forms(ours: Form, plain: Form, x: Tensor, where: Tensor | None = None) -> None:
    """Output and gradient of ours, into poisoned memory, are those of the plain form in float64, number by number.

    where: bool of the output's shape, the numbers that have a gradient; all by default.
    """
    with torch.no_grad():
        shape = plain(x.double()).shape
    g = torch.randn(shape, generator=torch.Generator().manual_seed(4)).to(x.device, torch.bfloat16)  # in every type
    g = g if where is None else g * where
    with exact():
        expected = with_gradient(plain, x.double(), g)
    with poisoned():
        found = with_gradient(ours, x, g)
    assert found[0].dtype == x.dtype and found[1].shape == x.shape
    errors = [worst(a, b) for a, b in zip(found, expected, strict=True)]
    assert all(error <= CLOSE[x.dtype] for error in errors), f"output, gradient: {errors}, bound {CLOSE[x.dtype]}"


def one_maximum(y: Tensor, window: int, stride: int, ceil: bool) -> Tensor:
    """Which pooling windows of y [N, C, H, W] have one maximum, or none but zeros: bool [N, C, H', W'].

    Of two numbers that are equal but for rounding either may be taken. Zeros are equal in every form, and the first is taken.
    """
    over = [(side - window) % stride and stride - (side - window) % stride if ceil else 0 for side in y.shape[:1:-1]]
    y = torch.nn.functional.pad(y, (0, over[0], 0, over[1]), value=-math.inf)
    windows = y.unfold(2, window, stride).unfold(3, window, stride).flatten(-2)
    first, second = windows.topk(2).values.unbind(-1)
    return (first - second > 1e-5 * first.abs()) | (first == 0)


class PlainNormalization(nn.Module):
    """A normalization layer in its plain form, which nothing fuses."""

    def __init__(self, layer: LocalResponseNormalization) -> None:
        super().__init__()
        self.lrn, self.columns = layer.lrn, layer.columns

    def forward(self, x: Tensor) -> Tensor:
        return local_response_normalization(x, self.lrn, self.columns)


def plain_twin(model: AlexNet) -> AlexNet:
    """The same network with the same weights, its normalization in the plain form."""
    model = deepcopy(model)
    for name, layer in list(model.named_children()):
        if isinstance(layer, LocalResponseNormalization):
            setattr(model, name, PlainNormalization(layer))
    return model


_SMALL = replace(TINY_NETWORK, input_size=16)
whole_networks = pytest.mark.parametrize(
    ("device", "network"),
    cases(
        [(_SMALL,), (replace(_SMALL, name="authors-2012", normalization="authors-2012"),)],
        [(networks["paper"],), (networks["authors-2012"],)],
    ),
)
