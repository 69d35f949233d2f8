"""torchvision's alexnet from a state dict, and the same architecture in a few lines of torch.nn to compare with.

Its weights are for RGB scaled to 0-1, minus MEAN, divided by STD. A run's network takes pixels 0-255 minus the mean: the
mean becomes the mean image, the scale `network.input_scale` and what is left of it between the colours goes into conv1.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network import networks
from alexnet.network.weights import from_torchvision
from alexnet.reading import check_archive

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of R, G, B on 0-1: what torchvision's weights were trained with."""


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so is one: the length of its header in 8 bytes, and the header."""
    return start[7:9] == b"\0{"


def read(file: Path) -> dict[str, Tensor]:
    """A state dict from safetensors, told by its first bytes, or from what torch.save wrote: of that, tensors alone."""
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
    """The weights under our names; InputError, naming the key, for one that is missing, unknown, misshapen or not finite."""
    try:
        found = from_torchvision(state)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{file}: NaN or infinity is among {name}; the file is damaged, or training failed")
    return {name: tensor.float().clone() for name, tensor in found.items()}


class Reference(nn.Module):
    """torchvision.models.AlexNet, written from its layout: images [N, 3, S, S] as torchvision takes them -> logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        rows = networks.torchvision.convolutions
        layers: list[nn.Module] = []
        channels = 3
        for row in rows:
            layers += [nn.Conv2d(channels, row.kernels, row.size, row.stride, row.padding), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if "pool" in row.then else []
            channels = row.kernels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        hidden = [nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
        self.classifier = nn.Sequential(*hidden, nn.Linear(4096, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def reference(state: Mapping[str, Tensor]) -> Reference:
    """torchvision's network with these weights, in eval mode."""
    state = {name.removeprefix("module."): tensor.float() for name, tensor in state.items()}
    with torch.device("meta"):
        made = Reference(len(state["classifier.6.bias"]))
    made.load_state_dict(state, assign=True)
    return made.eval()
