"""Labels and features for images from anywhere: files, folders, globs, images of Pillow, arrays, and lists of these."""

import glob
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from alexnet.data.image import Unreadable, to_square
from alexnet.data.sources.folders import image_files
from alexnet.data.sources.source import read_file
from alexnet.errors import InputError

if TYPE_CHECKING:  # whose methods these are
    from alexnet.run.trained import TrainedNetwork

BATCH = 32

Image = str | os.PathLike[str] | bytes | PIL.Image.Image | np.ndarray | Tensor
"""One image of any size: the path of a file, the bytes of one, an image of Pillow, uint8 [H, W, 3] (RGB) or [H, W] (grey)."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a network says of one image: labels with their probabilities, or the reason why there are none."""

    image: str
    """The name of its file; "image", or "images[2]" in a list, where it came from no file"""
    top: list[tuple[str, float]]
    """(label, probability), most probable first; empty where there is an error"""
    error: str | None = None
    pixels: np.ndarray | None = field(default=None, compare=False)
    """uint8 [S, S, 3], the image as the network's preparation made it; kept by `predictions` alone"""

    @property
    def label(self) -> str:
        """The most probable label. Raises InputError, with the reason, for an image that could not be read."""
        return self._first()[0]

    @property
    def probability(self) -> float:
        """The probability of `label`, 0 to 1. Raises InputError as that does."""
        return self._first()[1]

    def _first(self) -> tuple[str, float]:
        if self.error is not None:
            raise InputError(f"{self.image}: {self.error}")
        return self.top[0]

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Prediction({self.image!r}, error={self.error!r})"
        labels = ", ".join(f"{label!r} {100 * probability:.1f} %" for label, probability in self.top)
        return f"Prediction({self.image!r}: {labels})"

    def to_dict(self) -> dict[str, Any]:
        """image, and labels (label, probability) or error."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "labels": [{"label": label, "probability": p} for label, p in self.top]}


# Which images ---------------------------------------------------------------------------------------------------------


def find(wanted: Sequence[str], listed: Sequence[str] = ()) -> Iterator[str]:
    """The image files that arguments mean: a file is itself, a folder its images, a glob its matches, "-" those `listed`.

    A name that matches nothing comes out as it is, so that its prediction says what is wrong with it.
    """
    for name in wanted:
        if name == "-":
            yield from find([line.strip() for line in listed if line.strip() not in ("", "-")])
        else:
            yield from _matches(name)


def _matches(name: str) -> Iterator[str]:
    if os.path.isdir(name):  # not Path's, which raise for a name that is too long
        yield from sorted(entry.path for _, entry in image_files(name, "")) or [name]
    elif not os.path.exists(name) and glob.has_magic(name):
        yield from sorted(glob.glob(name, recursive=True)) or [name]
    else:
        yield name


def is_one(images: Any) -> bool:
    """Whether this is one image, and not several: a list, or an array with four dimensions."""
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim != 4
    return isinstance(images, str | os.PathLike | bytes | PIL.Image.Image) or not isinstance(images, Iterable)


def several(images: Iterable[Any]) -> Iterator[Any]:
    """Several images one by one; a path among them that is a folder or a glob becomes the files that it means."""
    for image in images:
        if isinstance(image, str | os.PathLike):
            yield from _matches(os.fsdecode(image))
        else:
            yield image


# Reading them ---------------------------------------------------------------------------------------------------------

_pillow = threading.Lock()
"""An image of Pillow's may be read from its file only now, and may be in a list twice."""


def read(image: Any, size: int) -> np.ndarray:
    """An `Image` as the network's preparation makes it: uint8 [size, size, 3]. Raises Unreadable with the reason."""
    if isinstance(image, str | os.PathLike):
        try:
            data = read_file(os.fsdecode(image))
        except IsADirectoryError:
            raise Unreadable("no images in this folder") from None
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise Unreadable(getattr(error, "strerror", None) or str(error)) from None
        return to_square(data, size)
    if isinstance(image, bytes):
        return to_square(image, size)
    if isinstance(image, PIL.Image.Image):
        with _pillow:
            return to_square(image, size)
    if isinstance(image, np.ndarray | Tensor):
        return to_square(_pixels(image), size)
    raise Unreadable(f"{type(image).__name__} is no image: a path, an image of Pillow, or an array is one")


def _pixels(image: np.ndarray | Tensor) -> np.ndarray:
    kind, shape = str(image.dtype).removeprefix("torch."), list(image.shape)
    if kind == "uint8" and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        return image.cpu().numpy() if isinstance(image, Tensor) else image
    fix = ""
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3, 4):
        turn = "permute" if isinstance(image, Tensor) else "transpose"
        fix = f"; channels come last: image.{turn}(1, 2, 0)"
    elif len(shape) == 3 and shape[2] == 1:
        fix = "; a grey image has no third side: image[:, :, 0]"
    elif len(shape) == 3 and shape[2] == 4:
        fix = "; PIL.Image.fromarray(image) can be given in its place, transparency and all"
    if kind.startswith(("float", "bfloat")):
        to = "to(torch.uint8)" if isinstance(image, Tensor) else "astype(np.uint8)"
        fix += f"; values from 0 to 1 become bytes by (255 * image).round().{to}"
    raise Unreadable(f"an array of {kind} {shape}, where uint8 [H, W, 3] (RGB) or [H, W] is taken{fix}")


def batches(images: Iterator[Any], size: int) -> Iterator[list[tuple[str, np.ndarray | str]]]:
    """Images in batches, each with its name and its pixels, uint8 [size, size, 3], or the reason why there are none.

    They are taken from `images` two batches ahead, which are read while the caller works on one.
    """

    def try_to_read(image: Any) -> np.ndarray | str:
        try:
            return read(image, size)
        except Unreadable as error:
            return str(error)

    numbers = count()
    with ThreadPoolExecutor() as readers:

        def ahead() -> tuple[list[str], Iterator[np.ndarray | str]]:
            batch = list(islice(images, BATCH))
            return [_name(image, next(numbers)) for image in batch], readers.map(try_to_read, batch)

        names, reading = ahead()
        while names:
            batch = list(zip(names, reading, strict=True))
            names, reading = ahead()
            yield batch


def _name(image: Any, number: int) -> str:
    image = getattr(image, "filename", None) or image if isinstance(image, PIL.Image.Image) else image
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else f"images[{number}]"


# What the network makes of them ---------------------------------------------------------------------------------------


def most_probable(probabilities: Tensor, classes: Sequence[str], number: int = 5) -> list[list[tuple[str, float]]]:
    """The `number` most probable labels of each image, all where there are fewer, of class probabilities [N, classes]."""
    best = probabilities.topk(min(number, len(classes)), dim=1)
    return [
        [(classes[k], p) for k, p in zip(row, values, strict=True)]
        for row, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def predictions(
    network: "TrainedNetwork", images: Iterator[Any], views: int = 10, top: int | None = None
) -> Iterator[Prediction]:
    """A prediction for every `Image`, in their order; one that cannot be read is a Prediction with an error.

    top: how many labels; None: five, or all classes where there are fewer. Raises InputError for more than there are, and
    for a number of views other than 1 and 10.
    """
    number = len(network.classes)
    if top is not None and not 1 <= top <= number:
        raise InputError(f"top={top}: this network has {number} classes; ask for 1 to {number} labels")
    for batch in batches(images, network.size):
        good = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        best: Iterator[list[tuple[str, float]]] = iter(())
        if good:
            best = iter(most_probable(network.probabilities(np.stack(good), views), network.classes, top or 5))
        for name, pixels in batch:
            if isinstance(pixels, str):
                yield Prediction(name, [], error=pixels)
            else:
                yield Prediction(name, next(best), pixels=pixels)


def predict(network: "TrainedNetwork", images: Any, views: int, top: int | None) -> Prediction | list[Prediction]:
    """`TrainedNetwork.predict`."""
    if not is_one(images):
        return [replace(answer, pixels=None) for answer in predictions(network, several(images), views, top)]
    (prediction,) = predictions(network, iter([images]), views, top)
    prediction = replace(prediction, image=_called(prediction.image, single=True), pixels=None)
    if prediction.error is not None:
        raise InputError(f"{prediction.image}: {_why(images, prediction.error)}")
    return prediction


def features(network: "TrainedNetwork", images: Any) -> Tensor:
    """`TrainedNetwork.features`."""
    single = is_one(images)

    @torch.no_grad()  # not inference_mode: a classifier may be trained on them
    def rows_of(pixels: list[np.ndarray]) -> Tensor:
        return network.network.features(network.prepare(np.stack(pixels))).float().flatten(1).cpu()

    rows = []
    for batch in batches(iter([images]) if single else several(images), network.size):
        for name, pixels in batch:
            if isinstance(pixels, str):
                raise InputError(f"{_called(name, single)}: {_why(images, pixels)}")
        rows.append(rows_of([pixels for _, pixels in batch if not isinstance(pixels, str)]))
    return torch.cat(rows) if rows else rows_of([np.zeros((network.size, network.size, 3), np.uint8)])[:0]


def _called(name: str, single: bool) -> str:
    return "image" if single and name == "images[0]" else name


def _why(images: Any, error: str) -> str:
    if isinstance(images, str | os.PathLike) and os.path.isdir(images):
        return f"a folder; [{os.fsdecode(images)!r}], a list, stands for all images in it"
    if isinstance(images, str) and glob.has_magic(images) and not os.path.exists(images):
        return f"{error}; [{images!r}], a list, stands for all files that it matches"
    return error
