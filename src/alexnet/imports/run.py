"""A run folder from weights of others: compared with their own definition, then written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import centre, to_channels
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed
from alexnet.files import refused, write_bytes, write_text
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.run import checkpoint, recipes
from alexnet.run.checkpoint import Progress
from alexnet.training import rule

TOLERANCE = 1e-4
"""The largest difference of a probability, and of a logit as a share of the largest logit, as for `alexnet export`."""

COMPARED = 8
"""Images of noise that file and network are compared on."""


@dataclass(frozen=True)
class Input:
    """What a network of others takes: (pixels - mean) · scale, pixels on 0-255, colours in `order`."""

    order: str
    """ "rgb" or "bgr"."""
    mean: np.ndarray
    """float32, in that order: [3], an image [3, S, S], or a crop of the size of the input."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Imported:
    """A network of others as a run would have it."""

    kind: str
    network: Network
    weights: dict[str, Tensor]
    mean: np.ndarray
    """float32 [S, S, 3], R, G, B, 0-255."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """How far a network is from its file, on COMPARED images of noise."""

    by: str
    """What computed the file's outputs."""
    probability_difference: float
    logit_difference: float
    """As a share of the largest logit."""


def imported(
    kind: str,
    network: Network,
    weights: dict[str, Tensor],
    takes: Input,
    image_size: int | None,
    notes: Sequence[str] = (),
) -> Imported:
    """The network with the file's input brought to a run's: R, G, B, pixels 0-255 minus the mean, zeros around.

    A scale goes into `network.input_scale`, and what differs between colours into conv1, so that both compute the same
    and learning rates mean what they meant. InputError for a mean that does not fit the input.
    """
    mean, size = np.asarray(takes.mean, np.float32), network.input_size
    if mean.shape[:1] != (3,) or mean.ndim not in (1, 3) or (mean.ndim == 3 and mean.shape[1] != mean.shape[2]):
        raise InputError(f"--mean: {list(mean.shape)}; it must be three values or an image [3, S, S]")
    if not np.isfinite(mean).all():
        raise InputError("--mean: NaN or infinity is in it")
    if mean.ndim == 3 and mean.shape[1] < size:
        raise InputError(f"--mean: {list(mean.shape)}, smaller than the network's input, {size}; give three values")
    side = image_size or (mean.shape[1] if mean.ndim == 3 and mean.shape[1] > size else default_image_size(size))
    if side < size:
        raise InputError(f"--image-size {side}: smaller than the network's input, {size}")
    weights = dict(weights)
    first, scale = weights["conv1.weight"], np.array(takes.scale, np.float64)
    common = float(scale.mean())
    if not (np.isfinite(scale).all() and common > 0):
        raise InputError(f"the file multiplies its input by {takes.scale}, which no network here does")
    first = first * torch.tensor(scale / common).float()[:, None, None]
    if takes.order == "bgr":
        first, mean = first.flip(1), mean[::-1]
    weights["conv1.weight"] = first.contiguous()
    return Imported(kind, replace(network, input_scale=common), weights, _image(mean, side), tuple(notes))


def default_image_size(input_size: int) -> int:
    """Side of the images that crops are taken from: 256 for the sizes of ImageNet, an eighth more than the crop for others."""
    return 256 if 193 <= input_size <= 256 else -(-input_size * 8 // 7)


def _image(mean: np.ndarray, side: int) -> np.ndarray:
    """A mean [3] or [3, S, S] as an image [side, side, 3]: its centre, or around it what its edge has."""
    if mean.ndim == 1:
        return np.ascontiguousarray(np.broadcast_to(mean, (side, side, 3)))
    before = (side - mean.shape[1]) // 2
    if before >= 0:
        after = side - mean.shape[1] - before
        mean = np.pad(mean, ((0, 0), (before, after), (before, after)), mode="edge")
    else:
        before = (mean.shape[1] - side) // 2
        mean = mean[:, before : before + side, before : before + side]
    return np.ascontiguousarray(mean.transpose(1, 2, 0), np.float32)


def module(of: Imported) -> AlexNet:
    """The network with its weights, in eval mode; InputError, naming the layer, for weights that do not fit it."""
    with torch.device("meta"):
        made = AlexNet(of.network)
    for name, tensor in made.state_dict().items():
        if name not in of.weights or of.weights[name].shape != tensor.shape:
            there = list(of.weights[name].shape) if name in of.weights else "missing"
            raise InputError(f"{name} is {there} in the file; the network has {list(tensor.shape)}")
    made.load_state_dict(of.weights, assign=True)
    for parameter in made.parameters():
        parameter.requires_grad_(True)
    return made.eval()


@torch.no_grad()
def compare(network: AlexNet, of: Imported, theirs: Callable[[Tensor], Tensor], by: str) -> Compared:
    """Both networks on images of noise; `theirs` takes them as pixels, float32 [N, 3, S, S], R, G, B, 0-255.

    Raises InputError where the outputs differ by more than TOLERANCE.
    """
    size = of.network.input_size
    pixels = torch.randint(256, (COMPARED, 3, size, size), generator=torch.Generator().manual_seed(0)).float()
    mean = to_channels(torch.from_numpy(of.mean)[None], len(of.mean))[0]
    ours, found = network(pixels - centre(mean, size)), theirs(pixels)
    if ours.shape != found.shape:
        raise InputError(f"{by} gives {list(found.shape)}, the network {list(ours.shape)}")
    logit = float((ours - found).abs().max() / found.abs().max().clamp(min=1e-30))
    probability = float((ours.softmax(1) - found.softmax(1)).abs().max())
    if not max(logit, probability) <= TOLERANCE:  # NaN is refused too
        raise InputError(
            f"not imported: the probabilities differ by {probability:.1e} from those of {by}, the logits by {logit:.1e} of"
            f" the largest; {TOLERANCE:.0e} is allowed. Say what the network takes with --input and --mean"
        )
    return Compared(by, probability, logit)


def check_out(out: Path) -> None:
    """InputError unless a run folder can be made at `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: there is something already; use another folder")


def write(
    of: Imported, network: AlexNet, out: Path, classes: Sequence[str], source: str, data: Prepared | None
) -> None:
    """Make the run folder: recipe, step 0 of a checkpoint, classes, mean, colours. A kill leaves none under its name.

    data: the prepared dataset to evaluate on by default. RunFailed if it cannot be written.
    """
    check_out(out)
    made = replace(recipes.paper, name=of.network.name, network=of.network, image_size=len(of.mean))
    made.check()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InputError(f"--out {refused(error, out)}") from None
    try:
        (beside / "preparation").mkdir()
        np.save(beside / "preparation" / "mean.npy", of.mean)
        # No file of others says anything of the colours' principal components; fine-tuning takes its own data's.
        none = {"covariance": np.zeros((3, 3)).tolist(), "eigenvalues": [0.0] * 3, "eigenvectors": np.eye(3).tolist()}
        write_text(beside / "preparation" / "colour.json", json.dumps(none))
        write_text(beside / "classes.json", json.dumps(list(classes), indent=2) + "\n")
        # The path may be of a file: then commands ask for --data, and say why.
        about = {"description": "unknown: the weights are imported"} if data is None else data.manifest["source"]
        where = {"path": str(data.path.resolve()) if data else source, "source": about, "imported": source}
        write_text(beside / "data.json", json.dumps(where) + "\n")
        sgd = rule.optimizer_of(made, network)
        checkpoint.save(beside, network.state_dict(), sgd.state_dict(), Progress(), made.keep)
        write_bytes(beside / "recipe.json", made.to_json().encode())
        beside.chmod(0o755)
        os.replace(beside, out)
    except OSError as error:
        raise RunFailed(refused(error, out)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
