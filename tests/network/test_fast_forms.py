"""The fast forms equal the plain one: normalization alone, with ReLU and pooling in the same pass, and the products."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import fast
from alexnet.network import fused as fused_forms
from alexnet.network import normalization
from alexnet.network.fused import local_response_normalization, map_normalization, relu_lrn_pool
from alexnet.network.layers import Convolution
from alexnet.network.linear import Linear, _available
from alexnet.network.model import AlexNet
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.spec import LRN

from .tiny import seeded, tiny

CHANNELS_LAST = torch.channels_last
CONTIGUOUS = torch.contiguous_format


@pytest.fixture
def loops() -> None:
    pytest.importorskip("numba")


def gradients(form: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = form(x)
    upstream = torch.randn(y.shape, generator=seeded(4), dtype=y.dtype) if upstream is None else upstream
    y.backward(upstream)
    assert x.grad is not None
    return y.detach(), x.grad


def responses(*shape: int, layout: torch.memory_format = CHANNELS_LAST) -> Tensor:
    """Float32 responses, large enough for alpha * sum to weigh as much as k, positive and negative."""
    return (150 * torch.randn(*shape, generator=seeded(3))).to(memory_format=layout)


@pytest.mark.parametrize("layout", [CHANNELS_LAST, CONTIGUOUS])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("shape", [(2, 2, 1, 1), (1, 8, 3, 5), (3, 6, 13, 11), (2, 96, 9, 9)])
def test_the_loops_equal_the_plain_form(
    loops: None, shape: tuple[int, ...], columns: int, layout: torch.memory_format
) -> None:
    x = responses(*shape, layout=layout)
    assert type(local_response_normalization(x.requires_grad_()).grad_fn).__name__ == "_NormalizedBackward"
    expected = gradients(lambda x: plain(x.double(), columns=columns).float(), x)
    for actual, wanted in zip(
        gradients(lambda x: local_response_normalization(x, columns=columns), x), expected, strict=True
    ):
        # A few units in the last place of what is added up: values up to 100, gradients up to 2.
        assert torch.allclose(actual, wanted, rtol=2e-6, atol=2e-6)


def test_the_function_keeps_one_tensor(loops: None) -> None:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        x = responses(2, 8, 5, 5).requires_grad_()
        local_response_normalization(x)
    assert [each.data_ptr() for each in kept] == [x.data_ptr()]


def test_without_compiled_loops_the_plain_form_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: False)
    x = responses(2, 8, 5, 5)
    for form, formula in ((local_response_normalization, plain), (map_normalization, normalization.map_normalization)):
        assert torch.equal(form(x), formula(x))
    assert relu_lrn_pool(x, True, LRN(), 1, nn.MaxPool2d(3, 2)) is None


@pytest.mark.parametrize("lrn", [LRN(n=3), LRN(beta=0.5), LRN(n=7, beta=1.0)])
def test_other_windows_and_powers_are_not_compiled(lrn: LRN) -> None:
    x = responses(1, 8, 3, 3)
    assert torch.equal(local_response_normalization(x, lrn), plain(x, lrn))
    assert relu_lrn_pool(x, True, lrn, 1, nn.MaxPool2d(3, 2)) is None


def in_one_pass(z: Tensor, relu: bool, lrn: LRN | None, columns: int, pool: nn.MaxPool2d) -> Tensor:
    y = relu_lrn_pool(z, relu, lrn, columns, pool)
    assert y is not None
    return y


@pytest.mark.parametrize(("relu", "columns"), [(True, 1), (True, 2), (False, 1), (False, 2), (True, None)])
@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 2), nn.MaxPool2d(3, 1)]
)
@pytest.mark.parametrize("size", [(7, 7), (8, 6), (4, 9)])
def test_normalization_and_pooling_in_one_pass(
    loops: None, size: tuple[int, int], pool: nn.MaxPool2d, columns: int | None, relu: bool
) -> None:
    z = responses(3, 12, *size)
    lrn = LRN() if columns else None
    y, gradient = gradients(lambda z: in_one_pass(z, relu, lrn, columns or 1, pool), z)
    assert y.is_contiguous(memory_format=CHANNELS_LAST)

    def apart(z: Tensor) -> Tensor:
        x = F.relu(z) if relu else z
        return pool(local_response_normalization(x, lrn, columns) if lrn else x)

    # The same loops apart, so that rounding decides no maximum another way; they equal the plain form by the test above.
    wanted, wanted_gradient = gradients(apart, z)
    assert torch.equal(y, wanted)
    assert torch.allclose(gradient, wanted_gradient, rtol=2e-6, atol=2e-6)


def test_equal_maxima_go_to_the_first_and_a_nan_stays_one(loops: None) -> None:
    pool = nn.MaxPool2d(3, 2)
    zeros = torch.zeros(1, 4, 3, 3).to(memory_format=CHANNELS_LAST)
    _, gradient = gradients(lambda z: in_one_pass(z, False, LRN(), 1, pool), zeros, torch.ones(1, 4, 1, 1))
    expected = torch.zeros(1, 4, 3, 3)
    expected[:, :, 0, 0] = 2**-0.75
    assert torch.allclose(gradient, expected)
    spoilt = responses(1, 4, 5, 5)
    spoilt[0, 1, 4, 4] = torch.nan
    for relu in (True, False):
        assert in_one_pass(spoilt, relu, LRN(), 1, pool)[0, :, 1, 1].isnan().any()
        assert not in_one_pass(spoilt, relu, LRN(), 1, pool)[0, :, 0, 0].isnan().any()


@pytest.fixture
def fused(loops: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers that AlexNet has taken in one pass, as "relu+norm+pool"."""
    taken: list[str] = []
    right = fused_forms.relu_lrn_pool

    def noted(x: Tensor, relu: bool, lrn: LRN | None, columns: int, pool: nn.MaxPool2d) -> Tensor | None:
        taken.append("+".join(["relu"] * relu + ["norm"] * (lrn is not None) + ["pool"]))
        return right(x, relu, lrn, columns, pool)

    monkeypatch.setattr(fused_forms, "relu_lrn_pool", noted)
    return taken


def images_for(model: AlexNet) -> Tensor:
    side = model.spec.input_size
    return (50 * torch.randn(2, 3, side, side, generator=seeded(2))).to(memory_format=CHANNELS_LAST)


def last_by_layers(model: AlexNet, images: Tensor) -> Tensor:
    return list(model.activations(images).values())[-1]


def test_a_network_goes_through_the_fused_layers_to_the_same_logits(fused: list[str]) -> None:
    model = AlexNet(tiny, seeded(1)).to(memory_format=CHANNELS_LAST).eval()
    images = images_for(model)
    assert torch.allclose(model(images), last_by_layers(model, images), rtol=1e-5, atol=1e-6)
    wanted = [name for name in ("norm1", "norm2") if hasattr(model, name)]
    assert wanted and fused[: len(wanted)] == ["relu+norm+pool"] * len(wanted)


def test_a_hook_on_a_layer_is_called_although_its_layers_could_be_fused(fused: list[str]) -> None:
    model = AlexNet(tiny, seeded(1)).to(memory_format=CHANNELS_LAST)
    images = images_for(model)
    model(images)
    without = len(fused)
    seen: list[tuple[int, ...]] = []
    handle = model.get_submodule("norm1").register_forward_hook(lambda layer, given, out: seen.append(tuple(out.shape)))
    model(images)
    assert len(fused) == 2 * without - 1
    handle.remove()
    model(images)
    assert len(fused) == 3 * without - 1
    assert seen == [tuple(model.activations(images)["norm1"].shape)]


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, padding=1),
        nn.MaxPool2d(2, 2, dilation=2),
        nn.MaxPool2d((3, 3), (2, 2)),
        nn.MaxPool2d(2, 3),
        nn.MaxPool2d(16, 1),
    ],
)
def test_a_pooling_that_the_loops_do_not_know_is_not_fused(loops: None, pool: nn.MaxPool2d) -> None:
    assert relu_lrn_pool(responses(1, 4, 20, 20), True, LRN(), 1, pool) is None


def test_a_layer_that_was_replaced_does_what_it_says(fused: list[str]) -> None:
    class Halved(nn.ReLU):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) / 2

    model = AlexNet(tiny, seeded(1)).to(memory_format=CHANNELS_LAST).eval()
    model(images_for(model))
    before = len(fused)
    model.set_submodule("relu1", Halved())
    expected = last_by_layers(model, images_for(model))
    assert torch.allclose(model(images_for(model)), expected, rtol=1e-5, atol=1e-6)
    assert fused[before] == "norm+pool"


def test_functorch_and_second_derivatives_of_the_plain_form(loops: None) -> None:
    model = AlexNet(tiny, seeded(1)).to(memory_format=CHANNELS_LAST).eval()
    images = images_for(model)

    def loss(weight: Tensor) -> Tensor:
        return torch.func.functional_call(model, {"conv1.weight": weight}, (images,)).square().sum()

    weight = model.get_submodule("conv1").get_parameter("weight")
    (expected,) = torch.autograd.grad(model(images).square().sum(), weight)
    assert torch.allclose(
        torch.func.grad(loss)(weight.detach()), expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.skipif(not _available(), reason="this build of PyTorch has no oneDNN product")
def test_the_product_and_its_gradients_equal_torchs() -> None:
    layer = Linear(37, 21)
    x = torch.randn(5, 37, generator=seeded(5)).requires_grad_()
    upstream = torch.randn(5, 21, generator=seeded(6))
    layer(x).backward(upstream)
    assert type(layer(x).grad_fn).__name__ == "_ProductBackward"
    computed = [x.grad, layer.weight.grad, layer.bias.grad]
    x.grad = layer.weight.grad = layer.bias.grad = None
    F.linear(x, layer.weight, layer.bias).backward(upstream)
    for actual, wanted in zip(computed, [x.grad, layer.weight.grad, layer.bias.grad], strict=True):
        assert actual is not None and wanted is not None
        assert torch.allclose(actual, wanted, rtol=1e-5, atol=1e-5)


def test_only_what_needs_a_gradient_gets_one() -> None:
    layer = Linear(7, 3).requires_grad_(False)
    x = torch.randn(2, 7, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None


@pytest.mark.parametrize("layout", [CHANNELS_LAST, CONTIGUOUS])
@pytest.mark.parametrize(
    ("inputs", "size", "window", "stride", "padding", "groups", "overhang"),
    [
        (3, 32, 11, 4, 0, 1, 3),  # as the paper's conv1: the last window hangs over
        (3, 35, 11, 4, 0, 1, 0),
        (3, 33, 11, 4, 2, 1, 0),  # as torchvision's, with pixels that go unread
        (3, 28, 5, 2, 0, 1, 1),
        (3, 9, 3, 1, 1, 1, 0),
        (8, 9, 3, 1, 1, 2, 0),
        (4, 9, 3, 2, 0, 1, 0),
    ],
)
def test_a_convolution_and_its_gradients_equal_torchs(
    inputs: int,
    size: int,
    window: int,
    stride: int,
    padding: int,
    groups: int,
    overhang: int,
    layout: torch.memory_format,
) -> None:
    layer = Convolution(inputs, 6, window, stride, padding, groups, overhang).to(memory_format=layout)
    images = torch.randn(3, inputs, size, size, generator=seeded(7)).to(memory_format=layout)
    for wanted in (False, True):
        x = images.clone(memory_format=torch.preserve_format).requires_grad_(wanted)
        y = layer(x)
        assert (type(y.grad_fn).__name__ == "ConvolvedBackward") == (layout == CHANNELS_LAST)
        upstream = torch.randn(y.shape, generator=seeded(8))
        y.backward(upstream)
        computed = [y, layer.weight.grad, layer.bias.grad, x.grad]
        layer.weight.grad = layer.bias.grad = x.grad = None
        expected = F.conv2d(F.pad(x, (0, overhang, 0, overhang)), layer.weight, layer.bias, stride, padding, 1, groups)
        expected.backward(upstream)
        for actual, right in zip(computed, [expected, layer.weight.grad, layer.bias.grad, x.grad], strict=True):
            assert (actual is None) == (right is None)
            assert actual is None or torch.allclose(actual, right, rtol=1e-5, atol=1e-4)
        layer.weight.grad = layer.bias.grad = None


@pytest.mark.skipif(not _available(), reason="this build of PyTorch has no oneDNN product")
def test_odd_inputs_of_a_product_are_torchs_own_business() -> None:
    layer = Linear(7, 3)
    empty = torch.zeros(0, 7, requires_grad=True)
    layer(empty).sum().backward()
    assert layer.weight.grad is not None and not layer.weight.grad.any()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(torch.zeros(2, 8))


def test_a_changed_convolution_trains_as_it_computes(loops: None) -> None:
    for change in (
        {"dilation": (2, 2)},
        {"padding_mode": "circular", "_reversed_padding_repeated_twice": [1] * 4},
        {"bias": None},
    ):
        layer = Convolution(4, 6, 3, 1, 1).to(memory_format=CHANNELS_LAST)
        for name, value in change.items():
            setattr(layer, name, value)
        x = torch.randn(2, 4, 9, 9, generator=seeded(1)).to(memory_format=CHANNELS_LAST)
        with torch.no_grad():
            expected = layer(x)
        y = layer(x)
        assert torch.allclose(y, expected, atol=1e-5)
        y.sum().backward()


# --- bf16: the same loops, which read and give bf16 and compute in float32 ---------------------------------------------


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("columns", [1, 2, None])
def test_the_pass_in_bf16_is_that_in_float32_rounded_once(loops: None, columns: int | None, relu: bool) -> None:
    if columns is None and not relu:
        pytest.skip("there is nothing to fuse")
    lrn, pool = (LRN() if columns else None), nn.MaxPool2d(3, 2, ceil_mode=True)
    z = responses(3, 32, 13, 13).bfloat16()
    upstream = torch.randn(3, 32, 6, 6, generator=seeded(5)).bfloat16().to(memory_format=CHANNELS_LAST)
    y, gradient = gradients(lambda z: in_one_pass(z, relu, lrn, columns or 1, pool), z, upstream)
    wanted, wanted_gradient = gradients(
        lambda z: in_one_pass(z, relu, lrn, columns or 1, pool), z.float(), upstream.float()
    )
    assert y.dtype == gradient.dtype == torch.bfloat16
    assert torch.equal(y, wanted.bfloat16()) and torch.equal(gradient, wanted_gradient.bfloat16())


@pytest.mark.parametrize("columns", [1, 2])
def test_normalization_alone_in_bf16_is_that_in_float32_rounded_once(loops: None, columns: int) -> None:
    x, upstream = responses(2, 16, 5, 7).bfloat16(), responses(2, 16, 5, 7).bfloat16()
    here = gradients(lambda x: local_response_normalization(x, columns=columns), x, upstream)
    there = gradients(lambda x: local_response_normalization(x, columns=columns), x.float(), upstream.float())
    assert all(torch.equal(one, other.bfloat16()) for one, other in zip(here, there, strict=True))


# --- the second normalization of the 2012 program -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 8, 13, 11), (1, 4, 1, 1), (2, 16, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loop_of_map_normalization_equals_the_formula(
    loops: None, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    x = responses(*shape).to(dtype)
    upstream = responses(*shape).to(dtype)
    assert type(map_normalization(x.requires_grad_()).grad_fn).__name__ == "_NormalizedBackward"
    here = gradients(map_normalization, x, upstream)
    there = gradients(normalization.map_normalization, x.double(), upstream.double())
    accuracy = 2e-6 if dtype == torch.float32 else 2**-8  # of bf16: half a unit in the last place
    for one, other in zip(here, there, strict=True):
        assert torch.allclose(one.double(), other, rtol=accuracy, atol=100 * accuracy)
