"""The images whose last hidden activations are nearest to an image's own, by Euclidean distance in fc7: fig. 4, right."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from alexnet.data.prepared import Prepared, Split
from alexnet.errors import InputError
from alexnet.evaluation.judged import Progress
from alexnet.insight import picture as pictures
from alexnet.insight.features import features_of, features_of_split
from alexnet.insight.search import nearest
from alexnet.network.spec import BOTTLENECK
from alexnet.run.dataset import open_run
from alexnet.run.images import mixed, training_of, validation_of
from alexnet.run.predict import Prediction, find, predictions
from alexnet.run.recipe import Recipe
from alexnet.run.trained import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Queries:
    """Images whose neighbours are searched."""

    images: np.ndarray
    """uint8 [Q, S, S, 3]"""
    names: Sequence[str]
    classes: Sequence[str | None]
    """None: not known"""


@dataclass(frozen=True)
class Neighbours:
    """The images of a split that are nearest to each query."""

    distances: Tensor
    """float32 [Q, count], ascending"""
    indices: Tensor
    """int64 [Q, count], of images of the split"""
    searched: int
    """Images that they are the nearest of"""

    def listed(self, split: Split) -> list[list[dict[str, Any]]]:
        """The neighbours of each query, which are images of `split`, as plain values."""
        return [
            [
                {"index": k, "file": split.files[k], "class": split.classes[split.labels[k]], "distance": distance}
                for k, distance in zip(indices, distances, strict=True)
            ]
            for indices, distances in zip(self.indices.tolist(), self.distances.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Similar:
    """The neighbours of images, as `similar` gives them."""

    run: Path
    data: Path
    split: str
    searched: int
    picture: Path | None
    queries: Queries | None
    """None: no image could be read"""
    neighbours: list[list[dict[str, Any]]]
    """For each query its neighbours, the nearest first: index, file, class, distance"""
    unread: tuple[Prediction, ...]
    """Images that could not be read"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        unread = [answer.to_dict() for answer in self.unread]
        places = {"run": str(self.run), "data": str(self.data)}
        if self.queries is None:
            return {**places, "picture": None, "images": unread}
        images = [
            {"image": name, "class": label, "neighbours": rows}
            for name, label, rows in zip(self.queries.names, self.queries.classes, self.neighbours, strict=True)
        ]
        drawn = self.picture and str(self.picture)
        return {**places, "split": self.split, "searched": self.searched, "picture": drawn, "images": images + unread}


def similar(
    run: Path,
    images: Sequence[str] = (),
    picture: Path | None = None,
    data: Path | None = None,
    split: str = "train",
    sample: int = 5,
    count: int = 6,
    keep: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> Similar:
    """The `count` images of a split nearest to images by Euclidean distance in fc7 (§6.1), drawn into `picture`; exact.

    images: files, folders or globs; without any, `sample` validation images of different classes, drawn by the run's seed.
    data: a prepared dataset; by default the run's own. Images held out to validate the run are no training images.
    keep: keep the features of the split in the run folder, and use those kept. Raises InputError for bad input; an image
    that cannot be read is in `unread`, and nothing is drawn where all are.
    """
    if picture:
        pictures.kind_of(picture)
    network, prepared = open_run(run, data, device)
    answers = list(predictions(network, find(images), views=1)) if images else []
    read = [(answer.image, answer.pixels) for answer in answers if answer.pixels is not None]
    unread = tuple(answer for answer in answers if answer.pixels is None)
    if images and not read:
        return Similar(run, prepared.path, split, 0, None, None, [], unread)
    if images:
        names, pixels = zip(*read, strict=True)
        queries = Queries(np.stack(pixels), names, [None] * len(read))
    elif sample < 1:
        raise InputError(f"--sample {sample}: there must be at least 1")
    else:
        part, chosen = drawn(network.recipe, prepared, sample)
        classes = [part.classes[k] for k in part.labels[chosen]]
        queries = Queries(part.images[chosen], [part.files[k] for k in chosen], classes)
    near = search(network, queries.images, prepared, split, count, keep, progress)
    searched = prepared.split(split)
    if picture:
        words = "training images" if searched.name == "train" else f"images of {searched.name}"
        pictures.save(figure(network, queries, near, searched, f"{near.searched:,} {words}"), picture)
    rows = near.listed(searched)
    return Similar(run, prepared.path, searched.name, near.searched, picture, queries, rows, unread)


def search(
    trained: TrainedNetwork,
    images: np.ndarray,
    prepared: Prepared,
    split: str = "train",
    count: int = 6,
    keep: bool = True,
    progress: Progress | None = None,
) -> Neighbours:
    """The `count` images of a split nearest to each of uint8 [Q, S, S, 3], by Euclidean distance in fc7 (§6.1).

    Images that are held out of the training split to validate the run are not searched. keep, and what is raised: see
    `features_of_split`. InputError if `count` is below 1.
    """
    if count < 1:
        raise InputError(f"--count {count}: there must be at least 1")
    searched = searched_of(trained.recipe, prepared, split)
    if len(searched) == 0:
        raise InputError(f"{prepared.path}: its split {split} has no images to search")
    name = prepared.split(split).name
    shown = partial(progress, f"features of {name}") if progress else None
    blocks = features_of_split(trained, prepared, split, keep, shown)
    return search_in(trained, images, blocks, searched, count)


def search_in(
    trained: TrainedNetwork, images: np.ndarray, blocks: Iterable[Tensor], searched: np.ndarray, count: int
) -> Neighbours:
    """`search` in the features of a split, which `features_of_split` gives as blocks; only the images `searched` of it."""
    queries = torch.cat(list(features_of(trained, images)))
    distances, places = nearest(queries, _only(blocks, searched), count)
    return Neighbours(distances, torch.from_numpy(searched)[places], len(searched))


def searched_of(recipe: Recipe, prepared: Prepared, split: str) -> np.ndarray:
    """Indices of the images of a split that are searched: all, but of the training split none that validate the run."""
    return training_of(recipe, prepared)[1] if split == "train" else np.arange(len(prepared.split(split).labels))


def _only(blocks: Iterable[Tensor], indices: np.ndarray) -> Iterator[Tensor]:
    """The rows at `indices` (ascending) of all blocks together."""
    start = 0
    for block in blocks:
        low, high = np.searchsorted(indices, (start, start + len(block)))
        yield block if high - low == len(block) else block[torch.from_numpy(indices[low:high] - start)]
        start += len(block)


def drawn(recipe: Recipe, prepared: Prepared, number: int) -> tuple[Split, np.ndarray]:
    """Validation images drawn by the run's seed, the first of every class before a second of any: their split, indices."""
    split, indices = validation_of(recipe, prepared)
    return split, mixed(split, indices, recipe.seed)[:number]


# The picture ---------------------------------------------------------------------------------------------------------

# Side of a photograph, space between two, space after the queries, margin, height of the two lines beneath a photograph.
_SIDE, _GAP, _RULE, _MARGIN, _BENEATH = 124, 10, 34, 22, 40


def figure(trained: TrainedNetwork, queries: Queries, near: Neighbours, split: Split, searched: str) -> "Figure":
    """The queries in the first column, with their classes or files' names beneath, and their neighbours beside them.

    near: of images of `split`; those of a query's own class have an orange line beneath them. searched: what they are the
    nearest of, in the heading.
    """
    rows = near.listed(split)
    width = 2 * _MARGIN + _SIDE + _RULE + near.indices.shape[1] * (_SIDE + _GAP) - _GAP
    heading, height = 30, len(queries.images) * (_SIDE + _BENEATH)
    foot = 14 if any(label is not None for label in queries.classes) else 0
    first = _MARGIN + _SIDE + _RULE
    layer = [name for name, _ in trained.network.spec.rows() if name != BOTTLENECK][-1]
    with pictures.style():
        page = pictures.Page(width, 2 * _MARGIN + heading + foot + height - 8)
        page.text(_MARGIN, _MARGIN + 6, "image", 10, weight="bold")
        page.text(first, _MARGIN + 6, f"nearest of {searched}", 10, weight="bold")
        legend = f"number: Euclidean distance in {layer}"
        page.text(width - _MARGIN, _MARGIN + 6, legend, 8, color=pictures.FAINT, ha="right")
        for k, (query, name, label) in enumerate(zip(queries.images, queries.names, queries.classes, strict=True)):
            y = _MARGIN + heading + k * (_SIDE + _BENEATH)
            page.photo(query, _MARGIN, y, _SIDE)
            page.text(_MARGIN, y + _SIDE + 13, pictures.shorten(label or Path(name).name, 16), 8, weight="bold")
            shown = split.images[near.indices[k].numpy()]
            for n, row in enumerate(rows[k]):
                x = first + n * (_SIDE + _GAP)
                page.photo(shown[n], x, y, _SIDE)
                if row["class"] == label:
                    page.box(x, y + _SIDE, _SIDE, 3, pictures.PALE_ORANGE)
                page.text(x, y + _SIDE + 13, pictures.shorten(row["class"], 16), 7.5)
                distance = pictures.three_digits(row["distance"])
                page.text(x + _SIDE, y + _SIDE + 13, distance, 7, ha="right", color=pictures.FAINT)
        page.box(_MARGIN + _SIDE + _RULE / 2 - 0.5, _MARGIN + heading, 1, height - 20, pictures.GREY)
        if foot:
            page.box(first, page.height - _MARGIN - 5, 18, 3, pictures.PALE_ORANGE)
            page.text(first + 24, page.height - _MARGIN - 3, "of the image's own class", 8, color=pictures.FAINT)
    return page.figure
