"""What a training step needs at the least, kind by kind: bytes that have to move, operations that have to be done.

A pass needs the longer of the two. Numbers are bfloat16 but for weights and velocities; each pass reads its inputs and writes
its outputs once.
"""

from dataclasses import dataclass

from alexnet.network.spec import Convolution, Network
from alexnet.network.summary import Layer, summarize

NUMBER = 2
"""Bytes of a bfloat16."""


@dataclass(frozen=True)
class Pass:
    """One pass over some tensors, forward or backward."""

    kind: str
    size: float = 0.0
    """Bytes read and written."""
    work: float = 0.0
    """Floating-point operations on the matrix unit."""

    def seconds(self, limits: dict[str, float]) -> float:
        """At the least, with what copy and product reach."""
        return max(self.size / limits["copy"], self.work / limits["product"])


def passes(network: Network, batch: int) -> list[Pass]:
    """All passes of one step on `batch` images, ReLU and normalization with the pooling behind it in one."""
    layers = {layer.name: layer for layer in summarize(network).layers}
    rows = dict(network.rows())
    found = [Pass("augmentation", batch * 3 * network.input_size**2 * (1 + NUMBER))]
    before = 3 * network.input_size**2
    for name, layer in layers.items():
        if layer.multiply_adds:
            found += _weighted(layer, batch, before, first=before == 3 * network.input_size**2)
        out, row = _numbers(layer), rows.get(name)
        then = row.then if row else ()
        if isinstance(row, Convolution) and "pool" in then:
            pooled = _numbers(layers[name.replace("conv", "pool")])
            if "norm" in then:
                # z in, pooled map and a byte a maximum out; z, gradient and bytes in, gradient out.
                kind, place, forward = "normalization and its pooling", 1, out
            else:
                # Of ReLU's output; torch's pooling keeps 8 bytes a maximum.
                kind, place, forward = "pooling", 8, out
                found.append(Pass("elementwise and sums", batch * 5 * NUMBER * out))
            found.append(Pass(kind, batch * (NUMBER * forward + (NUMBER + place) * pooled)))
            backward = 2 * out if "norm" in then else out
            found.append(Pass(kind, batch * (NUMBER * backward + (NUMBER + place) * pooled)))
        elif "relu" in then:
            found.append(Pass("elementwise and sums", batch * 5 * NUMBER * out))  # in, out; out, gradient, gradient out
        before = out
    found.append(Pass("update", 20 * sum(layer.parameters for layer in layers.values())))
    return found


def _weighted(layer: Layer, batch: int, inputs: int, first: bool) -> list[Pass]:
    """Forward, gradient of the weights, gradient of the input; the images have none."""
    kind = "convolutions" if layer.size is not None else "fully connected"
    outputs, work = layer.neurons, 2.0 * batch * layer.multiply_adds
    one = NUMBER * (batch * (inputs + outputs) + layer.parameters)
    return [Pass(kind, one, work)] * (2 if first else 3)


def _numbers(layer: Layer) -> int:
    channels, height, width = layer.output
    return channels * height * width


def floors(network: Network, batch: int, limits: dict[str, float]) -> dict[str, float]:
    """Least seconds of a step by kind."""
    least: dict[str, float] = {}
    for each in passes(network, batch):
        least[each.kind] = least.get(each.kind, 0.0) + each.seconds(limits)
    return least


def operations(network: Network) -> float:
    """Operations of an image's forward and backward pass: three times the forward pass's, less conv1's input gradient."""
    return sum(each.work for each in passes(network, 1))
