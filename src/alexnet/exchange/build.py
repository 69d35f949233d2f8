"""The steps of a file are made a Network and its weights.

A file says how its windows move (padding at both ends, rounding), a `Network` says it in fields that hold for all layers:
`network_of_steps` looks for the fields that give the same numbers, and refuses, naming the file's layer, where none do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange.steps import (
    Activation,
    BatchNorm,
    Conv,
    Dropout,
    Linear,
    Lrn,
    MapNorm,
    Pool,
    Sliding,
    Step,
    Weighted,
)
from alexnet.network import spec as specs
from alexnet.network.spec import Network
from alexnet.network.window import slide, steps_of

WIDEST = 1 << 10
"""The most adjacent kernels that normalization of a file may be over; a sum over more only takes memory."""


@dataclass
class _Row:
    """A layer with weights, and the steps behind it."""

    step: Conv | Linear
    then: list[specs.Step]
    batch: BatchNorm | None = None


@dataclass(frozen=True)
class Built:
    """A network as a file describes it, and its weights under our names; there are none where the file has none."""

    network: Network
    weights: dict[str, Tensor]
    notes: tuple[str, ...]


def network_of_steps(name: str, steps: Sequence[Step], input_size: int) -> Built:
    """Return the network that computes `steps` on images of `input_size` pixels; InputError, naming the layer, if none does."""
    rows, switches = _rows(steps)
    if not rows or not isinstance(rows[0].step, Conv):
        raise InputError(f"{name}: no convolution is in it; a network here begins with one")
    last = rows[-1].step
    if not isinstance(last, Linear):
        raise InputError(f"{last.name}: the last layer must be a fully connected one that gives the classes")
    if rows[-1].then:
        raise InputError(f"{last.name}: {rows[-1].then[0]} follows the last layer; nothing but a softmax may")
    for row in rows:
        if row.step.columns not in (1, 2):
            raise InputError(f"{row.step.name}: {row.step.columns} groups; a network here has one column or two")
    input_size, rounding, notes = _windows(steps, input_size)
    hidden = [row for row in rows[:-1] if isinstance(row.step, Linear)]
    bottleneck = hidden.pop().step.width if hidden and not hidden[-1].then else 0
    network = Network(
        name=name,
        convolutions=tuple(
            specs.Convolution(
                step.width, step.size, step.stride, step.padding, step.std, step.start, then=tuple(row.then)
            )
            for row in rows
            if isinstance(step := row.step, Conv)
        ),
        hidden=tuple(specs.Hidden(row.step.width, row.step.std, row.step.start, tuple(row.then)) for row in hidden),
        classes=last.width,
        input_size=input_size,
        columns=2 if any(row.step.columns == 2 for row in rows) else 1,
        links=(),
        rounding=rounding,
        bottleneck=bottleneck,
        last_std=last.std,
        **switches,
    )
    network = _with_sixth(network, rows)
    links: list[str] = []
    weights: dict[str, Tensor] = {}
    for layer, row in zip(dict(network.all_rows()), rows, strict=True):
        if row.step.columns == 2 and network.reads_both(layer):
            raise InputError(f"{row.step.name}: it reads its own column only; here {layer} always reads both")
        if row.step.columns == 1 and not network.reads_both(layer):
            links.append(layer)
        weights |= _weights(network, layer, row)
    return Built(replace(network, links=tuple(links)), weights, notes)


def _rows(steps: Sequence[Step]) -> tuple[list[_Row], dict[str, Any]]:
    """Return the layers with weights, each with the steps behind it, and the fields of Network that these steps decide."""
    rows: list[_Row] = []
    switches: dict[str, Any] = {}
    for step in steps:
        if isinstance(step, Conv | Linear):
            if rows and isinstance(step, Conv) and isinstance(rows[-1].step, Linear):
                raise InputError(f"{step.name}: a convolution behind a fully connected layer does not fit")
            rows.append(_Row(step, []))
            continue
        if not rows:
            raise InputError(f"{step.name}: it stands before the first convolution, where nothing but the mean may be")
        row = rows[-1]
        if isinstance(row.step, Linear) and not isinstance(step, Activation | Dropout):
            raise InputError(f"{step.name}: {type(step).__name__} behind a fully connected layer does not fit")
        try:
            word, fields = _word(step)
        except InputError as error:
            raise InputError(f"{step.name}: {error}") from None
        for field, value in fields.items():
            if switches.setdefault(field, value) != value:
                text = f"{field} {value}".removeprefix("lrn ")
                raise InputError(
                    f"{step.name}: {text}, but {switches[field]} before it; a network here has one for all layers"
                )
        if word in row.then:
            raise InputError(f"{step.name}: a second {word} behind {row.step.name} does not fit")
        row.then.append(word)
        if isinstance(step, BatchNorm):
            row.batch = step
    return rows, {"normalization": "none", "dropout": 0.0, **switches}


def _word(step: Activation | Lrn | MapNorm | BatchNorm | Pool | Dropout) -> tuple[specs.Step, dict[str, Any]]:
    """Return the word for a step in a row and the fields of Network that it decides; InputError if no network here has it."""
    if isinstance(step, Activation):
        return "relu", {"activation": step.kind}
    if isinstance(step, Lrn):
        # Files have float32 numbers; six digits of them are the decimals that were meant.
        k, alpha, beta = (float(f"{number:.6g}") for number in (step.k, step.alpha, step.beta))
        window = "column" if step.columns == 2 else "across"
        lrn = specs.LRN(step.size, k, alpha, beta)
        specs.check_coefficients(lrn)
        if lrn.n > WIDEST:
            raise InputError(f"normalization over {lrn.n:,} kernels; the file is damaged")
        return "norm", {"normalization": "local", "lrn": lrn, "normalization_window": window}
    if isinstance(step, BatchNorm):
        return "norm", {"normalization": "batch"}
    if isinstance(step, MapNorm):
        return "norm-map", {}
    if isinstance(step, Dropout):
        return "dropout", {"dropout": step.p, "dropout_form": step.form}
    if step.padding:
        raise InputError(f"pooling with padding {step.padding}; a network here pools without padding")
    pooling = specs.Pooling(step.size, step.stride)
    specs.check_coefficients(pooling=pooling)
    return "pool", {"pooling": pooling}


def _windows(steps: Sequence[Step], size: int) -> tuple[int, Literal["up", "down"], tuple[str, ...]]:
    """Return the input size and the `rounding` that give the windows of the file, and notes on them.

    InputError, naming the layer, for one that does not read what is before it.
    """
    possible: list[tuple[str, set[str]]] = []
    unread, channels, side = 0, 3, size
    for step in steps:
        if isinstance(step, Weighted):
            given, reads = channels * (1 if isinstance(step, Conv) else side**2), step.inputs * step.columns
            if step.inputs != -1 and reads != given:
                raise InputError(
                    f"{step.name}: its weights read {reads:,} numbers a position, the layer before gives {given:,}"
                )
            channels, side = step.width, side if isinstance(step, Conv) else 1
        if not isinstance(step, Sliding):
            continue
        rest = side + step.padding + step.end - step.size
        if step.size < 1 or step.stride < 1 or step.padding < 0 or step.end < 0 or rest < 0:
            raise InputError(
                f"{step.name}: its {step.size}×{step.size} window, stride {step.stride}, padding {step.padding}, does not"
                f" fit a {side}×{side} map"
            )
        output = steps_of(rest, step.stride, step.up) + 1
        ways = {
            way
            for way in ("up", "down")
            if slide(step.name, side, step.size, step.stride, step.padding, way).output == output
        }
        if not possible and not step.padding and not step.end and ways == {"down"}:
            unread = rest % step.stride
        possible.append((step.name, ways))
        side = output
    common = set.intersection(*(ways for _, ways in possible))
    notes: tuple[str, ...] = ()
    if not common and unread:
        # Caffe rounds convolutions down and pooling up. Where only conv1 leaves pixels unread, a smaller crop is the same.
        common = set.intersection(*(ways for _, ways in possible[1:]))
        notes = (f"conv1 reads {size - unread} of {size} pixels, so the crops here are of {size - unread}",)
        size -= unread
    if not common:
        each = "; ".join(f"{name}: {' or '.join(sorted(ways)) or 'neither'}" for name, ways in possible)
        raise InputError(
            f"the numbers of windows are rounded up in some layers and down in others ({each}); a network here has one"
            " network.rounding for all"
        )
    return size, "up" if "up" in common else "down", notes


def _with_sixth(network: Network, rows: list[_Row]) -> Network:
    """Turn a sixth convolution like that of 2012 (§6) into the switch `conv6`, so that fc7 keeps its name."""
    if len(network.convolutions) != 6 or network.columns != 2 or rows[5].step.columns != 1:
        return network
    last, switched = network.convolutions[5], replace(network, convolutions=network.convolutions[:5], conv6=True)
    sixth = dict(switched.rows())["conv6"]
    return switched if replace(sixth, std=last.std, bias=last.bias) == last else network


def _weights(network: Network, layer: str, row: _Row) -> dict[str, Tensor]:
    """Return the weights of a layer and of the batch normalization behind it, under our names; none if the file has none."""
    if row.step.weight is None or row.step.bias is None:
        return {}
    weights = {f"{layer}.weight": row.step.weight, f"{layer}.bias": row.step.bias}
    if row.batch:
        norm = f"norm{layer.removeprefix('conv')}" if layer != network.extra_name else f"norm-{layer}"
        batch = row.batch
        weights |= {f"{norm}.weight": batch.weight, f"{norm}.bias": batch.bias}
        weights |= {f"{norm}.running_mean": batch.mean, f"{norm}.running_var": batch.variance}
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return weights
