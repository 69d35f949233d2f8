"""The ledger's pictures: fig. 1 drawn like the paper's, and every comparison of a scale with its interval."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from alexnet.claims import ledger, phrases
from alexnet.claims.records import Result
from alexnet.claims.verdicts import MEASURES, Outcome, Verdict
from alexnet.insight import picture

_LINES = {"ReLU": "-", "tanh": (0, (5, 2)), "sigmoid": (0, (1, 1.6))}
"""As in fig. 1: ReLU solid, tanh dashed; sigmoid, which it does not show, dotted."""

_COLOURS: dict[Verdict, str] = {
    "reproduced": picture.BLUE,
    "not reproduced": picture.ORANGE,
    "inconclusive at this scale": picture.GREY,
    "lower": picture.INK,
    "higher": picture.INK,
}


# --- fig. 1 -----------------------------------------------------------------------------------------------------------


def figure_1(result: Result) -> Figure:
    """Training error over epochs, a line for each variant: the mean over its seeds, as far as all of them went, and thin ones
    for every seed; the target as a line across."""
    with picture.style():
        page = picture.new_figure(640, 420)
        panel = page.subplots()
        page.subplots_adjust(left=0.1, right=0.97, top=0.93, bottom=0.12)
        for name, variant in result.variants.items():
            curves = [run.training for run in variant.runs if run.training]
            if not curves:
                continue
            line: dict[str, Any] = {"color": picture.INK, "linestyle": _LINES.get(name, "-.")}
            for curve in curves:
                panel.plot(range(1, len(curve) + 1), curve, **line, linewidth=0.6, alpha=0.35)
            mean = [sum(errors) / len(errors) for errors in zip(*curves, strict=False)]
            marker = "o" if len(mean) == 1 else ""  # one epoch is no line
            panel.plot(range(1, len(mean) + 1), mean, **line, marker=marker, linewidth=2, label=name)
        if result.target is not None:
            panel.axhline(result.target, color=picture.FAINT, linewidth=0.8)
            panel.annotate(
                f"{result.target:g}%", (1, result.target), (-3, 4), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8, color=picture.FAINT,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        panel.set_ylim(0, None)
        panel.set_xlim(0, None)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
        panel.set_xlabel("epochs", fontsize=9)
        panel.set_ylabel("training error in %", fontsize=9)
        panel.tick_params(labelsize=8, colors=picture.FAINT)
        panel.legend(frameon=False, fontsize=9, handlelength=3.5)
    return page


# --- every comparison -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """One comparison in the picture."""

    claim: str
    name: str
    outcome: Outcome


def overview(of: Sequence[Result]) -> Figure:
    """Every comparison of a scale's results as a point with its interval, the paper's value as a diamond; a panel for each
    unit: points of error, times, and shares between 0 and 1."""
    lines = [
        _Line(result.claim, f"{phrases.what(one.comparison)}, {phrases.SHORT[one.comparison.measure]}", one)
        for result in of
        for one in ledger.outcomes(result)
    ]
    panels = [
        (title, chosen)
        for title, belongs in (
            ("points of error or agreement", _is_points),
            ("times as many epochs", _is_ratio),
            ("separation of the columns' kernels, −1 to 1", _is_share),
        )
        if (chosen := [line for line in lines if belongs(line.outcome)])
    ]
    row, heading, foot = 19, 46, 42
    # A claim's name has a row of its own where it has several comparisons.
    heights = [row * (len(_rows(chosen)) + 1) for _, chosen in panels]
    height = sum(heights) + len(panels) * (heading + foot) + 34
    with picture.style():
        page = picture.new_figure(960, height)
        y = 0.0
        for (title, chosen), tall in zip(panels, heights, strict=True):
            y += heading
            panel = page.add_axes((0.345, 1 - (y + tall) / height, 0.64, tall / height))
            y += tall + foot
            _draw(panel, title, _rows(chosen))
        _legend(page, height)
    return page


def _is_ratio(one: Outcome) -> bool:
    return one.comparison.ratio


def _is_share(one: Outcome) -> bool:
    return not one.comparison.ratio and not MEASURES[one.comparison.measure].endswith((" %", " points"))


def _is_points(one: Outcome) -> bool:
    return not _is_ratio(one) and not _is_share(one)


def _rows(chosen: Sequence[_Line]) -> list[tuple[str, str, Outcome]]:
    """(claim, what, outcome), the claim named in its first row."""
    return [
        (claim if at == 0 else "", line.name, line.outcome)
        for claim, group in itertools.groupby(chosen, key=lambda line: line.claim)
        for at, line in enumerate(group)
    ]


def _draw(panel: Axes, title: str, rows: Sequence[tuple[str, str, Outcome]]) -> None:
    ratio = rows[0][2].comparison.ratio
    none = 1.0 if ratio else 0.0
    scaled = _scale(panel, rows, ratio)
    panel.set_title(title, loc="left", fontsize=10, weight="bold", pad=8)
    panel.set_ylim(len(rows), -1)
    panel.axvline(none, color=picture.FAINT, linewidth=0.9, zorder=1)
    for y, (claim, name, one) in enumerate(rows):
        if claim and y:
            panel.axhline(y - 0.5, color=picture.TRACK, linewidth=1, zorder=0)
        colour = _COLOURS[one.verdict]
        left, right = panel.get_xlim()
        low, high = max(one.low, left), min(one.high, right)
        if phrases.interval(one) != ("", ""):
            panel.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            for end, at, mark in ((one.low, left, "<"), (one.high, right, ">")):
                if (end < left and mark == "<") or (end > right and mark == ">"):
                    panel.plot([at], [y], mark, color=colour, markersize=4, clip_on=False)
        hollow = phrases.interval(one) == ("", "")
        if left <= one.difference <= right:
            panel.plot(
                [one.difference], [y], "o", color=colour, markersize=5.5, markerfacecolor="white" if hollow else colour
            )
        if one.comparison.paper is not None:
            panel.plot([one.comparison.paper], [y], "D", color=picture.INK, markersize=4.5, markerfacecolor="none")
        along: Any = panel.get_yaxis_transform()
        panel.text(-0.53, y, claim, transform=along, fontsize=8.5, weight="bold", va="center_baseline")
        panel.text(-0.015, y, picture.shorten(name, 40), transform=along, fontsize=8, ha="right", va="center_baseline")
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.tick_params(labelsize=8, colors=picture.FAINT)
    panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
    panel.set_axisbelow(True)
    if scaled:
        panel.set_xlabel("linear between −2 and 2, logarithmic beyond", fontsize=7.5, color=picture.FAINT)


def _scale(panel: Axes, rows: Sequence[tuple[str, str, Outcome]], ratio: bool) -> bool:
    """Set the panel's axis so that all points are on it; whether it is partly logarithmic."""
    ends = [
        end for *_, one in rows for end in (one.low, one.high, one.difference, one.comparison.paper) if end is not None
    ]
    finite = [end for end in ends if math.isfinite(end) and not (ratio and end <= 0)]
    if ratio:
        left, right = min(0.5, *finite) / 1.15, max(2.0, *finite) * 1.15
        panel.set_xscale("log")
        panel.set_xlim(left, right)
        ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 3, 6, 10, 20, 50) if left <= tick <= right]
        panel.xaxis.set_major_locator(FixedLocator(ticks))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        return False
    margin = 0.1 * max(0.5, *(abs(end) for end in finite))
    left, right = min(0.0, *finite) - margin, max(0.0, *finite) + margin
    wide = right - left > 20
    if wide:
        panel.set_xscale("symlog", linthresh=2, linscale=1.2)
        ticks = [-100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100]
        panel.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if left <= tick <= right]))
        panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(left, right)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    return wide


def _legend(page: Figure, height: float) -> None:
    entries = (
        (picture.BLUE, "reproduced"),
        (picture.ORANGE, "not reproduced"),
        (picture.GREY, "inconclusive"),
        (picture.INK, "nothing claimed"),
    )
    panel = page.add_axes((0, 0, 1, 26 / height))
    panel.set_axis_off()
    panel.set_xlim(0, 960)
    panel.set_ylim(0, 26)
    x = 331.0
    for colour, name in entries:
        panel.plot([x, x + 24], [16, 16], color=colour, linewidth=2.2)
        panel.plot([x + 12], [16], "o", color=colour, markersize=5.5)
        panel.text(x + 30, 16, name, fontsize=8, va="center_baseline")
        x += 50 + 6.2 * len(name)
    panel.plot([x + 12], [16], "D", color=picture.INK, markersize=4.5, markerfacecolor="none")
    panel.text(x + 24, 16, "the paper's", fontsize=8, va="center_baseline")
