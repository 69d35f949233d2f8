"""A set of real photographs that needs no download: patches of those that scikit-image and scikit-learn carry.

One class per photograph or texture (13), 300 training and 60 test patches each, cut as squares of 48 to 96 pixels and
brought to 64. A network has to tell from a part, at an unknown scale, which photograph it was cut from. Each photograph
is laid out in blocks of 96 pixels, and about every fourth is kept for testing: test patches lie wholly inside those
blocks and no training patch touches them, so that a network which remembers its training patches gains nothing. The test
patches of a class still come from a few blocks (4 to 25) of one photograph, and overlap: the error tells whether
training works, and little about photographs in general.

Colour alone goes some way. Test error of classifiers that see no shapes (scikit-learn 1.9.1), chance being 92.3%:

    nearest class mean colour                47.4%
    logistic regression on the mean colour   35.1%
    logistic regression on 8x8 thumbnails    45.3%

`python benchmarks/builtin_baselines.py` prints them again. A network well below 35% has learned more than colours.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.sources.source import Item, Part, Source
from alexnet.errors import InputError
from alexnet.extras import need

# class -> (package, file inside it). Drawings and diagrams are left out, and the second of the stereo pair.
FILES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "pagoda": ("sklearn", "datasets/images/china.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}
BLOCK = 96  # side of the squares that go to training or to testing as a whole
SIDES = (48, 96)  # of a patch, both included
SEED = 2012


@cache
def photograph(name: str) -> np.ndarray:
    """uint8 [H, W, 3]; the grey textures have three equal channels. Raises InputError where the file is not there."""
    image = np.asarray(Image.open(_path(name)).convert("RGB"))
    if name == "retina":  # a disc on black: the square inside it
        side = int(image.shape[0] * 0.7) // 2
        centre = image.shape[0] // 2
        image = image[centre - side : centre + side, centre - side : centre + side]
    return image


def _path(name: str) -> Path:
    package, file = FILES[name]
    need("demo")
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else Path(file)
    if not path.is_file():
        raise InputError(
            f"builtin: {file} is not in the installed {package}; install the version this package is pinned to"
        )
    return path


def photographs() -> list[str]:
    """Files of a few whole photographs, to try a network on; those of them that are installed."""
    shown = ("pagoda", "astronaut", "cat", "coffee", "flower", "rocket")
    paths = []
    for name in shown:
        with suppress(InputError):
            paths.append(str(_path(name)))
    return paths


def is_test(name: str) -> np.ndarray:
    """bool [H, W]: the pixels kept for testing. Blocks cut off at the right and bottom edge are for training."""
    height, width = photograph(name).shape[:2]
    rows, columns = height // BLOCK, width // BLOCK
    # Even, so that the small photographs have test blocks in two rows.
    shift = 2 * int(_random(name, "blocks").integers(2))
    row, column = np.indices((rows, columns))
    mask = np.zeros((height, width), bool)
    # Two test blocks never share a side, so that training patches fit between them.
    blocks = (row + 2 * column + shift) % 4 == 0
    mask[: rows * BLOCK, : columns * BLOCK] = blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)
    return mask


def patches(name: str, split: str, number: int) -> list[tuple[int, int, int]]:
    """`number` squares (top, left, side) of the photograph, each wholly in test blocks, or wholly outside them."""
    mask = is_test(name) == (split == "test")
    height, width = mask.shape
    # inside[y, x] = pixels of this split above and left of (y, x): a square is pure if its sum is its area.
    inside = np.zeros((height + 1, width + 1), np.int64)
    inside[1:, 1:] = mask.cumsum(0).cumsum(1)
    random = _random(name, split)
    squares: list[tuple[int, int, int]] = []
    while len(squares) < number:
        side = int(random.integers(SIDES[0], SIDES[1] + 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        bottom, right = top + side, left + side
        if inside[bottom, right] - inside[top, right] - inside[bottom, left] + inside[top, left] == side * side:
            squares.append((top, left, side))
    return squares


def _random(name: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode(), 0, *purpose.encode()])


def _cut(name: str, top: int, left: int, side: int) -> np.ndarray:
    return photograph(name)[top : top + side, left : left + side]


@dataclass(frozen=True)
class Photographs(Source):
    """The built-in source: splits train and test, 13 classes, patches of real pixels."""

    description: str = "built-in photographs"
    classes: tuple[str, ...] = tuple(sorted(FILES))
    splits: tuple[str, ...] = ("train", "test")
    train_patches: int = 300  # per class
    test_patches: int = 60
    default_size: int = 64

    def parts(self, split: str) -> tuple[Part, ...]:
        return tuple(Part(label, self._per_class(split)) for label in range(len(self.classes)))

    def part(self, split: str, number: int) -> Iterator[Item]:
        name = self.classes[number]
        for count, (top, left, side) in enumerate(patches(name, split, self._per_class(split))):
            where = f"{name}/{count:03}-x{left}-y{top}-side{side}"
            yield Item(where, number, partial(_cut, name, top, left, side))

    def _per_class(self, split: str) -> int:
        return self.train_patches if split == "train" else self.test_patches

    def fingerprint(self) -> str:
        """sha256 over the photographs' files and the way they are cut."""
        digest = hashlib.sha256(repr((BLOCK, SIDES, SEED, self.train_patches, self.test_patches)).encode())
        for name in self.classes:
            digest.update(_path(name).read_bytes())
        return digest.hexdigest()
