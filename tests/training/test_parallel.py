"""Two processes that train one network learn what one process learns, and go on from each other's checkpoints (gloo)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alexnet import cli, errors, processes
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.evaluation.measure import Evaluation, evaluate
from alexnet.network.model import AlexNet
from alexnet.network.networks import one_gpu
from alexnet.processes import Mode, Processes
from alexnet.run import checkpoint, growth, trained
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe, seed_of
from alexnet.training import Status, loop, train
from alexnet.training.start import check_parallel

MODES: tuple[Mode, ...] = ("data", "columns", "hybrid")
EPOCHS, STEPS = 3, 5
STOPS = {"one": 7, "two": 12}
"""Steps after which the run that changes its number of processes stops: within an epoch, both times."""


def up_to(step: int, run: Path) -> dict[str, Callable[..., Any]]:
    """Arguments of `train` with which it stops when so many steps are done."""
    done = [int(checkpoint.newest(run).name.removeprefix("step-")) if (run / "recipe.json").exists() else 0]
    told = [False]

    def progress(now: Status) -> None:
        done[0], told[0] = (now.epoch - 1) * now.steps + now.step, now.ended

    def stop() -> bool:
        # Asked after a step before that step is told of, and after an epoch when its end was.
        already, told[0] = told[0], False
        return done[0] >= (step if already else step - 1)

    return {"progress": progress, "stop": stop}


def ten_views(run: Path, opened: Prepared, place: Processes = Processes()) -> Evaluation:
    """A run measured on all training images, in batches that divide neither them nor a process's share."""
    network, split = trained.load(run), opened.split("train")
    of = (network.network, network.preparation, split.images, split.labels, network.classes)
    return evaluate(*of, views=10, batch=7, processes=place, confusion=True)


def together(folder: str, data: str, recipe: str) -> int:
    """What each of two processes does: a run in every mode, the middle of one begun by a single process, an evaluation."""
    with processes.joined() as place:
        opened, of, at = prepared_sets.open(Path(data)), Recipe.from_json(recipe), Path(folder)
        for mode in MODES:
            train(of, opened, at / mode, processes=place, parallel=mode)
            odd = replace(of, batch=71, epochs=1)  # and one image
            train(odd, opened, at / f"odd-{mode}", processes=place, parallel=mode)
            low = replace(of, epochs=1, precision="bf16")
            train(low, opened, at / f"bf16-{mode}", processes=place, parallel=mode)
            changing = at / f"changing-{mode}"
            train(of, opened, changing, resume=True, processes=place, parallel=mode, **up_to(STOPS["two"], changing))
        measured = ten_views(at / "one", opened, place)
        measured.save(at / f"evaluation-{place.rank}.json")
        try:  # what process 0 alone finds ends the others too
            train(replace(of, seed=1), opened, at / "data", processes=place, parallel="data")
        except errors.InputError:
            return 10
        except processes.FailedElsewhere:
            (at / "other-ended").touch()
            return 11
    return 0


def one_failing(folder: str, data: str, recipe: str, failing: int) -> int:
    """What each of two processes does: one finds a batch that it cannot read."""
    with processes.joined("cpu") as place:
        opened = prepared_sets.open(Path(data))
        if place.rank == failing:
            opened.split("train")  # before it is spoilt

            def spoilt(*args: Any, **options: Any) -> Any:
                raise errors.InputError("images.jpg: damaged")

            loop.read_ahead = spoilt  # type: ignore[assignment]
        try:
            train(Recipe.from_json(recipe), opened, Path(folder) / "run", processes=place, parallel="data")
        except processes.FailedHere as error:
            (Path(folder) / f"failed-{place.rank}").write_text(str(error))
            raise SystemExit(error.code) from None
    return 0


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, epochs=EPOCHS, precision="float32")


@pytest.fixture(scope="module")
def runs(tiny_prepared: Prepared, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders: one (a single process), data, columns, hybrid (two), changing-MODE (one, two, one)."""
    folder = tmp_path_factory.mktemp("parallel")
    train(recipe, tiny_prepared, folder / "one")
    train(replace(recipe, batch=71, epochs=1), tiny_prepared, folder / "odd-one")
    train(replace(recipe, epochs=1, precision="bf16"), tiny_prepared, folder / "bf16-one")
    for mode in MODES:
        run = folder / f"changing-{mode}"
        assert not train(recipe, tiny_prepared, run, **up_to(STOPS["one"], run)).finished
    assert processes.launch(2, 0, together, str(folder), str(tiny_prepared.path), recipe.to_json()) == 10
    for mode in MODES:
        run = folder / f"changing-{mode}"
        assert checkpoint.newest(run).name == checkpoint.name_of(STOPS["two"])
        assert train(recipe, tiny_prepared, run, resume=True).finished
    return folder


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_in_bf16_learn_what_one_learns_but_for_rounding(mode: Mode, runs: Path) -> None:
    lines = [read_metrics(runs / f"bf16-{name}") for name in ("one", mode)]
    assert all(kinds[0]["precision"].startswith("bf16") for kinds in lines)
    one, two = (next(line for line in kinds if line["kind"] == "epoch") for kinds in lines)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-2)
    torch.manual_seed(seed_of(0, "init", 0))
    start = AlexNet(Recipe.from_json((runs / "bf16-one" / "recipe.json").read_text()).network)
    weights, others = (checkpoint.weights(checkpoint.newest(runs / f"bf16-{name}")) for name in ("one", mode))
    last, begun = f"{start.spec.last_name}.weight", start.state_dict()
    moved = weights[last] - begun[last]
    assert moved.norm() > 0 and (weights[last] - others[last]).norm() < 0.1 * moved.norm()


def assert_close(run: Path, other: Path) -> None:
    """Weights agree to a hundredth of what they have learned, errors exactly, losses nearly.

    In float64 everything agrees to 1e-12 (test_layouts.py). Here a sum that rounds to the other side of 0, or of another
    in a pooling window, may switch a ReLU or a maximum; a wrong mask, crop or scale would change all that was learned.
    """
    recipe = Recipe.from_json((run / "recipe.json").read_text())
    torch.manual_seed(seed_of(recipe.seed, "init", 0))
    start = AlexNet(recipe.network).state_dict()
    one, two = checkpoint.newest(run), checkpoint.newest(other)
    weights, others = checkpoint.weights(one), checkpoint.weights(two)
    assert weights.keys() == others.keys() == start.keys()
    for name, there in others.items():
        assert (weights[name] - there).norm() <= 1e-2 * (there - start[name]).norm()
    state, other_state = (torch.load(path / "state.pt", weights_only=True) for path in (one, two))
    velocities, other_velocities = (each["optimizer"]["state"] for each in (state, other_state))
    assert velocities.keys() == other_velocities.keys() and len(velocities) == len(weights)
    for number, velocity in other_velocities.items():
        assert (velocities[number]["v"] - velocity["v"]).norm() <= 5e-2 * velocity["v"].norm()
    lines, other_lines = ([line for line in read_metrics(path) if line["kind"] == "epoch"] for path in (run, other))
    assert len(lines) == len(other_lines) == EPOCHS
    for line, like in zip(lines, other_lines, strict=True):
        for name in ("epoch", "step", "train_error", "validation_top1", "validation_top5", "rate"):
            assert line[name] == like[name], name
        assert line["loss"] == pytest.approx(like["loss"], rel=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_learn_what_one_learns(runs: Path, mode: str) -> None:
    assert_close(runs / mode, runs / "one")
    assert growth.epochs(runs / mode) == list(range(EPOCHS + 1))
    kernels = checkpoint.weights(checkpoint.newest(runs / mode))["conv1.weight"].numpy()
    assert (growth.read(runs / mode, EPOCHS) == kernels).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_run_goes_on_with_two_processes_and_with_one_again(runs: Path, mode: str) -> None:
    assert_close(runs / f"changing-{mode}", runs / "one")
    starts = [line for line in read_metrics(runs / f"changing-{mode}") if line["kind"] == "start"]
    assert [(line["processes"], line["parallel"]) for line in starts] == [(1, "none"), (2, mode), (1, "none")]


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_of_one_image_counts_too(runs: Path, mode: str) -> None:
    two, one = (read_metrics(runs / f"odd-{name}")[-1] for name in (mode, "one"))
    assert two["step"] == one["step"] == 2
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4) and two["train_error"] == one["train_error"]


def test_ten_views_by_two_processes(runs: Path, tiny_prepared: Prepared) -> None:
    alone = ten_views(runs / "one", tiny_prepared)
    assert alone.confusion is not None
    for rank in range(2):  # both know the whole
        assert json.loads((runs / f"evaluation-{rank}.json").read_text()) == alone.to_dict()


def test_what_process_0_finds_ends_the_others(runs: Path) -> None:
    assert (runs / "other-ended").exists()  # and `launch` returned what process 0 did


def test_what_one_process_finds_ends_all(tiny_prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(errors.RunFailed, match="exit code 75"):
        processes.launch(2, 0, one_failing, str(tmp_path), str(tiny_prepared.path), recipe.to_json(), 1)
    assert (tmp_path / "failed-1").read_text().startswith("process 1: images.jpg: damaged; then: alexnet train --res")
    assert not (tmp_path / "failed-0").exists()


@pytest.mark.parametrize("number", [0, 1, 2, 7, 128])
def test_shares_are_the_whole(number: int) -> None:
    shares = [list(range(number))[Processes(rank, 3).rows(number)] for rank in range(3)]
    assert sum(shares, []) == list(range(number))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_cannot_be(recipe: Recipe) -> None:
    with pytest.raises(errors.InputError, match="--compile"):
        check_parallel(replace(recipe, compile=True), "data", 2)
    with pytest.raises(errors.InputError, match="--rule lars"):
        check_parallel(replace(recipe, rule="lars"), "hybrid", 2)
    check_parallel(replace(recipe, rule="lars"), "data", 2)
    with pytest.raises(errors.InputError, match="two columns"):
        check_parallel(replace(recipe, network=one_gpu), "columns", 2)
    check_parallel(replace(recipe, compile=True, micro_batch=4), "none", 1)


def test_devices_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        Processes(0, 2).device("auto") == Processes(0, 2).device("cpu") == "cpu" and Processes().device("mps") == "mps"
    )
    for wanted in ("cuda", "mps", "cuda:1"):
        with pytest.raises(errors.InputError, match="--device"):
            Processes(0, 2).device(wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Processes(1, 2, 1).device("auto") == Processes(1, 2, 1).device("cuda") == "cuda:1"
    with pytest.raises(errors.InputError, match="this machine has 2"):  # before any of them waits for the others
        Processes(0, 3, 0).device("auto")


def children(of: int) -> list[int]:
    """Process numbers of the workers below a process, which the elastic agent spawned."""
    results = []
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == of and b"spawn_main" in (folder / "cmdline").read_bytes():
                results.append(int(folder.name))
        except (OSError, ValueError, IndexError):
            continue
    return results


def command(*args: str) -> subprocess.Popen[str]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "alexnet", *args]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for the workers in /proc")
def test_a_killed_worker_starts_again_and_the_run_goes_on(tiny_prepared: Prepared, tmp_path: Path) -> None:
    run, at_once = tmp_path / "run", tmp_path / "at-once"
    options = ["--data", str(tiny_prepared.path), "--image-size", "32", "--network.input-size", "30", "--batch", "8"]
    options += ["--epochs", "60", "--device", "cpu", "--parallel", "data"]
    started = command("train", "demo", *options, "--out", str(run))
    epochs = lambda: [line["epoch"] for line in read_metrics(run) if line["kind"] == "epoch"]  # noqa: E731
    wait_for(lambda: len(epochs()) >= 2, started)
    workers = children(started.pid)
    assert len(workers) == 2
    os.kill(max(workers), signal.SIGKILL)
    # Stopped by a signal, later on: what the workers do with it reaches whoever started them.
    wait_for(lambda: len([line for line in read_metrics(run) if line["kind"] == "start"]) == 2, started)
    before = len(epochs())
    wait_for(lambda: len(epochs()) > before, started)
    os.killpg(started.pid, signal.SIGTERM)  # as a terminal does, and a scheduler: the workers are told twice
    _, said = started.communicate(timeout=120)
    assert started.returncode == 128 + signal.SIGTERM, said
    assert "go on from its last checkpoint" in said and "alexnet train --resume" in said and "Traceback" not in said
    whole = [line["epoch"] for line in read_metrics(run) if line["kind"] == "epoch"]
    assert whole == list(range(1, len(whole) + 1))

    # The same steps without a kill lead to the same weights, to the bit: nothing was lost or done twice.
    step = int(checkpoint.newest(run).name.removeprefix("step-"))
    recipe = Recipe.from_json((run / "recipe.json").read_text())
    assert processes.launch(2, 0, steps, str(at_once), str(tiny_prepared.path), recipe.to_json(), step) == 0
    one, two = checkpoint.newest(run), checkpoint.newest(at_once)
    assert one.name == two.name
    weights, expected = checkpoint.weights(one), checkpoint.weights(two)
    assert [name for name in expected if not torch.equal(weights[name], expected[name])] == []


def steps(run: str, data: str, recipe: str, number: int) -> int:
    """What each of two processes does: so many steps."""
    with processes.joined() as place:
        of, opened = Recipe.from_json(recipe), prepared_sets.open(Path(data))
        train(of, opened, Path(run), processes=place, parallel="data", **up_to(number, Path(run)))
    return 0


def test_two_machines_under_torchrun(tiny_prepared: Prepared, tmp_path: Path) -> None:
    """Two agents, as on two machines, with a process each: they train one run, and measure it together."""
    run, alone = tmp_path / "run", tmp_path / "alone"
    options = ["--data", str(tiny_prepared.path), "--image-size", "32", "--network.input-size", "30", "--epochs", "2"]
    options += ["--device", "cpu", "--batch", "16"]
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    agent = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        "2",
        "--nproc-per-node",
        "1",
        "--rdzv-id",
        "job",
    ]
    agent += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--local-addr", "localhost"]

    def on_both(*args: str) -> list[str]:
        line = [*agent, "-m", "alexnet", *args]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        both = [
            subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for _ in "12"
        ]
        said = [each.communicate(timeout=120) for each in both]
        assert [each.returncode for each in both] == [0, 0], said
        return [stdout for stdout, _ in said]

    on_both("train", "demo", *options, "--out", str(run))
    assert read_metrics(run)[0]["processes"] == 2
    printed = [text for text in on_both("evaluate", str(run), "--views", "10", "--device", "cpu", "--json") if text]
    assert len(printed) == 1  # one speaks for all
    together = json.loads(printed[0])
    shutil.copytree(run, alone, ignore=shutil.ignore_patterns("predictions"))
    code = cli.main(["evaluate", str(alone), "--views", "10", "--device", "cpu"])
    assert code == 0
    one = json.loads((alone / "evaluation-held-out-of-train-10views.json").read_text())
    assert {name: together[name] for name in one} == one
    kept = [load_file(next((path / "predictions").glob("*.safetensors"))) for path in (run, alone)]
    assert torch.allclose(kept[0]["probabilities"], kept[1]["probabilities"], atol=1e-6)


def test_the_columns_need_two(tiny_prepared: Prepared, tmp_path: Path) -> None:
    options = ["--data", str(tiny_prepared.path), "--image-size", "32", "--network.input-size", "30"]
    process = command(
        "train", "demo", *options, "--out", str(tmp_path / "run"), "--parallel", "columns", "--processes", "3"
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and "--processes 2" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()
