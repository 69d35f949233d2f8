"""The table of a network: what each layer reads and gives, its arithmetic and its size, beside the paper's figures."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from alexnet.network import networks
from alexnet.network import spec as specs
from alexnet.network.model import AlexNet

PAPER = {"inputs": 150_528, "parameters": 60_000_000, "neurons": 650_000, "multiply_adds": 630_000_000}
"""What the abstract and §3.5 state of the network; the multiply-adds are the "connections" of the authors' 2012 talk."""

PAPER_LAYER_NEURONS = {
    "conv1": 253_440,  # which no reading of the layer gives: 55x55x96 is 290,400
    "conv2": 186_624,
    "conv3": 64_896,
    "conv4": 64_896,
    "conv5": 43_264,
    "fc6": 4096,
    "fc7": 4096,
    "fc8": 1000,
}
"""The neurons that §3.5 lists, by layer."""

DETAILS = ("kernels", "size, stride, padding", "then", "init std", "bias")
"""Headings of columns that a short table leaves out."""

FIGURES = ("parameters", "multiply-adds", "neurons")
"""Headings of columns of numbers."""


@dataclass(frozen=True)
class Layer:
    """One row: a convolution, a pooling, a fully connected layer, or a normalization that has parameters."""

    name: str
    output: tuple[int, int, int]
    """Channels, height and width; (units, 1, 1) of a fully connected layer."""
    parameters: int
    multiply_adds: int
    """Products of a weight and an input for one image; 0 in a layer without kernels."""
    neurons: int
    """Outputs of a convolution or a fully connected layer; 0 elsewhere."""
    reads: str
    """ "image" (and what it is multiplied by), "own column", "both columns"; "all" where there is one column."""
    kernels: int | None
    kernels_per_column: int | None
    """None where there are no columns, and in the last layer, whose outputs belong to none."""
    size: int | None
    stride: int | None
    padding: int | None
    arithmetic: str
    """How the side of the output comes about, "(224+3−11)/4+1 = 55"; empty where no window slides."""
    std: float | None
    """Standard deviation of the initial weights; None for PyTorch's default, and where there are none."""
    bias: float | None
    then: tuple[str, ...]
    """Steps without a row of their own between this layer and the next row."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "output": list(self.output), "then": list(self.then)}

    def cells(self) -> dict[str, str]:
        """This row as text, by heading, in the order of the columns."""
        kernels = "" if self.kernels is None else f"{self.kernels:,}"
        if self.kernels_per_column is not None:
            kernels = f"{self.kernels_per_column:,} / {kernels}"
        window = "" if self.size is None else f"{self.size}×{self.size}, {self.stride}, {self.padding}"
        channels, height, width = self.output
        output = f"{channels}×{height}×{width}" if height * width > 1 or self.arithmetic else f"{channels:,}"
        std, bias = ("" if value is None else f"{value:g}" for value in (self.std, self.bias))
        counts = [f"{count:,}" if count else "" for count in (self.parameters, self.multiply_adds, self.neurons)]
        return {
            "layer": self.name,
            "reads": self.reads,
            "kernels": kernels,
            "size, stride, padding": window,
            "output": output,
            "arithmetic": self.arithmetic,
            "then": " ".join(self.then),
            "init std": std,
            "bias": bias,
            **dict(zip(FIGURES, counts, strict=True)),
        }


@dataclass(frozen=True)
class Summary:
    """The rows of a network in the order of the image's way through it, and their totals."""

    network: str
    layers: tuple[Layer, ...]
    inputs: int
    """Numbers in one input image."""
    comparable: bool
    """Whether its layers have the names and outputs of the paper's, so that the paper's figures speak of it too."""

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def neurons(self) -> int:
        return sum(layer.neurons for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        totals = {name: getattr(self, name) for name in ("network", "parameters", "neurons", "multiply_adds")}
        return totals | {"layers": [layer.to_dict() for layer in self.layers]}

    def rows_for_table(self) -> list[dict[str, str]]:
        """A layer's cells by heading, each; the paper's count of neurons beside ours where it differs."""
        rows = [layer.cells() for layer in self.layers]
        for row in rows if self.comparable else ():
            stated = f"{PAPER_LAYER_NEURONS.get(row['layer'], 0):,}"
            if stated not in ("0", row["neurons"]):
                row["neurons"] += f" (paper: {stated})"
        return rows

    def totals(self) -> list[list[str]]:
        """[name, figure, the paper's figure] of the whole network; the last is empty where it is not comparable."""
        convolutions = sum(layer.multiply_adds for layer in self.layers if layer.name.startswith("conv"))
        rows = [
            ("inputs", f"{self.inputs:,}", "§3.5"),
            ("parameters", f"{self.parameters:,}", "abstract"),
            ("neurons", f"{self.neurons:,}", "abstract"),
            ("multiply-adds", f"{self.multiply_adds:,} (convolutions {convolutions:,})", "2012 talk"),
        ]
        stated = {name: f"{PAPER[name.replace('-', '_')]:,} ({source})" for name, _, source in rows}
        return [[name, figure, stated[name] if self.comparable else ""] for name, figure, _ in rows]


def summarize(spec: specs.Network) -> Summary:
    """The table of the network that `spec` describes. No weight is allocated; InputError if it cannot be built."""
    layers = _layers(spec)
    comparable = _outputs(layers) == _outputs(_layers(networks.paper))
    return Summary(spec.name, tuple(layers), 3 * spec.input_size**2, comparable)


def _outputs(layers: list[Layer]) -> dict[str, int]:
    return {layer.name: layer.neurons for layer in layers if layer.neurons}


def _layers(spec: specs.Network) -> list[Layer]:
    with torch.device("meta"):  # shapes without memory, so that 60 million weights cost nothing
        model = AlexNet(spec)
    rows = dict(spec.all_rows())
    layers: list[Layer] = []
    channels, side = 3, spec.input_size
    for name, module in model.named_children():
        parameters = sum(parameter.numel() for parameter in module.parameters())
        window = model.windows.get(name)
        if not parameters and window is None:
            if layers and name != "flatten":
                layers[-1] = replace(layers[-1], then=(*layers[-1].then, name))
            continue
        side = window.output if window else side
        weighted = not isinstance(module, nn.BatchNorm2d) and parameters > 0
        kernels = len(module.get_parameter("bias")) if weighted else None
        if kernels:
            channels = kernels
            side = side if window else 1
        row = rows.get(name)
        drawn = weighted and spec.init != "pytorch"
        layers.append(
            Layer(
                name,
                output=(channels, side, side),
                parameters=parameters,
                multiply_adds=module.get_parameter("weight").numel() * side**2 if weighted else 0,
                neurons=channels * side**2 if weighted else 0,
                reads=_reads(spec, name, weighted),
                kernels=kernels,
                kernels_per_column=kernels // 2 if kernels and spec.columns == 2 and name != spec.last_name else None,
                size=window.window if window else None,
                stride=window.stride if window else None,
                padding=window.padding if window else None,
                arithmetic=str(window) if window else "",
                std=row.std if row and drawn else None,
                bias=row.bias if row and drawn else None,
                then=(),
            )
        )
    return layers


def _reads(spec: specs.Network, name: str, weighted: bool) -> str:
    if name == "conv1":
        return "image" if spec.input_scale == 1 else f"image × {spec.input_scale:.3g}"
    if spec.columns == 1:
        return "all"
    return "both columns" if weighted and spec.reads_both(name) else "own column"
