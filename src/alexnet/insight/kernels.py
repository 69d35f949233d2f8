"""The learned kernels of the first layer, one column of the network above the other: fig. 3."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import InputError
from alexnet.insight import picture as pictures
from alexnet.network.model import AlexNet
from alexnet.run import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def normalized(weight: Tensor) -> np.ndarray:
    """Kernels [K, 3, h, w] as pictures uint8 [K, h, w, 3], each normalized on its own.

    0 is mid-grey and a kernel's largest weight, of either sign, is 0 or 255: a kernel that ignores colour looks grey.
    Raises ValueError for kernels that do not read three channels.
    """
    values = weight.detach().cpu().float().numpy()
    if values.ndim != 4 or values.shape[1] != 3:
        raise ValueError(f"kernels are [K, 3, h, w], these {list(values.shape)}")
    largest = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    scaled = values / np.where(largest > 0, largest, 1)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)


def colour(weight: Tensor) -> Tensor:
    """Share of colour in kernels [K, 3, h, w]: float32 [K], 0 for one that reads brightness only, up to 1.

    The share of a kernel's energy that is not in its mean over red, green and blue: 1 - 3·|mean|² / |kernel|². §6.1 says
    "color-agnostic" and "color-specific" and measures neither; a kernel of noise has 2/3, as two of three directions of RGB are
    colour. A kernel of zeros has 0.
    """
    energy = weight.float().square().sum(dim=(1, 2, 3))
    grey = 3 * weight.float().mean(dim=1).square().sum(dim=(1, 2))
    return torch.where(energy > 0, 1 - grey / energy.clamp(min=torch.finfo(energy.dtype).tiny), 0).clamp(0, 1)


def separation(first: Tensor, second: Tensor) -> float:
    """How well two groups of numbers [N] and [M] are told apart: 0 if they mix evenly, 1 if one lies wholly above the other.

    |2 P(a > b) - 1| over all pairs, ties counting one half: the size of the rank-biserial correlation (Mann-Whitney test).
    """
    above = (first[:, None] > second).float() + 0.5 * (first[:, None] == second).float()
    return abs(2 * float(above.mean()) - 1)


def grid(weight: Tensor, across: int, enlarge: int = 1, gap: int = 1) -> np.ndarray:
    """Kernels [K, 3, h, w] side by side on white, `across` a row: uint8 [H, W, 3].

    enlarge: pixels along the side of a weight; gap: white pixels between kernels.
    """
    images = normalized(weight).repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    number, height, width, _ = images.shape
    rows = -(-number // across)
    sheet = np.full((rows * (height + gap) - gap, across * (width + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // across * (height + gap), k % across * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def kernels_a_row(number: int, in_column: int) -> int:
    """Kernels a row of all `number`: about 3 wide to 2 high, with full rows where a column's number allows it.

    The paper's 96 stand in 8 rows of 12.
    """
    wanted = math.sqrt(1.5 * number)
    full = [n for n in range(1, in_column + 1) if in_column % n == 0]
    nearest = min(full, key=lambda n: abs(math.log(n / wanted)))
    return nearest if 1 / 1.6 < nearest / wanted < 1.6 else max(1, round(wanted))


def _sheets(network: AlexNet, scale: int) -> list[tuple[Tensor, np.ndarray]]:
    """For each column of the network its kernels and their grid; an 11×11 kernel is 33 · `scale` units wide, others close to it."""
    weight = network.get_parameter("conv1.weight").detach()
    halves = weight.chunk(network.spec.columns)
    across = kernels_a_row(len(weight), len(halves[0]))
    zoom = max(1, round(66 / max(weight.shape[2:])))
    return [(half, grid(half, across, enlarge=scale * zoom, gap=6 * scale)) for half in halves]


def figure(network: AlexNet, title: str = "") -> "Figure":
    """The kernels of the first layer; of a network with two columns, the first column's above and the second's below."""
    sheets, columns = _sheets(network, 2), network.spec.columns
    margin, heading, between = 24, 26, 22
    width = max(sheet.shape[1] for _, sheet in sheets) / 2
    y, first = margin + (30 if title else 0), 0
    height = y + sum(sheet.shape[0] / 2 + heading for _, sheet in sheets) + between * (columns - 1) + 22 + margin
    with pictures.style():
        page = pictures.Page(max(width, 420) + 2 * margin, height)
        if title:
            page.text(margin, margin + 4, pictures.shorten(title, int(page.width / 8)), 13, weight="bold")
        for number, (half, sheet) in enumerate(sheets, 1):
            page.text(margin, y + 8, f"column {number}" if columns > 1 else "conv1", 11, weight="bold")
            text = f"kernels {first} to {first + len(half) - 1}, {half.shape[3]}×{half.shape[2]}×3"
            page.text(margin + 85, y + 8, text, 9, color=pictures.FAINT)
            page.image(sheet, margin, y + heading, sheet.shape[1] / 2, sheet.shape[0] / 2)
            y += heading + sheet.shape[0] / 2
            first += len(half)
            if number < columns:
                page.box(margin, y + between / 2 - 0.5, width, 1, pictures.GREY)
                y += between
        page.text(margin, y + 22, "each kernel normalized on its own; mid-grey is 0", 8, color=pictures.FAINT)
    return page.figure


def several(networks: Sequence[tuple[AlexNet, str]]) -> "Figure":
    """Fig. 3 of several networks with their titles, each small, three side by side; of each column the mean share of `colour`."""
    margin, heading, between, across = 24, 20, 28, 3
    panels = [_sheets(network, 1) for network, _ in networks]
    width = max(160, *(sheet.shape[1] / 2 for sheets in panels for _, sheet in sheets))
    heights = [heading + sum(heading + sheet.shape[0] / 2 for _, sheet in sheets) for sheets in panels]
    rows = [max(heights[start : start + across]) + between for start in range(0, len(panels), across)]
    with pictures.style():
        wide = min(across, len(panels)) * (width + between) - between + 2 * margin
        page = pictures.Page(wide, sum(rows) - between + 22 + 2 * margin)
        for number, (sheets, (_, title)) in enumerate(zip(panels, networks, strict=True)):
            x = margin + number % across * (width + between)
            y = margin + sum(rows[: number // across])
            page.text(x, y + 6, pictures.shorten(title, int(width / 6.5)), 8, weight="bold")
            y += heading
            for column, (half, sheet) in enumerate(sheets, 1):
                text = f"column {column}, " * (len(sheets) > 1) + f"colour {float(colour(half).mean()):.2f}"
                page.text(x, y + 8, text, 8, color=pictures.FAINT)
                page.image(sheet, x, y + heading, sheet.shape[1] / 2, sheet.shape[0] / 2)
                y += heading + sheet.shape[0] / 2
        text = "each kernel normalized on its own; mid-grey is 0; colour: mean share, 0.67 for noise"
        page.text(margin, page.height - margin, text, 8, color=pictures.FAINT)
    return page.figure


def draw(runs: Sequence[Path], picture: Path) -> pictures.Drawn:
    """Draw fig. 3 for a run (`figure`), or for `several`; InputError for a suffix other than .png, .svg and .pdf."""
    if not runs:
        raise InputError(
            "RUN is missing: name a run folder or a network file, or several; alexnet train writes run folders"
        )
    pictures.kind_of(picture)
    networks = [trained.load(run).network for run in runs]
    if len(runs) == 1:
        page = figure(networks[0], str(runs[0]))
    else:
        page = several([(network, run.name) for network, run in zip(networks, runs, strict=True)])
    pictures.save(page, picture)
    return pictures.Drawn(tuple(runs), picture)
