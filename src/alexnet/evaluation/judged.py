"""The images that networks judge: those of a run's split, or files without labels, as the test images of ILSVRC are."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from alexnet.data.image import Unreadable, to_square
from alexnet.data.prepared import Images, Prepared
from alexnet.data.sources.passed import is_image_name
from alexnet.data.sources.source import read_file
from alexnet.data.sources.tar import members, read_member
from alexnet.errors import InputError
from alexnet.run import checkpoint, predict
from alexnet.run.dataset import open_dataset
from alexnet.run.images import measured_on, validation_of
from alexnet.run.recipe import Recipe
from alexnet.run.recipe import read as read_recipe

Progress = Callable[[str, int, int], None]
"""Called with what is computed, images done, images in all."""


@dataclass(frozen=True)
class Judged:
    """Images that networks are to judge."""

    where: str
    """What they are called: a split, "held out of train", or a folder's name"""
    images: Images
    indices: np.ndarray
    """int64 [N], which of them, in the order of the answers"""
    labels: np.ndarray
    """int64 [N]; -1 where they are not known"""
    files: Sequence[str]
    """N names"""
    classes: tuple[str, ...]
    """What the networks answer with, in the order of their labels"""
    fingerprint: str
    """Hex; changes with images or labels"""

    @property
    def bad(self) -> dict[str, str]:
        """Files that could not be read so far, and why; they are judged as grey images."""
        return self.images.bad if isinstance(self.images, Files) else {}


def of_split(recipe: Recipe, prepared: Prepared, split: str = "val") -> Judged:
    """The images of a split. "val": those that validate a run of this recipe, as in training. InputError if there are none."""
    if split == "val":
        part, indices = validation_of(recipe, prepared)
        where = measured_on(part)
    else:
        part = prepared.split(split)
        indices, where = np.arange(len(part.labels)), part.name
    if len(indices) == 0:
        raise InputError(f"{prepared.path}: there are no images to evaluate in split {split}")
    facts = [prepared.size, prepared.store, prepared.classes, prepared.manifest["splits"][part.name]["checksums"]]
    fingerprint = hashlib.sha256(json.dumps(facts).encode() + indices.tobytes()).hexdigest()
    files = [part.files[index] for index in indices.tolist()]
    return Judged(where, part.images, indices, part.labels[indices], files, prepared.classes, fingerprint)


def of_run(run: Path, data: Path | None = None, split: str = "val") -> tuple[Prepared, Judged]:
    """The dataset that a run is evaluated on, by default its own, and the images of a split of it.

    Raises InputError if `run` has no checkpoint, or the dataset is not there or has other classes.
    """
    recipe = read_recipe(run)
    checkpoint.newest(run)
    prepared = open_dataset(run, data)
    return prepared, of_split(recipe, prepared, split)


# Files without labels -------------------------------------------------------------------------------------------------

Entry = tuple[str, tuple[object, ...], Callable[[], bytes]]
"""A file: its name, what tells it from others and from itself before a change, and what reads it."""


class Files:
    """Image files that are decoded and brought to size x size (§2) when they are indexed, on all threads."""

    dtype = np.dtype(np.uint8)

    def __init__(self, names: list[str], readers: list[Callable[[], bytes]], size: int) -> None:
        self.names, self.readers, self.size = names, readers, size
        self.bad: dict[str, str] = {}
        self._pool = ThreadPoolExecutor()

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        """The images with these numbers [B], uint8 [B, S, S, 3]."""
        return np.stack(list(self._pool.map(self._pixels, np.asarray(indices).tolist())))

    def _pixels(self, number: int) -> np.ndarray:
        try:
            return to_square(self.readers[number](), self.size)
        except (Unreadable, OSError) as error:
            self.bad[self.names[number]] = str(error)
            return np.full((self.size, self.size, 3), 128, np.uint8)


def unlabelled(where: str, size: int, classes: tuple[str, ...]) -> Judged:
    """The images that `where` names, in the order of their names, to be brought to size x size and judged by `classes`.

    A folder (with the folders in it), a glob, one image, or a .tar of images, which is not unpacked. Raises InputError if
    there is none. A file that turns out to be no image is judged as a grey one, and `Judged.bad` says why.
    """
    path = Path(where)
    if path.is_file() and path.suffix == ".tar":
        files = _images_in_tar(path)
    else:
        names = [name for name in predict.find([where]) if os.path.isfile(name) and is_image_name(name)]
        files = [(name, _facts(name), partial(read_file, name)) for name in names]
    if not files:
        raise InputError(f"--images {where}: no images there; name a folder, a glob or a .tar of images")
    files = [files[k] for k in order_of([name for name, _, _ in files])]
    names = [name for name, _, _ in files]
    facts = repr((size, [(os.path.basename(name), facts) for name, facts, _ in files]))
    images, indices = Files(names, [read for _, _, read in files], size), np.arange(len(names))
    fingerprint = hashlib.sha256(facts.encode()).hexdigest()
    return Judged(path.stem or "images", images, indices, np.full_like(indices, -1), names, classes, fingerprint)


def order_of(files: Sequence[str]) -> list[int]:
    """The order of files by name, in whatever folders they are, then by folder: numbers into `files`."""
    return sorted(range(len(files)), key=lambda k: (os.path.basename(files[k]), files[k]))


def _facts(name: str | Path) -> tuple[object, ...]:
    stat = os.stat(name)
    return os.path.abspath(name), stat.st_size, stat.st_mtime_ns


def _images_in_tar(path: Path) -> list[Entry]:
    images: list[Entry] = []
    facts = _facts(path)
    for member in members(path):
        if member.problem:
            raise InputError(f"--images {path}: {member.name}: {member.problem}: download it again")
        if is_image_name(member.name):
            images.append((member.name, (*facts, member.offset), partial(read_member, str(path), member)))
    return images
