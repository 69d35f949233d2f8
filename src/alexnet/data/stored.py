"""Images of a prepared dataset, read from the disk by index; each chunk is compared with its checksum on the way."""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.fast import in_parts
from alexnet.reading import ByPosition

PIXELS = "images.bin"

AT_ONCE = 256_000_000
"""Bytes that one reading compares with their checksums at the least, before it returns: 0.13 s of one core at 2 GB/s."""


class Chunks:
    """The chunks of a split, of which each is compared with its checksum once, as images of it are first read.

    What is read in order, or is smaller than AT_ONCE, is compared before anybody sees it. Shuffled reading of a large set
    touches every chunk within a few batches, and would wait for the whole set to be read; so a reading compares no more than
    four times the images that it asks for (or AT_ONCE) of those touched, and the rest follows with the next readings: all
    of it within the first quarter of an epoch.
    """

    def __init__(
        self, ends: np.ndarray, image_bytes: float, compare: Callable[[int], None], compared: np.ndarray
    ) -> None:
        """ends: int64 [chunks], the image after each; `compare` raises for a chunk that has changed; compared: bool [chunks]."""
        self._ends, self._compare, self.compared = ends, compare, compared
        self._least = int(AT_ONCE / max(image_bytes, 1))
        self._touched = compared.copy()
        self._waiting: deque[int] = deque()
        self._lock = threading.Lock()

    def touch(self, numbers: np.ndarray) -> None:
        """Compares chunks, where some are left, before the images of these numbers are read."""
        if self.compared.all() or not len(numbers):
            return
        with self._lock:
            touched = np.unique(np.searchsorted(self._ends, numbers, side="right"))
            self._waiting.extend(touched[~self._touched[touched]].tolist())
            self._touched[touched] = True
            due: list[int] = []
            images, most = 0, max(4 * len(numbers), self._least)
            for chunk in self._waiting:
                if due and images >= most:
                    break
                due.append(chunk)
                images += int(self._ends[chunk] - (self._ends[chunk - 1] if chunk else 0))

            def work(start: int, stop: int) -> None:
                for chunk in due[start:stop]:
                    self._compare(chunk)
                    self.compared[chunk] = True

            in_parts(work, len(due), purpose="compare")
            for _ in due:  # not if one raised: the next reading raises again
                self._waiting.popleft()


class StoredImages:
    """uint8 [N, S, S, 3] for reading: `images[index]` is an array, for any `index` into the first dimension of numpy's."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, file: Path, number: int, size: int) -> None:
        self.file = ByPosition(file)
        self.shape = (number, size, size, 3)
        self.chunks: Chunks | None = None
        self._numbers = np.arange(number)

    def __len__(self) -> int:
        return self.shape[0]

    def place_of(self, start: int, stop: int) -> tuple[int, int]:
        """The bytes of the file where the images from `start` to `stop` begin and end."""
        raise NotImplementedError

    def fill(self, wanted: np.ndarray, places: np.ndarray) -> None:
        """Reads the images of these numbers into `places`, uint8 [n, S, S, 3]."""
        raise NotImplementedError

    def stored(self, start: int, stop: int) -> np.ndarray:
        """The bytes of images `start` to `stop` - 1, as they lie on the disk."""
        return self.file.read(*self.place_of(start, stop))

    def __getitem__(self, index: Any) -> np.ndarray:
        numbers = self._numbers[index]
        images = np.empty((*np.shape(numbers), *self.shape[1:]), np.uint8)
        wanted = np.ravel(numbers)
        if self.chunks:
            self.chunks.touch(wanted)
        self.fill(wanted, images.reshape(-1, *self.shape[1:]))
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


class RawImages(StoredImages):
    """Images whose pixels lie one after another.

    Read by position: slower than from a memory map where the file is in memory already, by less than a thousandth of a step
    on a CPU (benchmarks/loading.py); and a file that is cut off meanwhile is an error, no bus error.
    """

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Opens what `prepare` wrote into `folder`. Raises OSError, or ValueError where the file is not as long as told."""
        super().__init__(folder / PIXELS, number, size)
        self._bytes = size * size * 3
        if self.file.size != number * self._bytes:
            raise ValueError(f"{PIXELS} has {self.file.size:,} bytes, not {number * self._bytes:,}")

    def place_of(self, start: int, stop: int) -> tuple[int, int]:
        return start * self._bytes, stop * self._bytes

    def fill(self, wanted: np.ndarray, places: np.ndarray) -> None:
        rows = places.reshape(-1)
        bounds = [0, *(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), len(wanted)]
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            if start < stop:  # images one after another are read in one go
                self.file.read_into(rows[start * self._bytes : stop * self._bytes], int(wanted[start]) * self._bytes)
