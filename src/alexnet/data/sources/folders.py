"""A folder with one folder of images per class, in splits or not; and ILSVRC-2012 unpacked (§2)."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from alexnet.data.sources.devkit import Truth, read_devkit
from alexnet.data.sources.passed import FOLDERS, PassedOver, is_a, is_image, is_image_name
from alexnet.data.sources.source import (
    DEVKIT,
    GENERAL,
    KINDS,
    LISTS,
    SPLITS,
    Item,
    Part,
    Source,
    check_classes,
    order_of_split,
    read_file,
    size_of,
    split_word,
    words,
)
from alexnet.errors import InputError
from alexnet.words import short

DEEPEST = 100
"""Folders below a class folder that are looked into."""


def subfolders(folder: Path, passed: PassedOver | None = None) -> list[str]:
    """Names of the folders in `folder` (links to folders too), sorted, without the hidden and those passed over."""
    return [name for name, entry in visible(str(folder), passed) if is_a(entry, "folder")]


def visible(folder: str, passed: PassedOver | None = None) -> list[tuple[str, "os.DirEntry[str]"]]:
    """(name, entry) of all in `folder` that is neither hidden nor one of FOLDERS, by name; `passed` counts the rest.

    Raises InputError where it cannot be read.
    """
    passed, entries = PassedOver() if passed is None else passed, []
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                if entry.name.lower() in FOLDERS and is_a(entry, "folder"):
                    passed.add("folder", entry.name)
                elif not entry.name.startswith("."):
                    entries.append((entry.name, entry))
                elif is_image_name(entry.name):  # others, such as .DS_Store, are in every folder of some systems
                    passed.add("file", "hidden")
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    return sorted(entries, key=lambda pair: pair[0])


def image_files(
    folder: str,
    prefix: str,
    above: frozenset[tuple[int, int]] = frozenset(),
    passed: PassedOver | None = None,
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """(prefix/name, entry) of all visible image files in `folder` and below, sorted by name within each folder.

    Other files (Thumbs.db, README.txt) are counted in `passed`. `above` are the folders around this one: a link back to
    one of them would never end. Holds one folder's listing per level.
    """
    if len(above) >= DEEPEST:
        raise InputError(f"{short(folder, 200)} lies more than {DEEPEST} folders deep: move its images up")
    status = os.stat(folder)
    around = above | {(status.st_dev, status.st_ino)}
    for name, entry in visible(folder, passed):
        if is_a(entry, "folder"):
            inside = entry.stat()
            if (inside.st_dev, inside.st_ino) not in around:
                yield from image_files(entry.path, f"{prefix}/{name}", around, passed)
        elif is_image(entry, passed):
            yield f"{prefix}/{name}", entry


@dataclass(frozen=True)
class ClassFolders(Source):
    """A folder with one folder of images per class, in splits or not; the labels follow the sorted folder names."""

    root: Path
    folder_names: tuple[str, ...]  # in label order
    truth: Truth | None = None  # where val/ is ILSVRC's flat one

    def _flat(self, split: str) -> bool:
        return split == "val" and self.truth is not None

    def _entries(
        self, split: str, number: int, passed: PassedOver | None = None
    ) -> Iterator[tuple[str, int, "os.DirEntry[str]"]]:
        folder = self.folders[split]
        if self.truth is not None and self._flat(split):
            for name, entry in image_files(str(folder), folder.name, passed=passed):
                yield name, self.truth.label(name), entry
            return
        prefix, class_folder = "" if folder == self.root else f"{folder.name}/", self.folder_names[number]
        if (folder / class_folder).is_dir():
            for name, entry in image_files(str(folder / class_folder), prefix + class_folder, passed=passed):
                yield name, number, entry

    def parts(self, split: str) -> tuple[Part, ...]:
        counts = self._survey[0][split]
        return tuple(Part(None if self._flat(split) else label, items) for label, items in enumerate(counts))

    def part(self, split: str, number: int) -> Iterator[Item]:
        for name, label, entry in self._entries(split, number):
            yield Item(name, label, partial(read_file, entry.path))

    @cached_property
    def _survey(self) -> tuple[dict[str, list[int]], str, PassedOver]:
        """Items of each part of each split, the fingerprint, and the rest; goes through all folders once."""
        counts: dict[str, list[int]] = {}
        passed = _beside(self.root, self.folders, self.folders["val"] if self.truth else None)
        digest = hashlib.sha256(repr(self.classes).encode("utf-8", "surrogateescape"))
        for split in self.splits:
            counts[split] = [0] * (1 if self._flat(split) else len(self.folder_names))
            for number in range(len(counts[split])):
                for name, label, entry in self._entries(split, number, passed):
                    counts[split][number] += 1
                    digest.update(
                        f"{split}\0{name}\0{label}\0{size_of(entry.path)}\n".encode("utf-8", "surrogateescape")
                    )
        return counts, digest.hexdigest(), passed

    def fingerprint(self) -> str:
        """sha256 over classes, names and sizes of all images."""
        return self._survey[1]

    @property
    def passed_over(self) -> PassedOver:
        return self._survey[2]


def _beside(root: Path, folders: dict[str, Path], flat: Path | None) -> PassedOver:
    """Counts of what lies in `root` beside the folders of its splits, and in these beside their class folders.

    `flat` is the one of `folders` whose images are counted, without class folders.
    """
    passed, used = PassedOver(), set(folders.values())
    for folder in dict.fromkeys((root, *folders.values())):
        if folder == flat:
            continue
        for name, entry in visible(str(folder), passed):
            if name.startswith(DEVKIT):
                continue
            if is_a(entry, "folder"):
                if folder not in used and folder / name not in used:
                    passed.add("folder", name)
            elif is_image(entry, passed):
                passed.add("file", "outside the class folders")
    return passed


def splits_of(root: Path) -> dict[str, Path]:
    """Split -> the folder with its class folders: train/ and others by their names, or `root` itself as train.

    A class may be called "train" too; it has images in it, not class folders. Raises InputError for two folders of one
    split, and for a folder that may be a split or not.
    """
    names = subfolders(root)
    known = {name: SPLITS[name.lower()] for name in names if name.lower() in SPLITS}
    nested = [name for name in names if split_word(name) and _has_class_folders(root / name)]
    folders: dict[str, Path] = {}
    if any(known.get(name) == "train" for name in nested):
        for name, split in sorted(known.items(), key=lambda pair: order_of_split(pair[0])):
            if split in folders:
                raise InputError(
                    f"{folders[split]} and {root / name} are both the split {split}: put their images into one of them, "
                    "or rename one"
                )
            folders[split] = root / name
    elif names and all(split_word(name) and set(words(name)) <= {*SPLITS, *GENERAL} for name in names):
        train = next((name for name, split in known.items() if split == "train"), None)
        fix = f"put the images of {train} into one folder per class"
        fix = fix if train else "call that of the training images train"
        raise InputError(
            f"{root} has {', '.join(names)} but no train/ with class folders in it: {fix}{_list_hint(root)}"
        )
    others = [name for name in names if root / name not in folders.values()]
    unclear = [name for name in nested if name in others]
    if folders:  # whatever its name, a folder of the same classes beside train/ was meant for something
        classes = set(subfolders(folders["train"]))
        unclear += [n for n in others if classes & set(subfolders(root / n)) and _has_class_folders(root / n)]
    if unclear:
        raise InputError(
            f"{root / unclear[0]} looks like a split: rename it to train, val or test if it is one, or move it out of "
            f"{root}; if it is a class, give it a name without these words, or move its images up out of its folders"
        )
    return folders or {"train": root}


def _has_class_folders(folder: Path) -> bool:
    """Whether there are folders in `folder` with images in them."""
    return any(next(image_files(str(folder / name), name), None) for name in subfolders(folder))


def _list_hint(folder: Path) -> str:
    """The advice to give a list in `folder` that may have the labels of its images; "" where there is none."""
    for name, entry in visible(str(folder)):
        like_a_list = name.lower().endswith(LISTS) and is_a(entry, "file")
        if like_a_list and re.search("label|train|class|annot|image|list|meta|data", name.lower()):
            return f"; if {name} lists the images with their labels, give that (alexnet prepare {folder / name} DEST)"
    return ""


def open_folder(root: Path) -> ClassFolders:
    """A folder of class folders, or ILSVRC-2012 unpacked: train/ in class folders, val/ flat, and the devkit."""
    folders = splits_of(root)
    class_folders = _training_classes(root, folders["train"])
    truth, classes = None, tuple(class_folders)
    for split in list(folders)[1:]:
        folder = folders[split]
        inside = subfolders(folder)
        if extra := sorted(set(inside) - set(class_folders)):
            raise InputError(
                f"{folder / extra[0]} is a class folder that {folders['train']} does not have: "
                "give it the same name in both (letter case counts), or remove it"
            )
        if next(image_files(str(folder), ""), None) is None:
            raise InputError(f"{folder} has no images in it: fill it or remove it")
        if inside:
            continue
        devkit = read_devkit(root) if split == "val" else None
        if split == "test":
            del folders[split]  # as ILSVRC's and Kaggle's test images come, which have no public labels
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
    _check_several(root, folders["train"], class_folders)
    description = f"folder of class folders, {root.resolve().name}/"
    return ClassFolders(description, classes, tuple(folders), root, tuple(class_folders), truth, folders=folders)


def _training_classes(root: Path, train: Path) -> list[str]:
    """The class folders of the training images. Raises InputError where there are none, and where one holds no images."""
    class_folders = subfolders(train)
    if not class_folders:
        if any(is_image_name(name) for name, _ in visible(str(root))):
            raise InputError(
                f"{root} has images but no class folders: put them into one folder per class{_list_hint(root)}"
            )
        raise InputError(f"{root} has no images in it: {KINDS}")
    for name in class_folders:
        folder = train / name
        nested = [inner for inner in subfolders(folder) if SPLITS.get(inner.lower()) == "train"]
        if any(subfolders(folder / inner) for inner in nested):
            raise InputError(f"{root} has no class folders, but {folder} looks like a dataset: give that folder")
        if next(image_files(str(folder), name), None) is None:
            raise InputError(f"{folder}, a class folder, has no images in it: fill it or remove it")
    return class_folders


def _check_several(root: Path, train: Path, class_folders: list[str]) -> None:
    """Raises InputError for names that no class may have, and with advice where there is one class folder."""
    first = train / class_folders[0]
    fix = "add the folder of another class"
    if len(class_folders) == 1 and (hint := _list_hint(root) or _list_hint(first)):
        fix = f"put one folder per class there{hint}"
    elif subfolders(first):
        fix = f"give {first}, if its folders are the classes"
    check_classes(train, class_folders, fix)
