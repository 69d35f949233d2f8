"""The Triton kernels of §3.3 against the plain form in float64, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network import fused as fused_forms
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.spec import LRN

from ..triton_device import DEVICE, relative
from .tiny import seeded

pytest.importorskip("triton")
from alexnet.network import gpu  # noqa: E402
from alexnet.network.gpu_kernels import ROWS  # noqa: E402

CAFFE = LRN(k=1.0, alpha=2e-5)
# Rounding; a GPU takes roots to an ulp or two, the interpreter rounds bfloat16 towards zero.
CLOSE = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
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
    ("channels", "columns", "lrn", "dtype"),
    [
        (16, 1, LRN(), torch.float32),
        (16, 2, LRN(), torch.float32),
        (16, 2, LRN(), torch.bfloat16),  # rows of eight kernels: one row a column
        (32, 2, LRN(k=1.0, alpha=2e-5), torch.bfloat16),
        (10, 1, LRN(), torch.bfloat16),  # a column with two kernels of the other beside it: the last row lacks six
    ],
)
def test_normalization_and_its_gradient_equal_the_plain_form(
    channels: int, columns: int, lrn: LRN, dtype: torch.dtype, format: str
) -> None:
    x = maps(2, channels, 3, 5, dtype=dtype, format=format)
    actual = with_gradient(lambda x: gpu.local_response_normalization(x, lrn, columns), x)
    expected = with_gradient(lambda x: plain(x, lrn, columns), x.double())
    assert actual[0].dtype == dtype and actual[0].shape == x.shape
    assert max(relative(*pair) for pair in zip(actual, expected, strict=True)) < CLOSE[dtype]


def test_more_rows_than_a_block() -> None:
    x = maps(3, 32, 5, 7)
    actual = with_gradient(lambda x: gpu.local_response_normalization(x, CAFFE, 2), x)
    expected = with_gradient(lambda x: plain(x, CAFFE, 2), x.double())
    assert x.numel() // 4 > 2 * ROWS.value
    assert max(relative(*pair) for pair in zip(actual, expected, strict=True)) < CLOSE[torch.float32]


def test_gradients_of_other_layouts_and_none_at_all() -> None:
    x = maps(1, 8, 2, 2).requires_grad_()
    gpu.local_response_normalization(x, LRN(), 1).sum().backward()  # its gradient is one number, expanded
    wide = x.detach().double().requires_grad_()
    plain(wide).sum().backward()
    assert x.grad is not None and wide.grad is not None and relative(x.grad, wide.grad) < CLOSE[torch.float32]
    assert gpu.local_response_normalization(x[:0], LRN(), 1).shape == (0, 8, 2, 2)
    assert gpu.relu_lrn_pool(maps(1, 8, 4, 4)[:0], True, LRN(), 1, 3, 2, True).shape == (0, 8, 2, 2)


def pooled(relu: bool, columns: int, window: int, stride: int, ceil: bool):  # type: ignore[no-untyped-def]
    """The fused form, and the same in three steps of torch."""

    def fused(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(z, relu, LRN(), columns, window, stride, ceil)

    def apart(z: Tensor) -> Tensor:
        return F.max_pool2d(plain(z.relu() if relu else z, LRN(), columns), window, stride, ceil_mode=ceil)

    return fused, apart


@pytest.mark.parametrize(
    ("relu", "dtype", "columns", "window", "stride", "ceil", "format"),
    [
        (True, torch.float32, 2, 3, 2, True, "channels-last"),
        (True, torch.bfloat16, 1, 3, 2, False, "channels-last"),
        (False, torch.float32, 1, 3, 2, True, "channels-last"),
        (False, torch.float32, 2, 2, 2, True, "channels-last"),
        (True, torch.float32, 2, 3, 1, True, "contiguous"),
    ],
)
def test_fused_with_relu_and_pooling(
    relu: bool, dtype: torch.dtype, columns: int, window: int, stride: int, ceil: bool, format: str
) -> None:
    z = maps(2, 16, 6, 5, dtype=dtype, format=format)
    fused, apart = pooled(relu, columns, window, stride, ceil)
    actual, expected = with_gradient(fused, z), with_gradient(apart, z.double())
    assert actual[0].shape == expected[0].shape and actual[1].stride() == z.stride()
    assert max(relative(*pair) for pair in zip(actual, expected, strict=True)) < CLOSE[dtype]


@pytest.mark.parametrize("relu", [True, False])
def test_of_equal_maxima_the_first_gets_the_gradient(relu: bool) -> None:
    # Few values, the same in all kernels: most windows have several maxima, many of them 0.
    z = 100.0 * torch.randint(-1, 2, (2, 1, 7, 7), generator=seeded(5)).expand(2, 8, 7, 7)
    z = z.to(DEVICE).contiguous(memory_format=torch.channels_last)
    fused, apart = pooled(relu, 1, 3, 2, True)
    actual, expected = with_gradient(fused, z), with_gradient(apart, z)
    assert (actual[1] != 0).equal(expected[1] != 0)
    assert max(relative(*pair) for pair in zip(actual, expected, strict=True)) < CLOSE[torch.float32]


def test_fused_with_a_row_that_is_not_full() -> None:
    z = maps(2, 10, 6, 5)
    fused, apart = pooled(True, 1, 3, 2, True)
    actual, expected = with_gradient(fused, z), with_gradient(apart, z.double())
    assert actual[0].shape == expected[0].shape
    assert max(relative(*pair) for pair in zip(actual, expected, strict=True)) < CLOSE[torch.float32]


def test_nan_stays() -> None:
    z = maps(1, 8, 4, 4)
    z[0, 3, 2, 2] = float("nan")
    assert gpu.local_response_normalization(z, LRN(), 1).isnan().sum() == 5
    assert gpu.relu_lrn_pool(z, True, LRN(), 1, 3, 2, False).isnan().sum() == 5


def test_only_maps_on_a_gpu_get_here() -> None:
    assert (fused_forms._form(maps(1, 8, 2, 2), LRN(), 1) is gpu) == (DEVICE == "cuda")
    assert fused_forms._form(maps(1, 8, 2, 2).double(), LRN(), 1) is None


def test_the_operators_keep_to_what_torch_compile_expects() -> None:
    z = maps(1, 8, 3, 3).requires_grad_()
    torch.library.opcheck(torch.ops.alexnet.lrn, (z, 2.0, 1e-4, 1))
    torch.library.opcheck(torch.ops.alexnet.lrn_pool, (z, 2.0, 1e-4, 1, 3, 2, True, True))


def test_torch_compile_goes_over_them() -> None:
    def layers(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(gpu.local_response_normalization(z, LRN(), 1) * 2, True, LRN(), 1, 3, 2, True)

    z = maps(1, 8, 4, 4)
    compiled = with_gradient(torch.compile(layers, backend="aot_eager", fullgraph=True), z)
    assert all(a.equal(b) for a, b in zip(compiled, with_gradient(layers, z), strict=True))
