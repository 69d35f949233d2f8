"""Wherever a run is asked for only to compute with it, a network file and "starter" do; the others name the way to a run."""

import json
import re
import shutil
from pathlib import Path

import pytest

import alexnet
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.run import locate, recipe, trained
from tests.conftest import CLASSES, prepare_pictures


@pytest.fixture
def photograph(tiny_prepared: Prepared) -> str:
    return str(next((tiny_prepared.path.parent / "pictures" / "bars").glob("*.png")))


def predicted(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[list[dict], str]:
    """What `alexnet predict` answers with --json, and what it says on stderr."""
    capsys.readouterr()
    assert main(["predict", *words, "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_predict_without_a_run_is_the_starters_and_says_so_in_one_line(
    starter: Path, photograph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, said = predicted(capsys, photograph, str(Path(photograph).parent))
    assert len(answers) == 25 and {answer["run"] for answer in answers} == {"starter"}
    expected = alexnet.load("starter").predict(photograph, views=10)
    assert answers[0]["labels"][0]["label"] == expected.label
    assert answers[0]["labels"][0]["probability"] == pytest.approx(expected.probability, rel=1e-5)
    assert said.count("\n") == 1 and "starter, which comes with the package" in said
    assert "nothing but bars, blobs, checks, stripes" in said and "alexnet predict RUN IMAGE" in said
    assert re.search(r"top-1 error \d+\.\d\d %, .*1 view, 24 images", said)


@pytest.mark.parametrize("form", ["starter", "network file", "run folder"])
def test_a_network_that_is_named_is_used_and_nothing_is_said(
    form: str, starter: Path, tiny_run: Path, photograph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"starter": "starter", "network file": str(starter), "run folder": str(tiny_run)}[form]
    answers, said = predicted(capsys, named, photograph)
    assert said == "" and [answer["run"] for answer in answers] == [named]
    assert answers[0]["labels"][0]["label"] == alexnet.load(named).predict(photograph, views=10).label


def test_files_and_runs_are_told_apart_by_what_they_hold(
    starter: Path, tiny_run: Path, photograph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(starter, tmp_path / "network")  # without an ending
    assert predicted(capsys, str(tmp_path / "network"), photograph)[1] == ""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    answers, said = predicted(capsys, str(tmp_path / "a.jpg"), photograph, code=3)
    assert "error" in answers[0] and "labels" in answers[1] and "no network is named" in said
    broken = shutil.copytree(tiny_run, tmp_path / "broken")
    (broken / "recipe.json").unlink()
    assert "no recipe.json in it" in refused(capsys, "predict", str(broken), photograph)
    (tmp_path / "n.safetensors").write_bytes(starter.read_bytes()[:-7])
    assert "n.safetensors: cannot be read as safetensors" in refused(
        capsys, "predict", str(tmp_path / "n.safetensors"), photograph
    )
    assert "No such file" in refused(capsys, "predict", str(tmp_path / "absent.safetensors"), photograph)
    assert "neither a run folder nor an image" in refused(capsys, "predict", str(tmp_path / "rnu"), photograph)


def test_predict_needs_an_image(starter: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["starter"], [str(tiny_run)]):
        assert "predict needs at least one IMAGE" in refused(capsys, "predict", *words)


def test_an_installation_without_the_starter_says_so(
    photograph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locate, "STARTER_FILE", tmp_path / "absent")
    assert "no starter network; install it again, or name a run folder" in refused(capsys, "predict", photograph)
    with pytest.raises(InputError, match="no starter network"):
        alexnet.load("starter")


def test_what_only_computes_takes_a_file(
    starter: Path, tiny_prepared: Prepared, photograph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, data = sorted(starter.parent.iterdir()), ["--data", str(tiny_prepared.path)]
    for words in (
        ["kernels", "starter", "{tmp}/k.svg"],
        ["kernels", "starter", str(starter), "{tmp}/two.svg"],
        ["activations", "starter", photograph, "{tmp}/a.svg"],
        ["similar", "starter", photograph, *data, "--picture", "{tmp}/s.svg"],
        ["units", str(starter), "{tmp}/u.svg", *data],
        ["figures", "starter", *data, "--out", "{tmp}/figures", "--format", "svg"],
        ["export", "starter", "caffe", "--out", "{tmp}/n.caffemodel"],
        ["doctor", str(starter)],
    ):
        assert main([word.format(tmp=tmp_path) for word in words]) == 0, (words, capsys.readouterr().err)
    for name in ("k.svg", "two.svg", "a.svg", "s.svg", "u.svg", "figures/fig3-kernels.svg"):
        assert "<svg" in (tmp_path / name).read_text()
    assert sorted(starter.parent.iterdir()) == before, "nothing is kept beside a network file"


@pytest.mark.parametrize("given", ["starter", "file"])
@pytest.mark.parametrize("command", ["evaluate", "evaluate two", "report", "train --resume", "curves"])
def test_what_belongs_to_a_run_names_the_way_to_one(
    command: str, given: str, starter: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = "starter" if given == "starter" else str(starter)
    words = {"evaluate two": ["evaluate", str(tiny_run)]}.get(command, command.split())
    assert f"make one of it: alexnet import {named} --out RUN" in refused(capsys, *words, named)


def test_what_needs_data_or_a_place_asks_for_it(
    starter: Path, photograph: str, tiny_prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["similar", "starter", photograph], ["units", str(starter)], ["figures", "starter"]):
        assert "does not know where its data is; say --data DIR" in refused(capsys, *words)
    assert "say where to: --out DIR" in refused(capsys, "figures", "starter", "--data", str(tiny_prepared.path))


def test_fine_tuning_goes_on_from_the_starter(
    starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = prepare_pictures(tmp_path / "other", 8, seed=5, kinds=("blobs", "bars", "stripes"))
    out = tmp_path / "tuned"
    options = ["--data", str(other.path), "--out", str(out), "--epochs", "1", "--device", "cpu", "--keep", "9"]
    assert main(["train", "--from", "starter", *options]) == 0, capsys.readouterr().err
    tuned = recipe.read(out)
    assert tuned.name == "tiny-fine-tuned" and tuned.network.classes == 3
    from safetensors.torch import load_file

    first, start = (
        load_file(out / "checkpoints" / "step-00000000" / "weights.safetensors"),
        trained.contents_of(starter),
    )
    for name, weight in start.weights.items():
        assert (first[name].shape == weight.shape and bool((first[name] == weight).all())) == ("fc6" not in name)
    assert trained.load(out).classes == tuple(sorted(CLASSES[:2] + CLASSES[3:]))
