"""A list of images and their labels: columns of text, JSON, or Caffe's lines of a path and a number (§2).

The listing is held in memory, 80 bytes an image and its name, 290 while it is read (benchmarks/prepare_memory.py --list);
the images never are.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from alexnet.data.sources.folders import subfolders
from alexnet.data.sources.passed import IMAGE_SUFFIXES, PassedOver, is_image_name
from alexnet.data.sources.rows import Row, Unlabelled, lines_of, opened, rows_of
from alexnet.data.sources.source import (
    SPLITS,
    Item,
    Part,
    Source,
    blocks,
    check_classes,
    check_numbers,
    fingerprint_files,
    order_of_split,
    parts_of_rows,
    read_file,
    size_of,
)
from alexnet.errors import InputError
from alexnet.words import short, some

NAMES_OF_CLASSES = ("synset_words.txt", "classes.txt", "class_names.txt", "class_map.txt", "labels.txt", "synsets.txt")
"""Files beside a list, a class a line: the name of class 0, 1, ..."""

ENDINGS = (".jpg", ".JPEG", ".jpeg", ".JPG", ".png", ".PNG")
"""Of images whose list names them without, looked for first."""


@dataclass(frozen=True)
class Listed(Source):
    """Images named by a list, or by a list for each split; in the order of the lists."""

    folder: Path  # that names count from
    files: dict[str, list[str]] = field(repr=False)
    labels: dict[str, np.ndarray] = field(repr=False)  # of each split: int32 [N]
    lists: tuple[Path, ...]  # whose contents the fingerprint is made of

    def parts(self, split: str) -> tuple[Part, ...]:
        return parts_of_rows(len(self.files[split]))

    def part(self, split: str, number: int) -> Iterator[Item]:
        for row in blocks(len(self.files[split]))[number]:
            name = self.files[split][row]
            yield Item(name, int(self.labels[split][row]), partial(read_file, os.path.join(self.folder, name)))

    def fingerprint(self) -> str:
        """sha256 over the lists, and the names and sizes of the images."""
        digest = hashlib.sha256(fingerprint_files(list(self.lists), first=None).encode())
        for split, names in self.files.items():
            for name in names:
                size = size_of(os.path.join(self.folder, name))
                digest.update(f"{split}\0{name}\0{size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def open_list(path: Path) -> Listed:
    """A .csv, .tsv, .json or .txt of images and labels.

    Columns are found by their names (PATHS, LABELS, SPLIT_COLUMNS), or are the first two; JSON is {path: label}, or a
    list of such rows or of pairs; a .txt without tabs has lines "path label", as Caffe's. Paths count from the list's
    folder, or from a folder in it that has the first of them, and may not lead out of it. Of train.txt, val.txt and
    test.txt (or .csv ...) in one folder any stands for all. Labels that are numbers 0, 1, ... are class numbers; other
    labels are names. Raises InputError, with the line, for whatever a row lacks.
    """
    passed, lists = PassedOver(), _siblings(path)
    rows: dict[str, list[Row]] = {}
    where: dict[str, Path] = {}
    for split in sorted(lists, key=order_of_split):
        try:
            for row in rows_of(lists[split], lists["train"]):
                row_split = _split_of(row, lists[split]) or split
                rows.setdefault(row_split, []).append(row)
                where.setdefault(row_split, lists[split])
        except Unlabelled:
            if split != "test":
                raise
            passed.add("split", "test, without labels")
    if "train" not in rows:
        raise InputError(f"{path} has no rows of the split train" if rows else f"{path} has no rows: list images there")
    if {row.label for row in rows.get("test", ())} in ({"0"}, {"-1"}):  # ILSVRC's has a 0 for every image
        passed.add("split", "test, its labels kept back")
        del rows["test"]
    names = _names_of_classes(path)
    classes, label_of = _classes(path, rows["train"], names)
    files: dict[str, list[str]] = {}
    labels: dict[str, np.ndarray] = {}
    for split in sorted(rows, key=order_of_split):
        files[split] = _files(where[split], rows[split], split)
        for row in rows[split]:
            if row.label not in label_of:
                raise InputError(
                    f"{where[split]}, row {row.number}: {short(row.label)!r} is no class of the training images"
                )
        labels[split] = np.array([label_of[row.label] for row in rows[split]], np.int32)
    used = dict.fromkeys((*lists.values(), *([names[0]] if names else [])))
    description = f"list of images, {path.name}"
    return Listed(description, classes, tuple(files), path.parent, files, labels, tuple(used), passed=passed)


def _siblings(path: Path) -> dict[str, Path]:
    """Split -> its list: train.txt and what is beside it; one list of another name is train, and may have a column."""
    if path.stem.lower() not in SPLITS:
        return {"train": path}
    lists: dict[str, Path] = {}
    for file in sorted(path.parent.iterdir(), key=lambda file: file.name):
        split = SPLITS.get(file.stem.lower())
        if split and file.suffix.lower() == path.suffix.lower() and file.is_file():
            if split in lists:
                raise InputError(
                    f"{lists[split]} and {file} are both the split {split}: put them together, or rename one"
                )
            lists[split] = file
    return lists if "train" in lists else {"train": path}


def _split_of(row: Row, file: Path) -> str:
    if row.split and row.split.lower() not in SPLITS:
        raise InputError(f"{file}, row {row.number}: {short(row.split)!r} is no split: write train, val or test")
    return SPLITS[row.split.lower()] if row.split else ""


def _names_of_classes(path: Path) -> tuple[Path, list[str]] | None:
    """A file beside a list that names its classes, and the names; "n01440764 tench" of a line with all its words."""
    for file in (path.parent / name for name in NAMES_OF_CLASSES):
        if file.name != path.name and file.is_file():
            with opened(file, 1 << 26) as text:
                names = [line.strip().partition(",")[0] for line in lines_of(file, text) if line.strip()]
            # labels.txt may as well be a list of images.
            if len(set(names)) == len(names) and not any(is_image_name(name.split(" ")[0]) for name in names):
                return file, names
    return None


def _classes(
    path: Path, rows: list[Row], names: tuple[Path, list[str]] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and the label of what the rows call them: class numbers where all are numbers, else names by name."""
    cells = {row.label for row in rows}
    if all(re.fullmatch(r"-?\d{1,18}", cell, re.ASCII) for cell in cells):
        numbers = {cell: int(cell) for cell in cells}
        low, high = min(numbers.values()), max(numbers.values())
        if low < 0:
            raise InputError(f"{path}: label {low}: labels are class numbers from 0 on, or names")
        check_numbers(path, high, len(rows))
        if names and high < len(names[1]):
            check_classes(names[0], names[1])
            return tuple(names[1]), {str(number): number for number in range(len(names[1]))} | numbers
        label_of = {number: label for label, number in enumerate(sorted(set(numbers.values())))}
        classes = tuple(map(str, label_of))
        check_classes(path, classes)
        return classes, {cell: label_of[number] for cell, number in numbers.items()}
    order = names[1] if names and cells <= set(names[1]) else sorted(cells)
    check_classes(path, order)
    return tuple(order), {name: label for label, name in enumerate(order)}


def _files(list_: Path, rows: list[Row], split: str) -> list[str]:
    """The paths of a split from the list's folder on, each once, none outside it."""
    root = os.path.abspath(list_.parent)
    base, ending = _base(list_.parent, [_plain(row.path) for row in islice(rows, 20)], split)
    folders = [os.path.join(folder, "") for folder in (root, os.path.realpath(root))]
    seen: dict[str, int] = {}
    for row in rows:
        path = os.path.normpath(os.path.join(root, base, _plain(row.path) + ending))
        name = next((path.removeprefix(folder) for folder in folders if path.startswith(folder)), None)
        if name is None:
            raise InputError(
                f"{list_}, row {row.number}: {short(row.path)!r} lies outside {list_.parent}, the list's folder: "
                "put the images there"
            )
        if name in seen:
            raise InputError(
                f"{list_}, row {row.number}: {short(row.path)!r} is in row {seen[name]} already: remove one of them"
            )
        seen[name] = row.number
    return list(seen)


def _plain(path: str) -> str:
    return path.replace("\\", "/") if "/" not in path else path  # as Windows writes them


def _base(folder: Path, paths: list[str], split: str) -> tuple[str, str]:
    """The folder in `folder`, or "", from which these paths lead to files, and the ending that they lack.

    The folder is the only one, or that of the split. ("", "") where nothing leads to any. Kaggle's lists often have names
    without an ending.
    """

    def lead_to_files(base: str, ending: str) -> bool:
        return any(os.path.isfile(folder / base / f"{path}{ending}") for path in paths if ".." not in path)

    lacking = () if any(map(is_image_name, paths)) else (*ENDINGS, *sorted(IMAGE_SUFFIXES - {*ENDINGS}))
    for ending in ("", *lacking):
        if lead_to_files("", ending):
            return "", ending
        inside = [name for name in subfolders(folder) if lead_to_files(name, ending)]
        if len(inside) > 1:  # 1.jpg may be in train/ and in test/
            inside = [name for name in inside if SPLITS.get(name.lower()) == split] or inside
        if len(inside) > 1:
            raise InputError(
                f"{folder}: the paths of its list may begin in {some(inside)}: write them from the list's folder on"
            )
        if inside:
            return inside[0], ending
    return "", ""
