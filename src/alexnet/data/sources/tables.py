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
    blocks,
    check_numbers,
    fingerprint_files,
    read_file,
    split_word,
)
from alexnet.errors import InputError
from alexnet.words import gigabytes, short

BATCH = 64 << 20
"""Bytes of rows that are read at once, if there are several."""
UNPACKED = 1 << 28
"""Bytes of a parquet file that may be packed into any number."""


@dataclass(frozen=True)
class Tables:
    """Rows of a Hugging Face dataset, in their own order; at most a few rows in memory."""

    description: str
    key: str  # the fingerprint
    tables: dict[str, Any]  # split -> datasets.Dataset or _Rows
    counts: dict[str, int]
    image: str  # column names
    label: str
    classes: tuple[str, ...]
    label_of: dict[Any, int] = field(repr=False)  # a cell of the label column -> label
    folders_of_files: tuple[Path, ...]  # where the files of rows that only name one may lie; paths count from the first
    passed_over: PassedOver
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
        return tuple(Part(None, len(rows)) for rows in blocks(self.counts[split]))

    def part(self, split: str, number: int) -> Iterator[Item]:
        if self.groups:
            first = sum(rows for _, _, rows in self.groups[split][:number])
            return self._items(split, self.tables[split].group(*self.groups[split][number][:2]), first)
        rows = blocks(self.counts[split])[number]
        return self._items(split, self.tables[split].select(rows), rows.start)

    def _items(self, split: str, rows: Any, first: int) -> Iterator[Item]:
        for number, row in enumerate(_reading(self.description, rows), first):
            name = f"{split}/{number:08}"
            if row[self.label] not in self.label_of:
                raise InputError(
                    f"{self.description}: row {name} has the label {short(repr(row[self.label]))}, no class of train"
                )
            image = row[self.image] or {}
            if image.get("bytes") is None and image.get("path"):
                read: Callable[[], bytes] = partial(read_file, self._inside(image["path"], name))
            else:
                read = partial(bytes, image.get("bytes") or b"")
            yield Item(name, self.label_of[row[self.label]], read)

    def _inside(self, path: str, row: str) -> str:
        """Where the file is that a row names. InputError where that is outside the dataset: a table could name any file."""
        resolved = os.path.realpath(os.path.join(self.folders_of_files[0], path)) if "\0" not in path else ""
        if "://" in path or not any(Path(resolved).is_relative_to(folder) for folder in self.folders_of_files):
            raise InputError(
                f"{self.description}: row {row} names the file {short(path)!r}, outside {self.folders_of_files[0]}: "
                "export the table with the images in it"
            )
        return resolved

    def count(self, split: str) -> int:
        return self.counts[split]

    def fingerprint(self) -> str:
        return self.key


@dataclass(frozen=True)
class _Rows:
    """Columns of parquet files, with the methods of a datasets.Dataset that are used here.

    A stream of `datasets` would read all files up to a row group, by threads that outlive it: of a damaged file, one in
    thousands ended the process.
    """

    groups: list[tuple[str, int, int]] = field(repr=False)  # as in Tables
    features: Any

    def select_columns(self, names: list[str]) -> "_Rows":
        return replace(self, features=type(self.features)({name: self.features[name] for name in names}))

    def cast_column(self, name: str, kind: Any) -> "_Rows":
        return replace(self, features=type(self.features)({**self.features, name: kind}))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(self.group(file, number) for file, number, _ in self.groups)

    def group(self, file: str, number: int) -> Iterator[dict[str, Any]]:
        import pyarrow
        import pyarrow.parquet
        from datasets.table import cast_table_to_features

        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as opened:
            about = opened.metadata.row_group(number)
            rows = about.num_rows * BATCH // max(1, about.total_byte_size)  # large images are not held by the dozen
            unpacked = 0  # the file says how much only where no value is repeated
            for batch in opened.iter_batches(min(64, max(1, rows)), [number], list(self.features), use_threads=False):
                unpacked += batch.nbytes
                _check_size(file, unpacked)
                yield from cast_table_to_features(pyarrow.Table.from_batches([batch]), self.features).to_pylist()


def _reading(where: object, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows. Raises InputError where what is there cannot be read."""
    try:
        yield from rows
    except InputError:
        raise
    except Exception as error:  # pyarrow and datasets have many kinds
        raise InputError(f"{where} cannot be read as parquet: {_said(error)}") from None


def _said(error: Exception) -> str:
    return short(" ".join(str(error).split()) or type(error).__name__, 200)


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
            f"hf:{name} cannot be loaded ({_said(error)}): check the name and the connection; "
            "without one, give a folder with the dataset's .parquet files"
        ) from None
    description = f"Hugging Face dataset {name}"
    counts = {split: table.num_rows for split, table in tables.items()}
    facts = [(split, table.num_rows, table.info.dataset_size, str(table.features)) for split, table in tables.items()]
    key = hashlib.sha256(repr((name, sorted(facts))).encode()).hexdigest()
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = tuple(Path(cache).expanduser().resolve() for cache in (datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE))
    return _open_tables(datasets, description, key, dict(tables), counts, caches)


def open_parquet(path: Path) -> Tables:
    """A parquet file, or a folder of them (`train-*.parquet`, `validation-*`, `test-*`; other names are train).

    Files that rows name lie in the folder of the parquet files. Raises InputError for what cannot be read, and for names
    that may mean a split or not.
    """
    datasets = _datasets()
    import pyarrow.parquet

    files = [path] if path.is_file() else sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    of_split: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for file in files:
        first = re.match("[a-z]*", file.name.lower())
        word = first[0] if first and first[0] in SPLITS else ""
        if not word and len(files) > 1 and (inside := split_word(file.stem)):
            raise InputError(f"{file} looks like the split {inside}: begin its name with train, val or test")
        split = SPLITS.get(word, "train")
        if word and words.setdefault(split, word) != word:
            raise InputError(f"{path}: {words[split]} and {word} are both the split {split}: rename the files of one")
        of_split.setdefault(split, []).append(str(file))
    try:
        groups: dict[str, list[tuple[str, int, int]]] = {split: [] for split in of_split}
        for split, names in of_split.items():
            for name in names:
                about = pyarrow.parquet.read_metadata(name)
                _check_size(name, sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups)))
                groups[split] += [(name, n, about.row_group(n).num_rows) for n in range(about.num_row_groups)]
        counts = {split: sum(rows for _, _, rows in of_one) for split, of_one in groups.items()}
        _check_counts(path, files, sum(counts.values()))
        kinds = datasets.Features.from_arrow_schema(pyarrow.parquet.read_schema(files[0]))
        tables = {split: _Rows(of_one, kinds) for split, of_one in groups.items()}
    except InputError:
        raise
    except Exception as error:  # pyarrow and datasets have many kinds
        raise InputError(f"{path} cannot be read as parquet: {_said(error)}") from None
    description, key = f"parquet files, {path.resolve().name}", fingerprint_files(files)
    opened = _open_tables(datasets, description, key, tables, counts, (files[0].parent.resolve(),))
    return replace(opened, groups=groups)


def _check_size(file: str, unpacked: int) -> None:
    """InputError for a file that unpacks to far more than images do, which are compressed already."""
    size = os.path.getsize(file)
    if unpacked > max(UNPACKED, 50 * size):
        raise InputError(f"{file} declares {gigabytes(unpacked)} in {gigabytes(size)}: images do not pack so well")


def _check_counts(path: Path, files: list[Path], rows: int) -> None:
    """InputError where files declare more rows than they have bytes: a repeated value costs a table nothing."""
    size = sum(file.stat().st_size for file in files)
    if rows > size:
        raise InputError(f"{path} declares {rows:,} rows in {gigabytes(size)}: no images can be in it")


def _open_tables(
    datasets: Any,
    description: str,
    key: str,
    tables: dict[str, Any],
    counts: dict[str, int],
    folders_of_files: tuple[Path, ...],
) -> Tables:
    by_split: dict[str, Any] = {}
    passed, order = PassedOver(), list(SPLITS)
    for name in sorted(tables, key=lambda name: order.index(name.lower()) if name.lower() in SPLITS else len(order)):
        split = SPLITS.get(name.lower())
        if split is None or split in by_split:
            passed.add("split", name)
        else:
            by_split[split] = (tables[name], counts[name])
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
    elif not isinstance(features[label], datasets.Value):
        raise InputError(f"{description}: column {label} must hold class numbers from 0, or names")
    else:
        cells = {row[label] for row in _reading(description, by_split["train"][0].select_columns([label]))}
        if all(isinstance(cell, int) and cell >= 0 for cell in cells):
            check_numbers(f"{description}, column {label}", max(cells, default=-1), by_split["train"][1])
            classes = tuple(str(number) for number in range(max(cells, default=-1) + 1))
            label_of = {number: number for number in range(len(classes))}
        elif all(isinstance(cell, str) for cell in cells):
            classes = tuple(sorted(cells))
            label_of = {name: number for number, name in enumerate(classes)}
        else:
            raise InputError(f"{description}: column {label} must hold class numbers from 0, or names")

    chosen, rows = {}, {}
    for split, (table, count) in by_split.items():
        first = next(_reading(description, table.select_columns([label])), None)
        if split != "train" and (first is None or first[label] in (-1, None)):
            passed.add("split", f"{split}, its labels kept back")
            continue
        chosen[split] = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
        rows[split] = count
    return Tables(description, key, chosen, rows, image, label, classes, label_of, folders_of_files, passed)
