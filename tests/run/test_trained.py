"""A run folder alone is enough to predict, and says what is wrong with it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.prepared import Prepared
from alexnet.data.views import test_views
from alexnet.device import Precision
from alexnet.errors import InputError
from alexnet.evaluation.measure import evaluate
from alexnet.run import checkpoint, trained
from alexnet.run.images import validation_of
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe
from alexnet.training import train
from tests.conftest import CLASSES


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to damage."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_a_loaded_network_has_all_it_needs(tiny_run: Path, tiny_prepared: Prepared) -> None:
    loaded = trained.load(str(tiny_run))
    assert loaded.classes == CLASSES
    assert loaded.path == tiny_run and loaded.recipe.name == "tiny"
    assert not loaded.training and not loaded.network.training
    np.testing.assert_array_equal(loaded.mean.numpy(), tiny_prepared.mean)
    images = tiny_prepared.split("train").images[:5]
    assert loaded.prepare(images).shape == (5, 3, 28, 28)
    assert loaded(images).shape == (5, 4)


@pytest.mark.parametrize("views", [1, 10])
def test_probabilities_sum_to_one_and_are_the_softmax_of_the_views(
    views: int, tiny_run: Path, tiny_prepared: Prepared, recwarn: pytest.WarningsRecorder
) -> None:
    loaded = trained.load(tiny_run)
    images = tiny_prepared.split("train").images[:6]  # a read-only memory map
    results = loaded.probabilities(images, views)
    assert results.shape == (6, 4) and results.dtype == torch.float32
    torch.testing.assert_close(results.sum(dim=1), torch.ones(6))
    assert not recwarn.list
    inputs = test_views(torch.from_numpy(np.array(images)), loaded.preparation, views)
    with torch.no_grad():
        wanted = torch.stack([loaded.network(view).softmax(dim=1) for view in inputs]).mean(dim=0)
    torch.testing.assert_close(results, wanted)
    torch.testing.assert_close(loaded.probabilities(torch.from_numpy(np.array(images)), views), results)


def test_a_loaded_network_measures_what_its_training_measured(tiny_run: Path, tiny_prepared: Prepared) -> None:
    loaded = trained.load(tiny_run)
    split, indices = validation_of(loaded.recipe, tiny_prepared)
    results = evaluate(loaded.network, loaded.preparation, split.images, split.labels, loaded.classes, indices)
    last = read_metrics(tiny_run)[-1]
    assert (results.top1_error, results.top5_error) == (last["validation_top1"], last["validation_top5"])


def test_the_same_prediction_from_a_copy_without_the_data(run: Path, tiny_run: Path, tiny_prepared: Prepared) -> None:
    (run / "data.json").unlink()  # where the dataset was; not needed to predict
    images = tiny_prepared.split("train").images[:4]
    assert torch.equal(trained.load(run).probabilities(images, 10), trained.load(tiny_run).probabilities(images, 10))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 28, 28, 3), np.uint8),
        np.zeros((2, 3, 32, 32), np.uint8),
        torch.zeros(2, 32, 32, 3),
    ],
)
def test_other_images_are_refused_with_the_fix(images: np.ndarray | torch.Tensor, tiny_run: Path) -> None:
    with pytest.raises(InputError, match=r"takes uint8 \[N, 32, 32, 3\].*to_square"):
        trained.load(tiny_run).probabilities(images)


def test_the_statistics_move_with_the_network(tiny_run: Path) -> None:
    moved = trained.load(tiny_run).to("meta")
    assert {p.device.type for p in moved.parameters()} == {moved.preparation.mean.device.type} == {"meta"}


def remove(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(name: str, content: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).write_text(content)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("recipe.json"), "no recipe.json"),
        (write("recipe.json", "{"), "recipe.json: not JSON"),
        (remove("checkpoints"), "no checkpoint in .*alexnet train"),
        (remove("classes.json"), "classes.json or preparation/"),
        (write("classes.json", "[oh"), "classes.json or preparation/"),
        (write("classes.json", json.dumps(["a", "b"])), "classes.json: 2 classes, the network has 4"),
        (remove("preparation/mean.npy"), "mean.npy"),
        (write("preparation/mean.npy", "no array"), "classes.json or preparation/"),
        (write("preparation/mean.npy", ""), "classes.json or preparation/"),
        (remove("preparation/colour.json"), "colour.json"),
        (write("preparation/colour.json", "{}"), "eigenvalues"),
    ],
)
def test_a_folder_that_is_not_a_whole_run_is_refused(run: Path, change: Callable[[Path], None], message: str) -> None:
    change(run)
    with pytest.raises(InputError, match=message):
        trained.load(run)


def test_damaged_weights_are_refused(run: Path) -> None:
    (checkpoint.newest(run) / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"weights\.safetensors.*remove that checkpoint"):
        trained.load(run)


def test_nothing_in_a_run_is_unpickled(run: Path) -> None:
    np.save(run / "preparation" / "mean.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"mean\.npy: no array of numbers \(of object\)"):
        trained.load(run)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        trained.load(tmp_path / "nowhere")


def test_it_judges_in_bf16_where_asked_and_its_network_stays_float32(tiny_run: Path) -> None:
    wide, low = (trained.load(tiny_run, precision=precision) for precision in ("float32", "bf16"))
    pixels = torch.randint(256, (5, 32, 32, 3), dtype=torch.uint8)
    one, other = (network.probabilities(pixels, views=10) for network in (wide, low))
    assert one.dtype == other.dtype == torch.float32 and not torch.equal(one, other)
    assert (one - other).abs().max() < 0.05
    assert torch.equal(wide(pixels), low(pixels)), "logits and features are float32"
    with torch.inference_mode():  # where weights have no versions
        inside = trained.load(tiny_run, precision="bf16").probabilities(pixels, views=10)
    assert torch.equal(inside, other)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_training_measures_what_evaluation_measures(
    precision: Precision, tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe, epochs=2, precision=precision)
    said = train(recipe, tiny_prepared, tmp_path / "run").last
    network = trained.load(tmp_path / "run")
    split, indices = validation_of(recipe, tiny_prepared)
    of = (network.judge, network.preparation, split.images, split.labels, network.classes, indices)
    assert evaluate(*of).top1_error == said["validation_top1"]


def test_a_run_is_opened_without_torch_s_compiler(tiny_run: Path) -> None:
    """It takes seconds to load, and an initial value that is drawn for a network without memory would load it."""
    load = f"from alexnet.run import trained; trained.load({str(tiny_run)!r})"
    code = f"import sys; {load}; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
