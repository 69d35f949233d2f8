"""What was exported: the files of a network, and how they compare with it and err."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import Preparation
from alexnet.data.prepared import Prepared
from alexnet.data.views import test_views
from alexnet.errors import InputError
from alexnet.evaluation.measure import evaluate
from alexnet.exchange.comparison import Difference, difference
from alexnet.run.images import measured_on, validation_of
from alexnet.run.trained import TrainedNetwork
from alexnet.run.views import Network
from alexnet.words import counted

Format = Literal["onnx", "openvino", "caffe", "torchvision", "alexnet"]

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "caffe": (".caffemodel",),
    "torchvision": (".pth", ".safetensors"),
    "alexnet": (".safetensors",),
}
"""How names of files may end; the first is the default's."""

COMPARED = 32
"""Images that file and network are compared on."""

Progress = Callable[[str, int, int], None]
"""Called with the kind of file that is measured, float32 or int8, run or file, and how many of its images are done, of how many."""


@dataclass(frozen=True)
class Errors:
    """Top-1 and top-5 error in percent."""

    top1_error: float
    top5_error: float


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares."""

    run: Path
    checkpoint: str
    classes: int
    """The number of classes of the network."""
    format: Format
    file: Path
    files: tuple[Path, ...]
    """`file` and what belongs to it, such as the mean image, or the .bin in which OpenVINO keeps the weights."""
    bytes: int
    int8: bool
    compared: str
    """The images that the file, of other programs the float32 one, and the run's network were compared on."""
    difference: Difference
    """The difference between these two."""
    measured: str | None = None
    """int8, and network files: the images that the errors are of."""
    before: Errors | None = None
    """Errors of the float32 file, or of the run"""
    after: Errors | None = None
    """Errors of the int8 file, or of the network file"""
    takes: str | None = None
    """Weights for other programs: what their network has to be given."""
    sha256: str | None = None
    """Network files: what tells this file from any other, in hexadecimal digits"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        paths = {"run": str(self.run), "file": str(self.file), "files": [str(file) for file in self.files]}
        document: dict[str, Any] = {}
        for name, value in (asdict(self) | paths).items():
            document |= self.difference.to_dict() if name == "difference" else {name: value}
        del document["classes"]
        return document


def check_data(network: TrainedNetwork, data: Prepared | None, calibrates: bool = False) -> None:
    """Raise InputError for data of other classes than the network's or smaller images, and for none where int8 calibrates on it."""
    if data is not None and data.classes != network.classes:
        raise InputError(f"{data.path}: its classes are not the run's, or in another order; use data with the run's")
    if data is not None and data.size < network.preparation.size:
        raise InputError(
            f"{data.path}: its images are {data.size}×{data.size}, the run's {network.preparation.size}; use data as large"
        )
    if calibrates and data is None:
        raise InputError("--int8 needs images to calibrate on and to measure its loss: --data DIR, a prepared dataset")


def compare(
    network: TrainedNetwork, logits: Callable[[Tensor], Tensor], data: Prepared | None
) -> tuple[str, Difference]:
    """Compare the network with another form of it, on images of `data` or noise; returns these in words, and the difference.

    logits: what the other form gives for images uint8 [N, S, S, 3], centre view.
    """
    if data is None:
        compared, size = f"{COMPARED} images of noise", network.size
        images = np.random.default_rng(0).integers(0, 256, (COMPARED, size, size, 3), dtype=np.uint8)
    else:
        split, indices = validation_of(network.recipe, data)
        chosen = indices[np.linspace(0, len(indices) - 1, min(COMPARED, len(indices))).astype(np.int64)]
        images, compared = split.images[chosen], f"{len(chosen)} images of {data.path} ({measured_on(split)})"
    tensors = torch.from_numpy(np.array(images))
    with torch.inference_mode():
        wanted = network.network(next(test_views(tensors, network.preparation)))
        return compared, difference(logits(tensors), wanted)


def measure(
    network: TrainedNetwork,
    judges: Mapping[str, tuple[Network, Preparation]],
    data: Prepared,
    views: int,
    progress: Progress,
) -> tuple[dict[str, Any], int]:
    """The fields of Exported that say the errors of two forms, each a network and its preparation, and how many images they are of.

    The images are those that validate the run.
    """
    split, indices = validation_of(network.recipe, data)
    images, classes = (split.images, split.labels), network.classes
    errors = []
    for name, (judge, preparation) in judges.items():
        report = evaluate(judge, preparation, *images, classes, indices, views, progress=partial(progress, name))
        errors.append(Errors(report.top1_error, report.top5_error))
    where = f"{data.path} ({measured_on(split)}, {len(indices):,} images, {counted(views, 'view')})"
    return {"measured": where, "before": errors[0], "after": errors[1]}, len(indices)
