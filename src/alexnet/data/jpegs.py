"""Images of a prepared dataset that are stored as JPEGs: they look like one array and are decoded when indexed.

Stored at full colour resolution (4:4:4), quality 95 by default: in a sixth of the space of the pixels, and 42 dB of
signal to noise from them. With colours at half resolution (4:2:0) they would take a seventh and be decoded in two thirds
of the time, but lose colours that originals of 500×375 still have at 256, although theirs are at half resolution: 39 dB.
"""

from pathlib import Path

import numpy as np
import simplejpeg

from alexnet.data.stored import StoredImages
from alexnet.errors import InputError
from alexnet.fast import in_parts

PIXELS, OFFSETS = "jpegs.bin", "offsets.bin"


def encode(image: np.ndarray, quality: int) -> bytes:
    """Encodes uint8 [H, W, 3] as a JPEG."""
    return simplejpeg.encode_jpeg(image, quality, "RGB", "444", fastdct=False)


def decode(jpeg: bytes | memoryview | np.ndarray, out: np.ndarray) -> None:
    """Decodes into `out`, uint8 [H, W, 3]; ValueError where that is not its size or it is damaged.

    The slow transforms are exact integer arithmetic, so that every machine sees the same pixels; the others save 1%.
    """
    if simplejpeg.decode_jpeg(jpeg, "RGB", buffer=out).shape != out.shape:
        raise ValueError(f"a JPEG of another size than {out.shape[1]} x {out.shape[0]}")


class JpegImages(StoredImages):
    """Images that several threads decode, as many as torch has; simplejpeg lets go of the interpreter lock."""

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Opens what `prepare` wrote into `folder`. Raises OSError, or ValueError where a file is not as long as told."""
        length = (folder / OFFSETS).stat().st_size
        if length != 8 * number:
            raise ValueError(f"{OFFSETS} has {length:,} bytes, not {8 * number:,}")
        super().__init__(folder / PIXELS, number, size)
        self.ends = np.fromfile(folder / OFFSETS, "<i8")
        if number and (self.ends[-1] != self.file.size or self.ends[0] <= 0 or (np.diff(self.ends) <= 0).any()):
            raise ValueError(f"{OFFSETS} does not belong to {PIXELS}")

    def place_of(self, start: int, stop: int) -> tuple[int, int]:
        return int(self.ends[start - 1]) if start else 0, int(self.ends[stop - 1]) if stop else 0

    def fill(self, wanted: np.ndarray, places: np.ndarray) -> None:
        def work(start: int, stop: int) -> None:
            for number, place in zip(wanted[start:stop].tolist(), places[start:stop], strict=True):
                try:
                    decode(self.stored(number, number + 1), place)
                except InputError:
                    raise
                except ValueError as error:
                    raise InputError(
                        f"{self.file.path}: image {number} is damaged ({error}); alexnet data checks the whole set"
                    ) from None

        in_parts(work, len(wanted), purpose="decode")
