"""The images that the explorer shows, each under an id: those it was given, uploads, and those of a prepared dataset."""

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.image import to_fit, to_square
from alexnet.data.prepared import Prepared, Split
from alexnet.data.sources.source import read_file
from alexnet.errors import InputError
from alexnet.explore.recent import Recent
from alexnet.run.images import mixed, training_of, validation_of
from alexnet.run.recipe import Recipe
from alexnet.words import short, visible

MOST_BYTES = 64_000_000
"""Bytes of an uploaded file."""

MOST_UPLOADS = 50
"""Uploads that are kept; the oldest goes when there is another."""

UPLOADED_BYTES = 400_000_000
"""Bytes of all uploads that are kept."""

THUMB, ORIGINAL = 96, 640
"""Longest sides, in pixels, of a small picture of an image and of one to look at."""

_OF_SPLIT = re.compile(r"(train|val|test)-(\d{1,9})")


class NotThere(LookupError):
    """Something was asked for that is not there; the message, one line, says what, and how it would be."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of any size, and what is known of it."""

    id: str
    name: str
    label: str | None
    """Name of its class; None: not known"""
    source: bytes | np.ndarray
    """The bytes of its file, or uint8 [S, S, 3] of a prepared dataset"""

    def to_dict(self) -> dict[str, Any]:
        """id, name, label."""
        return {"id": self.id, "name": self.name, "label": self.label}

    def square(self, size: int) -> np.ndarray:
        """The image as the network's preparation makes it: uint8 [size, size, 3]. Raises Unreadable with the reason."""
        prepared = isinstance(self.source, np.ndarray) and self.source.shape == (size, size, 3)
        return self.source if prepared else to_square(self.source, size)  # type: ignore[return-value]

    def original(self) -> np.ndarray:
        """The whole image, to be looked at: uint8 [h, w, 3], no side longer than ORIGINAL."""
        return to_fit(self.source, ORIGINAL)


class Images:
    """All images that can be asked for by id. Threads may call it."""

    def __init__(self, recipe: Recipe, data: Prepared | None = None) -> None:
        """recipe: says which images of `data` train a run and which validate it, and draws the order in which they are shown."""
        self.recipe, self.data = recipe, data
        self.given: OrderedDict[str, Picture] = OrderedDict()
        """Those that are there from the start, and stay"""
        self._uploads: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()
        self._squares: Recent[np.ndarray] = Recent(64)
        self._orders: Recent[tuple[Split, np.ndarray]] = Recent(64)
        self._splits: Recent[Split] = Recent(3)

    def give(self, name: str, classes: tuple[str, ...]) -> Picture:
        """Have an image from the start: a file, or an id of the dataset, as val-12. InputError if it cannot be read.

        classes: an image in a folder that is called like one of them is of that class.
        """
        if _OF_SPLIT.fullmatch(name) and not Path(name).exists():
            try:
                picture = self.find(name)
            except NotThere as error:
                raise InputError(f"--images {name}: {error}") from None
        else:
            try:
                content = read_file(name)
                to_square(content, THUMB)
            except (OSError, ValueError) as error:
                raise InputError(f"--images {name}: {getattr(error, 'strerror', None) or error}") from None
            folder = Path(name).absolute().parent.name
            picture = Picture(
                _id_of(content), _name_of(Path(name).name), folder if folder in classes else None, content
            )
        self.given[picture.id] = picture
        return picture

    def upload(self, content: bytes, name: str) -> Picture:
        """Keep an uploaded file. Raises Unreadable, with the reason, if it is no image."""
        to_square(content, THUMB)
        picture = Picture(_id_of(content), _name_of(name), None, content)
        with self._lock:
            self._uploads[picture.id] = picture
            self._uploads.move_to_end(picture.id)
            while len(self._uploads) > MOST_UPLOADS or self._uploaded() > UPLOADED_BYTES:
                self._uploads.popitem(last=False)
        return picture

    def _uploaded(self) -> int:
        return sum(len(picture.source) for picture in self._uploads.values())

    def find(self, id: str) -> Picture:
        """The image of that id. Raises NotThere."""
        with self._lock:
            kept = self.given.get(id) or self._uploads.get(id)
        if kept:
            return kept
        place = _OF_SPLIT.fullmatch(id)
        if place is None:
            raise NotThere(f"no image {short(id)}; it may have been too long ago that it was uploaded")
        if self.data is None:
            raise NotThere(NO_DATA)
        if place[1] not in self.data.splits:
            raise NotThere(f"{self.data.path} has no split {place[1]}; it has {', '.join(self.data.splits)}")
        split, number = self._split(place[1]), int(place[2])
        if number >= len(split.labels):
            raise NotThere(f"{id}: {split.name} has {len(split.labels):,} images, numbered from 0")
        return Picture(id, *_about(split, number), split.images[number])

    def square(self, picture: Picture, size: int) -> np.ndarray:
        """`Picture.square`, kept for a while."""
        return self._squares.get((picture.id, size), lambda: picture.square(size))

    def samples(self, split: str, start: int, count: int, label: str | None) -> dict[str, Any]:
        """Images of the dataset to choose from: "train", or those that validate ("val"), of one class or of all mixed.

        total: how many there are in all; images: `count` of them from `start` on.
        """
        if self.data is None:
            raise NotThere(NO_DATA)
        if split not in ("train", "val"):
            raise NotThere(f"split={short(split)}: choose train or val")
        part, order = self._orders.get((split, label), partial(self._ordered, split, label))
        chosen = order[start : start + count].tolist()
        images = [dict(zip(("name", "label"), _about(part, k), strict=True), id=f"{part.name}-{k}") for k in chosen]
        return {"total": len(order), "images": images}

    def _ordered(self, split: str, label: str | None) -> tuple[Split, np.ndarray]:
        assert self.data
        part, indices = (training_of if split == "train" else validation_of)(self.recipe, self.data)
        if label is not None:
            if label not in part.classes:
                raise NotThere(f"label={short(label)}: the data has no such class")
            indices = indices[part.labels[indices] == part.classes.index(label)]
        return part, mixed(part, indices, self.recipe.seed)

    def _split(self, name: str) -> Split:
        assert self.data
        return self._splits.get(name, partial(self.data.split, name))


NO_DATA = "no prepared dataset is there: start alexnet explore with --data DIR"


def _about(split: Split, number: int) -> tuple[str, str]:
    return _name_of(split.files[number]), split.classes[split.labels[number]]


def _id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _name_of(name: str) -> str:
    """A file's name as JSON and a page can hold it, whatever bytes it is made of."""
    return short(visible(name.encode("utf-8", "replace").decode()), 200) or "image"
