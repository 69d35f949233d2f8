"""`alexnet evaluate` for several runs, for submissions and for images without labels."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet import processes
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.evaluation import measure, probabilities
from alexnet.evaluation.judged import of_split
from alexnet.evaluation.probabilities import Options, compute
from alexnet.run import recipe
from alexnet.run.recipe import Recipe
from alexnet.training import train
from tests.conftest import CLASSES, Second, prepare_pictures, write_class_folders


@pytest.fixture(scope="module")
def runs(
    tiny_run: Path, tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two runs on the same images: another seed, other kernels, another input size."""
    folder = tmp_path_factory.mktemp("two")
    first = Path(shutil.copytree(tiny_run, folder / "first"))
    network = replace(tiny_recipe.network, input_size=24, hidden=tiny_recipe.network.hidden[:1], links=("conv3", "fc4"))
    train(replace(tiny_recipe, network=network, seed=1, epochs=6), tiny_prepared, folder / "second")
    return first, folder / "second"


def evaluate(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[dict[str, Any], str]:
    """The JSON document, and what was said beside it."""
    capsys.readouterr()
    assert main(["evaluate", *map(str, args), "--device", "cpu", "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def test_runs_of_different_networks_are_averaged(
    runs: tuple[Path, Path], tiny_prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    document, _ = evaluate(capsys, *runs, "--views", "10")
    alone = [evaluate(capsys, run, "--views", "10")[0] for run in runs]
    assert [run["top1_error"] for run in document["runs"]] == [run["top1_error"] for run in alone]
    judged = of_split(recipe.read(runs[0]), tiny_prepared)
    together = sum(compute(run, judged, Options(10, keep=False)) for run in runs)
    assert isinstance(together, np.ndarray)
    wanted = 100 * float((together.argmax(1) != judged.labels).mean())
    assert document["mean"]["top1_error"] == pytest.approx(wanted)
    assert document["weighted"] is None and document["images"] == 24
    assert document["mean_minus_best"][0] == pytest.approx(wanted - min(run["top1_error"] for run in alone))
    assert main(["evaluate", *map(str, runs), "--views", "10", "--device", "cpu"]) == 0
    told = document["mean"]["calibration"]
    assert (
        f"mean of their probabilities, calibration: ECE {told['error']:.2f} points; temperature {told['temperature']:.2f}"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("number", [1, 2])
def test_what_was_computed_is_used_again_unless_told_not_to(
    number: int, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*runs[-number:], "--split", "train")
    first, _ = evaluate(capsys, *words)
    again, quiet = evaluate(capsys, *words)
    once_more, computed = evaluate(capsys, *words, "--no-keep")
    assert first == again == once_more
    assert "images/s" not in quiet and "images/s" in computed


def test_a_search_on_the_reported_labels_warns_and_one_on_a_share_does_not(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    document, said = evaluate(capsys, *runs, "--weights", "search")
    assert "warning" in said and "--search-on" in said
    assert sum(run["weight"] for run in document["runs"]) == pytest.approx(1)
    assert document["reported_on_labels_of_the_search"] and document["searched_on"] == document["images"] == 24
    document, said = evaluate(capsys, *runs, "--weights", "search", "--search-on", "0.5")
    assert "warning" not in said
    assert (document["searched_on"], document["images"]) == (12, 12)
    assert document["mean"]["images"] == document["weighted"]["images"] == 12


def test_a_submission_scores_what_was_measured(
    runs: tuple[Path, Path], tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.txt"
    document, _ = evaluate(capsys, *runs, "--split", "train", "--submission", file)
    assert document["lines"] == len(file.read_text().splitlines()) == 96
    assert (tmp_path / "s.txt.classes.txt").read_text().splitlines() == [f"{k} {c}" for k, c in enumerate(CLASSES, 1)]
    scored, _ = evaluate(capsys, "--submission", file, "--data", tiny_prepared.path, "--split", "train")
    assert scored["top1_error"] == pytest.approx(document["mean"]["top1_error"]) and scored["images"] == 96


def test_images_without_labels_give_a_submission_in_the_order_of_their_names(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = write_class_folders(tmp_path / "classes", 3, seed=4)
    flat = tmp_path / "test"
    flat.mkdir()
    for kind in CLASSES:
        for number in range(3):
            shutil.copy(folders / kind / f"{number:03}.png", flat / f"t_{number}{CLASSES.index(kind)}.png")
    file = tmp_path / "s.txt"
    document, _ = evaluate(capsys, *runs, "--images", flat, "--submission", file)
    assert document["lines"] == 12
    first = [int(line.split()[0]) - 1 for line in file.read_text().splitlines()]
    right = [label == int(path.stem[-1]) for label, path in zip(first, sorted(flat.iterdir()), strict=True)]
    assert sum(right) >= 9, "a network that knows most of these pictures, and would know a quarter in another order"
    (flat / "t_00.png").write_bytes(b"nothing")
    _, said = evaluate(capsys, *runs, "--images", flat, "--submission", file)
    assert "t_00.png" in said and "grey" in said and len(file.read_text().splitlines()) == 12
    _, again = evaluate(capsys, *runs, "--images", flat, "--submission", file)
    assert "t_00.png" in again and "grey" in again, "nothing is kept that would hide it"


def test_each_process_tells_the_bad_images_of_its_share(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_class_folders(tmp_path / "classes", 2, seed=4) / CLASSES[0]
    for name in ("000.png", "001.png"):
        (folder / name).write_bytes(b"nothing")
    monkeypatch.setattr(processes, "joined", lambda device: nullcontext(Second(rank=1, number=2)))
    args = ("evaluate", str(runs[0]), "--images", str(folder), "--submission", str(tmp_path / "s.txt"))
    assert main([*args, "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "001.png" in said.err and "000.png" not in said.err and not said.out


@pytest.mark.parametrize("kind", [("--split", "train"), ("--images", "{data}")])
@pytest.mark.parametrize("number", [1, 2])
def test_what_a_submission_needs_is_asked_for_before_networks_run(
    kind: tuple[str, str],
    number: int,
    runs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_class_folders(tmp_path / "classes", 1, seed=4)
    monkeypatch.setattr(probabilities, "compute", None)  # cannot be called
    args = ["evaluate", *map(str, runs[:number]), kind[0], kind[1].format(data=folder)]
    for options, said in (
        (("--submission", str(tmp_path / "absent" / "s.txt")), "s.txt: no file can be written there"),
        (("--submission", str(tmp_path)), "no file can be written there"),
        (("--submission", str(tmp_path / "s.txt"), "--devkit", str(tmp_path / "absent")), "--devkit"),
    ):
        assert main([*args, *options]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_probabilities_too_large_to_hold_are_counted_as_they_come(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(runs[0], tmp_path / "run")
    shutil.rmtree(run / "predictions", ignore_errors=True)
    monkeypatch.setattr(probabilities, "MOST", 24 * 4 * 4 - 1)
    large, said = evaluate(capsys, run, "--views", "10")
    assert "class probabilities are not kept" in said and not (run / "predictions").exists()
    monkeypatch.setattr(probabilities, "MOST", 24 * 4 * 4)
    small, quiet = evaluate(capsys, run, "--views", "10")
    assert large["calibration"] is None and small["calibration"], "it needs them all at once"
    assert (
        {**large, "calibration": small["calibration"]} == small
        and "not kept" not in quiet
        and (run / "predictions").exists()
    )


def test_without_a_confusion_matrix_all_else_is_there(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(runs[0], tmp_path / "run")
    for path in (*run.glob("evaluation-*"), *run.glob("confusion-*")):
        path.unlink()
    with_matrix, quiet = evaluate(capsys, run)
    assert "no confusion matrix" not in quiet
    (run / "confusion-held-out-of-train-1views.png").unlink()
    monkeypatch.setattr(measure, "CONFUSED", 3)
    without, said = evaluate(capsys, run)
    assert without == {**with_matrix, "confusion": None}
    assert "no confusion matrix: 4 classes; up to 3 have one" in said and not list(run.glob("confusion-*"))
    assert "Not counted" in (run / "report.html").read_text()


def test_runs_that_do_not_go_together_are_one_line_that_names_them(
    runs: tuple[Path, Path], tiny_recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = prepare_pictures(tmp_path / "other", 12, seed=3, kinds=CLASSES[:3])
    train(replace(tiny_recipe, epochs=1), other, tmp_path / "three")
    assert main(["evaluate", str(runs[0]), str(tmp_path / "three")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path / 'three'}: its classes are not those of {runs[0]} (3 against 4)" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "evaluate needs a RUN"),
        (("{run}", "--weights", "search"), "--weights search: needs two runs"),
        (("{run}", "{run}", "--search-on", "0.5"), "--search-on 0.5: a share between 0 and 1, beside --weights search"),
        (("{run}", "{run}", "--weights", "search", "--search-on", "1"), "--search-on 1.0: a share"),
        (("{run}", "--images", "photos"), "--images photos: they have no labels"),
        (("{run}", "--images", "absent", "--submission", "s.txt"), "--images absent: no images there"),
        (("--submission", "s.txt"), "--data DIR"),
        (("{run}", "absent"), "absent: there is no such folder"),
    ],
)
def test_bad_input_is_one_line(
    args: tuple[str, ...], said: str, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(arg.format(run=runs[0]) for arg in args)]) == 2
    spoken = " ".join(capsys.readouterr().err.split())
    assert said in spoken and "Traceback" not in spoken
