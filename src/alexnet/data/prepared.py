"""A prepared dataset on disk: open, check, describe.

DEST/manifest.json            version, store, source, size, classes, splits (counts, skipped files, checksums); written last
DEST/<split>/images.bin       store raw: uint8 [N, size, size, 3], RGB
DEST/<split>/jpegs.bin        store jpeg: the images as JPEGs, one after another
DEST/<split>/offsets.bin      store jpeg: int64 [N], little-endian: where each JPEG ends (the first begins at 0)
DEST/<split>/labels.bin       int32 [N], little-endian
DEST/<split>/files.txt        the source's name of each image, one a line
DEST/mean.npy                 float32 [size, size, 3], the mean training image, 0-255
DEST/colour.json              covariance of the training pixels' RGB, 0-255, its eigenvalues and eigenvectors
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from alexnet.data import jpegs
from alexnet.data.jpegs import JpegImages
from alexnet.errors import InputError

VERSIONS = {"raw": 1, "jpeg": 2}
"""Of the format, by store. Sets of version 1 that were written before there were two say nothing of a store."""


SAMPLED_CLASSES = 1000
"""At most, of a contact sheet."""


def encode_name(name: str) -> bytes:
    r"""A name as one line of files.txt; a line break inside it becomes \n, two letters."""
    return name.replace("\n", "\\n").encode("utf-8", "surrogateescape")


class Names(Sequence[str]):
    """The lines of files.txt, read one at a time."""

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        self._ends = np.flatnonzero(self._bytes == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = self._ends[index - 1] + 1 if index else 0
        return self._bytes[start : self._ends[index]].tobytes().decode("utf-8", "surrogateescape")


class Images(Protocol):
    """What the images of a split can be asked, whichever way they are stored: numpy's memory map, or `JpegImages`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)"""

    @property
    def dtype(self) -> np.dtype:
        """uint8"""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """A number, a slice or an array of numbers -> uint8 [..., S, S, 3]."""


@dataclass(frozen=True)
class Split:
    """images uint8 [N, S, S, 3], to be indexed; labels int64 [N]; files: the source's name of each image."""

    name: str
    images: Images
    labels: np.ndarray
    classes: tuple[str, ...]
    files: Sequence[str]


class Prepared:
    """An open prepared dataset; see the module for what it holds."""

    def __init__(self, path: Path, manifest: dict) -> None:
        self.path = path
        self.manifest = manifest
        self.size: int = manifest["size"]
        self.store: str = manifest.get("store", "raw")
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.splits: tuple[str, ...] = tuple(manifest["splits"])
        self.mean: np.ndarray = np.load(path / "mean.npy", allow_pickle=False)
        colour = json.loads((path / "colour.json").read_text())
        self.covariance = np.array(colour["covariance"])
        self.eigenvalues = np.array(colour["eigenvalues"])
        self.eigenvectors = np.array(colour["eigenvectors"])

    def split(self, name: str) -> Split:
        """The split of that name; "val" gives "test" where there is a test split only. Raises InputError."""
        if name == "val" and "val" not in self.splits and "test" in self.splits:
            name = "test"
        if name not in self.splits:
            raise InputError(f"{self.path} has no split {name!r}; it has {', '.join(self.splits)}")
        folder, images = self.path / name, self.manifest["splits"][name]["images"]
        try:
            pixels: Images
            if self.store == "jpeg":
                pixels = JpegImages(folder, images, self.size)
            else:
                pixels = np.memmap(folder / "images.bin", np.uint8, "r", shape=(images, self.size, self.size, 3))
            labels = np.fromfile(folder / "labels.bin", "<i4").astype(np.int64)
            files = Names(folder / "files.txt")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} is damaged ({error}): {self._mend}") from None
        return Split(name, pixels, labels, self.classes, files)

    @property
    def image_bytes(self) -> int:
        """What the images of all splits take on disk."""
        files = [self.path / name / self._pixels for name in self.splits]
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def _pixels(self) -> str:
        return jpegs.PIXELS if self.store == "jpeg" else "images.bin"

    @property
    def _mend(self) -> str:
        return f"delete {self.path} and run `alexnet prepare SOURCE {self.path}` again"

    def check(self) -> list[str]:
        """What is wrong with the files, one line each; [] where all is well. Reads everything once (checksums)."""
        problems = []
        for name, expected in self.manifest["statistics"].items():
            if hashlib.sha256((self.path / name).read_bytes()).hexdigest() != expected:
                problems.append(f"{self.path / name} has changed since it was written: {self._mend}")
        for name in self.splits:
            problems += self._check_split(name)
        return problems

    def _check_split(self, name: str) -> list[str]:
        facts, folder = self.manifest["splits"][name], self.path / name
        images = facts["images"]
        lengths = {"labels.bin": images * 4, "files.txt": None}
        if self.store == "jpeg":
            lengths = {jpegs.OFFSETS: images * 8, jpegs.PIXELS: None, **lengths}
        else:
            lengths = {"images.bin": images * self.size * self.size * 3, **lengths}
        for file, length in lengths.items():
            if not (folder / file).is_file():
                return [f"{folder / file} is missing: {self._mend}"]
            size = (folder / file).stat().st_size
            if length is not None and size != length:
                return [f"{folder / file} has {size:,} bytes, not {length:,}: {self._mend}"]
        try:
            split = self.split(name)
        except InputError as problem:
            return [str(problem)]
        if len(split.files) != images:
            return [f"{folder / 'files.txt'} has {len(split.files):,} lines, not {images:,}: {self._mend}"]

        problems = []
        if split.labels.min() < 0 or split.labels.max() >= len(self.classes):
            problems.append(f"{folder / 'labels.bin'} has labels outside 0 to {len(self.classes) - 1}: {self._mend}")
        elif np.bincount(split.labels, minlength=len(self.classes)).tolist() != facts["per_class"]:
            problems.append(f"{folder / 'labels.bin'} has other counts per class than the manifest: {self._mend}")
        start = 0
        for chunk in facts["checksums"]:
            end = start + chunk["images"]
            if isinstance(split.images, JpegImages):
                digest = hashlib.sha256(split.images.stored(start, end).data)
                digest.update(split.images.ends[start:end].data)
            else:
                digest = hashlib.sha256(split.images[start:end].data)
            digest.update(split.labels[start:end].astype("<i4").tobytes())
            digest.update(b"".join(encode_name(file) + b"\n" for file in split.files[start:end]))
            if digest.hexdigest() != chunk["sha256"]:
                problems.append(
                    f"{folder}: images {start} to {end - 1} have changed since they were written: {self._mend}"
                )
            start = end
        return problems

    def describe(self) -> dict[str, Any]:
        """Counts, skipped files, colours and size on disk, in plain types that JSON takes."""
        return {
            "path": str(self.path),
            "source": self.manifest["source"]["description"],
            "size": self.size,
            "store": self.store,
            "quality": self.manifest.get("quality"),
            "classes": list(self.classes),
            "splits": {
                name: {
                    "images": facts["images"],
                    "skipped": facts["skipped"],
                    "per_class": dict(zip(self.classes, facts["per_class"], strict=True)),
                }
                for name, facts in self.manifest["splits"].items()
            },
            "mean_colour": self.mean.mean(axis=(0, 1), dtype=np.float64).tolist(),
            "eigenvalues": self.eigenvalues.tolist(),
            "eigenvalue_roots": np.sqrt(self.eigenvalues).tolist(),  # of which §4.1's colour noise is a tenth
            "eigenvectors": self.eigenvectors.tolist(),
            "bytes": sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file()),
        }

    def sample(self, split: str, k_per_class: int, seed: int = 0) -> Split:
        """Up to `k_per_class` random images of each class, in the order of the labels, for a contact sheet.

        Of more than SAMPLED_CLASSES classes every second, third ... is taken.
        """
        whole, random = self.split(split), np.random.default_rng(seed)
        of_classes = _by_class(whole.labels, len(self.classes))
        # Of 22,000 classes an image each would be gigabytes, and no sheet that anybody can look at.
        of_classes = of_classes[:: -(-len(of_classes) // SAMPLED_CLASSES)]
        indices = np.concatenate([np.sort(random.permutation(of_class)[:k_per_class]) for of_class in of_classes])
        files = [whole.files[index] for index in indices]
        return Split(whole.name, whole.images[indices], whole.labels[indices], self.classes, files)


def open(path: Path | str) -> Prepared:  # read as prepared.open(...)
    """Opens a prepared dataset. Raises InputError where there is none, or one that is not finished, with the mending."""
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path} is no folder: make a prepared dataset with `alexnet prepare SOURCE {path}`")
    if not (path / "manifest.json").is_file():
        if (path / "begun.json").exists():
            raise InputError(f"{path} is not finished: run the same `alexnet prepare SOURCE {path}` again, it goes on")
        raise InputError(f"{path} is no prepared dataset: make one with `alexnet prepare SOURCE DEST`")
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        version = manifest["version"]
        if version in VERSIONS.values():
            return Prepared(path, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}): delete it and run `alexnet prepare` again"
        ) from None
    known = " and ".join(str(version) for version in VERSIONS.values())
    raise InputError(f"{path} has format version {version}, this program reads {known}: prepare it again")


def _by_class(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """The indices of each class's images, ascending. One sort: looking for each class among all takes hours at 22,000."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))[:classes]


def hold_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits images into training and validation -> (train indices, validation indices), int64, sorted, disjoint.

    Of each class, `share` (over 0, under 1) goes to validation, rounded, at least one image and never all: a class with
    one image keeps it for training. The same labels, share and seed give the same split.
    """
    if not 0 < share < 1:
        raise InputError(f"the share held out for validation is {share}, but must lie between 0 and 1")
    random = np.random.default_rng(seed)
    validation: list[np.ndarray] = []
    for of_class in _by_class(labels, int(labels.max(initial=-1)) + 1):
        if not len(of_class):
            continue
        of_class = random.permutation(of_class)
        number = min(max(round(share * len(of_class)), 1), len(of_class) - 1)
        validation.append(of_class[:number])
    held = np.sort(np.concatenate(validation)) if validation else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held
