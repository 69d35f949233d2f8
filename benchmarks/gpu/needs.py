"""What a training step needs at the least: bytes that have to move, operations that have to be done, kind by kind of kernel.

A pass needs the longer of the two. Numbers are bfloat16 but for weights and velocities; each pass reads its inputs and writes
its outputs once.
"""

import math
from collections import Counter

from alexnet.network.spec import Convolution, Network
from alexnet.network.summary import summarize

NUMBER = 2
"""Bytes of a bfloat16."""


def floors(network: Network, batch: int, limits: dict[str, float]) -> dict[str, float]:
    """Least seconds of a step by kind; limits: "copy" in bytes/s and "product" in operations/s."""
    least: Counter[str] = Counter()

    def add(kind: str, size: float, work: float = 0.0) -> None:
        least[kind] += max(size / limits["copy"], work / limits["product"])  # type: ignore[assignment]

    layers = {layer.name: layer for layer in summarize(network).layers}
    rows = dict(network.rows())
    inputs = 3 * network.input_size**2
    add("augmentation", batch * inputs * (1 + NUMBER))
    for name, layer in layers.items():
        outputs = math.prod(layer.output)
        if layer.multiply_adds:  # forward, gradient of the weights, gradient of the input; the images have none
            for _ in range(2 if name == "conv1" else 3):
                size = NUMBER * (batch * (inputs + layer.neurons) + layer.parameters)
                kind = "convolutions" if layer.size is not None else "fully connected"
                add(kind, size, 2.0 * batch * layer.multiply_adds)
        row = rows.get(name)
        if isinstance(row, Convolution) and "pool" in row.then:
            pooled = math.prod(layers[name.replace("conv", "pool")].output)
            # In one pass with the normalization before it: a byte a maximum is kept, and z read again. Else torch's pooling of
            # ReLU's output, with 8 bytes a maximum.
            kind, place, read = ("normalization and its pooling", 1, 2) if "norm" in row.then else ("pooling", 8, 1)
            if place == 8:
                add("elementwise and sums", batch * 5 * NUMBER * outputs)
            add(kind, batch * (NUMBER * outputs + (NUMBER + place) * pooled))
            add(kind, batch * (NUMBER * read * outputs + (NUMBER + place) * pooled))
        elif row and "relu" in row.then:  # in, out; out, gradient, gradient out
            add("elementwise and sums", batch * 5 * NUMBER * outputs)
        inputs = outputs
    add("update", 20 * sum(layer.parameters for layer in layers.values()))
    return dict(least)


def operations(network: Network) -> float:
    """Operations of an image's forward and backward pass: three times the forward pass's, less conv1's input gradient."""
    layers = {layer.name: layer.multiply_adds for layer in summarize(network).layers}
    return 2.0 * (3 * sum(layers.values()) - layers["conv1"])
