"""Top-1 and top-5 error over one view or ten, in percent (§6): probabilities are averaged over the views (§4.1)."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.batches import Preparation, read_ahead, test_views
from alexnet.data.prepared import Images
from alexnet.errors import InputError
from alexnet.files import write_text


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


@torch.inference_mode()
def view_probabilities(network: nn.Module, images: Tensor, preparation: Preparation, views: int = 1) -> Tensor:
    """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over the views (not the logits).

    `network` has to be in eval mode, on the device of `images` and `preparation`.
    """
    total = None
    for view in test_views(images, preparation, views):
        one = network(view).float().softmax(dim=1)
        total = one if total is None else total + one
    assert total is not None
    return total / views


def evaluate(
    network: nn.Module,
    preparation: Preparation,
    images: Images,
    labels: np.ndarray,
    classes: tuple[str, ...],
    indices: np.ndarray | None = None,
    views: int = 1,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure `network` (in eval mode) on the images at `indices` (default: all), uint8 [N, S, S, 3].

    `progress` is called with (done, total) after each batch. Raises InputError if there is nothing to measure, or if
    labels or network have other classes than `classes`.
    """
    indices = np.arange(len(labels)) if indices is None else indices
    if len(indices) == 0:
        raise InputError("there are no images to evaluate in this split")
    device = preparation.mean.device
    number = len(classes)
    if not 0 <= labels[indices].min() <= labels[indices].max() < number:
        raise InputError(f"there are labels beyond the {number} classes; check the prepared dataset with alexnet data")
    first = np.zeros((number, number), dtype=np.int64)
    five = np.zeros(number, dtype=np.int64)
    done = 0
    parts = [indices[start : start + batch] for start in range(0, len(indices), batch)]
    for pixels, truth in read_ahead(images, labels, parts, device):
        probabilities = view_probabilities(network, pixels, preparation, views)
        if probabilities.shape[1] != number:
            raise InputError(
                f"the network has {probabilities.shape[1]} classes, the data {number}; evaluate it on its own data"
            )
        best = probabilities.topk(min(5, number), dim=1).indices.cpu().numpy()
        target = truth.cpu().numpy()
        np.add.at(first, (target, best[:, 0]), 1)
        np.add.at(five, target, (best == target[:, None]).any(axis=1))
        done += len(target)
        if progress:
            progress(done, len(indices))
    counts, right = first.sum(axis=1), first.diagonal()

    def error(hits: np.integer, of: np.integer | int) -> float:
        return 100.0 * int(of - hits) / int(of)

    return Evaluation(
        top1_error=error(right.sum(), done),
        top5_error=error(five.sum(), done),
        views=views,
        images=done,
        per_class=[
            {
                "label": label,
                "images": int(counts[k]),
                "top1_error": error(right[k], counts[k]) if counts[k] else None,
                "top5_error": error(five[k], counts[k]) if counts[k] else None,
            }
            for k, label in enumerate(classes)
        ],
        confusion=first.tolist(),
    )
