"""The images that a run takes for another class, as small pictures for its report."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import probabilities
from alexnet.evaluation.judged import Judged, of_split
from alexnet.evaluation.probabilities import Options
from alexnet.insight import confusion, picture
from alexnet.run import recipe

EACH = 8
"""Images of a class that is taken for another, at most."""

MOST = 200
"""Images in all, so that a report stays small: some 3 KB each."""

PAIRS = 40
"""Pairs of classes, the most frequent ones, where there are too many classes for a matrix that names them."""

SIDE = 80
"""Pixels of a small picture's side."""


def listed(classes: int, counts: list[list[int]]) -> list[tuple[int, int, int]]:
    """The pairs (true, predicted, images) whose images a report shows: all of a matrix with names, else the `PAIRS` first."""
    return confusion.pairs(counts)[: None if classes <= confusion.MOST_NAMED else PAIRS]


def pictures(run: Path, prepared: Prepared, evaluation: dict[str, Any]) -> dict[str, list[dict[str, Any]]] | None:
    """Images that an evaluation of a run took for another class, by "TRUE-PREDICTED", the labels of both.

    Each with its file, its picture (`SIDE` pixels, as a data URL) and the probabilities of the predicted and the true class.
    Those that the network was surest of come first, at most `EACH` of a pair. Of the `MOST` in all, half go first to as many
    pairs, one each, the others to the most frequent pairs. None unless the class probabilities of just this evaluation are kept.
    """
    kept = _kept(run, prepared, evaluation)
    if kept is None:
        return None
    judged, answers, first = kept
    wrong = np.flatnonzero(first != judged.labels)
    surest = wrong[np.argsort(-answers[wrong, first[wrong]], kind="stable")]
    numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in surest.tolist():
        numbers[int(judged.labels[number]), int(first[number])].append(number)
    shown = [(true, predicted) for true, predicted, _ in listed(len(judged.classes), evaluation["confusion"])]
    ranked = [(pair, rank) for pair in shown for rank in range(min(EACH, len(numbers[pair])))]
    first_of = set(shown[: MOST // 2])
    ranked.sort(
        key=lambda each: each[1] > 0 or each[0] not in first_of
    )  # stable, so the most frequent pairs come first
    chosen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (true, predicted), rank in ranked[:MOST]:
        number = numbers[true, predicted][rank]
        chosen[f"{true}-{predicted}"].append(
            {
                "file": picture.printable(PurePosixPath(judged.files[number]).name),
                "picture": picture.thumbnail_url(judged.images[int(judged.indices[number])], SIDE),
                "predicted": round(float(answers[number, predicted]), 4),
                "true": round(float(answers[number, true]), 4),
            }
        )
    return dict(chosen)


def _kept(run: Path, prepared: Prepared, evaluation: dict[str, Any]) -> tuple[Judged, np.ndarray, np.ndarray] | None:
    """The images of an evaluation, their class probabilities and first labels int64 [N]; None where these are not kept."""
    split, counts = evaluation["split"], evaluation["confusion"]
    try:
        judged = of_split(recipe.read(run), prepared, "val" if split == "held out of train" else split)
        options = Options(evaluation["views"], precision=evaluation.get("precision"))
    except InputError:  # the dataset has no such split any more
        return None
    answers = probabilities.read(run, judged, options)
    if answers is None:
        return None
    # As they were counted (`measure.Count`), ties included.
    first = torch.from_numpy(answers).topk(min(5, len(judged.classes)), dim=1).indices[:, 0].numpy()
    counted = np.zeros((len(judged.classes),) * 2, np.int64)
    np.add.at(counted, (judged.labels, first), 1)
    return (judged, answers, first) if np.array_equal(counted, counts) else None
