"""Tar archives walked from header to header, so that damage is told from the end and nothing is lost in silence.

Python's tarfile takes a damaged header for the end of the archive. Here the end is what the format says: two blocks of
zeros, or the end of the file. Anything else is damage: it is named, and the walk goes on at the next header, as GNU tar
does.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from alexnet.data.image import Unreadable
from alexnet.data.sources.source import read_file
from alexnet.errors import InputError

BLOCK = 512
RECORD = 20 * BLOCK
"""An archive is written in records of this length, unless `tar -b` says otherwise; zeros fill the last."""
PADDING = 10 << 20
"""Bytes of zeros at the end that are looked through."""
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of an archive that was compressed."""
EXTENSIONS = 16
"""Headers before a file's own, of long names and the like; two are usual."""
LONGEST = 1 << 20
"""Bytes of such a header."""
CANDIDATES = 10_000
"""Places looked at for the next header after damage."""

_EXTENSION = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@dataclass(frozen=True)
class Member:
    """A file in an archive: `size` bytes from byte `offset` of the whole file on; or `problem`, why it cannot be read."""

    name: str
    offset: int
    size: int
    problem: str | None = None


class _Damage(Exception):
    """A problem at the place of a header; the next header is looked for from byte `after` on."""

    def __init__(self, text: str, after: int) -> None:
        super().__init__(text)
        self.after = after


def members(path: Path, start: int = 0, end: int | None = None) -> Iterator[Member]:
    """The files of the tar in `path` that begins at byte `start` and ends before `end` (None: at the end of the file).

    None is remembered. Folders and devices are passed over; so are names that begin with a dot. A damaged header, a file
    that is longer than the archive, a link and a sparse file are members with a `problem`.
    Raises InputError where nothing after the damage can be read: the archive is cut off, or is no tar.
    """
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            first = _read(file, start, start + 8)
            packed = next((name for magic, name in PACKED.items() if first.startswith(magic)), None)
            if packed:
                raise InputError(f"{path} is compressed by {packed}: unpack it to a plain .tar")
            yield from members_of(file, str(path), start, length if end is None else min(end, length))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def members_of(file: BinaryIO, where: str, start: int, end: int) -> Iterator[Member]:
    """`members` of an open file; `where` names it in errors."""
    at = start
    while at < end:
        try:
            member, following = _member(file, at, end, end - start)
        except _Damage as damage:
            after = _next_header(file, damage.after, end)
            lost = (end if after is None else after) - at
            if after is None and (lost > PADDING or _read(file, max(at, end - 2 * BLOCK), end).strip(b"\0")):
                raise InputError(
                    f"{where} is damaged or cut off at byte {at:,} ({damage}), and the {lost:,} bytes from there on"
                    " cannot be read: download it again"
                ) from None
            problem = f"damaged archive ({damage} at byte {at:,}; {lost:,} bytes passed over)"
            yield Member(f"byte {at}", at, 0, problem)
            member, following = None, at + lost
        if following is None:
            return
        if member and not os.path.basename(member.name).startswith("."):
            yield member
        at = following


def read_member(path: str, member: Member) -> bytes:
    """The contents of a member of the archive in `path`. Raises Unreadable with its `problem`."""
    if member.problem:
        raise Unreadable(member.problem)
    return read_file(path, member.offset, member.size)


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(max(0, end - start))


def _fills(zeros: int, length: int) -> bool:
    """Whether so many zeros may end a whole archive of `length` bytes: two blocks, and what fills its last record."""
    record = 1 << max(0, zeros - 2 * BLOCK).bit_length()  # of `tar -b`, mostly a power of two
    return zeros <= 2 * BLOCK + RECORD or (zeros <= PADDING and length % record == 0)


def _member(file: BinaryIO, at: int, end: int, length: int) -> tuple[Member | None, int | None]:
    """The member at byte `at`, and the byte of the next one (None: the archive, of `length` bytes, ends here)."""
    extensions = b""
    for _ in range(EXTENSIONS):
        block = _read(file, at, min(at + BLOCK, end))
        if not extensions and not block.strip(b"\0"):
            if not _fills(end - at, length) or _read(file, at, end).strip(b"\0"):
                raise _Damage("zeros in place of a header", at + BLOCK)
            return None, None
        header = _parsed(block, at)
        if header.type not in _EXTENSION:
            break
        if not 0 <= header.size <= LONGEST:
            raise _Damage(f"a name of {header.size:,} bytes", at + BLOCK)
        after = at + BLOCK + _padded(header.size)
        extensions += _read(file, at, min(after, end))
        at = after
    else:
        raise _Damage(f"{EXTENSIONS} long names in a row", at)

    if extensions:
        header = _extended(extensions + block, at)
    # As tarfile does it: links and folders have no contents, whatever size they state.
    size = header.size if header.isreg() or header.type not in tarfile.SUPPORTED_TYPES else 0
    start = at + BLOCK
    if not 0 <= size <= end - start:
        raise _Damage(f"a file of {size:,} bytes where {end - start:,} are left: cut off", start)
    following = start + _padded(size)
    if header.issym() or header.islnk():
        return Member(header.name, start, 0, f"a link to {header.linkname}, not a file"), following
    if header.issparse():
        return Member(header.name, start, 0, "a sparse file inside an archive"), following
    return (Member(header.name, start, size) if header.isreg() else None), following


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _parsed(block: bytes, at: int) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        # ValueError: numbers that are none, which some versions of tarfile let through.
        raise _Damage("a damaged header" if len(block) == BLOCK else "half a header", at + 1) from None


def _extended(headers: bytes, at: int) -> tarfile.TarInfo:
    """The header at byte `at`, of a file that has others before it, for its long name, by tarfile itself."""
    try:
        with tarfile.open(fileobj=io.BytesIO(headers), mode="r:", errors="surrogateescape") as tar:
            header = tar.firstmember  # type: ignore[attr-defined]  # read when it is opened
    except (tarfile.TarError, OSError, ValueError, LookupError, OverflowError):
        header = None
    if not isinstance(header, tarfile.TarInfo):
        raise _Damage("a damaged long name", at)
    return header


def _next_header(file: BinaryIO, at: int, end: int) -> int | None:
    """The byte at which the next whole header begins, at `at` or after; it need not lie on a block of its own."""
    magic, offset = b"ustar", 257
    left, start, candidates = b"", at, 0
    while start < end:
        window = left + _read(file, start, min(start + (1 << 20), end))
        base = start - len(left)  # of the window, in the file
        place = window.find(magic)
        while place >= 0:
            header = base + place - offset
            if header >= at:
                candidates += 1
                try:
                    _parsed(_read(file, header, min(header + BLOCK, end)), header)
                    return header
                except _Damage:
                    pass
                if candidates == CANDIDATES:
                    return None
            place = window.find(magic, place + 1)
        left = window[1 - len(magic) :]
        start = base + len(window)
    return None
