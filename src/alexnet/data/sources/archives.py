"""One tar of images per class: ILSVRC-2012 as its archives, Fall 2011, and whatever comes like them (§2)."""

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from alexnet.data.sources.devkit import Devkit, Truth, read_devkit
from alexnet.data.sources.passed import kind_of
from alexnet.data.sources.source import DEVKIT, TRAIN_TAR, VAL_TAR, Item, Part, Source, fingerprint_files, read_file
from alexnet.data.sources.tar import Member, members, read_member
from alexnet.errors import InputError


@dataclass(frozen=True)
class Tar:
    """A tar that lies in `path` from byte `start` to the one before `end` (None: to the end of the file)."""

    path: Path
    start: int = 0
    end: int | None = None

    def images(self) -> Iterator[Member]:
        """Every image, by its path in the tar, in the tar's order; walks from header to header.

        A name without an image's ending is one if its first bytes say so. What is damaged is among them, with its problem.
        Raises InputError, at the end, where two have one name.
        """
        hashes = array("q")  # the names themselves would take a hundred bytes each
        for image in self._images():
            hashes.append(hash(image.name))
            yield image
        values, counts = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
        if twice := set(values[counts > 1].tolist()):
            name = next(image.name for image in self._images() if hash(image.name) in twice)
            raise InputError(f"{self.path} holds {name} twice: remove one of them, or download it again")

    def _images(self) -> Iterator[Member]:
        for member in members(self.path, self.start, self.end):
            first = partial(read_file, str(self.path), member.offset, min(member.size, 32))
            if member.problem or kind_of(member.name, first) is None:
                yield replace(member, name=os.path.normpath(member.name))

    def item(self, image: Member, label: int, folder: str = "") -> Item:
        """One of `images` as an item of a source."""
        name = image.name if image.name.startswith(folder) else folder + image.name
        return Item(name, label, partial(read_member, str(self.path), image))

    @property
    def bytes(self) -> int:
        return (self.path.stat().st_size if self.end is None else self.end) - self.start


@dataclass(frozen=True)
class Archives(Source):
    """One tar of images per class: ILSVRC-2012 as it is downloaded, Fall 2011. Read where they are; nothing is unpacked.

    Files in archives that are no images are not counted in `passed_over`.
    """

    folder_names: tuple[str, ...]  # WordNet ids in label order
    tars: tuple[Tar, ...]  # of the classes
    files: tuple[Path, ...]  # that the fingerprint is made of
    devkit: Devkit | None = None
    truth: Truth | None = None
    val: Tar | None = None  # flat, with its labels in `truth`
    fingerprinted: int = 1 << 20  # bytes of each file

    def parts(self, split: str) -> tuple[Part, ...]:
        return tuple(Part(label) for label in range(len(self.tars))) if split == "train" else (Part(),)

    def part(self, split: str, number: int) -> Iterator[Item]:
        return self._class(number) if split == "train" else self._validation()

    def _validation(self) -> Iterator[Item]:
        assert self.truth is not None and self.val is not None
        for image in self.val.images():
            image = replace(image, name=os.path.basename(image.name))  # each has a number of its own
            yield self.val.item(image, 0 if image.problem else self.truth.label(image.name))

    def _class(self, label: int) -> Iterator[Item]:
        wnid, tar, images = self.folder_names[label], self.tars[label], 0
        for image in tar.images():
            images += 1
            yield tar.item(image, label, f"{wnid}/")
        where = f"{tar.path}: {wnid}.tar"
        if not images:
            raise InputError(f"{where} has no images in it: download it again, or choose others with --classes")
        expected = self.devkit.train_images.get(wnid, images) if self.devkit else images
        if not images <= expected <= 2 * images:
            raise InputError(f"{where} has {images:,} images, but the devkit says {expected:,}: download both again")
        for number in range(images + 1, expected + 1):
            problem = f"not in the archive; the devkit says that {wnid} has {expected:,} images"
            yield tar.item(Member(f"image {number} of {expected}", 0, 0, problem), label, f"{wnid}/")

    def count(self, split: str) -> int | None:
        """The devkit's number (true of the real archives), as counting would mean walking through 138 GB."""
        if self.devkit is None:
            return None
        if self.truth is not None and split == "val":
            return len(self.truth.labels)
        known = self.devkit.train_images
        return sum(known[wnid] for wnid in self.folder_names) if known.keys() >= set(self.folder_names) else None

    def fingerprint(self) -> str:
        """sha256 over the archives' names, sizes and first bytes."""
        return fingerprint_files(list(self.files), self.fingerprinted)


def open_archives(root: Path) -> Archives:
    """ILSVRC-2012's archives in `root`: the train tar; with the val tar, the devkit too (packed or unpacked)."""
    train = root / TRAIN_TAR
    if not train.is_file():
        raise InputError(f"{root} has {VAL_TAR} but no {TRAIN_TAR}: put it beside, there is nothing else to train on")
    tars = _inner_tars(train)
    wnids = sorted(tars)
    devkit, truth = read_devkit(root), None
    if (root / VAL_TAR).is_file():
        if devkit is None:
            raise InputError(f"{root} has {VAL_TAR} but no {DEVKIT}.tar.gz, which has its labels: put it beside")
        truth = devkit.truth_for(wnids)
        # Two seconds for all 50,000, and better known now than after the training images.
        images = list(Tar(root / VAL_TAR).images())
        truth.check([image.name for image in images if not image.problem], len(images), root / VAL_TAR)
    return Archives(
        f"ILSVRC-2012 archives, {root.resolve().name}/",
        devkit.class_names(wnids) if devkit else tuple(wnids),
        ("train", "val") if truth else ("train",),
        tuple(wnids),
        tuple(tars[wnid] for wnid in wnids),
        tuple(root / name for name in (TRAIN_TAR, VAL_TAR, f"{DEVKIT}.tar.gz")),
        devkit,
        truth,
        Tar(root / VAL_TAR) if truth else None,
    )


def open_tars(path: Path) -> Archives:
    """Fall 2011, and whatever comes like it: a .tar of one .tar per class, or a folder of such .tar files."""
    inside = [] if path.is_file() else list(path.glob("*.tar"))
    if len(inside) == 1:  # a folder that holds fall11_whole.tar alone
        member = next(members(inside[0]), None)
        path = inside[0] if member and member.name.endswith(".tar") else path
    if path.is_file():
        tars, files, first = _inner_tars(path), [path], 1 << 20
    else:
        files, first = sorted(path.glob("*.tar")), 1 << 12  # 22,000 files: 90 MB to read, not 23 GB
        tars = {file.stem: Tar(file) for file in files}
    names = tuple(sorted(tars))
    description = f"tars by class, {path.resolve().name}{'' if path.is_file() else '/'}"
    ordered = tuple(tars[name] for name in names)
    return Archives(description, names, ("train",), names, ordered, tuple(files), fingerprinted=first)


def _inner_tars(path: Path) -> dict[str, Tar]:
    tars: dict[str, Tar] = {}
    for member in members(path):
        stem, suffix = os.path.splitext(os.path.basename(member.name))
        if member.problem:  # of a class, not of an image: its name is lost, and with it what it is
            raise InputError(f"{path}: {member.name}: {member.problem}: download it again")
        if suffix != ".tar":
            raise InputError(f"{path} holds {member.name}, but should hold one .tar per class: is it the right one?")
        if stem in tars:
            raise InputError(f"{path} holds {stem}.tar twice: download it again")
        tars[stem] = Tar(path, member.offset, member.offset + member.size)
    if not tars:
        raise InputError(f"{path} is empty: download it again")
    return tars
