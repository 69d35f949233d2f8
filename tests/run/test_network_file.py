"""A network file holds all that predicting needs, in fewer bits; one that is damaged or hostile is one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet import tensors
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.network.spec import Hidden
from alexnet.run import growth, locate, network_file, trained
from alexnet.run.network_file import Contents, Measured
from tests.conftest import CLASSES
from tests.damage import below, damaged, one_line_or_success


@pytest.fixture
def contents(tiny_run: Path) -> Contents:
    kernels = {epoch: growth.read(tiny_run, epoch) for epoch in (0, 3, 12)}
    measured = Measured(12.5, 0.0, views=10, images=24)
    return replace(trained.contents_of(tiny_run), kernels=kernels, measured=measured, note="a [note]")


@pytest.mark.parametrize("int8", [False, True])
def test_what_is_written_is_read_within_its_rounding(int8: bool, contents: Contents, tmp_path: Path) -> None:
    file = tmp_path / "n.safetensors"
    network_file.write(file, contents, int8)
    read = network_file.read(file)
    for name in ("recipe", "classes", "checkpoint", "measured", "note"):
        assert getattr(read, name) == getattr(contents, name)
    assert read.weights.keys() == contents.weights.keys() and list(read.kernels) == [0, 3, 12]
    np.testing.assert_allclose(read.mean, contents.mean, atol=0.0626)  # half a step of float16 from 128 to 256
    np.testing.assert_allclose(read.eigenvalues, contents.eigenvalues, rtol=1e-6)
    np.testing.assert_allclose(read.eigenvectors, contents.eigenvectors, rtol=1e-6)

    def near(read: np.ndarray, whole: np.ndarray, int8: bool) -> None:
        rows = np.abs(whole).max(axis=tuple(range(1, whole.ndim)), keepdims=True)
        # Half a step: of 127 to a row's largest, or of eleven bits to a value (and of the smallest that there are).
        allowed = rows / 127 / 2 if int8 else np.abs(whole) * 2.0**-11 + 2.0**-25
        assert (np.abs(read - whole) <= allowed * 1.001).all()

    for name, weight in contents.weights.items():
        if weight.ndim < 2:
            assert torch.equal(read.weights[name], weight), "biases are kept whole"
        else:
            near(read.weights[name].numpy(), weight.numpy(), int8)
            assert not torch.equal(read.weights[name], weight)
    for epoch, kernels in contents.kernels.items():
        near(read.kernels[epoch], kernels, int8=True)


def test_rows_of_zeros_and_values_beyond_half_precision_are_kept(contents: Contents, tmp_path: Path) -> None:
    weights = {name: weight.clone() for name, weight in contents.weights.items()}
    weights["conv2.weight"][3] = 0.0
    weights["fc5.weight"][0, 0] = 1e6
    for int8 in (False, True):
        network_file.write(tmp_path / "n", replace(contents, weights=weights), int8)
        read = network_file.read(tmp_path / "n").weights
        assert not read["conv2.weight"][3].any()
        assert float(read["fc5.weight"][0, 0]) == pytest.approx(1e6)


def test_the_same_contents_are_the_same_bytes(contents: Contents, tmp_path: Path) -> None:
    for name in "ab":
        network_file.write(tmp_path / name, contents, int8=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_loaded_file_answers_as_its_run(tiny_file: Path, tiny_run: Path, tiny_prepared: Prepared) -> None:
    images = tiny_prepared.split("train").images[:24]
    network, run = trained.load(tiny_file), trained.load(tiny_run)
    assert network.classes == CLASSES and network.path == tiny_file and network.in_file and not run.in_file
    assert network.checkpoint == run.checkpoint and network.size == 32
    probabilities, wanted = network.probabilities(images, 10), run.probabilities(images, 10)
    assert 0 < float((probabilities - wanted).abs().max()) < 0.05
    assert torch.equal(probabilities.argmax(1), wanted.argmax(1))


def test_the_kernels_in_a_file_are_read_as_those_of_a_run(tiny_file: Path, tiny_run: Path) -> None:
    assert growth.epochs(tiny_file) == growth.epochs(tiny_run) == list(range(13))
    np.testing.assert_allclose(growth.read(tiny_file, 12), growth.read(tiny_run, 12), atol=0.01)
    with pytest.raises(InputError, match="no kernels of epoch 99"):
        growth.read(tiny_file, 99)


def test_only_the_kernels_are_read_where_they_are_asked_for(tiny_file: Path, tmp_path: Path) -> None:
    file = altered(tiny_file, tmp_path, value("fc5.weight.scale", lambda scale: scale * np.float32(np.nan)))
    np.testing.assert_array_equal(growth.read(file, 3), network_file.read(tiny_file).kernels[3])
    with pytest.raises(InputError, match=r"fc5\.weight has NaN"):
        network_file.read(file)


def test_some_epochs_are_dense_at_first_and_have_both_ends(tmp_path: Path) -> None:
    for epoch in range(101):
        growth.keep(tmp_path, epoch, torch.zeros(1, 3, 1, 1))
    chosen = growth.some_epochs(tmp_path)
    assert chosen[0] == 0 and chosen[-1] == 100 and len(chosen) <= 16
    steps = np.diff(chosen)
    assert steps[0] == 1 and (np.diff(steps) >= -1).all() and steps[-1] > 20
    assert growth.some_epochs(tmp_path, most=101) == list(range(101))


# --- damaged, and hostile ---------------------------------------------------------------------------------------------

Alter = Callable[[dict[str, np.ndarray], dict[str, str]], Any]


def value(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Alter:
    return lambda arrays, about: arrays.update({name: make(arrays[name])})


def text(name: str, content: str) -> Alter:
    return lambda arrays, about: about.update({name: content})


def altered(whole: Path, folder: Path, alter: Alter) -> Path:
    read, about = tensors.read(whole, 1 << 30)
    arrays = {name: array.numpy() for name, array in read.items()}
    alter(arrays, about)
    tensors.write(folder / "n.safetensors", arrays, about)
    return folder / "n.safetensors"


def recipe(path: str, content: Any) -> Alter:
    def alter(arrays: dict[str, np.ndarray], about: dict[str, str]) -> None:
        document = place = json.loads(about["recipe"])
        *above, last = path.split(".")
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = content
        about["recipe"] = json.dumps(document)

    return alter


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda arrays, about: about.clear(), "no network file of alexnet export RUN alexnet"),
        (text("alexnet_format", "2"), "format 2, this version reads 1"),
        (text("alexnet_format", "9" * 999), r"format 9{20}\.\.\., this version"),
        (lambda arrays, about: about.pop("recipe"), "no recipe in it"),
        (text("recipe", "[" * 100_000), "recipe: lists within lists"),
        (text("recipe", "[]"), r"recipe: \[\]; it must be an object"),
        (text("recipe", " " * (1 << 23)), "its recipe has 8,388,608 letters"),
        (recipe("network.convolutions.0.kernels", 10**9), "conv1: a number that is NaN, or beyond"),
        (recipe("network.classes", 10**7), "classes: 4 classes, the network has 10000000"),
        (recipe("network.hidden.0.units", 1 << 20), r"fc4\.weight is .*, the network's is \[1048576, "),
        (recipe("network.input_size", 10**12), "it must be at least 0 and at most 16,777,216"),
        (recipe("image_size", 64), r"mean is \[32, 32, 3\], the recipe's images are 64"),
        (text("classes", '["a", 2]'), "classes: no list of names"),
        (text("classes", '["a", "b"]'), "classes: 2 classes, the network has 4"),
        (text("checkpoint", "../../x"), "checkpoint '../../x' is no name of one"),
        (text("error", '{"top1_error": 5}'), r"error\.top5_error is missing"),
        (
            text("error", '{"top1_error": 1e9, "top5_error": 1, "views": 1, "images": 2}'),
            "error: no percentages",
        ),
        (
            text("error", '{"top1_error": NaN, "top5_error": 1, "views": 1, "images": 2}'),
            "error: no percentages",
        ),
        (text("note", "x" * 20_000), "its note has 20,000 letters"),
        (lambda arrays, about: arrays.pop("mean"), "mean is missing"),
        (value("mean", lambda mean: mean[:5]), r"mean is missing, or of torch\.float32 \[5, 32, 3\]"),
        (value("mean", lambda mean: mean * np.float16(np.nan)), "mean has NaN or infinite values"),
        (value("eigenvalues", lambda values: values[:2]), "eigenvalues is missing"),
        (value("eigenvectors", lambda values: values.astype(np.int64)), "eigenvectors is missing, or of torch.int64"),
        (lambda arrays, about: arrays.pop("fc5.weight.scale"), r"fc5\.weight has no scale for each of its rows"),
        (value("fc5.weight.scale", lambda scale: scale[:1]), r"fc5\.weight has no scale for each of its rows"),
        (value("fc5.weight.scale", lambda scale: scale * np.float32(np.inf)), r"fc5\.weight has NaN or infinite"),
        (value("fc5.weight", lambda weight: weight[:, :3]), r"fc5\.weight is \[32, 3\], the network's is \[32, 32\]"),
        (value("fc5.weight", lambda weight: weight.astype(np.int64)), r"fc5\.weight is of torch\.int64"),
        (lambda arrays, about: arrays.pop("fc5.bias"), r"no weights for fc5\.bias"),
        (lambda arrays, about: arrays.update(more=np.zeros(3, np.float32)), "more is not in the network"),
        (
            lambda arrays, about: arrays.update({"kernels.x": np.zeros(3, np.float32)}),
            r"kernels\.x are no kernels of conv1",
        ),
        (
            lambda arrays, about: arrays.update({"kernels.5": np.zeros((1, 3, 2, 2), np.float32)}),
            r"kernels\.5 are no kernels of conv1",
        ),
    ],
)
def test_meaningless_contents_are_one_line(alter: Alter, message: str, tiny_file: Path, tmp_path: Path) -> None:
    file = altered(tiny_file, tmp_path, alter)
    with (
        below(50),
        pytest.raises(InputError, match=rf"(n\.safetensors|network\.input_size).*{message}|^{message}") as raised,
    ):
        trained.load(file)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 800


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda arrays, about: about.clear(), "no network file of alexnet export RUN alexnet"),
        (text("alexnet_format", "2"), "format 2, this version reads 1"),
        (lambda arrays, about: arrays.pop("kernels.3.scale"), r"kernels\.3 has no scale for each of its rows"),
        (value("kernels.3.scale", lambda scale: scale * np.float32(np.inf)), r"kernels\.3 has NaN or infinite"),
        (value("kernels.3", lambda kernels: kernels[:, :2]), r"kernels\.3 are no kernels of conv1"),
        (lambda arrays, about: arrays.pop("conv1.weight"), r"kernels\.0 are no kernels of conv1"),
    ],
)
def test_meaningless_kernels_are_one_line_where_only_they_are_read(
    alter: Alter, message: str, tiny_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"n\.safetensors: {message}"):
        growth.epochs(altered(tiny_file, tmp_path, alter))


def test_a_network_that_the_weights_are_not_of_is_not_built(contents: Contents, tmp_path: Path) -> None:
    network = replace(contents.recipe.network, hidden=(Hidden(1 << 20), Hidden(2)))  # 4.2 GB
    network_file.write(tmp_path / "n", replace(contents, recipe=replace(contents.recipe, network=network)))
    with below(50), pytest.raises(InputError, match=r"n: fc4\.weight is .*the network's is"):
        trained.load(tmp_path / "n")


def test_a_sparse_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "n.safetensors").open("wb") as file:
        file.truncate(8 << 30)
    with below(10), pytest.raises(InputError, match=r"n\.safetensors: 8,589,934,592 bytes, more than such a file"):
        trained.load(tmp_path / "n.safetensors")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_a_network_of_finite_weights(
    data: st.DataObject, tiny_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "n.safetensors").write_bytes(data.draw(damaged(tiny_file.read_bytes())))

    def load() -> None:
        network = trained.load(tmp_path / "n.safetensors")
        assert all(bool(weight.isfinite().all()) for weight in network.parameters())

    one_line_or_success(load, megabytes=50)
    one_line_or_success(lambda: growth.epochs(tmp_path / "n.safetensors"), megabytes=50)


def test_the_starter_that_comes_with_the_package_is_whole_and_small() -> None:
    network = trained.load("starter")
    assert locate.STARTER_FILE.stat().st_size <= 8_000_000
    assert network.measured is not None and network.measured.views == 10 and network.measured.top1_error < 18
    assert len(network.classes) == 10 and len(growth.epochs(locate.STARTER_FILE)) > 1
    assert network.recipe.network.columns == 2 and network.recipe.name == "starter"


def test_a_path_to_a_folder_called_starter_is_that_folder(
    starter: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained.load("starter").path == trained.load(Path("starter")).path == starter
    (tmp_path / "starter").symlink_to(tiny_run)
    assert trained.load("./starter").path == trained.load(Path("starter")).path == Path("starter")
    assert trained.load("starter").path == starter
