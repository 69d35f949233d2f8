"""One tar of images per class: ILSVRC-2012 as its archives, Fall 2011, and whatever comes like them (§2)."""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from alexnet.data.sources.devkit import Devkit, Truth, read_devkit
from alexnet.data.sources.source import (
    DEVKIT,
    TRAIN_TAR,
    VAL_TAR,
    Item,
    Part,
    fingerprint_files,
    is_image_name,
    read_part,
)
from alexnet.errors import InputError


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


@dataclass(frozen=True)
class Tar:
    """A tar that lies in `path` from byte `start` to the one before `end` (None: to the end of the file)."""

    path: Path
    start: int = 0
    end: int | None = None

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """(name without folders, what reads it) of every image, in the tar's order; walks from header to header."""
        for member in _members(self.path, self.start, self.end):
            if is_image_name(member.name):
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
