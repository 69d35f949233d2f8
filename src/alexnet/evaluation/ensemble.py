"""Several networks averaged (§6, Table 2): the mean of their class probabilities, plain or weighted.

The paper averages. The 2012 group's program took a weighted sum instead, with weights searched on the validation set,
that is on the labels that its error was then reported on. `search` finds such weights; how it differs is said there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data.prepared import hold_out
from alexnet.errors import InputError
from alexnet.evaluation.errors import Count, Evaluation
from alexnet.evaluation.kept import Judged

LEAST = 1e-12
"""Probabilities are taken for at least this where their logarithm is."""


def mean(probabilities: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Mean float32 [N, classes] of class probabilities float32 [N, classes] of each network; `weights` sum to one."""
    shares = [1 / len(probabilities)] * len(probabilities) if weights is None else weights
    total = np.zeros_like(probabilities[0])
    for one, share in zip(probabilities, shares, strict=True):
        total += np.float32(share) * one
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
    from scipy.optimize import minimize

    of_label = np.stack([one[np.arange(len(labels)), labels] for one in probabilities]).astype(np.float64)
    number = len(of_label)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        likely = np.maximum(weights @ of_label, LEAST)
        return float(-np.log(likely).mean()), -(of_label / likely).mean(axis=1)

    found = minimize(
        loss,
        np.full(number, 1 / number),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * number,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(number)},
        options={"ftol": 1e-10, "maxiter": 1000},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class Averaged:
    """Several networks on the same images, each and together."""

    runs: tuple[str, ...]
    each: tuple[Evaluation, ...]
    mean: Evaluation
    """Of the plain mean of their probabilities."""
    weights: tuple[float, ...] | None = None
    """What a search found, if there was one."""
    weighted: Evaluation | None = None
    """Of the mean with these weights."""
    searched_on: int = 0
    """Images whose labels the search saw."""
    same_labels: bool = False
    """Whether the search saw the labels that the errors here are reported on."""

    def against(self) -> dict[str, tuple[float, float]]:
        """The plain mean's top-1 and top-5 error minus those of the networks' average, and of the best network."""
        average = [float(np.mean([getattr(one, name) for one in self.each])) for name in ("top1_error", "top5_error")]
        best = self.each[self._best]
        return {
            "average": (self.mean.top1_error - average[0], self.mean.top5_error - average[1]),
            "best": (self.mean.top1_error - best.top1_error, self.mean.top5_error - best.top5_error),
        }

    @property
    def best(self) -> str:
        """The network with the lowest error by itself."""
        return self.runs[self._best]

    @property
    def _best(self) -> int:
        return min(range(len(self.each)), key=lambda k: (self.each[k].top1_error, self.each[k].top5_error))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        shares = self.weights or (None,) * len(self.runs)
        errors = ("top1_error", "top5_error", "checkpoint")
        return {
            "images": self.mean.images,
            "views": self.mean.views,
            "runs": [
                {"run": run, **{name: getattr(one, name) for name in errors}, "weight": share}
                for run, one, share in zip(self.runs, self.each, shares, strict=True)
            ],
            "mean": self.mean.to_dict(),
            "mean_minus_average": list(self.against()["average"]),
            "mean_minus_best": list(self.against()["best"]),
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
    searched: bool = False,
    search_on: float | None = None,
    seed: int = 0,
) -> Averaged:
    """Measure networks with class probabilities float32 [N, classes] each, their plain mean, and a weighted one if `searched`.

    search_on: share of the images of each class whose labels the search sees, drawn by `seed`; everything is then measured
    on the others. None: it sees those that the errors are reported on. Raises InputError if that share is no image.
    """
    every = np.arange(len(labels))
    measured, seen = every, every
    if search_on is not None:
        measured, seen = hold_out(labels, search_on, seed)
        if not len(seen):
            raise InputError(
                f"--search-on {search_on}: no labels to search on; there is one image a class, and errors are reported on it"
            )
    own = [one[measured] for one in probabilities] if search_on is not None else list(probabilities)
    truth = labels[measured]
    weights = tuple(search([one[seen] for one in probabilities], labels[seen]).tolist()) if searched else None
    return Averaged(
        runs=tuple(runs),
        each=tuple(measure(one, truth, classes, views) for one in own),
        mean=measure(mean(own), truth, classes, views),
        weights=weights,
        weighted=measure(mean(own, weights), truth, classes, views) if weights else None,
        searched_on=len(seen) if searched else 0,
        same_labels=searched and search_on is None,
    )


def check_alike(runs: Sequence[Path], classes: Sequence[tuple[str, ...]], judged: Sequence[Judged]) -> None:
    """Raise InputError, naming the runs, unless all have the same classes in the same order and judge the same images.

    Images are the same if their names and labels are, one by one: they may be prepared at different sizes.
    """
    for run, its, images in zip(runs[1:], classes[1:], judged[1:], strict=True):
        if its != classes[0]:
            how = "in another order" if sorted(its) == sorted(classes[0]) else f"{len(its)} against {len(classes[0])}"
            raise InputError(
                f"{run}: its classes are not those of {runs[0]} ({how}); networks can be averaged if they have the same"
                " classes in the same order"
            )
        fix = "name data that all are to be evaluated on with --data DIR"
        if len(images.files) != len(judged[0].files):
            raise InputError(
                f"{run}: it would be evaluated on {len(images.files):,} images ({images.where}), {runs[0]} on"
                f" {len(judged[0].files):,} ({judged[0].where}); {fix}"
            )
        if list(images.files) != list(judged[0].files) or not np.array_equal(
            _known(images.labels), _known(judged[0].labels)
        ):
            held_out = images.where == "held out of train"
            fix = "with another --hold-out-seed they held out other images; evaluate on a split" if held_out else fix
            raise InputError(f"{run}: it would be evaluated on other images than {runs[0]} ({images.where}); {fix}")


def _known(labels: np.ndarray | None) -> np.ndarray:
    return np.zeros(0, np.int64) if labels is None else labels
