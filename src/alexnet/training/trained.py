"""A trained network with all it needs to judge a photograph: classes, crop size and the statistics of its training set."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.batches import Preparation, test_views
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation.errors import view_probabilities
from alexnet.files import write_text
from alexnet.network.model import AlexNet
from alexnet.training import checkpoint, recipe


class TrainedNetwork(nn.Module):
    """A run's network in eval mode: pixels in, probabilities out."""

    def __init__(self, path: Path, of: recipe.Recipe, network: AlexNet, classes: tuple[str, ...], preparation: Preparation):
        super().__init__()
        self.path, self.recipe, self.network, self.classes, self.preparation = path, of, network, classes, preparation
        self.eval()

    @property
    def mean(self) -> Tensor:
        """The mean image of the training set, float32 [S, S, 3], 0-255."""
        return self.preparation.mean.permute(1, 2, 0)

    def prepare(self, images: Tensor | np.ndarray) -> Tensor:
        """Input of the network for the centre view: uint8 [N, S, S, 3] -> float32 [N, 3, C, C]."""
        return next(test_views(self._pixels(images), self.preparation, 1))

    def forward(self, images: Tensor | np.ndarray) -> Tensor:
        """Logits [N, classes] of uint8 images [N, S, S, 3], centre view."""
        return self.network(self.prepare(images))

    def probabilities(self, images: Tensor | np.ndarray, views: int = 1) -> Tensor:
        """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over 1 or 10 views."""
        return view_probabilities(self.network, self._pixels(images), self.preparation, views)

    def _pixels(self, images: Tensor | np.ndarray) -> Tensor:
        pixels = torch.as_tensor(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
        side = self.preparation.mean.shape[-1]
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or tuple(pixels.shape[1:]) != (side, side, 3):
            raise InputError(
                f"images are {pixels.dtype} {list(pixels.shape)}; this network takes uint8 [N, {side}, {side}, 3]"
                " (alexnet.data.prepare.to_square makes one)"
            )
        return pixels.to(self.preparation.mean.device)


def preparation_of(prepared: Prepared, input_size: int) -> Preparation:
    """The statistics of a prepared dataset as tensors."""
    return Preparation(
        input_size,
        torch.from_numpy(np.array(prepared.mean, dtype=np.float32)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(np.array(prepared.eigenvalues, dtype=np.float32)),
        torch.from_numpy(np.array(prepared.eigenvectors, dtype=np.float32)),
    )


def keep_preparation(run: Path, prepared: Prepared) -> None:
    """Copy classes and statistics into the run folder, so that it predicts without the dataset."""
    folder = run / "preparation"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mean.npy", "colour.json"):
        shutil.copyfile(prepared.path / name, folder / f".{name}.new")
        (folder / f".{name}.new").replace(folder / name)
    write_text(run / "classes.json", json.dumps(list(prepared.classes), indent=2, ensure_ascii=False) + "\n")


def load(run: Path | str, device: torch.device | str = "cpu") -> TrainedNetwork:
    """The trained network of a run folder, from its newest checkpoint.

    Raises InputError, naming what is missing or damaged, if `run` is not a run folder with a checkpoint.
    """
    path = Path(run)
    of = recipe.read(path)
    found = checkpoint.newest(path)
    try:
        classes = tuple(json.loads((path / "classes.json").read_text()))
        mean = np.load(path / "preparation" / "mean.npy", allow_pickle=False)
        colour = json.loads((path / "preparation" / "colour.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the run's classes or preparation cannot be read ({error})") from None
    network = AlexNet(of.network)
    checkpoint.load_weights(network, found)
    preparation = Preparation(
        of.network.input_size,
        torch.from_numpy(mean).permute(2, 0, 1).contiguous(),
        torch.tensor(colour["eigenvalues"], dtype=torch.float32),
        torch.tensor(colour["eigenvectors"], dtype=torch.float32),
    )
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedNetwork(path, of, network, classes, preparation.to(device))
