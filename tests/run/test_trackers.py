"""Trackers get the recipe and the numbers of metrics.jsonl; one that fails costs its own record and nothing else."""

import errno
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet import cli, processes
from alexnet.claims import keys
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.run import trackers
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, flatten
from alexnet.run.recipes import fine_tuned
from alexnet.training import Start, loop, resume, train
from tests.run import stand_in_trackers
from tests.run.stand_in_trackers import Service

ALL = ("wandb", "mlflow", "trackio")
ENDS = {"wandb": (1, 0), "mlflow": ("KILLED", "RUNNING", "FINISHED"), "trackio": ("ended", "ended")}
"""What each is told of a training that is stopped, goes on, and comes to its end."""


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> dict[str, Service]:
    """The servers of the stand-ins, which are installed in place of the packages."""
    modules, services = stand_in_trackers.modules()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # and taken back: trackers set a default
    monkeypatch.setattr(loop, "LOG_STEPS", 2)
    return services


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, epochs=2, log=ALL)


def numbers(run: Path) -> list[tuple[int, dict[str, float]]]:
    """The lines of metrics.jsonl as trackers are to have them."""
    lines = [line for line in read_metrics(run) if line["kind"] != "start"]
    others = ("kind", "epoch", "step", "time")
    return [
        (line["step"], {f"{line['kind']}/{name}": value for name, value in line.items() if name not in others})
        for line in lines
    ]


def test_each_gets_the_recipe_and_the_numbers_by_tensorboard_s_names(
    services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(recipe, tiny_prepared, tmp_path / "first")
    events = module.EventAccumulator(str(tmp_path / "first" / "tensorboard"))
    events.Reload()
    wanted = numbers(tmp_path / "first")
    assert set(events.Tags()["scalars"]) == {name for _, values in wanted for name in values}
    assert [step for step, _ in wanted] == [2, 4, 5, 6, 8, 10, 10] and "epoch/validation_top1" in wanted[2][1]
    for name, service in services.items():
        ((key, kept),) = service.runs.items()
        assert kept.rows == wanted
        assert (kept.name.partition("-")[0], kept.project) == ("first", "alexnet")
        settings: dict[str, Any] = flatten(recipe)
        assert settings["network.normalization"] and settings["network.convolutions.0.size"] == 5
        assert kept.settings == ({key: str(value) for key, value in settings.items()} if name == "mlflow" else settings)
        assert json.loads((tmp_path / "first" / "trackers.json").read_text())[name] == key


def test_a_run_goes_on_in_the_same_runs_of_the_trackers(
    services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    asked = iter((False,) * 6)
    train(recipe, tiny_prepared, tmp_path / "first", stop=lambda: next(asked, True))
    train(recipe, tiny_prepared, tmp_path / "another" / "first")  # of the same name
    (tmp_path / "first").rename(tmp_path / "moved")
    assert train(recipe, tiny_prepared, tmp_path / "moved", resume=True).finished
    resume(tmp_path / "moved", epochs=3)
    for name, service in services.items():
        first, other = service.runs.values()
        assert (first.rows, other.rows) == (numbers(tmp_path / "moved"), numbers(tmp_path / "another" / "first"))
        assert (*first.ended[: len(ENDS[name])],) == ENDS[name] and len(first.ended) > len(ENDS[name])
        assert str(first.settings["epochs"]) == ("2" if name == "mlflow" else "3")


@pytest.mark.parametrize("name", ALL)
def test_one_that_fails_is_dropped_and_said_once(
    name: str, services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    def fail() -> None:
        if services[name].runs and len(next(iter(services[name].runs.values())).rows) == 3:
            raise OSError("the server\nis gone")

    services[name].before = fail
    said: list[str] = []
    assert train(recipe, tiny_prepared, tmp_path, say=said.append).finished
    assert said == [f"{name} failed and is left out from now on: the server is gone; metrics.jsonl goes on"]
    for other, service in services.items():
        (kept,) = service.runs.values()
        assert kept.rows == numbers(tmp_path)[: 3 if other == name else None]
        assert (kept.ended == []) == (other == name)


def test_who_takes_no_lines_gets_a_warning(
    services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    def fail() -> None:
        raise ConnectionError

    services["wandb"].before = fail
    with pytest.warns(UserWarning, match="^wandb failed .*: ConnectionError; metrics.jsonl goes on"):
        assert train(replace(recipe, epochs=1), tiny_prepared, tmp_path).finished


def test_one_that_cannot_begin_ends_a_new_run_before_it_begins(
    services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    services["wandb"].logged_in = False
    order = replace(recipe, log=("mlflow", "wandb"), epochs=1)
    with pytest.raises(InputError, match="^--log wandb: .*nobody is logged in.*: wandb login; .*WANDB_MODE=offline$"):
        train(order, tiny_prepared, tmp_path)
    assert not list(tmp_path.iterdir()) and not services["wandb"].runs
    assert [kept.ended for kept in services["mlflow"].runs.values()] == [["KILLED"]]
    services["wandb"].mode = "offline"
    assert train(order, tiny_prepared, tmp_path).finished and services["wandb"].logins == 1


def test_a_run_goes_on_without_one_that_cannot_begin(
    services: dict[str, Service],
    recipe: Recipe,
    tiny_prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(replace(recipe, epochs=1), tiny_prepared, tmp_path)
    written = (tmp_path / "trackers.json").read_bytes()
    services["wandb"].logged_in = False
    monkeypatch.setitem(sys.modules, "trackio", None)
    starts: list[Start] = []
    resume(tmp_path, epochs=2, started=starts.append)
    assert starts[0].left_out[:2] == (
        "wandb cannot begin: nobody is logged in; log in with: wandb login; or keep it on this machine: WANDB_MODE=offline",
        'runs in Trackio need trackio: pip install "alexnet[trackio]"',
    )
    assert [len(next(iter(service.runs.values())).rows) for service in services.values()] == [3, 7, 3]
    assert (tmp_path / "trackers.json").read_bytes() == written, "and later in the same runs again"


@pytest.mark.parametrize("name", ALL)
def test_one_that_is_not_installed_is_named_with_its_extra(
    name: str, recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("alembic", "sqlalchemy", name):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf'^--log {name}: runs in .* need .*{name}.*: pip install "alexnet\[{name}\]"$'
    ):
        train(replace(recipe, log=(name,)), tiny_prepared, tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_names_of_projects_come_from_the_environment(
    services: dict[str, Service],
    recipe: Recipe,
    tiny_prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = replace(recipe, epochs=1, log=("mlflow",))
    for number, (variable, project) in enumerate((("MLFLOW_EXPERIMENT_NAME", "mine"), ("MLFLOW_EXPERIMENT_ID", "7"))):
        monkeypatch.setenv(variable, project)
        train(short, tiny_prepared, tmp_path / str(number))
    assert [kept.project for kept in services["mlflow"].runs.values()] == ["mine", "7"]


@pytest.mark.parametrize("text", ["[]", '{"wandb": 3}', '{"wandb": ""}', '{"wandb": "' + "x" * 300 + '"}', "{", "3"])
def test_damaged_keys_are_one_line(
    text: str, services: dict[str, Service], recipe: Recipe, tiny_prepared: Prepared, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "run" / "trackers.json").write_text(text)
    with pytest.raises(InputError, match=r"trackers\.json: "):
        train(replace(recipe, epochs=13), tiny_prepared, tmp_path / "run", resume=True)


def test_a_command_prints_its_result_and_nothing_of_the_trackers(
    services: dict[str, Service], tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "demo", "--data", str(tiny_prepared.path), "--out", str(tmp_path / "run"), "--epochs", "1"]
    words += ["--image-size", "32", "--network.input-size", "28", "--device", "cpu", "--json", "--log", "trackio"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["finished"] and said.err.count("* Run finished.") == 1
    services["wandb"].logged_in = False
    assert cli.main([*words, "wandb", "--out", str(tmp_path / "other")]) == 2
    assert "--log wandb: " in capsys.readouterr().err


def write_what_it_got(folder: str, data: str, recipe: str) -> int:
    """What each of two processes does: train, with stand-ins, and write down what they got."""
    modules, services = stand_in_trackers.modules()
    sys.modules.update(modules)
    with processes.joined("cpu") as place:
        opened = prepared_sets.open(Path(data))
        train(Recipe.from_json(recipe), opened, Path(folder) / "run", processes=place, parallel="data")
        rows = [len(kept.rows) for service in services.values() for kept in service.runs.values()]
        (Path(folder) / f"rows-{place.rank}").write_text(json.dumps(rows))
    return 0


def test_of_several_processes_only_the_first_writes(recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path) -> None:
    short = replace(recipe, epochs=1).to_json()
    assert processes.launch(2, 0, write_what_it_got, str(tmp_path), str(tiny_prepared.path), short) == 0
    assert [json.loads((tmp_path / f"rows-{rank}").read_text()) for rank in (0, 1)] == [[1, 1, 1], []]


def test_trackers_change_no_key_of_a_claim_and_are_not_inherited(recipe: Recipe) -> None:
    assert keys.decisive(recipe) == keys.decisive(replace(recipe, log=()))
    assert fine_tuned(recipe, 3).log == ()
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(InputError, match=r"log\.0: 'comet'; choose one of wandb, mlflow, trackio"):
        Recipe.from_json(recipe.to_json().replace('"wandb"', '"comet"'))


def test_a_disk_that_is_full_as_a_run_begins_ends_what_trackers_began(
    services: dict[str, Service],
    recipe: Recipe,
    tiny_prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(trackers, "write_text", full)
    with pytest.raises(OSError, match=r"No space left .*trackers\.json"):
        train(recipe, tiny_prepared, tmp_path)
    assert [len(kept.ended) for service in services.values() for kept in service.runs.values()] == [1, 1, 1]


def test_tensorboard_s_folder_that_may_not_be_written_is_said_and_not_a_traceback(
    recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")

    def refused(**place: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(place["dir"]))

    monkeypatch.setattr(trackers, "TemporaryFile", refused)
    starts: list[Start] = []
    train(replace(recipe, epochs=1, log=()), tiny_prepared, tmp_path, started=starts.append)
    assert "tensorboard cannot begin" in starts[0].left_out[0] and "Permission denied" in starts[0].left_out[0]
