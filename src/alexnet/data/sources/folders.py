"""A folder with one folder of images per class, in splits or not; and ILSVRC-2012 unpacked (§2)."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

from alexnet.data.sources.devkit import DEVKIT, Truth, read_devkit
from alexnet.data.sources.source import KINDS, SPLITS, Item, Part, is_image_name, read_file
from alexnet.errors import InputError


def subfolders(folder: Path) -> list[str]:
    """Names of the visible folders in `folder` (links to folders too), sorted."""
    return sorted(name for name, entry in visible(str(folder)) if entry.is_dir())


def visible(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """(name, entry) of whatever in `folder` does not begin with a dot, by name. Raises InputError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                ((entry.name, entry) for entry in entries if not entry.name.startswith(".")), key=lambda pair: pair[0]
            )
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None


def image_files(
    folder: str, prefix: str, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(prefix/name, entry) of all visible image files in `folder` and below, sorted by name within each folder.

    Other files (Thumbs.db, README.txt) are none of ours. `above` are the folders around this one: a link back to one of
    them would never end. Holds one folder's listing per level.
    """
    status = os.stat(folder)
    here = above | {(status.st_dev, status.st_ino)}
    for name, entry in visible(folder):
        if entry.is_dir():
            inside = entry.stat()
            if (inside.st_dev, inside.st_ino) not in here:
                yield from image_files(entry.path, f"{prefix}/{name}", here)
        # A dangling link is listed, so that it shows up among the skipped; a pipe is not: reading one may never end.
        elif is_image_name(name) and (entry.is_file() or entry.is_symlink()):
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
        if any(is_image_name(name) for name, _ in visible(str(root))):
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
            names = [name for name, _ in image_files(str(folder), folder.name)]
            truth.check(names, len(names), folder)
            classes = devkit.class_names(class_folders)
    return ClassFolders(root, folders, tuple(class_folders), classes, truth)
