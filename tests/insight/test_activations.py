"""The activations of every layer for one image: which are shown, and that looking does not change what is computed."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from alexnet.data.prepared import Prepared
from alexnet.insight import activations, layers, picture
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.run import recipes
from alexnet.run.network_file import Contents
from alexnet.run.trained import TrainedNetwork, load
from tests.conftest import TINY_NETWORK


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def untrained(spec: str | None = None, **changes: object) -> TrainedNetwork:
    """A network as it starts, for images 4 pixels larger than its input."""
    network = AlexNet(replace(networks[spec] if spec else TINY_NETWORK, classes=4, **changes))  # type: ignore[arg-type]
    size = network.spec.input_size + 4
    recipe = replace(recipes.demo, network=network.spec, image_size=size)
    mean = np.full((size, size, 3), 120, np.float32)
    contents = Contents(Path("none"), recipe, {}, tuple("abcd"), mean, np.ones(3), np.eye(3), "step-00000000")
    return TrainedNetwork(Path("none"), contents, network)


def photograph(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_steps_and_activations_have_their_names() -> None:
    small = layers.steps(AlexNet(networks["small"]))
    assert small["conv1"] == ["conv1", "relu1", "norm1", "pool1"] and small["conv3"] == ["conv3", "relu3"]
    assert small["fc7"] == ["fc7", "relu7"] and small["fc8"] == ["fc8"]
    four = AlexNet(replace(networks["four-layer"], order="pool-relu-norm"))
    assert layers.steps(four)["conv1"] == ["conv1", "pool1", "relu1", "norm1"]
    assert layers.activated(four, "conv1") == "relu1" and layers.activated(four, "fc4") == "fc4"
    assert four.feature_name == "flatten"
    tanh = AlexNet(replace(networks["small"], activation="tanh", conv6=True, bottleneck=32))
    assert layers.steps(tanh)["bottleneck"] == ["bottleneck"]
    assert layers.activated(tanh, "bottleneck") == "bottleneck"
    assert layers.activated(tanh, "conv2") == "tanh2" and layers.activated(tanh, "conv6") == "tanh-conv6"
    assert tanh.feature_name == "tanh7"


def test_outputs_are_the_layers_and_leave_no_hooks() -> None:
    network = AlexNet(TINY_NETWORK).eval()
    images = 50 * torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        every = network.activations(images)
        outputs = layers.outputs(network, images, {"relu2", "relu5", "fc6"})
    assert set(outputs) == {"relu2", "relu5", "fc6"}
    for name, output in outputs.items():
        torch.testing.assert_close(output, every[name], rtol=1e-4, atol=1e-4)
    assert not any(layer._forward_hooks for layer in network.children())


def test_what_the_network_sees_is_the_centre_crop() -> None:
    trained = untrained()
    image = photograph(trained.size)
    assert (layers.seen(trained, image[None])[0] == image[2:-2, 2:-2]).all()


def test_every_layer_is_shown_with_its_strongest_kernels(tiny_run: Path, tiny_prepared: Prepared) -> None:
    trained = load(tiny_run)
    image = tiny_prepared.split("train").images[5]
    with torch.inference_mode():
        every = trained.network.activations(trained.prepare(image[None]))
    shown = words(activations.figure(trained, image, "one.png", truth="bars"))
    assert {"one.png", "conv1", "conv2", "conv3", "fc4", "fc5", "fc6", *trained.classes} <= set(shown)
    assert "8 of 8 kernels of column 1;  relu1 13×13,  then pool1 6×6" in shown
    assert shown.count("8 of 8 kernels of column 2") == 3
    numbers = [int(word) for word in shown[shown.index("conv3") :] if word.isdecimal()][:16]
    means = every["relu3"][0].mean(dim=(1, 2))
    assert sorted(numbers[:8]) == list(range(8)) and sorted(numbers[8:]) == list(range(8, 16))
    for column in (numbers[:8], numbers[8:]):
        assert [float(means[k]) for k in column] == sorted((float(means[k]) for k in column), reverse=True)
    active = 100 * float((every["relu5"] > 0).float().mean())
    assert f"16 units in each column, {active:.0f} % above 0" in shown


@pytest.mark.parametrize("spec", ["four-layer", "small", None])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_any_network_can_be_drawn(spec: str | None, activation: str, tmp_path: Path) -> None:
    trained = untrained(spec, activation=activation)
    figure = activations.figure(trained, photograph(trained.size))
    shown = words(figure)
    assert ("fc6" in shown) == (spec != "four-layer")
    assert any(f"{activation}1" in word for word in shown) and ("red below 0" in " ".join(shown)) == (
        activation == "tanh"
    )
    picture.save(figure, tmp_path / "activations.svg")
    ElementTree.fromstring((tmp_path / "activations.svg").read_bytes())


def test_nothing_lies_beyond_the_page(tiny_run: Path, tiny_prepared: Prepared) -> None:
    figure = activations.figure(load(tiny_run), tiny_prepared.split("train").images[0])
    axes = figure.axes[0]
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    for image in axes.images:
        left, right, bottom, top = image.get_extent()
        assert left >= 0 and top >= 0 and right <= width and bottom <= height


def test_maps_are_enlarged_by_whole_pixels_and_large_ones_fitted() -> None:
    maps = torch.rand(2, 13, 13)
    enlarged = activations._enlarged(maps, 65.0)
    assert enlarged.shape == (2, 117, 117) and torch.equal(enlarged[:, ::9, ::9], maps)
    assert activations._enlarged(torch.rand(1, 300, 300), 65.0).shape == (1, 118, 118)
