"""The Triton kernels of §3.3 against the plain form in float64, gradients included; whole networks' logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network import fused as forms
from alexnet.network.model import AlexNet
from alexnet.network.normalization import local_response_normalization as plain_lrn
from alexnet.network.spec import LRN, Network

from ..comparing import (
    CLOSE,
    Form,
    apart,
    assert_equal_forms,
    exact,
    one_maximum,
    plain_twin,
    whole_networks,
    with_gradient,
)
from ..triton_device import GPU, cases, each_device
from .tiny import seeded

pytest.importorskip("triton")
from alexnet.network import gpu  # noqa: E402

LOW = torch.bfloat16
FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def maps(device: str, *shape: int, dtype: torch.dtype = torch.float32, format: str = "channels-last") -> Tensor:
    """Responses large enough for alpha * sum to weigh as much as k."""
    x = 150 * torch.randn(*shape, generator=seeded(3))
    return x.to(device, dtype).contiguous(memory_format=FORMATS[format])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("device", "channels", "side", "columns", "lrn", "dtype"),
    cases(
        [
            (16, 3, 1, LRN(), torch.float32),
            (16, 3, 2, LRN(), LOW),  # rows of eight kernels: one row a column
            (32, 3, 2, LRN(k=1.0, alpha=2e-5), LOW),
            # A column with two kernels of the other beside it, where each column is on a device of its own: the last row lacks six.
            (10, 3, 1, LRN(), LOW),
            (32, 8, 2, LRN(), torch.float32),  # more rows than a block of 128
        ],
        [(96, 55, 1, LRN(), LOW), (256, 27, 2, LRN(), LOW), (50, 55, 1, LRN(), LOW), (96, 55, 1, LRN(), torch.float32)],
    ),
)
def test_normalization_and_its_gradient_equal_the_plain_form(
    device: str, channels: int, side: int, columns: int, lrn: LRN, dtype: torch.dtype, format: str
) -> None:
    x = maps(device, 2, channels, side, side + 2, dtype=dtype, format=format)
    assert_equal_forms(
        lambda x: gpu.local_response_normalization(x, lrn, columns), lambda x: plain_lrn(x, lrn, columns), x
    )


@each_device
def test_gradients_of_other_layouts_and_none_at_all(device: str) -> None:
    x = maps(device, 1, 8, 2, 2).requires_grad_()
    gpu.local_response_normalization(x, LRN(), 1).sum().backward()  # its gradient is one number, expanded
    wide = x.detach().double().requires_grad_()
    plain_lrn(wide, LRN(), 1).sum().backward()
    assert x.grad is not None and wide.grad is not None and apart([x.grad], [wide.grad]) < CLOSE[torch.float32]
    assert gpu.local_response_normalization(x[:0], LRN(), 1).shape == (0, 8, 2, 2)
    assert pooled(True)[0](maps(device, 1, 8, 4, 4)[:0]).shape == (0, 8, 2, 2)


def pooled(
    relu: bool, columns: int = 1, window: int = 3, stride: int = 2, ceil: bool = True
) -> tuple[Form, Form, Form]:
    """The fused form; the same in three steps of torch; and the first two of these."""

    def fused(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(z, relu, LRN(), columns, window, stride, ceil)

    def normalized(z: Tensor) -> Tensor:
        return plain_lrn(z.relu() if relu else z, LRN(), columns)

    def plain(z: Tensor) -> Tensor:
        return F.max_pool2d(normalized(z), window, stride, ceil_mode=ceil)

    return fused, plain, normalized


@pytest.mark.parametrize(
    ("device", "channels", "side", "relu", "dtype", "columns", "window", "stride", "ceil", "format"),
    cases(
        [
            (16, 6, True, torch.float32, 2, 3, 2, True, "channels-last"),
            (16, 6, True, LOW, 1, 3, 2, False, "channels-last"),
            (16, 6, False, torch.float32, 2, 2, 2, True, "channels-last"),
            (16, 6, True, torch.float32, 2, 3, 1, True, "contiguous"),
            (10, 6, True, torch.float32, 1, 3, 2, True, "channels-last"),  # a row that is not full
        ],
        [
            (96, 55, True, LOW, 1, 3, 2, True, "channels-last"),
            (256, 27, True, LOW, 2, 3, 2, True, "channels-last"),
            (96, 55, False, LOW, 2, 3, 2, True, "channels-last"),  # layer 1 of the 2012 program: ReLU after the pooling
            (32, 14, True, LOW, 1, 3, 2, True, "channels-last"),  # the last window hangs over the edge
        ],
    ),
)
def test_fused_with_relu_and_pooling(
    device: str,
    channels: int,
    side: int,
    relu: bool,
    dtype: torch.dtype,
    columns: int,
    window: int,
    stride: int,
    ceil: bool,
    format: str,
) -> None:
    z = maps(device, 2, channels, side, side - 1, dtype=dtype, format=format)
    fused, plain, normalized = pooled(relu, columns, window, stride, ceil)
    assert_equal_forms(fused, plain, z, one_maximum(normalized(z.double()), window, stride, ceil))


@each_device
@pytest.mark.parametrize("relu", [True, False])
def test_of_equal_maxima_the_first_gets_the_gradient(device: str, relu: bool) -> None:
    # Few values, the same in all kernels: most windows have several maxima, many of them 0.
    z = 100.0 * torch.randint(-1, 2, (2, 1, 7, 7), generator=seeded(5)).expand(2, 8, 7, 7)
    z = z.to(device).contiguous(memory_format=torch.channels_last)
    g = torch.randn(2, 8, 3, 3, generator=seeded(4))
    results, expected = (with_gradient(form, z, g) for form in pooled(relu)[:2])
    assert (results[1] != 0).equal(expected[1] != 0)
    assert apart(results, expected) < CLOSE[torch.float32]


@each_device
def test_nan_stays(device: str) -> None:
    z = maps(device, 1, 8, 4, 4)
    z[0, 3, 2, 2] = float("nan")
    assert gpu.local_response_normalization(z, LRN(), 1).isnan().sum() == 5
    assert pooled(True, ceil=False)[0](z).isnan().sum() == 5


@each_device
def test_only_maps_on_a_gpu_get_to_the_kernels(device: str) -> None:
    assert (forms._form(maps(device, 1, 8, 2, 2), LRN(), 1) is gpu) == GPU
    assert forms._form(maps(device, 1, 8, 2, 2).double(), LRN(), 1) is None


@each_device
def test_the_operators_keep_to_what_torch_compile_expects(device: str) -> None:
    z = maps(device, 1, 8, 3, 3).requires_grad_()
    torch.library.opcheck(torch.ops.alexnet.lrn, (z, 2.0, 1e-4, 1))
    torch.library.opcheck(torch.ops.alexnet.lrn_pool, (z, 2.0, 1e-4, 1, 3, 2, True, True))


@each_device
def test_torch_compile_goes_over_them(device: str) -> None:
    def layers(z: Tensor) -> Tensor:
        return pooled(True)[0](gpu.local_response_normalization(z, LRN(), 1) * 2)

    z, g = maps(device, 1, 8, 4, 4), torch.randn(1, 8, 2, 2, generator=seeded(4))
    results = with_gradient(torch.compile(layers, backend="aot_eager", fullgraph=True), z, g)
    assert all(a.equal(b) for a, b in zip(results, with_gradient(layers, z, g), strict=True))


@whole_networks
def test_logits_of_whole_networks_equal_those_of_the_plain_forms(device: str, network: Network) -> None:
    model = AlexNet(network, seeded(1)).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    x = 60 * torch.randn(4, 3, network.input_size, network.input_size, generator=seeded(2)).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), exact():
        expected = plain_twin(model).double()(x.double())
        # Sums of up to 9,216 products, one after another in no order that is known.
        assert apart([model(x)], [expected]) <= 1e-4
        with torch.autocast(device, dtype=LOW):
            assert apart([model(x)], [expected]) <= 0.05
