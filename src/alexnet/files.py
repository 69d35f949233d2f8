"""Writing files whole or not at all: beside the place, then renamed into it; and one writer to a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8) in one step."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Replace `path` by `content`, its parts one after the other, in one step.

    A kill in the middle leaves the old one, and a hidden .new beside it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
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
