"""§3.3 against loops written from its formula, against PyTorch's own layer, and finite differences through all of them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from alexnet.network.layers import LocalResponseNormalization, MapNormalization
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.normalization import local_response_normalization, map_normalization
from alexnet.network.spec import LRN

from .tiny import seeded, tiny

# (k, alpha of the plain sum)
COEFFICIENTS = {"paper": (2.0, 1e-4), "authors-2012": (2.0, 1e-4 / 5), "caffe": (1.0, 1e-4 / 5)}


def responses(*shape: int, scale: float = 150.0) -> Tensor:
    """Responses large enough for alpha * sum to weigh as much as k."""
    return scale * torch.randn(*shape, generator=seeded(3), dtype=torch.float64)


def by_formula(a: Tensor, n: int, k: float, alpha: float, beta: float) -> Tensor:
    """b_i = a_i / (k + alpha * sum over j from max(0, i - n/2) to min(N - 1, i + n/2) of a_j^2) ^ beta, §3.3."""
    images, kernels, height, width = a.shape
    b = torch.empty_like(a)
    for image in range(images):
        for x in range(width):
            for y in range(height):
                for i in range(kernels):
                    total = 0.0
                    for j in range(max(0, i - n // 2), min(kernels - 1, i + n // 2) + 1):
                        total += float(a[image, j, y, x]) ** 2
                    b[image, i, y, x] = float(a[image, i, y, x]) / (k + alpha * total) ** beta
    return b


@pytest.mark.parametrize("kernels", [2, 4, 12])
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_across_the_columns_equals_the_formula(name: str, kernels: int) -> None:
    k, alpha = COEFFICIENTS[name]
    a = responses(2, kernels, 2, 3)
    expected = by_formula(a, 5, k, alpha, 0.75)
    assert torch.allclose(local_response_normalization(a, LRN(k=k, alpha=alpha)), expected, rtol=1e-12)


@pytest.mark.parametrize("lrn", [LRN(n=3, k=1.5, alpha=1e-3, beta=0.5), LRN(n=7), LRN(n=1, beta=1.0)])
def test_other_coefficients_are_those_of_the_formula(lrn: LRN) -> None:
    model = AlexNet(replace(tiny, lrn=lrn)).double()
    a = responses(1, 4, 2, 3)
    expected = by_formula(a, lrn.n, lrn.k, lrn.alpha, lrn.beta)
    assert torch.allclose(model.get_submodule("norm1")(a), expected, rtol=1e-12)


@pytest.mark.parametrize("kernels", [2, 4, 12])
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_inside_a_column_equals_the_formula_on_each_half(name: str, kernels: int) -> None:
    k, alpha = COEFFICIENTS[name]
    a = responses(2, kernels, 2, 3)
    expected = torch.cat([by_formula(half, 5, k, alpha, 0.75) for half in a.chunk(2, dim=1)], dim=1)
    actual = local_response_normalization(a, LRN(k=k, alpha=alpha), columns=2)
    assert torch.allclose(actual, expected, rtol=1e-12)
    across = local_response_normalization(a, LRN(k=k, alpha=alpha))
    assert not torch.allclose(actual, across, rtol=1e-3)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_equals_pytorchs_layer_whose_alpha_is_divided_by_the_window(name: str) -> None:
    k, alpha = COEFFICIENTS[name]
    a = responses(2, 32, 5, 5)
    reference = nn.LocalResponseNorm(5, alpha=alpha * 5, beta=0.75, k=k)(a)
    assert torch.allclose(local_response_normalization(a, LRN(k=k, alpha=alpha)), reference, rtol=1e-12)


@pytest.mark.parametrize("window", ["across", "column"])
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_the_switches_of_a_network_choose_these_coefficients_and_windows(name: str, window: str) -> None:
    model = AlexNet(replace(tiny, normalization=name, normalization_window=window)).double().eval()  # type: ignore[arg-type]
    a = responses(1, 4, 3, 3)
    halves = a.chunk(2, dim=1) if window == "column" else (a,)
    expected = torch.cat([by_formula(half, 5, *COEFFICIENTS[name], 0.75) for half in halves], dim=1)
    assert torch.allclose(model.get_submodule("norm1")(a), expected, rtol=1e-12)


def test_the_named_networks_normalize_as_their_sources_say() -> None:
    def coefficients(name: str) -> tuple[float, float, int]:
        with torch.device("meta"):
            layer = AlexNet(networks[name]).get_submodule("norm2")
        assert isinstance(layer, LocalResponseNormalization)
        assert (layer.lrn.n, layer.lrn.beta) == (5, 0.75)
        return layer.lrn.k, layer.lrn.alpha, layer.columns

    assert coefficients("paper") == (2, 1e-4, 1)
    assert coefficients("authors-2012") == (2, 1e-4 / 5, 2)
    assert coefficients("caffe") == (1, 1e-4 / 5, 1)
    assert coefficients("one-tower") == (2, 1e-4, 1)


def test_map_normalization_equals_a_loop() -> None:
    a = responses(2, 3, 6, 4)
    expected = torch.empty_like(a)
    for image in range(2):
        for channel in range(3):
            for y in range(6):
                for x in range(4):
                    total = 0.0
                    for v in range(max(0, y - 2), min(5, y + 2) + 1):
                        for u in range(max(0, x - 2), min(3, x + 2) + 1):
                            total += float(a[image, channel, v, u]) ** 2
                    value = float(a[image, channel, y, x])
                    expected[image, channel, y, x] = value * (1 + 0.001 / 25 * total) ** -0.75
    assert torch.allclose(map_normalization(a), expected, rtol=1e-12)


LAYERS = {
    "paper": LocalResponseNormalization(),
    "authors-2012": LocalResponseNormalization(LRN(alpha=1e-4 / 5), columns=2),
    "caffe": LocalResponseNormalization(LRN(k=1.0, alpha=1e-4 / 5)),
    "map": MapNormalization(),
    "batch": nn.BatchNorm2d(6).double(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_finite_differences(name: str) -> None:
    a = responses(2, 6, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(LAYERS[name], (a,), eps=1e-3, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", ["paper", "authors-2012", "map"])
def test_bfloat16_is_summed_in_float32_under_autocast_too(name: str) -> None:
    a = responses(1, 16, 4, 4).to(torch.bfloat16)
    result = LAYERS[name](a)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, LAYERS[name](a.float()).to(torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = LAYERS[name](a.float())
    assert torch.equal(under_autocast, LAYERS[name](a.float()))


def test_inputs_of_unit_variance_make_it_nearly_a_constant_factor() -> None:
    # Why the scale of the pixels matters (FACTS, point "pixel scale").
    a = responses(1, 32, 4, 4, scale=1.0)
    assert torch.allclose(local_response_normalization(a), a * 2**-0.75, rtol=2e-3)
    large = a * 150
    assert not torch.allclose(local_response_normalization(large), large * 2**-0.75, rtol=0.1)
