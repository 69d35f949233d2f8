"""The network of a run is written for other programs, and compared with the file before the file gets its name."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from errno import ENOSPC
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from alexnet.data import prepared
from alexnet.data.augment import Preparation, centre
from alexnet.data.prepared import Prepared
from alexnet.data.views import check_views, test_views
from alexnet.errors import InputError, RunFailed
from alexnet.evaluation.measure import evaluate
from alexnet.exchange import caffe_write, runtimes, torchvision
from alexnet.exchange.comparison import TOLERANCE, Difference, difference
from alexnet.extras import need
from alexnet.files import named, no_room, refused
from alexnet.run import trained
from alexnet.run.folder import DATA, data_of
from alexnet.run.images import measured_on, training_of, validation_of
from alexnet.run.trained import TrainedNetwork

Format = Literal["onnx", "openvino", "caffe", "torchvision"]

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "caffe": (".caffemodel",),
    "torchvision": (".pth", ".safetensors"),
}
"""How names of files may end; the first is the default's."""

TAKES: dict[Format, str] = {
    "caffe": "BGR, 0-255, minus the mean image in {mean} (the part under the crop)",
    "torchvision": "RGB, 0-255, minus the mean image in {mean} (the part under the crop); not scaled to 0-1",
}

COMPARED = 32
"""Images that file and network are compared on."""

CALIBRATION = 300
"""Training images from which int8 takes the ranges of its activations."""

Progress = Callable[[str, int, int], None]
"""Called with the kind of file that is measured, float32 or int8, and how many of its images are done, of how many."""


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
    """The images that the float32 file and the run's network were compared on."""
    difference: Difference
    """The difference between these two."""
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
        paths = {"run": str(self.run), "file": str(self.file), "files": [str(file) for file in self.files]}
        document: dict[str, Any] = {}
        for name, value in (asdict(self) | paths).items():
            document |= self.difference.to_dict() if name == "difference" else {name: value}
        del document["classes"]
        return document


def export(
    run: Path,
    format: Format,
    file: Path | None = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    progress: Progress = lambda file, done, total: None,
) -> Exported:
    """Write the network of the run folder `run` for onnxruntime or OpenVINO, or its weights for Caffe or torchvision.

    file: its name; None: network.onnx, .xml, .caffemodel or .pth in the run folder (network-int8...).
    int8: 8-bit weights and activations (onnx, openvino), calibrated on training images; both files' errors over `views`
    are measured on the images that validate the run.
    data: the prepared dataset for that, and to compare on; None: the run's, or noise where that is not there.

    The files are read again, computed by their program or its definitions and compared with the run's network: RunFailed,
    and nothing is written, beyond `comparison.TOLERANCE`. InputError where a package is missing, for data of other classes,
    and, naming the layer, for a network that the format cannot express.
    """
    check_views(views)
    if format == "onnx" or format == "openvino":
        needed = {"onnx": ["onnx", "onnxruntime"], "openvino": ["onnx", "openvino", *(["nncf"] if int8 else [])]}
        need("export", *needed[format])
    elif int8:
        raise InputError(f"--int8: {format} files have float32 weights; leave it out")
    network = trained.load(run)
    path = data or (data_of(run, there=int8) if int8 or (run / DATA).is_file() else None)
    dataset = prepared.open(path) if path and (data or (path / "manifest.json").is_file()) else None
    if dataset and not data and not int8 and dataset.classes != network.classes:
        dataset = None  # prepared anew as something else since the run; noise will do to compare on
    return export_network(network, format, file, dataset, int8, views, progress)


def export_network(
    network: TrainedNetwork,
    format: Format,
    file: Path | None = None,
    data: Prepared | None = None,
    int8: bool = False,
    views: int = 1,
    progress: Progress = lambda file, done, total: None,
) -> Exported:
    """`export` of a network that is loaded, with a dataset that is open; without one it is compared on noise."""
    runtime = format == "onnx" or format == "openvino"
    if runtime:
        _check_data(network, data, int8)
    file = file or network.path / f"network{'-int8' if int8 else ''}{SUFFIXES[format][0]}"
    files = _files_of(file, format)
    network = network.to("cpu")
    takes = None if runtime else TAKES[format].format(mean=files[-2].name)
    # The file subtracts the mean by itself.
    pixels = replace(network.preparation, mean=torch.zeros_like(network.preparation.mean))
    measured: dict[str, Any] = {}
    with _writing(file), tempfile.TemporaryDirectory(prefix=f".{file.stem}-", dir=file.parent) as name:
        written = Path(name) / file.name
        loaded = _write(network, format, written, takes or "")
        compared, apart = _compare(network, loaded, pixels, data, file)
        if int8:
            assert data is not None and (format == "onnx" or format == "openvino")
            plain, written = written, written.parent / "int8" / file.name
            written.parent.mkdir()
            runtimes.quantize(plain, _calibration(network, pixels, data), written, format, _metadata(network))
            judges = {"float32": loaded, "int8": runtimes.Loaded(written, format, exact=False)}
            measured = _measure(network, judges, pixels, data, views, progress)
        if len(files) > 1:
            file.unlink(missing_ok=True)  # so that a kill in between leaves none beside what belongs to another
        for part in (*(part for part in files if part != file), file):
            written.with_name(part.name).replace(part)
    return Exported(
        run=network.path,
        checkpoint=network.checkpoint,
        classes=len(network.classes),
        format=format,
        file=file,
        files=files,
        bytes=sum(part.stat().st_size for part in files),
        int8=int8,
        compared=compared,
        difference=apart,
        takes=takes,
        **measured,
    )


def _check_data(network: TrainedNetwork, data: Prepared | None, int8: bool) -> None:
    if data is not None and data.classes != network.classes:
        raise InputError(f"{data.path}: its classes are not the run's, or in another order; use data with the run's")
    if data is not None and data.size < network.preparation.size:
        raise InputError(
            f"{data.path}: its images are {data.size}×{data.size}, the run's {network.preparation.size}; use data as large"
        )
    if int8 and data is None:
        raise InputError("--int8 needs images to calibrate on and to measure its loss: --data DIR, a prepared dataset")


def _files_of(file: Path, format: Format) -> tuple[Path, ...]:
    """Return `file` and the files that belong to it; InputError for a name or a folder that they cannot have."""
    if file.suffix not in SUFFIXES[format]:
        article = "an" if format.startswith("o") else "a"
        raise InputError(f"--out {file}: the name of {article} {format} file ends in {' or '.join(SUFFIXES[format])}")
    if not file.parent.is_dir():
        raise InputError(f"--out {file}: there is no folder {file.parent}")
    files: tuple[Path, ...] = (file,)
    if format == "openvino":
        files = (file, file.with_suffix(".bin"))
    elif format == "caffe":
        files = caffe_write.files_of(file)
    elif format == "torchvision":
        files = torchvision.files_of(file)
    for part in files:
        if part.is_dir():
            raise InputError(f"--out {file}: {part} is a folder; give the name of a file")
    return files


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Have errors of the system name `file`, and raise RunFailed where there is no more room, however a library says so."""
    try:
        with named(file):
            yield
    except Exception as error:
        if no_room(error) or "iostream error" in str(error):  # all that OpenVINO says of it
            raise RunFailed(refused(error if no_room(error) else OSError(ENOSPC, ""), file)) from error
        raise


def _write(network: TrainedNetwork, format: Format, file: Path, takes: str) -> nn.Module:
    """Write `file` and what belongs to it, in float32; returns the network that is read from the file again."""
    if format == "caffe":
        caffe_write.write(network, file)
        return caffe_write.Loaded(file)
    if format == "torchvision":
        torchvision.write(network, file, takes)
        return torchvision.Loaded(file, network.preparation.mean)
    from alexnet.exchange.onnx_write import onnx_model

    mean = centre(network.preparation.mean, network.preparation.input_size)
    metadata = _metadata(network)
    runtimes.save(onnx_model(network.network, mean, metadata), file, format, metadata)
    return runtimes.Loaded(file, format)


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


def _compare(
    network: TrainedNetwork, loaded: nn.Module, pixels: Preparation, data: Prepared | None, file: Path
) -> tuple[str, Difference]:
    """Compare `loaded` with the network, on images of `data` or noise; returns these images in words, and the difference.

    `pixels` gives views that no mean was taken from. RunFailed, naming `file`, beyond TOLERANCE.
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
        apart = difference(loaded(next(test_views(tensors, pixels))), wanted)
    if not apart.allowed:
        raise RunFailed(
            f"{file}: not written, since its probabilities differ from the run's by {apart.probability:.1e} and its logits by"
            f" {apart.logit:.1e} of the largest ({compared}); {TOLERANCE:.0e} is allowed. Report this, with the versions of the"
            " runtime"
        )
    return compared, apart


def _calibration(network: TrainedNetwork, pixels: Preparation, data: Prepared) -> list[np.ndarray]:
    """Return the centre views of a seeded sample of the training images, none of which validates the run."""
    train, indices = training_of(network.recipe, data)
    chosen = np.random.default_rng(0).choice(indices, min(CALIBRATION, len(indices)), replace=False)
    views = next(test_views(torch.from_numpy(np.array(train.images[np.sort(chosen)])), pixels))
    return [view[None].contiguous().numpy() for view in views]


def _measure(
    network: TrainedNetwork,
    judges: dict[str, nn.Module],
    pixels: Preparation,
    data: Prepared,
    views: int,
    progress: Progress,
) -> dict[str, Any]:
    """Return the fields of Exported that say the errors of both `judges` on the images that validate the run."""
    split, indices = validation_of(network.recipe, data)
    images, classes = (split.images, split.labels), network.classes
    errors = []
    for name, judge in judges.items():
        report = evaluate(judge, pixels, *images, classes, indices, views, progress=partial(progress, name))
        errors.append(Errors(report.top1_error, report.top5_error))
    where = f"{data.path} ({measured_on(split)}, {len(indices):,} images, {views} view{'s' * (views > 1)})"
    return {"measured": where, "before": errors[0], "after": errors[1]}
