"""Writing files whole or not at all, one writer to a folder, and what the system refuses, in words."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EIO, EISDIR, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import BinaryIO

from alexnet.errors import InputError


@contextmanager
def only_writer(folder: Path, command: str) -> Iterator[None]:
    """Hold `folder` for this process; InputError if another `command` holds it. A process that is killed lets go."""
    try:
        import fcntl
    except ImportError:  # Windows: then nothing keeps two of them apart
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another `{command}` is writing it; wait for it, or stop it") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def in_use(folder: Path) -> bool | None:
    """Whether another process holds `folder` as its `only_writer`; None where that cannot be told."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8) in one step."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Replace `path` by `content`, its parts one after the other, in one step.

    A kill in the middle leaves the old one, and a hidden .new beside it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with named(path):
        try:
            with beside.open("wb") as file:
                for part in content:
                    file.write(part)
                sync(file)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def sync(file: BinaryIO) -> None:
    """Bring what was written to `file` onto the disk."""
    file.flush()
    os.fsync(file.fileno())


# What keeps from writing ----------------------------------------------------------------------------------------------

_REFUSALS = {
    ENOSPC: ("the disk is full (No space left on device)", "make room on it"),
    EDQUOT: ("your share of the disk is used up (Disk quota exceeded)", "make room in it, or have the quota raised"),
    EFBIG: (
        "the file would be larger than is allowed (File too large)",
        "raise the limit (ulimit -f), or use another disk",
    ),
    EACCES: ("Permission denied", "get the right to it (ls -l says whose it is), or use another place"),
    EPERM: ("Operation not permitted", "get the right to it (ls -l says whose it is), or use another place"),
    EROFS: ("Read-only file system", "have it mounted for writing, or use another place"),
    EIO: ("the disk reports an error (Input/output error)", "see whether it is sound, or use another"),
    ENOENT: ("No such file or directory", "mend the name, or make its folder"),
    EEXIST: ("File exists", "use another name"),
    ENOTDIR: ("Not a directory", "mend the name: a part of it is a file"),
    EISDIR: ("Is a directory", "name a file"),
    ENAMETOOLONG: ("File name too long", "use a shorter one"),
}


def why(error: BaseException) -> tuple[str, str]:
    """The reason why a file cannot be read or written, and what mends it, of an OSError or what a library makes of one."""
    number = _number(error)
    text = error.strerror if isinstance(error, OSError) else None
    return _REFUSALS.get(number or 0, (text or " ".join(str(error).split()), "mend that"))


def refused(error: BaseException, path: Path | str | None = None) -> str:
    """The one line for such an error: the file (by default the one it names), what is wrong with it, what mends it."""
    file = path or getattr(error, "filename", None)
    reason, fix = why(error)
    return f"{os.fsdecode(file)}: {reason}; {fix}" if file else f"{reason}; {fix}"


def no_room(error: BaseException) -> bool:
    """Whether an error says that there is no more room: a full disk, a quota, a limit."""
    return _number(error) in (ENOSPC, EDQUOT, EFBIG)


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Put the name `path` into an OSError of writing it: of a full disk the system names no file, else the one beside it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _number(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if match := re.search(r"\(os error (\d+)\)", str(error)):  # as safetensors passes on what the system said
            return int(match[1])
        error = error.__cause__ or error.__context__
    return None
