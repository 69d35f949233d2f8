"""The network of a run is written for other programs, and compared with the file before the file gets its name."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from alexnet import provenance
from alexnet.data import prepared
from alexnet.data.augment import Preparation, centre
from alexnet.data.prepared import Prepared
from alexnet.data.views import check_views, test_views
from alexnet.errors import InputError, RunFailed
from alexnet.exchange import caffe_write, network_files, runtimes, torchvision
from alexnet.exchange.comparison import TOLERANCE
from alexnet.exchange.exported import SUFFIXES, Exported, Format, Progress, check_data, compare, measure
from alexnet.extras import need
from alexnet.files import named, no_room, refused
from alexnet.run import trained
from alexnet.run.folder import DATA, data_of
from alexnet.run.images import training_of
from alexnet.run.trained import TrainedNetwork

TAKES: dict[Format, str] = {
    "caffe": "BGR, 0-255, minus the mean image in {mean} (the part under the crop)",
    "torchvision": "RGB, 0-255, minus the mean image in {mean} (the part under the crop); not scaled to 0-1",
}

CALIBRATION = 300
"""Training images from which int8 takes the ranges of its activations."""


def export(
    run: Path,
    format: Format,
    file: Path | None = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    progress: Progress = lambda file, done, total: None,
    note: str = "",
) -> Exported:
    """Write the network of a run for onnxruntime or OpenVINO, its weights for Caffe or torchvision, or all of it as one file.

    run: what `trained.load` takes. file: its name; None: network.onnx, .xml, .caffemodel, .pth or .safetensors in the run
    folder (network-int8...). int8: 8-bit weights and, for onnx and openvino, activations, calibrated on training images.
    data: the prepared dataset for that, and to compare on; None: the run's, or noise where that is not there. With int8, and
    of a network file ("alexnet") where data is there, the errors before and after over `views` are measured on the images
    that validate the run. note: a sentence for the network file.

    The files are read again, computed by their program or its definitions and compared with the run's network: RunFailed,
    and nothing is written, beyond `comparison.TOLERANCE`, which a network file's fewer bits go beyond (`network_files`).
    InputError where a package is missing, for data of other classes, and, naming the layer, for a network that the format
    cannot express.
    """
    check_views(views)
    if format == "onnx" or format == "openvino":
        needed = {"onnx": ["onnx", "onnxruntime"], "openvino": ["onnx", "openvino", *(["nncf"] if int8 else [])]}
        need("export", *needed[format])
    elif int8 and format != "alexnet":
        raise InputError(f"--int8: {format} files have float32 weights; leave it out")
    if note and format != "alexnet":
        raise InputError(f"--note: {format} files have no place for it; leave it out")
    network = trained.load(run)
    dataset = dataset_for(network, data, calibrates=int8 and format != "alexnet")
    return export_network(network, format, file, dataset, int8, views, progress, note)


def dataset_for(network: TrainedNetwork, data: Path | None, calibrates: bool = False) -> Prepared | None:
    """The prepared dataset `data` to compare on and to calibrate on, by default the run's; None where noise has to do."""
    path = data
    if path is None and not network.in_file and (calibrates or (network.path / DATA).is_file()):
        path = data_of(network.path, there=calibrates)
    dataset = prepared.open(path) if path and (data or (path / "manifest.json").is_file()) else None
    if dataset and not data and not calibrates and dataset.classes != network.classes:
        return None  # prepared anew as something else since the run; noise will do to compare on
    return dataset


def export_network(
    network: TrainedNetwork,
    format: Format,
    file: Path | None = None,
    data: Prepared | None = None,
    int8: bool = False,
    views: int = 1,
    progress: Progress = lambda file, done, total: None,
    note: str = "",
) -> Exported:
    """`export` of a network that is loaded, with a dataset that is open; without one it is compared on noise."""
    if format not in TAKES:
        check_data(network, data, calibrates=int8 and format != "alexnet")
    if file is None and network.in_file:
        raise InputError(
            f"{network.path}: a network in one file, which has no folder for others; say where to: --out FILE"
        )
    file = file or network.path / f"network{'-int8' if int8 else ''}{SUFFIXES[format][0]}"
    files = _files_of(file, format)
    network = network.to("cpu")
    takes = TAKES[format].format(mean=files[-2].name) if format in TAKES else None
    with _writing(file), tempfile.TemporaryDirectory(prefix=f".{file.stem}-", dir=file.parent) as name:
        written = Path(name) / file.name
        if format == "alexnet":
            results = network_files.write(network, written, data, int8, views, note, progress)
        else:
            written, results = _write_for_others(
                network, format, file, written, takes or "", data, int8, views, progress
            )
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
        takes=takes,
        **results,
    )


def _write_for_others(
    network: TrainedNetwork,
    format: Format,
    file: Path,
    written: Path,
    takes: str,
    data: Prepared | None,
    int8: bool,
    views: int,
    progress: Progress,
) -> tuple[Path, dict[str, Any]]:
    """Write what will be `file` as `written`; return where it is then, and what Exported says of it.

    RunFailed if it computes something else than the network.
    """
    # The file subtracts the mean by itself.
    pixels = replace(network.preparation, mean=torch.zeros_like(network.preparation.mean))
    loaded = _write(network, format, written, takes)
    compared, apart = compare(network, lambda images: loaded(next(test_views(images, pixels))), data)
    if not apart.allowed:
        raise RunFailed(
            f"{file}: not written, since its probabilities differ from the run's by {apart.probability:.1e} and its logits by"
            f" {apart.logit:.1e} of the largest ({compared}); {TOLERANCE:.0e} is allowed. Report this, with the versions of the"
            " runtime"
        )
    measured: dict[str, Any] = {}
    if int8:
        assert data is not None and (format == "onnx" or format == "openvino")
        plain, written = written, written.parent / "int8" / file.name
        written.parent.mkdir()
        runtimes.quantize(plain, _calibration(network, pixels, data), written, format, _metadata(network))
        judges = {"float32": loaded, "int8": runtimes.Loaded(written, format, exact=False)}
        forms = {name: (judge, pixels) for name, judge in judges.items()}
        measured, _ = measure(network, forms, data, views, progress)
    return written, {"compared": compared, "difference": apart, **measured}


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
    assert format == "onnx" or format == "openvino"
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
        "alexnet": provenance.version(),
    }


def _calibration(network: TrainedNetwork, pixels: Preparation, data: Prepared) -> list[np.ndarray]:
    """Return the centre views of a seeded sample of the training images, none of which validates the run."""
    train, indices = training_of(network.recipe, data)
    chosen = np.random.default_rng(0).choice(indices, min(CALIBRATION, len(indices)), replace=False)
    views = next(test_views(torch.from_numpy(np.array(train.images[np.sort(chosen)])), pixels))
    return [view[None].contiguous().numpy() for view in views]
