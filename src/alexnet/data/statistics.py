"""The mean image (§2) and the principal components of RGB (§4.1), exact whatever the order of the images.

Everything is summed in integers: a set prepared in one go, in pieces, or by any number of workers has the same bytes.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet import fast
from alexnet.errors import InputError
from alexnet.reading import parse_array, parse_json

LARGEST = 1 << 28
"""Bytes of a mean image: of 4,700 pixels a side."""


class Colour(NamedTuple):
    """The RGB values of all training pixels, on the scale 0-255.

    covariance [3, 3]; eigenvalues [3], descending; eigenvectors [3, 3]: column i belongs to eigenvalue i, has length 1,
    and its component of largest magnitude is positive. All float64.
    """

    covariance: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray

    def to_json(self) -> dict[str, list]:
        return {name: array.tolist() for name, array in self._asdict().items()}


def read_mean(content: bytes, where: Path | str) -> np.ndarray:
    """A mean image, float32 [S, S, 3], from mean.npy; InputError, naming `where`, for anything else, NaN among it too."""
    mean = parse_array(content, str(where))
    if mean.ndim != 3 or mean.shape != (len(mean), len(mean), 3) or not len(mean) or mean.dtype.kind != "f":
        raise InputError(f"{where}: {mean.dtype} {list(mean.shape)}, no mean image [S, S, 3]; it is damaged")
    return _finite(mean, "the mean image", where)


def read_colour(content: bytes, where: Path | str) -> Colour:
    """The contents of colour.json; InputError, naming `where`, for anything else, NaN too."""
    values = parse_json(content, str(where))
    arrays = {}
    for name, shape in (("eigenvalues", (3,)), ("eigenvectors", (3, 3)), ("covariance", (3, 3))):
        try:
            array = np.array(values[name], np.float64)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: {name} is missing or no numbers; it is damaged") from None
        if array.shape != shape:
            raise InputError(f"{where}: {name} is {list(array.shape)}, not {list(shape)}; it is damaged")
        arrays[name] = _finite(array, name, where)
    return Colour(**arrays)


def _finite(array: np.ndarray, name: str, where: Path | str) -> np.ndarray:
    with np.errstate(over="ignore"):
        if not np.isfinite(array.astype(np.float32)).all():  # which is what is computed with
            raise InputError(f"{where}: NaN or infinity is in {name}; it is damaged")
    return array


def products_of(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> int64 [3, 3], the sums over all pixels of the products R·R, R·G, ... (exact).

    float64 holds these integers exactly for any image under 2^53 / 255² = 138 thousand million pixels.
    """
    if fast.compiled():
        from alexnet.data import compiled

        return compiled.products(image.reshape(-1, 3))
    pixels = image.reshape(-1, 3).T.astype(np.float64)
    return (pixels @ pixels.T).astype(np.int64)


RECENT = 65535 // 255
"""Images whose sum 16 bits hold."""


class Sums:
    """Running sums over uint8 images [size, size, 3]; int64 holds those of 2·10^9 images of 256×256."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images = 0
        self.products = np.zeros((3, 3), np.int64)
        self._image_sum = np.zeros((size, size, 3), np.int64)
        self._recent = np.zeros((size, size, 3), np.uint16)  # of the last images: a quarter of the memory to go through

    def add(self, image: np.ndarray, products: np.ndarray | None = None) -> None:
        """Adds one uint8 [size, size, 3]; `products` where a worker has computed `products_of(image)` already."""
        if self.images % RECENT == 0:
            self._take_up()
        self._recent += image
        self.products += products_of(image) if products is None else products
        self.images += 1

    def take_over(self, other: "Sums") -> None:
        """Adds the images that `other` has summed."""
        self._take_up()
        self._image_sum += other.image_sum
        self.products += other.products
        self.images += other.images

    def _take_up(self) -> None:
        self._image_sum += self._recent
        self._recent[:] = 0

    @property
    def image_sum(self) -> np.ndarray:
        """int64 [size, size, 3], the sum of all images."""
        self._take_up()
        return self._image_sum

    def mean_image(self) -> np.ndarray:
        """float32 [size, size, 3]: "the mean activity over the training set from each pixel" (§2)."""
        return (self.image_sum / self.images).astype(np.float32)

    def colour(self) -> Colour:
        """The covariance of the RGB values of all pixels of all images, and its principal components (§4.1)."""
        pixels = self.images * self.size * self.size
        mean = self.image_sum.sum(axis=(0, 1)) / pixels
        covariance = self.products / pixels - np.outer(mean, mean)
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]
        # An eigenvector is known up to its sign only: fixed here, so that libraries and machines agree.
        largest = np.abs(eigenvectors).argmax(axis=0)
        eigenvectors = eigenvectors * np.where(eigenvectors[largest, [0, 1, 2]] < 0, -1.0, 1.0)
        # Rounding may leave a grey set's zeros a little below zero, and their square roots are wanted later.
        return Colour(covariance, np.maximum(eigenvalues, 0.0), eigenvectors)

    def to_bytes(self) -> bytes:
        """A .npy of int64 [size·size·3 + 9 + 1]: image sum, products, number of images."""
        file = io.BytesIO()
        np.save(file, np.concatenate([self.image_sum.ravel(), self.products.ravel(), [self.images]]))
        return file.getvalue()

    @staticmethod
    def load(path: Path, size: int) -> "Sums":
        """The sums that `to_bytes` gave. Raises OSError or ValueError where the file is missing or damaged."""
        numbers = np.load(path, allow_pickle=False)
        sums = Sums(size)
        sums._image_sum += numbers[:-10].reshape(size, size, 3)
        sums.products += numbers[-10:-1].reshape(3, 3)
        sums.images = int(numbers[-1])
        return sums
