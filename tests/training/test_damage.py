"""Whatever the files of a run hold: one line that names the file, and nothing allocated that their size does not justify."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import of_split
from alexnet.network.model import AlexNet
from alexnet.network.spec import Hidden
from alexnet.run import checkpoint, recipe, trained
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe
from alexnet.run.views import view_probabilities
from alexnet.training import train
from alexnet.training.rule import optimizer_of
from tests.damage import below, damaged, set_bytes

Change = Callable[[Path], None]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to damage."""
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture(scope="module")
def half_way(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped within its second epoch."""
    path = tmp_path_factory.mktemp("half") / "run"
    asked = iter(range(100))
    train(tiny_recipe, tiny_prepared, path, stop=lambda: next(asked) == 6)
    return path


def resume(run: Path, tiny_prepared: Prepared) -> None:
    train(recipe.read(run), tiny_prepared, run, resume=True)


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_all_that_read_them(
    value: float, run: Path, tiny_prepared: Prepared
) -> None:
    file = checkpoint.newest(run) / checkpoint.WEIGHTS
    weights = load_file(file)
    weights["fc5.weight"].view(-1)[7] = value
    save_file(weights, file)
    for use in (trained.load, lambda run: resume(run, tiny_prepared), lambda run: checkpoint.weights(file.parent)):
        with pytest.raises(
            InputError, match=r"weights\.safetensors: fc5\.weight has NaN or infinite values; remove that"
        ):
            use(run)


def test_weights_wider_than_the_network_s_are_looked_at_as_it_computes(run: Path) -> None:
    file = checkpoint.newest(run) / checkpoint.WEIGHTS
    weights = {name: tensor.double() for name, tensor in load_file(file).items()}
    save_file(weights, file)
    assert trained.load(run).network.get_parameter("fc5.weight").dtype == torch.float32
    weights["fc5.weight"].view(-1)[0] = 1e300
    save_file(weights, file)
    with pytest.raises(InputError, match="fc5.weight has NaN or infinite"):
        trained.load(run)


def test_finite_weights_that_make_nan_give_no_answer(run: Path, tiny_prepared: Prepared) -> None:
    file = checkpoint.newest(run) / checkpoint.WEIGHTS
    save_file({name: torch.full_like(tensor, 3e38) for name, tensor in load_file(file).items()}, file)
    network = trained.load(run, precision="float32")
    with pytest.raises(RunFailed, match="answers with NaN"):
        network.probabilities(tiny_prepared.split("train").images[:2])
    with pytest.raises(RunFailed, match="answers with NaN"):
        view_probabilities(lambda x: x.flatten(1)[:, :2] * torch.nan, torch.zeros(1, 32, 32, 3), network.preparation)


def test_a_network_that_the_weights_are_not_of_is_not_built(run: Path) -> None:
    of = recipe.read(run)
    wide = replace(of, network=replace(of.network, hidden=(Hidden(1 << 20), Hidden(2))))  # 4.2 GB
    (run / "recipe.json").write_text(wide.to_json())
    with below(50), pytest.raises(InputError, match=r"fc4\.weight is .*the network's is"):
        trained.load(run)


# --- what is counted --------------------------------------------------------------------------------------------------


def progress(**values: Any) -> Change:
    def change(run: Path) -> None:
        file = checkpoint.newest(run) / checkpoint.STATE
        state = torch.load(file, weights_only=True)
        for name, value in values.items():
            (state["progress"]["plateau"] if name in ("best", "since", "drops", "ended") else state["progress"])[
                name
            ] = value
        torch.save(state, file)

    return change


def optimizer(alter: Callable[[dict[str, Any]], None]) -> Change:
    def change(run: Path) -> None:
        file = checkpoint.newest(run) / checkpoint.STATE
        state = torch.load(file, weights_only=True)
        alter(state["optimizer"])
        torch.save(state, file)

    return change


def velocity(make: Callable[[torch.Tensor], Any]) -> Change:
    return optimizer(lambda state: state["state"][0].update(v=make(state["state"][0]["v"])))


def compressed(run: Path) -> None:
    file = checkpoint.newest(run) / checkpoint.STATE
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def legacy(run: Path) -> None:
    torch.save({"format": 1}, checkpoint.newest(run) / checkpoint.STATE, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (progress(epoch=-5), "progress.epoch is below 0"),
        (progress(step=10**30), "progress.step is below 0, NaN or beyond"),
        (progress(step=10**5000), "damaged|progress.step is below 0"),
        (progress(step=3), "3 steps, 1 epochs .*not counted by this run"),
        (progress(images=10**6), "1,000,000 images.* not counted by this run"),
        (progress(step_in_epoch=True), "progress.step_in_epoch: True; it must be a whole number"),
        (progress(epoch="one"), "progress.epoch: 'one'; it must be a whole number"),
        (progress(loss=float("nan")), "progress.loss is below 0, NaN"),
        (progress(lowest_loss=float("nan")), "progress.lowest_loss is below 0, NaN"),
        (progress(best=-1.0), "progress.best is below 0"),
        (progress(drops=10**18), "progress.drops is below 0"),
        (progress(plateau=[]), r"progress.plateau: \[\]; it must be an object"),
        (progress(more=1), "progress.more: no such field"),
        (optimizer(lambda state: state["state"].clear()), "not the state of this run"),
        (optimizer(lambda state: state["state"].pop(1)), "not the state of this run"),
        (optimizer(lambda state: state["param_groups"].pop()), "groups of weights, not"),
        (optimizer(lambda state: state["param_groups"][0].update(momentum=float("nan"))), "momentum is another"),
        (optimizer(lambda state: state["param_groups"][0].update(params=[1, 0])), "params is another"),
        (optimizer(lambda state: state["param_groups"][0].update(lr=-1.0)), "lr is another"),
        (optimizer(lambda state: state.update(param_groups=7)), "not the state of this run"),
        (velocity(lambda v: v[:1]), "a velocity of .* for weights of"),
        (velocity(lambda v: torch.zeros(1).expand(10**9)), "a velocity of .* for weights of"),
        (velocity(lambda v: v.double()), "no tensor of numbers as the weights are"),
        (velocity(lambda v: v * torch.nan), "a velocity has NaN"),
        (velocity(lambda v: "fast"), "no tensor of numbers"),
        (velocity(lambda v: v.to_sparse()), "no tensor of numbers|damaged"),
        (compressed, "damaged, or not written by alexnet"),
        (legacy, "damaged, or not written by alexnet"),
    ],
)
def test_meaningless_states_are_refused(
    change: Change, message: str, half_way: Path, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    run = shutil.copytree(half_way, tmp_path / "run")
    change(run)
    with below(50), pytest.raises(InputError, match=rf"state\.pt: .*({message})") as raised:
        resume(run, tiny_prepared)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_a_flipped_bit_in_a_velocity_is_noticed(half_way: Path, tiny_prepared: Prepared, tmp_path: Path) -> None:
    run = shutil.copytree(half_way, tmp_path / "run")
    file = checkpoint.newest(run) / checkpoint.STATE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt: damaged"):
        resume(run, tiny_prepared)


# --- recipes and statistics -------------------------------------------------------------------------------------------


def text(name: str, content: str) -> Change:
    return lambda run: (run / name).write_text(content) and None


def field(name: str, value: str) -> Change:
    """One value of recipe.json, as JSON text."""

    def change(run: Path) -> None:
        values = json.loads((run / "recipe.json").read_text())
        place = values
        *above, last = name.split(".")
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = "HERE"
        (run / "recipe.json").write_text(json.dumps(values).replace('"HERE"', value))

    return change


def array(content: np.ndarray) -> Change:
    return lambda run: np.save(run / "preparation" / "mean.npy", content)


def header_of_terabytes(run: Path) -> None:
    file = run / "preparation" / "mean.npy"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"(32, 32, 3), }", b"(1000000,1000000,3)}", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (text("recipe.json", "[" * 200_000), r"recipe\.json: lists within lists"),
        (text("recipe.json", "[]"), r"recipe\.json: \[\]; it must be an object"),
        (text("recipe.json", '"\\ud800"'), r"recipe\.json: .*it must be an object"),
        (field("batch", "9" * 5000), r"recipe\.json: a number of thousands of digits"),
        (field("batch", "1e400"), r"recipe\.json\.batch: inf; it must be a whole number"),
        (field("rate", "1" + "0" * 400), r"recipe\.json\.rate: .*must be a number"),
        (field("network.convolutions.0.kernels", "1000000000"), "conv1: a number that is NaN, or beyond"),
        (field("network.hidden.0.units", "4000000000"), "fc4: a number that is NaN, or beyond"),
        (field("network.hidden.0.std", "NaN"), "fc4: a number that is NaN"),
        (field("network.classes", "16000000"), "classes.json: 4 classes, the network has 16000000"),
        (field("network.input_size", "1000000000000"), "network.input_size: it must be at least 0"),
        (field("network.convolutions", "[" + ",".join(['{"kernels":2,"size":1}'] * 2000) + "]"), "2,002 layers"),
        (field("image_size", "1000000"), r"mean\.npy is \[32, 32, 3\], the recipe's images are 1000000"),
        (text("classes.json", '"abcd"'), r"classes\.json: no list of names"),
        (text("classes.json", "[1, 2, 3, 4]"), r"classes\.json: no list of names"),
        (text("classes.json", "[" * 200_000), r"classes\.json: lists within lists"),
        (array(np.full((32, 32, 3), np.nan, np.float32)), r"mean\.npy: NaN or infinity is in the mean image"),
        (array(np.full((32, 32, 3), 1e300)), r"mean\.npy: NaN or infinity"),
        (array(np.zeros((32, 32), np.float32)), r"mean\.npy: float32 \[32, 32\], no mean image"),
        (array(np.zeros((0, 0, 3), np.float32)), r"mean\.npy: float32 \[0, 0, 3\], no mean image"),
        (array(np.zeros((32, 32, 3), "U3")), r"mean\.npy: no array of numbers"),
        (header_of_terabytes, r"mean\.npy: no array of numbers \(12,294 bytes of numbers, not the 12,000,000,000,000"),
        (
            text("preparation/colour.json", '{"eigenvalues": [1, NaN, 2]}'),
            r"colour\.json: NaN or infinity is in eigenvalues",
        ),
        (
            text("preparation/colour.json", '{"eigenvalues": [1e300, 2, 1]}'),
            r"colour\.json: NaN or infinity is in eigenv",
        ),
        (
            text("preparation/colour.json", '{"eigenvalues": ["a", "b", "c"]}'),
            r"colour\.json: eigenvalues is missing or no",
        ),
        (text("preparation/colour.json", '{"eigenvalues": [1, 2]}'), r"colour\.json: eigenvalues is \[2\], not \[3\]"),
        (text("preparation/colour.json", "[" * 200_000), r"colour\.json: lists within lists"),
    ],
)
def test_meaningless_values_of_a_run_are_one_line(change: Change, message: str, run: Path) -> None:
    change(run)
    with below(50), pytest.raises(InputError, match=message) as raised:
        trained.load(run)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 800


@pytest.mark.parametrize(
    "name", ["batch", "epochs", "micro_batch", "base_batch", "keep", "seed", "stuck_steps", "image_size"]
)
def test_numbers_beyond_all_use_are_refused(name: str, run: Path, tiny_prepared: Prepared) -> None:
    field(name, "1" + "0" * 30)(run)
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}: at most|its images are"):
        resume(run, tiny_prepared)


@pytest.mark.parametrize(
    "name", ["recipe.json", "classes.json", "preparation/mean.npy", "preparation/colour.json", "metrics.jsonl"]
)
def test_a_sparse_file_of_8_gb_is_not_read(name: str, run: Path) -> None:
    with (run / name).open("wb") as file:
        file.truncate(8 << 30)
    with below(50), pytest.raises(InputError, match=f"{name}: 8,589,934,592 bytes, more than such a file can have"):
        trained.load(run)
        read_metrics(run)


def test_lines_of_metrics_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    good = {"kind": "epoch", "epoch": 1, "step": 5, "loss": 1.5, "train_error": 50.0}
    odd = [
        "[" * 100_000,
        '{"kind": 7}',
        "9" * 5000,
        "[]",
        '{"kind": "step", "step": -1}',
        '{"kind": "step", "step": "x"}',
    ]
    odd += [
        json.dumps({**good, "loss": "low"}),
        json.dumps({**good, "epoch": 10**40}),
        json.dumps({**good, "loss": [1]}),
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*odd, json.dumps(good), '{"kind": "epoch"}']))
    assert read_metrics(tmp_path) == [good]


# --- any damage -------------------------------------------------------------------------------------------------------

FILES = ("recipe.json", "classes.json", "preparation/mean.npy", "preparation/colour.json", "metrics.jsonl")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_of_a_run_is_one_line_or_nothing(data: st.DataObject, run: Path) -> None:
    name = data.draw(st.sampled_from([*FILES, "weights.safetensors", "state.pt"]))
    file = run / name if name in FILES else checkpoint.newest(run) / name
    with set_bytes(file, data.draw(damaged(file.read_bytes()))), below(50):
        try:
            network = trained.load(run)
            assert all(bool(weight.isfinite().all()) for weight in network.parameters())
            read_metrics(run)
            checkpoint.progress_of(checkpoint.state_of(checkpoint.newest(run)), file)
        except InputError as error:
            assert "\n" not in str(error)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_of_a_state_is_one_line_or_a_resumed_run(
    data: st.DataObject, half_way: Path, tiny_prepared: Prepared
) -> None:
    of, newest = recipe.read(half_way), checkpoint.newest(half_way)
    file = newest / checkpoint.STATE
    with set_bytes(file, data.draw(damaged(file.read_bytes()))), below(50):
        try:
            checkpoint.load_state(newest, optimizer_of(of, AlexNet(of.network)))
        except InputError as error:
            assert str(file) in str(error) and "\n" not in str(error)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_of_kept_probabilities_is_passed_over(
    data: st.DataObject, run: Path, tiny_prepared: Prepared
) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    computed = kept.compute(run, judged)
    file = kept.file_of(run, judged, 1)
    with set_bytes(file, data.draw(damaged(file.read_bytes()))), below(50):
        again = kept.read(run, judged, kept.Options())
    assert again is None or again.shape == computed.shape
