"""A prepared dataset in pieces that travel one at a time, each of bounded size, and are put together where they arrive.

NAME-02-of-03.tar          00000, 00001 ...: up to a MiB of a file each, compressed (zlib) where that makes it smaller
                           piece.json, last: the whole that this is a piece of; file, place and SHA-256 of each part
DEST.unpacking/whole.json  what the pieces that have come say of the whole
DEST.unpacking/piece-02    a piece that has come
DEST.unpacking/parts/      the files, as far as they have come
DEST.unpacking/set/        what is prepared of them, where they are a source's images

What travels are the files of the prepared dataset, or the images that it was prepared from (items.bin, items.jsonl) with
its manifest. Those are fewer bytes, and preparing them again gives the same pixels; the checksums say whether it did.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from errno import ENOSPC
from functools import partial
from glob import escape
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from alexnet.data import jpegs, prepared
from alexnet.data import sources as from_sources
from alexnet.data.prepare import FORM, Progress, prepare
from alexnet.data.prepared import Prepared
from alexnet.data.sources import Item, Source, choose
from alexnet.errors import InputError, RunFailed
from alexnet.files import only_writer, sync, write_bytes

FORMAT = 1
PART = 1 << 20
LAST = "piece.json"
SPLITS = ("train", "val", "test")
_IN_SPLITS = ("images.bin", jpegs.PIXELS, jpegs.OFFSETS, "labels.bin", "files.txt", "items.bin", "items.jsonl")
FILES = frozenset(
    ("manifest.json", "mean.npy", "colour.json", *(f"{split}/{file}" for split in SPLITS for file in _IN_SPLITS))
)
"""All that a piece may hold parts of: whatever it says, nothing else is written."""


@dataclass(frozen=True)
class Part:
    """`bytes` bytes of a file from `offset` on, and their SHA-256."""

    file: str
    offset: int
    bytes: int
    compressed: bool
    sha256: str


@dataclass(frozen=True)
class Whole:
    """What all pieces of one packing say alike."""

    name: str
    pieces: int
    made_from: dict[str, Any]
    """The set's source, size, store and quality."""
    contents: str
    """SHA-256 of what the set's manifest says of its contents: that of the same images with the same pixels is the same."""
    travels: str
    """"set": the files of the prepared dataset. "source": the images that it was prepared from."""
    files: dict[str, int]
    """What travels, in bytes."""
    layout: str
    """SHA-256 of the parts of all pieces."""

    def __str__(self) -> str:
        return f"{self.name} in {self.pieces} pieces ({self.layout[:8]})"

    def called(self, number: int) -> str:
        """A piece's number, with zeros before it."""
        return f"{number:0{max(2, len(str(self.pieces)))}}"


@dataclass(frozen=True)
class Piece:
    """A piece that lies in `path`: its parts, and where each begins there and how long it is."""

    path: Path
    whole: Whole
    number: int
    parts: tuple[Part, ...]
    places: tuple[tuple[int, int], ...]


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


# ---------------------------------------------------------------- packing


def pack(
    dataset: Prepared,
    dest: Path,
    megabytes: float = 55.0,
    source: Source | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Writes pieces of at most `megabytes` (of 10^6 bytes, all included) into the folder `dest` -> their paths.

    With `source`, the source that `dataset` was prepared from, its images travel. `workers` threads compress (default: one
    per core); `progress` is told how many bytes are done. The same set and options give the same bytes.

    Raises InputError where the dataset is damaged, where `source` is another or the dataset was not prepared as this
    program prepares, where `megabytes` is too little, and where `dest` holds pieces of that name already; RunFailed where
    the disk is full.
    """
    if source is None:
        if problems := dataset.check():
            raise InputError(problems[0])
        streams = _set_streams(dataset)
    else:
        streams = _source_streams(dataset, _same(source, dataset))
    dest, name = Path(dest), dataset.path.resolve().name
    about = _made_from(dataset.manifest)
    # What is no part: the first lines of piece.json with its header, and the tar's end, rounded up to 10,240 bytes.
    room = int(megabytes * 1e6) - len(_text([about, name])) - 4096 - 10_240
    try:
        dest.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{dest} is a file, or lies below one: give another DEST") from None
    with only_writer(dest, "alexnet pack"), _room_on(dest):
        if earlier := sorted(dest.glob(f"{escape(name)}-*-of-*.tar")):
            raise InputError(f"{earlier[0]} is there already: delete the pieces of that name, or give another DEST")
        for half in dest.glob(f".{escape(name)}-*"):  # of a run that was killed
            shutil.rmtree(half)
        with TemporaryDirectory(prefix=f".{name}-", dir=dest) as drafts:
            written = _write_parts(_parts(streams, workers or os.cpu_count() or 1), Path(drafts), room, progress)
            if written is None:
                raise InputError(f"--megabytes {megabytes:g}: too little for a piece; 2 are enough")
            files = {part.file: part.offset + part.bytes for _, parts in written for part in parts}
            layout = _sha256(_text([[asdict(part) for part in parts] for _, parts in written]))
            travels = "set" if source is None else "source"
            whole = Whole(name, len(written), about, _contents(dataset.manifest), travels, files, layout)
            paths = []
            for number, (draft, parts) in enumerate(written, 1):
                said = {"format": FORMAT, "number": number, "whole": asdict(whole), "parts": [asdict(p) for p in parts]}
                with tarfile.open(draft, "a:") as tar:
                    _add(tar, LAST, _text({"sha256": _sha256(_text(said)), "piece": said}))
                with draft.open("r+b") as file:
                    sync(file)
                paths.append(dest / f"{name}-{whole.called(number)}-of-{whole.called(whole.pieces)}.tar")
            for (draft, _), path in zip(written, paths, strict=True):
                draft.replace(path)
    return paths


def _write_parts(
    stream: Iterator[tuple[Part, bytes]], folder: Path, room: int, progress: Callable[[int], None] | None
) -> list[tuple[Path, list[Part]]] | None:
    """Tars of parts in `folder`, each of at most `room` bytes, as far as `_space` knows; None if no part has room."""
    written: list[tuple[Path, list[Part]]] = []
    done, waiting = 0, next(stream, None)
    while waiting:
        parts: list[Part] = []
        written.append((folder / f"{len(written)}.tar", parts))
        used = 0
        with tarfile.open(written[-1][0], "w:") as tar:
            while waiting and (used := used + _space(*waiting)) <= room:
                _add(tar, f"{len(parts):05}", waiting[1])
                parts.append(waiting[0])
                done += waiting[0].bytes
                if progress:
                    progress(done)
                waiting = next(stream, None)
        if not parts:
            return None
    return written


def _space(part: Part, stored: bytes) -> int:
    """Bytes of a piece that a part takes: header, contents in blocks of 512, what piece.json says of it."""
    return 512 + -(-len(stored) // 512) * 512 + len(_text(asdict(part))) + 2


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _contents(manifest: dict[str, Any]) -> str:
    said = {name: manifest[name] for name in ("size", "classes", "splits", "statistics")}
    return _sha256(_text(said))


def _made_from(manifest: dict[str, Any]) -> dict[str, Any]:
    store = {"store": manifest.get("store", "raw"), "quality": manifest.get("quality")}
    return {"source": manifest["source"], "size": manifest["size"], **store}


@contextmanager
def _room_on(dest: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        raise RunFailed(f"{dest}: the disk is full; make room and run the same command again") from error


def _parts(streams: Iterable[tuple[str, Iterable[bytes]]], workers: int) -> Iterator[tuple[Part, bytes]]:
    """(part, the bytes that are stored of it), in order."""

    def work(block: tuple[str, int, bytes]) -> tuple[Part, bytes]:
        file, offset, content = block
        smaller = zlib.compress(content)
        compressed = len(smaller) < len(content)
        return Part(file, offset, len(content), compressed, _sha256(content)), smaller if compressed else content

    blocks = chain.from_iterable(_blocks(file, contents) for file, contents in streams)
    with ThreadPoolExecutor(workers, thread_name_prefix="pack") as pool:
        while some := list(islice(blocks, 4 * workers)):
            yield from pool.map(work, some)


def _blocks(file: str, contents: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    """(file, offset, PART bytes, at the end fewer) of what comes in lengths of any kind."""
    held, offset = bytearray(), 0
    for content in contents:
        held += content
        while len(held) >= PART:
            yield file, offset, bytes(held[:PART])
            del held[:PART]
            offset += PART
    if held:
        yield file, offset, bytes(held)


def _set_streams(dataset: Prepared) -> Iterator[tuple[str, Iterable[bytes]]]:
    names = ["manifest.json", *dataset.manifest["statistics"]]
    pixels = [jpegs.PIXELS, jpegs.OFFSETS] if dataset.store == "jpeg" else ["images.bin"]
    names += [f"{split}/{file}" for split in dataset.splits for file in ("labels.bin", "files.txt", *pixels)]
    for name in names:
        with (dataset.path / name).open("rb") as file:
            yield name, iter(partial(file.read, PART), b"")


def _same(source: Source, dataset: Prepared) -> Source:
    """`source`, or those of its classes that `dataset` has. Raises InputError where preparing it gives something else."""
    form = dataset.manifest.get("form", 1)
    if form != FORM:
        raise InputError(
            f"{dataset.path} was prepared by another version, whose resizing gave other pixels (form {form}, now {FORM}):"
            " prepare it again, or pack it without --source"
        )
    if source.classes != dataset.classes and set(dataset.classes) <= set(source.classes):
        source = choose(source, dataset.classes)
    if source.fingerprint() != dataset.manifest["source"]["fingerprint"]:
        made = dataset.manifest["source"]["description"]
        raise InputError(f"--source: {source.description} is not what {dataset.path} was prepared from, {made}")
    return source


def _source_streams(dataset: Prepared, source: Source) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "manifest.json", [(dataset.path / "manifest.json").read_bytes()]
    for split in source.splits:
        index: list[bytes] = []
        yield f"{split}/items.bin", _images(source.items(split), index)
        yield f"{split}/items.jsonl", index


def _images(items: Iterator[Item], index: list[bytes]) -> Iterator[bytes]:
    """The items' bytes, an array's as .npy; their lines [bytes, label, name, whether it is an array] go into `index`."""
    for item in items:
        try:
            image = item.read()
        except OSError as error:
            raise InputError(
                f"{item.name} cannot be read ({error.strerror or error}): mend it, or pack without --source"
            ) from None
        is_array = isinstance(image, np.ndarray)
        if isinstance(image, np.ndarray):
            file = io.BytesIO()
            np.save(file, image, allow_pickle=False)
            image = file.getvalue()
        index.append(json.dumps([len(image), item.label, item.name, is_array]).encode() + b"\n")
        yield image


# ---------------------------------------------------------------- unpacking


def read_piece(path: Path) -> Piece:
    """What `path` says of itself, its contents unread. Raises InputError where it is no whole piece, or says odd things."""
    again = "bring it again"
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name: member for member in tar.getmembers()}
            last = members.pop(LAST, None)
            file = tar.extractfile(last) if last and last.isreg() else None
            if file is None:
                raise InputError(f"{path} is cut off, or no piece of a packed dataset: {again}")
            text = file.read()
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is cut off, or no piece of a packed dataset ({error}): {again}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    try:
        document = json.loads(text)
        said = document["piece"]
        if _sha256(_text(said)) != document["sha256"]:
            raise ValueError("its description was changed")
        if said["format"] != FORMAT:
            raise InputError(f"{path} has format {said['format']}, this program reads {FORMAT}: pack the dataset again")
        whole, number = Whole(**said["whole"]), said["number"]
        parts = tuple(Part(**part) for part in said["parts"])
        _check_said(whole, number, parts)
        if members.keys() != {f"{at:05}" for at in range(len(parts))}:
            raise ValueError("it holds other files than its parts")
        held = [members[f"{at:05}"] for at in range(len(parts))]
        if not all(member.isreg() and not member.issparse() for member in held):
            raise ValueError("it holds something that is no plain file")
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): {again}") from None
    return Piece(path, whole, number, parts, tuple((member.offset_data, member.size) for member in held))


def _check_said(whole: Whole, number: int, parts: tuple[Part, ...]) -> None:
    """ValueError or TypeError for a description that cannot be that of a piece."""
    numbers = [number, whole.pieces, *whole.files.values(), *(n for part in parts for n in (part.offset, part.bytes))]
    texts = [whole.name, whole.contents, whole.layout, *(part.sha256 for part in parts)]
    if not all(type(n) is int for n in numbers) or not all(isinstance(text, str) for text in texts):
        raise ValueError("its description has values of wrong kinds")
    if not 1 <= number <= whole.pieces <= 1_000_000 or whole.travels not in ("set", "source"):
        raise ValueError("its description contradicts itself")
    if odd := [file for file in whole.files if file not in FILES]:
        raise ValueError(f"{odd[0]!r} is no file of a dataset")
    for part in parts:
        if part.file not in whole.files or not 0 <= part.offset < part.offset + part.bytes <= whole.files[part.file]:
            raise ValueError(f"a part lies outside of {part.file!r}")
        if part.bytes > 1 << 26:
            raise ValueError("a part is too large")


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
    dest = Path(dest).absolute()
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
    with only_writer(beside, "alexnet unpack"), _room_on(beside):
        earlier = _whole_of(beside)
        if opened and earlier:
            _check_same(opened[0], earlier, beside)
        elif not earlier:
            write_bytes(beside / "whole.json", _text(asdict(whole)))
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
        identical = _contents(made.manifest) == whole.contents
        if dest.exists():
            dest.rmdir()  # empty
        made.path.replace(dest)
        shutil.rmtree(beside / "parts", ignore_errors=True)  # those of a source; whole.json goes after them
        shutil.rmtree(beside)
    return Unpacked(whole, (), prepared.open(dest), identical=identical)


def _whole_of(beside: Path) -> Whole | None:
    """What earlier pieces said of the whole; None where there were none."""
    try:
        return Whole(**json.loads((beside / "whole.json").read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
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
    identical = _contents(there.manifest) == whole.contents
    if identical or (whole.travels == "source" and _made_from(there.manifest) == whole.made_from):
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
        if len(content) != part.bytes or _sha256(content) != part.sha256:
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
    """The dataset, whole and checked, in a folder below `beside`."""
    parts = beside / "parts"
    broken = f"{beside} is damaged: delete it and unpack all pieces again"
    if {name: _length(parts / name) for name in whole.files} != whole.files:
        raise RunFailed(broken)
    manifest = json.loads((parts / "manifest.json").read_bytes())
    # Names of folders that are written below.
    if _contents(manifest) != whole.contents or not set(manifest["splits"]) <= set(SPLITS):
        raise RunFailed(broken)
    if whole.travels == "set":
        made = prepared.open(parts)
    else:
        about = whole.made_from
        quality = 95 if about["quality"] is None else about["quality"]
        made = prepare(
            PackedSource(parts, manifest),
            beside / "set",
            about["size"],
            max_bad=1.0,  # as many as it was prepared with
            workers=workers,
            progress=progress,
            store=about["store"],
            quality=quality,
        )
    if made.check():
        raise RunFailed(broken)
    return made


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
    return np.load(io.BytesIO(from_sources.read_part(path, offset, size)), allow_pickle=False)


def would_be_committed(dest: Path) -> bool:
    """Whether `dest` lies in a git checkout that does not ignore it."""
    dest = dest.absolute()
    above = next(folder for folder in dest.parents if folder.is_dir())
    try:
        answer = subprocess.run(["git", "check-ignore", "-q", str(dest)], cwd=above, capture_output=True)
    except OSError:  # no git
        return False
    return answer.returncode == 1
