"""Layer files of the 2012 program (layers-*.cfg), in the INI format of cuda-convnet, are read as networks.

A section is a layer: `type`, `inputs` and the fields of its type; one with two inputs has lists of two. Two GPUs hold two
chains of layers, whose names end in a and b; they are followed together, stage by stage. Weights are in no such file, and
neither is the size of the images. The coefficients of normalization are in a second file (layer-params-*.cfg).
"""

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.exchange.build import Built, network_of_steps
from alexnet.exchange.steps import Activation, Conv, Dropout, Kind, Linear, Lrn, MapNorm, Pool, Step

NEURONS: dict[str, Kind] = {"relu": "relu", "logistic": "sigmoid", "tanh[1,1]": "tanh", "tanh[1.0,1.0]": "tanh"}
_SIZES = ("filters", "filtersize", "stride", "padding", "initw", "initb", "sizex", "size", "pool", "keep")
"""Fields in which the two columns have to be alike, in small letters, as configparser gives them."""

_OTHERS = (
    *("type", "inputs", "outputs", "channels", "neuron", "groups"),
    *("sharedbiases", "start", "outputsx", "dataidx", "randsparse"),
)
"""Other fields that are read. All further ones say where a layer is computed or how it starts, and a note names them."""

_COEFFICIENTS = ("scale", "pow", "mindiv", "enable")
"""Fields that are read of the parameter file."""

INPUT_SIZE = 224
"""Side of the crops in the program's convdata.py; no layer file says it."""

WIDEST = 1 << 20


def read(file: Path, parameters: Path | None = None, input_size: int | None = None) -> Built:
    """Read the network of a layer file; the notes say what else is in the files.

    InputError, naming the layer, for what is no such file or does not fit a network here.
    """
    reader = _Reader(file, parameters)
    steps, notes = reader.steps(), reader.notes
    if input_size is None:
        notes.append(f"the size of the images is not in the file: {INPUT_SIZE} pixels are taken (--input-size)")
    built = network_of_steps(file.stem, steps, input_size or INPUT_SIZE)
    if reader.ignored:
        notes.append(f"ignored, as it is no part of a network: {', '.join(sorted(reader.ignored))}")
    if parameters:
        rest = {name for section in reader.parameters.values() for name in section} - set(_COEFFICIENTS)
        notes.append(f"{parameters.name}: normalization is read; {', '.join(sorted(rest))} belong to a recipe")
    return Built(built.network, {}, (*built.notes, *notes))


def _sections(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(file.read_text("utf-8"), str(file))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: no layer file ({str(error).splitlines()[0]})") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _inputs(layer: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in layer["inputs"].split(",")] if layer.get("inputs") else []


class _Reader:
    """Follows the sections of the files, and notes what it leaves unread."""

    def __init__(self, file: Path, parameters: Path | None) -> None:
        self.file, self.layers = file, _sections(file)
        self.parameters = _sections(parameters) if parameters else {}
        self.ignored: set[str] = set()
        self.notes: list[str] = []

    def _unfit(self, layer: str, why: str) -> InputError:
        return InputError(f"{self.file}: layer {layer}: {why}")

    def _numbers(self, layer: str, name: str, kind: type[int] | type[float] = int) -> list[Any]:
        """Return the numbers of a field: one, or one for each input."""
        text = self.layers[layer].get(name.lower(), "")
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            raise self._unfit(layer, f"{name}={text} is no number" if text else f"{name} is missing") from None

    def _number(self, layer: str, name: str, default: float | None = None) -> Any:
        """Return the number of a field, which must be the same for each input; a whole one unless the default is a float."""
        text = self.layers[layer].get(name.lower())
        if text is None and default is not None:
            return default
        values = set(self._numbers(layer, name, float if isinstance(default, float) else int))
        if len(values) != 1:
            raise self._unfit(layer, f"{name}={text}: differs between its inputs, which does not fit")
        value = values.pop()
        if not abs(value) < WIDEST:
            raise self._unfit(layer, f"{name}={text}: too large to be meant")
        return value

    def _channels(self, layer: str) -> int:
        """Return the channels that a layer reads, which the file says for each of its inputs."""
        values, inputs = self._numbers(layer, "channels"), len(_inputs(self.layers[layer]))
        if len(values) != inputs or min(values) < 1:
            text = self.layers[layer]["channels"]
            raise self._unfit(layer, f"channels={text}: {inputs} inputs need as many")
        return sum(values)

    def steps(self) -> list[Step]:
        """Follow the layers from the images to the classes, a stage at a time: one layer, or one a column."""
        for name, layer in self.layers.items():
            if "type" not in layer:
                raise self._unfit(name, "no type; this is no layer file")
        state = [name for name, at in self.layers.items() if at["type"] == "data" and at.get("dataidx", "0") == "0"]
        if len(state) != 1:
            raise InputError(f"{self.file}: {len(state)} layers of images (type=data, dataIdx=0); there must be one")
        steps: list[Step] = []
        # The next are those that read these; labels are read by the cost alone.
        while stage := [name for name, layer in self.layers.items() if set(_inputs(layer)) & set(state)]:
            kinds = {self.layers[name]["type"] for name in stage}
            if len(kinds) != 1 or len(stage) > 2:
                raise self._unfit(
                    stage[0], f"{', '.join(stage)} read {', '.join(state)}; only one chain, or two columns, fit"
                )
            for name in stage:
                if not set(_inputs(self.layers[name])) <= set(state):
                    raise self._unfit(
                        name, f"it reads {self.layers[name]['inputs']}, and the layers before it are {', '.join(state)}"
                    )
            kind = kinds.pop()
            if kind == "softmax" or kind.startswith("cost."):
                break
            steps += self._stage(kind, stage, len(state))
            state = stage
        if not steps or not isinstance(steps[-1], Linear):
            raise InputError(f"{self.file}: the layers end without a fully connected one for the classes")
        return steps

    def _stage(self, kind: str, stage: list[str], before: int) -> list[Step]:
        """Return the steps of one layer, or two parallel ones, that read `before` others, and of the neuron behind it."""
        name, layers = stage[0], [self.layers[name] for name in stage]
        sizes = [{key: value for key, value in layer.items() if key in _SIZES} for layer in layers]
        if kind not in ("fc", "concat") and sizes[-1] != sizes[0]:
            raise self._unfit(stage[1], f"it is not of the sizes of {name}; columns here are alike")
        if len(_inputs(layers[-1])) != len(_inputs(layers[0])):
            raise self._unfit(stage[1], f"it reads other columns than {name} does")
        if kind not in ("conv", "fc", "concat") and (len(_inputs(layers[0])) != 1 or len(stage) != before):
            raise self._unfit(name, f"type={kind} must read its own column")
        steps = self._layer(kind, stage, before)
        neurons = {layer.get("neuron", "ident").replace(" ", "") for layer in layers}
        if len(neurons) != 1 or (neuron := neurons.pop()) not in (*NEURONS, "ident"):
            raise self._unfit(name, f"neuron {layers[0].get('neuron')}; there are {', '.join(NEURONS)}, ident")
        if neuron != "ident":
            steps.append(Activation(name, NEURONS[neuron]))
        self.ignored |= {key for layer in layers for key in layer if key not in (*_SIZES, *_OTHERS)}
        return steps

    def _layer(self, kind: str, stage: list[str], before: int) -> list[Step]:
        """Return the step of a layer without its neuron; none for a layer that changes nothing."""
        name, layer = stage[0], self.layers[stage[0]]
        if kind == "conv":
            return [self._convolution(stage, before)]
        if kind == "fc":
            return [self._linear(stage, before)]
        if kind == "pool":
            if layer.get("pool") != "max":
                raise self._unfit(name, f"pool={layer.get('pool')}; a network here pools by maximum")
            if self._number(name, "start", 0) or self._number(name, "outputsX", 0):
                raise self._unfit(name, "start or outputsX is not 0, which does not fit")
            return [Pool(name=name, size=self._number(name, "sizeX"), stride=self._number(name, "stride"), up=True)]
        if kind == "cmrnorm":
            scale, power, least = self._coefficients(name, 0.0001, 2.0)
            size, note = self._number(name, "size"), "scale .0001, pow .75, minDiv 2 of normalization are taken"
            note += "; the parameter file (layer-params-*.cfg) says them"
            if not self.parameters and note not in self.notes:
                self.notes.append(note)
            return [Lrn(name, size, least, scale / max(1, size), power, len(stage))]
        if kind == "rnorm":
            if (self._number(name, "size"), *self._coefficients(name, 0.001, 1.0)) != (5, 0.001, 0.75, 1.0):
                raise self._unfit(name, "rnorm of other numbers than size 5, scale .001, pow .75 does not fit")
            return [MapNorm(name)]
        if kind in ("hs", "dropout", "dropout2"):
            keep = self._number(name, "keep", 0.5)
            on = self.parameters.get(name, {}).get("enable", "true").lower() in ("true", "1")
            return [Dropout(name, 1 - keep, "mask" if kind != "dropout2" else "inverted")] if on else []
        if kind in ("neuron", "concat"):  # the latter of the classes in two halves, which are one layer here
            return []
        raise self._unfit(name, f"type={kind} does not fit into a network here")

    def _columns(self, stage: list[str], before: int) -> int:
        """Return 1 where a layer reads everything before it, 2 where each column reads its own."""
        reads = [_inputs(self.layers[name]) for name in stage]
        if before == 1 or all(len(set(inputs)) == before for inputs in reads):
            return 1
        if before == 2 and len(stage) == 2 and all(len(inputs) == 1 for inputs in reads) and reads[0] != reads[1]:
            return 2
        raise self._unfit(stage[0], "its columns read neither all that is before them nor each its own")

    def _convolution(self, stage: list[str], before: int) -> Conv:
        for name in stage:
            if self.layers[name].get("sharedbiases", "1").lower() not in ("1", "true"):
                raise self._unfit(name, "sharedBiases=0: a bias for each position does not fit")
            if self._number(name, "groups", 1) != 1 or self._number(name, "randSparse", 0):
                raise self._unfit(name, "groups or randSparse inside a column does not fit")
        name, padding = stage[0], self._number(stage[0], "padding", 0)
        return Conv(
            name=name,
            width=self._number(name, "filters") * len(stage),
            inputs=self._channels(name),
            columns=self._columns(stage, before),
            size=self._number(name, "filterSize"),
            stride=self._number(name, "stride", 1),
            padding=padding,
            end=padding,
            up=True,
            std=self._number(name, "initW", 0.01),
            start=self._number(name, "initB", 0.0),
        )

    def _linear(self, stage: list[str], before: int) -> Linear:
        return Linear(
            name=stage[0],
            width=sum(self._number(name, "outputs") for name in stage),
            inputs=-1,  # in no layer file
            columns=self._columns(stage, before),
            std=self._number(stage[0], "initW", 0.01),
            start=self._number(stage[0], "initB", 0.0),
        )

    def _coefficients(self, name: str, scale: float, least: float) -> tuple[float, float, float]:
        """Return scale, pow and minDiv of a normalization from the parameter file, or else those in the program's own files."""
        given = self.parameters.get(name, {})
        try:
            return float(given.get("scale", scale)), float(given.get("pow", 0.75)), float(given.get("mindiv", least))
        except ValueError:
            raise self._unfit(name, "scale, pow or minDiv of the parameter file is no number") from None
