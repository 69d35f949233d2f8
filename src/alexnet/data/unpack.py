"""Pieces that travelled (packed.py) -> the prepared dataset, piece by piece as they come."""

import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data import prepared
from alexnet.data.packed import (
    SPLITS,
    Part,
    Piece,
    Whole,
    as_json,
    check_said,
    contents_of,
    made_from,
    read_piece,
    room_on,
    sha256,
)
from alexnet.data.prepare import Progress, prepare
from alexnet.data.prepared import Prepared
from alexnet.data.sources import source as from_sources
from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import Item
from alexnet.errors import InputError, RunFailed
from alexnet.files import only_writer, sync, write_bytes
from alexnet.reading import parse_array, read_json


@dataclass(frozen=True)
class Unpacked:
    """How far `unpack` has come. `dataset` is None while pieces are missing; `there_before`: nothing was left to do.

    `identical`: whether the dataset has the pixels of the one that was packed.
    """

    whole: Whole
    missing: tuple[int, ...]
    dataset: Prepared | None = None
    there_before: bool = False
    identical: bool = True


def unpack(
    pieces: Sequence[Path],
    dest: Path,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Unpacked:
    """Puts pieces together into the prepared dataset `dest`: any of them, in any order, now or in another call.

    Until all are there and the dataset has been checked against its checksums, it lies in DEST.unpacking. Killed at any
    moment, the same call goes on. A piece that has come may be deleted, and may come again. `workers` threads work
    (default: one per core); `progress` is told of preparing, where a source's images travelled.

    Raises InputError for a piece that is damaged or of another set, naming it, and where `dest` is something else;
    RunFailed where the disk is full, or does not keep what is written.
    """
    workers = workers or os.cpu_count() or 1
    dest = Path(dest).resolve()
    if not dest.name:
        raise InputError(f"{dest}: no place for a dataset; give a folder of its own as DEST")
    beside = dest.with_name(f"{dest.name}.unpacking")
    opened = [read_piece(path) for path in pieces]
    whole = opened[0].whole if opened else _whole_of(beside)
    for piece in opened[1:]:
        _check_same(piece, opened[0].whole, opened[0].path)
    if whole and (finished := _finished(dest, whole)):
        if _whole_of(beside) == whole:  # a kill came between the last two steps
            shutil.rmtree(beside)
        return finished
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise InputError(f"{dest} is there and no prepared dataset: give another DEST")
    if whole is None:
        raise InputError(f"{beside} does not exist: give the pieces of a dataset, and then DEST")
    try:
        (beside / "parts").mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{beside} is a file, or lies below one: give another DEST") from None
    with only_writer(beside, "alexnet unpack"), room_on(beside):
        earlier = _whole_of(beside)
        if opened and earlier:
            _check_same(opened[0], earlier, beside)
        elif not earlier:
            write_bytes(beside / "whole.json", as_json(asdict(whole)))
        missing = set(range(1, whole.pieces + 1))
        missing -= {int(mark.name.partition("-")[2]) for mark in beside.glob("piece-*")}
        for piece in opened:
            if piece.number in missing:
                _place(piece, beside / "parts", workers)
                write_bytes(beside / f"piece-{whole.called(piece.number)}", b"")
                missing.discard(piece.number)
        if missing:
            return Unpacked(whole, tuple(sorted(missing)))
        made = _made_of(whole, beside, workers, progress)
        identical = contents_of(made.manifest) == whole.contents
        if dest.exists():
            dest.rmdir()  # empty
        made.path.replace(dest)
        shutil.rmtree(beside / "parts", ignore_errors=True)  # those of a source; whole.json goes after them
        shutil.rmtree(beside)
    return Unpacked(whole, (), prepared.open(dest), identical=identical)


def _whole_of(beside: Path) -> Whole | None:
    """What earlier pieces said of the whole; None where there were none."""
    try:
        whole = Whole(**read_json(beside / "whole.json"))
        check_said(whole, 1, ())
        return whole
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{beside / 'whole.json'} is damaged: delete {beside} and unpack all pieces again") from None


def _check_same(piece: Piece, whole: Whole, of: Path) -> None:
    if piece.whole != whole:
        raise InputError(
            f"{piece.path} is a piece of {piece.whole}, but {of} of {whole}: give each packing a DEST of its own"
        )


def _finished(dest: Path, whole: Whole) -> Unpacked | None:
    """What is in `dest` if it is the dataset already; None where there is none. Raises InputError for another one."""
    if not (dest / "manifest.json").is_file():
        return None
    there = prepared.open(dest)
    identical = contents_of(there.manifest) == whole.contents
    if identical or (whole.travels == "source" and made_from(there.manifest) == whole.made_from):
        return Unpacked(whole, (), there, there_before=True, identical=identical)
    raise InputError(f"{dest} is another prepared dataset than {whole}: give another DEST")


def _place(piece: Piece, folder: Path, workers: int) -> None:
    """Writes the parts of a piece where they belong, and onto the disk."""
    touched = sorted({part.file for part in piece.parts})
    for name in touched:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).open("ab").close()

    def work(part: Part, place: tuple[int, int]) -> None:
        content = from_sources.read_part(str(piece.path), *place)
        try:
            if part.compressed:
                content = zlib.decompressobj().decompress(content, part.bytes)
        except zlib.error:
            content = b""
        if len(content) != part.bytes or sha256(content) != part.sha256:
            raise InputError(f"{piece.path} is damaged (its part of {part.file} at {part.offset:,}): bring it again")
        with (folder / part.file).open("r+b") as file:
            file.seek(part.offset)
            file.write(content)

    with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as pool:
        list(pool.map(work, piece.parts, piece.places))
    for name in touched:
        with (folder / name).open("r+b") as file:
            sync(file)


def _made_of(whole: Whole, beside: Path, workers: int, progress: Callable[[Progress], None] | None) -> Prepared:
    """The dataset, whole and checked, in a folder below `beside`. Raises RunFailed where the parts are not those of one."""
    broken = f"{beside} is damaged: delete it and unpack all pieces again"
    if {name: _length(beside / "parts" / name) for name in whole.files} != whole.files:
        raise RunFailed(broken)
    try:
        made = _made(whole, beside, workers, progress)
        if made is not None and not made.check():
            return made
    except (InputError, OSError):
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        # Pieces whose checksums fit and whose contents do not: nobody but a hand makes them.
        raise RunFailed(f"{broken} ({type(error).__name__}: {error})") from error
    raise RunFailed(broken)


def _made(whole: Whole, beside: Path, workers: int, progress: Callable[[Progress], None] | None) -> Prepared | None:
    """The dataset, unchecked; None if its manifest is another than the pieces say."""
    parts, about = beside / "parts", whole.made_from
    manifest = json.loads((parts / "manifest.json").read_bytes())
    # The splits are folders that are written below.
    if (
        contents_of(manifest) != whole.contents
        or made_from(manifest) != about
        or not set(manifest["splits"]) <= set(SPLITS)
    ):
        return None
    if whole.travels == "set":
        return prepared.open(parts)
    return prepare(
        PackedSource(parts, manifest),
        beside / "set",
        about["size"],
        max_bad=1.0,  # as many as it was prepared with
        workers=workers,
        progress=progress,
        store=about["store"],
        quality=95 if about["quality"] is None else about["quality"],
    )


def _length(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@dataclass(frozen=True)
class PackedSource:
    """The images that travelled, as the source that they were (sources.Source): same names, order and fingerprint."""

    folder: Path
    manifest: dict[str, Any]
    default_size: int = 256

    @property
    def description(self) -> str:
        return self.manifest["source"]["description"]

    @property
    def passed_over(self) -> PassedOver:
        return PassedOver(self.manifest.get("passed_over", {}))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.manifest["splits"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    def items(self, split: str) -> Iterator[Item]:
        path, offset = str(self.folder / split / "items.bin"), 0
        with (self.folder / split / "items.jsonl").open("rb") as index:
            for line in index:
                length, label, name, is_array = json.loads(line)
                read = partial(_read_array if is_array else from_sources.read_part, path, offset, length)
                yield Item(name, label, read)
                offset += length

    def parts(self, split: str) -> tuple[from_sources.Part, ...]:
        return (from_sources.Part(None, self.count(split)),)

    def part(self, split: str, number: int) -> Iterator[Item]:
        return self.items(split)

    def count(self, split: str) -> int:
        facts = self.manifest["splits"][split]
        return facts["images"] + len(facts["skipped"])

    def fingerprint(self) -> str:
        return self.manifest["source"]["fingerprint"]


def _read_array(path: str, offset: int, size: int) -> np.ndarray:
    try:
        return parse_array(from_sources.read_part(path, offset, size), path)
    except InputError as error:  # one image that cannot be read, as `prepare` takes it
        raise ValueError(str(error)) from None


def would_be_committed(dest: Path) -> bool:
    """Whether `dest` lies in a git checkout that does not ignore it."""
    dest = dest.resolve()
    above = next((folder for folder in dest.parents if folder.is_dir()), dest)
    try:
        answer = subprocess.run(["git", "check-ignore", "-q", str(dest)], cwd=above, capture_output=True)
    except OSError:  # no git
        return False
    return answer.returncode == 1
