"""Which class is taken for which: the confusion matrix as a picture, as a table's cells, as a list of its largest."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alexnet.insight import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 30
"""Up to so many classes the picture names them."""


def pairs(confusion: np.ndarray | Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Classes that are taken for another, as (true, predicted, images), those of most images first."""
    wrong = np.array(confusion, dtype=np.int64)
    np.fill_diagonal(wrong, 0)
    true, predicted = np.nonzero(wrong)
    images = wrong[true, predicted]
    order = np.argsort(-images, kind="stable")
    return list(zip(true[order].tolist(), predicted[order].tolist(), images[order].tolist(), strict=True))


def cells(confusion: Sequence[Sequence[int]]) -> list[list[dict[str, Any]]]:
    """The matrix as a table for a page: of every cell its images, its text (share of the row in %), how strong its colour is.

    The colour, 0 to 100, is the share itself where classes are right. Where they are not, square roots make what is rare
    visible, and the largest confusion has 100.
    """
    shares = [[images / max(sum(row), 1) for images in row] for row in confusion]
    largest = max((shares[true][predicted] for true, predicted, _ in pairs(confusion)), default=1.0)

    def cell(true: int, predicted: int) -> dict[str, Any]:
        images, share = confusion[true][predicted], shares[true][predicted]
        level = share if true == predicted else math.sqrt(share / largest)
        text = "" if not images else share_text(100 * share)
        return {"images": images, "text": text, "level": round(100 * level), "right": true == predicted}

    return [[cell(true, predicted) for predicted in range(len(row))] for true, row in enumerate(confusion)]


def share_text(percent: float) -> str:
    """A share in whole percent; "<1" for what is rarer, as it is not nothing."""
    return "<1" if percent < 0.5 else f"{percent:.0f}"


def figure(confusion: np.ndarray | Sequence[Sequence[int]], classes: Sequence[str]) -> "Figure":
    """Counts int [K, K], rows the true class and columns the predicted one, as shares of each row, in percent.

    Up to 30 classes are named and their shares written out; above that, cells only.
    """
    counts = np.asarray(confusion, dtype=np.int64).reshape(len(classes), len(classes))
    images = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(images, 1)
    number, named = len(classes), len(classes) <= MOST_NAMED
    names = [picture.shorten(name, 20) for name in classes]
    longest = max(map(len, names)) if named else 0
    side = max(300, min(44 * number, 900)) if named else 1000 if number > 500 else 700
    room = 40 + 6.5 * longest if named else 70
    with picture.style():
        from matplotlib.colors import PowerNorm

        page = picture.new_figure(room + side + 90, room + side + 24)
        width, height = page.get_size_inches() * picture.UNITS
        axes = page.add_axes((room / width, 24 / height, side / width, side / height))
        # Square roots make rare confusions visible beside a diagonal of 50 to 100%.
        drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
        axes.xaxis.set_label_position("top")
        axes.xaxis.tick_top()
        axes.set_xlabel("predicted" if named else "predicted (number of the class)", fontsize=10, labelpad=8)
        axes.set_ylabel("true" if named else "true (number of the class)", fontsize=10, labelpad=8)
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=8, length=0 if named else 3, colors=picture.INK)
        if named:
            size = 8 if number <= 20 else 7
            axes.set_xticks(range(number), names, rotation=90, fontsize=size)
            axes.set_yticks(range(number), names, fontsize=size)
            axes.set_xticks(np.arange(-0.5, number), minor=True)
            axes.set_yticks(np.arange(-0.5, number), minor=True)
            axes.grid(which="minor", color="white", linewidth=1)
            axes.tick_params(which="minor", length=0)
            for true, predicted in np.argwhere(counts > 0):
                share = shares[true, predicted]
                axes.text(
                    predicted, true, share_text(share), ha="center", va="center",
                    fontsize=9 if number <= 15 else 7 if number <= 22 else 5.5, color="white" if share > 40 else picture.INK,
                )  # fmt: skip
        beside = page.add_axes(((room + side + 18) / width, 24 / height, 14 / width, side / height))
        bar = page.colorbar(drawn, cax=beside)
        bar.set_ticks([0, 1, 5, 10, 25, 50, 75, 100])
        bar.set_label("% of the true class's images", fontsize=8)
        bar.ax.tick_params(labelsize=8, length=2, colors=picture.INK)
        bar.outline.set_visible(False)  # type: ignore[operator]
    return page
