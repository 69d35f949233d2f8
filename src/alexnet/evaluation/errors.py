"""Top-1 and top-5 error over one view or ten, in percent (§6): probabilities are averaged over the views (§4.1)."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.batches import Preparation, read_ahead, test_views
from alexnet.data.prepared import Images
from alexnet.errors import InputError
from alexnet.files import write_text
from alexnet.training.processes import Processes


@dataclass(frozen=True)
class Evaluation:
    """Error of a network on a set of labelled images; rates in percent, as in the paper."""

    top1_error: float
    top5_error: float
    views: int
    images: int
    per_class: list[dict[str, Any]]
    """label, images, top1_error, top5_error of every class, in label order; the errors of a class without images are None"""
    confusion: list[list[int]]
    """[true][predicted] counts of the first label"""
    checkpoint: str | None = None
    """Name of the checkpoint's folder whose weights were measured, where they come from one"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


Network = nn.Module | Callable[[Tensor], Tensor]
"""What makes logits [N, classes] of images: a network in eval mode, or several processes' together."""


@torch.inference_mode()
def view_probabilities(network: Network, images: Tensor, preparation: Preparation, views: int = 1) -> Tensor:
    """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over the views (not the logits).

    `network` has to be in eval mode, on the device of `images` and `preparation`.
    """
    total = None
    for view in test_views(images, preparation, views):
        one = network(view).float().softmax(dim=1)
        total = one if total is None else total + one
    assert total is not None
    return total / views


@dataclass
class Count:
    """Right answers so far. Those of several processes are summed array by array: `first` and `five`."""

    classes: tuple[str, ...]
    first: np.ndarray = field(init=False)
    """int64 [classes, classes], [true][predicted]"""
    five: np.ndarray = field(init=False)
    """int64 [classes], images with the true label among the first five"""

    def __post_init__(self) -> None:
        number = len(self.classes)
        self.first, self.five = np.zeros((number, number), np.int64), np.zeros(number, np.int64)

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
        np.add.at(self.first, (labels, best[:, 0]), 1)
        np.add.at(self.five, labels, (best == labels[:, None]).any(axis=1))

    def evaluation(self, views: int) -> Evaluation:
        """The errors of all that was counted; at least one image."""
        counts, right = self.first.sum(axis=1), self.first.diagonal()
        images = int(counts.sum())

        def error(hits: np.integer, of: np.integer | int) -> float:
            return 100.0 * int(of - hits) / int(of)

        return Evaluation(
            top1_error=error(right.sum(), images),
            top5_error=error(self.five.sum(), images),
            views=views,
            images=images,
            per_class=[
                {
                    "label": label,
                    "images": int(counts[k]),
                    "top1_error": error(right[k], counts[k]) if counts[k] else None,
                    "top5_error": error(self.five[k], counts[k]) if counts[k] else None,
                }
                for k, label in enumerate(self.classes)
            ],
            confusion=self.first.tolist(),
        )


def probabilities_of(
    network: Network,
    preparation: Preparation,
    images: Images,
    indices: np.ndarray,
    views: int = 1,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Class probabilities of the images at `indices`, in their order: blocks float32 [B, classes] on the network's device.

    `network` (in eval mode) on the device of `preparation`. `progress` is called with (done, total) after each block.
    """
    done = 0
    parts = [indices[start : start + batch] for start in range(0, len(indices), batch)]
    unlabelled = np.zeros(len(images), np.int8)
    for pixels, _ in read_ahead(images, unlabelled, parts, preparation.mean.device):
        yield view_probabilities(network, pixels, preparation, views)
        done += len(pixels)
        if progress:
            progress(done, len(indices))


def evaluate(
    network: Network,
    preparation: Preparation,
    images: Images,
    labels: np.ndarray,
    classes: tuple[str, ...],
    indices: np.ndarray | None = None,
    views: int = 1,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
    processes: Processes = Processes(),
) -> Evaluation:
    """Measure `network` (in eval mode) on the images at `indices` (default: all), uint8 [N, S, S, 3].

    `progress` is called with (done, total) after each batch. processes: this process's place among those that share the
    images; all of them get the whole's errors. Raises InputError if there is nothing to measure, or if
    labels or network have other classes than `classes`.
    """
    indices = np.arange(len(labels)) if indices is None else indices
    if len(indices) == 0:
        raise InputError("there are no images to evaluate in this split")
    count, done = Count(classes), 0
    own = indices[processes.rows(len(indices))]
    for block in probabilities_of(network, preparation, images, own, views, batch, progress):
        count.add(block, labels[own[done : done + len(block)]])
        done += len(block)
    count.first, count.five = (processes.sum(torch.from_numpy(array)).numpy() for array in (count.first, count.five))
    return count.evaluation(views)
