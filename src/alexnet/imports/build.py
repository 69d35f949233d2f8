"""Steps -> a Network and its weights.

A file says how its windows move (padding at both ends, rounding), a `Network` says it in fields that hold for all layers:
`network_of_steps` finds the fields that give the same numbers, and refuses, naming the file's layer, where none do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.imports.steps import Activation, BatchNorm, Conv, Dropout, Linear, Lrn, MapNorm, Pool, Step
from alexnet.network import spec as specs
from alexnet.network.spec import Network
from alexnet.network.window import slide


@dataclass
class _Row:
    """A layer with weights and the steps behind it, as far as they are read."""

    step: Conv | Linear
    then: list[specs.Step]
    batch: BatchNorm | None = None


@dataclass(frozen=True)
class Built:
    """A network as a file has it, with its weights under our names; empty where the file has none."""

    network: Network
    weights: dict[str, Tensor]
    notes: tuple[str, ...]


def network_of_steps(name: str, steps: Sequence[Step], input_size: int) -> Built:
    """The network that computes `steps` on images of `input_size` pixels. InputError, naming the file's layer, if none does."""
    rows, switches = _rows(steps)
    convolutions = [row for row in rows if isinstance(row.step, Conv)]
    if not convolutions:
        raise InputError(f"{name}: no convolution is in it; a network here begins with one")
    if not isinstance(rows[-1].step, Linear):
        raise InputError(f"{rows[-1].step.name}: the last layer must be a fully connected one that gives the classes")
    if len(rows[-1].then):
        raise InputError(f"{rows[-1].step.name}: {rows[-1].then[0]} follows the last layer; nothing but a softmax may")
    input_size, rounding, notes = _windows(steps, input_size)
    columns: Literal[1, 2] = 1
    for row in rows:
        groups = row.step.groups if isinstance(row.step, Conv) else row.step.columns
        if groups not in (1, 2):
            raise InputError(f"{row.step.name}: {groups} groups; a network here has one column or two")
        columns = 2 if groups == 2 else columns
    _check_channels(rows, steps, input_size)
    hidden = [row for row in rows[:-1] if isinstance(row.step, Linear)]
    bottleneck = 0
    if hidden and not hidden[-1].then:
        bottleneck = hidden.pop().step.units  # type: ignore[union-attr]
    made = Network(
        name=name,
        convolutions=tuple(_convolution(row) for row in convolutions),
        hidden=tuple(_hidden(row) for row in hidden),
        classes=rows[-1].step.units,
        input_size=input_size,
        columns=columns,
        links=(),
        rounding=rounding,
        bottleneck=bottleneck,
        last_std=rows[-1].step.std,
        **switches,
    )
    # The sixth convolution of 2012 has a switch of its own (§6), so that fc7 stays fc7.
    if len(convolutions) == 6 and columns == 2 and _is_sixth(made, convolutions[5].step):
        made = replace(made, convolutions=made.convolutions[:5], conv6=True)
    if columns == 2:
        made = replace(made, links=_links(made, rows))
    weights: dict[str, Tensor] = {}
    for (own, _), row in zip([*made.rows(), (made.last_name, None)], rows, strict=True):
        weights |= _weights(made, own, row)
    return Built(made, weights, notes)


def _rows(steps: Sequence[Step]) -> tuple[list[_Row], dict[str, Any]]:
    """The layers with weights, each with what follows it; and the fields of Network that the other steps decide."""
    rows: list[_Row] = []
    switches: dict[str, Any] = {}

    def decide(step: Step, **values: Any) -> None:
        for field, value in values.items():
            if switches.setdefault(field, value) != value:
                raise InputError(
                    f"{step.name}: {field} {value}, but {switches[field]} before it; a network here has one for all layers"
                )

    for step in steps:
        if isinstance(step, Conv | Linear):
            if rows and isinstance(step, Conv) and isinstance(rows[-1].step, Linear):
                raise InputError(f"{step.name}: a convolution behind a fully connected layer does not fit")
            rows.append(_Row(step, []))
            continue
        if not rows:
            raise InputError(f"{step.name}: it stands before the first convolution, where nothing but the mean may be")
        place = rows[-1]
        if isinstance(place.step, Linear) and not isinstance(step, Activation | Dropout):
            raise InputError(f"{step.name}: {type(step).__name__} behind a fully connected layer does not fit")
        word: specs.Step
        if isinstance(step, Activation):
            word = "relu"
            decide(step, activation=step.kind)
        elif isinstance(step, Lrn):
            word = "norm"
            decide(step, normalization=_normalization(step))
            decide(step, normalization_window="column" if step.columns == 2 else "across")
        elif isinstance(step, BatchNorm):
            word, place.batch = "norm", step
            decide(step, normalization="batch")
        elif isinstance(step, MapNorm):
            word = "norm-map"
        elif isinstance(step, Pool):
            word = "pool"
            if (step.size, step.stride) not in ((3, 2), (2, 2)) or step.padding:
                raise InputError(
                    f"{step.name}: pooling {step.size}/{step.stride} with padding {step.padding}; a network here pools"
                    " 3/2 or 2/2 without padding"
                )
            decide(step, pooling=f"{step.size}/{step.stride}")
        else:
            word = "dropout"
            decide(step, dropout=step.p, dropout_form=step.form)
        if word in place.then:
            raise InputError(f"{step.name}: a second {word} behind {place.step.name} does not fit")
        place.then.append(word)
    switches.setdefault("normalization", "none")
    switches.setdefault("dropout", 0.0)
    return rows, switches


def _normalization(step: Lrn) -> str:
    read = (step.k, step.size, step.alpha, step.beta)
    for name, known in specs.NORMALIZATIONS.items():
        coefficients = (known.k, known.n, known.alpha, known.beta)
        if all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(read, coefficients, strict=True)):
            return name
    every = "; ".join(f"{name}: k {known.k:g}, {known.alpha:g}" for name, known in specs.NORMALIZATIONS.items())
    raise InputError(
        f"{step.name}: normalization over {step.size} kernels with k {step.k:g}, {step.alpha:g} times the sum of squares,"
        f" power {step.beta:g}; here there are, over 5 kernels with power 0.75: {every}"
    )


def _windows(steps: Sequence[Step], size: int) -> tuple[int, Literal["up", "down"], tuple[str, ...]]:
    """Input size and `rounding` that give the file's windows, and what has to be said about them."""
    possible: list[tuple[str, set[str]]] = []
    left, first = 0, size
    for step in steps:
        if not isinstance(step, Conv | Pool):
            continue
        rest = size + step.padding + step.end - step.size
        if step.size < 1 or step.stride < 1 or step.padding < 0 or step.end < 0 or rest < 0:
            raise InputError(
                f"{step.name}: its {step.size}×{step.size} window, stride {step.stride}, padding {step.padding}, does not"
                f" fit a {size}×{size} map"
            )
        output = (-(-rest // step.stride) if step.up else rest // step.stride) + 1
        ways = {
            way
            for way in ("up", "down")
            if slide(step.name, size, step.size, step.stride, step.padding, way).output == output
        }
        if not possible and not step.padding and not step.end and ways == {"down"}:
            left = rest % step.stride
        possible.append((step.name, ways))
        size = output
    common = set.intersection(*(ways for _, ways in possible))
    if not common and left:
        # Caffe rounds convolutions down and pooling up. Where only conv1 leaves pixels unread, a smaller crop is the same.
        common = set.intersection(*(ways for _, ways in possible[1:]))
        if common:
            note = f"conv1 reads {first - left} of {first} pixels, so the crops here are of {first - left}"
            return first - left, "up" if "up" in common else "down", (note,)
    if not common:
        said = "; ".join(f"{name}: {' or '.join(sorted(ways)) or 'neither'}" for name, ways in possible)
        raise InputError(
            f"the numbers of windows are rounded up in some layers and down in others ({said}); a network here has one"
            " network.rounding for all"
        )
    return first, "up" if "up" in common else "down", ()


def _check_channels(rows: list[_Row], steps: Sequence[Step], size: int) -> None:
    channels, at = 3, 0
    for step in steps:
        if isinstance(step, Conv | Pool):
            rest = size + step.padding + step.end - step.size
            size = (-(-rest // step.stride) if step.up else rest // step.stride) + 1
        if not isinstance(step, Conv | Linear):
            continue
        at += 1
        if isinstance(step, Conv):
            there, read, width = channels, step.inputs * step.groups, step.kernels
        else:
            there, read, width, size = channels * size * size, step.inputs, step.units, 1
        if read not in (there, -1):
            raise InputError(
                f"{step.name}: its weights read {read:,} numbers a position, the layer before gives {there:,}"
            )
        channels = width


def _convolution(row: _Row) -> specs.Convolution:
    step = row.step
    assert isinstance(step, Conv)
    how = (step.kernels, step.size, step.stride, step.padding, step.std, step.start)
    return specs.Convolution(*how, then=tuple(row.then))


def _hidden(row: _Row) -> specs.Hidden:
    assert isinstance(row.step, Linear)
    return specs.Hidden(row.step.units, row.step.std, row.step.start, tuple(row.then))


def _is_sixth(network: Network, step: Step) -> bool:
    _, own = list(replace(network, convolutions=network.convolutions[:5], conv6=True).rows())[5]
    there = network.convolutions[5]
    return isinstance(step, Conv) and step.groups == 1 and replace(own, std=there.std, bias=there.bias) == there


def _links(network: Network, rows: list[_Row]) -> tuple[str, ...]:
    links = []
    for (name, _), row in zip([*network.rows(), (network.last_name, None)], rows, strict=True):
        groups = row.step.groups if isinstance(row.step, Conv) else row.step.columns
        if groups == 2 and network.reads_both(name):
            raise InputError(f"{row.step.name}: it reads its own column only; here {name} always reads both")
        if groups == 1 and not network.reads_both(name):
            links.append(name)
    return tuple(links)


def _weights(network: Network, own: str, row: _Row) -> dict[str, Tensor]:
    step = row.step
    if step.weight is None or step.bias is None:
        return {}
    made = {f"{own}.weight": step.weight, f"{own}.bias": step.bias}
    if row.batch:
        norm = f"norm{own.removeprefix('conv')}" if own != network.extra_name else f"norm-{own}"
        batch = row.batch
        made |= {f"{norm}.weight": batch.weight, f"{norm}.bias": batch.bias}
        made |= {f"{norm}.running_mean": batch.mean, f"{norm}.running_var": batch.variance}
        made[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return made
