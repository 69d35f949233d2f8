"""Photographs with the five labels that the network finds most probable: fig. 4, left, and its form for a terminal."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.text import Text

from alexnet.insight import picture

Labels = Sequence[tuple[str, float]]
"""(label, probability), most probable first."""

# Side of a photograph, space between two, margin of the page, height of a bar with its space: in units of the page.
_SIDE, _GAP, _MARGIN, BAR = 190, 26, 22, 19


def figure(
    images: np.ndarray,
    labels: Sequence[Labels],
    truth: Sequence[str | None],
    names: Sequence[str] | None = None,
) -> Figure:
    """Images uint8 [N, S, S, 3], what the network says of each, the true label (None: unknown), and a line above each."""
    if not len(images) == len(labels) == len(truth) == len(images if names is None else names):
        raise ValueError(
            f"{len(images)} images, {len(labels)} predictions, {len(truth)} true labels: must be equally many"
        )
    across = min(4, max(1, len(images))) if len(images) != 9 else 3
    rows = max(1, math.ceil(len(images) / across))
    above = 20 if names is not None else 0
    beneath = 28 if any(label is not None for label in truth) else 8
    most = max((len(five) for five in labels), default=0)
    cell = above + _SIDE + beneath + most * BAR
    with picture.style():
        page = picture.Page(
            2 * _MARGIN + across * _SIDE + (across - 1) * _GAP, 2 * _MARGIN + rows * cell + (rows - 1) * _GAP
        )
        for k, (image, five, true) in enumerate(zip(images, labels, truth, strict=True)):
            x, y = _MARGIN + k % across * (_SIDE + _GAP), _MARGIN + k // across * (cell + _GAP)
            if names is not None:
                page.text(x, y + 7, picture.shorten(names[k], 27), 8, color=picture.FAINT)
            y += above
            page.photo(image, x, y, _SIDE)
            y += _SIDE
            if true is not None:
                page.text(x + _SIDE / 2, y + 14, picture.shorten(true, 23), 9, ha="center", weight="bold")
            y += beneath
            bars(page, five, true, x, y, _SIDE)
    return page.figure


def choose(right: np.ndarray, labels: np.ndarray, number: int = 8) -> np.ndarray:
    """Which of images to show: half that the network gets right, then half that it gets wrong, as in fig. 4 of the paper.

    right: bool [N], whether the first label is the true one; labels int [N], the true classes; both in the order in which
    the images were drawn, which decides. Classes are different as far as there are so many. Where there are too few of one
    kind, the other fills its places. int64 [min(number, N)].
    """
    taken: list[int] = []
    for kind, places in ((True, number // 2), (False, number - number // 2), (True, number), (False, number)):
        for _ in range(min(places, number - len(taken))):
            left = [k for k in np.flatnonzero(right == kind).tolist() if k not in taken]
            if left:
                shown = labels[taken].tolist()
                taken.append(min(left, key=lambda k: (shown.count(labels[k]), k)))
    return np.array(sorted(taken, key=lambda k: not right[k]), dtype=np.int64)  # stable: as they were drawn


def bars(page: picture.Page, labels: Labels, truth: str | None, x: float, y: float, width: float) -> None:
    """A bar for each label, `BAR` apart, with its top left corner at (x, y); that of the true label is orange."""
    for label, probability in labels:
        right = truth is not None and label == truth
        page.box(x, y, width, BAR - 3, picture.TRACK)
        page.box(x, y, max(1.0, width * probability), BAR - 3, picture.PALE_ORANGE if right else picture.PALE_BLUE)
        page.text(x + 4, y + 8, picture.shorten(label, int(width / 9)), 8, weight="bold" if right else "normal")
        page.text(x + width - 3, y + 8, _percent(probability), 7, ha="right", color=picture.FAINT)
        y += BAR


def draw(
    images: np.ndarray,
    labels: Sequence[Labels],
    truth: Sequence[str | None],
    path: Path,
    names: Sequence[str] | None = None,
) -> None:
    """Write the picture of `figure` as .png, .svg or .pdf; InputError for another suffix.

    The bar of the true label, if it is among the five, is orange and its name bold.
    """
    picture.save(figure(images, labels, truth, names), path)


def text(labels: Labels, width: int = 24) -> list[Text]:
    """One line a label for a terminal: the label, a bar of block characters, `width` of them for certainty, the percentage.

    Lines are rich Texts, so that brackets in a class name are no markup; `.plain` is the line as a string.
    """
    names = [picture.shorten(label, 32) for label, _ in labels]
    column = max((Text(name).cell_len for name in names), default=0)
    lines = []
    for name, (_, probability) in zip(names, labels, strict=True):
        line = Text(name, no_wrap=True)
        line.pad_right(column + 2 - line.cell_len)
        line.append(_blocks(probability, width).ljust(width), style="blue")
        lines.append(line.append(f" {_percent(probability):>7}"))
    return lines


def _blocks(share: float, width: int) -> str:
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"
