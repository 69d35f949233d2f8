"""The rows of a list of images and labels: columns of text, JSON, or Caffe's lines of a path and a number (§2)."""

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

from alexnet.data.sources.passed import is_image_name
from alexnet.errors import InputError
from alexnet.reading import parse_json
from alexnet.words import gigabytes, short

_LARGEST_JSON = 1 << 27  # held whole, and 20 times as large
LARGEST_TEXT = 1 << 30
"""Bytes of the largest list."""
MOST_ROWS = 10_000_000
LONGEST_LINE = 1 << 16
"""Letters."""

PATHS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "image_file"),
    *("image_name", "imagename", "image_id", "imageid", "img_path", "img_name", "images", "id", "name"),
)
LABELS = ("label", "labels", "class", "class_name", "classname", "class_id", "category", "target", "label_id", "y")
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase")
_COLUMNS = (PATHS, LABELS, SPLIT_COLUMNS)


class Row(NamedTuple):
    """A line of a list. `number` counts from 1, the header included; `split` is "" where the list does not say."""

    number: int
    path: str
    label: str
    split: str = ""


class Unlabelled(InputError):
    """A list of images without labels, as test images often come."""


def rows_of(file: Path, train: Path) -> Iterator[Row]:
    """The rows of a list, each with a path and a label. Raises InputError for what is none.

    The columns of one that has the first line of `train`, the list of training images, are those of that.
    """
    ending, number = file.suffix.lower(), 0
    with opened(file, _LARGEST_JSON if ending == ".json" else LARGEST_TEXT) as text:
        for number, row in enumerate(_of_json(file, text) if ending == ".json" else _of_text(file, text, train), 1):
            if not row.path or not row.label:
                lacks = "label" if row.path else "path"
                raise InputError(f"{file}, row {row.number}: the {lacks} is missing: fill it in or remove the row")
            if number > MOST_ROWS:
                raise InputError(
                    f"{file} has more than {MOST_ROWS:,} rows: use one folder per class, or a tar per class"
                )
            yield row._replace(label=sys.intern(row.label))


@contextmanager
def opened(file: Path, most: int) -> Iterator[TextIO]:
    """A text file of at most so many bytes. Raises InputError for a larger one, and for whatever cannot be read."""
    try:
        if file.stat().st_size > most:
            raise InputError(
                f"{file} has {gigabytes(file.stat().st_size)}, more than the {gigabytes(most)} that a list may have"
            )
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield text
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        reason = short(" ".join(str(error).split()), 200)
        raise InputError(f"{file} cannot be read as {file.suffix[1:]} ({reason}): mend it") from None


def lines_of(file: Path, text: TextIO) -> Iterator[str]:
    for number, line in enumerate(iter(partial(text.readline, LONGEST_LINE + 1), ""), 1):
        if len(line) > LONGEST_LINE:
            raise InputError(f"{file}, line {number}: over {LONGEST_LINE:,} letters: is it a list of images?")
        if "\0" in line:
            raise InputError(f"{file}, line {number}: zero bytes: save it as UTF-8")
        yield line


def _of_text(file: Path, text: TextIO, train: Path) -> Iterator[Row]:
    lines: Iterator[str] = lines_of(file, text)
    start, first = 0, ""
    while not first.strip() and (first := next(lines, "")):
        start += 1
    lines = chain([first], lines)
    if file.suffix.lower() == ".txt" and "\t" not in first and not re.search(r",\s*[^\s,]+\s*$", first):
        yield from _of_caffe(file, lines, start)
        return
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max("\t,;", key=first.count)
    cells = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    numbered = ((number, [cell.strip() for cell in row]) for number, row in enumerate(cells, start) if any(row))
    like = ""
    if file != train:
        with opened(train, LARGEST_TEXT) as text:
            like = next((line for line in lines_of(train, text) if line.strip()), "")
    yield from _of_columns(file, numbered, file == train or like.strip() == first.strip())


def _of_caffe(file: Path, lines: Iterable[str], start: int) -> Iterator[Row]:
    """Lines of a path, which may have spaces, and a label, which has none."""
    for number, line in enumerate(lines, start):
        if line.strip():
            path, _, label = line.strip().rpartition(" ")
            if not path:
                kind = Unlabelled if number == start else InputError
                raise kind(f"{file}, row {number}: {short(label)!r} is no path and label, such as cats/1.jpg 0")
            if number == start and path.lower() in PATHS and label.lower() in LABELS:
                continue  # names of columns
            yield Row(number, path.strip(), label)


def _of_columns(file: Path, rows: Iterator[tuple[int, list[str]]], guess: bool) -> Iterator[Row]:
    """Rows by the names of their columns; with `guess`, unnamed columns are taken in their order."""
    number, first = next(rows, (0, []))
    if not first:
        return
    if len(first) < 2:
        raise Unlabelled(f"{file} needs two columns, paths and labels; its first row is {short(','.join(first))!r}")
    columns: list[int | None] = [None, None, None]
    if is_image_name(first[0]) or is_image_name(first[1]) or os.path.isfile(file.parent / first[0]):
        rows = chain([(number, first)], rows)  # no header
    else:
        named = [cell.lower().replace(" ", "_") for cell in first]
        columns = [next((named.index(name) for name in names if name in named), None) for names in _COLUMNS]
        several = columns[0] is not None and len(first) - sum(at is not None for at in columns) > 1
        if columns[1] is None and (several or not guess):  # of several any could be it, or a column for each class
            raise Unlabelled(
                f"{file} has no column called label; it has {short(', '.join(first))}: rename the one it is"
            )
    for at in (0, 1):
        if columns[at] is None:
            columns[at] = next((n for n in range(len(first)) if n not in columns), None)
    path, label, split = columns
    if path is None or label is None:
        raise Unlabelled(
            f"{file} has no column for the {'path' if path is None else 'label'}; it has {', '.join(first)}"
        )
    needed = max(path, label, split or 0)
    for number, row in rows:
        if len(row) <= needed:
            raise InputError(f"{file}, row {number}: {len(row)} columns, not {needed + 1}: {short(','.join(row))!r}")
        yield Row(number, row[path], row[label], "" if split is None else row[split])


def _of_json(file: Path, text: TextIO) -> Iterator[Row]:
    content = parse_json(text.read(), str(file), _unique)
    if isinstance(content, dict):
        content = list(content.items())
    if not isinstance(content, list):
        raise InputError(f"{file} holds one {type(content).__name__}, not {{path: label}} or a list of rows")
    for number, row in enumerate(content, 1):
        if isinstance(row, dict):
            lower = {key.lower(): value for key, value in row.items()}
            cells = [next((lower[name] for name in names if name in lower), "") for names in _COLUMNS]
        else:
            cells = list(row) if isinstance(row, list | tuple) and len(row) == 2 else [row]
        if len(cells) < 2 or not all(isinstance(cell, str) or type(cell) is int for cell in cells):
            raise InputError(f"{file}, row {number}: {short(repr(row))} is no path with its label, a name or a number")
        yield Row(number, *(str(cell).strip() for cell in cells))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InputError(f"{short(twice)} is in the list twice: remove one of them")
    return values
