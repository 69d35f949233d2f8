"""The Triton kernels of §3.3 against the plain form in float64, gradients included; whole networks' logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network import normalization
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network

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
    ("device", "channels", "side", "columns", "size", "beta", "dtype"),
    cases(
        [
            (16, 3, 1, 5, 0.75, torch.float32),
            (16, 3, 2, 5, 0.75, torch.float32),
            (16, 3, 2, 5, 0.75, LOW),  # rows of eight kernels: one row a column
            (32, 3, 2, 5, 0.75, torch.float16),
            (16, 3, 2, 3, 0.5, torch.float32),
            (10, 3, 2, 5, 0.75, torch.float32),  # columns that rows of four do not fill
            (16, 3, 1, 9, 0.75, torch.float32),  # a window wider than rows of four
            (32, 8, 2, 5, 0.75, torch.float32),  # more rows than a block of 128
        ],
        [
            (96, 55, 1, 5, 0.75, LOW),
            (256, 27, 2, 5, 0.75, LOW),
            # A column with two kernels of the other beside it: a window across, where each column is on a device of its own.
            (50, 55, 1, 5, 0.75, LOW),
            (96, 55, 1, 5, 0.75, torch.float32),
        ],
    ),
)
def test_normalization_and_its_gradient_equal_the_plain_form(
    device: str, channels: int, side: int, columns: int, size: int, beta: float, dtype: torch.dtype, format: str
) -> None:
    how = size, 2.0, 1e-4, beta, columns
    x = maps(device, 2, channels, side, side + 2, dtype=dtype, format=format)
    assert_equal_forms(lambda x: gpu.local_response_normalization(x, *how), lambda x: normalization.plain(x, *how), x)


@each_device
def test_gradients_of_other_layouts_and_none_at_all(device: str) -> None:
    x = maps(device, 1, 8, 2, 2).requires_grad_()
    gpu.local_response_normalization(x).sum().backward()  # its gradient is one number, expanded
    wide = x.detach().double().requires_grad_()
    normalization.plain(wide).sum().backward()
    assert x.grad is not None and wide.grad is not None and apart([x.grad], [wide.grad]) < CLOSE[torch.float32]
    assert gpu.local_response_normalization(x[:0]).shape == (0, 8, 2, 2)
    assert gpu.relu_lrn_pool(maps(device, 1, 8, 4, 4)[:0]).shape == (0, 8, 2, 2)


def pooled(relu: str, columns: int = 1, window: int = 3, stride: int = 2, ceil: bool = True) -> tuple[Form, Form, Form]:
    """The fused form; the same in three steps of torch; and the first two of these."""

    def fused(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(z, 5, 2.0, 1e-4, 0.75, columns, window, stride, ceil, relu)

    def normalized(z: Tensor) -> Tensor:
        return normalization.plain(z.relu() if relu == "before" else z, 5, 2.0, 1e-4, 0.75, columns)

    def plain(z: Tensor) -> Tensor:
        return F.max_pool2d(normalized(z), window, stride, ceil_mode=ceil)

    return fused, plain, normalized


@pytest.mark.parametrize(
    ("device", "channels", "side", "relu", "dtype", "columns", "window", "stride", "ceil", "format"),
    cases(
        [
            (16, 6, "before", torch.float32, 2, 3, 2, True, "channels-last"),
            (16, 6, "before", LOW, 1, 3, 2, False, "channels-last"),
            (16, 6, "none", torch.float32, 2, 2, 2, True, "channels-last"),
            (16, 6, "none", torch.float32, 2, 3, 2, True, "contiguous"),  # not fused, but the same function
        ],
        [
            (96, 55, "before", LOW, 1, 3, 2, True, "channels-last"),
            (256, 27, "before", LOW, 2, 3, 2, True, "channels-last"),
            (
                96,
                55,
                "none",
                LOW,
                2,
                3,
                2,
                True,
                "channels-last",
            ),  # layer 1 of the 2012 program: ReLU after the pooling
            (32, 14, "before", torch.float16, 1, 3, 2, True, "channels-last"),  # the last window hangs over the edge
        ],
    ),
)
def test_fused_with_relu_and_pooling(
    device: str,
    channels: int,
    side: int,
    relu: str,
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
@pytest.mark.parametrize("relu", ["before", "none"])
def test_of_equal_maxima_the_first_gets_the_gradient(device: str, relu: str) -> None:
    # Few values, the same in all kernels: most windows have several maxima, many of them 0.
    z = 100.0 * torch.randint(-1, 2, (2, 1, 7, 7), generator=seeded(5)).expand(2, 8, 7, 7)
    z = z.to(device).contiguous(memory_format=torch.channels_last)
    g = torch.randn(2, 8, 3, 3, generator=seeded(4))
    found, expected = (with_gradient(form, z, g) for form in pooled(relu)[:2])
    assert (found[1] != 0).equal(expected[1] != 0)
    assert apart(found, expected) < CLOSE[torch.float32]


@each_device
def test_nan_stays(device: str) -> None:
    z = maps(device, 1, 8, 4, 4)
    z[0, 3, 2, 2] = float("nan")
    assert gpu.local_response_normalization(z).isnan().sum() == 5
    assert gpu.relu_lrn_pool(z, ceil=False).isnan().sum() == 5


@each_device
def test_takes_maps_on_a_gpu_only(device: str) -> None:
    assert gpu.takes(maps(device, 1, 8, 2, 2)) == GPU
    assert not gpu.takes(maps(device, 1, 8, 2, 2).double())


@each_device
def test_the_operators_keep_to_what_torch_compile_expects(device: str) -> None:
    settings = 5, 2.0, 1e-4, 0.75, 1
    z = maps(device, 1, 8, 3, 3).requires_grad_()
    torch.library.opcheck(torch.ops.alexnet.lrn, (z, *settings, True))
    torch.library.opcheck(torch.ops.alexnet.lrn_pool, (z, *settings, 3, 2, True, "before"))


@each_device
def test_torch_compile_goes_over_them(device: str) -> None:
    def layers(z: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(gpu.local_response_normalization(z) * 2)

    z, g = maps(device, 1, 8, 4, 4), torch.randn(1, 8, 2, 2, generator=seeded(4))
    found = with_gradient(torch.compile(layers, backend="aot_eager", fullgraph=True), z, g)
    assert all(a.equal(b) for a, b in zip(found, with_gradient(layers, z, g), strict=True))


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
