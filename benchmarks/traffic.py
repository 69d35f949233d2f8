"""What processes send each other in one training step, in bytes, from a network's spec alone.

It equals what processes are counted to send (tests/training/test_layouts.py); the sums of synchronized batch
normalization, a few numbers a kernel, are left out.
"""

from dataclasses import dataclass

import torch
from torch import nn

from alexnet.network.layers import ColumnLinear, Convolution, LocalResponseNormalization
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.processes import Mode, Processes


@dataclass(frozen=True)
class Traffic:
    """Bytes that one process sends in one step."""

    forward: int = 0
    """Activations."""
    backward: int = 0
    """Gradients of activations."""
    gradients: int = 0
    """Gradients of weights."""

    @property
    def total(self) -> int:
        return self.forward + self.backward + self.gradients


def traffic(
    spec: Network, mode: Mode, batch: int, processes: int, rank: int = 0, activation: int = 4, gradient: int = 4
) -> Traffic:
    """What process `rank` sends in a step on `batch` images in all.

    activation, gradient: bytes of a number of an activation, and of a weight's gradient; 4 in float32. Logits always have 4.
    A sum over n processes counts as a ring sends it, 2 (n - 1) / n of its bytes.
    """
    if processes == 1:
        return Traffic()
    each, others = exchanged(spec), processes - 1
    if mode == "data":
        return Traffic(gradients=_ring(gradient * each.parameters, processes))
    logits = _ring(4 * batch * spec.classes, processes)
    if mode == "columns":
        numbers = batch * (sum(each.links.values()) + sum(each.halos.values())) * activation
        return Traffic(numbers + logits, numbers)
    own = len(range(batch)[Processes(rank, processes).rows(batch)])
    units = batch * (each.units // processes) * others * activation
    return Traffic(
        own * each.features * others * activation + units + logits,
        (batch - own) * each.features * activation + units,
        _ring(gradient * each.parameters_of_convolutions, processes),
    )


def _ring(size: int, processes: int) -> int:
    return 2 * (processes - 1) * size // processes


@dataclass(frozen=True)
class Exchanged:
    """What there is to exchange of a network; numbers for one image."""

    links: dict[str, int]
    """One column's part of what a layer reads, of those that read both columns; without the last layer."""
    halos: dict[str, int]
    """One column's maps beside the border, of every normalization that reads across it."""
    features: int
    """What the first fully connected layer reads."""
    units: int
    """What the hidden layers after it read, together."""
    parameters: int
    parameters_of_convolutions: int


def exchanged(spec: Network) -> Exchanged:
    """The numbers of `traffic`. No weight is allocated; InputError if the network cannot be built."""
    with torch.device("meta"):  # shapes without memory
        model = AlexNet(spec)
    links: dict[str, int] = {}
    halos: dict[str, int] = {}
    hidden: list[int] = []
    channels, side, features = 3, spec.input_size, 0
    for name, layer in model.named_children():
        reads_both = isinstance(layer, Convolution) and layer.groups == 1 and name != "conv1"
        if name == "flatten":
            features = channels = channels * side**2
            side = 1
        elif isinstance(layer, nn.Linear | ColumnLinear) and name != spec.last_name:
            hidden.append(channels)
            reads_both = isinstance(layer, nn.Linear)
        elif isinstance(layer, LocalResponseNormalization) and layer.columns == 1:
            halos[name] = min(layer.lrn.n // 2, channels // 2) * side**2
        if reads_both:
            links[name] = channels // 2 * side**2
        if not isinstance(layer, nn.BatchNorm2d) and "bias" in dict(layer.named_parameters()):
            channels = len(layer.get_parameter("bias"))
        side = model.windows[name].output if name in model.windows else side
    weights = {name: weight.numel() for name, weight in model.named_parameters()}
    convolutions = sum(numbers for name, numbers in weights.items() if name.startswith(("conv", "norm")))
    return Exchanged(links, halos, features, sum(hidden[1:]), sum(weights.values()), convolutions)
