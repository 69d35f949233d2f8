"""Where labelled images come from (§2): anything with classes, splits and an ordered stream of items.

A folder of class folders, ILSVRC-2012 (its three archives as they are, or unpacked), one tar per class (a folder of
them, or one tar of them, as Fall 2011 comes), a Hugging Face dataset by name or as parquet files, one .npz file of
arrays, and the built-in photographs (builtin.py). `open_source` tells which, `choose` leaves classes out.
"""

import difflib
import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from zipfile import is_zipfile

import numpy as np

from alexnet.errors import InputError

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


def open_source(text: str) -> Source:
    """The source that `text` names; see KINDS. Raises InputError where there is none, or it lacks something."""
    if text == "builtin":
        from alexnet.data.builtin import Photographs

        return Photographs()
    if text.startswith("hf:"):
        return open_hub(text[3:])
    path = Path(text).expanduser()
    if path.is_dir():
        if any((path / name).exists() for name in (TRAIN_TAR, VAL_TAR)):
            return open_archives(path)
        if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
            return open_parquet(path)
        if any(path.glob("*.tar")) and not subfolders(path):
            return open_tars(path)
        return open_folder(path)
    if path.is_file() and path.suffix == ".npz":
        return open_arrays(path)
    if path.is_file() and path.suffix == ".parquet":
        return open_parquet(path)
    if path.is_file() and path.suffix == ".tar" and path.name not in (TRAIN_TAR, VAL_TAR):
        return open_tars(path)
    if path.is_file():
        more = " (for an archive of ILSVRC-2012, give the folder that holds it)" if ".tar" in path.name else ""
        raise InputError(f"{text} is a file of no known kind{more}. {KINDS}")
    raise InputError(f"{text} does not exist. {KINDS}")


# ---------------------------------------------------------------- a folder of class folders


def read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def subfolders(folder: Path) -> list[str]:
    """Names of the visible folders in `folder` (links to folders too), sorted."""
    return sorted(name for name, entry in _visible(str(folder)) if entry.is_dir())


def _visible(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                ((entry.name, entry) for entry in entries if not entry.name.startswith(".")), key=lambda pair: pair[0]
            )
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def image_files(
    folder: str, prefix: str, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(prefix/name, entry) of all visible image files in `folder` and below, sorted by name within each folder.

    Other files (Thumbs.db, README.txt) are none of ours. `above` are the folders around this one: a link back to one of
    them would never end. Holds one folder's listing per level.
    """
    status = os.stat(folder)
    here = above | {(status.st_dev, status.st_ino)}
    for name, entry in _visible(folder):
        if entry.is_dir():
            inside = entry.stat()
            if (inside.st_dev, inside.st_ino) not in here:
                yield from image_files(entry.path, f"{prefix}/{name}", here)
        # A dangling link is listed, so that it shows up among the skipped; a pipe is not: reading one may never end.
        elif _is_image_name(name) and (entry.is_file() or entry.is_symlink()):
            yield f"{prefix}/{name}", entry


@dataclass(frozen=True)
class ClassFolders:
    """A folder with one folder of images per class, in splits or not; the labels follow the sorted folder names."""

    root: Path
    folders: dict[str, Path]  # split -> the folder that holds its class folders
    folder_names: tuple[str, ...]  # in label order
    classes: tuple[str, ...]
    truth: "Truth | None" = None  # where val/ is ILSVRC's flat one
    default_size: int = 256

    @property
    def description(self) -> str:
        return f"folder of class folders, {self.root.resolve().name}/"

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.folders)

    def _flat(self, split: str) -> bool:
        return split == "val" and self.truth is not None

    def _entries(self, split: str, number: int) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
        folder = self.folders[split]
        if self._flat(split):
            assert self.truth is not None
            for name, entry in image_files(str(folder), folder.name):
                yield name, self.truth.label(name), entry
            return
        prefix, class_folder = "" if folder == self.root else f"{folder.name}/", self.folder_names[number]
        if (folder / class_folder).is_dir():
            for name, entry in image_files(str(folder / class_folder), prefix + class_folder):
                yield name, number, entry

    def items(self, split: str) -> Iterator[Item]:
        return chain.from_iterable(self.part(split, number) for number in range(len(self.parts(split))))

    def parts(self, split: str) -> tuple[Part, ...]:
        counts = self._survey[0][split]
        return tuple(Part(None if self._flat(split) else label, items) for label, items in enumerate(counts))

    def part(self, split: str, number: int) -> Iterator[Item]:
        for name, label, entry in self._entries(split, number):
            yield Item(name, label, partial(read_file, entry.path))

    @cached_property
    def _survey(self) -> tuple[dict[str, list[int]], str]:
        """Items of each part of each split, and the fingerprint; goes through all folders once."""
        counts: dict[str, list[int]] = {}
        digest = hashlib.sha256(repr(self.classes).encode("utf-8", "surrogateescape"))
        for split in self.splits:
            counts[split] = [0] * (1 if self._flat(split) else len(self.folder_names))
            for number in range(len(counts[split])):
                for name, label, entry in self._entries(split, number):
                    try:
                        size = entry.stat().st_size
                    except OSError:  # a dangling link
                        size = -1
                    counts[split][number] += 1
                    digest.update(f"{split}\0{name}\0{label}\0{size}\n".encode("utf-8", "surrogateescape"))
        return counts, digest.hexdigest()

    def count(self, split: str) -> int:
        return sum(self._survey[0][split])

    def fingerprint(self) -> str:
        """sha256 over classes, names and sizes of all images."""
        return self._survey[1]


def open_folder(root: Path) -> ClassFolders:
    """A folder of class folders, or ILSVRC-2012 unpacked: train/ in class folders, val/ flat, and the devkit."""
    names = subfolders(root)
    # A class may be called "train" too; it has images in it, not class folders.
    if "train" in names and subfolders(root / "train"):
        folders = {"train": root / "train"}
        for name in ("val", "valid", "validation", "test"):
            if name in names:
                folders.setdefault(SPLITS[name], root / name)
    elif names and set(names) <= set(SPLITS):
        raise InputError(f"{root} has {', '.join(names)} but no train/ with class folders in it")
    else:
        folders = {"train": root}

    class_folders = subfolders(folders["train"])
    if not class_folders:
        if any(_is_image_name(name) for name, _ in _visible(str(root))):
            raise InputError(f"{root} has images but no class folders: put them into one folder per class")
        raise InputError(f"{root} has no images in it. {KINDS}")
    for name in class_folders:
        folder = folders["train"] / name
        try:
            name.encode()  # the names of classes go into JSON, HTML and pictures
        except UnicodeEncodeError:
            raise InputError(f"{ascii(str(folder))}: the name of a class folder must be UTF-8: rename it") from None
        if "train" in subfolders(folder) and subfolders(folder / "train"):
            raise InputError(f"{root} has no class folders, but {folder} looks like a dataset: give that folder")
        if next(image_files(str(folder), name), None) is None:
            raise InputError(f"{folder}, a class folder, has no images in it: fill it or remove it")

    truth, classes = None, tuple(class_folders)
    for split in list(folders)[1:]:
        folder = folders[split]
        extra = sorted(set(subfolders(folder)) - set(class_folders))
        if extra:
            raise InputError(
                f"{folder / extra[0]} is a class folder that {folders['train']} does not have: "
                "give it the same name in both (letter case counts), or remove it"
            )
        if next(image_files(str(folder), ""), None) is None:
            raise InputError(f"{folder} has no images in it: fill it or remove it")
        if subfolders(folder):
            continue
        devkit = read_devkit(root) if split == "val" else None
        if split == "test" and "val" in folders:
            del folders[split]  # ILSVRC's test images, which have no public labels
        elif devkit is None:
            raise InputError(
                f"{folder} has images but no class folders: put them into one folder per class; if it is the flat "
                f"val/ of ILSVRC-2012, its labels are in {DEVKIT}.tar.gz, which belongs into {root}"
            )
        else:
            truth = devkit.truth_for(class_folders)
            classes = devkit.class_names(class_folders)
    return ClassFolders(root, folders, tuple(class_folders), classes, truth)


# ---------------------------------------------------------------- ILSVRC-2012 as its archives, Fall 2011


@dataclass(frozen=True)
class Truth:
    """Labels of ILSVRC2012_val_00000001, 00000002, ... (by the number in the name, not by position)."""

    labels: np.ndarray

    def label(self, name: str) -> int:
        number = re.search(r"_(\d+)\.\w+$", name)
        if number is None or not 1 <= int(number[1]) <= len(self.labels):
            raise InputError(
                f"{name}: not one of ILSVRC2012_val_00000001.JPEG to {len(self.labels):08}, which the devkit has labels for"
            )
        return int(self.labels[int(number[1]) - 1])


@dataclass(frozen=True)
class Devkit:
    """What the development kit says of the classes: those synsets of meta.mat that have no children.

    Its ids 1..1000 are *not* the order of the sorted WordNet ids, which is the order of the labels here as everywhere.
    """

    wnid_of_id: dict[int, str]
    words: dict[str, str]  # WordNet id -> the first of its words
    train_images: dict[str, int]
    truth: list[int]  # ids of ILSVRC2012_val_00000001, ...

    def class_names(self, wnids: list[str]) -> tuple[str, ...]:
        """ "n01440764 tench": unique and in the same order as the WordNet ids ("crane" alone is two classes)."""
        return tuple(f"{wnid} {self.words[wnid]}" if wnid in self.words else wnid for wnid in wnids)

    def truth_for(self, wnids: list[str]) -> Truth:
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        try:
            of_id = {id: label_of[self.wnid_of_id[id]] for id in set(self.truth)}
        except KeyError as error:
            raise InputError(
                f"the training images lack class {error.args[0]}, which the validation images have: is the download whole?"
            ) from None
        return Truth(np.array([of_id[id] for id in self.truth], np.int32))


def read_devkit(root: Path) -> Devkit | None:
    """The devkit in `root`, packed or unpacked; None where there is none. Raises InputError for a damaged one."""
    names = ("data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt")
    archive, folder = root / f"{DEVKIT}.tar.gz", root / DEVKIT
    found: dict[str, bytes] = {}
    if archive.is_file():
        try:
            with tarfile.open(archive, "r:*") as tar:
                for member in tar:
                    name = next((name for name in names if member.name.endswith(name)), None)
                    if name and (file := tar.extractfile(member)):
                        found[name] = file.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{archive} is damaged ({error}): download it again") from None
    elif folder.is_dir():
        found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    else:
        return None
    where = archive if archive.is_file() else folder
    for name in names:
        if name not in found:
            raise InputError(f"{where} lacks {name}: download it again")
    return _parse_devkit(where, *(found[name] for name in names))


def _parse_devkit(where: Path, meta: bytes, ground_truth: bytes) -> Devkit:
    from scipy.io import loadmat

    try:
        synsets = np.atleast_1d(loadmat(BytesIO(meta), squeeze_me=True)["synsets"])
        leaves = [synset for synset in synsets if int(synset["num_children"]) == 0]
        return Devkit(
            {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves},
            {str(synset["WNID"]): str(synset["words"]).split(",")[0].strip() for synset in leaves},
            {str(synset["WNID"]): int(synset["num_train_images"]) for synset in leaves},
            [int(line) for line in ground_truth.split()],
        )
    except Exception as error:  # loadmat raises many kinds, and says little
        raise InputError(f"{where} is damaged ({type(error).__name__}: {error}): download it again") from None


def _members(path: Path, start: int = 0, end: int | None = None) -> Iterator[tarfile.TarInfo]:
    """The files of the tar that begins at byte `start` of `path`, none remembered; offset_data counts from byte 0."""
    with path.open("rb") as file:
        file.seek(start)
        try:
            tar = tarfile.TarFile(fileobj=file)
            while (member := tar.next()) is not None and (end is None or member.offset < end):
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all it has seen, a kilobyte each
                if member.isfile() and not os.path.basename(member.name).startswith("."):
                    yield member
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"{path} is damaged or cut off ({error}): download it again") from None


def read_part(path: str, offset: int, size: int) -> bytes:
    """`size` bytes of a file from byte `offset` on."""
    # Opened anew each time: 20 µs, and no file is shared between threads.
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)


@dataclass(frozen=True)
class Tar:
    """A tar that lies in `path` from byte `start` to the one before `end` (None: to the end of the file)."""

    path: Path
    start: int = 0
    end: int | None = None

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """(name without folders, what reads it) of every image, in the tar's order; walks from header to header."""
        for member in _members(self.path, self.start, self.end):
            if _is_image_name(member.name):
                read = partial(read_part, str(self.path), member.offset_data, member.size)
                yield os.path.basename(member.name), read

    @property
    def bytes(self) -> int:
        end = self.path.stat().st_size if self.end is None else self.end
        return end - self.start


@dataclass(frozen=True)
class Archives:
    """One tar of images per class: ILSVRC-2012 as it is downloaded, Fall 2011. Read where they are; nothing is unpacked."""

    description: str
    classes: tuple[str, ...]
    folder_names: tuple[str, ...]  # WordNet ids in label order
    tars: tuple[Tar, ...]  # of the classes
    files: tuple[Path, ...]  # that the fingerprint is made of
    devkit: Devkit | None = None
    truth: Truth | None = None
    val: Tar | None = None  # flat, with its labels in `truth`
    fingerprinted: int = 1 << 20  # bytes of each file
    default_size: int = 256

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val") if self.truth else ("train",)

    def items(self, split: str) -> Iterator[Item]:
        return chain.from_iterable(self.part(split, number) for number in range(len(self.parts(split))))

    def parts(self, split: str) -> tuple[Part, ...]:
        return tuple(Part(label, None) for label in range(len(self.tars))) if split == "train" else (Part(None, None),)

    def part(self, split: str, number: int) -> Iterator[Item]:
        if split == "train":
            for name, read in self.tars[number].images():
                yield Item(f"{self.folder_names[number]}/{name}", number, read)
        else:
            assert self.truth is not None and self.val is not None
            for name, read in self.val.images():
                yield Item(name, self.truth.label(name), read)

    def count(self, split: str) -> int | None:
        """What the devkit says (true of the real archives); counting would mean walking through 138 GB."""
        if split == "val":
            return len(self.truth.labels) if self.truth else None
        if self.devkit is None or not all(wnid in self.devkit.train_images for wnid in self.folder_names):
            return None
        return sum(self.devkit.train_images[wnid] for wnid in self.folder_names)

    def fingerprint(self) -> str:
        """sha256 over the archives' names, sizes and first bytes."""
        return fingerprint_files(list(self.files), self.fingerprinted)


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


def open_archives(root: Path) -> Archives:
    """ILSVRC-2012's archives in `root`: the train tar; with the val tar, the devkit too (packed or unpacked)."""
    train = root / TRAIN_TAR
    if not train.is_file():
        raise InputError(f"{root} has {VAL_TAR} but no {TRAIN_TAR}: put it beside, there is nothing else to train on")
    found = _inner_tars(train)
    wnids = sorted(found)
    devkit, truth = read_devkit(root), None
    if (root / VAL_TAR).is_file():
        if devkit is None:
            raise InputError(f"{root} has {VAL_TAR} but no {DEVKIT}.tar.gz, which has its labels: put it beside")
        truth = devkit.truth_for(wnids)
    return Archives(
        f"ILSVRC-2012 archives, {root.resolve().name}/",
        devkit.class_names(wnids) if devkit else tuple(wnids),
        tuple(wnids),
        tuple(found[wnid] for wnid in wnids),
        tuple(root / name for name in (TRAIN_TAR, VAL_TAR, f"{DEVKIT}.tar.gz")),
        devkit,
        truth,
        Tar(root / VAL_TAR) if truth else None,
    )


def open_tars(path: Path) -> Archives:
    """Fall 2011, and whatever comes like it: a .tar of one .tar per class, or a folder of such .tar files."""
    inside = [] if path.is_file() else list(path.glob("*.tar"))
    if len(inside) == 1:  # a folder that holds fall11_whole.tar alone
        member = next(_members(inside[0]), None)
        path = inside[0] if member and member.name.endswith(".tar") else path
    if path.is_file():
        found, files, first = _inner_tars(path), [path], 1 << 20
    else:
        files, first = sorted(path.glob("*.tar")), 1 << 12  # 22,000 files: 90 MB to read, not 23 GB
        found = {file.stem: Tar(file) for file in files}
    names = sorted(found)
    description = f"tars by class, {path.resolve().name}{'' if path.is_file() else '/'}"
    tars = tuple(found[name] for name in names)
    return Archives(description, tuple(names), tuple(names), tars, tuple(files), fingerprinted=first)


def _inner_tars(path: Path) -> dict[str, Tar]:
    size = path.stat().st_size
    found: dict[str, Tar] = {}
    for member in _members(path):
        stem, suffix = os.path.splitext(os.path.basename(member.name))
        if suffix != ".tar":
            raise InputError(f"{path} holds {member.name}, but should hold one .tar per class: is it the right one?")
        if member.offset_data + member.size > size:
            raise InputError(f"{path} is cut off inside {member.name}: download it again")
        found[stem] = Tar(path, member.offset_data, member.offset_data + member.size)
    if not found:
        raise InputError(f"{path} is empty: download it again")
    return found


# ---------------------------------------------------------------- Hugging Face


ROWS = 4096
"""Rows of a table, or images of an array, that are one part."""


def _blocks(number: int, length: int) -> list[range]:
    return [range(start, min(start + length, number)) for start in range(0, number, length)]


@dataclass(frozen=True)
class Tables:
    """Rows of a Hugging Face dataset, in their own order; at most a few rows in memory."""

    description: str
    key: str  # the fingerprint
    tables: dict[str, Any]  # split -> datasets.Dataset or IterableDataset
    counts: dict[str, int]
    image: str  # column names
    label: str
    classes: tuple[str, ...]
    label_of: dict[Any, int] = field(repr=False)  # a cell of the label column -> label
    groups: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict, repr=False)
    """Of parquet files: file, number in it and rows of each row group of a split."""
    default_size: int = 256

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def items(self, split: str) -> Iterator[Item]:
        return self._items(split, self.tables[split], 0)

    def parts(self, split: str) -> tuple[Part, ...]:
        """Row groups of parquet files; blocks of rows of what is memory-mapped."""
        if self.groups:
            return tuple(Part(None, rows) for _, _, rows in self.groups[split])
        return tuple(Part(None, len(rows)) for rows in _blocks(self.counts[split], ROWS))

    def part(self, split: str, number: int) -> Iterator[Item]:
        if self.groups:
            first = sum(rows for _, _, rows in self.groups[split][:number])
            return self._items(split, self._group(split, *self.groups[split][number][:2]), first)
        rows = _blocks(self.counts[split], ROWS)[number]
        return self._items(split, self.tables[split].select(rows), rows.start)

    def _group(self, split: str, file: str, number: int) -> Iterator[dict[str, Any]]:
        # A stream of `datasets` would read all files up to this row group.
        import pyarrow
        import pyarrow.parquet
        from datasets.table import cast_table_to_features

        with pyarrow.parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(64, row_groups=[number], columns=[self.image, self.label]):
                table = pyarrow.Table.from_batches([batch])
                yield from cast_table_to_features(table, self.tables[split].features).to_pylist()

    def _items(self, split: str, rows: Any, first: int) -> Iterator[Item]:
        for number, row in enumerate(rows, first):
            name = f"{split}/{number:08}"
            if row[self.label] not in self.label_of:
                raise InputError(f"{self.description}: row {name} has the label {row[self.label]!r}, no class of train")
            image = row[self.image] or {}
            if image.get("bytes") is None and image.get("path"):
                read: Callable[[], bytes] = partial(read_file, image["path"])
            else:
                read = partial(bytes, image.get("bytes") or b"")
            yield Item(name, self.label_of[row[self.label]], read)

    def count(self, split: str) -> int:
        return self.counts[split]

    def fingerprint(self) -> str:
        return self.key


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(
            'Hugging Face datasets and parquet files need one more package: pip install "alexnet[hub]"'
        ) from None
    return datasets


def open_hub(name: str) -> Tables:
    """The dataset NAME, or NAME:CONFIGURATION, of the Hugging Face hub (kept in the hub's own cache, memory-mapped)."""
    datasets = _datasets()
    if not name.partition(":")[0]:
        raise InputError("hf: lacks the NAME of a dataset, such as hf:frgfm/imagenette:320px")
    try:
        tables = datasets.load_dataset(*name.split(":", 1))
    except Exception as error:  # connection, no such name, needs consent, needs a configuration: all say so themselves
        raise InputError(
            f"hf:{name} cannot be loaded ({' '.join(str(error).split())}): check the name and the connection; "
            "without one, give a folder with the dataset's .parquet files"
        ) from None
    description = f"Hugging Face dataset {name}"
    counts = {split: table.num_rows for split, table in tables.items()}
    facts = [(split, table.num_rows, table.info.dataset_size, str(table.features)) for split, table in tables.items()]
    key = hashlib.sha256(repr((name, sorted(facts))).encode()).hexdigest()
    return _open_tables(datasets, description, key, dict(tables), counts)


def open_parquet(path: Path) -> Tables:
    """A parquet file, or a folder of them (`train-*.parquet`, `validation-*`, `test-*`; other names are train)."""
    datasets = _datasets()
    import pyarrow.parquet

    files = [path] if path.is_file() else sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    of_split: dict[str, list[str]] = {}
    for file in files:
        word = re.match(r"[a-z]*", file.name)
        of_split.setdefault(SPLITS.get(word[0] if word else "", "train"), []).append(str(file))
    try:
        groups: dict[str, list[tuple[str, int, int]]] = {split: [] for split in of_split}
        for split, names in of_split.items():
            for name in names:
                about = pyarrow.parquet.read_metadata(name)
                groups[split] += [(name, n, about.row_group(n).num_rows) for n in range(about.num_row_groups)]
        counts = {split: sum(rows for _, _, rows in of_one) for split, of_one in groups.items()}
        # Streaming reads the files where they lie; otherwise they would be copied into a cache first.
        tables = datasets.load_dataset("parquet", data_files=of_split, streaming=True)
    except Exception as error:  # pyarrow and datasets have many kinds
        raise InputError(f"{path} cannot be read as parquet: {error}") from None
    description = f"parquet files, {path.resolve().name}"
    return replace(_open_tables(datasets, description, fingerprint_files(files), tables, counts), groups=groups)


def _open_tables(datasets: Any, description: str, key: str, tables: dict[str, Any], counts: dict[str, int]) -> Tables:
    by_split: dict[str, Any] = {}
    for name in sorted(tables, key=lambda name: list(SPLITS).index(name) if name in SPLITS else len(SPLITS)):
        if name in SPLITS:
            by_split.setdefault(SPLITS[name], (tables[name], counts[name]))
    if "train" not in by_split:
        raise InputError(f"{description} has no split train; it has {', '.join(tables)}")
    features = by_split["train"][0].features
    image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
    image = image or next((name for name in ("image", "img", "images") if name in features), None)
    label = next((name for name in ("label", "labels", "fine_label") if name in features), None)
    label = label or next((name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    if image is None or label is None:
        missing = "image (image, img)" if image is None else "label (label, labels, fine_label)"
        raise InputError(f"{description} has no column for the {missing}; it has {', '.join(features)}")

    if isinstance(features[label], datasets.ClassLabel):
        classes = tuple(features[label].names)
        label_of: dict[Any, int] = {number: number for number in range(len(classes))}
    else:
        cells = {row[label] for row in by_split["train"][0].select_columns([label])}
        if all(isinstance(cell, int) and cell >= 0 for cell in cells):
            classes = tuple(str(number) for number in range(max(cells, default=-1) + 1))
            label_of = {number: number for number in range(len(classes))}
        elif all(isinstance(cell, str) for cell in cells):
            classes = tuple(sorted(cells))
            label_of = {name: number for number, name in enumerate(classes)}
        else:
            raise InputError(f"{description}: column {label} must hold class numbers from 0, or names")

    chosen, rows = {}, {}
    for split, (table, count) in by_split.items():
        first = next(iter(table.select_columns([label])), None)
        if split != "train" and (first is None or first[label] in (-1, None)):
            continue  # a test split with its labels kept back
        chosen[split] = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
        rows[split] = count
    return Tables(description, key, chosen, rows, image, label, classes, label_of)


# ---------------------------------------------------------------- single arrays


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
        return tuple(Part(None, len(rows)) for rows in _blocks(self.count(split), ROWS))

    def part(self, split: str, number: int) -> Iterator[Item]:
        images, labels = self.arrays[split]
        for index in _blocks(len(labels), ROWS)[number]:
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


# ---------------------------------------------------------------- some classes of a source


@dataclass(frozen=True)
class Chosen:
    """Those images of `source` whose class is one of `labels`, in its order."""

    source: Source
    labels: tuple[int, ...]  # of `source`, ascending

    @property
    def description(self) -> str:
        return f"{self.source.description}, {len(self.labels)} of its {len(self.source.classes)} classes"

    @property
    def splits(self) -> tuple[str, ...]:
        return self.source.splits

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.source.classes[label] for label in self.labels)

    @property
    def default_size(self) -> int:
        return self.source.default_size

    @property
    def folders(self) -> dict[str, Path]:
        return getattr(self.source, "folders", {})

    @cached_property
    def _new(self) -> dict[int, int]:
        """A label of `source` -> the one here."""
        return {label: new for new, label in enumerate(self.labels)}

    @cached_property
    def _parts(self) -> dict[str, list[int]]:
        """Numbers of the source's parts that may hold one of the classes."""
        return {
            split: [
                n for n, part in enumerate(self.source.parts(split)) if part.label is None or part.label in self._new
            ]
            for split in self.splits
        }

    def items(self, split: str) -> Iterator[Item]:
        return chain.from_iterable(self.part(split, number) for number in range(len(self._parts[split])))

    def parts(self, split: str) -> tuple[Part, ...]:
        parts = self.source.parts(split)
        there = [parts[number] for number in self._parts[split]]
        return tuple(Part(None, None) if p.label is None else Part(self._new[p.label], p.items) for p in there)

    def part(self, split: str, number: int) -> Iterator[Item]:
        for item in self.source.part(split, self._parts[split][number]):
            if item.label in self._new:
                yield Item(item.name, self._new[item.label], item.read)

    def count(self, split: str) -> int | None:
        items = [part.items for part in self.parts(split)]
        return None if None in items else sum(number or 0 for number in items)

    def fingerprint(self) -> str:
        """sha256 over the fingerprint of the source and the classes' names."""
        return hashlib.sha256(repr((self.source.fingerprint(), self.classes)).encode()).hexdigest()


def choose(source: Source, names: Sequence[str]) -> Chosen:
    """Only these classes of `source`, by name or by the first word of it (a WordNet id); in the source's order.

    Raises InputError for a name that no class has, or that several have.
    """
    by_name: dict[str, list[int]] = {}
    for label, name in enumerate(source.classes):
        for key in {name, name.split(" ")[0]}:
            by_name.setdefault(key, []).append(label)
    labels = set()
    for name in names:
        found = [source.classes.index(name)] if name in source.classes else by_name.get(name, [])
        if len(found) > 1:
            alike = ", ".join(source.classes[label] for label in found)
            raise InputError(f"--classes {name}: several classes of {source.description} begin so: {alike}")
        if not found:
            near = difflib.get_close_matches(name, by_name, 3) or list(source.classes[:5])
            raise InputError(
                f"--classes {name}: no class of {source.description} is called that; there are {', '.join(near)} ..."
            )
        labels.update(found)
    if not labels:
        raise InputError("--classes: name at least one class")
    return Chosen(source, tuple(sorted(labels)))
