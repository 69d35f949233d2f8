"""A trained network with all it needs to judge a photograph: classes, crop size and the statistics of its training set."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from alexnet.data.augment import Preparation, to_channels
from alexnet.data.views import test_views
from alexnet.device import Precision, low_precision
from alexnet.errors import InputError
from alexnet.network.low_precision import LowPrecision
from alexnet.network.model import AlexNet
from alexnet.run import checkpoint, folder, hub, network_file
from alexnet.run import recipe as recipes
from alexnet.run.locate import is_file, locate
from alexnet.run.network_file import Contents
from alexnet.run.recipe import Recipe
from alexnet.run.views import Network, view_probabilities

if TYPE_CHECKING:  # it is built on this
    from alexnet.run.predict import Image, Prediction


class TrainedNetwork(nn.Module):
    """A run's network in eval mode: pixels in, probabilities out."""

    def __init__(self, path: Path, contents: Contents, network: AlexNet, precision: Precision = "float32") -> None:
        """path: the run folder or the network file that `contents` were read from. network: with weights, on the CPU."""
        super().__init__()
        self.path, self.network = path, network
        self._about = replace(contents, weights={})  # those of the network may be changed, and moved
        self.recipe, self.classes = contents.recipe, contents.classes
        statistics = (contents.mean, contents.eigenvalues, contents.eigenvectors)
        self.preparation, self.size = preparation_of(*statistics, contents.recipe), len(contents.mean)
        """Side of the images it takes, in pixels: that of the dataset it was trained on."""
        self._judge: LowPrecision | None = None
        self.checkpoint = contents.checkpoint
        """Name of the checkpoint's folder, as "step-00000074": the steps its weights were trained for."""
        self.precision = precision
        """What `probabilities` are computed in; all else is float32. "auto": bf16 where the device multiplies it."""
        self.measured = contents.measured
        """Its errors, where a network file says them"""
        self.eval()

    @property
    def contents(self) -> Contents:
        """All that predicting needs, as it was read, with the weights that the network has now."""
        return replace(self._about, weights=self.network.state_dict())

    @property
    def in_file(self) -> bool:
        """Whether it is from a network file, and not from a run folder: nothing of it is kept there."""
        return self.path.is_file()

    @property
    def judge(self) -> Network:
        """What makes the logits that `probabilities` are of: the network itself, or the network in bf16."""
        device = self.preparation.mean.device
        low = low_precision(self.precision, device)
        if low is None:
            return self.network
        if self._judge is None or self._judge.low != low:
            self._judge = LowPrecision(self.network, low)
        return self._judge

    @property
    def mean(self) -> Tensor:
        """The mean image of the training set, float32 [S, S, 3], 0-255, S being the recipe's image_size."""
        return self.preparation.mean.permute(1, 2, 0)

    def prepare(self, images: Tensor | np.ndarray) -> Tensor:
        """Input of the network for the centre view: uint8 [N, S, S, 3] -> float32 [N, 3, C, C]."""
        return next(test_views(self._pixels(images), self.preparation, 1))

    def forward(self, images: Tensor | np.ndarray) -> Tensor:
        """Logits [N, classes] of uint8 images [N, S, S, 3], centre view."""
        return self.network(self.prepare(images))

    def probabilities(self, images: Tensor | np.ndarray, views: int = 1) -> Tensor:
        """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over 1 or 10 views."""
        return view_probabilities(self.judge, self._pixels(images), self.preparation, views)

    @overload
    def predict(  # type: ignore[overload-overlap]  # paths and arrays give one thing after the other, too
        self, images: str | os.PathLike[str] | bytes | PIL.Image.Image, views: int = 1, top: int | None = None
    ) -> "Prediction": ...

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, images: np.ndarray | Tensor, views: int = 1, top: int | None = None
    ) -> "Prediction | list[Prediction]": ...

    @overload
    def predict(self, images: "Iterable[Image]", views: int = 1, top: int | None = None) -> "list[Prediction]": ...

    def predict(
        self, images: "Image | Iterable[Image]", views: int = 1, top: int | None = None
    ) -> "Prediction | list[Prediction]":
        """The most probable labels of an image, or of several, of any size.

        >>> answer = trained.predict("photo.jpg")
        >>> answer.label, answer.probability, answer.top    # top: [(label, probability), ...], most probable first

        images: the path of a file, or its bytes; an image of Pillow; an array or a tensor, uint8 [H, W, 3] (RGB) or [H, W]
        (grey): gives one Prediction. A list (or whatever else gives one after the other) of these, or an array uint8
        [N, H, W, 3], gives a list of Predictions in their order; in a list a path may be a folder, which stands for all images
        in it, or a glob.
        Each is brought to the network's size as `alexnet prepare` and `alexnet predict` do it.
        views: 1, the centre, or 10 averaged, as `alexnet predict` does: slower, somewhat more often right.
        top: how many labels; by default five, or all classes where there are fewer.

        Raises InputError for an image that cannot be read, with the reason. In a list the others go on: that one's `error`
        says why, and its `label` raises. InputError too for more labels than classes, and for other numbers of views.
        """
        from alexnet.run import predict

        return predict.predict(self, images, views, top)

    def features(self, images: "Image | Iterable[Image]") -> Tensor:
        """The last hidden activations (§6.1) of an image or several: float32 [N, 4096] in the paper's network, on the CPU.

        images: as `predict` takes them, centre view; of one image, N is 1. They are what `alexnet similar` compares.
        Raises InputError for an image that cannot be read, in a list too.
        """
        from alexnet.run import predict

        return predict.features(self, images)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TrainedNetwork":
        # What .to(device) and .cuda() go through: the statistics of the training set move with the weights.
        super()._apply(fn, recurse)
        self.preparation = self.preparation.to(next(self.network.parameters()).device)
        return self

    def _pixels(self, images: Tensor | np.ndarray) -> Tensor:
        # A copy, since torch refuses to promise anything about a read-only array.
        pixels = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        side = self.size
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or tuple(pixels.shape[1:]) != (side, side, 3):
            raise InputError(
                f"images are {pixels.dtype} {list(pixels.shape)}; this network takes uint8 [N, {side}, {side}, 3]"
                " (alexnet.data.image.to_square makes one)"
            )
        return pixels.to(self.preparation.mean.device)


def preparation_of(mean: np.ndarray, eigenvalues: np.ndarray, eigenvectors: np.ndarray, recipe: Recipe) -> Preparation:
    """The statistics of a prepared dataset, mean float32 [S, S, 3] and principal components of RGB, as `recipe` uses them."""
    return Preparation(
        recipe.network.input_size,
        to_channels(torch.from_numpy(np.array(mean, dtype=np.float32))[None], recipe.image_size)[0].contiguous(),
        torch.from_numpy(np.array(eigenvalues, dtype=np.float32)),
        torch.from_numpy(np.array(eigenvectors, dtype=np.float32)),
    )


def contents_of(given: Path | str) -> Contents:
    """All that predicting needs, of what `load` takes; of a run folder, the newest checkpoint. Raises InputError as that does."""
    path = locate(given)
    if path.is_file() or is_file(path):
        return network_file.read(path)
    recipe, newest = recipes.read(path), checkpoint.newest(path)
    classes = folder.classes_of(path)
    mean, _, eigenvalues, eigenvectors = folder.statistics_of(path)
    _check(recipe, classes, mean, path / folder.CLASSES, path / folder.MEAN)  # before weights are read
    weights = checkpoint.weights(newest)
    return Contents(newest, recipe, weights, classes, mean, eigenvalues, eigenvectors, newest.name)


def start_of(given: Path | str) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the weights that fine-tuning starts from, of what `load` takes. Raises InputError as that does."""
    path = locate(given)
    if path.is_file() or is_file(path):
        contents = network_file.read(path)
        return contents.recipe, contents.weights
    return recipes.read(path), checkpoint.weights(checkpoint.newest(path))


def _check(recipe: Recipe, classes: tuple[str, ...], mean: np.ndarray, *where: Path | str) -> None:
    """Raise InputError, naming where they are from, for classes or a mean image that the recipe is not of."""
    if len(classes) != recipe.network.classes:
        raise InputError(f"{where[0]}: {len(classes)} classes, the network has {recipe.network.classes}")
    if len(mean) < recipe.image_size:
        raise InputError(f"{where[1]} is {list(mean.shape)}, the recipe's images are {recipe.image_size}")


def load(run: Path | str, device: torch.device | str = "cpu", precision: Precision | None = None) -> TrainedNetwork:
    """The trained network of a run folder, from its newest checkpoint; or of a network file, which needs no run.

    >>> trained = alexnet.load("runs/photos")
    >>> trained = alexnet.load("starter")                                 # the network that comes with the package
    >>> trained = alexnet.load("network.safetensors")                     # alexnet export runs/photos alexnet
    >>> trained = alexnet.load("https://host/network.safetensors#sha256=0f1e...")  # downloaded once, into ~/.cache/alexnet
    >>> trained = alexnet.load("hf:someone/photos@v1")                    # of the Hugging Face hub; into the hub's own cache

    precision: what its `probabilities` are computed in; None: as its recipe says, which most often is "auto".
    Raises InputError, naming what is missing or damaged, if `run` is none of these; for a URL, too, if it does not end in the
    SHA-256 that the file has to have, or cannot be downloaded.
    """
    path = locate(run)
    contents = contents_of(path)
    recipe, where = contents.recipe, contents.where
    _check(recipe, contents.classes, contents.mean, f"{where}: classes", f"{where}: mean")
    with torch.device("meta"):  # shapes without memory, until the weights have been found to fit
        network = AlexNet(recipe.network)
    checkpoint.put_weights(network, contents.weights, where)
    trained = TrainedNetwork(path, contents, network, precision or recipe.precision)
    return trained.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def from_pretrained(
    name: Path | str, revision: str | None = None, device: torch.device | str = "cpu"
) -> TrainedNetwork:
    """The trained network of a repository of the Hugging Face hub; or of a local folder with the files of one.

    >>> trained = alexnet.from_pretrained("someone/photos")               # as alexnet.load("hf:someone/photos")
    >>> trained = alexnet.from_pretrained("someone/photos", revision="v1")
    >>> trained = alexnet.from_pretrained("card")                         # alexnet push RUN someone/photos --folder card

    revision: a branch, a tag or a commit. A commit has the same bytes for ever; whoever owns the repository can move the others.
    Raises InputError for a name that is neither, and as `load`; needs the packages of alexnet[hub], but for a folder.
    """
    if not Path(name).is_dir():
        return load(hub.PREFIX + str(name).removeprefix(hub.PREFIX) + (f"@{revision}" if revision else ""), device)
    if revision:
        raise InputError(f"{name}: a folder, which has no revision {revision}; leave that out, or rename the folder")
    return load(hub.file_in(Path(name)), device)
