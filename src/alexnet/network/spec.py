"""A network as data: rows of layers, switches over them, and the named networks.

`paper` is the text of §3, row by row; every other named network is the difference from it. A switch is a field, so a
variant is `dataclasses.replace(paper, normalization="none")` in Python and `--network.normalization none` at the
command line.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin

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
class Normalization:
    """Local response normalization (§3.3): a is divided by (k + alpha · the sum of a² over n adjacent kernels)^beta."""

    k: float = 2.0
    n: int = 5
    alpha: float = 1e-4
    """What multiplies the plain sum, as in the paper."""
    beta: float = 0.75


NORMALIZATIONS = {
    "paper": Normalization(k=2.0, n=5, alpha=1e-4, beta=0.75),
    # The 2012 program and Caffe divide the sum by n.
    "authors-2012": Normalization(k=2.0, n=5, alpha=1e-4 / 5, beta=0.75),
    "caffe": Normalization(k=1.0, n=5, alpha=1e-4 / 5, beta=0.75),
}
"""What the values of `Network.normalization` stand for."""


@dataclass(frozen=True)
class Pooling:
    """Max pooling (§3.4): windows of z x z pixels, s pixels apart; they overlap where s < z."""

    z: int
    s: int


POOLINGS = {"3/2": Pooling(z=3, s=2), "2/2": Pooling(z=2, s=2)}
"""What the values of `Network.pooling` stand for."""


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
    """Layers that read both columns; all others read their own. The first and the last layer read everything."""
    normalization: Literal["none", "paper", "authors-2012", "caffe", "batch"] = "paper"
    """What "norm" is in the rows: local response normalization by the paper's, the 2012 program's (the sum divided by n)
    or Caffe's (k = 1) coefficients, batch normalization at the same places; or no normalization at all."""
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
    pooling: Literal["3/2", "2/2"] = "3/2"
    """Window / stride of max pooling; 3/2 overlaps (§3.4)."""
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
        made = replace(self, name=f"{self.name}-without-{name}", convolutions=tuple(convolutions), hidden=tuple(hidden))
        left = [row_name for row_name, _ in replace(made, conv6=False, bottleneck=0).rows()] + [made.last_name]
        places = [names.index(link) for link in self.links if link in names]
        links = dict.fromkeys(left[place if place <= at else place - 1] for place in places)
        return replace(made, links=tuple(link for link in links if link != made.last_name))

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


def from_dict(kind: Any, values: dict[str, Any], where: str = "network") -> Any:
    """Build dataclass `kind` (Network, Recipe ...) from the dictionary that `dataclasses.asdict` and JSON made of one.

    Raises InputError, naming the field, for one that `kind` does not have, one that is missing, or a value of another
    type than its annotation's.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: {_short(values)}; it must be an object")
    known = {field.name: field for field in fields(kind)}
    for name in values:
        if name not in known:
            raise InputError(f"{where}.{str(name)[:60]}: no such field; the fields are {', '.join(known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise InputError(f"{where}.{name} is missing")
    return kind(**{name: _typed(known[name].type, value, f"{where}.{name}") for name, value in values.items()})


def _typed(annotation: Any, value: Any, where: str) -> Any:
    # JSON knows no tuples, no dataclasses and hardly a float; the annotation says what a value was.
    if isinstance(annotation, UnionType):  # the only ones are "or None"
        return None if value is None else _typed(get_args(annotation)[0], value, where)
    if is_dataclass(annotation):
        return from_dict(annotation, value, where)
    if get_origin(annotation) is tuple:
        if isinstance(value, list):
            inner = get_args(annotation)[0]
            return tuple(_typed(inner, item, f"{where}.{number}") for number, item in enumerate(value))
        raise InputError(f"{where}: {_short(value)}; it must be a list")
    if get_origin(annotation) is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(annotation)):
            return value
        raise InputError(f"{where}: {_short(value)}; choose one of {', '.join(map(str, get_args(annotation)))}")
    if annotation is float and type(value) is int and abs(value) < 1 << 1000:
        return float(value)
    if type(value) is not annotation:  # not isinstance: a bool is an int
        raise InputError(f"{where}: {_short(value)}; it must be {_WORDS[annotation]}")
    return value


def _short(value: Any) -> str:
    """A value of somebody else's as text for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of thousands of digits, of lists within lists
        return f"a value of type {type(value).__name__} without end"
    return text if len(text) <= 60 else f"{text[:60]}..."


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


paper = Network(
    name="paper",
    convolutions=(
        Convolution(96, 11, stride=4, bias=0.0, then=("relu", "norm", "pool")),
        Convolution(256, 5, padding=2, bias=1.0, then=("relu", "norm", "pool")),
        Convolution(384, 3, padding=1, bias=0.0),
        Convolution(384, 3, padding=1, bias=1.0),
        Convolution(256, 3, padding=1, bias=1.0, then=("relu", "pool")),
    ),
    hidden=(Hidden(4096), Hidden(4096)),
)

# layers/layers-145.cfg: the network behind the published error rates.
authors_2012 = replace(
    paper,
    name="authors-2012",
    convolutions=(
        replace(paper.convolutions[0], then=("norm", "pool", "relu")),
        replace(paper.convolutions[1], then=("relu", "norm", "norm-map", "pool")),
        *paper.convolutions[2:],
    ),
    normalization="authors-2012",
    normalization_window="column",
    init="authors-2012",
)

# §3.2, run 145-half: half the kernels in the convolutions but the last, so that there are nearly as many parameters.
one_gpu = replace(
    paper,
    name="one-gpu",
    columns=1,
    convolutions=(
        *(replace(row, kernels=row.kernels // 2) for row in paper.convolutions[:4]),
        paper.convolutions[4],
    ),
)

one_tower = replace(paper, name="one-tower", columns=1)

# §3.4, run 147: 2x2 windows and the paddings that lead to maps of the same size.
non_overlapping = replace(
    paper,
    name="non-overlapping",
    pooling="2/2",
    convolutions=(
        paper.convolutions[0],
        replace(paper.convolutions[1], padding=1),
        *paper.convolutions[2:4],
        replace(paper.convolutions[4], padding=0),
    ),
)

# Caffe's bvlc_alexnet, models/bvlc_alexnet/train_val.prototxt.
caffe = replace(
    paper,
    name="caffe",
    input_size=227,
    normalization="caffe",
    dropout_form="inverted",
    convolutions=tuple(replace(row, bias=0.1 * row.bias) for row in paper.convolutions),
    hidden=(Hidden(4096, std=0.005, bias=0.1), Hidden(4096, std=0.005, bias=0.1)),
)

# torchvision.models.alexnet: the widths of Krizhevsky's 2014 paper, dropout before the hidden layers.
torchvision = replace(
    paper,
    name="torchvision",
    columns=1,
    rounding="down",
    normalization="none",
    dropout_form="inverted",
    init="pytorch",
    convolutions=(
        Convolution(64, 11, stride=4, padding=2, then=("relu", "pool")),
        Convolution(192, 5, padding=2, then=("relu", "pool")),
        Convolution(384, 3, padding=1),
        Convolution(256, 3, padding=1),
        Convolution(256, 3, padding=1, then=("relu", "pool", "dropout")),
    ),
    hidden=(Hidden(4096), Hidden(4096, then=("relu",))),
)

# §3.1 does not list its four-layer CIFAR-10 network. This is three convolutions and the classes, as the network that the same
# group published with cuda-convnet for 18%, with twice the kernels in layer 2 and max pooling throughout; its initial
# deviations keep the scale of the activations, so that the first epoch is not spent on growing them.
four_layer = Network(
    name="four-layer",
    convolutions=(
        Convolution(32, 5, padding=2, std=1e-3, then=("relu", "pool", "norm")),
        Convolution(64, 5, padding=2, std=0.03, then=("relu", "pool", "norm")),
        Convolution(64, 5, padding=2, std=0.02, then=("relu", "pool")),
    ),
    hidden=(),
    classes=10,
    input_size=32,
    columns=1,
    links=(),
    last_std=0.03,
)

# The demo's: every mechanism of the paper at a sixtieth of the multiply-adds, on inputs of 56 pixels.
small = Network(
    name="small",
    convolutions=(
        Convolution(32, 7, stride=2, std=0.01, then=("relu", "norm", "pool")),
        Convolution(64, 5, padding=2, std=0.04, bias=0.1, then=("relu", "norm", "pool")),
        Convolution(96, 3, padding=1, std=0.05),
        Convolution(96, 3, padding=1, std=0.05, bias=0.1),
        Convolution(64, 3, padding=1, std=0.05, bias=0.1, then=("relu", "pool")),
    ),
    hidden=(Hidden(256, std=0.05, bias=0.1), Hidden(256, std=0.05, bias=0.1)),
    classes=13,
    input_size=56,
    last_std=0.05,
)

networks: dict[str, Network] = {
    network.name: network
    for network in (
        paper,
        authors_2012,
        one_gpu,
        one_tower,
        non_overlapping,
        caffe,
        torchvision,
        four_layer,
        small,
    )
}
