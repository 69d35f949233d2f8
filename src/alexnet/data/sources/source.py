"""The base class of sources of labelled images, with their items and parts, and checks that they share (§2)."""

import hashlib
import os
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from alexnet.data.sources.passed import PassedOver
from alexnet.errors import InputError
from alexnet.words import gigabytes, short

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders, tables and lists, in small letters -> the three splits."""


def order_of_split(name: str) -> int:
    """The place of a name among SPLITS, or behind them: a key to sort by."""
    return list(SPLITS).index(name.lower()) if name.lower() in SPLITS else len(SPLITS)


GENERAL = (
    *("set", "data", "dataset", "split", "my", "image", "images", "img", "imgs", "photos", "pictures"),
    *("folder", "dir", "directory", "files"),
)
"""Words beside which train, val and test mean a split, and not something in the picture."""
_COMPOUND = re.compile(f"({'|'.join(GENERAL)})?({'|'.join(SPLITS)})({'|'.join(GENERAL)})?")

LISTS = (".csv", ".tsv", ".json", ".txt")
"""Endings of lists of images and their labels."""

LARGEST_FILE = 600_000_000
"""Bytes of the largest image file that is read: the most pixels that are taken (image.py), uncompressed, are 537 MB."""
MOST_CLASSES = 100_000
"""Class numbers from here on are believed only where there are as many images; Fall 2011 has 22,000 classes."""
LONGEST_NAME = 1000
"""Letters of the longest class name that is believed."""

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"

KINDS = "give a folder of class folders; alexnet prepare --help lists what else it takes"
"""The fix where there is no source."""


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

    label: int | None = None  # of all its images; None: of several classes
    items: int | None = None  # how many; None where only going through it tells


@dataclass(frozen=True)
class Source(ABC):
    """Labelled images, always in the same order, and never a whole listing of them in memory.

    A source of your own needs two methods, `part` and `fingerprint`, and is passed to `prepare` as those here are:

        class Shapes(Source):
            def part(self, split, number):
                for index in range(100):
                    yield Item(f"{index}.png", index % 2, partial(draw, index))

            def fingerprint(self):
                return "shapes, second edition"

        prepare(Shapes("drawn shapes", ("circle", "square"), ("train",)), Path("data/shapes"))
    """

    description: str
    """One line for people."""
    classes: tuple[str, ...]
    """Names in the order of the labels."""
    splits: tuple[str, ...]
    """("train",), and "val" or "test" or both where the source has them."""
    default_size: int = field(default=256, kw_only=True)
    """Side of the prepared images where nobody says otherwise."""
    folders: dict[str, Path] = field(default_factory=dict, kw_only=True)
    """Split -> the folder whose folders are the classes, where that is so; nothing may be written into it."""
    passed: PassedOver = field(default_factory=PassedOver, kw_only=True)
    """The part of `passed_over` that was known when the source was opened."""

    @abstractmethod
    def part(self, split: str, number: int) -> Iterator[Item]:
        """The items of one of `parts`, lazily. Raises InputError for what only reading shows, such as a cut-off archive."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A text that changes when the source changes. Made of names and sizes (contents where cheap), never of times."""

    @property
    def passed_over(self) -> PassedOver:
        """Counts of what lies in the source and is no image of it; may go through all of it."""
        return self.passed

    def parts(self, split: str) -> tuple[Part, ...]:
        """The stretches that the items of a split come in, in their order; one by default."""
        return (Part(),)

    def items(self, split: str) -> Iterator[Item]:
        """The images of a split, lazily, one part after the other."""
        return chain.from_iterable(self.part(split, number) for number in range(len(self.parts(split))))

    def count(self, split: str) -> int | None:
        """The number of items of a split; None where counting would mean reading everything."""
        numbers = [part.items for part in self.parts(split)]
        return None if None in numbers else sum(number or 0 for number in numbers)


ROWS = 4096
"""Rows of a table, or images of an array, that are one part."""


def blocks(number: int) -> list[range]:
    """`number` rows as stretches of ROWS."""
    return [range(start, min(start + ROWS, number)) for start in range(0, number, ROWS)]


def parts_of_rows(number: int) -> tuple[Part, ...]:
    """The parts of a split of `number` rows."""
    return tuple(Part(None, len(rows)) for rows in blocks(number))


def read_file(path: str, offset: int = 0, size: int | None = None) -> bytes:
    """`size` bytes (None: all) of an image file from byte `offset` on, fewer where it ends before.

    OSError for more than LARGEST_FILE, and for what is no file: a pipe or /dev/zero never ends.
    """
    about = os.stat(path)  # before it is opened: that alone waits, at a pipe
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError("a folder")
    if not stat.S_ISREG(about.st_mode):
        raise OSError("a pipe or a device, not a file")
    size = about.st_size if size is None else size
    if size > LARGEST_FILE:
        raise OSError(f"{gigabytes(size)}, more than the {gigabytes(LARGEST_FILE)} that an image file may have")
    # Opened anew each time: 20 µs, and no file is shared between threads.
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(max(0, min(size, about.st_size - offset)))  # what is asked for is set aside before it is read


def size_of(path: str) -> int:
    """Bytes of an image file, for a fingerprint; -1 where it is not there: it will be among the skipped."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


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


def words(name: str) -> list[str]:
    """The words of a name in small letters, a split's apart from a general one: my, train, set of my_trainset2."""
    parts: list[str] = []
    for word in re.findall("[a-z]+", name.lower()):
        compound = _COMPOUND.fullmatch(word)
        parts += [part for part in compound.groups() if part] if compound else [word]
    return parts


def split_word(name: str) -> str | None:
    """The first word of a name that is a split's: "test" of test-set, "val" of my_val2; None where there is none."""
    return next((word for word in words(name) if word in SPLITS), None)


def only_class(name: str) -> str:
    """The message for images of one class."""
    return f"there is only one class, {name}: nothing to tell apart"


def check_classes(where: object, classes: Sequence[str], fix: str = "add the images of another class") -> None:
    """Raises InputError where the names of the classes of `where` make no set that a network can learn."""
    for name in classes:
        try:
            name.encode()  # they go into JSON, HTML and pictures
        except UnicodeEncodeError:
            raise InputError(f"{where}: the name of class {ascii(short(name))} must be UTF-8: rename it") from None
        if len(name) > LONGEST_NAME:
            raise InputError(f"{where}: a class name has {len(name):,} letters ({short(name)}): give it a shorter one")
    if len(set(classes)) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise InputError(f"{where}: two classes are called {short(twice)}: rename one")
    if len(classes) == 1:
        raise InputError(f"{where}: {only_class(short(classes[0]))}: {fix}")


def check_numbers(where: object, largest: int, images: int) -> None:
    """Raises InputError for a class number that nobody means: memory is taken for every class up to the largest."""
    if largest >= max(images, MOST_CLASSES):
        raise InputError(
            f"{where}: label {largest} with {images:,} images: labels are class numbers from 0 on, "
            f"below {max(images, MOST_CLASSES):,} here"
        )
