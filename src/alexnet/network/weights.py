"""Weights under torchvision's names: those of its AlexNet, which the named network `torchvision` computes.

Only names differ; the shapes and the order of `flatten` are the same. torchvision's weights were trained on RGB scaled
to 0-1, minus (.485, .456, .406), divided by (.229, .224, .225): give the network such inputs, not pixels 0-255.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.network import networks
from alexnet.network.model import AlexNet

LAYERS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
"""Our name of a layer -> torchvision's."""

NAMES = {f"{name}.{part}": f"{other}.{part}" for name, other in LAYERS.items() for part in ("weight", "bias")}


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `AlexNet(networks.torchvision)` from that of torchvision's `alexnet`, for any number of classes.

    Raises InputError, naming the key, where one is missing, unknown or of another shape. Tensors are not copied.
    """
    # torch.nn.DataParallel writes "module." before every name.
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return _renamed(state, {other: name for name, other in NAMES.items()}, "torchvision's alexnet")


def to_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of torchvision's `alexnet` from that of `AlexNet(networks.torchvision)`; InputError as above."""
    return _renamed(state, NAMES, "the network torchvision")


def _renamed(state: Mapping[str, Tensor], names: dict[str, str], network: str) -> dict[str, Tensor]:
    """The tensors by their new names; InputError unless they are those of that network, all and no others."""
    for name in names:
        if name not in state:
            raise InputError(f"{name} is missing from the weights; they are not of {network}")
    for name in state:
        if name not in names:
            raise InputError(f"{name} is among the weights, and {network} has no such layer")
    renamed = {new: state[name] for name, new in names.items()}
    classes = len(state["fc8.bias" if "fc8.bias" in state else LAYERS["fc8"] + ".bias"])
    with torch.device("meta"):
        expected = AlexNet(replace(networks.torchvision, classes=max(2, classes))).state_dict()
    for name, new in names.items():
        shape = expected[new if new in expected else name].shape
        if state[name].shape != shape:
            raise InputError(f"{name} is {list(state[name].shape)}; {network} has {list(shape)}")
    return renamed
