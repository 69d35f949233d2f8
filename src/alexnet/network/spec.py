"""A network as data: rows of layers and switches over them; the named ones are in `networks.py`.

A switch is a field, so a variant is `dataclasses.replace(paper, normalization="none")` in Python and `--network.normalization
none` at the command line.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args, get_origin

from alexnet.errors import InputError

Step = Literal["relu", "norm", "norm-map", "pool", "dropout"]

MAX_WEIGHTS = 1 << 31
"""Numbers in one layer beyond which nothing is believed, nor built (fc6 of the paper's network has 2^25)."""

MAX_WIDTH = 1 << 24
"""Kernels, units or classes of one layer, and pixels."""

MAX_LAYERS = 1000

BOTTLENECK = "bottleneck"
"""Name of the linear layer that `Network.bottleneck` puts before the last one."""


@dataclass(frozen=True)
class LRN:
    """Local response normalization (§3.3): a is divided by (k + alpha · the sum of a² over n adjacent kernels)^beta."""

    n: int = 5
    """Adjacent kernels at the same position that the sum is over, the kernel itself in the middle."""
    k: float = 2.0
    """What is added to the sum."""
    alpha: float = 1e-4
    """What multiplies the plain sum, as in the paper; PyTorch's and Caffe's alpha is divided by n."""
    beta: float = 0.75
    """The exponent of the divisor."""


NORMALIZATIONS = {
    "paper": LRN(),
    # The 2012 program and Caffe divide the sum by n.
    "authors-2012": LRN(alpha=1e-4 / 5),
    "caffe": LRN(k=1.0, alpha=1e-4 / 5),
}
"""Short names of coefficients: `normalization="caffe"` is `normalization="local"` with these in `lrn`."""


@dataclass(frozen=True)
class Pooling:
    """Overlapping max pooling (§3.4): windows of z x z pixels, s pixels apart; they overlap where s < z."""

    window: int = 3
    """z, the side of a window in pixels."""
    stride: int = 2
    """s, the pixels between two windows, at most z."""

    def __str__(self) -> str:
        return f"{self.window}/{self.stride}"

    @staticmethod
    def parse(text: str) -> "Pooling":
        """The pooling that text such as "3/2" stands for, as recipes once had it; InputError if it is none."""
        window, _, stride = text.partition("/")
        if not (window.isdecimal() and stride.isdecimal() and len(text) < 20):
            raise InputError(f"network.pooling: {text:.60}; write WINDOW/STRIDE, as 3/2")
        return Pooling(int(window), int(stride))


@dataclass(frozen=True)
class Convolution:
    """One convolutional layer and the steps that follow it, in their order."""

    kernels: int
    """Number of kernels, all columns together."""
    size: int
    """Side of the square window, in pixels."""
    stride: int = 1
    """Pixels between two windows."""
    padding: int = 0
    """Zeros around the map, in pixels."""
    std: float = 0.01
    """Standard deviation of the zero-mean Gaussian that the weights start from (§5)."""
    bias: float = 0.0
    """What the biases start from."""
    then: tuple[Step, ...] = ("relu",)
    """What follows: the activation, "norm" (the network's normalization), "norm-map" (see `map_normalization`), pooling,
    dropout."""


@dataclass(frozen=True)
class Hidden:
    """One fully connected hidden layer and the steps that follow it."""

    units: int
    """Number of activations, all columns together."""
    std: float = 0.01
    """Standard deviation that the weights start from."""
    bias: float = 1.0
    """What the biases start from."""
    then: tuple[Step, ...] = ("relu", "dropout")
    """What follows: the activation, dropout."""


@dataclass(frozen=True)
class Network:
    """A whole network: rows of layers, and switches of which each can be used alone."""

    name: str
    """What summaries and reports call it."""
    convolutions: tuple[Convolution, ...]
    hidden: tuple[Hidden, ...]
    classes: int = 1000
    """Outputs of the last layer; training takes as many as the data has."""
    input_size: int = 224
    """Side of the square input in pixels; 224 with the overhanging window of 2012, 227, or any that leaves a map."""
    columns: Literal[1, 2] = 2
    """Halves of the network, one a GPU in 2012 (§3.2); a layer's first half of kernels is column 1."""
    links: tuple[str, ...] = ("conv3", "fc6", "fc7")
    """Layers that read both columns; all others read their own. The kernels of the third layer are connected to all
    kernel maps of the second (§3.5). The first and the last layer read everything."""
    normalization: Literal["local", "batch", "none", "paper", "authors-2012", "caffe"] = "local"
    """What "norm" is in the rows: local response normalization with the coefficients of `lrn`, batch normalization
    at the same places, or none at all. The other names are local too, and set `lrn` to the paper's coefficients,
    to those of the 2012 program (the sum divided by n) or to Caffe's (k = 1)."""
    lrn: LRN = LRN()
    normalization_window: Literal["across", "column"] = "across"
    """Whether the window of adjacent kernels crosses from one column into the other (the text) or not (the program)."""
    map_normalization: bool = True
    """Whether rows that list "norm-map" (authors-2012, layer 2) do it: the same map's 5x5 neighbourhood."""
    order: Literal[
        "rows",
        "relu-norm-pool",
        "relu-pool-norm",
        "norm-relu-pool",
        "norm-pool-relu",
        "pool-relu-norm",
        "pool-norm-relu",
    ] = "rows"
    """The order of the steps in layers that normalize: as the rows list them, or this one everywhere."""
    pooling: Pooling = Pooling()
    rounding: Literal["up", "down"] = "up"
    """Output size where (size + padding - window) / stride is no whole number: up lets the last window hang over the
    right and bottom edge (2012; a convolution reads zeros there), down leaves those pixels unread (PyTorch)."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """What "relu" is in the rows (§3.1)."""
    dropout: float = 0.5
    """Probability of dropping a hidden activation (§4.2); 0 is none."""
    dropout_form: Literal["mask", "inverted"] = "mask"
    """mask: 0/1 in training, x (1 - p) at test, as in the paper; inverted: x 1/(1 - p) in training (PyTorch, Caffe)."""
    init: Literal["rows", "paper", "authors-2012", "pytorch"] = "rows"
    """Initial values: each row's own; std .01 everywhere (§5); .03 in the 3x3 convolutions (2012), with the rows' biases
    in all three; or PyTorch's default, biases too."""
    conv6: bool = False
    """A sixth convolution on the maps after pool5, as wide as conv5, reading both columns: the pre-training network of §6."""
    bottleneck: int = 0
    """Units of a linear layer before the last one, without an activation, reading both columns; 0 is none. 2012: 1024 + 1024
    before 21,843 classes, dropped for fine-tuning."""
    last_std: float = 0.01
    """Standard deviation of the initial weights of the last layer, and of the bottleneck."""
    input_scale: float = 1.0
    """What the input, pixels 0-255 minus the mean, is multiplied by: 1 in the paper. About 1/60 gives it the unit variance
    that others use, for which the paper's initial values, rates and normalization were not made."""

    def __post_init__(self) -> None:
        # Short names, from Python, the command line or an old recipe.json, are turned into the values that they stand for.
        if self.normalization in NORMALIZATIONS:
            if self.lrn not in NORMALIZATIONS.values():
                raise InputError(
                    f"network.normalization: {self.normalization} has coefficients of its own; give network.lrn without it"
                )
            object.__setattr__(self, "lrn", NORMALIZATIONS[self.normalization])
            object.__setattr__(self, "normalization", "local")
        if isinstance(self.pooling, str):
            object.__setattr__(self, "pooling", Pooling.parse(self.pooling))

    @property
    def normalization_name(self) -> str:
        """The normalization in words: the short name of its coefficients, or else the coefficients themselves."""
        if self.normalization != "local":
            return self.normalization
        names = [name for name, lrn in NORMALIZATIONS.items() if lrn == self.lrn]
        n, k, alpha, beta = self.lrn.n, self.lrn.k, self.lrn.alpha, self.lrn.beta
        return names[0] if names else f"n {n}, k {k:g}, alpha {alpha:g}, beta {beta:g}"

    def rows(self) -> Iterator[tuple[str, Convolution | Hidden]]:
        """(name, row) of every layer but the last: conv1 .. conv5, fc6, fc7, with the switches applied.

        Hidden layers are numbered on from five even where conv6 is there, so that fc7 is the feature layer of every
        network; for the same reason the bottleneck has a name and no number.
        """
        convolutions = [self._switched(row) for row in self.convolutions]
        if self.conv6 and self.convolutions:
            # layers-conv6 of 2012: as many kernels as conv5, 128 + 128, std .03, bias 1, no pooling; and it reads both columns.
            kernels = self.convolutions[-1].kernels
            convolutions.append(self._switched(Convolution(kernels, 3, padding=1, std=0.03, bias=1.0)))
        for number, row in enumerate(convolutions, 1):
            yield f"conv{number}", row
        for number, hidden in enumerate(self.hidden, len(self.convolutions) + 1):
            yield f"fc{number}", replace(hidden, std=self._std(hidden))
        if self.bottleneck:
            # layers-146-2011 of 2012: weights and biases start as the last layer's do, and no neuron follows.
            yield BOTTLENECK, Hidden(self.bottleneck, std=self.std_of_last, bias=0.0, then=())

    def all_rows(self) -> list[tuple[str, Convolution | Hidden]]:
        """(name, row) of every layer, the last one too, which has a unit for each class."""
        return [*self.rows(), (self.last_name, Hidden(self.classes, std=self.std_of_last, bias=0.0, then=()))]

    def without(self, name: str) -> "Network":
        """This network with the layer called `name` removed, as §7 did; the layers behind it move up a number.

        Its pooling and normalization pass to the next convolution that has none, or the one before it, so that the maps
        keep their sizes from there on. A link passes to the layer that takes the removed one's place: what goes is depth,
        not the columns' view of each other. Raises InputError for a layer that is not there or cannot go, as one whose
        pooling no neighbour can take.
        """
        names = [row_name for row_name, _ in replace(self, conv6=False, bottleneck=0).rows()]
        if name not in names[1:] or name == names[-1] == f"fc{len(self.convolutions) + 1}":
            raise InputError(f"network: {name} cannot be removed; the layers that can are {', '.join(names[1:])}")
        at, convolutions, hidden = names.index(name), list(self.convolutions), list(self.hidden)
        if at < len(convolutions):
            steps = [step for step in convolutions[at].then if step != "relu"]
            del convolutions[at]
            heirs = [n for n in (at, at - 1) if n < len(convolutions) and convolutions[n].then == ("relu",)]
            if steps and not heirs:
                raise InputError(
                    f"network: {name} cannot be removed; no layer beside it can take its {' and '.join(steps)}"
                )
            if steps:
                convolutions[heirs[0]] = replace(convolutions[heirs[0]], then=("relu", *steps))
        else:
            del hidden[at - len(convolutions)]
        shorter = replace(
            self, name=f"{self.name}-without-{name}", convolutions=tuple(convolutions), hidden=tuple(hidden)
        )
        remaining = [row_name for row_name, _ in replace(shorter, conv6=False, bottleneck=0).all_rows()]
        places = [names.index(link) for link in self.links if link in names]
        links = dict.fromkeys(remaining[place if place <= at else place - 1] for place in places)
        return replace(shorter, links=tuple(link for link in links if link != shorter.last_name))

    @property
    def last_name(self) -> str:
        """Name of the layer that gives one number a class: fc8 in the paper's network."""
        return f"fc{len(self.convolutions) + len(self.hidden) + 1}"

    @property
    def extra_name(self) -> str:
        """Name of the convolution that `conv6` adds: conv6 after the paper's five."""
        return f"conv{len(self.convolutions) + 1}"

    def reads_both(self, name: str) -> bool:
        """Whether the layer called `name` reads all columns; the first, the last two and the sixth convolution always do."""
        always = ("conv1", self.extra_name, BOTTLENECK, self.last_name)
        return self.columns == 1 or name in self.links or name in always

    @property
    def std_of_last(self) -> float:
        """Standard deviation of the last layer's initial weights, with `init` applied."""
        return 0.01 if self.init in ("paper", "authors-2012") else self.last_std

    def _std(self, row: Convolution | Hidden) -> float:
        if self.init == "paper":
            return 0.01
        if self.init == "authors-2012":
            return 0.03 if isinstance(row, Convolution) and row.size == 3 else 0.01
        return row.std

    def _switched(self, row: Convolution) -> Convolution:
        steps = list(row.then)
        if self.order != "rows" and "norm" in steps:
            place = {step: position for position, step in enumerate(self.order.split("-"))}
            place["norm-map"] = place["norm"]  # the sort is stable, so that it stays behind norm
            steps.sort(key=lambda step: place.get(step, len(place)))
        if self.normalization == "none":
            steps = [step for step in steps if step not in ("norm", "norm-map")]
        if not self.map_normalization:
            steps = [step for step in steps if step != "norm-map"]
        return replace(row, std=self._std(row), then=tuple(steps))


def check(spec: Network) -> None:
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
    layers = len(spec.convolutions) + len(spec.hidden)
    if layers > MAX_LAYERS:
        raise InputError(f"network: {layers:,} layers; there may be {MAX_LAYERS:,}")
    for name in ("classes", "input_size", "bottleneck", "last_std"):
        if not 0 <= getattr(spec, name) <= MAX_WIDTH:
            raise InputError(f"network.{name}: it must be at least 0 and at most {MAX_WIDTH:,}")
    check_coefficients(spec.lrn, spec.pooling)
    names = dict(spec.rows())
    if spec.columns > 1:
        for link in spec.links:
            # The last layer reads both columns anyway, and conv6 may be switched off.
            if link not in names and link not in (spec.last_name, spec.extra_name):
                raise InputError(f"network.links: no layer is called {link:.60}; the layers are {', '.join(names)}")
    for name, row in names.items():
        _check_row(name, row, spec.columns)


def check_coefficients(lrn: LRN = LRN(), pooling: Pooling = Pooling()) -> None:
    """Raise InputError, naming the field, for coefficients or windows that no layer here computes with."""
    if not (0 < lrn.n <= MAX_WIDTH and lrn.n % 2):
        raise InputError(
            f"network.lrn.n: {lrn.n} kernels; it must be odd and positive, the kernel itself in the middle"
        )
    if not (0 < lrn.k < math.inf and 0 <= lrn.alpha < math.inf and 0 <= lrn.beta < math.inf):
        raise InputError(f"network.lrn: {lrn}; k must be above 0, alpha and beta at least 0, and all finite")
    if not 1 <= pooling.stride <= pooling.window <= MAX_WIDTH:
        raise InputError(f"network.pooling: {pooling}; the stride must be at least 1 and at most the window")


def _check_row(name: str, row: Convolution | Hidden, columns: int) -> None:
    numbers = [value for value in vars(row).values() if isinstance(value, int | float)]
    if not all(abs(number) <= MAX_WIDTH for number in numbers):  # NaN is refused too
        raise InputError(f"{name}: a number that is NaN, or beyond {MAX_WIDTH:,}")
    width = row.kernels if isinstance(row, Convolution) else row.units
    for right, message in (
        (row.std >= 0, f"a standard deviation of {row.std}; it must be at least 0"),
        (width >= 1, f"{width} kernels or units; there must be at least 1"),
        (width % columns == 0, f"{width} kernels or units cannot be halved into two columns; make it even"),
    ):
        if not right:
            raise InputError(f"{name}: {message}")
    if isinstance(row, Convolution) and (row.size < 1 or row.stride < 1 or row.padding < 0):
        raise InputError(f"{name}: size and stride must be at least 1, padding at least 0")
    possible = get_args(Step) if isinstance(row, Convolution) else ("relu", "dropout")
    for step in row.then:
        if step not in possible:
            raise InputError(f"{name}: the step {step} cannot follow it; choose from {', '.join(possible)}")
        if row.then.count(step) > 1:
            raise InputError(f"{name}: the step {step} follows it twice; list it once")
