"""How a run went: loss and errors over its epochs, with the drops of the learning rate."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet.insight import picture as pictures
from alexnet.run import recipe
from alexnet.run.metrics import epochs, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED_DROPS = 8


def values(metrics: list[dict[str, Any]], classes: int | None = None) -> dict[str, Any]:
    """What the lines of metrics.jsonl say of the epochs, or of the steps while the first epoch is not over.

    by: "epoch" or "step"; points: at (its number), loss (None: it diverged), training, top1, top5 (errors in %; None: not
    measured), rate; five: whether top-5 says anything; guess: the loss of guessing, ln(classes), which a run that does not
    learn stays at.
    """
    by_epoch = bool(whole := epochs(metrics))
    number, training = ("epoch", "train_error") if by_epoch else ("step", "error")
    points = [
        {
            "at": line[number],
            "loss": line["loss"] if math.isfinite(line["loss"]) else None,
            "training": line[training],
            "top1": line.get("validation_top1"),
            "top5": line.get("validation_top5"),
            "rate": line["rate"],
        }
        for line in whole or metrics
        if by_epoch or line["kind"] == "step"
    ]
    guess = None if classes is None else math.log(classes)
    return {"by": number, "points": points, "five": classes is None or classes > 5, "guess": guess}


def figure(metrics: list[dict[str, Any]], classes: int | None = None) -> "Figure":
    """The `values` of a run as two panels; without points it says so."""
    drawn = values(metrics, classes)
    by_epoch, points, guess = drawn["by"] == "epoch", drawn["points"], drawn["guess"]
    x = [point["at"] for point in points]
    with pictures.style():
        page = pictures.new_figure(960, 370)
        left, right = page.subplots(1, 2)
        page.subplots_adjust(left=0.065, right=0.985, top=0.86, bottom=0.14, wspace=0.17)
        marker = "o" if len(points) <= 40 else ""
        pen: dict[str, Any] = {"marker": marker, "markersize": 3, "linewidth": 1.6}

        left.plot(
            x,
            [math.nan if point["loss"] is None else point["loss"] for point in points],
            color=pictures.BLUE,
            label="training",
            **pen,
        )
        if guess is not None and points:
            left.axhline(guess, color=pictures.FAINT, linewidth=1, linestyle=":")
            left.annotate(
                f"guessing: ln {classes} = {guess:.2f}", (1, guess), (-2, 3),
                xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", fontsize=8, color=pictures.FAINT,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        _dress(left, "loss", by_epoch)

        right.plot(x, [point["training"] for point in points], color=pictures.BLUE, label="training, top-1", **pen)
        for name, style in (("top1", "-"), ("top5", "--")):
            measured = [(point["at"], point[name]) for point in points if point[name] is not None]
            if measured and (name == "top1" or drawn["five"]):
                label = f"validation, {name.replace('top', 'top-')}"
                right.plot(*zip(*measured, strict=True), color=pictures.ORANGE, linestyle=style, label=label, **pen)
        right.set_ylim(0, 100)
        _dress(right, "error in %", by_epoch)
        if points:
            highest = max((point["loss"] for point in points if point["loss"] is not None), default=0.0)
            left.set_ylim(0, 1.08 * max(highest, guess or 0, 1e-9))
            right.legend(framealpha=1, edgecolor="white", fontsize=8, loc="best", handlelength=3)
            _drops((left, right), points, x, by_epoch)
        else:
            for panel in (left, right):
                panel.set_xticks([])
                panel.text(
                    0.5, 0.5, "nothing measured yet", transform=panel.transAxes, ha="center", color=pictures.FAINT
                )
    return page


def _dress(panel: "Axes", title: str, by_epoch: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title(title, loc="left", fontsize=11, weight="bold", pad=18)
    panel.set_xlabel("epoch" if by_epoch else "step (the first epoch is not over)", fontsize=9)
    panel.tick_params(labelsize=8, colors=pictures.FAINT)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    panel.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)


def _drops(panels: tuple["Axes", "Axes"], points: list[dict[str, Any]], x: list[int], by_epoch: bool) -> None:
    """A line where an epoch begins with another rate than the one before, and the new rate above it."""
    changed = [k for k in range(1, len(points)) if points[k]["rate"] != points[k - 1]["rate"]]
    # An epoch's numbers stand at its end, its rate holds from its beginning.
    shown = [(x[k] - 1 if by_epoch else x[k - 1], points[k]["rate"]) for k in changed]
    for panel in panels:
        if by_epoch:
            panel.set_xlim(0 if len(x) > 1 else x[0] - 1, max(x[-1] + (x[-1] - x[0]) * 0.02, x[0] + 1))
        top = panel.get_xaxis_transform()
        if len(changed) <= _MOST_NAMED_DROPS:
            panel.text(
                0, 1.015, f"rate {points[0]['rate']:g}", transform=panel.transAxes, fontsize=7, color=pictures.FAINT
            )
        for at, rate in shown:
            panel.axvline(at, color=pictures.GREY, linewidth=1, linestyle="--", zorder=0)
            if len(changed) <= _MOST_NAMED_DROPS:
                panel.text(at, 1.015, f"{rate:.2g}", transform=top, fontsize=7, ha="center", color=pictures.FAINT)


def draw(run: Path, picture: Path) -> pictures.Drawn:
    """Draw a run's loss and errors over its epochs (`figure`); InputError for a suffix other than .png, .svg and .pdf."""
    classes = recipe.read(run).network.classes  # first, as it says what is wrong with what is no run folder
    pictures.save(figure(read_metrics(run), classes), picture)
    return pictures.Drawn((run,), picture)
