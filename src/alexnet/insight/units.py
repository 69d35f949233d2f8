"""What excites a unit most: the patches of a split's images in which a kernel answers strongest, cut to its receptive field."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.prepared import Images
from alexnet.errors import InputError
from alexnet.evaluation.judged import Judged, Progress, of_split
from alexnet.insight import layers
from alexnet.insight import picture as pictures
from alexnet.network.layers import MapNormalization
from alexnet.network.model import AlexNet
from alexnet.run.dataset import open_run
from alexnet.run.trained import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Field:
    """Which pixels of the input the units of a map read, along one side: unit i those from start + i · stride, `size` of them.

    Pixels below 0 or beyond the input are padding.
    """

    size: int
    stride: int
    start: int


def receptive_field(network: AlexNet, layer: str) -> Field:
    """The field of the units of `layer` ("conv5"), as far as the last of its modules that gives its activations.

    Normalization across kernels reads one position only; that of the same map (2012, layer 2) reads 5×5. A fully connected
    layer reads the whole input. Raises InputError, naming the layers there are, for another name.
    """
    last = layers.activated(network, layer)
    size, stride, start = 1, 1, 0
    for name, module in network.named_children():
        if isinstance(module, nn.Flatten):
            return Field(network.spec.input_size, 0, 0)
        if name in network.windows or isinstance(module, MapNormalization):
            window = network.windows.get(name)
            wide, step, padding = (window.window, window.stride, window.padding) if window else (5, 1, 2)
            size, start = size + (wide - 1) * stride, start - padding * stride
            stride *= step
        if name == last:
            break
    return Field(size, stride, start)


@dataclass(frozen=True)
class Strongest:
    """The images that excite each kernel most, each at the place where it answers strongest, best first."""

    values: Tensor
    """float32 [K, count], the activations; fewer columns if there are fewer images"""
    images: Tensor
    """int64 [K, count], which image, counted through all batches"""
    places: Tensor
    """int64 [K, count, 2], row and column of the map"""


def strongest(batches: Iterable[Tensor], count: int) -> Strongest:
    """The exact best `count` of activations [N, K, H, W], or [N, K], with one place an image; ties to the earlier image.

    Keeps `count` numbers a kernel and one batch. Raises ValueError if there are no batches.
    """
    values: Tensor | None = None
    seen = 0
    for maps in batches:
        maps = maps.reshape(*maps.shape[:2], *(maps.shape[2:] or (1, 1)))
        highest, at = maps.float().flatten(2).max(dim=2)
        new = highest.T.cpu(), (seen + torch.arange(len(maps))).expand(maps.shape[1], -1), at.T.cpu()
        if values is None:
            values, images, places = (part[:, :0] for part in new)
        # Earlier images stand first, and the sort is stable.
        together = [torch.cat(pair, dim=1) for pair in zip((values, images, places), new, strict=True)]
        order = together[0].sort(dim=1, descending=True, stable=True).indices[:, :count]
        values, images, places = (part.gather(1, order) for part in together)
        across, seen = maps.shape[3], seen + len(maps)
    if values is None:
        raise ValueError("no activations to choose from")
    return Strongest(values, images, torch.stack([places // across, places % across], dim=2))


def strongest_of(
    trained: TrainedNetwork, judged: Judged, layer: str, count: int, progress: Progress | None = None
) -> Strongest:
    """The images that excite the units of a layer most (`strongest`), of all that are judged, centre view."""
    name = layers.activated(trained.network, layer)
    shown = partial(progress, f"activations of {layer}") if progress else None
    batches = layers.in_batches(trained, judged.images, judged.indices, {name}, shown)
    return strongest((batch[name] for batch in batches), count)


def choose(answers: Strongest, columns: int, number: int = 12) -> list[int]:
    """The units to show: those whose best patches have the highest mean, equally many of each column."""
    return layers.best_of_columns(answers.values.mean(dim=1), columns, number).flatten().tolist()


def patch(seen: np.ndarray, field: Field, place: Sequence[int]) -> np.ndarray:
    """The pixels that the unit at `place` (row, column) reads of what the network sees: uint8 [C, C, 3] -> [size, size, 3].

    What is no pixel of the input is grey. Of a field larger than the input it is all of the input, grey where the unit
    does not read.
    """
    side = len(seen)
    top, left = (field.start + field.stride * int(at) for at in place)
    rows, across = (slice(max(0, low), min(side, low + field.size)) for low in (top, left))
    if field.size > side:
        top = left = 0
    cut = np.full((min(field.size, side), min(field.size, side), 3), 225, np.uint8)
    cut[rows.start - top : rows.stop - top, across.start - left : across.stop - left] = seen[rows, across]
    return cut


# Of a run ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patches:
    """The patches of a split's images that excite units of a run's network most."""

    run: Path
    data: Path
    split: str
    images: int
    """Images that were looked at"""
    layer: str
    field: Field
    picture: Path | None
    units: list[dict[str, Any]]
    """unit, and its patches, strongest first: index, file, class, activation, place"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        texts = {"run": str(self.run), "data": str(self.data), "picture": self.picture and str(self.picture)}
        return {**vars(self), "field": asdict(self.field), **texts}


def patches(
    run: Path,
    picture: Path | None = None,
    data: Path | None = None,
    layer: str | None = None,
    units: Sequence[int] = (),
    count: int = 9,
    split: str = "val",
    device: str = "auto",
    progress: Progress | None = None,
) -> Patches:
    """What excites units of a run's network most, drawn into `picture`: patches of images, at most one of each image.

    data: a prepared dataset; by default the run's own. layer: by default the last convolution. units: numbers from 0; by
    default those that answer strongest. count: patches of a unit. Raises InputError for a layer, a unit or a split that is
    not there.
    """
    if picture:
        pictures.kind_of(picture)
    if count < 1:
        raise InputError(f"--count {count}: there must be at least 1")
    trained, prepared = open_run(run, data, device)
    network = trained.network
    layer = layer or layers.last_convolution(network)
    field = receptive_field(network, layer)
    number = len(network.get_parameter(f"{layer}.bias"))
    if wrong := [unit for unit in units if not 0 <= unit < number]:
        raise InputError(f"--units {wrong[0]}: {layer} has the units 0 to {number - 1}")
    judged = of_split(trained.recipe, prepared, split)
    answers = strongest_of(trained, judged, layer, count, progress)
    chosen = list(units) or choose(answers, columns_of(network, layer))
    if picture:
        text = f"{len(judged.indices):,} images ({judged.where})"
        pictures.save(figure(trained, judged.images, judged.indices, layer, answers, chosen, text), picture)
    rows = [{"unit": unit, "patches": _listed(answers, unit, judged)} for unit in chosen]
    return Patches(run, prepared.path, judged.where, len(judged.indices), layer, field, picture, rows)


def columns_of(network: AlexNet, layer: str) -> int:
    """Columns that the units of `layer` belong to; the classes belong to none."""
    return 1 if layer == network.spec.last_name else network.spec.columns


def _listed(answers: Strongest, unit: int, judged: Judged) -> list[dict[str, Any]]:
    values, places = answers.values[unit].tolist(), answers.places[unit].tolist()
    return [
        {
            "index": int(judged.indices[k]),
            "file": judged.files[k],
            "class": judged.classes[judged.labels[k]],
            "activation": value,
            "place": place,
        }
        for k, value, place in zip(answers.images[unit].tolist(), values, places, strict=True)
    ]


# The picture ---------------------------------------------------------------------------------------------------------

# Side of the square that a unit's patches fill, space between two patches and two units, margin, height of the line above.
_BLOCK, _GAP, _BETWEEN, _MARGIN, _ABOVE = 174, 3, 26, 22, 24
_ACROSS = 6


def figure(
    trained: TrainedNetwork,
    images: Images,
    indices: np.ndarray,
    layer: str,
    answers: Strongest,
    units: Sequence[int],
    text: str,
) -> "Figure":
    """For each of `units` its patches, the strongest first, in a square. `answers` count images through `indices` of `images`.

    text: what the images are called in the heading, as "3,925 images of val".
    """
    network, spec = trained.network, trained.network.spec
    field, columns = receptive_field(network, layer), columns_of(network, layer)
    count = answers.values.shape[1]
    wide = math.ceil(math.sqrt(count))
    side = (_BLOCK + _GAP) / wide - _GAP
    across = min(len(units), _ACROSS)
    high = math.ceil(count / wide) * (side + _GAP)
    cell = _ABOVE + high + 38
    width = max(across * (_BLOCK + _BETWEEN) - _BETWEEN, 3 * (_BLOCK + _BETWEEN))
    rectified = isinstance(network.get_submodule(layers.activated(network, layer)), nn.ReLU)
    reads = f"cut to the {field.size}×{field.size} pixels that it reads"
    if field.size > spec.input_size:
        reads = f"grey what it does not read (its field is {field.size}×{field.size})"
    elif not field.stride:
        reads = "all pixels of which it reads"
    with pictures.style():
        page = pictures.Page(width + 2 * _MARGIN, 2 * _MARGIN + 46 + math.ceil(len(units) / across) * cell - 20)
        page.text(_MARGIN, _MARGIN + 6, f"what excites {layer} most", 12, weight="bold")
        heading = f"of {text}, the {count} that excite each unit most, {reads}"
        page.text(_MARGIN, _MARGIN + 26, heading, 8.5, color=pictures.FAINT)
        for k, unit in enumerate(units):
            x, y = _MARGIN + k % across * (_BLOCK + _BETWEEN), _MARGIN + 46 + k // across * cell
            name = f"unit {unit}" if layer != spec.last_name else pictures.shorten(trained.classes[unit], 16)
            page.text(x, y + 9, name, 9, weight="bold")
            if columns > 1:
                column = unit // (len(answers.values) // columns) + 1
                page.text(x + _BLOCK, y + 9, f"column {column}", 8, color=pictures.FAINT, ha="right")
            values = answers.values[unit]
            strength = f"activations {pictures.three_digits(values[0])} to {pictures.three_digits(values[-1])}"
            strength = strength if values[0] > 0 or not rectified else "never active"
            page.text(x, y + _ABOVE + high + 8, strength, 8, color=pictures.FAINT)
            seen = layers.seen(trained, images[indices[answers.images[unit].numpy()]])
            for n in range(count):
                left, top = x + n % wide * (side + _GAP), y + _ABOVE + n // wide * (side + _GAP)
                if rectified and values[n] <= 0:  # nothing excites it, so there is no place to show
                    page.image(np.full((1, 1, 3), 245, np.uint8), left, top, side, side)
                else:
                    page.photo(patch(seen[n], field, answers.places[unit, n].tolist()), left, top, side)
    return page.figure
