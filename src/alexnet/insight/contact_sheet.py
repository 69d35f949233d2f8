"""Many images at a glance, each with its label: what `alexnet data` shows of a prepared dataset."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alexnet.insight import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 240
"""Images on a sheet; of more, so many evenly spaced ones are shown."""

# Side of an image, space between two, margin of the page, room for the label: in units of the page.
_SIDE, _GAP, _MARGIN, _BENEATH = 104, 10, 16, 20


def figure(images: np.ndarray, labels: Sequence[str]) -> "Figure":
    """Images uint8 [N, S, S, 3] in rows, each above its label; at most 240 of them."""
    if len(images) > MOST:
        chosen = np.linspace(0, len(images) - 1, MOST).round().astype(int)
        images, labels = images[chosen], [labels[k] for k in chosen]
    across = min(15, max(1, math.ceil(math.sqrt(1.2 * len(images)))))
    rows = max(1, math.ceil(len(images) / across))
    width, height = across * (_SIDE + _GAP) - _GAP, rows * (_SIDE + _BENEATH + _GAP) - _GAP
    with picture.style():
        page = picture.Page(width + 2 * _MARGIN, height + 2 * _MARGIN)
        for k, (image, label) in enumerate(zip(images, labels, strict=True)):
            x, y = _MARGIN + k % across * (_SIDE + _GAP), _MARGIN + k // across * (_SIDE + _BENEATH + _GAP)
            page.photo(image, x, y, _SIDE)
            page.text(x + _SIDE / 2, y + _SIDE + 11, picture.shorten(label, 16), 7, ha="center")
    return page.figure


def draw(images: np.ndarray, labels: Sequence[str], path: Path) -> None:
    """Write the picture of `figure` as .png, .svg or .pdf; InputError for another suffix."""
    picture.save(figure(images, labels), path)
