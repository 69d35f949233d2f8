"""The command for a GPU: order, minutes, what is there already, pieces that fail; a rehearsal of it; the table; the setup."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alexnet import cli
from alexnet.claims import ledger, runner
from alexnet.claims.claims import claims
from alexnet.errors import InputError, RunFailed
from alexnet.gpu import apart, pieces, run, speed
from alexnet.gpu.apart import Apart, PieceFailed
from alexnet.gpu.figures import document, row
from alexnet.gpu.pieces import PIECES
from tests.claims import making

ROOT = Path(__file__).parents[2]
MEASURED = [name for name, piece in PIECES.items() if not piece.takes]
TRAINED = [name for name, piece in PIECES.items() if piece.takes]
REHEARSED = [name for name in TRAINED if name != "longer"]


# pieces --------------------------------------------------------------------------------------------------------------


def test_the_pieces_that_measure_are_those_that_there_are() -> None:
    assert ["check", *speed.PIECES] == MEASURED


def test_every_claim_of_the_scale_is_in_a_piece_and_the_papers_come_before_the_programs() -> None:
    of = {name: [each for group in pieces.experiments(PIECES[name]) for each in group] for name in TRAINED}
    all_of_it = {each.id for name in TRAINED for each in of[name] if each.scale == "imagenette"}
    assert all_of_it == {*ledger.ids("imagenette"), "table2"}
    sections = [claims[each.id].section == "2012" for each in of["claims"]]
    assert sections == sorted(sections) and any(sections)
    assert not {each.id for each in of["claims"]} & {each.id for each in of["networks"]}
    assert [(each.scale, each.id) for each in of["cifar"]] == [("cifar", "lrn-cifar"), ("small", "relu")]
    first = of["networks"][0].claim()
    assert [name for name, _ in first.variants] == ["paper", "authors-2012"]
    assert set(first.variants) < set(of["longer"][0].claim().variants)


# a call, with nothing computed ---------------------------------------------------------------------------------------


class Fake:
    """Stands for the other process and for the runner; what fails, and how long things take, is set by a test."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.notes: list[str] = []
        self.fails: set[str] = set()
        self.cut_short: set[str] = set()
        self.takes = 0.0
        self.now = 1000.0

    def _does(self, name: str) -> None:
        self.calls.append(name)
        self.now += self.takes
        if name in self.fails:
            raise PieceFailed(f"{name} is\nbroken", f"Traceback of {name}")

    # what `Apart` is asked for

    def __call__(self, work: Any, interpreted: bool) -> "Fake":
        return self

    def do(self, name: str, stop: Callable[[], bool], most: float, say: Callable[[str], None]) -> dict[str, Any]:
        self._does(name)
        left_out = ["steps of 1024 images: no time left"] if name in self.cut_short else []
        rows = [row(f"figure {number}", [1.0], "s") for number in range(1 if left_out else 2)]
        return document(name, f"alexnet gpu {name}", rows, **{"left out": left_out})

    def close(self) -> None:
        pass

    # what `runner.run` and `table2.run` are asked for

    def run(self, of: Any, scale: Any, *given: Any, **how: Any) -> None:
        out, results = given[1], given[2]
        self.notes.append(how["note"])
        for claim in of:
            self._does(claim.id)
            if how["stop"]():
                raise runner.Stopped
            variants = {name: {"top1": [50.0] * 3, "ten_top1": [49.0] * 3} for name, _ in claim.variants}
            making.result(claim.id, scale.name, variants, commits=["abc1234"]).save(results)
        assert out.name == "runs"

    def chain(
        self, scale: Any, prepared: Any, pretraining: None, out: Path, results: Path, *a: Any, **how: Any
    ) -> None:
        self._does("table2")
        variants = {name: {"top1": [50.0] * 3, "ten_top1": [49.0] * 3} for name in ("one net", "five nets")}
        making.result("table2", scale.name, variants).save(results)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A machine with a GPU on which everything is done at once."""
    made = Fake()
    machine = {"gpu": "NVIDIA H100", "cpu": "a processor", "threads": 16, "python": "3.12", "torch": "2.11"}
    monkeypatch.setattr(run.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(run.provenance, "machine", lambda: machine)
    monkeypatch.setattr(run.provenance, "commit", lambda: "abc1234")
    monkeypatch.setattr(run, "Apart", made)
    monkeypatch.setattr(run.runner, "run", made.run)
    monkeypatch.setattr(run.table2, "run", made.chain)
    monkeypatch.setattr(run.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(run, "_opened", lambda option, path, scale, rehearsal: tiny(path))
    return made


def tiny(path: Path) -> Any:
    class Opened:
        pass

    opened = Opened()
    opened.path = path  # type: ignore[attr-defined]
    return opened


DATA, CIFAR = run.Set(Path("imagenette")), run.Set(Path("cifar10"))


def call(out: Path, *names: str, minutes: float = 8.0, **how: Any) -> run.Done:
    given = {"data": DATA, "cifar": CIFAR, **how}
    return run.run(names, out=out, minutes=minutes, **given)


ORDER = [
    *MEASURED,
    *run.pieces_.OF_NETWORKS,
    "table2",
    *run.pieces_.OF_NETWORKS[:2],
    *(each.id for group in pieces.experiments(PIECES["claims"]) for each in group),
    "lrn-cifar",
    "relu",
]


def test_everything_is_done_once_and_in_order(fake: Fake, tmp_path: Path) -> None:
    said: list[str] = []
    done = call(tmp_path, say=said.append)
    assert fake.calls == ORDER
    assert done.done == tuple(PIECES) and not done.failed and not done.left
    state = json.loads((tmp_path / "gpu.json").read_text())
    assert not state["rehearsal"] and list(state["pieces"]) == list(PIECES)
    for entry in state["pieces"].values():
        assert entry["state"] == "done" and entry["commit"] == "abc1234" and entry["machine"]["gpu"] == "NVIDIA H100"
        assert entry["begun"] <= entry["ended"] and entry["seconds"] == 0
    assert (tmp_path / "table.txt").read_text().splitlines() == list(done.table)
    assert sorted(path.name for path in (tmp_path / "speed").iterdir()) == sorted(f"{name}.json" for name in MEASURED)
    # Once more: nothing is left to do, not even the check.
    again = call(tmp_path, say=said.append)
    assert fake.calls == ORDER and again.done == tuple(name for name in PIECES if name != "check")
    assert "steps: there already, by abc1234 on NVIDIA H100; --again steps measures it again" in said


def test_minutes_are_kept_and_the_same_call_goes_on(fake: Fake, tmp_path: Path) -> None:
    fake.takes = 50.0  # seconds a piece, or a claim
    said: list[str] = []
    done = call(tmp_path, minutes=4, say=said.append)  # 240 s
    assert fake.calls == ["check", "ceilings", "kernels", "steps", "profile"]
    assert done.done == ("check", "ceilings", "kernels", "steps", "profile")
    assert list(done.left) == ["epoch", *TRAINED] and set(done.left.values()) == {"time is up"}
    fake.calls.clear()
    done = call(tmp_path, minutes=4)
    assert fake.calls == ["epoch", *run.pieces_.OF_NETWORKS] and done.left["networks"] == "time is up"
    assert json.loads((tmp_path / "gpu.json").read_text())["pieces"]["networks"]["state"] == "begun"
    fake.calls.clear()
    done = call(tmp_path, minutes=4)
    assert fake.calls == list(run.pieces_.OF_NETWORKS) and "networks" in done.done
    assert done.left["averaged"] == "it needs 45 s, 40 are left"
    assert json.loads((tmp_path / "gpu.json").read_text())["pieces"]["networks"]["seconds"] > 200


def test_a_piece_that_could_do_nothing_is_not_begun_and_a_smaller_one_is(fake: Fake, tmp_path: Path) -> None:
    said: list[str] = []
    call(tmp_path, "check")
    done = call(tmp_path, "steps", "profile", minutes=0.6, say=said.append)
    assert fake.calls == ["check", "profile"] and done.left == {"steps": "it needs 60 s, 36 are left"}
    assert "steps: not begun, it needs 60 s, 36 are left" in said


def test_a_stop_from_outside_ends_it(fake: Fake, tmp_path: Path) -> None:
    done = call(tmp_path, stop=lambda: len(fake.calls) >= 3)
    assert fake.calls == ["check", "ceilings", "kernels"] and set(done.left.values()) == {"stopped"}


def test_what_fails_leaves_the_others_alone(fake: Fake, tmp_path: Path) -> None:
    fake.fails = {"steps", "lrn"}
    said: list[str] = []
    done = call(tmp_path, say=said.append)
    assert done.failed == ("steps", "claims")
    assert done.done == tuple(name for name in PIECES if name not in done.failed)
    assert (tmp_path / "errors" / "steps.txt").read_text() == "Traceback of steps"
    assert f"steps: failed: steps is broken ({tmp_path / 'errors' / 'steps.txt'})" in said
    # The claims that were in one group with what fails are done alone, and have their results.
    there = {path.stem for path in (tmp_path / "results" / "imagenette").iterdir()}
    assert there == {each.id for name in TRAINED for g in pieces.experiments(PIECES[name]) for each in g} - {
        "lrn",
        "lrn-cifar",
        "relu",
    }
    assert json.loads((tmp_path / "gpu.json").read_text())["pieces"]["claims"]["error"] == "lrn is broken"
    assert any("steps failed: steps is broken" in line for line in done.table)
    fake.fails.clear()
    fake.calls.clear()
    done = call(tmp_path)
    # The runner, which knows what is done of a group, is given all of it.
    assert fake.calls == ["steps", "columns", "links", "lrn", "overlap"] and not done.failed
    assert not list((tmp_path / "errors").iterdir())


def test_kernels_that_are_wrong_stop_everything_and_nothing_is_begun_unchecked(fake: Fake, tmp_path: Path) -> None:
    fake.fails = {"check"}
    for names in ((), ("steps",), ("check", "networks")):
        fake.calls.clear()
        done = call(tmp_path, *names)
        assert fake.calls == ["check"] and done.failed == ("check",) and not done.done
        assert set(done.left) == set(names or PIECES) - {"check"}
        assert set(done.left.values()) == {"the kernels are not checked"}
    fake.fails.clear()
    fake.calls.clear()
    assert call(tmp_path, "steps").done == ("check", "steps"), "the check comes first, named or not"
    assert call(tmp_path, "profile").done == ("profile",), "and once"
    # Without the time for a check nothing is done either.
    assert set(call(tmp_path / "other", minutes=0.1).left) == set(PIECES)


def test_what_is_done_unchecked_says_so_everywhere_and_what_is_checked_does_not(fake: Fake, tmp_path: Path) -> None:
    fake.fails = {"check"}
    done = call(tmp_path, "steps", "networks", unchecked=True)
    assert fake.calls == ["check", "steps", *run.pieces_.OF_NETWORKS], "the check is tried still"
    assert done.failed == ("check",) and done.done == ("steps", "networks")
    assert "KERNELS THAT DID NOT PASS THE CHECK made steps, networks" in done.table
    assert json.loads((tmp_path / "speed" / "steps.json").read_text())["unchecked"] is True
    assert fake.notes == ["the kernels did not pass alexnet gpu check"]
    fake.calls.clear()
    call(tmp_path, "epoch", unchecked=True)
    assert fake.calls == ["epoch"], "a check that failed here is not tried again"
    fake.fails.clear()
    done = call(tmp_path, "profile", "averaged")
    assert done.done == ("check", "profile", "averaged")
    assert "unchecked" not in json.loads((tmp_path / "speed" / "profile.json").read_text())
    assert "KERNELS THAT DID NOT PASS THE CHECK made steps, networks, epoch" in done.table
    call(tmp_path, "steps", again=True)
    assert "unchecked" not in json.loads((tmp_path / "speed" / "steps.json").read_text())


@pytest.mark.parametrize("what", ["commit", "machine", "dirty"])
def test_a_check_belongs_to_its_machine_and_commit(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "dirty":  # changed files may be others the next time
        monkeypatch.setattr(run.provenance, "commit", lambda: "abc1234-dirty")
    assert "unchecked" not in call(tmp_path, "check", "steps").to_dict()["pieces"]["steps"]
    fake.calls.clear()
    if what == "commit":
        monkeypatch.setattr(run.provenance, "commit", lambda: "def5678")
    if what == "machine":
        monkeypatch.setattr(run, "machine_id", lambda: "another")
    said: list[str] = []
    done = call(tmp_path, "steps", "profile", say=said.append)
    assert fake.calls == ["check", "profile"] and done.done == ("steps", "check", "profile")
    assert any(line.startswith("steps: there already, by abc1234") for line in said), "figures keep their origin"


def test_figures_are_measured_again_only_where_that_is_asked_for(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tmp_path, "check", "steps")
    measured = (tmp_path / "speed" / "steps.json").stat().st_mtime_ns
    monkeypatch.setattr(run.provenance, "commit", lambda: "def5678")
    assert call(tmp_path, "check", "steps", again=True).done == ("check", "steps")
    assert (tmp_path / "speed" / "steps.json").stat().st_mtime_ns > measured
    assert fake.calls == ["check", "steps"] * 2
    for names, said in (((), "name the pieces"), (("networks",), "remove the result files")):
        with pytest.raises(InputError, match=said):
            call(tmp_path, *names, again=True)


def test_figures_for_which_time_was_short_are_completed_and_never_replaced_by_fewer(fake: Fake, tmp_path: Path) -> None:
    fake.cut_short = {"steps"}
    assert call(tmp_path, "steps").left == {"steps": "time is up"}
    path = tmp_path / "speed" / "steps.json"
    assert len(json.loads(path.read_text())["rows"]) == 1
    fake.cut_short.clear()
    assert call(tmp_path, "steps").done == ("steps",)
    whole = path.read_text()
    assert len(json.loads(whole)["rows"]) == 2
    fake.cut_short = {"steps"}
    call(tmp_path, "steps", again=True)
    assert path.read_text() == whole


def test_pieces_without_their_data_are_left_out_and_those_that_are_there_are_not(fake: Fake, tmp_path: Path) -> None:
    call(tmp_path, "networks")
    done = call(tmp_path, data=None, cifar=None)
    assert set(fake.calls) == {*MEASURED, *run.pieces_.OF_NETWORKS}
    assert "networks" in done.done and not done.failed
    assert done.left == dict.fromkeys(("averaged", "longer", "claims"), "it takes --data") | {
        "cifar": "it takes --cifar"
    }


def test_results_that_were_brought_along_are_kept(fake: Fake, tmp_path: Path) -> None:
    call(tmp_path / "there")
    for folder in ("results", "speed"):
        shutil.copytree(tmp_path / "there" / folder, tmp_path / "here" / folder)
    (tmp_path / "here" / "results" / "imagenette" / "lrn.json").write_text("{")  # damaged on the way
    fake.calls.clear()
    done = call(tmp_path / "here")
    assert fake.calls == ["check", "columns", "links", "lrn", "overlap"] and not done.failed


def test_what_cannot_be_begun_is_said(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for how, said in (
        ({"minutes": 0}, "--minutes 0"),
        ({"jobs": 0}, "--jobs 0"),
    ):
        with pytest.raises(InputError, match=said):
            call(tmp_path, **how)
    with pytest.raises(InputError, match="nothing: no such piece; there are check, ceilings"):
        call(tmp_path, "nothing")
    call(tmp_path, "check")
    with pytest.raises(InputError, match="holds figures of a GPU; use another"):
        call(tmp_path, rehearsal=True)
    monkeypatch.setattr(run.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA GPU here.*--table.*--rehearse"):
        call(tmp_path)


def test_images_that_are_too_small_are_refused_before_anything_is_begun(tiny_prepared: Any) -> None:
    with pytest.raises(InputError, match=r"--data .*its images are 32×32; it has to be Imagenette at 256 pixels"):
        run._opened("data", tiny_prepared.path, "imagenette", False)
    assert run._opened("cifar", tiny_prepared.path, "cifar", False).size == 32


# the command ---------------------------------------------------------------------------------------------------------


def test_the_exit_code_says_whether_something_failed(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["gpu", "check", "steps", *out]) == 0
    captured = capsys.readouterr()
    assert captured.out == (tmp_path / "out" / "table.txt").read_text()
    assert re.search(r"^ *\d+ s  steps: done, 0 s$", captured.err, re.MULTILINE)
    fake.fails = {"profile"}
    assert cli.main(["gpu", "profile", *out, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["failed"] == ["profile"] and found["pieces"]["steps"]["state"] == "done" and found["table"]
    assert cli.main(["gpu", *out, "--table"]) == 0
    assert capsys.readouterr().out.splitlines() == found["table"]
    assert cli.main(["gpu", "--table", "--out", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run.torch.cuda, "is_available", lambda: False)
    assert cli.main(["gpu", "--out", str(tmp_path / "out")]) == 2
    assert "there is no CUDA GPU here" in capsys.readouterr().err and not (tmp_path / "out").exists()


# a rehearsal: everything but a GPU -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, run.Done, list[str]]:
    """The check in Triton's interpreter, one of the measurements, and the pieces that train; "longer" is one of them again."""
    out, said = tmp_path_factory.mktemp("rehearsal"), list[str]()
    names = ["check", "ceilings", *REHEARSED]
    return out, run.run(names, None, None, out, 10.0, say=said.append, rehearsal=True), said


def test_a_rehearsal_does_every_piece(rehearsed: tuple[Path, run.Done, list[str]]) -> None:
    out, done, said = rehearsed
    assert not done.failed and not done.left, "\n".join(said)
    assert {*REHEARSED, "ceilings"} <= set(done.done)
    assert {path.stem for path in (out / "results" / "smoke").iterdir()} == {
        *run.pieces_.OF_NETWORKS,
        "table2",
        "lrn",
        "lrn-cifar",
        "relu",
    }
    assert "NO FIGURES" in done.table[0]
    assert any(re.search(r"from-scratch paper \d+\.\d\d %, \d+ s", line) for line in said)


def test_results_without_run_folders_are_not_trained_again(
    rehearsed: tuple[Path, run.Done, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rehearsed[0]
    for name in ("results", "speed", "builtin"):
        shutil.copytree(before / name, tmp_path / name)
    monkeypatch.setattr(runner, "train", None)
    done = run.run(REHEARSED, None, None, tmp_path, 10.0, rehearsal=True)
    assert done.done == tuple(REHEARSED) and not done.failed
    # One result is lost on the way: its runs are in others, and are known there.
    (tmp_path / "results" / "smoke" / "lrn.json").unlink()
    shutil.copy(before / "results" / "smoke" / "lrn.json", tmp_path / "results" / "smoke" / "kept.json")
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    monkeypatch.setattr(run.Call, "_is_checked", lambda self: True)
    done = run.run(["claims"], None, None, tmp_path, 10.0, rehearsal=True)
    assert done.done == ("claims",) and (tmp_path / "results" / "smoke" / "lrn.json").is_file()


# the other process ---------------------------------------------------------------------------------------------------


def work(name: str, stop: Callable[[], bool], say: Callable[[str], None]) -> dict[str, Any]:
    """What the other process does in these tests."""
    if name == "breaks":
        raise RunFailed("wrong\nkernels")
    if name == "dies":
        os._exit(7)
    while name == "waits" and not stop():
        time.sleep(0.01)
    while name == "hangs":
        time.sleep(0.01)
    say("half way")
    return {"name": name, "process": os.getpid(), "interpreted": os.environ.get("TRITON_INTERPRET")}


@pytest.fixture
def other() -> Iterator[Apart]:
    made = Apart(work, interpreted=True)
    yield made
    made.close()


def test_another_process_does_it_and_a_new_one_after_a_failure(other: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    first = other.do("works", lambda: False, 60, said.append)
    assert first["process"] != os.getpid() and first["interpreted"] == "1" and said == ["half way"]
    asked = time.monotonic()
    assert other.do("waits", lambda: time.monotonic() > asked + 0.2, 60, said.append)["process"] == first["process"]
    assert other.do("waits", lambda: False, 0.2, said.append)["process"] == first["process"]
    with pytest.raises(PieceFailed, match="RunFailed: wrong\nkernels") as failure:
        other.do("breaks", lambda: False, 60, said.append)
    assert 'raise RunFailed("wrong\\nkernels")' in failure.value.trace
    with pytest.raises(PieceFailed, match="its process died, exit code 7"):
        other.do("dies", lambda: False, 60, said.append)
    monkeypatch.setattr(apart, "GRACE", 0.2)
    with pytest.raises(PieceFailed, match="did not stop when it was asked to; killed"):
        other.do("hangs", lambda: True, 60, said.append)
    assert other.process is None
