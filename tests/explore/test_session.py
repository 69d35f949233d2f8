"""A session: the newest checkpoint of a training, each thing computed once, a log as it grows, and slow work that gives way."""

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.explore import runs, values
from alexnet.explore.jobs import Jobs
from alexnet.explore.recent import Recent
from alexnet.explore.session import Session
from alexnet.explore.turns import Stopped, Turns
from alexnet.files import only_writer
from alexnet.run import checkpoint, growth, trained
from alexnet.run.recipe import Recipe
from alexnet.training import train
from tests.explore.conftest import client_of


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of a run that may be changed."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def newer(run: Path, factor: float, step: int = 1000) -> Path:
    """A checkpoint of more steps, with all weights times a factor."""
    before = checkpoint.newest(run)
    state = checkpoint.state_of(before)
    weights = {name: factor * weight for name, weight in checkpoint.weights(before).items()}
    progress = replace(checkpoint.progress_of(state, before), step=step)
    return checkpoint.save(run, weights, state["optimizer"], progress, keep=2)


def test_a_newer_checkpoint_is_taken_when_the_network_is_asked_for(run: Path) -> None:
    client = client_of(Session([run]))
    first = client.get("/api/runs/run/network.json").json()["checkpoint"]
    answer = client.get("/api/runs/run/images/train-0/answer.json").json()
    weights = client.get("/api/runs/run/weights/conv1.bin").content
    name = newer(run, 0.5).name
    # What the page has been told of goes on until it asks anew.
    assert client.get("/api/runs/run/metrics.json").json()["checkpoint"] == name
    assert client.get("/api/runs/run/weights/conv1.bin").content == weights
    assert client.get("/api/runs/run/images/train-0/answer.json").json() == answer
    network = client.get("/api/runs/run/network.json").json()
    assert (network["checkpoint"], network["step"]) == (name, 1000) and first != name
    assert client.get("/api/runs/run/weights/conv1.bin").content != weights
    assert client.get("/api/runs/run/images/train-0/answer.json").json()["probabilities"] != answer["probabilities"]


def test_a_checkpoint_that_cannot_be_read_leaves_the_one_before(run: Path) -> None:
    client = client_of(Session([run]))
    first = client.get("/api/runs/run/network.json").json()["checkpoint"]
    (newer(run, 1.0) / "weights.safetensors").write_bytes(b"\0" * 100)
    assert client.get("/api/runs/run/network.json").json()["checkpoint"] == first
    assert client.get("/api/runs/run/images/train-0/answer.json").status_code == 200


def test_a_network_that_answers_with_nan_is_one_line(run: Path) -> None:
    session = Session([run])
    session.run("run").trained.network.get_parameter("fc6.bias").fill_(torch.nan)
    answer = client_of(session).get("/api/runs/run/images/train-0/answer.json")
    assert answer.status_code == 500 and "NaN" in answer.json()["error"]


def test_the_log_says_whether_a_training_goes_on(run: Path) -> None:
    trained = Session([run]).run("run").trained
    assert runs.log(trained)["state"] == "finished"
    lines = (run / "metrics.jsonl").read_text().splitlines()
    half = [line for line in lines if '"epoch": 12' not in line and '"epoch": 11' not in line]
    cut_short = '{"kind": "step", "step": 51, "epoch": 10, "loss": NaN, "rate": 0.1}\n{"kind'
    (run / "metrics.jsonl").write_text("\n".join([*half, cut_short]))
    assert runs.log(trained)["state"] == "stopped"
    with only_writer(run, "alexnet train"):
        log = runs.log(trained)
    assert log["state"] == "training" and log["epochs_total"] == 12
    assert [line["epoch"] for line in log["epochs"]] == [*range(1, 11)]
    assert log["rate"] == 0.1 and log["images_per_second"] == log["epochs"][-1]["images_per_second"]
    answer = client_of(Session([run])).get("/api/runs/run/metrics.json")
    assert answer.json()["steps"][-1]["loss"] is None  # JSON has no NaN


def test_a_run_without_a_log_says_so(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    client = client_of(Session([run]))
    assert client.get("/api/runs/run/metrics.json").status_code == 404
    assert client.get("/api/runs/run/network.json").json()["epochs"] is None


def test_errors_are_those_of_the_newest_evaluation_by_views(run: Path) -> None:
    (run / "evaluation-val-1views.json").write_text('{"views": 1, "top1_error": 20.5, "top5_error": 2.5}')
    (run / "evaluation-val-10views.json").write_text('{"views": 10, "top1_error": 18, "top5_error": 2}')
    (run / "evaluation-val-10views-odd.json").write_text("{}")
    (run / "evaluation-train-1views.json").write_text('{"views": 1, "top1_error": 0, "top5_error": 0}')
    views = runs.facts(Session([run]).run("run").trained)["error"]["views"]
    assert views == {"1": {"top1": 20.5, "top5": 2.5}, "10": {"top1": 18, "top5": 2}}


def test_runs_have_names_that_a_url_can_hold_no_two_alike(tiny_run: Path, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a b/run", "c/run", "한", "..x")]
    for place in places:
        shutil.copytree(tiny_run, place)
    assert list(Session(places).runs) == ["run", "run-2", "run-3", "x"]


def test_without_a_dataset_what_needs_one_says_how_to_give_it(run: Path, tiny_prepared: Prepared) -> None:
    (run / "data.json").unlink()
    session = Session([run])
    client = client_of(session)
    picture = session.images.upload((tiny_prepared.path.parent / "pictures/bars/000.png").read_bytes(), "bars.png")
    assert client.get("/api/index.json").json()["data"] is None
    for path in (
        "samples.json",
        "images/train-0/thumb.jpg",
        f"runs/run/images/{picture.id}/neighbours.json",
        "runs/run/units/conv1/0.json",
    ):
        answer = client.get(f"/api/{path}")
        assert answer.status_code == 404 and "--data DIR" in answer.json()["error"], path
    assert client.get(f"/api/runs/run/images/{picture.id}/answer.json").status_code == 200
    with pytest.raises(InputError, match="is no folder"):
        Session([run], data=run / "nothing")
    with pytest.raises(InputError, match=r"--images .*none\.jpg"):
        Session([run], images=[str(run / "none.jpg")])


def test_without_a_run_the_starter_and_photographs_that_are_installed(starter: Path, tiny_prepared: Prepared) -> None:
    session = Session()
    client = client_of(session)
    index = client.get("/api/index.json").json()
    assert index["runs"] == ["starter"] and index["data"] is None
    assert "china.jpg" in [image["name"] for image in index["images"]]
    about = client.get("/api/runs/starter/network.json").json()
    assert about["error"]["views"]["1"]["top1"] == trained.load("starter").measured.top1_error  # type: ignore[union-attr]
    epoch = about["epochs_kept"][-1]
    kernels = np.frombuffer(client.get(f"/api/runs/starter/kernels/{epoch}.bin").content, "<f4")
    assert np.array_equal(kernels, growth.read(starter, epoch).flatten())
    assert client.get("/api/runs/starter/metrics.json").status_code == 404
    with_data = Session(data=tiny_prepared.path)
    assert with_data.data and not with_data.images.given


def test_each_answer_is_computed_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session([run])
    calls: list[int] = []
    answer = values.answer
    monkeypatch.setattr(values, "answer", lambda *given: calls.append(1) or answer(*given))
    picture, opened = session.images.find("train-5"), session.run("run")
    together = [threading.Thread(target=session.answer, args=(opened, picture)) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len(calls) == 1


def test_recent_keeps_the_last_that_were_asked_for() -> None:
    recent: Recent[str] = Recent(2)
    made: list[str] = []

    def ask(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [ask(key) for key in "abacab"] == ["A", "B", "A", "C", "A", "B"]
    assert made == ["a", "b", "c", "b"]  # when c came, b was the one not asked for for longest


def test_slow_work_waits_while_others_ask_and_ends_with_the_session() -> None:
    turns, jobs, steps = Turns(), None, []
    jobs = Jobs(turns)
    begun, go = threading.Event(), threading.Event()

    def work(progress: object) -> str:
        begun.set()
        assert go.wait(20)
        for step in range(3):
            steps.append(step)
            progress(step, 3)  # type: ignore[operator]
        return "done"

    job = jobs.ask("key", work)
    assert begun.wait(20) and jobs.ask("key", work) is job and not job.ready
    with turns.next():
        go.set()
        while not steps:
            time.sleep(0.001)
        time.sleep(0.05)
        assert steps == [0] and job.state() == {"state": "computing", "done": 0, "total": 3}
    while not job.ready:
        time.sleep(0.001)
    assert job.result == "done"
    turns.end()
    with pytest.raises(Stopped):
        turns.give_way()
    jobs.close()


def test_a_job_that_fails_says_so_once_and_is_begun_again() -> None:
    jobs, tries = Jobs(Turns()), []

    def work(progress: object) -> None:
        tries.append(1)
        raise InputError("no room")

    for _ in range(2):
        job = jobs.ask("key", work)
        while job.error is None:
            time.sleep(0.001)
        with pytest.raises(InputError, match="no room"):
            jobs.ask("key", work)
    assert len(tries) == 2
    jobs.close()


def test_a_run_under_way_is_explored_while_it_trains(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    session: list[Session] = []
    states: list[str] = []

    def look(status: object) -> None:
        if checkpoint.latest(tmp_path / "run") and not session:
            session.append(Session([tmp_path / "run"]))
            states.append(runs.log(session[0].run("run").trained)["state"])

    train(replace(tiny_recipe, epochs=2, checkpoint_minutes=0.0), tiny_prepared, tmp_path / "run", progress=look)
    assert states == ["training"]
    client = client_of(session[0])
    assert client.get("/api/runs/run/network.json").json()["epochs"] == 2
    assert client.get("/api/runs/run/metrics.json").json()["state"] == "finished"
