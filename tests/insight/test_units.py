"""What excites a unit: its field is what autograd says it reads, and its patches are the best of all images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.errors import InputError
from alexnet.insight import layers, units
from alexnet.insight.units import Field
from alexnet.network.layers import MapNormalization
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.spec import Hidden, Network
from tests.conftest import TINY_NETWORK


def convolutions(spec: Network) -> AlexNet:
    """A network without its large fully connected layers."""
    return AlexNet(replace(spec, hidden=(Hidden(2),) if spec.hidden else (), classes=2, links=("fc6",), columns=1))


def reading(network: AlexNet, layer: str) -> nn.Sequential:
    """The layers up to the activations of `layer`, each in a form that is linear and leaves out nothing that it reads."""
    parts: list[nn.Module] = []
    last = layers.activated(network, layer)
    for name, module in network.named_children():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
            parts.append(module)
        elif isinstance(module, nn.MaxPool2d):
            parts.append(nn.AvgPool2d(module.kernel_size, module.stride, ceil_mode=module.ceil_mode))
        elif isinstance(module, MapNormalization):
            parts.append(nn.AvgPool2d(5, 1, 2))
        if name == last:
            break
    return nn.Sequential(*parts).double()


@pytest.mark.parametrize(
    ("spec", "layer"),
    [
        (networks["paper"], "conv1"),
        (networks["paper"], "conv2"),
        (networks["paper"], "conv5"),
        (replace(networks["paper"], conv6=True), "conv6"),
        (networks["authors-2012"], "conv1"),
        (networks["authors-2012"], "conv3"),
        (networks["non-overlapping"], "conv5"),
        (networks["torchvision"], "conv3"),
        (networks["four-layer"], "conv1"),
        (networks["four-layer"], "conv3"),
        (networks["small"], "conv2"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_the_field_is_what_a_gradient_reaches(spec: Network, layer: str) -> None:
    network = convolutions(spec)
    field = units.receptive_field(network, layer)
    image = torch.zeros(1, 3, spec.input_size, spec.input_size, dtype=torch.float64, requires_grad=True)
    maps = reading(network, layer)(image)
    side = maps.shape[-1]
    for row, column in ((0, side - 1), (side // 2, side // 2), (side - 1, 1)):
        (gradient,) = torch.autograd.grad(maps[0, 0, row, column], image, retain_graph=True)
        rows, columns = (gradient[0, 0].abs().sum(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
        for reached, at in ((rows, row), (columns, column)):
            first = field.start + at * field.stride
            assert reached == list(range(max(0, first), min(spec.input_size, first + field.size)))


def test_the_papers_fields() -> None:
    network = convolutions(networks["paper"])
    sizes = {
        layer: units.receptive_field(network, layer).size for layer in ("conv1", "conv2", "conv3", "conv4", "conv5")
    }
    assert sizes == {"conv1": 11, "conv2": 51, "conv3": 99, "conv4": 131, "conv5": 163}
    assert units.receptive_field(network, "fc6") == units.receptive_field(network, "fc7") == Field(224, 0, 0)


def test_layers_that_are_not_there_are_refused() -> None:
    network = AlexNet(TINY_NETWORK)
    with pytest.raises(InputError, match="conv9.*conv1, conv2, conv3, fc4, fc5, fc6"):
        units.receptive_field(network, "conv9")


def test_units_that_are_not_there_are_refused(tiny_run: Path) -> None:
    for wrong in (-1, 16):
        with pytest.raises(InputError, match=rf"--units {wrong}: conv1 has the units 0 to 15"):
            units.patches(tiny_run, layer="conv1", units=[3, wrong], device="cpu")


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_the_strongest_are_the_best_of_all_images_one_place_each(batch: int) -> None:
    maps = torch.randn(50, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    strongest = units.strongest(maps.split(batch), 3)
    highest, at = maps.flatten(2).max(dim=2)
    values, images = highest.sort(dim=0, descending=True)
    assert torch.equal(strongest.values, values[:3].T) and torch.equal(strongest.images, images[:3].T)
    for unit in range(6):
        for value, image, (row, column) in zip(
            strongest.values[unit], strongest.images[unit], strongest.places[unit].tolist(), strict=True
        ):
            assert maps[image, unit, row, column] == value == highest[image, unit]


def test_of_equal_activations_the_earlier_image_is_shown() -> None:
    strongest = units.strongest(torch.ones(9, 2, 3, 3).split(2), 4)
    assert strongest.images.tolist() == [[0, 1, 2, 3]] * 2


def test_fewer_images_than_asked_for_and_layers_without_maps() -> None:
    strongest = units.strongest([torch.tensor([[1.0, 4.0], [3.0, 2.0]])], 9)
    assert strongest.images.tolist() == [[1, 0], [0, 1]] and strongest.places.tolist() == [[[0, 0]] * 2] * 2
    with pytest.raises(ValueError, match="no activations"):
        units.strongest([], 1)


def test_the_units_shown_are_the_strongest_equally_many_of_a_column() -> None:
    values = torch.tensor([[5.0], [9.0], [7.0], [1.0], [2.0], [3.0]])
    strongest = units.Strongest(values, torch.zeros(6, 1, dtype=torch.int64), torch.zeros(6, 1, 2, dtype=torch.int64))
    assert units.choose(strongest, 2, number=4) == [1, 2, 5, 4]
    assert units.choose(strongest, 1, number=4) == [1, 2, 0, 5]


def test_classes_belong_to_no_column() -> None:
    network = AlexNet(TINY_NETWORK)
    assert [units.columns_of(network, layer) for layer in ("conv1", "fc5", "fc6")] == [2, 2, 1]


def test_a_patch_is_grey_beyond_the_edge() -> None:
    seen = np.arange(10 * 10 * 3, dtype=np.uint8).reshape(10, 10, 3) % 200
    field = Field(4, 2, -1)
    assert (units.patch(seen, field, (1, 2)) == seen[1:5, 3:7]).all()
    corner = units.patch(seen, field, (0, 4))
    assert (corner[1:, :3] == seen[0:3, 7:10]).all()
    assert (corner[0] == 225).all() and (corner[:, 3] == 225).all()


def test_of_a_field_larger_than_the_image_all_of_it_is_shown() -> None:
    seen = np.full((6, 6, 3), 7, np.uint8)
    cut = units.patch(seen, Field(9, 2, -6), (1, 3))
    assert cut.shape == seen.shape
    assert (cut[:5] == 7).all() and (cut[5:] == 225).all(), "rows -4 to 4 and columns 0 to 8 are read"
    assert (units.patch(seen, Field(6, 0, 0), (0, 0)) == seen).all()
