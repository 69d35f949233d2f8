"""One image of any kind becomes uint8 [size, size, 3]: shorter side to `size`, the central square, RGB (§2)."""

import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import simplejpeg
from PIL import Image

from alexnet import fast
from alexnet.data import decoders
from alexnet.errors import InputError
from alexnet.words import gigabytes

MAX_PIXELS = 178_956_970  # where Pillow calls an image a decompression bomb (twice Image.MAX_IMAGE_PIXELS)

# Pillow warns from half that size on, on stderr; MAX_PIXELS decides here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
decoders.hush()

# Only formats that Pillow decodes by itself: its EPS plugin, for one, would start another program on the file.
Image.init()
FORMATS = sorted(
    {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"}
    & Image.OPEN.keys()
)
FORM = 2  # of `to_square`: raised when an image would get other pixels, so that no set is begun with one and ended with another

# Bytes a pixel while an image is decoded, measured (benchmarks/prepare_memory.py --formats).
DECODED = {"JPEG": 13, "MPO": 13, "WEBP": 17, "AVIF": 16, "JPEG2000": 32}
OTHERS = 9
PROGRESSIVE = 7  # of a JPEG that comes in several passes, whose coefficients are held meanwhile
AT_ONCE = 1 << 20  # pixels that are brought to RGB at once
EMPTY = "empty file (0 bytes)"

Finish = Callable[[np.ndarray, int], np.ndarray]
"""What makes of an image's pixels, uint8 [H, W, 3], and its EXIF orientation what was asked for."""


class Unreadable(ValueError):
    """An image that cannot be used; the message is the reason."""


class Budget:
    """Bytes of memory for decoding, shared by all threads: who needs more than is left waits until others are done.

    A small file may be a large image: one of a single colour is a thousand times as large when it is decoded.
    """

    def __init__(self, total: int) -> None:
        self.total = self._left = total
        self._changed = threading.Condition()

    @contextmanager
    def room_for(self, need: int) -> Iterator[None]:
        """Holds `need` bytes while the block runs. Raises Unreadable where the budget is smaller."""
        if need > self.total:
            raise Unreadable(
                f"takes {gigabytes(need)} to decode, more than the {gigabytes(self.total)} for it; {VARIABLE} sets them"
            )
        with self._changed:
            self._changed.wait_for(lambda: self._left >= need)
            self._left -= need
        try:
            yield
        finally:
            with self._changed:
                self._left += need
                self._changed.notify_all()


VARIABLE = "ALEXNET_DECODE_GB"


@cache
def budget() -> Budget:
    """The memory that this process may take for decoding: 2 GB, or as the environment says. InputError for no number."""
    text = os.environ.get(VARIABLE, "2")
    try:
        total = float(text)
    except ValueError:
        total = 0.0
    if not 0 < total < 1e6:
        raise InputError(f"{VARIABLE}={text}: must be a number of gigabytes, such as 2")
    return Budget(int(total * 1e9))


def to_square(image: bytes | np.ndarray | Image.Image, size: int) -> np.ndarray:
    """An encoded image, decoded uint8 [H, W, 3] or [H, W], or an image of Pillow -> uint8 [size, size, 3], RGB.

    The shorter side becomes `size`, the central square is kept (§2). The filter is Pillow's BICUBIC, whose support grows
    with the reduction, so that small sizes do not alias; only the square that is kept is computed.
    The format is told by content, never by name. JPEG goes through simplejpeg where that takes it; the rest through
    Pillow. EXIF rotation is applied; alpha and transparent palettes lie on white; 16-bit grey is scaled to 8;
    grey becomes three equal channels; of an animation the first frame counts.

    Raises Unreadable(reason) for what is truncated, broken, no image, over MAX_PIXELS, or would take more memory than
    there is for decoding (`Budget`).
    """

    def square_of(pixels: np.ndarray, orientation: int) -> np.ndarray:
        return _square(pixels, size, orientation)

    if isinstance(image, np.ndarray):
        return square_of(_from_array(image), 1)
    if isinstance(image, Image.Image):
        return _from_pillow(image, square_of)
    if not image:
        raise Unreadable(EMPTY)
    square = _from_jpeg(image, size) if image[:2] == b"\xff\xd8" else None
    return _from_pillow(image, square_of) if square is None else square


def to_fit(image: bytes | np.ndarray, longest: int) -> np.ndarray:
    """The whole of an image, to be looked at -> uint8 [h, w, 3], RGB, its longer side `longest` or what it has if that is less.

    What is taken, refused and applied is as in `to_square`.
    """
    if isinstance(image, np.ndarray):
        return _fit(_from_array(image), longest, orientation=1)
    if not image:
        raise Unreadable(EMPTY)
    return _from_pillow(image, lambda pixels, orientation: _fit(pixels, longest, orientation))


def _fit(pixels: np.ndarray, longest: int, orientation: int) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(_TURNS.get(orientation, np.asarray)(np.asarray(image)))


def _from_jpeg(data: bytes, size: int) -> np.ndarray | None:
    """The square of a JPEG; None where it is to be read by Pillow."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_pixels(width, height)
    if space not in ("YCbCr", "Gray", "RGB"):
        return None
    # Large photographs are decoded at 1/2, 3/8, 1/4 or 1/8, never under twice what is needed: the antialiased resize
    # still does the last step. (Left to itself the decoder would also take 3/4, and round thin images out of shape.)
    side = min(height, width)
    least = 2 * size if side >= 4 * size else 0
    each = 4 * (min(1.0, 2 * least / side) ** 2 if least else 1) + (PROGRESSIVE if _has(data, _IN_PASSES) else 0)
    with budget().room_for(int(width * height * each)):
        try:
            pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least, min_width=least, min_factor=2.0)
        except ValueError as error:
            # Pillow would show the missing part in grey where the file has an end marker all the same.
            if "premature end" in str(error).lower():
                raise Unreadable(f"truncated ({error})") from None
            return None  # damage that decoders get over, or no JPEG that simplejpeg knows
        return _square(pixels, size, _jpeg_orientation(data), (width, height))


def _jpeg_orientation(data: bytes) -> int:
    if not _has(data, _EXIF):
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "MPO"]) as image:
            return _orientation(image)
    except Exception:  # as in _orientation
        return 1


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF blocks raise all sorts of things, and the image is fine
        return 1


_EXIF = re.compile(rb"....Exif\0\0", re.DOTALL)
_IN_PASSES = re.compile(rb"\xff[\xc2\xc6\xca\xce]")


def _has(jpeg: bytes, kind: re.Pattern[bytes]) -> bool:
    """Whether a segment before the pixels begins like that; True as well where the segments are too odd to tell."""
    at = 2
    while jpeg[at : at + 1] == b"\xff":
        if jpeg[at + 1 : at + 2] == b"\xda":  # the pixels begin
            return False
        if kind.match(jpeg, at):
            return True
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return True


def _from_pillow(data: bytes | Image.Image, finish: Finish) -> np.ndarray:
    decoders.complaint()  # of an earlier image
    try:
        if isinstance(data, Image.Image):  # which is not ours to close
            return _loaded(data, finish)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _loaded(image, finish)
    except (Unreadable, InputError):
        raise
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image of a known format") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels (decompression bomb)") from None
    except MemoryError:
        raise Unreadable("not enough memory to decode it") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, zlib.error...
        text = decoders.complaint() or " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(f"truncated ({text})" if "truncated" in text.lower() else f"broken ({text})") from None


def _loaded(image: Image.Image, finish: Finish) -> np.ndarray:
    _check_pixels(*image.size)
    with budget().room_for(image.width * image.height * DECODED.get(image.format or "", OTHERS)):
        image.load()
        return finish(_to_array(image), _orientation(image))


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width} x {height} is more than {MAX_PIXELS:,} pixels (decompression bomb)")


def _to_array(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3], some rows at a time: every change of mode would take the whole image's memory once more."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, AT_ONCE // width)
    for top in range(0, height, rows):
        stretch = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_to_rgb(stretch))
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits, in one of Pillow's several ways
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Unreadable("floating-point pixels have no known scale")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise Unreadable(f"array of {array.dtype} {list(array.shape)}, not uint8 [H, W, 3] or [H, W]")
    if array.size == 0:
        raise Unreadable(f"array without pixels {list(array.shape)}")
    _check_pixels(array.shape[1], array.shape[0])
    return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


def _square(image: np.ndarray, size: int, orientation: int, whole: tuple[int, int] | None = None) -> np.ndarray:
    """The central square, upright. `whole` is (width, height) of an image that a JPEG decoder gave in eighths of it."""
    width, height = image.shape[1::-1]
    whole = whole or (width, height)
    # The decoder rounds sides up, so that the middle of what it gives is not the middle of the image.
    eighths = next(n for n in range(8, 0, -1) if (-(-whole[0] * n // 8), -(-whole[1] * n // 8)) == (width, height))
    side = min(whole)
    box = (whole[0] - side) / 2 * eighths / 8, (whole[1] - side) / 2 * eighths / 8, side * eighths / 8
    if fast.compiled():
        from alexnet.data import compiled

        square = compiled.resize(image, size, *box)
    else:
        square = plain_resize(image, size, *box)
    # A central square may be turned after it is cut as well as before, and it is smaller then.
    return np.ascontiguousarray(_TURNS.get(orientation, np.asarray)(square))


def plain_resize(pixels: np.ndarray, size: int, left: float, top: float, side: float) -> np.ndarray:
    """The result of `compiled.resize`, by Pillow: a square of an RGB image uint8 [H, W, 3] -> uint8 [size, size, 3]."""
    image = Image.fromarray(pixels)
    # A resize of a box is resizing all and cropping: the filter still sees the pixels around the box.
    # The two axes one by one, as Pillow rounds in between, and which of them it takes first depends on its version.
    image = image.resize((image.width, size), Image.Resampling.BICUBIC, box=(0, top, image.width, top + side))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=(left, 0, left + side, size)))


_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation -> upright
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
