"""AlexNet(spec): one torch module, its layers in the order in which the image passes through them (§3.5)."""

import math
from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network import spec as specs
from alexnet.network.convolution import Convolution
from alexnet.network.linear import Linear
from alexnet.network.normalization import LocalResponseNormalization, MapNormalization, can_fuse, normalize_and_pool


class ColumnLinear(nn.Module):
    """A fully connected layer in which every column reads only its own part of the input.

    weight [columns, out / columns, in / columns], bias [out]; input [N, in] -> [N, out].
    """

    def __init__(self, inputs: int, units: int, columns: int) -> None:
        super().__init__()
        bound = math.sqrt(columns / inputs)
        self.weight = nn.Parameter(torch.empty(columns, units // columns, inputs // columns).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(units).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        columns, units, inputs = self.weight.shape
        own = x.view(-1, columns, inputs)
        return torch.einsum("nci,cui->ncu", own, self.weight).flatten(1) + self.bias


class Scale(nn.Module):
    """The input times a number: `network.input_scale`."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class Dropout(nn.Module):
    """A 0/1 mask in training and x (1 - p) at test: the paper's form, §4.2. (nn.Dropout is the inverted form.)"""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x * torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


@dataclass(frozen=True)
class Window:
    """How a convolution or pooling window moves over a square map, in pixels.

    output = (size + overhang + 2 padding - window) / stride + 1. An overhang below 0 is that many pixels left unread.
    """

    size: int
    window: int
    stride: int
    padding: int
    overhang: int
    output: int

    def __str__(self) -> str:
        terms = f"{self.size}"
        terms += f"+{self.overhang}" if self.overhang > 0 else ""
        terms += f"−{-self.overhang}" if self.overhang < 0 else ""
        terms += f"+2·{self.padding}" if self.padding else ""
        return f"({terms}−{self.window})/{self.stride}+1 = {self.output}"


def slide(layer: str, size: int, window: int, stride: int, padding: int, rounding: str) -> Window:
    """The window arithmetic of one layer on a `size` x `size` map; InputError, naming `layer`, if no window fits."""
    rest = size + 2 * padding - window
    steps = -(-rest // stride) if rounding == "up" else rest // stride
    if steps < 0:
        raise InputError(
            f"{layer}: its {window}×{window} window does not fit the {size}×{size} map"
            f"{f' with padding {padding}' if padding else ''}; use a larger network.input_size"
        )
    return Window(size, window, stride, padding, steps * stride - rest, steps + 1)


ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class AlexNet(nn.Sequential):
    """The network that `spec` describes: images [N, 3, S, S] -> logits [N, classes].

    Images are float, on the scale of pixels 0-255, minus the mean (§2, §4.1). Layers are children by name: conv1,
    relu1, norm1, pool1, conv2 .. pool5, flatten, fc6, relu6, dropout6, fc7 .. fc8, so `model.conv1.weight` is
    [96, 3, 11, 11] and its first 48 kernels are column 1's. No layer works in place. On the CPU and on a GPU some layers have
    gradients of their own, which cannot be differentiated again.

    Raises InputError, naming the layer, for a spec that cannot be built. `generator` draws the initial values.
    """

    def __init__(self, spec: specs.Network = specs.paper, generator: torch.Generator | None = None) -> None:
        check(spec)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        windows: dict[str, Window] = {}
        channels, size = 3, spec.input_size
        if spec.input_scale != 1:
            layers["scale"] = Scale(spec.input_scale)
        for name, row in spec.rows():
            # The steps after conv6 cannot be called by its number, which is fc6's.
            number = f"-{name}" if name == spec.extra_name else name.removeprefix("conv").removeprefix("fc")
            groups = 1 if spec.reads_both(name) else spec.columns
            if isinstance(row, specs.Convolution):
                window = slide(name, size, row.size, row.stride, row.padding, spec.rounding)
                overhang = max(0, window.overhang)
                _check_weights(name, row.kernels * (channels // groups) * row.size**2)
                layers[name] = Convolution(channels, row.kernels, row.size, row.stride, row.padding, groups, overhang)
                windows[name], channels, size = window, row.kernels, window.output
            else:
                if "flatten" not in layers:
                    layers["flatten"] = nn.Flatten()
                    channels, size = channels * size * size, 1
                _check_weights(name, row.units * (channels // groups))
                linear = Linear(channels, row.units) if groups == 1 else ColumnLinear(channels, row.units, groups)
                layers[name], channels = linear, row.units
            for step in row.then:
                if step == "relu":
                    layers[f"{spec.activation}{number}"] = ACTIVATIONS[spec.activation]()
                elif step == "norm":
                    layers[f"norm{number}"] = _normalization(spec, channels)
                elif step == "norm-map":
                    layers[f"norm-map{number}"] = MapNormalization()
                elif step == "pool":
                    pool = specs.POOLINGS[spec.pooling]
                    window = slide(f"pool{number}", size, pool.z, pool.s, 0, spec.rounding)
                    layers[f"pool{number}"] = nn.MaxPool2d(pool.z, pool.s, ceil_mode=spec.rounding == "up")
                    windows[f"pool{number}"], size = window, window.output
                elif step == "dropout" and spec.dropout:
                    form = nn.Dropout if spec.dropout_form == "inverted" else Dropout
                    layers[f"dropout{number}"] = form(spec.dropout)
        if "flatten" not in layers:
            layers["flatten"] = nn.Flatten()
            channels = channels * size * size
        _check_weights(spec.last_name, channels * spec.classes)
        layers[spec.last_name] = Linear(channels, spec.classes)
        super().__init__(layers)
        self.spec = spec
        self.windows = windows
        """Window arithmetic of every convolution and pooling layer, by name."""
        self.initialize(generator)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial values again: zero-mean Gaussians and constant biases (§5), or PyTorch's own."""
        for name, row in self.spec.rows():
            self._start(name, row.std, row.bias, generator)
        self._start(self.spec.last_name, self.spec.std_of_last, 0.0, generator)
        for layer in self.children():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def _start(self, name: str, std: float, bias: float, generator: torch.Generator | None) -> None:
        weight, biases = self.get_parameter(f"{name}.weight"), self.get_parameter(f"{name}.bias")
        if self.spec.init == "pytorch":
            bound = math.sqrt(len(biases) / weight.numel())  # 1 / sqrt(number of inputs of one unit)
            weight.uniform_(-bound, bound, generator=generator)
            biases.uniform_(-bound, bound, generator=generator)
        else:
            weight.normal_(0.0, std, generator=generator)
            biases.fill_(bias)

    def forward(self, input: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 3, S, S]; ValueError if they are of another size than the network's."""
        side = self.spec.input_size
        if tuple(input.shape[1:]) != (3, side, side):
            raise ValueError(f"images are {list(input.shape)}; network {self.spec.name} takes [N, 3, {side}, {side}]")
        return through(list(self.children()), input)

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every layer for images [N, 3, S, S], by name, in order; the last is the logits."""
        outputs: dict[str, Tensor] = {}
        x = images
        for name, layer in self.named_children():
            x = outputs[name] = layer(x)
        return outputs

    def features(self, images: Tensor) -> Tensor:
        """The last hidden activations: the 4096 of fc7 in the paper's network (§6.1), before their dropout.

        They equal `activations(images)["relu7"]`. Meant for eval mode: in training mode the dropout before fc7 is on.
        """
        x = images
        for name, layer in self.named_children():
            x = layer(x)
            if name == self.feature_name:
                break
        return x

    @property
    def feature_name(self) -> str:
        """Name of the layer whose output `features` is: relu7 in the paper's network, with the bottleneck or without."""
        head = (specs.BOTTLENECK, self.spec.last_name)
        return [name for name, _ in self.named_children() if not name.startswith("dropout") and name not in head][-1]


def through(layers: list[nn.Module], x: Tensor) -> Tensor:
    """x after all these layers: ReLU, normalization and pooling in one pass, where they follow each other and nobody looks."""
    while layers:
        relu = type(layers[0]) is nn.ReLU
        norm = next((layer for layer in layers[relu : relu + 1] if type(layer) is LocalResponseNormalization), None)
        steps = relu + (norm is not None)
        pool = next((layer for layer in layers[steps : steps + 1] if type(layer) is nn.MaxPool2d), None)
        watched = any(_watched(layer) for layer in layers[: steps + 1])
        if steps and pool and not watched and can_fuse(x, norm, pool):
            x, layers = normalize_and_pool(x, relu, norm, pool), layers[steps + 1 :]
        else:
            x, layers = layers[0](x), layers[1:]
    return x


def _watched(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


def _check_weights(layer: str, number: int) -> None:
    if number > specs.MAX_WEIGHTS:
        raise InputError(f"{layer}: {number:,} weights; a layer has at most {specs.MAX_WEIGHTS:,} here")


def _normalization(spec: specs.Network, channels: int) -> nn.Module:
    columns = spec.columns if spec.normalization_window == "column" else 1
    if spec.normalization == "batch":
        return nn.BatchNorm2d(channels)
    lrn = specs.NORMALIZATIONS[spec.normalization]
    return LocalResponseNormalization(lrn.n, lrn.k, lrn.alpha, lrn.beta, columns)


def check(spec: specs.Network) -> None:
    """Raise InputError, naming the layer and the fix, if `spec` cannot be built for a reason other than map sizes."""
    for field in fields(spec):
        value = getattr(spec, field.name)
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            choices = ", ".join(str(choice) for choice in get_args(field.type))
            raise InputError(f"network.{field.name}: {value}; choose one of {choices}")
    if not spec.convolutions:
        raise InputError("network.convolutions: a network needs at least one convolution")
    if spec.classes < 2:
        raise InputError(f"network.classes: {spec.classes} classes; there must be at least 2")
    if spec.input_size < 1:
        raise InputError(f"network.input_size: {spec.input_size} pixels; it must be positive")
    if not 0 < spec.input_scale < math.inf:
        raise InputError(f"network.input_scale: {spec.input_scale}; it must be above 0 and finite")
    if spec.bottleneck < 0:
        raise InputError(f"network.bottleneck: {spec.bottleneck} units; it must be at least 0, and 0 is none")
    if not 0 <= spec.dropout < 1:
        raise InputError(f"network.dropout: {spec.dropout}; the probability must be at least 0 and less than 1")
    _check_sizes(spec)
    names = dict(spec.rows())
    if spec.columns > 1:
        for link in spec.links:
            # The last layer reads both columns anyway, and conv6 may be switched off.
            if link not in names and link not in (spec.last_name, spec.extra_name):
                raise InputError(f"network.links: no layer is called {link:.60}; the layers are {', '.join(names)}")
    for name, row in names.items():
        _check_row(name, row, spec.columns)


def _check_sizes(spec: specs.Network) -> None:
    layers = len(spec.convolutions) + len(spec.hidden)
    if layers > specs.MAX_LAYERS:
        raise InputError(f"network: {layers:,} layers; there may be {specs.MAX_LAYERS:,}")
    for name in ("classes", "input_size", "bottleneck", "last_std"):
        if not 0 <= getattr(spec, name) <= specs.MAX_WIDTH:
            raise InputError(f"network.{name}: it must be at least 0 and at most {specs.MAX_WIDTH:,}")


def _check_row(name: str, row: specs.Convolution | specs.Hidden, columns: int) -> None:
    numbers = [value for value in vars(row).values() if isinstance(value, int | float)]
    if not all(abs(number) <= specs.MAX_WIDTH for number in numbers):  # NaN is refused too
        raise InputError(f"{name}: a number that is NaN, or beyond {specs.MAX_WIDTH:,}")
    if row.std < 0:
        raise InputError(f"{name}: a standard deviation of {row.std}; it must be at least 0")
    width = row.kernels if isinstance(row, specs.Convolution) else row.units
    if width < 1:
        raise InputError(f"{name}: {width} kernels or units; there must be at least 1")
    if width % columns:
        raise InputError(f"{name}: {width} kernels or units cannot be halved into two columns; make it even")
    if isinstance(row, specs.Convolution) and (row.size < 1 or row.stride < 1 or row.padding < 0):
        raise InputError(f"{name}: size and stride must be at least 1, padding at least 0")
    possible = get_args(specs.Step) if isinstance(row, specs.Convolution) else ("relu", "dropout")
    for step in row.then:
        if step not in possible:
            raise InputError(f"{name}: the step {step} cannot follow it; choose from {', '.join(possible)}")
        if row.then.count(step) > 1:
            raise InputError(f"{name}: the step {step} follows it twice; list it once")
