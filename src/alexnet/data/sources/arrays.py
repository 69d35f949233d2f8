"""One .npz file of images and labels (§2)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo, is_zipfile

import numpy as np

from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import SPLITS, Item, Part, Source, blocks, fingerprint_files, parts_of_rows
from alexnet.errors import InputError
from alexnet.memory import memory_free
from alexnet.words import gigabytes, short


@dataclass(frozen=True)
class Arrays(Source):
    """uint8 images [N, H, W, 3] or [N, H, W] with integer labels [N] of each split, in memory."""

    path: Path
    arrays: dict[str, tuple[np.ndarray, np.ndarray]]

    def parts(self, split: str) -> tuple[Part, ...]:
        return parts_of_rows(len(self.arrays[split][1]))

    def part(self, split: str, number: int) -> Iterator[Item]:
        images, labels = self.arrays[split]
        for index in blocks(len(labels))[number]:
            yield Item(f"{split}/{index}", int(labels[index]), partial(images.__getitem__, index))

    def fingerprint(self) -> str:
        """sha256 over the whole file."""
        return fingerprint_files([self.path], first=None)


def open_arrays(path: Path) -> Arrays:
    """A .npz file with `images` and `labels`, or `train_images`, `train_labels`, `val_...`, `test_...`; and `classes`.

    `x_train`, `y_train` ... stand for the same. images uint8 [N, H, W, 3], or [N, H, W] or [N, H, W, 1] (grey); labels
    integers [N] or [N, 1], 0 to K-1; classes K names (default "0", "1", ...).
    Raises InputError for anything else, and for arrays that the memory has no room for.
    """
    if not is_zipfile(path):  # numpy would take it for a pickle, and say how to load one
        raise InputError(f"{path} cannot be read as .npz: make it with numpy.savez")
    try:
        with ZipFile(path) as file:
            content, passed = _read(path, file)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, numpy: many kinds
        reason = short(" ".join(str(error).split()), 200)
        raise InputError(f"{path} cannot be read as .npz: {reason}") from None
    if "train_images" not in content:
        raise InputError(
            f"{path} needs arrays images and labels, or train_images and train_labels, or x_train and y_train"
        )
    arrays = {}
    for split in dict.fromkeys(SPLITS.values()):
        if f"{split}_images" in content:
            images, labels = content[f"{split}_images"], content.get(f"{split}_labels", np.zeros(0))
            if images.ndim == 4 and images.shape[3] == 1:
                images = images[..., 0]
            if labels.ndim == 2 and labels.shape[1] == 1:  # as MedMNIST has them
                labels = labels[:, 0]
            _check_arrays(f"{path}, {split}", images, labels)
            arrays[split] = (images, labels.astype(np.int64))
    classes = _classes(path, {split: labels for split, (_, labels) in arrays.items()}, content.get("classes"))
    return Arrays(f"arrays, {path.name}", classes, tuple(arrays), path, arrays, passed=passed)


def _classes(path: Path, labels: dict[str, np.ndarray], names: np.ndarray | None) -> tuple[str, ...]:
    """The classes: `names`, or "0", "1", ... Raises InputError for labels outside them, and for one without images."""
    train = labels["train"]
    if names is not None:
        classes = tuple(str(name) for name in names.ravel())
    elif (largest := int(train.max())) < len(train):
        classes = tuple(map(str, range(largest + 1)))
    else:
        number = f"{len(train):,} training images"
        raise InputError(f"{path}: label {largest} with {number}: labels begin at 0, and each class has an image")
    for split, numbers in labels.items():
        if numbers.min() < 0 or numbers.max() >= len(classes):
            raise InputError(
                f"{path}, {split}: labels go from {numbers.min()} to {numbers.max()}, but must lie in 0 to "
                f"{len(classes) - 1}, an index into the {len(classes)} classes"
            )
    empty = np.flatnonzero(np.bincount(train, minlength=len(classes)) == 0)
    if len(empty):
        raise InputError(
            f"{path}: class {short(classes[empty[0]])} (label {empty[0]}) has no training image; labels begin at 0"
        )
    return classes


def _read(path: Path, file: ZipFile) -> tuple[dict[str, np.ndarray], PassedOver]:
    """The arrays that are wanted, by the names of `open_arrays`, and what else there is.

    What they declare is compared with what is there before memory is taken for it.
    """
    passed = PassedOver()
    wanted: dict[str, ZipInfo] = {}
    for info in file.infolist():
        name = info.filename.removesuffix(".npy")
        split, _, content = ("train_" + name if name in ("images", "labels") else name).rpartition("_")
        if split in ("x", "y"):  # x_train, y_train: as Keras names them
            split, content = content, {"x": "images", "y": "labels"}[split]
        if name != "classes" and (content not in ("images", "labels") or split.lower() not in SPLITS):
            passed.add("array", short(ascii(name)[1:-1], 30))
            continue
        key = name if name == "classes" else f"{SPLITS[split.lower()]}_{content}"
        if key in wanted:
            raise InputError(f"{path}: {wanted[key].filename} and {info.filename} are both {key}: leave one out")
        wanted[key] = info
    needed = sum(_declared(path, file, info) for info in wanted.values())
    free = memory_free()
    if free is not None and needed > free:
        raise InputError(
            f"{path} takes {gigabytes(needed)} of memory, and {gigabytes(free)} are free: give a folder of class folders"
        )
    arrays = {}
    for key, info in wanted.items():
        with file.open(info) as stream:
            arrays[key] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays, passed


def _declared(path: Path, file: ZipFile, info: ZipInfo) -> int:
    """Bytes that an array takes, by its header. Raises InputError where the file cannot have so many."""
    where = f"{path} cannot be read as .npz: {short(info.filename)}"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise InputError(f"{where} is compressed in another way than numpy does")
    with file.open(info) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):  # later forms are for columns with names
            raise InputError(f"{where} is no plain array")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        length, least = math.prod(shape) * dtype.itemsize, stream.tell()
    # Deflate makes at most 1,032 bytes of one.
    most = min(info.file_size, info.compress_size * (1032 if info.compress_type == ZIP_DEFLATED else 1)) - least
    if length > max(0, most):
        raise InputError(f"{where} declares {list(shape)} of {dtype}, {gigabytes(length)}, and has {gigabytes(most)}")
    return length


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
