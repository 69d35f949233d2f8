"""Five labels for images from anywhere: files, folders, globs, lists."""

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.image import Unreadable, to_square
from alexnet.data.sources.source import IMAGE_SUFFIXES, read_file
from alexnet.training.trained import TrainedNetwork

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """Either five labels with their probabilities, most probable first, or the reason why there are none."""

    image: str
    labels: list[tuple[str, float]]
    error: str | None = None
    pixels: np.ndarray | None = None
    """uint8 [S, S, 3], the image as the network's preparation made it"""

    def to_dict(self) -> dict[str, Any]:
        """image, and labels (label, probability) or error."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "labels": [{"label": label, "probability": p} for label, p in self.labels]}


def find(wanted: Sequence[str], listed: Sequence[str] = ()) -> Iterator[str]:
    """The image files that arguments mean: a file is itself, a folder its images, a glob its matches, "-" those `listed`.

    A name that matches nothing comes out as it is, so that its prediction says what is wrong with it.
    """
    for name in wanted:
        if name == "-":
            yield from find([line.strip() for line in listed if line.strip() not in ("", "-")])
        elif os.path.isdir(name):  # not Path's, which raise for a name that is too long
            images = [str(p) for p in Path(name).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
            yield from sorted(images) or [name]
        elif not os.path.exists(name) and glob.has_magic(name):
            yield from sorted(glob.glob(name, recursive=True)) or [name]
        else:
            yield name


def predictions(network: TrainedNetwork, images: Iterator[str], views: int = 10) -> Iterator[Prediction]:
    """A prediction for every image, in their order; a bad image is a Prediction with an error.

    Names are taken from `images` two batches ahead, which are read while the network computes.
    """
    size = network.size

    def read(name: str) -> np.ndarray | str:
        try:
            return to_square(read_file(name), size)
        except Unreadable as error:
            return str(error)
        except IsADirectoryError:
            return "no images in this folder"
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            return getattr(error, "strerror", None) or str(error)

    with ThreadPoolExecutor() as readers:

        def ahead() -> tuple[list[str], Iterator[np.ndarray | str]]:
            names = list(islice(images, BATCH))
            return names, readers.map(read, names)

        names, reading = ahead()
        while names:
            read_images = list(reading)
            following = ahead()  # read while this thread computes
            good = [pixels for pixels in read_images if not isinstance(pixels, str)]
            best = iter(_best(network, np.stack(good), views) if good else [])
            for name, pixels in zip(names, read_images, strict=True):
                if isinstance(pixels, str):
                    yield Prediction(name, [], error=pixels)
                else:
                    yield Prediction(name, next(best), pixels=pixels)
            names, reading = following


def _best(network: TrainedNetwork, images: np.ndarray, views: int) -> list[list[tuple[str, float]]]:
    probabilities = network.probabilities(images, views)
    top = probabilities.topk(min(5, len(network.classes)), dim=1)
    return [
        [(network.classes[label], float(p)) for label, p in zip(labels, values, strict=True)]
        for labels, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
