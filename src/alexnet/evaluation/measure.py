"""Top-1 and top-5 error over one view or ten, in percent (§6): probabilities are averaged over the views (§4.1)."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import Preparation
from alexnet.data.loader import read_ahead
from alexnet.data.prepared import Images
from alexnet.errors import InputError
from alexnet.evaluation.calibration import Calibration
from alexnet.files import write_text
from alexnet.processes import Processes
from alexnet.run.views import Network, view_probabilities


@dataclass(frozen=True)
class Evaluation:
    """Error of a network on a set of labelled images; rates in percent, as in the paper."""

    top1_error: float
    top5_error: float
    views: int
    images: int
    per_class: list[dict[str, Any]]
    """label, images, top1_error, top5_error, precision, recall of every class, in label order.

    precision: the share of images given this label that are of it, None where none was given it; recall: the share of its own
    images given it, 100 - top1_error. Errors and recall of a class without images are None."""
    confusion: list[list[int]] | None
    """[true][predicted] counts of the first label; None where they were not counted"""
    checkpoint: str | None = None
    """Name of the checkpoint's folder whose weights were measured, where they come from one"""
    precision: str | None = None
    """What was computed in, "float32" or "bf16", where that is known"""
    source: str | None = None
    """What the images were prepared from, in the words of their dataset, where that is known"""
    calibration: Calibration | None = None
    """Whether the class probabilities mean what they say, where they were all held, and are numbers"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


CONFUSED = 1000
"""Up to so many classes a confusion matrix is worth its memory: of the 21,843 of Fall 2011 it would be 3.8 GB."""


class Count:
    """Right answers so far, by class; with `confusion`, up to `CONFUSED` classes, what is taken for what, too."""

    def __init__(self, classes: tuple[str, ...], confusion: bool = False) -> None:
        number = len(classes)
        self.classes = classes
        self.hits = np.zeros((4, number), np.int64)
        """[4, classes]: images; those with the true label first; those with it among the first five; those given this label"""
        self.confusion = np.zeros((number, number), np.int64) if confusion and number <= CONFUSED else None
        """[true][predicted]"""

    def add(self, probabilities: Tensor, labels: np.ndarray) -> None:
        """Count images with class probabilities [N, classes], or any other scores, and true labels int64 [N]."""
        number = len(self.classes)
        if probabilities.shape[1] != number:
            raise InputError(
                f"the network has {probabilities.shape[1]} classes, the data {number}; evaluate it on its own data"
            )
        if not 0 <= labels.min() <= labels.max() < number:
            raise InputError(
                f"there are labels beyond the {number} classes; check the prepared dataset with alexnet data"
            )
        best = probabilities.topk(min(5, number), dim=1).indices.cpu().numpy()
        right = best == labels[:, None]
        for hits, counted in zip(self.hits[:3], (np.ones_like(labels), right[:, 0], right.any(axis=1)), strict=True):
            np.add.at(hits, labels, counted)
        np.add.at(self.hits[3], best[:, 0], 1)
        if self.confusion is not None:
            np.add.at(self.confusion, (labels, best[:, 0]), 1)

    def summed(self, processes: Processes) -> None:
        """Add up the counts of all processes. All have to call it."""
        self.hits = processes.sum(torch.from_numpy(self.hits)).numpy()
        if self.confusion is not None:
            self.confusion = processes.sum(torch.from_numpy(self.confusion)).numpy()

    def evaluation(self, views: int) -> Evaluation:
        """The errors of all that was counted; at least one image."""
        counts, right, five, given = self.hits
        images = int(counts.sum())

        def error(hits: np.integer, number: np.integer | int) -> float:
            return 100.0 * int(number - hits) / int(number)

        return Evaluation(
            top1_error=error(right.sum(), images),
            top5_error=error(five.sum(), images),
            views=views,
            images=images,
            per_class=[
                {
                    "label": label,
                    "images": int(counts[k]),
                    "top1_error": error(right[k], counts[k]) if counts[k] else None,
                    "top5_error": error(five[k], counts[k]) if counts[k] else None,
                    "precision": 100.0 * int(right[k]) / int(given[k]) if given[k] else None,
                    "recall": 100.0 * int(right[k]) / int(counts[k]) if counts[k] else None,
                }
                for k, label in enumerate(self.classes)
            ],
            confusion=None if self.confusion is None else self.confusion.tolist(),
        )


def batches_of(
    images: Images | Tensor,
    indices: np.ndarray,
    batch: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """The images uint8 [N, S, S, 3] at `indices`, in their order, `batch` at a time, on `device`; the next are read ahead.

    `progress` is called with (done, total) after each batch.
    """
    done = 0
    parts = [indices[start : start + batch] for start in range(0, len(indices), batch)]
    unlabelled = np.zeros(len(images), np.int8)
    for pixels, _ in read_ahead(images, unlabelled, parts, device):
        yield pixels
        done += len(pixels)
        if progress:
            progress(done, len(indices))


def probabilities_of(
    network: Network,
    preparation: Preparation,
    images: Images | Tensor,
    indices: np.ndarray,
    views: int = 1,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Class probabilities of the images at `indices`, in their order: blocks float32 [B, classes] on the network's device.

    `network` (in eval mode) on the device of `preparation`; images may be there too. `progress`: see `batches_of`.
    """
    for pixels in batches_of(images, indices, batch, preparation.mean.device, progress):
        yield view_probabilities(network, pixels, preparation, views)


def evaluate(
    network: Network,
    preparation: Preparation,
    images: Images | Tensor,
    labels: np.ndarray,
    classes: tuple[str, ...],
    indices: np.ndarray | None = None,
    views: int = 1,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
    processes: Processes = Processes(),
    confusion: bool = False,
) -> Evaluation:
    """Measure `network` (in eval mode) on the images at `indices` (default: all), uint8 [N, S, S, 3].

    `progress` is called with (done, total) after each batch. processes: this process's place among those that share the
    images; all of them get the errors of all images. confusion: count the confusion matrix too, up to `CONFUSED` classes.
    Raises InputError if there is nothing to measure, or if labels or network have other classes than `classes`.
    """
    indices = np.arange(len(labels)) if indices is None else indices
    if len(indices) == 0:
        raise InputError("there are no images to evaluate in this split")
    count, done = Count(classes, confusion), 0
    share = indices[processes.rows(len(indices))]
    for block in probabilities_of(network, preparation, images, share, views, batch, progress):
        count.add(block, labels[share[done : done + len(block)]])
        done += len(block)
    count.summed(processes)
    return count.evaluation(views)
