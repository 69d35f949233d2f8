"""Networks averaged: means, weights and their errors by hand, and runs that do not go together."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import ensemble, submission
from alexnet.evaluation.ensemble import Search
from alexnet.evaluation.judged import Judged
from alexnet.evaluation.probabilities import Options
from alexnet.run import checkpoint

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 1, 2, 0])
# Right about the first two, and about the last two; together about all: what is wrong is held with less conviction.
FIRST = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3]], np.float32)
SECOND = np.array([[0.4, 0.6, 0.0], [0.5, 0.3, 0.2], [0.0, 0.1, 0.9], [0.8, 0.2, 0.0]], np.float32)


def test_the_mean_of_two_networks_by_hand() -> None:
    wanted = [[0.65, 0.35, 0.0], [0.25, 0.65, 0.1], [0.2, 0.2, 0.6], [0.5, 0.35, 0.15]]
    assert ensemble.mean([FIRST, SECOND]) == pytest.approx(np.array(wanted))
    assert ensemble.mean([FIRST, SECOND], [0.25, 0.75])[0] == pytest.approx([0.525, 0.475, 0.0])
    assert np.array_equal(ensemble.mean([FIRST]), FIRST)


def test_errors_of_each_and_of_the_mean() -> None:
    averaged = ensemble.average(["one", "two"], [FIRST, SECOND], LABELS, CLASSES, views=1)
    assert [evaluation.top1_error for evaluation in averaged.each] == [50.0, 50.0]
    assert averaged.mean.top1_error == 0.0 and averaged.mean.images == 4
    assert averaged.against()["average"] == [-50.0, 0.0] == averaged.against()["best"]
    assert averaged.weights is None and averaged.weighted is None and not averaged.same_labels


def test_the_mean_has_a_calibration_even_a_weighted_one() -> None:
    # Each is right three times in four and says 90 % or 60 %; the mean says 75 %, which is right.
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    sure, unsure = (np.tile(np.array([p, 1 - p], np.float32), (8, 1)) for p in (0.9, 0.6))
    averaged = ensemble.average(["sure", "unsure"], [sure, unsure], labels, ("a", "b"), 1, Search())
    assert averaged.mean.calibration and averaged.weighted and averaged.weighted.calibration
    assert averaged.mean.calibration.error == pytest.approx(0, abs=1e-4)
    assert averaged.mean.calibration.temperature == pytest.approx(1, abs=1e-4)
    assert averaged.weighted.calibration.confidence == pytest.approx(75, abs=0.1), (
        "the likeliest weights are equal ones"
    )
    assert averaged.to_dict()["mean"]["calibration"]["confidence"] == pytest.approx(75)
    wrong = ensemble.average(["sure", "none"], [sure, np.full_like(sure, np.nan)], labels, ("a", "b"), 1)
    assert wrong.mean.calibration is None


def test_the_best_network_is_what_the_mean_stands_against() -> None:
    averaged = ensemble.average(
        ["one", "two", "three"], [FIRST, SECOND, np.eye(3)[LABELS].astype(np.float32)], LABELS, CLASSES, 1
    )
    assert averaged.best == "three" and averaged.against()["best"][0] == 0.0
    assert averaged.against()["average"][0] == pytest.approx(-100 / 3)


def test_the_search_finds_the_weights_that_make_the_labels_most_likely() -> None:
    # One network says .8 of what is right three times in four and .2 the fourth time, the other a half always: the
    # likelihood of w·.8 + (1-w)/2 three times and w·.2 + (1-w)/2 once is greatest where 3·.3/(.5+.3w) = .3/(.5-.3w).
    labels = np.zeros(8, np.int64)
    sure = np.array([[0.8, 0.2]] * 6 + [[0.2, 0.8]] * 2, np.float32)
    unsure = np.full((8, 2), 0.5, np.float32)
    weights = ensemble.search([sure, unsure], labels)
    assert weights == pytest.approx([0.25 / 0.3, 1 - 0.25 / 0.3], abs=1e-3)


def test_the_search_gives_nothing_to_a_network_that_knows_nothing() -> None:
    right = np.eye(3)[LABELS].astype(np.float32)
    wrong = np.roll(right, 1, axis=1)
    weights = ensemble.search([wrong, right, wrong], LABELS)
    assert weights == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)
    assert ensemble.search([right, right], LABELS) == pytest.approx([0.5, 0.5])


def test_weights_are_as_good_as_equal_ones_on_the_labels_they_were_searched_on() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(5, size=300)
    networks = [draw.dirichlet(np.ones(5), 300) + share * np.eye(5)[labels] for share in (0.0, 0.1, 0.5, 1.0)]
    networks = [(each / each.sum(1, keepdims=True)).astype(np.float32) for each in networks]
    weights = ensemble.search(networks, labels)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()

    def loss(shares: list[float]) -> float:
        return float(-np.log(ensemble.mean(networks, shares)[np.arange(300), labels]).mean())

    assert loss(weights.tolist()) < loss([0.25] * 4)
    for k in range(4):  # and better than a step towards any one network
        step = 0.98 * weights + 0.02 * np.eye(4)[k]
        assert loss(weights.tolist()) <= loss(step.tolist()) + 1e-6


def test_a_search_on_a_share_reports_on_the_rest() -> None:
    labels = np.repeat([0, 1, 2], 10)
    right = np.eye(3)[labels].astype(np.float32)
    wrong = np.roll(right, 1, axis=1)
    averaged = ensemble.average(["w", "r"], [wrong, right], labels, CLASSES, 1, Search(0.3, seed=1))
    assert averaged.searched_on == 9 and averaged.mean.images == 21 and not averaged.same_labels
    assert [row["images"] for row in averaged.mean.per_class] == [7, 7, 7], "of each class its share"
    assert (
        averaged.weighted is not None and averaged.weighted.top1_error == 0.0 and averaged.each[0].top1_error == 100.0
    )
    again = ensemble.average(["w", "r"], [wrong, right], labels, CLASSES, 1, Search())
    assert again.same_labels and again.searched_on == again.mean.images == 30


def test_a_share_of_one_image_a_class_is_nothing_to_search_on() -> None:
    with pytest.raises(InputError, match=r"--search-on 0.5: no labels"):
        ensemble.average(["a", "b"], [FIRST[:3], SECOND[:3]], LABELS[:3], CLASSES, 1, Search(0.5))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"--search-on {share}: a share between 0 and 1"):
        Search(share)


def judged(**changes: object) -> Judged:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    two = Judged("val", images, np.arange(2), np.array([0, 1]), ("x.png", "y.png"), CLASSES, "f")
    return replace(two, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("classes", "other", "said"),
    [
        (("a", "b", "c", "d"), judged(), r"two: its classes are not those of one \(4 against 3\)"),
        (("a", "c", "b"), judged(), r"two: .*\(in another order\).*same classes in the same order"),
        (CLASSES, judged(files=("x.png",)), r"two: .*1 images \(val\), one on 2 \(val\); name data .*--data"),
        (CLASSES, judged(files=("x.png", "z.png")), r"two: .*other images than one \(val\)"),
        (CLASSES, judged(labels=np.array([1, 1])), r"two: .*other images than one"),
        (CLASSES, judged(files=("x.png", "z.png"), where="held out of train"), r"--hold-out-seed"),
    ],
)
def test_runs_that_do_not_go_together_are_named(classes: tuple[str, ...], other: Judged, said: str) -> None:
    runs = [Path("one"), Path("two")]
    with pytest.raises(InputError, match=said):
        ensemble.check_alike(runs, [judged(), replace(other, classes=classes)])


def test_the_same_images_at_another_size_go_together() -> None:
    larger = judged(images=np.zeros((2, 8, 8, 3), np.uint8), fingerprint="g")
    ensemble.check_alike([Path("one"), Path("two")], [judged(), larger])


def test_runs_are_evaluated_averaged_and_submitted_in_one_call(
    tiny_run: Path, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    runs = [Path(shutil.copytree(tiny_run, tmp_path / name)) for name in ("first", "second")]
    options = Options(device="cpu", keep=False)
    result = ensemble.evaluate_several(runs, None, "train", options, submission=tmp_path / "s.txt")
    assert result.mean.top1_error == result.each[0].top1_error == result.each[1].top1_error
    assert result.data == (tiny_prepared.path,) * 2 and result.split == "train" and result.mean.images == 96
    assert result.each[0].checkpoint == checkpoint.newest(runs[0]).name
    score = submission.score_file(tmp_path / "s.txt", tiny_prepared.path, "train")
    assert (score.top1_error, score.images) == (pytest.approx(result.mean.top1_error), 96)
    assert result.to_dict()["lines"] == 96
    with pytest.raises(InputError, match="--weights search: needs two runs"):
        ensemble.evaluate_several(runs[:1], search_on=Search(), options=options)
