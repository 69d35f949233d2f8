"""`evaluate`: a run measured in one call, with all files that belong to it."""

import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import probabilities
from alexnet.evaluation.probabilities import Options
from alexnet.insight.evaluate import evaluate
from alexnet.insight.evaluations import read_evaluations
from alexnet.run import checkpoint, trained
from alexnet.run.images import validation_of
from tests.conftest import Second, prepare_pictures


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("predictions", "report.html"))
    )


CPU = Options(device="cpu")


def test_one_call_measures_and_writes_errors_picture_and_report(run: Path, tiny_prepared: Prepared) -> None:
    result = evaluate(run, options=CPU)
    network = trained.load(run)
    split, indices = validation_of(network.recipe, tiny_prepared)
    guessed = network.probabilities(split.images[indices]).argmax(dim=1).numpy()
    assert result.evaluation.top1_error == pytest.approx(100 * float((guessed != split.labels[indices]).mean()))
    assert np.sum(result.evaluation.confusion) == result.evaluation.images == len(indices)  # type: ignore[arg-type]
    assert [path.name for path in result.files] == [
        "evaluation-held-out-of-train-1views.json",
        "confusion-held-out-of-train-1views.png",
        "report.html",
    ]
    assert json.loads(result.files[0].read_text()) == result.evaluation.to_dict()
    assert f"{result.evaluation.top1_error:.2f} %" in result.files[2].read_text()
    places = {"run": str(run), "data": str(tiny_prepared.path), "split": "held out of train"}
    assert result.to_dict() == {**places, **result.evaluation.to_dict()}
    assert result.evaluation.checkpoint == checkpoint.newest(run).name
    assert result.evaluation.precision == CPU.precision_of(run)
    calibration = result.evaluation.calibration
    assert calibration and calibration.accuracy == pytest.approx(100 - result.evaluation.top1_error)
    assert calibration.confidence == pytest.approx(
        100 * float(network.probabilities(split.images[indices]).max(dim=1).values.mean()), abs=0.5
    )
    assert '<section id="calibration">' in result.files[2].read_text()


def test_errors_on_other_data_stand_beside_those_on_the_runs(run: Path, tmp_path: Path) -> None:
    first = evaluate(run, options=CPU)
    saved = first.files[0].read_text()
    other = prepare_pictures(tmp_path / "street", 8, seed=7)
    result = evaluate(run, other.path, options=CPU)
    name = f"on-{other.path.name}-held-out-of-train-1views"
    assert [path.name for path in result.files[:2]] == [f"evaluation-{name}.json", f"confusion-{name}.png"]
    assert first.files[0].read_text() == saved, "what was measured on the run's data is still there"
    assert result.evaluation.source == other.manifest["source"]["description"]
    mine, others = read_evaluations(run, other.classes, None)
    assert (mine["dataset"], mine["on"], mine["images"]) == (None, "held out of train", 24)
    assert (others["dataset"], others["split"], others["images"]) == (other.path.name, "held out of train", 8)
    page = html.unescape(result.files[2].read_text())
    assert "top-1 error, held out of train, 1 view<" in page, "the headline is the run's"
    assert f"<td>held out of train of other data ({result.evaluation.source})</td>" in page


def test_the_runs_data_does_not_have_to_be_whole_for_errors_on_other(run: Path, tmp_path: Path) -> None:
    changed = prepare_pictures(tmp_path / "changed", 8, seed=7, kinds=("bars", "blobs"))
    document = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(document | {"path": str(changed.path)}))
    result = evaluate(run, prepare_pictures(tmp_path / "street", 8, seed=7).path, options=CPU)
    assert [path.is_file() for path in result.files] == [True, True, True]


def test_what_imported_weights_are_measured_on_is_named(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(document | {"imported": "caffe.caffemodel"}))
    result = evaluate(run, prepare_pictures(tmp_path / "street", 8, seed=7).path, options=CPU)
    assert result.files[0].name == "evaluation-held-out-of-train-1views.json"
    [row] = read_evaluations(run, tuple(row["label"] for row in result.evaluation.per_class), None)
    assert row["on"] == f"held out of train ({result.evaluation.source})"


def test_the_runs_data_is_known_wherever_it_is(run: Path, tiny_prepared: Prepared, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_prepared.path, tmp_path / "moved")
    assert evaluate(run, moved, options=CPU).files[0].name == "evaluation-held-out-of-train-1views.json"


def test_probabilities_that_are_not_held_have_no_calibration(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probabilities, "MOST", 10)
    result = evaluate(run, options=CPU)
    assert result.not_held and result.evaluation.calibration is None
    assert json.loads(result.files[0].read_text())["calibration"] is None
    assert '<section id="calibration">' not in result.files[-1].read_text()


def test_only_the_first_process_writes(run: Path) -> None:
    before = sorted(run.rglob("*"))
    result = evaluate(run, options=Options(device="cpu", processes=Second(rank=1, number=2)))
    assert sorted(run.rglob("*")) == before and result.evaluation.images == 24


def test_what_cannot_be_measured_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recipe.json"):
        evaluate(tmp_path, options=CPU)
    with pytest.raises(InputError, match="--views 3"):
        Options(views=3)
    with pytest.raises(InputError, match="--batch 0"):
        Options(batch=0)
    (run / "classes.json").write_text(json.dumps(["other"]))
    with pytest.raises(InputError, match="its classes are not the run's"):
        evaluate(run, options=CPU)
