"""What every source of labelled images is made of: items, stretches of them, and what a source can be asked (§2)."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
# Folder and table names -> the three splits.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"

KINDS = f"""A SOURCE is one of
  a folder with one folder of images per class (or train/ and val/ with such folders in them)
  a folder with {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}.tar.gz, or with train/, val/ and the devkit
  a .tar of one .tar of images per class (fall11_whole.tar), or a folder of such .tar files
  hf:NAME or hf:NAME:CONFIGURATION, a dataset of the Hugging Face hub; a .parquet file or a folder of them
  a .npz file with images and labels
  builtin, the photographs that come with the package"""


@dataclass(frozen=True)
class Item:
    """One labelled image. `read` gives the file's bytes, or a decoded uint8 [H, W, 3]; a worker thread calls it, once.

    `name` is unique within its split: a path or key inside the source. `label` is an index into the source's classes.
    """

    name: str
    label: int
    read: Callable[[], bytes | np.ndarray]


@dataclass(frozen=True)
class Part:
    """A stretch of a split that can be opened without reading what lies before it: a class folder, an archive, a file."""

    label: int | None  # of all its images; None: of several classes
    items: int | None  # how many; None where only going through it tells


class Source(Protocol):
    """Labelled images, always in the same order, and never a whole listing of them in memory."""

    @property
    def description(self) -> str:
        """One line for people."""

    @property
    def splits(self) -> tuple[str, ...]:
        """("train",), and "val" or "test" or both where the source has them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the labels."""

    @property
    def default_size(self) -> int:
        """Side of the prepared images where nobody says otherwise."""

    def items(self, split: str) -> Iterator[Item]:
        """The images of a split, lazily. Raises InputError for what only reading shows, such as a cut-off archive."""

    def parts(self, split: str) -> tuple[Part, ...]:
        """The stretches that the items of a split come in, in their order."""

    def part(self, split: str, number: int) -> Iterator[Item]:
        """The items of one of `parts`, lazily; all of them in turn are `items`."""

    def count(self, split: str) -> int | None:
        """How many items a split has, for the progress bar; None where counting would mean reading everything."""

    def fingerprint(self) -> str:
        """Hex; changes when the source changes. Made of names and sizes (and contents where cheap), never of times."""


def read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_part(path: str, offset: int, size: int) -> bytes:
    """`size` bytes of a file from byte `offset` on."""
    # Opened anew each time: 20 µs, and no file is shared between threads.
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)


def fingerprint_files(paths: list[Path], first: int | None = 1 << 20) -> str:
    """sha256 over names, sizes and the first bytes (None: all) of the files that exist."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            digest.update(f"{path.name}\0{path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
            left = path.stat().st_size if first is None else first
            with path.open("rb") as file:
                while left > 0 and (block := file.read(min(left, 1 << 20))):
                    digest.update(block)
                    left -= len(block)
    return digest.hexdigest()


def is_image_name(name: str) -> bool:
    """Whether the ending of a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


ROWS = 4096
"""Rows of a table, or images of an array, that are one part."""


def blocks(number: int) -> list[range]:
    """`number` rows as stretches of ROWS."""
    return [range(start, min(start + ROWS, number)) for start in range(0, number, ROWS)]
