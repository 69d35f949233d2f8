"""The 2012 program's layer files (layers-*.cfg) as networks: the INI format of cuda-convnet, read with configparser.

A section is a layer: `type`, `inputs` and the fields of its type; one with two inputs has lists of two. Two GPUs hold two
chains of layers, whose names end in a and b; they are followed together, stage by stage. Weights are in no such file, and
neither is the size of the images. The coefficients of normalization are in a second file (layer-params-*.cfg).
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.imports.build import network_of_steps
from alexnet.imports.steps import Activation, Conv, Dropout, Linear, Lrn, MapNorm, Pool, Step
from alexnet.network.spec import Network

NEURONS = {"relu": "relu", "logistic": "sigmoid", "tanh[1,1]": "tanh", "tanh[1.0,1.0]": "tanh"}
_SIZES = ("filters", "filtersize", "stride", "padding", "initw", "initb", "sizex", "size", "pool", "keep")
"""Fields in which the two columns have to be alike; configparser writes all names small, as that of 2012 did."""

_OTHERS = (
    *("type", "inputs", "outputs", "channels", "neuron", "groups"),
    *("sharedbiases", "start", "outputsx", "dataidx", "randsparse"),
)
"""Fields that are read besides; what is in neither list says where a layer is computed, or how it starts, and is told."""

INPUT_SIZE = 224
"""Side of the crops of convdata.py, which no layer file says."""

WIDEST = 1 << 20


@dataclass(frozen=True)
class LayerFile:
    """A network read from a layer file, and what the files say that no network has a field for."""

    network: Network
    notes: tuple[str, ...]


@dataclass
class _Reading:
    file: Path
    layers: Mapping[str, Mapping[str, str]]
    parameters: Mapping[str, Mapping[str, str]]
    ignored: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def wrong(self, layer: str, why: str) -> InputError:
        return InputError(f"{self.file}: layer {layer}: {why}")

    def number(self, layer: str, name: str, default: float | None = None, whole: bool = True) -> Any:
        """A field with one value, or with the same one for each input."""
        text = self.layers[layer].get(name.lower())
        if text is None:
            if default is None:
                raise self.wrong(layer, f"{name} is missing")
            return default
        try:
            values = {int(part) if whole else float(part) for part in text.split(",")}
        except ValueError:
            raise self.wrong(layer, f"{name}={text} is no number") from None
        if len(values) != 1:
            raise self.wrong(layer, f"{name}={text}: differs between its inputs, which does not fit")
        value = values.pop()
        if not abs(value) < WIDEST:
            raise self.wrong(layer, f"{name}={text}: too large to be meant")
        return value

    def sum_of(self, layer: str, name: str, inputs: int) -> int:
        """A field with one value an input, added up: the channels that a layer reads."""
        text = self.layers[layer].get(name.lower(), "")
        try:
            values = [int(part) for part in text.split(",")]
        except ValueError:
            raise self.wrong(layer, f"{name}={text} is no number") from None
        if len(values) != inputs or min(values) < 1:
            raise self.wrong(layer, f"{name}={text}: {inputs} inputs need as many")
        return sum(values)


def read(file: Path, parameters: Path | None = None, input_size: int | None = None) -> LayerFile:
    """The network of a layer file. InputError, naming the layer, for what is no such file or does not fit a network here."""
    reading = _Reading(file, _sections(file), _sections(parameters) if parameters else {})
    steps = _steps(reading)
    if input_size is None:
        reading.notes.append(f"the size of the images is not in the file: {INPUT_SIZE} pixels are taken (--input-size)")
    built = network_of_steps(file.stem, steps, input_size or INPUT_SIZE)
    if reading.ignored:
        reading.notes.append(f"ignored, as it is no part of a network: {', '.join(sorted(reading.ignored))}")
    if parameters:
        used = {"scale", "pow", "minDiv", "enable"}
        rest = {name for section in reading.parameters.values() for name in section} - {name.lower() for name in used}
        reading.notes.append(f"{parameters.name}: normalization is read; {', '.join(sorted(rest))} belong to a recipe")
    return LayerFile(built.network, (*built.notes, *reading.notes))


def _sections(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(file.read_text("utf-8"), str(file))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: no layer file ({str(error).splitlines()[0]})") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _steps(reading: _Reading) -> list[Step]:
    """Follow the layers from the images to the classes, a stage at a time: one layer, or one a column."""
    layers = reading.layers
    for name, layer in layers.items():
        if "type" not in layer:
            raise reading.wrong(name, "no type; this is no layer file")
    images = [name for name, layer in layers.items() if layer["type"] == "data" and layer.get("dataidx", "0") == "0"]
    if len(images) != 1:
        raise InputError(f"{reading.file}: {len(images)} layers of images (type=data, dataIdx=0); there must be one")
    steps: list[Step] = []
    state, done = images, False
    while not done:
        # Those that read the state; labels are read by the cost alone.
        stage = [name for name, layer in layers.items() if set(_inputs(layer)) & set(state)]
        if not stage:
            break
        kinds = {layers[name]["type"] for name in stage}
        if len(kinds) != 1 or len(stage) > 2:
            raise reading.wrong(
                stage[0], f"{', '.join(stage)} read {', '.join(state)}; only one chain, or two columns, fit"
            )
        for name in stage:
            if not set(_inputs(layers[name])) <= set(state):
                raise reading.wrong(
                    name, f"it reads {layers[name]['inputs']}, and the layers before it are {', '.join(state)}"
                )
        kind = kinds.pop()
        done = kind == "softmax" or kind.startswith("cost.")
        if not done:
            steps += _stage(reading, kind, stage, len(state))
        state = stage
    if not steps or not isinstance(steps[-1], Linear):
        raise InputError(f"{reading.file}: the layers end without a fully connected one for the classes")
    return steps


def _inputs(layer: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in layer.get("inputs", "").split(",")] if layer.get("inputs") else []


def _stage(reading: _Reading, kind: str, stage: list[str], before: int) -> list[Step]:
    """The step of one or two parallel layers, and the neuron behind it."""
    name = stage[0]
    numbers = [{key: value for key, value in reading.layers[one].items() if key in _SIZES} for one in stage]
    if kind not in ("fc", "concat") and any(other != numbers[0] for other in numbers[1:]):
        raise reading.wrong(stage[1], f"it is not of the sizes of {name}; columns here are alike")
    if any(len(_inputs(reading.layers[one])) != len(_inputs(reading.layers[name])) for one in stage):
        raise reading.wrong(stage[1], f"it reads other columns than {name} does")
    made: list[Step]
    if kind == "conv":
        made = [_convolution(reading, stage, before)]
    elif kind == "fc":
        made = [_linear(reading, stage, before)]
    elif kind == "concat":  # of the classes in two halves, which are one layer here
        made = []
    elif len(_inputs(reading.layers[name])) != 1 or len(stage) != before:
        raise reading.wrong(name, f"type={kind} must read its own column")
    elif kind == "pool":
        if reading.layers[name].get("pool") != "max":
            raise reading.wrong(name, f"pool={reading.layers[name].get('pool')}; a network here pools by maximum")
        if reading.number(name, "start", 0) or reading.number(name, "outputsX", 0):
            raise reading.wrong(name, "start or outputsX is not 0, which does not fit")
        made = [Pool(name, reading.number(name, "sizeX"), reading.number(name, "stride"), up=True)]
    elif kind == "cmrnorm":
        made = [_across(reading, name, len(stage))]
    elif kind == "rnorm":
        own = _coefficients(reading, name, 0.001)
        if (reading.number(name, "size"), *own) != (5, 0.001, 0.75, 1.0):
            raise reading.wrong(name, "rnorm of other numbers than size 5, scale .001, pow .75 does not fit")
        made = [MapNorm(name)]
    elif kind == "neuron":
        made = []
    elif kind in ("hs", "dropout", "dropout2"):
        keep = reading.number(name, "keep", 0.5, whole=False)
        on = reading.parameters.get(name, {}).get("enable", "true").lower() in ("true", "1")
        made = [Dropout(name, 1 - keep, "mask" if kind != "dropout2" else "inverted")] if on else []
    else:
        raise reading.wrong(name, f"type={kind} does not fit into a network here")
    neurons = {reading.layers[one].get("neuron", "ident").replace(" ", "") for one in stage}
    if len(neurons) != 1 or (neuron := neurons.pop()) not in (*NEURONS, "ident"):
        raise reading.wrong(name, f"neuron {reading.layers[name].get('neuron')}; there are {', '.join(NEURONS)}, ident")
    if neuron != "ident":
        made.append(Activation(name, NEURONS[neuron]))  # type: ignore[arg-type]
    for one in stage:
        reading.ignored |= {key for key in reading.layers[one] if key not in (*_SIZES, *_OTHERS)}
    return made


def _groups(reading: _Reading, stage: list[str], before: int) -> int:
    """1 where a layer reads all that is before it, 2 where each column reads its own."""
    reads = [_inputs(reading.layers[name]) for name in stage]
    if before == 1 or all(len(set(one)) == before for one in reads):
        return 1
    if before == 2 and len(stage) == 2 and all(len(one) == 1 for one in reads) and reads[0] != reads[1]:
        return 2
    raise reading.wrong(stage[0], "its columns read neither all that is before them nor each its own")


def _convolution(reading: _Reading, stage: list[str], before: int) -> Conv:
    name = stage[0]
    for one in stage:
        if reading.layers[one].get("sharedbiases", "1").lower() not in ("1", "true"):
            raise reading.wrong(one, "sharedBiases=0: a bias for each position does not fit")
        if reading.number(one, "groups", 1) != 1 or reading.number(one, "randSparse", 0):
            raise reading.wrong(one, "groups or randSparse inside a column does not fit")
    inputs = len(_inputs(reading.layers[name]))
    return Conv(
        name,
        kernels=reading.number(name, "filters") * len(stage),
        inputs=reading.sum_of(name, "channels", inputs),
        size=reading.number(name, "filterSize"),
        stride=reading.number(name, "stride", 1),
        padding=reading.number(name, "padding", 0),
        end=reading.number(name, "padding", 0),
        groups=_groups(reading, stage, before),
        up=True,
        std=reading.number(name, "initW", 0.01, whole=False),
        start=reading.number(name, "initB", 0.0, whole=False),
    )


def _linear(reading: _Reading, stage: list[str], before: int) -> Linear:
    units = sum(reading.number(name, "outputs") for name in stage)
    std = reading.number(stage[0], "initW", 0.01, whole=False)
    start = reading.number(stage[0], "initB", 0.0, whole=False)
    # How many numbers it reads is in no layer file: -1 stands for as many as there are.
    return Linear(stage[0], units, -1, _groups(reading, stage, before), std=std, start=start)


def _coefficients(reading: _Reading, name: str, scale: float) -> tuple[float, float, float]:
    """scale, pow and minDiv of a normalization, from the parameter file; else what the program's own files have."""
    least = 2.0 if scale == 0.0001 else 1.0
    given = reading.parameters.get(name, {})
    try:
        values = [
            float(given.get(key, default)) for key, default in (("scale", scale), ("pow", 0.75), ("mindiv", least))
        ]
    except ValueError:
        raise reading.wrong(name, "scale, pow or minDiv of the parameter file is no number") from None
    return values[0], values[1], values[2]


def _across(reading: _Reading, name: str, columns: int) -> Lrn:
    size = reading.number(name, "size")
    scale, power, least = _coefficients(reading, name, 0.0001)
    note = (
        "scale .0001, pow .75, minDiv 2 of normalization are taken; the parameter file (layer-params-*.cfg) says them"
    )
    if not reading.parameters and note not in reading.notes:
        reading.notes.append(note)
    return Lrn(name, size, least, scale / max(1, size), power, columns)
