"""torchvision's alexnet is read and written as a state dict; its architecture is here in torch.nn, to compare with.

Its weights are for RGB scaled to 0-1, minus MEAN, divided by STD. A run's network takes pixels 0-255 minus the mean: the
mean becomes the mean image, the scale `network.input_scale` and what is left of it between the colours goes into conv1.
"""

import io
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alexnet.data.augment import centre
from alexnet.errors import InputError
from alexnet.exchange.steps import check_finite
from alexnet.network import networks
from alexnet.network.named import differences
from alexnet.network.weights import from_torchvision, to_torchvision
from alexnet.reading import check_archive
from alexnet.run.trained import TrainedNetwork
from alexnet.tensors import is_safetensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of R, G, B on 0-1 that torchvision's weights were trained with."""


def read(file: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, known by its first bytes, or from torch.save, of which only tensors are loaded."""
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
        if is_safetensors(start):
            return load_file(file)
        if start.startswith(b"PK"):
            check_archive(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
        else:
            # As torch saved until 2020. From memory, since a read of a file makes room for as many bytes as are asked for.
            state = torch.load(io.BytesIO(file.read_bytes()), map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    except Exception as error:  # whatever damage makes it raise, with a page of advice to unpickle anything
        if zipfile.is_zipfile(file) and "weights_only" in str(error).lower():
            raise InputError(
                f"{file}: holds more than tensors, which would have to be run; save its state_dict() alone"
            ) from None
        raise InputError(f"{file}: cut short, damaged, or not written by torch.save ({type(error).__name__})") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]  # as training scripts save it, beside the epoch
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{file}: no state dict of tensors by name")
    return dict(state)


def weights(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Return the weights under our names; InputError, naming the key, if one is missing, unknown, misshapen or not finite."""
    try:
        renamed = from_torchvision(state)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    for name, tensor in state.items():
        check_finite(tensor, f"{file}: NaN or infinity is among {name}")
    return {name: tensor.float().clone() for name, tensor in renamed.items()}


def reference(state: Mapping[str, Tensor]) -> nn.Module:
    """Return torchvision.models.AlexNet, written from its layout, with these weights, in eval mode.

    It takes images [N, 3, S, S] as torchvision does and gives logits.
    """
    state = {name.removeprefix("module."): tensor.float() for name, tensor in state.items()}
    with torch.device("meta"):
        features: list[nn.Module] = []
        channels = 3
        for row in networks.torchvision.convolutions:
            features += [nn.Conv2d(channels, row.kernels, row.size, row.stride, row.padding), nn.ReLU()]
            features += [nn.MaxPool2d(3, 2)] if "pool" in row.then else []
            channels = row.kernels
        hidden: list[nn.Module] = []
        inputs = channels * 36
        for units in (row.units for row in networks.torchvision.hidden):
            hidden += [nn.Dropout(), nn.Linear(inputs, units), nn.ReLU()]
            inputs = units
        classifier = nn.Sequential(*hidden, nn.Linear(inputs, len(state["classifier.6.bias"])))
        parts = {"features": nn.Sequential(*features), "avgpool": nn.AdaptiveAvgPool2d((6, 6)), "flatten": nn.Flatten()}
        network = nn.Sequential(OrderedDict(parts | {"classifier": classifier}))
    network.load_state_dict(state, assign=True)
    return network.eval()


def files_of(file: Path) -> tuple[Path, Path]:
    """Return the names of the two files: NAME-mean.npy, and the state dict as .pth or .safetensors."""
    return file.with_name(f"{file.stem}-mean.npy"), file


def write(network: TrainedNetwork, file: Path, takes: str) -> None:
    """Write the two files; InputError, with what differs, unless the network is torchvision's.

    takes: what the network is given, kept in a .safetensors file.
    """
    spec = replace(network.network.spec, input_scale=1.0)
    differ = differences(spec, networks.torchvision)
    if differ:
        raise InputError(f"{network.path}: not torchvision's alexnet: {'; '.join(differ[:4])}")
    state = {name: tensor.detach().clone() for name, tensor in network.network.state_dict().items()}
    state["conv1.weight"] *= network.network.spec.input_scale  # a step of its own here, and none there
    renamed = {name: tensor.contiguous() for name, tensor in to_torchvision(state).items()}
    np.save(files_of(file)[0], network.mean.cpu().numpy())
    if file.suffix == ".safetensors":
        save_file(renamed, file, metadata={"input": takes})
    else:
        with file.open("wb") as opened:  # not by its name: then torch does not say what the system said
            torch.save(renamed, opened)


class Loaded(nn.Module):
    """The network in a written file in torchvision's architecture, from float32 pixels [N, 3, S, S], R, G, B, 0-255, to logits."""

    def __init__(self, file: Path, mean: Tensor) -> None:
        super().__init__()
        self._network, self._mean = reference(read(file)), mean

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self._network(pixels - centre(self._mean, pixels.shape[-1]))
        return logits
