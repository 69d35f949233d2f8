"""AlexNet(spec): one torch module, its layers in the order in which the image passes through them (§3.5)."""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network import spec as specs
from alexnet.network.layers import (
    ColumnLinear,
    Convolution,
    Dropout,
    LocalResponseNormalization,
    MapNormalization,
    Scale,
    through,
)
from alexnet.network.linear import Linear
from alexnet.network.networks import paper
from alexnet.network.window import Window, slide

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class AlexNet(nn.Sequential):
    """The network that `spec` describes: images [N, 3, S, S] -> logits [N, classes].

    Images are float, on the scale of pixels 0-255, minus the mean (§2, §4.1). Layers are children by name: conv1,
    relu1, norm1, pool1, conv2 .. pool5, flatten, fc6, relu6, dropout6, fc7 .. fc8, so `model.conv1.weight` is
    [96, 3, 11, 11] and its first 48 kernels are column 1's. No layer works in place. On the CPU and on a GPU some layers have
    gradients of their own, which cannot be differentiated again.

    Raises InputError, naming the layer, for a spec that cannot be built. `generator` draws the initial values.
    """

    def __init__(self, spec: specs.Network = paper, generator: torch.Generator | None = None) -> None:
        specs.check(spec)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        windows: dict[str, Window] = {}
        channels, size = 3, spec.input_size
        if spec.input_scale != 1:
            layers["scale"] = Scale(spec.input_scale)
        for name, row in spec.all_rows():
            # The steps after conv6 cannot be called by its number, which is fc6's.
            number = f"-{name}" if name == spec.extra_name else name.removeprefix("conv").removeprefix("fc")
            columns = 1 if spec.reads_both(name) else spec.columns
            if isinstance(row, specs.Convolution):
                window = slide(name, size, row.size, row.stride, row.padding, spec.rounding)
                overhang = max(0, window.overhang)
                _check_weights(name, row.kernels * (channels // columns) * row.size**2)
                layers[name] = Convolution(channels, row.kernels, row.size, row.stride, row.padding, columns, overhang)
                windows[name], channels, size = window, row.kernels, window.output
            else:
                if "flatten" not in layers:
                    layers["flatten"] = nn.Flatten()
                    channels, size = channels * size * size, 1
                _check_weights(name, row.units * (channels // columns))
                linear = Linear(channels, row.units) if columns == 1 else ColumnLinear(channels, row.units, columns)
                layers[name], channels = linear, row.units
            for step in row.then:
                if step == "pool":
                    pool = spec.pooling
                    window = slide(f"pool{number}", size, pool.window, pool.stride, 0, spec.rounding)
                    windows[f"pool{number}"], size = window, window.output
                if step != "dropout" or spec.dropout:
                    kind = spec.activation if step == "relu" else step
                    layers[f"{kind}{number}"] = _layer_of(spec, step, channels)
        super().__init__(layers)
        self.spec = spec
        self.windows = windows
        """Window arithmetic of every convolution and pooling layer, by name."""
        self.initialize(generator)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values again: zero-mean Gaussians and constant biases (§5), or PyTorch's own."""
        if any(weight.is_meta for weight in self.parameters()):
            return  # there is nothing to fill; and to draw nothing torch would load its compiler, for seconds
        for name, row in self.spec.all_rows():
            weight, biases = self.get_parameter(f"{name}.weight"), self.get_parameter(f"{name}.bias")
            if self.spec.init == "pytorch":
                bound = math.sqrt(len(biases) / weight.numel())  # 1 / sqrt(number of inputs of one unit)
                weight.uniform_(-bound, bound, generator=generator)
                biases.uniform_(-bound, bound, generator=generator)
            else:
                weight.normal_(0.0, row.std, generator=generator)
                biases.fill_(row.bias)
        for layer in self.children():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 3, S, S]; ValueError if they are of another size than the network's."""
        side = self.spec.input_size
        if tuple(input.shape[1:]) != (3, side, side):
            raise ValueError(f"images are {list(input.shape)}; network {self.spec.name} takes [N, 3, {side}, {side}]")
        return through(list(self.children()), input)

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every layer for images [N, 3, S, S], by name, in order; the last is the logits."""
        outputs: dict[str, Tensor] = {}
        for name, layer in self.named_children():
            images = outputs[name] = layer(images)
        return outputs

    def features(self, images: Tensor) -> Tensor:
        """The last hidden activations: the 4096 of fc7 in the paper's network (§6.1), before their dropout.

        They equal `activations(images)["relu7"]`. Meant for eval mode: in training mode the dropout before fc7 is on.
        """
        for name, layer in self.named_children():
            images = layer(images)
            if name == self.feature_name:
                break
        return images

    @property
    def feature_name(self) -> str:
        """Name of the layer whose output `features` is: relu7 in the paper's network, with the bottleneck or without."""
        head = (specs.BOTTLENECK, self.spec.last_name)
        return [name for name, _ in self.named_children() if not name.startswith("dropout") and name not in head][-1]


def _layer_of(spec: specs.Network, step: specs.Step, channels: int) -> nn.Module:
    """What a step of a row is in this network, on maps of so many channels."""
    if step == "relu":
        return ACTIVATIONS[spec.activation]()
    if step == "norm-map":
        return MapNormalization()
    if step == "pool":
        return nn.MaxPool2d(spec.pooling.window, spec.pooling.stride, ceil_mode=spec.rounding == "up")
    if step == "dropout":
        return nn.Dropout(spec.dropout) if spec.dropout_form == "inverted" else Dropout(spec.dropout)
    if spec.normalization == "batch":
        return nn.BatchNorm2d(channels)
    return LocalResponseNormalization(spec.lrn, spec.columns if spec.normalization_window == "column" else 1)


def _check_weights(layer: str, number: int) -> None:
    if number > specs.MAX_WEIGHTS:
        raise InputError(f"{layer}: {number:,} weights; a layer has at most {specs.MAX_WEIGHTS:,} here")
