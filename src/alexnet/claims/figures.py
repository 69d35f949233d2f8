"""The ledger's pictures: fig. 1 drawn like the paper's, and every comparison of a scale with its interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alexnet.claims import ledger, phrases
from alexnet.claims.records import Result
from alexnet.claims.verdicts import SHORT, Outcome, Verdict
from alexnet.insight import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = {"ReLU": "-", "tanh": (0, (5, 2)), "sigmoid": (0, (1, 1.6))}
"""As in fig. 1: ReLU solid, tanh dashed; sigmoid, which it does not show, dotted."""

_COLOURS: dict[Verdict, str] = {
    "reproduced": picture.BLUE,
    "not reproduced": picture.ORANGE,
    "inconclusive at this scale": picture.GREY,
    "lower": picture.INK,
    "higher": picture.INK,
}


def figure_1(result: Result) -> "Figure":
    """Training error over epochs, a line for each variant: the mean over its seeds, as far as all of them went, and thin ones
    for every seed; the target as a line across."""
    with picture.style():
        from matplotlib.ticker import MaxNLocator

        page = picture.new_figure(640, 420)
        panel = page.subplots()
        page.subplots_adjust(left=0.1, right=0.97, top=0.93, bottom=0.12)
        for name, variant in result.variants.items():
            curves = [run.training for run in variant.runs if run.training]
            if not curves:
                continue
            activation, _, more = name.partition(",")  # "tanh, scaled": the same line in blue
            line: dict[str, Any] = {
                "color": picture.BLUE if more else picture.INK,
                "linestyle": _LINES.get(activation, "-."),
            }
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


_Row = tuple[str, str, Outcome]
"""Claim, what is compared, and the comparison."""

_PANELS = ("points of error or agreement", "times as many epochs", "separation of the columns' kernels, −1 to 1")


def overview(results: Sequence[Result]) -> "Figure":
    """Every comparison of a scale's results as a point with its interval, the paper's value as a diamond; a panel for each
    unit: points of error, times, and shares between 0 and 1."""
    panels: dict[str, list[_Row]] = {title: [] for title in _PANELS}
    for result in results:
        for outcome in ledger.outcomes(result):
            name = f"{phrases.compared(outcome.comparison)}, {SHORT[outcome.comparison.measure]}"
            panels[_panel(outcome)].append((result.claim, name, outcome))
    panels = {title: rows for title, rows in panels.items() if rows}
    row, heading, foot = 19, 46, 42
    heights = [row * (len(rows) + 1) for rows in panels.values()]
    height = sum(heights) + len(panels) * (heading + foot) + 34
    with picture.style():
        page = picture.new_figure(960, height)
        y = 0.0
        for (title, rows), tall in zip(panels.items(), heights, strict=True):
            y += heading
            panel = page.add_axes((0.345, 1 - (y + tall) / height, 0.64, tall / height))
            y += tall + foot
            _draw(panel, title, rows)
        _legend(page, height)
    return page


def _panel(outcome: Outcome) -> str:
    """The title of the panel of a comparison, by its unit."""
    if outcome.comparison.ratio:
        return _PANELS[1]
    return _PANELS[0] if phrases.in_points(outcome.comparison.measure) else _PANELS[2]


def _draw(panel: "Axes", title: str, rows: Sequence[_Row]) -> None:
    ratio = rows[0][2].comparison.ratio
    none = 1.0 if ratio else 0.0
    scaled = _scale(panel, rows, ratio)
    panel.set_title(title, loc="left", fontsize=10, weight="bold", pad=8)
    panel.set_ylim(len(rows), -1)
    panel.axvline(none, color=picture.FAINT, linewidth=0.9, zorder=1)
    for y, (claim, name, outcome) in enumerate(rows):
        first = y == 0 or rows[y - 1][0] != claim  # a claim's name stands in its first row
        if first and y:
            panel.axhline(y - 0.5, color=picture.TRACK, linewidth=1, zorder=0)
        colour = _COLOURS[outcome.verdict]
        left, right = panel.get_xlim()
        low, high = max(outcome.low, left), min(outcome.high, right)
        if outcome.has_interval:
            panel.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            for beyond, at, mark in ((outcome.low < left, left, "<"), (outcome.high > right, right, ">")):
                if beyond:
                    panel.plot([at], [y], mark, color=colour, markersize=4, clip_on=False)
        if left <= outcome.difference <= right:
            filling = colour if outcome.has_interval else "white"
            panel.plot([outcome.difference], [y], "o", color=colour, markersize=5.5, markerfacecolor=filling)
        if outcome.comparison.paper is not None:
            panel.plot([outcome.comparison.paper], [y], "D", color=picture.INK, markersize=4.5, markerfacecolor="none")
        along: Any = panel.get_yaxis_transform()
        panel.text(-0.53, y, claim if first else "", transform=along, fontsize=8.5, weight="bold", va="center_baseline")
        panel.text(-0.015, y, picture.shorten(name, 40), transform=along, fontsize=8, ha="right", va="center_baseline")
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.tick_params(labelsize=8, colors=picture.FAINT)
    panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
    panel.set_axisbelow(True)
    if scaled:
        panel.set_xlabel("linear between −2 and 2, logarithmic beyond", fontsize=7.5, color=picture.FAINT)


def _scale(panel: "Axes", rows: Sequence[_Row], ratio: bool) -> bool:
    """Set the panel's axis so that all points are on it; whether it is partly logarithmic."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    outcomes = [outcome for *_, outcome in rows]
    ends = [
        end
        for outcome in outcomes
        for end in (outcome.low, outcome.high, outcome.difference, outcome.comparison.paper)
        if end is not None
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


def _legend(page: "Figure", height: float) -> None:
    entries = {colour: verdict.removesuffix(" at this scale") for verdict, colour in _COLOURS.items()}
    entries[picture.INK] = "nothing claimed"
    panel = page.add_axes((0, 0, 1, 26 / height))
    panel.set_axis_off()
    panel.set_xlim(0, 960)
    panel.set_ylim(0, 26)
    x = 331.0
    for colour, name in entries.items():
        panel.plot([x, x + 24], [16, 16], color=colour, linewidth=2.2)
        panel.plot([x + 12], [16], "o", color=colour, markersize=5.5)
        panel.text(x + 30, 16, name, fontsize=8, va="center_baseline")
        x += 50 + 6.2 * len(name)
    panel.plot([x + 12], [16], "D", color=picture.INK, markersize=4.5, markerfacecolor="none")
    panel.text(x + 24, 16, "the paper's", fontsize=8, va="center_baseline")
