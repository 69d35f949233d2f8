"""One .npz file of images and labels (§2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from alexnet.data.sources.source import Item, Part, blocks, fingerprint_files
from alexnet.errors import InputError


@dataclass(frozen=True)
class Arrays:
    """uint8 images [N, H, W, 3] or [N, H, W] with integer labels [N], in memory."""

    path: Path
    arrays: dict[str, tuple[np.ndarray, np.ndarray]]
    classes: tuple[str, ...]
    default_size: int = 256

    @property
    def description(self) -> str:
        return f"arrays, {self.path.name}"

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    def items(self, split: str) -> Iterator[Item]:
        return chain.from_iterable(self.part(split, number) for number in range(len(self.parts(split))))

    def parts(self, split: str) -> tuple[Part, ...]:
        """Blocks of images."""
        return tuple(Part(None, len(rows)) for rows in blocks(self.count(split)))

    def part(self, split: str, number: int) -> Iterator[Item]:
        images, labels = self.arrays[split]
        for index in blocks(len(labels))[number]:
            yield Item(f"{split}/{index}", int(labels[index]), partial(images.__getitem__, index))

    def count(self, split: str) -> int:
        return len(self.arrays[split][1])

    def fingerprint(self) -> str:
        """sha256 over the whole file."""
        return fingerprint_files([self.path], first=None)


def open_arrays(path: Path) -> Arrays:
    """A .npz file with `images` and `labels`, or `train_images`, `train_labels`, `val_...`, `test_...`; and `classes`.

    images uint8 [N, H, W, 3] or [N, H, W] (grey); labels integers [N], 0 to K-1; classes K names (default "0", "1", ...).
    """
    if not is_zipfile(path):  # numpy would take it for a pickle, and say how to load one
        raise InputError(f"{path} cannot be read as .npz: make it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, numpy: many kinds
        raise InputError(f"{path} cannot be read as .npz: {error}") from None
    if "images" in content and "train_images" not in content:
        content["train_images"], content["train_labels"] = content["images"], content.get("labels", np.zeros(0))
    if "train_images" not in content:
        raise InputError(f"{path} needs arrays images and labels, or train_images and train_labels, ...")
    arrays = {}
    for split in ("train", "val", "test"):
        if f"{split}_images" in content:
            images, labels = content[f"{split}_images"], content.get(f"{split}_labels", np.zeros(0))
            _check_arrays(f"{path}, {split}", images, labels)
            arrays[split] = (images, labels.astype(np.int64))

    train_labels = arrays["train"][1]
    if "classes" in content:
        classes = tuple(str(name) for name in content["classes"].ravel())
    else:
        classes = tuple(str(number) for number in range(int(train_labels.max()) + 1))
    for split, (_, labels) in arrays.items():
        if labels.min() < 0 or labels.max() >= len(classes):
            raise InputError(
                f"{path}, {split}: labels go from {labels.min()} to {labels.max()}, but must lie in 0 to "
                f"{len(classes) - 1}, an index into the {len(classes)} classes"
            )
    empty = np.flatnonzero(np.bincount(train_labels, minlength=len(classes)) == 0)
    if len(empty):
        raise InputError(
            f"{path}: class {classes[empty[0]]} (label {empty[0]}) has no training image; labels begin at 0"
        )
    return Arrays(path, arrays, classes)


def _check_arrays(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    if images.dtype != np.uint8:
        raise InputError(f"{where}: images are {images.dtype}, must be uint8 (0 to 255)")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise InputError(f"{where}: images are {list(images.shape)}, must be [N, H, W, 3] or [N, H, W]")
    if images.size == 0:
        raise InputError(f"{where}: no images")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}, must be integers [{len(images)}], one per image"
        )
