"""The Triton kernels of §3.3 against the plain form in float64, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network import normalization

from ..triton_device import DEVICE, relative
from .tiny import seeded

pytest.importorskip("triton")
from alexnet.network import gpu  # noqa: E402

# Rounding; a GPU takes roots and powers to an ulp or two, the interpreter rounds bfloat16 towards zero.
CLOSE = {torch.float32: 2e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}
FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def maps(*shape: int, dtype: torch.dtype = torch.float32, format: str = "channels-last") -> Tensor:
    """Responses large enough for alpha * sum to weigh as much as k."""
    x = 150 * torch.randn(*shape, generator=seeded(3))
    return x.to(DEVICE, dtype).contiguous(memory_format=FORMATS[format])


def with_gradient(form, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    """form(x) and the gradient by x of its product with fixed random numbers."""
    x = x.detach().requires_grad_()
    y = form(x)
    y.backward(torch.randn(y.shape, generator=seeded(4)).to(y))
    assert x.grad is not None
    return y.detach(), x.grad


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("channels", "columns", "size", "beta", "dtype"),
    [
        (16, 1, 5, 0.75, torch.float32),
        (16, 2, 5, 0.75, torch.float32),
        (16, 2, 5, 0.75, torch.bfloat16),  # rows of eight kernels: one row a column
        (32, 2, 5, 0.75, torch.float16),
        (16, 2, 3, 0.5, torch.float32),
        (10, 2, 5, 0.75, torch.float32),  # columns that rows of four do not fill
        (16, 1, 9, 0.75, torch.float32),  # a window wider than rows of four
    ],
)
def test_normalization_and_its_gradient_equal_the_plain_form(
    channels: int, columns: int, size: int, beta: float, dtype: torch.dtype, format: str
) -> None:
    x = maps(2, channels, 3, 5, dtype=dtype, format=format)
    found = with_gradient(lambda x: gpu.local_response_normalization(x, size, 2.0, 1e-4, beta, columns), x)
    expected = with_gradient(lambda x: normalization.plain(x, size, 2.0, 1e-4, beta, columns), x.double())
    assert found[0].dtype == dtype and found[0].stride() == x.stride()
    assert max(relative(*pair) for pair in zip(found, expected, strict=True)) < CLOSE[dtype]


def test_more_rows_than_a_block() -> None:
    x = maps(3, 32, 5, 7)
    found = with_gradient(lambda x: gpu.relu_lrn(x, 5, 1.0, 2e-5, 0.75, 2), x)
    expected = with_gradient(lambda x: normalization.plain(x.relu(), 5, 1.0, 2e-5, 0.75, 2), x.double())
    assert x.numel() // 4 > 2 * gpu.ROWS
    assert max(relative(*pair) for pair in zip(found, expected, strict=True)) < CLOSE[torch.float32]


def test_gradients_of_other_layouts_and_none_at_all() -> None:
    x = maps(1, 8, 2, 2).requires_grad_()
    gpu.local_response_normalization(x).sum().backward()  # its gradient is one number, expanded
    wide = x.detach().double().requires_grad_()
    normalization.plain(wide).sum().backward()
    assert x.grad is not None and wide.grad is not None and relative(x.grad, wide.grad) < CLOSE[torch.float32]
    assert gpu.local_response_normalization(x[:0]).shape == (0, 8, 2, 2)
    assert gpu.relu_lrn_pool(maps(1, 8, 4, 4)[:0]).shape == (0, 8, 2, 2)


def pooled(relu: str, columns: int, window: int, stride: int, ceil: bool):  # type: ignore[no-untyped-def]
    """The fused form, and the same in three steps of torch."""

    def fused(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(z, 5, 2.0, 1e-4, 0.75, columns, window, stride, ceil, relu)

    def plain(z: Tensor) -> Tensor:
        x = normalization.plain(z.relu() if relu == "before" else z, 5, 2.0, 1e-4, 0.75, columns)
        y = F.max_pool2d(x, window, stride, ceil_mode=ceil)
        return y.relu() if relu == "after" else y

    return fused, plain


@pytest.mark.parametrize(
    ("relu", "dtype", "columns", "window", "stride", "ceil", "format"),
    [
        ("before", torch.float32, 2, 3, 2, True, "channels-last"),
        ("before", torch.bfloat16, 1, 3, 2, False, "channels-last"),
        ("after", torch.float32, 1, 3, 2, True, "channels-last"),
        ("none", torch.float32, 2, 2, 2, True, "channels-last"),
        ("after", torch.float32, 2, 3, 2, True, "contiguous"),  # not fused, but the same function
    ],
)
def test_fused_with_relu_and_pooling(
    relu: str, dtype: torch.dtype, columns: int, window: int, stride: int, ceil: bool, format: str
) -> None:
    z = maps(2, 16, 6, 5, dtype=dtype, format=format)
    fused, plain = pooled(relu, columns, window, stride, ceil)
    found, expected = with_gradient(fused, z), with_gradient(plain, z.double())
    assert found[0].shape == expected[0].shape and found[1].stride() == z.stride()
    assert max(relative(*pair) for pair in zip(found, expected, strict=True)) < CLOSE[dtype]


@pytest.mark.parametrize("relu", ["before", "after", "none"])
def test_of_equal_maxima_the_first_gets_the_gradient(relu: str) -> None:
    # Few values, the same in all kernels: most windows have several maxima, many of them 0.
    z = 100.0 * torch.randint(-1, 2, (2, 1, 7, 7), generator=seeded(5)).expand(2, 8, 7, 7)
    z = z.to(DEVICE).contiguous(memory_format=torch.channels_last)
    fused, plain = pooled(relu, 1, 3, 2, True)
    found, expected = with_gradient(fused, z), with_gradient(plain, z)
    assert (found[1] != 0).equal(expected[1] != 0)
    assert max(relative(*pair) for pair in zip(found, expected, strict=True)) < CLOSE[torch.float32]


def test_nan_stays() -> None:
    z = maps(1, 8, 4, 4)
    z[0, 3, 2, 2] = float("nan")
    assert gpu.relu_lrn(z).isnan().sum() == 5
    assert gpu.relu_lrn_pool(z, ceil=False).isnan().sum() == 5


def test_takes_maps_on_a_gpu_only() -> None:
    assert gpu.takes(maps(1, 8, 2, 2)) == (DEVICE == "cuda")
    assert not gpu.takes(maps(1, 8, 2, 2).double())


def test_the_operators_keep_to_what_torch_compile_expects() -> None:
    settings = 5, 2.0, 1e-4, 0.75, 1
    z = maps(1, 8, 3, 3).requires_grad_()
    torch.library.opcheck(torch.ops.alexnet.lrn, (z, *settings, True))
    torch.library.opcheck(torch.ops.alexnet.lrn_pool, (z, *settings, 3, 2, True, "before"))


def test_torch_compile_goes_over_them() -> None:
    def layers(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(gpu.relu_lrn(z) * 2)

    z = maps(1, 8, 4, 4)
    found = with_gradient(torch.compile(layers, backend="aot_eager", fullgraph=True), z)
    assert all(a.equal(b) for a, b in zip(found, with_gradient(layers, z), strict=True))
