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
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.data import jpegs
from alexnet.errors import InputError, RunFailed
from alexnet.files import no_room, refused

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


def as_json(value: Any) -> bytes:
    """The same bytes for the same value."""
    return json.dumps(value, sort_keys=True).encode()


def sha256(content: bytes) -> str:
    """The checksum of parts and descriptions, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def contents_of(manifest: dict[str, Any]) -> str:
    """`Whole.contents` of a prepared dataset with this manifest."""
    said = {name: manifest[name] for name in ("size", "classes", "splits", "statistics")}
    return sha256(as_json(said))


def made_from(manifest: dict[str, Any]) -> dict[str, Any]:
    """`Whole.made_from` of a prepared dataset with this manifest."""
    store = {"store": manifest.get("store", "raw"), "quality": manifest.get("quality")}
    return {"source": manifest["source"], "size": manifest["size"], **store}


@contextmanager
def room_on(dest: Path) -> Iterator[None]:
    """Raises RunFailed where the disk of `dest` is full."""
    try:
        yield
    except OSError as error:
        if not no_room(error):
            raise
        raise RunFailed(f"{refused(error, dest)}, and run the same command again") from error


def read_piece(path: Path) -> Piece:
    """What `path` says of itself, its contents unread. Raises InputError where it is no whole piece, or says odd things."""
    again = "bring it again"
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name: member for member in tar.getmembers()}
            last = members.pop(LAST, None)
            file = tar.extractfile(last) if last and last.isreg() and not last.issparse() else None
            text = file.read() if file else b""
    except (tarfile.TarError, EOFError, LookupError, OverflowError, ValueError) as error:
        raise InputError(f"{path} is cut off, or no piece of a packed dataset ({error}): {again}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    if not text:
        raise InputError(f"{path} is cut off, or no piece of a packed dataset: {again}")
    try:
        document = json.loads(text)
        said = document["piece"]
        if sha256(as_json(said)) != document["sha256"]:
            raise ValueError("its description was changed")
        if said["format"] != FORMAT:
            raise InputError(f"{path} has format {said['format']}, this program reads {FORMAT}: pack the dataset again")
        whole, number = Whole(**said["whole"]), said["number"]
        parts = tuple(Part(**part) for part in said["parts"])
        check_said(whole, number, parts)
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


def check_said(whole: Whole, number: int, parts: tuple[Part, ...]) -> None:
    """ValueError or TypeError for a description that cannot be that of a piece."""
    numbers = [number, whole.pieces, *whole.files.values(), *(n for part in parts for n in (part.offset, part.bytes))]
    texts = [whole.name, whole.contents, whole.layout, *(part.sha256 for part in parts)]
    right = isinstance(whole.made_from, dict) and all(type(part.compressed) is bool for part in parts)
    if not right or not all(type(n) is int for n in numbers) or not all(isinstance(text, str) for text in texts):
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
