"""`alexnet claims ...` as a user meets it: every experiment at smoke scale, and every way to ask for what is not there."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alexnet.claims import ledger, phrases
from alexnet.claims.claims import claims
from alexnet.cli import main
from tests.claims.making import result


def run(*args: object) -> int:
    try:
        return main(["claims", *(str(arg) for arg in args)])
    except SystemExit as ended:  # tyro ends this way
        return int(ended.code or 0)


def test_every_experiment_runs_at_smoke_scale_and_the_ledger_fills_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one piece, as the runs take most of a minute: run, list, show, page, plan."""
    out = tmp_path / "out"
    assert run("run", "--all", "--scale", "smoke", "--out", out, "--json") == 0
    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert [result["claim"] for result in made] == ledger.ids("smoke")
    for each in made:
        assert all(len(variant["runs"]) == 3 for variant in each["variants"].values()), each["claim"]
        assert len(each["outcomes"]) >= 1 and all(one["seeds"] == 3 for one in each["outcomes"])

    assert run("--results", out / "results", "--json") == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert [id for id, row in rows.items() if row["state"] == "measured"] == ledger.ids("smoke")

    assert run("--results", out / "results") == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(id in text for id in claims)

    for id in ledger.ids("smoke"):
        assert run("show", id, "--results", out / "results") == 0
        text = capsys.readouterr().out
        assert max(len(line) for line in text.splitlines()[3:] if line.startswith(("│", "┃"))) <= 100
        for one in ledger.outcomes(ledger.find(out / "results")[id]["smoke"]):
            assert phrases.difference(one.difference, one.comparison) in text

    assert run("page", "--out", tmp_path / "claims.md", "--results", out / "results") == 0
    assert "claims/relu-smoke.png" in (tmp_path / "claims.md").read_text()

    capsys.readouterr()
    assert run("run", "--all", "--scale", "smoke", "--out", out, "--plan", "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["images_left"] == 0 < planned["images"], "all is there, and known to be"


def test_a_signal_stops_it_with_its_number_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def caught() -> Iterator[list[int]]:
        yield [signal.SIGTERM]

    monkeypatch.setattr("alexnet.cli.experiments.stop_signals", caught)
    assert run("run", "columns", "--out", tmp_path / "out") == 128 + signal.SIGTERM
    captured = capsys.readouterr()
    assert "stopped; the same command goes on where it was" in captured.err and not captured.out
    assert not list((tmp_path / "out").glob("smoke/*/measured.json"))


def test_the_ledger_of_the_package_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert all(id in capsys.readouterr().out for id in ("relu",))
    assert run("--json") == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == list(claims)


def test_show_reprints_every_published_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """Each difference that the ledger states is in what `show` prints of that claim."""
    for id, by_scale in ledger.find().items():
        if not by_scale:
            continue
        assert run("show", id) == 0
        text = capsys.readouterr().out
        for one in (one for made in by_scale.values() for one in ledger.outcomes(made)):
            assert phrases.difference(one.difference, one.comparison) in text


def test_show_without_a_result_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.joinpath("none").mkdir()
    assert run("show", "lrn", "--results", tmp_path / "none") == 0
    assert "no result yet" in capsys.readouterr().out
    assert run("show", "five nets", "--results", tmp_path / "none", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_show_of_one_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scale in ("reduced", "imagenette"):
        result("lrn", scale, {"LRN": {"top1": [1.0]}, "none": {"top1": [2.0]}}).save(tmp_path)
    assert run("show", "lrn", "--scale", "imagenette", "--results", tmp_path) == 0
    text = capsys.readouterr().out
    assert "scale imagenette" in text and "scale reduced" not in text
    assert run("show", "lrn", "--results", tmp_path, "--json") == 0
    assert [each["scale"] for each in json.loads(capsys.readouterr().out)] == ["reduced", "imagenette"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("frobnicate",), r"frobnicate: no such action; there are run, show, page"),
        (("run",), r"name the claims to run, or --all; at scale smoke there are relu, columns"),
        (("run", "lrn", "--all"), r"name the claims to run, or --all"),
        (("run", "nonsense"), r"ID nonsense: no claim of that name; there are relu, "),
        (("run", "lrn", "--scale", "small", "--plan"), r"--scale small: the scales of claim lrn are smoke, reduced"),
        (("run", "five nets", "--scale", "small"), r"--scale small: the scales of claim table2 are smoke, reduced"),
        (("run", "fall 2009"), r"the scales of claim fall 2009 are none: it has no experiment yet"),
        (
            ("run", "lrn", "--scale", "imagenet"),
            r"--data DIR is missing: scale imagenet takes ILSVRC-2012 at 256 pixels",
        ),
        (("run", "relu", "--scale", "small", "--data", "absent"), r"absent"),
        (("run", "lrn", "--seeds", "0"), r"--seeds 0: must be at least 1"),
        (("run", "lrn", "--jobs", "0"), r"--jobs 0: must be at least 1"),
        (("run", "table2", "--epochs", "0"), r"--epochs 0: must be at least 1"),
        (
            ("run", "table2", "--data", "a", "--pretrain-epochs", "3"),
            r"--pretrain-epochs 3: there is nothing to pre-train on",
        ),
        (("run", "table2", "--data", "a", "--pretrain-data", "./a"), r"--pretrain-data a: the same folder as --data"),
        (
            ("run", "lrn", "--pretrain-data", "a"),
            r"--pretrain-data.*: none of these claims pre-trains networks; table2 does",
        ),
        (("run", "lrn", "--scale", "huge"), r"huge"),
        (("run", "lrn", "--seeds", "many"), r"many"),
        (("show", "nonsense"), r"ID nonsense: no claim of that name"),
        (("show", "fall 2009", "--scale", "smoke"), r"no result of claim fall 2009 .*no experiment at that scale"),
        (
            ("show", "one net", "--scale", "smoke"),
            r"no result of claim one net .*alexnet claims run table2 --scale smoke makes one",
        ),
        (("show", "lrn", "--results", "absent"), r"--results absent: no such folder"),
        (("--results", "absent"), r"--results absent: no such folder"),
        (
            ("page", "--out", "absent/claims.md"),
            r"--out absent/claims\.md: the page is a \.md file in a folder that is there",
        ),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(
    args: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*args) == 2
    captured = capsys.readouterr()
    spoken = " ".join((captured.err + captured.out).split())
    assert re.search(said, spoken) and "Traceback" not in spoken
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_a_damaged_result_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "relu.json").write_text("{")
    for action in ((), ("show", "relu"), ("page", "--out", tmp_path / "page.md")):
        assert run(*action, "--results", tmp_path) == 2
        assert "relu.json: not a result of alexnet claims run" in capsys.readouterr().err
