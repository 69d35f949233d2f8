"""Why a label: each method on networks small enough for its formula to be written out, and on pictures with one cause."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.insight.attribution import Gradients, grad_cam, gradient_times_input, gradients, occlusion
from alexnet.network.model import AlexNet
from alexnet.network.spec import Convolution, Network
from tests.network.tiny import tiny

# One convolution without padding, ReLU, and the classes.
SHORT = Network("short", (Convolution(2, 3, then=("relu",)),), (), classes=2, input_size=6, columns=1, links=())


def short(seed: int = 0) -> AlexNet:
    network = AlexNet(replace(SHORT, last_std=0.3), torch.Generator().manual_seed(seed)).eval().requires_grad_(False)
    network.conv1.weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(seed + 1))
    return network


def view_of(size: int, seed: int = 5) -> Tensor:
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))


def by_hand(network: AlexNet, view: Tensor, label: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, maps, and the label's gradients with respect to the view and to the maps, written out in float64."""
    weight, bias = network.conv1.weight.double(), network.conv1.bias.double()
    x, last = view.double(), network.fc2.weight.double()
    side = x.shape[-1] - 2
    before = torch.zeros(len(weight), side, side, dtype=torch.float64)
    for k in range(len(weight)):
        for i in range(side):
            for j in range(side):
                before[k, i, j] = (x[:, i : i + 3, j : j + 3] * weight[k]).sum() + bias[k]
    maps = before.clamp(min=0)
    logits = last @ maps.flatten() + network.fc2.bias.double()
    of_maps = last[label].reshape(maps.shape)
    of_view = torch.zeros_like(x)
    for k in range(len(weight)):
        for i in range(side):
            for j in range(side):
                if before[k, i, j] > 0:
                    of_view[:, i : i + 3, j : j + 3] += of_maps[k, i, j] * weight[k]
    return logits, maps, of_view, of_maps


@pytest.mark.parametrize("label", [0, 1])
def test_gradients_are_those_written_out(label: int) -> None:
    network, view = short(), view_of(6)
    logits, maps, of_view, of_maps = by_hand(network, view, label)
    found = gradients(network, view, label)
    assert found.score == pytest.approx(float(logits[label]), rel=1e-5)
    assert found.probability == pytest.approx(float(logits.softmax(0)[label]), rel=1e-5)
    np.testing.assert_allclose(found.of_view, of_view, atol=1e-5)
    np.testing.assert_allclose(found.maps, maps, atol=1e-5)
    np.testing.assert_allclose(found.of_maps, of_maps, atol=1e-6)
    product = (of_view * view).sum(0)
    np.testing.assert_allclose(gradient_times_input(found), product / product.abs().max(), atol=1e-4)
    cam = sum(of_maps[k].mean() * maps[k] for k in range(2)).clamp(min=0)
    np.testing.assert_allclose(grad_cam(found), cam / cam.max() if cam.max() else cam, atol=1e-4)


def test_gradient_times_input_shares_out_the_score_of_a_linear_network() -> None:
    # With biases of 0 and everything above 0 the score is the sum of the shares.
    network, view = short(), view_of(6).abs()
    network.conv1.weight.abs_()
    network.conv1.bias.zero_()
    network.fc2.bias.zero_()
    found = gradients(network, view, 0)
    shares = (found.of_view * view).sum()
    assert float(shares) == pytest.approx(found.score, rel=1e-5)


def test_maps_without_anything_for_the_label_are_zero_and_not_nan() -> None:
    nothing = torch.zeros(3, 6, 6)
    found = Gradients(0.0, 0.5, nothing, nothing, torch.ones(2, 4, 4), -torch.ones(2, 4, 4))
    assert grad_cam(found).tolist() == torch.zeros(4, 4).tolist()
    assert gradient_times_input(found).tolist() == torch.zeros(6, 6).tolist()


def test_every_place_is_covered_in_turn_by_a_grey_patch() -> None:
    network, view = short(), view_of(6)
    done: list[tuple[int, int]] = []
    found = occlusion(network, view, patch=2, stride=1, progress=lambda now, total: done.append((now, total)))
    assert found.probabilities.shape == (5, 5, 2) and (found.patch, found.stride) == (2, 1)
    for i in range(5):
        for j in range(5):
            covered = view.clone()
            covered[:, i : i + 2, j : j + 2] = 0
            np.testing.assert_allclose(found.probabilities[i, j], network(covered[None])[0].softmax(0), atol=1e-6)
    assert done == [(0, 25), (13, 25)]


@pytest.mark.parametrize(
    ("size", "patch", "stride", "along"), [(224, 32, 16, 13), (56, 8, 4, 13), (28, 4, 2, 13), (6, 1, 1, 6)]
)
def test_patches_are_a_seventh_of_the_view(size: int, patch: int, stride: int, along: int) -> None:
    class Counting(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 2)

    found = occlusion(Counting(), torch.zeros(3, size, size))  # type: ignore[arg-type]
    assert (found.patch, found.stride, found.probabilities.shape) == (patch, stride, (along, along, 2))


def test_all_agree_on_where_the_one_cause_is() -> None:
    # A network whose label 1 counts bright pixels, and an image with one bright corner.
    network = short()
    network.conv1.weight.fill_(1 / 27)
    network.conv1.bias.zero_()
    network.fc2.weight.zero_()
    network.fc2.weight[1] = 0.5
    network.fc2.bias.zero_()
    view = torch.zeros(3, 6, 6)
    view[:, :2, 4:] = 9.0
    found, grey = gradients(network, view, 1), occlusion(network, view, patch=2, stride=2)
    assert gradient_times_input(found).argmax() in (4, 5, 10, 11)
    assert grad_cam(found).argmax() in (2, 3)
    assert grey.probabilities[..., 1].argmin() == 2


def test_a_network_with_every_mechanism_is_differentiated_as_a_step_in_its_direction_says() -> None:
    network = AlexNet(tiny, torch.Generator().manual_seed(1)).eval().double().requires_grad_(False)
    view = 60 * view_of(32).double()
    found = gradients(network, view, 2)
    step = 1e-5 * torch.randn(view.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        difference = float((network((view + step)[None]) - network((view - step)[None]))[0, 2]) / 2
    assert difference == pytest.approx(float((found.of_view * step).sum()), rel=1e-5)
    maps = F.relu(network.activations(view[None])["conv5"][0])
    np.testing.assert_allclose(found.maps, maps)
