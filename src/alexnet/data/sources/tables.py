"""Hugging Face datasets, by name or as parquet files (§2)."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import (
    SPLITS,
    Item,
    Part,
    Source,
    blocks,
    check_numbers,
    fingerprint_files,
    order_of_split,
    parts_of_rows,
    read_file,
    split_word,
)
from alexnet.errors import InputError
from alexnet.extras import need
from alexnet.words import gigabytes, short

HUB = "Hugging Face dataset "
"""How the description of one begins; its name follows."""
BATCH = 64 << 20
"""Bytes of rows that are read at once, if there are several."""
UNPACKED = 1 << 28
"""Bytes of a parquet file that may be packed into any number."""


@dataclass(frozen=True)
class Tables(Source):
    """Rows of a Hugging Face dataset, in their own order; at most a few rows in memory.

    Its parts are the row groups of parquet files, or blocks of rows of what is memory-mapped.
    """

    key: str  # the fingerprint
    tables: dict[str, Any]  # split -> datasets.Dataset or _Rows
    columns: tuple[str, str]  # of the images, of the labels
    label_of: dict[Any, int] = field(repr=False)  # a cell of the label column -> label
    folders_of_files: tuple[Path, ...]  # where the files of rows that only name one may lie; paths count from the first

    def parts(self, split: str) -> tuple[Part, ...]:
        table = self.tables[split]
        if isinstance(table, _Rows):
            return tuple(Part(None, rows) for _, _, rows in table.groups)
        return parts_of_rows(table.num_rows)

    def part(self, split: str, number: int) -> Iterator[Item]:
        table = self.tables[split]
        if isinstance(table, _Rows):
            first, rows = sum(rows for _, _, rows in table.groups[:number]), table.group(number)
        else:
            block = blocks(table.num_rows)[number]
            first, rows = block.start, table.select(block)
        image_column, label_column = self.columns
        for index, row in enumerate(_reading(self.description, rows), first):
            name, label = f"{split}/{index:08}", row[label_column]
            if label not in self.label_of:
                raise InputError(
                    f"{self.description}: row {name} has the label {short(repr(label))}, no class of train"
                )
            image = row[image_column] or {}
            if image.get("bytes") is None and image.get("path"):
                read: Callable[[], bytes] = partial(read_file, self._inside(image["path"], name))
            else:
                read = partial(bytes, image.get("bytes") or b"")
            yield Item(name, self.label_of[label], read)

    def _inside(self, path: str, row: str) -> str:
        """The path of the file that a row names. InputError for one outside the dataset: a table could name any file."""
        resolved = os.path.realpath(os.path.join(self.folders_of_files[0], path)) if "\0" not in path else ""
        if "://" in path or not any(Path(resolved).is_relative_to(folder) for folder in self.folders_of_files):
            raise InputError(
                f"{self.description}: row {row} names the file {short(path)!r}, outside {self.folders_of_files[0]}: "
                "export the table with the images in it"
            )
        return resolved

    def fingerprint(self) -> str:
        return self.key


@dataclass(frozen=True)
class _Rows:
    """Columns of parquet files, with the methods of a datasets.Dataset that are used here.

    A stream of `datasets` would read all files up to a row group, by threads that outlive it: of a damaged file, one in
    thousands ended the process.
    """

    groups: list[tuple[str, int, int]] = field(repr=False)  # file, number in it and rows of each row group
    features: Any

    @property
    def num_rows(self) -> int:
        return sum(rows for _, _, rows in self.groups)

    def select_columns(self, names: list[str]) -> "_Rows":
        return replace(self, features=type(self.features)({name: self.features[name] for name in names}))

    def cast_column(self, name: str, kind: Any) -> "_Rows":
        return replace(self, features=type(self.features)({**self.features, name: kind}))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(self.group(place) for place in range(len(self.groups)))

    def group(self, place: int) -> Iterator[dict[str, Any]]:
        import pyarrow
        import pyarrow.parquet
        from datasets.table import cast_table_to_features

        file, number, _ = self.groups[place]
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as opened:
            about = opened.metadata.row_group(number)
            rows = about.num_rows * BATCH // max(1, about.total_byte_size)  # large images are not held by the dozen
            unpacked = 0  # the file says how much only where no value is repeated
            for batch in opened.iter_batches(min(64, max(1, rows)), [number], list(self.features), use_threads=False):
                unpacked += batch.nbytes
                _check_size(file, unpacked)
                yield from cast_table_to_features(pyarrow.Table.from_batches([batch]), self.features).to_pylist()


def _reading(where: object, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same rows. Raises InputError where they cannot be read."""
    try:
        yield from rows
    except InputError:
        raise
    except Exception as error:  # pyarrow and datasets have many kinds
        raise InputError(f"{where} cannot be read as parquet: {_said(error)}") from None


def _said(error: Exception) -> str:
    return short(" ".join(str(error).split()) or type(error).__name__, 200)


def _datasets() -> Any:
    need("hub")
    import datasets

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
            f"hf:{name} cannot be loaded ({_said(error)}): check the name and the connection; "
            "without one, give a folder with the dataset's .parquet files"
        ) from None
    facts = [(split, table.num_rows, table.info.dataset_size, str(table.features)) for split, table in tables.items()]
    key = hashlib.sha256(repr((name, sorted(facts))).encode()).hexdigest()
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = tuple(Path(cache).expanduser().resolve() for cache in (datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE))
    return _open_tables(HUB + name, key, dict(tables), caches)


def open_parquet(path: Path) -> Tables:
    """A parquet file, or a folder of them (`train-*.parquet`, `validation-*`, `test-*`; other names are train).

    Files that rows name lie in the folder of the parquet files. Raises InputError for what cannot be read, and for names
    that may mean a split or not.
    """
    datasets = _datasets()
    import pyarrow.parquet

    files = [path] if path.is_file() else sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    split_files = _by_split(path, files)
    try:
        groups: dict[str, list[tuple[str, int, int]]] = {split: [] for split in split_files}
        for split, names in split_files.items():
            for name in names:
                about = pyarrow.parquet.read_metadata(name)
                _check_size(name, sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups)))
                groups[split] += [(name, n, about.row_group(n).num_rows) for n in range(about.num_row_groups)]
        kinds = datasets.Features.from_arrow_schema(pyarrow.parquet.read_schema(files[0]))
    except InputError:
        raise
    except Exception as error:  # pyarrow and datasets have many kinds
        raise InputError(f"{path} cannot be read as parquet: {_said(error)}") from None
    tables = {split: _Rows(places, kinds) for split, places in groups.items()}
    rows, size = sum(table.num_rows for table in tables.values()), sum(file.stat().st_size for file in files)
    if rows > size:  # a repeated value costs a table nothing
        raise InputError(f"{path} declares {rows:,} rows in {gigabytes(size)}: no images can be in it")
    description, key = f"parquet files, {path.resolve().name}", fingerprint_files(files)
    return _open_tables(description, key, tables, (files[0].parent.resolve(),))


def _by_split(path: Path, files: list[Path]) -> dict[str, list[str]]:
    """The names of the files of each split, by the words that they begin with."""
    split_files: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for file in files:
        first = re.match("[a-z]*", file.name.lower())
        word = first[0] if first and first[0] in SPLITS else ""
        if not word and len(files) > 1 and (inside := split_word(file.stem)):
            raise InputError(f"{file} looks like the split {inside}: begin its name with train, val or test")
        split = SPLITS.get(word, "train")
        if word and words.setdefault(split, word) != word:
            raise InputError(f"{path}: {words[split]} and {word} are both the split {split}: rename the files of one")
        split_files.setdefault(split, []).append(str(file))
    return split_files


def _check_size(file: str, unpacked: int) -> None:
    """Raises InputError for a file that unpacks to far more than images do, which are compressed already."""
    size = os.path.getsize(file)
    if unpacked > max(UNPACKED, 50 * size):
        raise InputError(f"{file} declares {gigabytes(unpacked)} in {gigabytes(size)}: images do not pack so well")


def _open_tables(description: str, key: str, tables: dict[str, Any], folders: tuple[Path, ...]) -> Tables:
    import datasets

    splits: dict[str, Any] = {}
    passed = PassedOver()
    for name in sorted(tables, key=order_of_split):
        split = SPLITS.get(name.lower())
        if split is None or split in splits:
            passed.add("split", name)
        else:
            splits[split] = tables[name]
    if "train" not in splits:
        raise InputError(f"{description} has no split train; it has {', '.join(tables)}")
    features = splits["train"].features
    image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
    image = image or next((name for name in ("image", "img", "images") if name in features), None)
    label = next((name for name in ("label", "labels", "fine_label") if name in features), None)
    label = label or next((name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    if image is None or label is None:
        missing = "image (image, img)" if image is None else "label (label, labels, fine_label)"
        raise InputError(f"{description} has no column for the {missing}; it has {', '.join(features)}")

    if isinstance(features[label], datasets.ClassLabel):
        classes = features[label].names
        label_of: dict[Any, int] = {number: number for number in range(len(classes))}
    else:
        classes, label_of = _classes(description, splits["train"], label, isinstance(features[label], datasets.Value))
    labelled = {}
    for split, table in splits.items():
        first = next(_reading(description, table.select_columns([label])), None)
        if split != "train" and (first is None or first[label] in (-1, None)):
            passed.add("split", f"{split}, its labels kept back")
            continue
        labelled[split] = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
    return Tables(
        description, tuple(classes), tuple(labelled), key, labelled, (image, label), label_of, folders, passed=passed
    )


def _classes(where: str, train: Any, label: str, single: bool) -> tuple[list[str], dict[Any, int]]:
    """The classes that the cells of a column without names of classes stand for, and the label of each cell."""
    cells: set[Any] = {row[label] for row in _reading(where, train.select_columns([label]))} if single else {None}
    if all(isinstance(cell, int) and cell >= 0 for cell in cells):
        largest = max(cells, default=-1)
        check_numbers(f"{where}, column {label}", largest, train.num_rows)
        return list(map(str, range(largest + 1))), {number: number for number in range(largest + 1)}
    if all(isinstance(cell, str) for cell in cells):
        names = sorted(cells)
        return names, {name: number for number, name in enumerate(names)}
    raise InputError(f"{where}: column {label} must hold class numbers from 0, or names")
