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

`python -m alexnet.data.builtin` prints them again. A network well below 35% has learned more than colours.
"""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.sources.passed import PassedOver
from alexnet.data.sources.source import Item, Part, Parted
from alexnet.errors import InputError

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
    found = find_spec(package)
    path = Path(found.origin).parent / file if found and found.origin else Path(file)
    if not path.is_file():
        raise InputError(
            f"builtin: {file} is not in the installed {package}; install the version this package is pinned to"
        )
    return path


def is_test(name: str) -> np.ndarray:
    """bool [H, W]: the pixels kept for testing. Blocks cut off at the right and bottom edge are for training."""
    height, width = photograph(name).shape[:2]
    rows, columns = height // BLOCK, width // BLOCK
    shift = 2 * int(
        _random(name, "blocks").integers(2)
    )  # even: the small photographs then have test blocks in two rows
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
    found: list[tuple[int, int, int]] = []
    while len(found) < number:
        side = int(random.integers(SIDES[0], SIDES[1] + 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        bottom, right = top + side, left + side
        if inside[bottom, right] - inside[top, right] - inside[bottom, left] + inside[top, left] == side * side:
            found.append((top, left, side))
    return found


def _random(name: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode(), 0, *purpose.encode()])


def cut(name: str, top: int, left: int, side: int) -> np.ndarray:
    return photograph(name)[top : top + side, left : left + side]


@dataclass(frozen=True)
class Photographs(Parted):
    """The built-in source: splits train and test, 13 classes, patches of real pixels."""

    train_patches: int = 300  # per class
    test_patches: int = 60
    default_size: int = 64
    description: str = "built-in photographs"
    splits: tuple[str, ...] = ("train", "test")
    classes: tuple[str, ...] = tuple(sorted(FILES))

    def parts(self, split: str) -> tuple[Part, ...]:
        return tuple(Part(label, self._per_class(split)) for label in range(len(self.classes)))

    def part(self, split: str, number: int) -> Iterator[Item]:
        name = self.classes[number]
        for count, (top, left, side) in enumerate(patches(name, split, self._per_class(split))):
            where = f"{name}/{count:03}-x{left}-y{top}-side{side}"
            yield Item(where, number, partial(cut, name, top, left, side))

    def _per_class(self, split: str) -> int:
        return self.train_patches if split == "train" else self.test_patches

    def count(self, split: str) -> int:
        return len(self.classes) * self._per_class(split)

    @property
    def passed_over(self) -> PassedOver:
        return PassedOver()

    def fingerprint(self) -> str:
        """sha256 over the photographs' files and the way they are cut."""
        digest = hashlib.sha256(repr((BLOCK, SIDES, SEED, self.train_patches, self.test_patches)).encode())
        for name in self.classes:
            digest.update(_path(name).read_bytes())
        return digest.hexdigest()


def baselines() -> dict[str, float]:
    """Test error in % of two classifiers that see no shapes: what a network must beat to have learned any."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from alexnet.data.image import to_square

    source = Photographs()
    labels = {split: np.array([item.label for item in source.items(split)]) for split in source.splits}
    # Through 64 first, as a network sees them.
    thumbs = {
        split: np.stack([to_square(to_square(item.read(), 64), 8).ravel() for item in source.items(split)]) / 255
        for split in source.splits
    }
    colours = {split: thumbs[split].reshape(-1, 64, 3).mean(1) for split in source.splits}
    errors = {}
    for what, model, features in (
        ("nearest class mean colour", NearestCentroid(), colours),
        (
            "logistic regression on the mean colour",
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            colours,
        ),
        (
            "logistic regression on 8x8 thumbnails",
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            thumbs,
        ),
    ):
        model.fit(features["train"], labels["train"])
        errors[what] = 100 * (1 - model.score(features["test"], labels["test"]))
    return errors


if __name__ == "__main__":
    for what, error in baselines().items():
        sys.stdout.write(f"{what}: {error:.1f}% test error\n")
