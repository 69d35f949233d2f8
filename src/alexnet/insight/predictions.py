"""Photographs with the five labels that the network finds most probable: fig. 4, left, and its form for a terminal."""

import glob
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from alexnet.data.sources.passed import is_image_name
from alexnet.data.views import check_views
from alexnet.device import Precision, pick
from alexnet.errors import InputError
from alexnet.insight import picture as pictures
from alexnet.run import trained
from alexnet.run.folder import is_run
from alexnet.run.locate import STARTER, is_file
from alexnet.run.predict import Prediction, find, predictions
from alexnet.run.trained import TrainedNetwork
from alexnet.words import some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Labels = Sequence[tuple[str, float]]
"""(label, probability), most probable first."""

# Side of a photograph, space between two, margin of the page, height of a bar with its space: in units of the page.
_SIDE, _GAP, _MARGIN, BAR = 190, 26, 22, 19

MOST = 16
"""Images that a picture of predictions shows."""


@dataclass(frozen=True)
class Predictions:
    """The labels of images, one after the other."""

    run: str
    """The network that gave them, as it was named; "starter" where none was"""
    predictions: tuple[Prediction, ...]
    """Of an image that could not be read, the reason"""
    picture: Path | None
    """None: nothing was drawn"""

    @property
    def read(self) -> int:
        """Images that could be read."""
        return sum(answer.error is None for answer in self.predictions)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON: a list."""
        return [{"run": self.run, **answer.to_dict()} for answer in self.predictions]


def predict(
    run: Path | str | None,
    images: Sequence[str],
    views: int = 10,
    picture: Path | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    listed: Sequence[str] = (),
    progress: Callable[[Prediction], None] | None = None,
    started: Callable[[TrainedNetwork], None] | None = None,
) -> Predictions:
    """The five most probable labels of images: files, folders, globs, or "-" for those `listed`; the first 16 drawn.

    run: what `trained.load` takes; None: the starter. `started` is called with the network, `progress` with each prediction
    as it is made. Raises InputError if no image is named; one that cannot be read is a Prediction with an error. For images
    in memory: `TrainedNetwork.predict`.
    """
    if not images:
        raise InputError(
            "predict needs at least one IMAGE: a file, a folder, a glob, or - for a list of files on stdin"
        )
    check_views(views)
    if picture:
        pictures.kind_of(picture)
    network = trained.load(run or STARTER, pick(device), precision)
    if started:
        started(network)
    answers: list[Prediction] = []
    shown: list[tuple[Prediction, np.ndarray]] = []
    for answer in predictions(network, find(images, listed), views):
        if picture and answer.pixels is not None and len(shown) < MOST:
            shown.append((answer, answer.pixels))
        answers.append(replace(answer, pixels=None))
        if progress:
            progress(answers[-1])
    if not answers:
        raise InputError("-: no image is listed on stdin; give one path a line")
    if picture and shown:
        pixels, five = np.stack([image for _, image in shown]), [answer.top for answer, _ in shown]
        names = [Path(answer.image).name for answer, _ in shown]
        pictures.save(figure(pixels, five, [None] * len(shown), names), picture)
    return Predictions(str(run or STARTER), tuple(answers), picture if shown else None)


def network_and_images(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The network and the images that arguments name, in this order; None where the first is no network.

    Raises InputError for a first word that is neither, as a run folder is whose name is misspelt.
    """
    if not words:
        return None, []
    first, rest = words[0], list(words[1:])
    if is_file(first) or is_run(first):
        return first, rest
    if first == "-" or is_image_name(first) or os.path.exists(first) or glob.glob(first, recursive=True):
        return None, [first, *rest]
    raise InputError(f"{first}: no such file or folder, so neither a run folder nor an image; mend the name")


def about(network: TrainedNetwork) -> str:
    """A line on a network that nobody named: which one it is, all that it knows, and how often it errs."""
    classes = some([pictures.shorten(name, 30) for name in network.classes], 10)
    error = f"; {network.measured}" if network.measured else ""
    return (
        f"no network is named: this is {STARTER}, which comes with the package and knows nothing but {classes}{error}. A"
        " network of yours: alexnet predict RUN IMAGE"
    )


def figure(
    images: np.ndarray, labels: Sequence[Labels], truth: Sequence[str | None], names: Sequence[str] | None = None
) -> "Figure":
    """Images uint8 [N, S, S, 3], what the network says of each, the true label (None: unknown), and a line above each."""
    across = min(4, max(1, len(images))) if len(images) != 9 else 3
    rows = max(1, math.ceil(len(images) / across))
    above, lines = (20, names) if names is not None else (0, [None] * len(images))
    beneath = 28 if any(label is not None for label in truth) else 8
    most = max((len(five) for five in labels), default=0)
    cell = above + _SIDE + beneath + most * BAR
    with pictures.style():
        page = pictures.Page(
            2 * _MARGIN + across * _SIDE + (across - 1) * _GAP, 2 * _MARGIN + rows * cell + (rows - 1) * _GAP
        )
        for k, (image, five, true, name) in enumerate(zip(images, labels, truth, lines, strict=True)):
            x, y = _MARGIN + k % across * (_SIDE + _GAP), _MARGIN + k // across * (cell + _GAP)
            if name is not None:
                page.text(x, y + 7, pictures.shorten(name, 27), 8, color=pictures.FAINT)
            y += above
            page.photo(image, x, y, _SIDE)
            y += _SIDE
            if true is not None:
                page.text(x + _SIDE / 2, y + 14, pictures.shorten(true, 23), 9, ha="center", weight="bold")
            y += beneath
            bars(page, five, true, x, y, _SIDE)
    return page.figure


def choose(right: np.ndarray, labels: np.ndarray, number: int = 8) -> np.ndarray:
    """The images to show: half that the network gets right, then half that it gets wrong, as in fig. 4 of the paper.

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


def bars(page: pictures.Page, labels: Labels, truth: str | None, x: float, y: float, width: float) -> None:
    """A bar for each label, `BAR` apart, with its top left corner at (x, y); that of the true label is orange."""
    for label, probability in labels:
        right = truth is not None and label == truth
        page.box(x, y, width, BAR - 3, pictures.TRACK)
        page.box(x, y, max(1.0, width * probability), BAR - 3, pictures.PALE_ORANGE if right else pictures.PALE_BLUE)
        page.text(x + 4, y + 8, pictures.shorten(label, int(width / 9)), 8, weight="bold" if right else "normal")
        page.text(x + width - 3, y + 8, _percent(probability), 7, ha="right", color=pictures.FAINT)
        y += BAR


def text(labels: Labels, width: int = 24) -> list[Text]:
    """One line a label for a terminal: the label, a bar of block characters, `width` of them for certainty, the percentage.

    Lines are rich Texts, so that brackets in a class name are no markup; `.plain` is the line as a string.
    """
    names = [pictures.shorten(label, 32) for label, _ in labels]
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
