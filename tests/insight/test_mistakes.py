"""The images that a run takes for another class, as its report shows them."""

import base64
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alexnet.data.prepared import Prepared
from alexnet.evaluation.probabilities import Options
from alexnet.insight import mistakes
from alexnet.insight.evaluate import evaluate
from alexnet.run import trained
from alexnet.run.images import validation_of
from alexnet.run.recipe import Recipe
from alexnet.training import train


@pytest.fixture(scope="module")
def run(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned little, evaluated: it makes mistakes."""
    folder = tmp_path_factory.mktemp("runs") / "weak"
    train(replace(tiny_recipe, epochs=1), tiny_prepared, folder)
    evaluate(folder, options=Options(device="cpu"))
    return folder


@pytest.fixture
def evaluation(run: Path) -> dict[str, Any]:
    measured = json.loads((run / "evaluation-held-out-of-train-1views.json").read_text())
    return {"split": "held out of train", "dataset": None, **measured}


def wrong_of(run: Path, prepared: Prepared) -> list[tuple[str, str, float, float, np.ndarray]]:
    """Of every image with a wrong first label: the pair, file, probabilities of predicted and true class, pixels."""
    network = trained.load(run)
    split, indices = validation_of(network.recipe, prepared)
    answers = network.probabilities(split.images[indices]).numpy()
    return [
        (
            f"{split.labels[k]}-{row.argmax()}",
            Path(split.files[k]).name,
            row.max(),
            row[split.labels[k]],
            split.images[k],
        )
        for row, k in zip(answers, indices.tolist(), strict=True)
        if row.argmax() != split.labels[k]
    ]


def test_every_mistake_is_shown_where_there_are_few(
    run: Path, tiny_prepared: Prepared, evaluation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mistakes, "EACH", 1000)
    shown = mistakes.pictures(run, tiny_prepared, evaluation)
    expected = wrong_of(run, tiny_prepared)
    assert shown is not None and len(expected) > 3
    assert sorted((pair, image["file"]) for pair, images in shown.items() for image in images) == sorted(
        (pair, file) for pair, file, *_ in expected
    )
    for pair, images in shown.items():
        assert [image["predicted"] for image in images] == sorted(
            (image["predicted"] for image in images), reverse=True
        )
        for image in images:
            # Files of different classes may have the same name, so the pair tells too.
            _, _, predicted, true, pixels = next(each for each in expected if each[:2] == (pair, image["file"]))
            assert image["predicted"] == pytest.approx(predicted, abs=1e-3)
            assert image["true"] == pytest.approx(true, abs=1e-3)
            jpeg = base64.b64decode(image["picture"].removeprefix("data:image/jpeg;base64,"))
            small = Image.open(io.BytesIO(jpeg))
            assert small.size == (mistakes.SIDE, mistakes.SIDE)
            back = np.asarray(small.resize(pixels.shape[:2])).astype(float)
            assert np.abs(back - pixels).mean() < 30, "another photograph is 60 away or more"


def test_the_number_of_pictures_is_bounded(
    run: Path, tiny_prepared: Prepared, evaluation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counter(pair for pair, *_ in wrong_of(run, tiny_prepared))
    (frequent, most), (other, _) = counts.most_common(2)
    assert most > 2
    monkeypatch.setattr(mistakes, "EACH", 2)
    for limit, expected in (
        (3, {frequent: 2, other: 1}),
        (2, {frequent: 2}),
        (4, {frequent: 2, other: min(2, counts[other])}),
    ):
        monkeypatch.setattr(mistakes, "MOST", limit)
        shown = mistakes.pictures(run, tiny_prepared, evaluation)
        assert shown is not None
        numbers = {pair: len(images) for pair, images in shown.items()}
        assert sum(numbers.values()) == limit and max(numbers.values()) <= 2
        assert numbers[frequent] == expected[frequent]


def test_with_too_many_classes_for_a_matrix_the_most_frequent_pairs_are_listed() -> None:
    counts = np.ones((31, 31), int)
    counts[3, 5], counts[9, 2], counts[4, 4] = 7, 8, 100
    pairs = mistakes.listed(31, counts.tolist())
    assert pairs[:3] == [(9, 2, 8), (3, 5, 7), (0, 1, 1)] and len(pairs) == mistakes.PAIRS
    assert len(mistakes.listed(30, counts[:30, :30].tolist())) == 30 * 29


def test_without_the_probabilities_of_this_evaluation_there_are_none(
    run: Path, tiny_prepared: Prepared, evaluation: dict[str, Any]
) -> None:
    assert mistakes.pictures(run, tiny_prepared, {**evaluation, "views": 10}) is None
    assert mistakes.pictures(run, tiny_prepared, {**evaluation, "split": "val"}) is not None, "it is held out of train"
    assert mistakes.pictures(run, tiny_prepared, {**evaluation, "split": "test"}) is None
    others = np.roll(evaluation["confusion"], 1, axis=0).tolist()
    assert mistakes.pictures(run, tiny_prepared, {**evaluation, "confusion": others}) is None, "of another checkpoint"
