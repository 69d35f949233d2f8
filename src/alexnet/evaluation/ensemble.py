"""Several networks averaged (§6, Table 2): the mean of their class probabilities, plain or weighted.

The paper averages. The 2012 group's program took a weighted sum instead, with weights searched on the validation set,
that is on the labels that its error was then reported on. `search` finds such weights; how it differs is said there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data.prepared import hold_out
from alexnet.errors import InputError
from alexnet.evaluation import probabilities
from alexnet.evaluation.calibration import calibrate
from alexnet.evaluation.judged import Judged, Progress, of_run, unlabelled
from alexnet.evaluation.measure import Count, Evaluation
from alexnet.evaluation.probabilities import Options
from alexnet.evaluation.submission import Submission, planned
from alexnet.extras import need
from alexnet.run import checkpoint, recipe
from alexnet.run.folder import classes_of, statistics_of

LEAST = 1e-12
"""Probabilities are taken for at least this where their logarithm is."""


def mean(probabilities: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Mean float32 [N, classes] of class probabilities float32 [N, classes] of each network; `weights` sum to one."""
    shares = [1 / len(probabilities)] * len(probabilities) if weights is None else weights
    total = np.zeros_like(probabilities[0])
    for answers, share in zip(probabilities, shares, strict=True):
        total += np.float32(share) * answers
    return total


def measure(
    probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], views: int, confusion: bool = False
) -> Evaluation:
    """The errors of class probabilities float32 [N, classes] against labels int64 [N]; with the confusion matrix if asked."""
    count = Count(classes, confusion)
    count.add(torch.from_numpy(probabilities), labels)
    return count.evaluation(views)


def search(probabilities: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Weights float64 [networks], none below 0, sum 1, that make the labels [N] most likely under the weighted mean.

    They minimise the mean of -log p(label), which is convex over such weights, by scipy's SLSQP from equal ones: one
    answer, without chance. The 2012 group searched for weights with a low error itself; that is a step function of
    them, has no slope to follow, and fits the labels it is searched on more closely.
    """
    need("claims")
    from scipy.optimize import minimize

    true = np.stack([answers[np.arange(len(labels)), labels] for answers in probabilities]).astype(np.float64)
    number = len(true)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        likely = np.maximum(weights @ true, LEAST)
        return float(-np.log(likely).mean()), -(true / likely).mean(axis=1)

    result = minimize(
        loss,
        np.full(number, 1 / number),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * number,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(number)},
        options={"ftol": 1e-10, "maxiter": 1000},
    )
    weights = np.clip(result.x, 0.0, 1.0)
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class Search:
    """The labels that weights are searched on. Raises InputError for a share that is not between 0 and 1."""

    share: float | None = None
    """The share of each class whose labels are seen; errors are reported on the others. None: on the same images"""
    seed: int = 0
    """Seed of the draw of that share"""

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise InputError(f"--search-on {self.share}: a share between 0 and 1, beside --weights search")


@dataclass(frozen=True)
class Averaged:
    """Several networks on the same images, each and together."""

    runs: tuple[str, ...]
    each: tuple[Evaluation, ...]
    mean: Evaluation
    """Of the plain mean of their probabilities, with its calibration."""
    weights: tuple[float, ...] | None = None
    """What a search found, if there was one."""
    weighted: Evaluation | None = None
    """Of the mean with these weights, with its calibration."""
    searched_on: int = 0
    """Images whose labels the search saw."""
    same_labels: bool = False
    """Whether the search saw the labels that the errors here are reported on."""

    data: tuple[Path, ...] = ()
    """The dataset of each, where they are runs"""
    split: str = ""
    submission: Submission | None = None

    @property
    def _errors(self) -> list[tuple[float, float]]:
        return [(evaluation.top1_error, evaluation.top5_error) for evaluation in self.each]

    @property
    def best(self) -> str:
        """The network with the lowest error by itself."""
        return self.runs[self._errors.index(min(self._errors))]

    def against(self) -> dict[str, list[float]]:
        """The plain mean's top-1 and top-5 error minus those of the networks' average, and of the best network."""
        mean = np.array([self.mean.top1_error, self.mean.top5_error])
        rows = {"average": np.mean(self._errors, axis=0), "best": min(self._errors)}
        return {name: (mean - row).tolist() for name, row in rows.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        shares = self.weights or (None,) * len(self.runs)
        errors = ("top1_error", "top5_error", "checkpoint")
        return {
            "data": [str(path) for path in self.data],
            "split": self.split,
            **(self.submission.to_dict() if self.submission else {}),
            "images": self.mean.images,
            "views": self.mean.views,
            "runs": [
                {"run": run, **{name: getattr(evaluation, name) for name in errors}, "weight": share}
                for run, evaluation, share in zip(self.runs, self.each, shares, strict=True)
            ],
            "mean": self.mean.to_dict(),
            "mean_minus_average": self.against()["average"],
            "mean_minus_best": self.against()["best"],
            "best": self.best,
            "weighted": self.weighted and self.weighted.to_dict(),
            "searched_on": self.searched_on,
            "reported_on_labels_of_the_search": self.same_labels,
        }


def average(
    runs: Sequence[str],
    probabilities: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: tuple[str, ...],
    views: int,
    search_on: Search | None = None,
) -> Averaged:
    """Measure networks with class probabilities float32 [N, classes] each, their plain mean, and a weighted one if searched.

    With a share in `search_on` everything is measured on the other images. Raises InputError if that share is no image.
    """
    each, truth, seen = list(probabilities), labels, np.arange(len(labels))
    if search_on and search_on.share is not None:
        measured, seen = hold_out(labels, search_on.share, search_on.seed)
        if not len(seen):
            raise InputError(
                f"--search-on {search_on.share}: no labels to search on; there is one image a class, and errors are reported"
                " on it"
            )
        each, truth = [answers[measured] for answers in probabilities], labels[measured]
    weights = tuple(search([answers[seen] for answers in probabilities], labels[seen]).tolist()) if search_on else None

    def together(shares: Sequence[float] | None = None) -> Evaluation:
        answers = mean(each, shares)
        return replace(measure(answers, truth, classes, views), calibration=calibrate(answers, truth))

    return Averaged(
        runs=tuple(runs),
        each=tuple(measure(answers, truth, classes, views) for answers in each),
        mean=together(),
        weights=weights,
        weighted=together(weights) if weights else None,
        searched_on=len(seen) if search_on else 0,
        same_labels=search_on is not None and search_on.share is None,
    )


def evaluate_several(
    runs: Sequence[Path],
    data: Path | None = None,
    split: str = "val",
    options: Options = Options(),
    search_on: Search | None = None,
    submission: Path | None = None,
    devkit: Path | None = None,
    progress: Progress | None = None,
) -> Averaged:
    """The errors of runs on the images of a split, of the mean of their class probabilities, and of a weighted mean (§6).

    data: a prepared dataset; by default the one each run was trained on. Networks and image sizes may differ, classes and
    images may not. search_on: search weights, too. submission: a file for the labels of the mean, weighted if searched,
    with the ids of `devkit` (`submission.ids_of`). All processes get the result; the first one writes. Raises InputError
    for runs that do not go together, and for fewer than two runs with a search.
    """
    if search_on and len(runs) < 2:
        raise InputError("--weights search: needs two runs or more, and images with labels")
    opened = [of_run(run, data, split) for run in runs]
    judged = [images for _, images in opened]
    check_alike(runs, judged)
    first = judged[0]
    file = planned(submission, first.classes, devkit) if submission else None
    each = [probabilities.compute(*pair, options, progress) for pair in zip(runs, judged, strict=True)]
    names = [str(run) for run in runs]
    averaged = average(names, each, first.labels, first.classes, options.views, search_on)
    if file and options.processes.first:
        file = file.write(mean(each, averaged.weights), first.files)
    measured = tuple(
        replace(evaluation, checkpoint=checkpoint.newest(run).name)
        for run, evaluation in zip(runs, averaged.each, strict=True)
    )
    places = tuple(prepared.path for prepared, _ in opened)
    return replace(averaged, each=measured, data=places, split=first.where, submission=file)


@dataclass(frozen=True)
class Submitted:
    """A submission for images without labels."""

    runs: tuple[Path, ...]
    images: str
    submission: Submission
    bad: dict[str, str]
    """Files that this process could not read and judged as grey images, and why"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"runs": [str(run) for run in self.runs], "images": self.images, **self.submission.to_dict()}


def submit(
    runs: Sequence[Path],
    images: str,
    submission: Path,
    devkit: Path | None = None,
    options: Options = Options(),
    progress: Progress | None = None,
) -> Submitted:
    """Write the five labels of each image that `images` names, by the mean of the runs' class probabilities.

    images: a folder, a glob or a .tar. devkit: see `submission.ids_of`. All processes get the result; the first one writes.
    Raises InputError for runs that do not go together.
    """
    for run in runs:
        recipe.read(run)  # which says it of what is no run folder
    file = planned(submission, classes_of(runs[0]), devkit)
    judged = [unlabelled(images, len(statistics_of(run)[0]), classes_of(run)) for run in runs]
    check_alike(runs, judged)
    each = [probabilities.compute(*pair, options, progress) for pair in zip(runs, judged, strict=True)]
    if options.processes.first:
        file = file.write(mean(each), judged[0].files)
    bad = dict(sorted(item for each_judged in judged for item in each_judged.bad.items()))
    return Submitted(tuple(runs), images, file, bad)


def check_alike(runs: Sequence[Path], judged: Sequence[Judged]) -> None:
    """Raise InputError, naming the runs, unless all have the same classes in the same order and judge the same images.

    Images are the same if their names and labels are, one by one: they may be prepared at different sizes.
    """
    first, where = judged[0], judged[0].where
    for run, images in zip(runs[1:], judged[1:], strict=True):
        if images.classes != first.classes:
            same = sorted(images.classes) == sorted(first.classes)
            differ = "in another order" if same else f"{len(images.classes)} against {len(first.classes)}"
            raise InputError(
                f"{run}: its classes are not those of {runs[0]} ({differ}); networks can be averaged if they have the same"
                " classes in the same order"
            )
        fix = "name data that all are to be evaluated on with --data DIR"
        if len(images.files) != len(first.files):
            raise InputError(
                f"{run}: it would be evaluated on {len(images.files):,} images ({images.where}), {runs[0]} on"
                f" {len(first.files):,} ({where}); {fix}"
            )
        if list(images.files) != list(first.files) or not np.array_equal(images.labels, first.labels):
            held_out = images.where == "held out of train"
            fix = "with another --hold-out-seed they held out other images; evaluate on a split" if held_out else fix
            raise InputError(f"{run}: it would be evaluated on other images than {runs[0]} ({images.where}); {fix}")
