"""Reading files that may come from anywhere: no larger than such a file can be, and one line for what is wrong with them."""

import hashlib
import io
import json
import math
import os
import stat
import threading
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import InputError

SMALL = 1 << 22
"""Bytes that no description of a run exceeds: recipes, lists of classes, and the like."""


def check_plain(path: Path, most: int) -> None:
    """Raise InputError, naming it, for what is no plain file of at most `most` bytes; OSError as `open`."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{path}: no plain file")
    if about.st_size > most:
        raise InputError(f"{path}: {about.st_size:,} bytes, more than such a file can have ({most:,}); it is damaged")


def read_bytes(path: Path, most: int) -> bytes:
    """The contents of a plain file of at most `most` bytes. Raises InputError, naming it, for any other; OSError as `open`."""
    check_plain(path, most)
    return path.read_bytes()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal digits; OSError as `open`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, most: int = SMALL) -> Any:
    """The JSON value in a file of at most `most` bytes. Raises InputError, naming it, for any other; OSError as `open`."""
    return parse_json(read_bytes(path, most), str(path))


def parse_json(
    text: str | bytes, where: str, pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None
) -> Any:
    """The value that JSON text stands for; InputError, naming `where`, for what is no JSON, too deep or with endless digits.

    pairs: what makes an object of its (name, value) pairs; an InputError of it gets the name.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=pairs)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8; it is damaged") from None
    except RecursionError:
        raise InputError(f"{where}: lists within lists without end; it is damaged") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error}); it is damaged") from None
    except ValueError:  # of int(), with advice to change the interpreter's limit
        raise InputError(f"{where}: a number of thousands of digits; it is damaged") from None


def read_array(path: Path, most: int) -> np.ndarray:
    """The array of a .npy file of at most `most` bytes. Raises InputError, naming it, for any other; OSError as `open`."""
    return parse_array(read_bytes(path, most), str(path))


def parse_array(content: bytes, where: str) -> np.ndarray:
    """The numbers of a .npy file, as long as it says. InputError, naming `where`, before anything is allocated, for others."""
    file = io.BytesIO(content)
    try:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(file)
        if dtype.kind not in "biuf":
            raise ValueError(f"of {dtype}")
        length, expected = len(content) - file.tell(), math.prod(shape) * dtype.itemsize
        if length != expected:
            raise ValueError(f"{length:,} bytes of numbers, not the {expected:,} of its shape")
        array = np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if by_column else "C")
    except Exception as error:  # of Python's own parser, which reads the header
        raise InputError(f"{where}: no array of numbers ({error or type(error).__name__}); it is damaged") from None
    return array.copy()


def check_archive(path: Path) -> None:
    """ValueError unless a file is a zip as torch.save writes it: no larger in memory than on the disk, its checksums right."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            plain = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not plain or sum(member.file_size for member in members) > path.stat().st_size or archive.testzip():
                raise ValueError("no archive as torch.save writes it")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # features of zip, passwords among them
        raise ValueError(str(error)) from None


class ByPosition:
    """A file that is read by position, by any number of threads.

    One that was cut off meanwhile is an InputError, where the same access to a memory map would end the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self.size = os.fstat(self._file).st_size
        """Bytes when it was opened"""
        self._seeking = threading.Lock()

    def read(self, start: int, stop: int) -> np.ndarray:
        """The bytes from `start` to `stop`, uint8."""
        buffer = np.empty(stop - start, np.uint8)
        self.read_into(buffer, start)
        return buffer

    def read_into(self, buffer: np.ndarray, start: int) -> None:
        """Fills `buffer`, contiguous uint8 of one dimension, with the bytes from `start` on."""
        rest = buffer.data
        while len(rest):
            if hasattr(os, "preadv"):
                number = os.preadv(self._file, [rest], start)
            else:  # Windows
                with self._seeking:
                    os.lseek(self._file, start, os.SEEK_SET)
                    content = os.read(self._file, len(rest))
                number = len(content)
                rest[:number] = content
            if not number:
                length = os.fstat(self._file).st_size
                raise InputError(
                    f"{self.path}: was cut off at {length:,} of its {self.size:,} bytes: put the whole file back"
                )
            start, rest = start + number, rest[number:]
