"""What the page is given of a network and an image: the network's own numbers, by which its arithmetic can be done by hand."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.cli import main
from alexnet.explore import values
from alexnet.explore.session import Session
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.spec import Convolution, Network
from alexnet.run import growth, trained
from alexnet.run.trained import TrainedNetwork
from tests.conftest import CLASSES, TINY_NETWORK, picture
from tests.explore.conftest import Explorer

RUN = "/api/runs/tiny-run"


def json_of(explorer: Explorer, path: str) -> dict:
    answer = explorer.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def array(explorer: Explorer, path: str, shape: list[int]) -> np.ndarray:
    answer = explorer.client.get(path)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<f4").reshape(shape).astype(np.float64)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph larger than the network's images, in a folder called like a class."""
    file = tmp_path / "bars" / "photo.png"
    file.parent.mkdir()
    Image.fromarray(picture("bars", np.random.default_rng(3), 57)[:, 5:]).save(file)
    return file


@pytest.fixture
def uploaded(explorer: Explorer, photo: Path) -> str:
    return explorer.client.post("/api/images", content=photo.read_bytes()).json()["id"]


# The network ----------------------------------------------------------------------------------------------------------


def test_the_steps_are_the_networks_own_with_the_shapes_that_they_give(explorer: Explorer, uploaded: str) -> None:
    network = json_of(explorer, f"{RUN}/network.json")
    ours = explorer.session.run("tiny-run").trained
    names = [name for name, _ in ours.network.named_children() if name != "flatten"]
    assert [step["name"] for step in network["steps"]] == names
    outputs = values.steps(ours, np.zeros((32, 32, 3), np.uint8))
    assert {step["name"]: step["shape"] for step in network["steps"]} == {k: list(v.shape) for k, v in outputs.items()}
    assert (network["classes"], network["columns"], network["links"]) == (list(CLASSES), 2, ["conv3", "fc4", "fc5"])
    assert (network["image_size"], network["input_size"]) == (32, 28)
    assert network["checkpoint"] == ours.checkpoint == f"step-{network['step']:08d}"
    assert network["epochs"] == 12 and network["epochs_kept"] == growth.epochs(explorer.run) == [*range(13)]
    assert network["parameters"] == sum(weight.numel() for weight in ours.network.parameters())


@pytest.mark.parametrize("name", [*networks, "batch", "scaled"])
def test_every_named_network_is_described_step_by_step(name: str) -> None:
    spec = networks.get(name) or replace(
        TINY_NETWORK, **{"batch": {"normalization": "batch"}, "scaled": {"input_scale": 0.5}}[name]
    )
    with torch.device("meta"):
        network = AlexNet(spec)
    steps = {step["name"]: step for step in values.steps_of(network)}
    for child, module in network.named_children():
        if child in ("flatten", "scale"):
            assert child not in steps
            continue
        step = steps[child]
        if isinstance(module, torch.nn.Conv2d):
            assert step["kind"] == "convolution" and step["groups"] == module.groups
            window = network.windows[child]
            assert step["shape"] == [module.out_channels, window.output, window.output]
            reads = (
                math.floor((window.size + step["overhang"] + 2 * step["padding"] - step["kernel"]) / step["stride"]) + 1
            )
            assert reads == window.output
        elif "units" in step:
            assert step["shape"] == [step["units"]] and step["inputs"] == module.weight.shape[-1]
    assert steps["conv1"]["reads"] == "image" and steps["conv1"]["inputs"] == "input"
    assert list(steps.values())[-1]["columns"] == 1
    kinds = {step["kind"] for step in steps.values()}
    assert ("batch-normalization" in kinds) == (name == "batch")
    assert any(step.get("within_map") for step in steps.values()) == (name == "authors-2012")
    json.dumps(list(steps.values()))


def test_the_paper_s_first_layer_has_its_sizes() -> None:
    with torch.device("meta"):
        steps = values.steps_of(AlexNet(networks["paper"]))
    conv1 = steps[0]
    assert conv1["arithmetic"] == "(224+3−11)/4+1 = 55" and conv1["shape"] == [96, 55, 55]
    assert conv1["overhang"] == 3 and conv1["multiply_adds"] == 96 * 3 * 11 * 11 * 55 * 55
    norm = next(step for step in steps if step["name"] == "norm1")
    assert (norm["n"], norm["k"], norm["alpha"], norm["beta"]) == (5, 2, 1e-4, 0.75) and norm["layer"] == "conv1"


# An image -------------------------------------------------------------------------------------------------------------


def test_the_answer_is_that_of_predict(
    explorer: Explorer, uploaded: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for views, key in ((10, "top"), (1, "centre")):
        assert main(["predict", str(explorer.run), str(photo), "--views", str(views), "--json"]) == 0
        (predicted,) = json.loads(capsys.readouterr().out)
        assert json_of(explorer, f"{RUN}/images/{uploaded}/answer.json")[key] == predicted["labels"]


def test_the_answer_is_the_mean_of_its_ten_crops_where_they_lie(explorer: Explorer, uploaded: str) -> None:
    answer = json_of(explorer, f"{RUN}/images/{uploaded}/answer.json")
    ours = explorer.session.run("tiny-run").trained
    square = np.asarray(Image.open(io.BytesIO(explorer.client.get(f"{RUN}/images/{uploaded}/square.png").content)))
    mean = ours.preparation.mean[:, 2:30, 2:30]
    every = []
    for crop in answer["crops"]:
        pixels = torch.from_numpy(square[crop["y"] : crop["y"] + 28, crop["x"] : crop["x"] + 28].copy()).permute(
            2, 0, 1
        )
        view = pixels.float() - mean
        view = view.flip(-1) if crop["mirrored"] else view
        probabilities = ours.judge(view[None]).softmax(dim=1)[0]
        every.append(probabilities)
        for row in crop["top"]:
            np.testing.assert_allclose(row["probability"], float(probabilities[CLASSES.index(row["label"])]), atol=1e-5)
    np.testing.assert_allclose(answer["probabilities"], torch.stack(every).mean(dim=0).detach(), atol=1e-5)
    assert len(every) == 10 and sum(crop["mirrored"] for crop in answer["crops"]) == 5
    assert {(crop["x"], crop["y"]) for crop in answer["crops"]} == {(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)}
    assert abs(sum(answer["probabilities"]) - 1) < 1e-5 and answer["label"] is None


def test_an_image_of_the_dataset_has_its_label_and_is_what_was_prepared(explorer: Explorer) -> None:
    split = explorer.session.data.split("train")
    for number in (0, 30, 95):
        answer = json_of(explorer, f"{RUN}/images/train-{number}/answer.json")
        assert answer["label"] == CLASSES[split.labels[number]]
        square = Image.open(io.BytesIO(explorer.client.get(f"{RUN}/images/train-{number}/square.png").content))
        np.testing.assert_array_equal(np.asarray(square), split.images[number])
        seen = Image.open(io.BytesIO(explorer.client.get(f"{RUN}/images/train-{number}/seen.png").content))
        np.testing.assert_array_equal(np.asarray(seen), split.images[number][2:30, 2:30])


def test_samples_are_those_that_validate_the_first_of_every_class_first(explorer: Explorer) -> None:
    samples = json_of(explorer, "/api/samples.json?count=4")
    assert samples["total"] == 24 and {row["label"] for row in samples["images"]} == set(CLASSES)
    bars = json_of(explorer, "/api/samples.json?label=bars")
    assert bars["total"] == 6 and {row["label"] for row in bars["images"]} == {"bars"}
    whole = [
        row["id"]
        for start in (0, 10, 20)
        for row in json_of(explorer, f"/api/samples.json?start={start}&count=10")["images"]
    ]
    assert len(set(whole)) == 24
    training = json_of(explorer, "/api/samples.json?split=train&count=100")["images"]
    assert len(training) == 72 and not {row["id"] for row in training} & set(whole)


def test_every_step_is_that_of_activations_to_the_bit(explorer: Explorer, uploaded: str) -> None:
    ours = trained.load(explorer.run)
    square = np.asarray(Image.open(io.BytesIO(explorer.client.get(f"{RUN}/images/{uploaded}/square.png").content)))
    with torch.inference_mode():
        view = ours.prepare(square[None])
        wanted = ours.network.activations(view)
    given = array(explorer, f"{RUN}/images/{uploaded}/input.bin", [3, 28, 28])
    np.testing.assert_array_equal(given, view[0])
    for name, output in wanted.items():
        if name != "flatten":
            served = array(explorer, f"{RUN}/images/{uploaded}/steps/{name}.bin", list(output[0].shape))
            np.testing.assert_array_equal(served, output[0])


# By hand --------------------------------------------------------------------------------------------------------------


class ByHand:
    """The steps of an image, and the arithmetic of one value of a step, in float64."""

    def __init__(self, explorer: Explorer, image: str) -> None:
        self.explorer, self.image = explorer, image
        self.steps = {step["name"]: step for step in json_of(explorer, f"{RUN}/network.json")["steps"]}
        self.names = list(self.steps)

    def output(self, name: str) -> np.ndarray:
        if name == "input":
            return array(self.explorer, f"{RUN}/images/{self.image}/input.bin", [3, 28, 28])
        return array(self.explorer, f"{RUN}/images/{self.image}/steps/{name}.bin", self.steps[name]["shape"])

    def before(self, name: str) -> np.ndarray:
        at = self.names.index(name)
        return self.output(self.names[at - 1] if at else "input")

    def convolution(self, name: str, kernel: int, y: int, x: int) -> float:
        step, given = self.steps[name], self.before(name)
        kernels, size = step["shape"][0], step["kernel"]
        channels = len(given) // step["groups"]
        weights = array(self.explorer, f"{RUN}/weights/{name}.bin", [kernels, channels, size, size])
        bias = array(self.explorer, f"{RUN}/weights/{name}-bias.bin", [kernels])
        padding, more = step["padding"], step["padding"] + step["overhang"]
        padded = np.pad(given, ((0, 0), (padding, more), (padding, more)))
        first = kernel // (kernels // step["groups"]) * channels
        top, left = y * step["stride"], x * step["stride"]
        patch = padded[first : first + channels, top : top + size, left : left + size]
        return float((patch * weights[kernel]).sum() + bias[kernel])

    def normalization(self, name: str, kernel: int, y: int, x: int) -> float:
        step, given = self.steps[name], self.before(name)
        near = given[max(0, kernel - step["n"] // 2) : kernel + step["n"] // 2 + 1, y, x]
        return given[kernel, y, x] / (step["k"] + step["alpha"] * (near**2).sum()) ** step["beta"]

    def pooling(self, name: str, kernel: int, y: int, x: int) -> float:
        step, given = self.steps[name], self.before(name)
        top, left = y * step["stride"], x * step["stride"]
        return given[kernel, top : top + step["window"], left : left + step["window"]].max()

    def activation(self, name: str, kernel: int, y: int, x: int) -> float:
        return max(0.0, self.before(name)[kernel, y, x])


def test_the_sums_done_by_hand_are_the_values_served(explorer: Explorer, uploaded: str) -> None:
    hand = ByHand(explorer, uploaded)
    for name, step in hand.steps.items():
        if len(step["shape"]) == 1:
            continue
        served = hand.output(name)
        kernels, height, width = step["shape"]
        for kernel in (0, kernels // 2 - 1, kernels // 2, kernels - 1):
            for y, x in ((0, 0), (height - 1, width - 1), (height // 2, 0)):
                value = getattr(hand, step["kind"])(name, kernel, y, x)
                np.testing.assert_allclose(
                    served[kernel, y, x], value, rtol=1e-4, atol=1e-4, err_msg=f"{name} {kernel} {y} {x}"
                )
    assert {step["kind"] for step in hand.steps.values()} >= {"convolution", "normalization", "pooling", "activation"}


def test_the_sums_of_fully_connected_units_are_the_values_served(explorer: Explorer, uploaded: str) -> None:
    hand = ByHand(explorer, uploaded)
    for name in ("fc4", "fc5", "fc6"):
        given, served = hand.before(name).ravel(), hand.output(name)
        bias = array(explorer, f"{RUN}/weights/{name}-bias.bin", hand.steps[name]["shape"])
        for unit in (0, len(served) - 1):
            row = array(explorer, f"{RUN}/weights/{name}/{unit}.bin", [hand.steps[name]["inputs"]])
            np.testing.assert_allclose(served[unit], row @ given + bias[unit], rtol=1e-4, atol=1e-4)
    for name in ("dropout4", "dropout5"):
        step = hand.steps[name]
        assert (step["probability"], step["form"]) == (0.2, "mask")
        np.testing.assert_allclose(hand.output(name), 0.8 * hand.before(name), rtol=1e-6)


def test_a_unit_that_reads_its_own_column_has_a_row_of_that_column(tiny_run: Path) -> None:
    network = AlexNet(replace(TINY_NETWORK, links=("conv3",)))
    ours = replaced(trained.load(tiny_run), network)
    with torch.inference_mode():
        outputs = network.activations(torch.randn(1, 3, 28, 28) * 50)
    given, units = outputs["flatten"][0], outputs["fc4"][0]
    steps = {step["name"]: step for step in values.steps_of(network)}
    each = steps["fc4"]["inputs"]
    assert steps["fc4"]["reads"] == "own column" and 2 * each == len(given)
    for unit in (3, 20):
        row = values.row_of_weights(ours, "fc4", unit)
        part = given[unit // 16 * each :][:each].numpy()
        np.testing.assert_allclose(row @ part + values.bias(ours, "fc4")[unit], units[unit], rtol=1e-4, atol=1e-4)


def replaced(ours: TrainedNetwork, network: AlexNet) -> TrainedNetwork:
    recipe = replace(ours.recipe, network=network.spec)
    return TrainedNetwork(ours.path, replace(ours.contents, recipe=recipe), network)


def test_kernels_of_every_epoch_end_in_those_of_the_network(explorer: Explorer) -> None:
    shape = [16, 3, 5, 5]
    first, last = (array(explorer, f"{RUN}/kernels/{epoch}.bin", shape) for epoch in (0, 12))
    now = array(explorer, f"{RUN}/weights/conv1.bin", shape)
    np.testing.assert_array_equal(last, now)
    assert not np.array_equal(first, now)
    np.testing.assert_array_equal(first, growth.read(explorer.run, 0))


def test_a_label_of_an_image_given_at_the_start_is_its_folder_s_name(tiny_run: Path, photo: Path) -> None:
    session = Session([tiny_run], images=[str(photo), "train-3"])
    first, second = session.images.given.values()
    assert (first.name, first.label) == ("photo.png", "bars")
    assert (second.id, second.label) == ("train-3", "bars")
    assert session.answer(session.run("tiny"), first)["label"] == "bars"


def test_scaled_input_is_what_the_first_step_reads(tiny_run: Path) -> None:
    spec: Network = replace(TINY_NETWORK, input_scale=0.25)
    network = AlexNet(spec)
    ours = replaced(trained.load(tiny_run), network)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    seen: list[torch.Tensor] = []
    network.conv1.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    outputs = values.steps(ours, pixels)
    np.testing.assert_array_equal(values.first_input(ours, pixels), seen[0][0])
    assert values.network(ours)["input_scale"] == 0.25 and "scale" not in outputs
    assert isinstance(spec.convolutions[0], Convolution)
