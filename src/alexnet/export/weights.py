"""A run's weights in the files of other programs, Caffe and torchvision, compared before they get their names."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from alexnet.data.batches import centre
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.export import caffe, write
from alexnet.export.write import Export
from alexnet.imports import torchvision
from alexnet.network import networks
from alexnet.network.named import differences
from alexnet.network.weights import to_torchvision
from alexnet.run.trained import TrainedNetwork

WeightsFormat = Literal["caffe", "torchvision"]

SUFFIXES: dict[WeightsFormat, tuple[str, ...]] = {"caffe": (".caffemodel",), "torchvision": (".pth", ".safetensors")}

TAKES: dict[WeightsFormat, str] = {
    "caffe": "BGR, 0-255, minus the mean image in {mean} (the part under the crop)",
    "torchvision": "RGB, 0-255, minus the mean image in {mean} (the part under the crop); not scaled to 0-1",
}


def export(
    network: TrainedNetwork, format: WeightsFormat, file: Path | None = None, data: Prepared | None = None
) -> Export:
    """Write a run's network for Caffe or torchvision, by default into its run folder.

    The files are read again, computed by that program's definitions and compared with the run's network on images of
    `data`, or on noise: RunFailed, and nothing written, beyond `write.TOLERANCE`. InputError, naming the layer, for a
    network that the format cannot express.
    """
    suffixes = SUFFIXES[format]
    file = file or network.path / f"network{suffixes[0]}"
    if file.suffix not in suffixes:
        raise InputError(f"--out {file}: the name of a {format} file ends in {' or '.join(suffixes)}")
    if not file.parent.is_dir():
        raise InputError(f"--out {file}: there is no folder {file.parent}")
    network = network.to("cpu")
    names = caffe.files_of(file) if format == "caffe" else (file.with_name(f"{file.stem}-mean.npy"), file)
    for name in names:
        if name.is_dir():
            raise InputError(f"--out {file}: {name} is a folder; give the name of a file")
    pixels = replace(network.preparation, mean=torch.zeros_like(network.preparation.mean))
    takes = TAKES[format].format(mean=names[-2].name)
    with write.writing(file), tempfile.TemporaryDirectory(prefix=f".{file.stem}-", dir=file.parent) as folder:
        made = Path(folder) / file.name
        loaded: nn.Module
        if format == "caffe":
            caffe.write(network, made)
            loaded = caffe.Loaded(made)
        else:
            _write_torchvision(network, made, takes)
            loaded = _Torchvision(made, network.preparation.mean)
        compared = write.compared(network, loaded, pixels, data, file)
        for name in names:
            (Path(folder) / name.name).replace(name)
    return replace(compared, files=names, bytes=sum(name.stat().st_size for name in names), takes=takes)


def _write_torchvision(network: TrainedNetwork, file: Path, takes: str) -> None:
    spec = replace(network.network.spec, input_scale=1.0)
    differ = differences(spec, networks.torchvision)
    if differ:
        raise InputError(f"{network.path}: not torchvision's alexnet: {'; '.join(differ[:4])}")
    state = {name: tensor.detach().clone() for name, tensor in network.network.state_dict().items()}
    state["conv1.weight"] *= network.network.spec.input_scale  # a step of its own here, and none there
    named = {name: tensor.contiguous() for name, tensor in to_torchvision(state).items()}
    np.save(file.with_name(f"{file.stem}-mean.npy"), network.mean.cpu().numpy())
    if file.suffix == ".safetensors":
        save_file(named, file, metadata={"input": takes})
    else:
        with file.open("wb") as opened:  # not by its name: then torch does not say what the system said
            torch.save(named, opened)


class _Torchvision(nn.Module):
    """The file in torchvision's architecture: float32 pixels, R, G, B, 0-255, to logits."""

    def __init__(self, file: Path, mean: Tensor) -> None:
        super().__init__()
        self._network, self._mean = torchvision.reference(torchvision.read(file)), mean

    def forward(self, pixels: Tensor) -> Tensor:
        return self._network(pixels - centre(self._mean, pixels.shape[-1]))
