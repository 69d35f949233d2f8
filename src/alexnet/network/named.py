"""A network by its name or from a file, and how two networks differ."""

import dataclasses
import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.spec import Convolution, Network
from alexnet.reading import read_json
from alexnet.typed import from_dict


def network_of(name_or_file: str) -> Network:
    """The named network, or the one that a .json file describes (`to_json`; `alexnet import` writes them from layer files).

    Raises InputError for a name that is not there and a file that describes no network.
    """
    if name_or_file in networks:
        return networks[name_or_file]
    file = Path(name_or_file)
    if file.suffix != ".json":
        raise InputError(
            f"NETWORK {name_or_file}: no network of that name; there are {', '.join(networks)}, or name a .json file"
        )
    try:
        values = read_json(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    except InputError as error:
        raise InputError(f"{error}; alexnet import LAYERS.cfg --out {file} writes such a file") from None
    network: Network = from_dict(Network, values, str(file))
    with torch.device("meta"):  # shapes without memory: whether it can be built at all
        AlexNet(network)
    return network


def to_json(network: Network) -> str:
    """The network as the JSON text that `network_of` reads."""
    return json.dumps(dataclasses.asdict(network), indent=2) + "\n"


@cache
def structure(network: Network, initial: bool = False) -> dict[str, tuple[str, ...]]:
    """What a network computes, part by part in words; its name and its classes do not matter.

    ReLU directly behind max pooling is listed before it, which gives the same numbers. initial: initial values too.
    """
    with torch.device("meta"):  # shapes without memory
        windows = AlexNet(network).windows
    scale = f", times {network.input_scale:.4g}" if network.input_scale != 1 else ""
    described: dict[str, tuple[str, ...]] = {"input": (f"{network.input_size} pixels{scale}",)}
    steps: set[str] = set()
    shape: tuple[str, str, str]
    for name, row in network.rows():
        then = list(row.then)
        for at, pair in enumerate(pairwise(row.then)):
            if pair == ("pool", "relu"):
                then[at : at + 2] = ["relu", "pool"]
        steps |= set(then)
        start = f"from std {row.std:g}, bias {row.bias:g}" if initial else ""
        reads = "reads both columns" if network.reads_both(name) else "reads its own column"
        reads = reads if network.columns == 2 and name != "conv1" else ""
        if not isinstance(row, Convolution):
            shape = (f"{row.units} units", "", "")
        else:
            maps = [windows[key].output for key in (name, f"pool{name.removeprefix('conv')}") if key in windows]
            window = f"{row.size}×{row.size}, stride {row.stride}, padding {row.padding}"
            shape = (f"{row.kernels} kernels", window, "maps of " + ", then ".join(f"{side}×{side}" for side in maps))
        described[name] = (*shape, reads, f"then {' '.join(then) or 'nothing'}", start)
    norm = network.normalization_name
    if norm != "batch" and network.columns == 2:
        norm += {"across": ", across columns", "column": ", inside a column"}[network.normalization_window]
    for step, part, text in (
        ("norm", "normalization", norm),
        ("pool", "pooling", str(network.pooling)),
        ("relu", "activation", network.activation),
        ("dropout", "dropout", f"{network.dropout:g}, {network.dropout_form}"),
    ):
        if step in steps:
            described[part] = (text,)
    return described


def differences(network: Network, reference: Network, initial: bool = False) -> list[str]:
    """What `network` computes in another way than `reference`, a line each; [] if they compute the same."""
    parts, reference_parts = structure(network, initial), structure(reference, initial)
    lines = []
    for part in parts | reference_parts:
        if part not in parts or part not in reference_parts:
            text = ", ".join(word for word in (parts.get(part) or reference_parts[part]) if word)
            lines.append(f"{part}: {text}" if part in parts else f"no {part} ({text})")
            continue
        pairs = [(a, b) for a, b in zip(parts[part], reference_parts[part], strict=True) if a != b]
        # Sizes of maps follow from the input and from what is before.
        pairs = [pair for pair in pairs if not pair[0].startswith("maps of")] if lines else pairs
        if pairs:
            texts = [", ".join(word for word in words if word) or "none" for words in zip(*pairs, strict=True)]
            lines.append(f"{part}: {texts[0]} (not {texts[1]})")
    return lines


def nearest(network: Network, initial: bool = False) -> tuple[Network, list[str]]:
    """The named network that differs from this one in the fewest parts, and in which."""
    compared = [(named, differences(network, named, initial)) for named in networks.values()]
    return min(compared, key=lambda pair: len(pair[1]))


def without_dropout(network: Network) -> Network:
    """The same network without the dropout steps, whatever its form: what a file says that was made for use alone."""

    def bare(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(row, then=tuple(step for step in row.then if step != "dropout")) for row in rows)

    return replace(network, convolutions=bare(network.convolutions), hidden=bare(network.hidden))
