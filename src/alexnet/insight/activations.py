"""The activations of every layer for one image, from what the network sees to its five labels, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.views import test_views
from alexnet.device import pick
from alexnet.errors import InputError
from alexnet.insight import layers, predictions
from alexnet.insight import picture as pictures
from alexnet.insight.layers import activated
from alexnet.run import trained as trained_networks
from alexnet.run.predict import most_probable
from alexnet.run.predict import predictions as predicted
from alexnet.run.trained import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MAPS = 16
"""Maps shown of a layer, half of them of each column."""

# Margin, width of what is inside, space between two columns, side of the photographs at the top; from one map to the next.
_MARGIN, _WIDTH, _BETWEEN, _TOP = 22, 1060, 28, 168
_EDGE = 222


def draw(run: Path, image: Path, picture: Path, device: str = "auto") -> pictures.Drawn:
    """Draw an image file on its way through a run's network (`figure`). Raises InputError if it cannot be read."""
    pictures.kind_of(picture)
    network = trained_networks.load(run, pick(device))
    (answer,) = predicted(network, iter([str(image)]), views=1)
    if answer.pixels is None:
        raise InputError(f"{image}: {answer.error}")
    pictures.save(figure(network, answer.pixels, image.name), picture)
    return pictures.Drawn((run,), picture)


def figure(trained: TrainedNetwork, image: np.ndarray, name: str = "", truth: str | None = None) -> "Figure":
    """An image uint8 [S, S, 3] on its way through the network.

    The image and what the network sees of it; of every convolutional layer the kernels that answer most, on the average over
    the map, by column, after the activation and after the layer's last step, each map on its own scale; the hidden layers;
    five labels. name: a line above the image. truth: its label, whose bar is orange.
    """
    network, spec = trained.network, trained.network.spec
    device = trained.preparation.mean.device
    with torch.inference_mode():
        view = next(test_views(torch.from_numpy(np.array(image))[None].to(device), trained.preparation, 1))
        outputs = {key: value[0].float().cpu() for key, value in network.activations(view).items()}
    steps = layers.steps(network)
    # Of a convolutional layer its activation is shown, and its last step if that is another.
    maps = {
        layer: list(dict.fromkeys((activated(network, layer), names[-1])))
        for layer, names in steps.items()
        if outputs[layer].ndim == 3
    }
    hidden = [layer for layer in steps if outputs[layer].ndim == 1 and layer != spec.last_name]
    pitch = _widths(spec.columns)[1]
    strips = {layer: _strips(outputs[activated(network, layer)], spec.columns) for layer in hidden}
    (five,) = most_probable(outputs[spec.last_name].softmax(0)[None], trained.classes)
    height: float = _MARGIN + 20 + _TOP + 14
    height += sum(24 + sum(16 + pitch for _ in names) + 6 for names in maps.values())
    height += sum(24 + strip[0].shape[0] / 2 + 16 for strip in strips.values())
    height += 26 + len(five) * predictions.BAR + _MARGIN
    with pictures.style():
        page = pictures.Page(_WIDTH + 2 * _MARGIN, height)
        y = _heading(page, trained, image, view[0].cpu(), name or truth or "image")
        for layer, names in maps.items():
            y = _maps(page, y, layer, names, outputs, spec.columns) + 6
        for layer, strip in strips.items():
            y = _units(page, y, layer, strip, outputs[activated(network, layer)])
        _title(page, y, spec.last_name, "the most probable labels")
        predictions.bars(page, five, truth, _MARGIN, y + 26, (_WIDTH - _BETWEEN) / 2)
    return page.figure


def _title(page: pictures.Page, y: float, layer: str, text: str) -> None:
    """A layer's name, and a line about it to the right."""
    page.text(_MARGIN, y + 8, layer, 11, weight="bold")
    page.text(_MARGIN + max(62, 10 * len(layer)), y + 8, text, 8.5, color=pictures.FAINT)


def _heading(page: pictures.Page, trained: TrainedNetwork, image: np.ndarray, view: Tensor, name: str) -> float:
    """The image, the view [3, C, C] that the network gets, and what is shown below; returns where that begins."""
    # The mean is subtracted, so 0 is grey; half as strong, so that nothing is cut off.
    less_mean = (127.5 + view / 2).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    y, second = _MARGIN + 20, _MARGIN + _TOP + 16
    page.text(_MARGIN, _MARGIN + 6, pictures.shorten(name, 24), 9, weight="bold")
    page.photo(image, _MARGIN, y, _TOP)
    page.text(second, _MARGIN + 6, "what the network sees", 9, weight="bold")
    page.photo(less_mean, second, y, _TOP)
    spec = trained.network.spec
    side, most = spec.input_size, MOST_MAPS // spec.columns
    words = [
        f"network {spec.name}, {trained.checkpoint}",
        "",
        f"It sees the centre crop of {side}×{side} pixels, less the mean image; here grey is 0.",
        f"Of each layer: the {most} kernels{' of each column' if spec.columns > 1 else ''} with the highest mean activation,",
        "strongest first. Beneath a map: the kernel's number, from 0, and its largest activation.",
        "Each map is on its own scale:",
    ]
    for k, line in enumerate(words):
        page.text(second + _TOP + 28, y + 8 + 18 * k, line, 9, color=pictures.FAINT if k else pictures.INK)
    x, y_bar = second + _TOP + 28 + 190, y + 8 + 18 * (len(words) - 1)
    page.text(x, y_bar, "0", 8.5, color=pictures.FAINT)
    page.image(_colour(torch.linspace(0, 1, 120).expand(12, -1)), x + 12, y_bar - 6, 120, 12)
    largest = "largest" if spec.activation != "tanh" else "largest; red below 0"
    page.text(x + 140, y_bar, largest, 8.5, color=pictures.FAINT)
    return y + _TOP + 14


def _widths(columns: int) -> tuple[float, float]:
    """The width of what is shown of a column of the network, and from one of its maps to the next."""
    width = (_WIDTH - _BETWEEN * (columns - 1)) / columns
    return width, (width + 5) / (MOST_MAPS / columns)


def _maps(
    page: pictures.Page, y: float, layer: str, names: Sequence[str], outputs: dict[str, Tensor], columns: int
) -> float:
    """A layer's strongest maps, a line for each of `names`; returns where the next layer begins."""
    width, pitch = _widths(columns)
    each = len(outputs[layer]) // columns
    chosen = layers.best_of_columns(outputs[names[0]].mean(dim=(1, 2)), columns, MOST_MAPS)
    shape = [f"{name} {outputs[name].shape[1]}×{outputs[name].shape[2]}" for name in names]
    shown = f"{chosen.shape[1]} of {each} kernels" + (" of column 1" if columns > 1 else "")
    _title(page, y, layer, f"{shown};  {',  then '.join(shape)}")
    for k in range(1, columns):
        text = f"{chosen.shape[1]} of {each} kernels of column {k + 1}"
        page.text(_MARGIN + k * (width + _BETWEEN), y + 8, text, 8.5, color=pictures.FAINT)
    y += 24
    for line, name in enumerate(names):
        maps = outputs[name][chosen.flatten()]
        largest = maps.abs().amax(dim=(1, 2))
        pixels = _colour(_enlarged(maps / largest.where(largest > 0, 1.0)[:, None, None], pitch))
        pixels[:, [0, -1]] = pixels[:, :, [0, -1]] = _EDGE
        side = pixels.shape[1] / 2
        for k, kernel in enumerate(chosen.flatten().tolist()):
            column, place = divmod(k, chosen.shape[1])
            x = _MARGIN + column * (width + _BETWEEN) + place * pitch
            page.image(pixels[k], x, y, side, side)
            if line == 0:
                page.text(x, y + side + 8, str(kernel), 6.5)
                value = pictures.three_digits(largest[k])
                page.text(x + side, y + side + 8, value, 6.5, color=pictures.FAINT, ha="right")
        y += 16 + pitch
    return y


def _units(page: pictures.Page, y: float, layer: str, strips: Sequence[np.ndarray], values: Tensor) -> float:
    """A hidden layer's activations [U], a strip a column; returns where the next layer begins."""
    width, _ = _widths(len(strips))
    each = f"{len(values) // len(strips):,} units" + (" in each column" if len(strips) > 1 else "")
    _title(page, y, layer, f"{each}, {100 * float((values > 0).float().mean()):.0f} % above 0")
    for k, pixels in enumerate(strips):
        page.image(pixels, _MARGIN + k * (width + _BETWEEN), y + 24, pixels.shape[1] / 2, pixels.shape[0] / 2)
    return y + 24 + strips[0].shape[0] / 2 + 16


def _enlarged(maps: Tensor, pitch: float) -> Tensor:
    """Maps [K, h, w] with whole pixels repeated, as large as fits into `pitch` units less a gap, of two pixels each."""
    room = int(2 * (pitch - 6))
    if maps.shape[-1] > room:
        return F.adaptive_avg_pool2d(maps, room)
    times = room // maps.shape[-1]
    return maps.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)


def _strips(values: Tensor, columns: int) -> list[np.ndarray]:
    """Activations [U] of a hidden layer, column by column, as rows of squares on one scale: uint8 [h, w, 3] each."""
    width, _ = _widths(columns)
    largest, strips = float(values.abs().max()), []
    for part in values.view(columns, -1) / (largest or 1.0):
        across = min(len(part), 128 // columns * 2 if len(part) > 512 else 64 // columns)
        part = F.pad(part, (0, -len(part) % across)).view(-1, across)
        side = max(1, int(2 * width) // across)
        pixels = _colour(part).repeat(side, axis=0).repeat(side, axis=1)
        pixels[[0, -1]] = pixels[:, [0, -1]] = _EDGE
        strips.append(pixels)
    return strips


def _colour(values: Tensor) -> np.ndarray:
    """Values -1..1 of any shape as colours uint8 [..., 3]: 0 white, 1 dark blue; below 0 (tanh, batch normalization) red."""
    from matplotlib import colormaps

    signed = bool((values < 0).any())
    shades = colormaps["RdBu" if signed else "Blues"]
    return (shades(((values + 1) / 2 if signed else values).numpy())[..., :3] * 255).round().astype(np.uint8)
