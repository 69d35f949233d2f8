"""Images of a prepared dataset that are stored as JPEGs: they look like one array and are decoded when indexed.

Stored at full colour resolution (4:4:4), quality 95 by default: in a sixth of the space of the pixels, and 42 dB of
signal to noise from them. With colours at half resolution (4:2:0) they would take a seventh and be decoded in two thirds
of the time, but lose colours that originals of 500×375 still have at 256, although theirs are at half resolution: 39 dB.
"""

from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from alexnet.errors import InputError
from alexnet.parallel import in_parts

PIXELS, OFFSETS = "jpegs.bin", "offsets.bin"


def encode(image: np.ndarray, quality: int) -> bytes:
    """uint8 [H, W, 3] as JPEG."""
    return simplejpeg.encode_jpeg(image, quality, "RGB", "444", fastdct=False)


def decode(jpeg: bytes | memoryview | np.ndarray, out: np.ndarray) -> None:
    """Decodes into `out`, uint8 [H, W, 3]; ValueError where that is not its size or it is damaged.

    The slow transforms are exact integer arithmetic, so that every machine sees the same pixels; the others save 1%.
    """
    if simplejpeg.decode_jpeg(jpeg, "RGB", buffer=out).shape != out.shape:
        raise ValueError(f"a JPEG of another size than {out.shape[1]} x {out.shape[0]}")


class JpegImages:
    """uint8 [N, S, S, 3] for reading: `images[index]` is an array, for any `index` into the first dimension of numpy's.

    Several images are decoded by as many threads as torch has; simplejpeg lets go of the interpreter lock.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Opens what `prepare` wrote into `folder`. Raises OSError, or ValueError where a file is not as long as told."""
        self.folder = folder
        self.shape = (number, size, size, 3)
        self.jpegs = np.memmap(folder / PIXELS, np.uint8, "r")
        self.ends = np.fromfile(folder / OFFSETS, "<i8")
        if len(self.ends) != number:
            raise ValueError(f"{OFFSETS} has {len(self.ends)} entries, not {number}")
        if number and (self.ends[-1] != len(self.jpegs) or self.ends[0] <= 0 or (np.diff(self.ends) <= 0).any()):
            raise ValueError(f"{OFFSETS} does not belong to {PIXELS}")
        self._numbers = np.arange(number)

    def __len__(self) -> int:
        return self.shape[0]

    def stored(self, start: int, stop: int) -> np.ndarray:
        """The bytes of images `start` to `stop` - 1, as they lie on the disk."""
        return self.jpegs[self.ends[start - 1] if start else 0 : self.ends[stop - 1] if stop else 0]

    def __getitem__(self, index: Any) -> np.ndarray:
        numbers = self._numbers[index]
        images = np.empty((*np.shape(numbers), *self.shape[1:]), np.uint8)
        wanted, places = np.ravel(numbers), images.reshape(-1, *self.shape[1:])

        def work(start: int, stop: int) -> None:
            for number, place in zip(wanted[start:stop], places[start:stop], strict=True):
                try:
                    decode(self.stored(number, number + 1), place)
                except ValueError as error:
                    raise InputError(
                        f"{self.folder / PIXELS}: image {number} is damaged ({error}); alexnet data checks the whole set"
                    ) from None

        in_parts(work, len(wanted), purpose="decode")
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)
