"""The activations of every layer for one image, from what the network sees to its five labels."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor, nn

from alexnet.data.augment import centre
from alexnet.data.loader import read_ahead
from alexnet.data.prepared import Images
from alexnet.data.views import test_views
from alexnet.insight import picture, predictions
from alexnet.network.model import ACTIVATIONS, AlexNet
from alexnet.run.trained import TrainedNetwork

BATCH = 64

# What a network gives, layer by layer --------------------------------------------------------------------------------


def steps(network: AlexNet) -> dict[str, list[str]]:
    """Names of the modules of every layer, its own first, then the steps that follow it, without dropout.

    conv1: conv1, relu1, norm1, pool1.
    """
    layers = [name for name, _ in network.spec.rows()] + [network.spec.last_name]
    found: dict[str, list[str]] = {}
    for name, _ in network.named_children():
        if name in layers:
            found[name] = []
        if name != "flatten" and not name.startswith("dropout"):
            found[list(found)[-1]].append(name)
    return found


def activated(network: AlexNet, layer: str) -> str:
    """Name of the module that gives a layer's activations: its ReLU, or the layer itself where none follows it."""
    kinds = tuple(ACTIVATIONS.values())
    return next((name for name in steps(network)[layer] if isinstance(network.get_submodule(name), kinds)), layer)


def feature_name(network: AlexNet) -> str:
    """Name of the module whose output `network.features` is: relu7 in the paper's network."""
    return network.feature_name


def outputs(network: AlexNet, images: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
    """Outputs of the modules called `wanted` for images [N, 3, S, S]. Steps between which nobody looks are one, as always."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, given, output: found.update({name: output})

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in wanted]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def in_batches(
    trained: TrainedNetwork,
    images: Images,
    indices: np.ndarray,
    wanted: Collection[str],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """`outputs` for the images uint8 [N, S, S, 3] at `indices`, centre view, 64 at a time, on the network's device.

    `progress` is called with (done, total) after each batch.
    """
    parts = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    labels = np.zeros(len(images), np.int64)  # not asked for
    done = 0
    for pixels, _ in read_ahead(images, labels, parts, trained.preparation.mean.device):
        with torch.inference_mode():
            found = outputs(trained.network, next(test_views(pixels, trained.preparation, 1)), wanted)
        done += len(pixels)
        yield found
        if progress:
            progress(done, len(indices))


def seen(trained: TrainedNetwork, images: np.ndarray) -> np.ndarray:
    """The centre views of images uint8 [N, S, S, 3] as the network gets them, the mean added again: uint8 [N, C, C, 3]."""
    device = trained.preparation.mean.device
    view = next(test_views(torch.from_numpy(np.array(images)).to(device), trained.preparation, 1))
    view = view + centre(trained.preparation.mean, trained.preparation.input_size)
    return view.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


# The picture ---------------------------------------------------------------------------------------------------------

MOST_MAPS = 16
"""Maps shown of a layer, half of them of each column."""

# Margin, width of what is inside, space between two columns, side of the photographs at the top; from one map to the next.
_MARGIN, _WIDTH, _BETWEEN, _TOP = 22, 1060, 28, 168
_EDGE = 222


def figure(trained: TrainedNetwork, image: np.ndarray, name: str = "", truth: str | None = None) -> Figure:
    """An image uint8 [S, S, 3] on its way through the network.

    The image and what the network sees of it; of every convolutional layer the kernels that answer most, on the average over
    the map, by column, after the activation and after the layer's last step, each map on its own scale; the hidden layers;
    five labels. name: a line above the image. truth: its label, whose bar is orange.
    """
    network, spec = trained.network, trained.network.spec
    device = trained.preparation.mean.device
    with torch.inference_mode():
        view = next(test_views(torch.from_numpy(np.array(image))[None].to(device), trained.preparation, 1))
        every = {key: value[0].float().cpu() for key, value in network.activations(view).items()}
    layers = steps(network)
    maps = {layer: row for layer, row in layers.items() if every[layer].ndim == 3}
    hidden = [layer for layer in layers if every[layer].ndim == 1 and layer != spec.last_name]
    lines = {layer: _lines(network, layer, row) for layer, row in maps.items()}
    column = (_WIDTH - _BETWEEN * (spec.columns - 1)) / spec.columns
    pitch = (column + 5) / (MOST_MAPS / spec.columns)
    strips = {layer: _strips(every[activated(network, layer)], spec.columns, column) for layer in hidden}
    best = every[spec.last_name].softmax(0).topk(min(5, spec.classes))
    five = [(trained.classes[k], p) for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
    height: float = _MARGIN + 20 + _TOP + 14
    height += sum(24 + sum(16 + pitch for _ in names) + 6 for names in lines.values())
    height += sum(24 + strip[0].shape[0] / 2 + 16 for strip in strips.values())
    height += 26 + len(five) * predictions.BAR + _MARGIN
    with picture.style():
        page = picture.Page(_WIDTH + 2 * _MARGIN, height)
        y = _heading(page, trained, image, name, truth)
        for layer, names in lines.items():
            y = _maps(page, y, layer, names, every, spec.columns, column, pitch) + 6
        for layer, strip in strips.items():
            values = every[activated(network, layer)]
            each = f"{len(values) // spec.columns:,} units" + (" in each column" if spec.columns > 1 else "")
            text = f"{each}, {100 * float((values > 0).float().mean()):.0f} % above 0"
            page.text(_MARGIN, y + 8, layer, 11, weight="bold")
            page.text(_beside(layer), y + 8, text, 8.5, color=picture.FAINT)
            for k, pixels in enumerate(strip):
                page.image(pixels, _MARGIN + k * (column + _BETWEEN), y + 24, pixels.shape[1] / 2, pixels.shape[0] / 2)
            y += 24 + strip[0].shape[0] / 2 + 16
        page.text(_MARGIN, y + 8, spec.last_name, 11, weight="bold")
        page.text(_beside(spec.last_name), y + 8, "the most probable labels", 8.5, color=picture.FAINT)
        predictions.bars(page, five, truth, _MARGIN, y + 26, (_WIDTH - _BETWEEN) / 2)
    return page.figure


def _beside(layer: str) -> float:
    """Where the line about a layer begins: right of its name."""
    return _MARGIN + max(62, 10 * len(layer))


def _heading(page: picture.Page, trained: TrainedNetwork, image: np.ndarray, name: str, truth: str | None) -> float:
    """The image, what the network sees of it, and what is shown below; returns where that begins."""
    device = trained.preparation.mean.device
    view = next(test_views(torch.from_numpy(np.array(image))[None].to(device), trained.preparation, 1))[0].cpu()
    # The mean is subtracted, so 0 is grey; half as strong, so that nothing is cut off.
    less_mean = (127.5 + view / 2).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    y, second = _MARGIN + 20, _MARGIN + _TOP + 16
    page.text(_MARGIN, _MARGIN + 6, picture.shorten(name or truth or "image", 24), 9, weight="bold")
    page.photo(image, _MARGIN, y, _TOP)
    page.text(second, _MARGIN + 6, "what the network sees", 9, weight="bold")
    page.photo(less_mean, second, y, _TOP)
    spec = trained.network.spec
    side = spec.input_size
    most = MOST_MAPS // spec.columns
    words = [
        f"network {spec.name}, {trained.checkpoint}",
        "",
        f"It sees the centre crop of {side}×{side} pixels, less the mean image; here grey is 0.",
        f"Of each layer: the {most} kernels{' of each column' if spec.columns > 1 else ''} with the highest mean activation,",
        "strongest first. Beneath a map: the kernel's number, from 0, and its largest activation.",
        "Each map is on its own scale:",
    ]
    for k, line in enumerate(words):
        page.text(second + _TOP + 28, y + 8 + 18 * k, line, 9, color=picture.FAINT if k else picture.INK)
    x, y_bar = second + _TOP + 28 + 190, y + 8 + 18 * (len(words) - 1)
    page.text(x, y_bar, "0", 8.5, color=picture.FAINT)
    page.image(_colour(torch.linspace(0, 1, 120).expand(12, -1)), x + 12, y_bar - 6, 120, 12)
    page.text(
        x + 140, y_bar, "largest" if spec.activation != "tanh" else "largest; red below 0", 8.5, color=picture.FAINT
    )
    return y + _TOP + 14


def _lines(network: AlexNet, layer: str, row: Sequence[str]) -> list[str]:
    """Modules of a convolutional layer that are shown: its activation, and its last step if that is another."""
    return list(dict.fromkeys((activated(network, layer), row[-1])))


def _maps(
    page: picture.Page,
    y: float,
    layer: str,
    names: Sequence[str],
    every: dict[str, Tensor],
    columns: int,
    width: float,
    pitch: float,
) -> float:
    """A layer's strongest maps, a line for each of `names`; returns where the next layer begins."""
    page.text(_MARGIN, y + 8, layer, 11, weight="bold")
    kernels = len(every[layer])
    each = kernels // columns
    means = every[names[0]].mean(dim=(1, 2)).view(columns, each)
    chosen = means.topk(min(each, MOST_MAPS // columns), dim=1).indices + each * torch.arange(columns)[:, None]
    shape = [f"{name} {every[name].shape[1]}×{every[name].shape[2]}" for name in names]
    shown = f"{chosen.shape[1]} of {each} kernels" + (" of column 1" if columns > 1 else "")
    page.text(_beside(layer), y + 8, f"{shown};  {',  then '.join(shape)}", 8.5, color=picture.FAINT)
    if columns > 1:
        for k in range(1, columns):
            x = _MARGIN + k * (width + _BETWEEN)
            page.text(x, y + 8, f"{chosen.shape[1]} of {each} kernels of column {k + 1}", 8.5, color=picture.FAINT)
    y += 24
    for line, name in enumerate(names):
        maps = every[name][chosen.flatten()]
        largest = maps.abs().amax(dim=(1, 2))
        pixels = _colour(_enlarged(maps / largest.where(largest > 0, 1.0)[:, None, None], pitch))
        pixels[:, [0, -1]] = pixels[:, :, [0, -1]] = _EDGE
        side = pixels.shape[1] / 2
        for k, kernel in enumerate(chosen.flatten().tolist()):
            at, place = divmod(k, chosen.shape[1])
            x = _MARGIN + at * (width + _BETWEEN) + place * pitch
            page.image(pixels[k], x, y, side, side)
            if line == 0:
                page.text(x, y + side + 8, str(kernel), 6.5)
                page.text(
                    x + side, y + side + 8, picture.three_digits(largest[k]), 6.5, color=picture.FAINT, ha="right"
                )
        y += 16 + pitch
    return y


def _enlarged(maps: Tensor, pitch: float) -> Tensor:
    """Maps [K, h, w] with whole pixels repeated, as large as fits into `pitch` units less a gap, of two pixels each."""
    room = int(2 * (pitch - 6))
    if maps.shape[-1] > room:
        return F.adaptive_avg_pool2d(maps, room)
    times = room // maps.shape[-1]
    return maps.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)


def _strips(values: Tensor, columns: int, width: float) -> list[np.ndarray]:
    """Activations [U] of a hidden layer, column by column, as rows of squares on one scale: uint8 [h, w, 3] each."""
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
    shades = colormaps["RdBu" if bool((values < 0).any()) else "Blues"]
    at = (values + 1) / 2 if bool((values < 0).any()) else values
    return (shades(at.numpy())[..., :3] * 255).round().astype(np.uint8)
