"""A run as a file for other runtimes, measured against the run's own network before it gets its name."""

import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from alexnet.data.augment import Preparation, centre
from alexnet.data.prepared import Prepared
from alexnet.data.views import test_views
from alexnet.errors import InputError, RunFailed
from alexnet.evaluation.errors import evaluate
from alexnet.export import runtimes
from alexnet.export.runtimes import Format
from alexnet.files import named, no_room, refused
from alexnet.run.images import measured_on, validation_of
from alexnet.run.trained import TrainedNetwork

TOLERANCE = 1e-4
"""The largest difference of a probability, and of a logit as a share of the largest logit, from the run's network."""

COMPARED = 32
"""Images that file and network are compared on."""

CALIBRATION = 300
"""Training images from which int8 takes the ranges of its activations."""


@dataclass(frozen=True)
class Errors:
    """Top-1 and top-5 error in percent."""

    top1_error: float
    top5_error: float


@dataclass(frozen=True)
class Export:
    """What was written, and how it compares."""

    file: Path
    files: tuple[Path, ...]
    """`file` and what belongs to it: OpenVINO keeps the weights in a .bin beside the .xml."""
    bytes: int
    int8: bool
    compared: str
    """The images that the float32 file and the run's network were compared on."""
    probability_difference: float
    """Largest difference of a probability between them."""
    logit_difference: float
    """Largest difference of a logit, as a share of the largest logit."""
    measured: str | None = None
    """int8: the images that the errors are of."""
    before: Errors | None = None
    """int8: errors of the float32 file"""
    after: Errors | None = None
    """int8: errors of the int8 file"""
    takes: str | None = None
    """Weights for other programs: what their network has to be given."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "file": str(self.file), "files": [str(file) for file in self.files]}


def export(
    network: TrainedNetwork,
    format: Format,
    file: Path | None = None,
    data: Prepared | None = None,
    int8: bool = False,
    views: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Export:
    """Write a run's network for onnxruntime or OpenVINO, by default into its run folder.

    The file is loaded by its runtime and compared with `network` on images of `data`, or on noise where there are none:
    RunFailed, and nothing written, beyond `TOLERANCE`. With `int8` the weights and activations are 8-bit, calibrated on
    training images of `data`, and both files' errors over `views` are measured on its validation images. Raises
    InputError where a package is missing, and for int8 without data of the run's classes.
    """
    check_packages(format, int8)
    from alexnet.export.graph import onnx_model

    if data is not None and data.classes != network.classes:
        raise InputError(f"{data.path}: its classes are not the run's, or in another order; use data with the run's")
    if data is not None and data.size < network.preparation.size:
        raise InputError(
            f"{data.path}: its images are {data.size}×{data.size}, the run's {network.preparation.size}; use data as large"
        )
    if int8 and data is None:
        raise InputError("--int8 needs images to calibrate on and to measure its loss: --data DIR, a prepared dataset")
    suffix = runtimes.SUFFIX[format]
    file = file or network.path / f"network{'-int8' if int8 else ''}{suffix}"
    if file.suffix != suffix:
        raise InputError(f"--out {file}: the name of an {format} file ends in {suffix}")
    if not file.parent.is_dir():
        raise InputError(f"--out {file}: there is no folder {file.parent}")
    for part in (file, file.with_suffix(".bin")) if format == "openvino" else (file,):
        if part.is_dir():
            raise InputError(f"--out {file}: {part} is a folder; give the name of a file")
    network = network.to("cpu")
    mean = centre(network.preparation.mean, network.preparation.input_size)
    metadata = _metadata(network)
    # The file subtracts the mean itself.
    pixels = replace(network.preparation, mean=torch.zeros_like(network.preparation.mean))
    with writing(file), tempfile.TemporaryDirectory(prefix=f".{file.stem}-", dir=file.parent) as folder:
        plain = Path(folder) / f"plain{suffix}"
        runtimes.save(onnx_model(network.network, mean, metadata), plain, format, metadata)
        loaded = runtimes.Loaded(plain, format)
        made, final = compared(network, loaded, pixels, data, file), plain
        if int8:
            assert data is not None
            final = Path(folder) / file.name
            runtimes.quantize(plain, _calibration(network, pixels, data), final, format, metadata)
            quantized = runtimes.Loaded(final, format, exact=False)
            made = _measured(made, network, loaded, quantized, pixels, data, views, progress)
        files = _rename(final, file)
    return replace(made, files=files, bytes=sum(part.stat().st_size for part in files), int8=int8)


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Let what the system refuses name `file`; RunFailed where there is no more room, however a library says so."""
    try:
        with named(file):
            yield
    except Exception as error:
        if no_room(error) or "iostream error" in str(error):  # all that OpenVINO says of it
            raise RunFailed(refused(error if no_room(error) else OSError(ENOSPC, ""), file)) from error
        raise


def check_packages(format: Format, int8: bool) -> None:
    """InputError, with the command that mends it, if a package is not installed that an export needs."""
    needed = ["onnx", "onnxruntime"] if format == "onnx" else ["onnx", "openvino", *(["nncf"] if int8 else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f'{format} files need more packages ({", ".join(missing)}): pip install "alexnet[export]"')


def _metadata(network: TrainedNetwork) -> dict[str, str]:
    side, size = network.preparation.input_size, network.preparation.size
    return {
        "classes": json.dumps(network.classes),
        "input": f"pixels: float32 [N, 3, {side}, {side}], RGB, 0-255; the mean is subtracted inside",
        "preparation": f"shorter side to {size} pixels, then the central {side}x{side}",
        "outputs": "probabilities, logits: float32 [N, classes]",
        "network": network.network.spec.name,
        "checkpoint": network.checkpoint,
        "alexnet": version("alexnet"),
    }


def compared(
    network: TrainedNetwork, loaded: nn.Module, pixels: Preparation, data: Prepared | None, file: Path
) -> Export:
    """What was made, as `loaded` computes it from views that no mean was taken from, beside the run's own network.

    On images of `data`, or on noise. RunFailed, naming `file`, beyond TOLERANCE.
    """
    if data is None:
        what, size = f"{COMPARED} images of noise", network.size
        images = np.random.default_rng(0).integers(0, 256, (COMPARED, size, size, 3), dtype=np.uint8)
    else:
        split, indices = validation_of(network.recipe, data)
        chosen = indices[np.linspace(0, len(indices) - 1, min(COMPARED, len(indices))).astype(np.int64)]
        images, what = split.images[chosen], f"{len(chosen)} images of {data.path} ({measured_on(split)})"
    tensors = torch.from_numpy(np.array(images))
    with torch.inference_mode():
        wanted = network.network(next(test_views(tensors, network.preparation)))
        found = loaded(next(test_views(tensors, pixels)))
    logit = float((found - wanted).abs().max() / wanted.abs().max())
    probability = float((found.softmax(1) - wanted.softmax(1)).abs().max())
    if not max(logit, probability) <= TOLERANCE:  # NaN is refused too
        raise RunFailed(
            f"{file}: not written, since its probabilities differ from the run's by {probability:.1e} and its logits by"
            f" {logit:.1e} of the largest ({what}); {TOLERANCE:.0e} is allowed. Report this, with the versions of the runtime"
        )
    return Export(file, (), 0, False, what, probability, logit)


def _calibration(network: TrainedNetwork, pixels: Preparation, data: Prepared) -> list[np.ndarray]:
    """The centre views of a seeded sample of the training images, and never of one that validates the run."""
    train = data.split("train")
    validation, held_out = validation_of(network.recipe, data)
    allowed = np.arange(len(train.labels))
    if validation.name == "train":
        allowed = np.setdiff1d(allowed, held_out)
    chosen = np.random.default_rng(0).choice(allowed, min(CALIBRATION, len(allowed)), replace=False)
    views = next(test_views(torch.from_numpy(np.array(train.images[np.sort(chosen)])), pixels))
    return [view[None].contiguous().numpy() for view in views]


def _measured(
    made: Export,
    network: TrainedNetwork,
    plain: runtimes.Loaded,
    quantized: runtimes.Loaded,
    pixels: Preparation,
    data: Prepared,
    views: int,
    progress: Callable[[str, int, int], None],
) -> Export:
    split, indices = validation_of(network.recipe, data)

    def errors(what: str, of: runtimes.Loaded) -> Errors:
        found = evaluate(
            of,
            pixels,
            split.images,
            split.labels,
            network.classes,
            indices,
            views,
            progress=lambda *n: progress(what, *n),
        )
        return Errors(found.top1_error, found.top5_error)

    number = f"{len(indices):,} images, {views} view{'s' * (views > 1)}"
    what = f"{data.path} ({measured_on(split)}, {number})"
    return replace(made, measured=what, before=errors("float32", plain), after=errors("int8", quantized))


def _rename(made: Path, file: Path) -> tuple[Path, ...]:
    """Give what was made its name; a kill in between leaves no .xml beside another's weights."""
    if file.suffix != ".xml":
        made.replace(file)
        return (file,)
    weights = file.with_suffix(".bin")
    file.unlink(missing_ok=True)
    made.with_suffix(".bin").replace(weights)
    made.replace(file)
    return file, weights
