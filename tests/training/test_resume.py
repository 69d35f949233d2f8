"""A run that was stopped or killed at any moment and resumed has the same bits as one that never was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.cli import main
from alexnet.data.augment import Augmentation
from alexnet.data.prepare import prepare
from alexnet.data.prepared import Prepared
from alexnet.data.sources import open_source
from alexnet.device import Precision
from alexnet.errors import InputError
from alexnet.run import checkpoint
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, read
from alexnet.run.schedule import Schedule
from alexnet.training import loop, resume, train
from tests.conftest import write_class_folders

EPOCHS, STEPS = 3, 5


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    """15 steps; the rate drops at the last epoch."""
    return replace(tiny_recipe, epochs=EPOCHS)


@pytest.fixture(scope="module")
def never_stopped(tiny_prepared: Prepared, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("never-stopped") / "run"
    assert train(recipe, tiny_prepared, run).finished
    return run


def assert_same(run: Path, other: Path) -> None:
    """Weights, velocities, counters and epoch lines are equal, times apart."""
    one, two = checkpoint.newest(run), checkpoint.newest(other)
    assert one.name == two.name
    weights, others = checkpoint.weights(one), checkpoint.weights(two)
    assert weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    state, other_state = (torch.load(path / "state.pt", weights_only=True) for path in (one, two))
    velocities, other_velocities = state["optimizer"]["state"], other_state["optimizer"]["state"]
    assert velocities.keys() == other_velocities.keys()
    assert velocities
    assert all(torch.equal(velocities[n]["v"], other_velocities[n]["v"]) for n in velocities)
    assert state["optimizer"]["param_groups"] == other_state["optimizer"]["param_groups"]
    assert state["progress"] | {"seconds": 0} == other_state["progress"] | {"seconds": 0}
    assert epoch_lines(run) == epoch_lines(other)
    step_lines = [[line["step"] for line in read_metrics(path) if line["kind"] == "step"] for path in (run, other)]
    assert step_lines[0] == step_lines[1]


def epoch_lines(run: Path) -> list[dict[str, Any]]:
    timed = ("time", "seconds", "images_per_second")
    lines = [line for line in read_metrics(run) if line["kind"] == "epoch"]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


def asked(times: int) -> Callable[[], bool]:
    """A `stop` that says yes from the given question on; it is asked after every step and every epoch."""
    left = iter(range(times - 1))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("times", [1, 3, 5, 6, 7, 12, 15, 16])
def test_stopped_once(times: int, tiny_prepared: Prepared, recipe: Recipe, never_stopped: Path, tmp_path: Path) -> None:
    outcome = train(recipe, tiny_prepared, tmp_path, stop=asked(times))
    assert not outcome.finished
    finished_epochs = (times + 1) // (STEPS + 1)
    assert outcome.epochs == finished_epochs
    assert len(epoch_lines(tmp_path)) == finished_epochs
    assert train(recipe, tiny_prepared, tmp_path, resume=True).finished
    assert_same(tmp_path, never_stopped)


def test_stopped_after_every_single_step(
    tiny_prepared: Prepared, recipe: Recipe, never_stopped: Path, tmp_path: Path
) -> None:
    outcome = train(recipe, tiny_prepared, tmp_path, stop=lambda: True)
    calls = 1
    while not outcome.finished:
        outcome = train(recipe, tiny_prepared, tmp_path, resume=True, stop=lambda: True)
        calls += 1
    assert calls == EPOCHS * STEPS
    assert_same(tmp_path, never_stopped)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_stopped_once_in_either_precision(
    precision: Precision, tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(recipe, precision=precision)  # "auto" is what this processor has
    assert train(recipe, tiny_prepared, tmp_path / "whole").finished
    assert not train(recipe, tiny_prepared, tmp_path / "stopped", stop=asked(8)).finished
    assert train(recipe, tiny_prepared, tmp_path / "stopped", resume=True).finished
    assert_same(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("times", [3, 6, 7, 12])
def test_where_epochs_are_too_short_for_checkpoints(
    times: int,
    tiny_prepared: Prepared,
    recipe: Recipe,
    never_stopped: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU: only the first, the last, and those of a stop, within an epoch (3, 7) or at its end, are written."""
    monkeypatch.setitem(loop.YOUNG, "cpu", 1e9)
    recipe = replace(recipe, keep=9)
    assert not train(recipe, tiny_prepared, tmp_path, stop=asked(times)).finished
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert train(recipe, tiny_prepared, tmp_path, resume=True).finished
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
    assert_same(tmp_path, never_stopped)


def test_with_every_other_switch(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    other = replace(
        recipe,
        network=replace(recipe.network, normalization="batch", dropout_form="inverted"),
        augmentation=Augmentation("group", True, "authors-2012", "centre"),
        schedule=Schedule("plateau", patience=1, times=1),
        bias_rate=2.0,
        bias_decay=False,
        micro_batch=7,
        epochs=6,
        validate_every=2,
        checkpoint_minutes=0.0,
    )
    train(other, tiny_prepared, tmp_path / "never")
    outcome = train(other, tiny_prepared, tmp_path / "stopped", stop=asked(4))
    while not outcome.finished:
        outcome = train(other, tiny_prepared, tmp_path / "stopped", resume=True, stop=asked(4))
    assert_same(tmp_path / "stopped", tmp_path / "never")


def test_with_images_in_the_memory_of_the_device(
    tiny_prepared: Prepared, recipe: Recipe, never_stopped: Path, tmp_path: Path
) -> None:
    kept = replace(recipe, resident="yes")
    train(kept, tiny_prepared, tmp_path, stop=asked(7))
    train(kept, tiny_prepared, tmp_path, resume=True)
    assert_same(tmp_path, never_stopped)


def test_with_images_kept_as_jpegs(recipe: Recipe, tmp_path: Path) -> None:
    pictures = open_source(str(write_class_folders(tmp_path / "pictures", 24, seed=1)))
    data = prepare(pictures, tmp_path / "jpegs", size=32, store="jpeg")
    train(recipe, data, tmp_path / "never")
    train(recipe, data, tmp_path / "stopped", stop=asked(7))
    train(recipe, data, tmp_path / "stopped", resume=True)
    assert_same(tmp_path / "stopped", tmp_path / "never")


def test_with_the_threads_there_are(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(max(2, os.cpu_count() or 1))
    try:
        train(recipe, tiny_prepared, tmp_path / "never")
        train(recipe, tiny_prepared, tmp_path / "stopped", stop=asked(8))
        train(recipe, tiny_prepared, tmp_path / "stopped", resume=True)
    finally:
        torch.set_num_threads(before)
    assert_same(tmp_path / "stopped", tmp_path / "never")


def test_resuming_a_finished_run_changes_nothing(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    first = train(recipe, tiny_prepared, tmp_path)
    before = {file: file.read_bytes() for file in checkpoint.newest(tmp_path).iterdir()}
    again = train(recipe, tiny_prepared, tmp_path, resume=True)
    assert again == first and again.finished and again.last["epoch"] == EPOCHS
    assert {file: file.read_bytes() for file in checkpoint.newest(tmp_path).iterdir()} == before


def test_a_finished_run_goes_on_to_more_epochs(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    steady = replace(recipe, schedule=Schedule("constant"))
    train(steady, tiny_prepared, tmp_path / "run")
    assert resume(tmp_path / "run", epochs=EPOCHS + 2).epochs == EPOCHS + 2
    train(replace(steady, epochs=EPOCHS + 2), tiny_prepared, tmp_path / "other")
    assert_same(tmp_path / "run", tmp_path / "other")
    assert read(tmp_path / "run").epochs == EPOCHS + 2


def test_a_run_that_ended_by_itself_is_not_said_to_go_on(
    tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(replace(recipe, rate=1e-9, stop_after=1), tiny_prepared, tmp_path)
    assert main(["train", "--resume", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert f"it ended by itself after 2 of {EPOCHS} epochs" in said and "goes on" not in said


def test_where_more_epochs_mean_nothing(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    train(replace(recipe, rate=1e-9, stop_after=1), tiny_prepared, tmp_path)
    with pytest.raises(InputError, match=f"--epochs 2: {tmp_path} has done 2; say how many there shall be in all"):
        resume(tmp_path, epochs=2)
    with pytest.raises(InputError, match="nothing"):
        resume(tmp_path, data=tmp_path / "nothing", epochs=9)
    with pytest.raises(InputError, match="--epochs 9: .* ended by itself after 2, as its error fell no more"):
        resume(tmp_path, epochs=9)
    assert read(tmp_path).epochs == EPOCHS, "nothing is written"


def test_resuming_from_the_checkpoint_before_when_the_newest_was_removed(
    tiny_prepared: Prepared, recipe: Recipe, never_stopped: Path, tmp_path: Path
) -> None:
    train(recipe, tiny_prepared, tmp_path, stop=asked(12))
    newest = checkpoint.newest(tmp_path)
    newest.rename(tmp_path / "removed")
    assert checkpoint.newest(tmp_path).name == "step-00000005"
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "epoch", "epoch": 3, "st')  # what a kill leaves of a line
    train(recipe, tiny_prepared, tmp_path, resume=True)
    assert_same(tmp_path, never_stopped)


# A parent that imports everything once; its children train and die by SIGKILL, at a random moment or just before the
# n-th thing they do to a file of the run.
KILLER = """
import json, os, random, signal, sys, time, traceback
from pathlib import Path
import torch
import torch.utils.tensorboard
from alexnet.data import prepared
from alexnet.run import checkpoint
from alexnet.training import loop
from alexnet.errors import InputError
from alexnet.run.recipe import Recipe, read
from alexnet.training import train

torch.set_num_threads(1)
plan = json.loads(sys.argv[1])
loop.YOUNG["cpu"] = plan.get("young", 0.0)
data, recipe = prepared.open(plan["data"]), Recipe.from_json(Path(plan["recipe"]).read_text())
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
FILES = {"weights.safetensors", "state.pt"}  # rmtree removes by bare names
train(recipe, data, Path(plan["recipe"]).parent / "warm")  # what torch does once, so that every child need not

def child(run, die_at=None):
    pid = os.fork()
    if pid:
        return pid
    done = 0
    def count(event, arguments):
        nonlocal done
        file = str(arguments[0]) if event in EVENTS else ""
        if (str(run) in file and "tensorboard" not in file) or file in FILES:
            done += 1
            if done == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
    if die_at:
        sys.addaudithook(count)
    try:
        train(recipe, data, run, resume=(run / "recipe.json").exists())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

def ended(pid):
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return "killed"
    assert os.WEXITSTATUS(status) == 0, "the child failed"
    return "finished"

def step(run):
    found = checkpoint.latest(run)
    return -1 if found is None else int(found.name.removeprefix("step-"))

if plan["how"] == "at random moments":
    run, draw, kills = Path(plan["run"]), random.Random(plan["seed"]), 0
    for _ in range(plan["kills"]):
        before, pid = step(run), child(run)
        until = min(before + draw.randint(0, 3), plan["last"] - 1)
        deadline = time.monotonic() + 60
        while step(run) < until and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.03)
        os.kill(pid, signal.SIGKILL)
        kills += ended(pid) == "killed"
    assert ended(child(run)) == "finished"
    print(kills)
else:
    number = 0
    while True:
        number += 1
        run = Path(plan["run"]) / f"run-{number}"
        if ended(child(run, number)) == "finished":
            break
        assert ended(child(run)) == "finished"
    print(number - 1)
"""


def killed(tmp_path: Path, data: Prepared, recipe: Recipe, **plan: Any) -> int:
    """Let KILLER work into `plan["run"]`; returns how many children it killed."""
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    plan |= {"data": str(data.path), "recipe": str(tmp_path / "recipe.json")}
    done = subprocess.run(
        [sys.executable, "-c", KILLER, json.dumps(plan)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(
    seed: int, tiny_prepared: Prepared, recipe: Recipe, never_stopped: Path, tmp_path: Path
) -> None:
    often = replace(recipe, checkpoint_minutes=0.0)  # a checkpoint after every step
    run = tmp_path / "run"
    last = EPOCHS * STEPS
    kills = killed(tmp_path, tiny_prepared, often, how="at random moments", run=str(run), seed=seed, kills=8, last=last)
    assert kills > 0
    assert [line["epoch"] for line in epoch_lines(run)] == [1, 2, 3]
    assert_same(run, never_stopped)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_before_everything_it_does_to_a_file(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    short = replace(recipe, epochs=1, batch=40, keep=1, checkpoint_minutes=0.0)  # two steps, three checkpoints
    train(short, tiny_prepared, tmp_path / "never")
    moments = killed(tmp_path, tiny_prepared, short, how="before every act", run=str(tmp_path / "runs"))
    assert moments > 30
    for number in range(1, moments + 1):
        run = tmp_path / "runs" / f"run-{number}"
        assert_same(run, tmp_path / "never")
        assert os.listdir(run / "checkpoints") == ["step-00000002"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_epochs_after_the_last_checkpoint(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    """As on a GPU: epochs leave lines and no checkpoint, so all of them are done, and written, again."""
    falling = replace(recipe.schedule, kind="plateau")
    short = replace(recipe, epochs=3, batch=72, keep=1, schedule=falling)
    train(short, tiny_prepared, tmp_path / "never")
    plan = {"how": "before every act", "run": str(tmp_path / "runs"), "young": 1e9}
    moments = killed(tmp_path, tiny_prepared, short, **plan)
    for number in range(1, moments + 1):
        run = tmp_path / "runs" / f"run-{number}"
        assert [line["epoch"] for line in epoch_lines(run)] == [1, 2, 3]
        assert_same(run, tmp_path / "never")
