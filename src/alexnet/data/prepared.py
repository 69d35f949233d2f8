"""A prepared dataset on disk: open, check, describe. docs/architecture.md says which files it has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from alexnet.data import jpegs, stored
from alexnet.data import manifest as manifests
from alexnet.data.jpegs import JpegImages
from alexnet.data.manifest import VERSIONS
from alexnet.data.sources.passed import PassedOver
from alexnet.data.statistics import LARGEST, read_colour, read_mean
from alexnet.data.stored import Chunks, RawImages, StoredImages
from alexnet.errors import InputError
from alexnet.reading import ByPosition, read_bytes

BLOCK = 1 << 24
"""Bytes of a file that are read at a time."""

SAMPLED_CLASSES = 1000
"""The most classes of a contact sheet: an image of each of 22,000 would be gigabytes, and no sheet to look at."""


def encode_name(name: str) -> bytes:
    r"""A name as one line of files.txt; a line break inside it becomes \n, two letters."""
    return name.replace("\n", "\\n").encode("utf-8", "surrogateescape")


class Names(Sequence[str]):
    """The lines of files.txt, read one at a time."""

    def __init__(self, path: Path) -> None:
        self._file = ByPosition(path)
        ends = [np.zeros(1, np.int64)]
        for start in range(0, self._file.size, BLOCK):
            block = self._file.read(start, min(start + BLOCK, self._file.size))
            ends.append(np.flatnonzero(block == ord("\n")) + start + 1)
        self._ends = np.concatenate(ends)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def stored(self, start: int, stop: int) -> np.ndarray:
        """The lines from `start` to `stop`, as they lie on the disk."""
        return self._file.read(int(self._ends[start]), int(self._ends[stop]))

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self.stored(index, index + 1)[:-1].tobytes().decode("utf-8", "surrogateescape")


class Images(Protocol):
    """uint8 [N, S, S, 3], an array or whatever else can be indexed like one: `RawImages`, `JpegImages`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

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


@dataclass(frozen=True)
class _Files:
    """The open files of a split, and the image after each of its chunks, int64."""

    name: str
    images: StoredImages
    labels: np.ndarray
    names: Names
    ends: np.ndarray


class Prepared:
    """An open prepared dataset.

    `size` is the images' side; `mean` the mean training image, float32 [size, size, 3]; `covariance`, `eigenvalues` and
    `eigenvectors` are of the training pixels' RGB, float64. Pixels are on the scale 0-255.
    """

    def __init__(self, path: Path, manifest: dict) -> None:
        self.path, self.manifest = path, manifest
        self.size: int = manifest["size"]
        self.store: str = manifest.get("store", "raw")
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.splits: tuple[str, ...] = tuple(manifest["splits"])
        self.mean = read_mean(self._statistics("mean.npy"), path / "mean.npy")
        if len(self.mean) != self.size:
            raise InputError(f"{path / 'mean.npy'} is {list(self.mean.shape)}, the images are of {self.size}")
        colour = read_colour(self._statistics("colour.json"), path / "colour.json")
        self.covariance, self.eigenvalues, self.eigenvectors = colour
        self._split: dict[str, Split] = {}
        self._pixels = jpegs.PIXELS if self.store == "jpeg" else stored.PIXELS
        self._mend = f"delete {path} and run `alexnet prepare SOURCE {path}` again"

    def _statistics(self, name: str) -> bytes:
        """The contents of a file of statistics; InputError, without a fix, if it was changed since it was written."""
        content = read_bytes(self.path / name, LARGEST)
        if hashlib.sha256(content).hexdigest() != self.manifest["statistics"][name]:
            raise InputError(f"{self.path / name} has changed since it was written")
        return content

    def split(self, name: str) -> Split:
        """The split of that name, opened once; "val" gives "test" where there is a test split only. Raises InputError.

        Reading `images` raises it too, naming them, where they, their labels or names are others than were written: each
        chunk is compared with its checksum once (`stored.Chunks`).
        """
        if name == "val" and "val" not in self.splits and "test" in self.splits:
            name = "test"
        if name not in self.splits:
            raise InputError(f"{self.path} has no split {name!r}; it has {', '.join(self.splits)}")
        if name not in self._split:
            files = self._opened(name)
            image_bytes = files.images.file.size / max(len(files.images), 1)
            compared = np.zeros(len(files.ends), np.bool_)
            files.images.chunks = Chunks(files.ends, image_bytes, partial(self._compare, files), compared)
            self._split[name] = Split(name, files.images, files.labels, self.classes, files.names)
        return self._split[name]

    def _opened(self, name: str) -> _Files:
        """Opens the files of a split and checks their lengths and counts, and no checksum yet."""
        folder, facts = self.path / name, self.manifest["splits"][name]
        number, labels_bytes = facts["images"], 4 * facts["images"]
        for file in (self._pixels, "labels.bin", "files.txt", *([jpegs.OFFSETS] if self.store == "jpeg" else [])):
            if not (folder / file).is_file():
                raise InputError(f"{folder / file} is missing: {self._mend}")
        try:
            images = (JpegImages if self.store == "jpeg" else RawImages)(folder, number, self.size)
            labels = np.frombuffer(read_bytes(folder / "labels.bin", labels_bytes), "<i4").astype(np.int64)
            if len(labels) != number:
                raise ValueError(f"labels.bin has {4 * len(labels):,} bytes, not {labels_bytes:,}")
            names = Names(folder / "files.txt")
        except (FileNotFoundError, ValueError) as error:  # another OSError, as of no memory, is no damage
            raise InputError(f"{folder} is damaged ({error}): {self._mend}") from None
        if len(names) != number:
            raise InputError(f"{folder / 'files.txt'} has {len(names):,} lines, not {number:,}: {self._mend}")
        if number and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise InputError(f"{folder / 'labels.bin'} has labels outside 0 to {len(self.classes) - 1}: {self._mend}")
        if np.bincount(labels, minlength=len(self.classes)).tolist() != facts["per_class"]:
            raise InputError(f"{folder / 'labels.bin'} has other counts per class than the manifest: {self._mend}")
        ends = np.cumsum([chunk["images"] for chunk in facts["checksums"]], dtype=np.int64)
        return _Files(name, images, labels, names, ends)

    def _compare(self, files: _Files, chunk: int) -> None:
        """Raises InputError if a chunk of a split differs from its checksum."""
        images, start, stop = files.images, int(files.ends[chunk - 1]) if chunk else 0, int(files.ends[chunk])
        digest = hashlib.sha256()
        begin, end = images.place_of(start, stop)
        for place in range(begin, end, BLOCK):
            digest.update(images.file.read(place, min(place + BLOCK, end)).data)
        if isinstance(images, JpegImages):
            digest.update(images.ends[start:stop].data)
        digest.update(files.labels[start:stop].astype("<i4").data)
        digest.update(files.names.stored(start, stop).data)
        if digest.hexdigest() != self.manifest["splits"][files.name]["checksums"][chunk]["sha256"]:
            raise InputError(
                f"{self.path / files.name}: images {start} to {stop - 1} ({self._pixels}), their labels or names have"
                f" changed since they were written: {self._mend}"
            )

    @property
    def passed_over(self) -> PassedOver:
        """Counts of what lay in its source and was no image of it."""
        return PassedOver(self.manifest.get("passed_over", {}))

    @property
    def image_bytes(self) -> int:
        """Bytes of the images of all splits on disk."""
        files = [self.path / name / self._pixels for name in self.splits]
        return sum(file.stat().st_size for file in files if file.is_file())

    def check(self) -> list[str]:
        """The problems of its files, a line each; [] where all is well. Reads everything once (checksums)."""
        problems = []
        for name in self.manifest["statistics"]:
            try:
                self._statistics(name)
            except InputError as problem:
                problems.append(f"{problem}: {self._mend}")
        for name in self.splits:
            try:
                files = self._opened(name)
            except InputError as problem:
                problems.append(str(problem))
                continue
            for chunk in range(len(files.ends)):
                try:
                    self._compare(files, chunk)
                except InputError as problem:
                    problems.append(str(problem))
        return problems

    def to_dict(self) -> dict[str, Any]:
        """The result of `alexnet prepare`: classes, images and skipped files, of each split and of all together."""
        splits = {
            name: {"images": facts["images"], "skipped": facts["skipped"], "classes": list(self.classes)}
            for name, facts in self.manifest["splits"].items()
        }
        return {
            "path": str(self.path),
            "size": self.size,
            "classes": list(self.classes),
            "passed_over": self.passed_over.to_json(),
            "images": sum(split["images"] for split in splits.values()),
            "skipped": [item for split in splits.values() for item in split["skipped"]],
            "splits": splits,
            **splits,
        }

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
            "passed_over": self.passed_over.to_json(),
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
        classes = _by_class(whole.labels, len(self.classes))[:: -(-len(self.classes) // SAMPLED_CLASSES)]
        indices = np.concatenate([np.sort(random.permutation(members)[:k_per_class]) for members in classes])
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
        manifest = manifests.read(path / "manifest.json")
        if manifest.get("version") in VERSIONS.values():
            return Prepared(path, manifest)
    except (FileNotFoundError, ValueError) as error:
        mend = f"delete it and run `alexnet prepare SOURCE {path}` again"
        raise InputError(f"{path} is damaged ({error}): {mend}") from None
    version, readable = manifest.get("version"), " and ".join(map(str, VERSIONS.values()))
    raise InputError(f"{path} has format version {version!r:.20}, this program reads {readable}: prepare it again")


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
    for members in _by_class(labels, int(labels.max(initial=-1)) + 1):
        if len(members):
            number = min(max(round(share * len(members)), 1), len(members) - 1)
            validation.append(random.permutation(members)[:number])
    held = np.sort(np.concatenate(validation)) if validation else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held
