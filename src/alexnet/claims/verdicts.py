"""The rule by which a verdict follows from the figures of a result: an interval of each comparison, and where it lies."""

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from alexnet.claims.claim import Comparison
from alexnet.claims.records import Result
from alexnet.extras import need

LEAST_SEEDS = 3
CONFIDENCE = 0.95

_MEASURES = {
    "top1": ("validation error, top-1, centre crop, %", "top-1"),
    "top5": ("validation error, top-5, centre crop, %", "top-5"),
    "train_error": ("training error over the last epoch, as it is trained, %", "training error"),
    "train_loss": ("training loss over the last epoch", ""),
    "train_top1": ("error on training images as in testing (centre crop, no dropout), %", "error in training set"),
    "gap": ("overfitting: validation error minus that on training images, points", "overfitting"),
    "ten_top1": ("validation error, top-1, ten crops, %", "ten-crop top-1"),
    "ten_top5": ("validation error, top-5, ten crops, %", "ten-crop top-5"),
    "ten_gain": ("ten crops minus the centre crop, top-1, points", "top-1"),
    "ten_gain5": ("ten crops minus the centre crop, top-5, points", "top-5"),
    "weight_gain": ("weighted average minus the plain one, top-1, ten crops, points", "weighted − plain"),
    "epochs_to_target": ("epochs to the target training error", "epochs to target"),
    "epochs_to_validation": ("epochs to the target validation error", "epochs to target"),
    "epochs": ("epochs trained", ""),
    "reached": ("whether the target training error was reached", ""),
    "reached_validation": ("whether the target validation error was reached", ""),
    "colour_1": ("share of colour in the kernels of the column that has less", ""),
    "colour_2": ("share of colour in the kernels of the column that has more", ""),
    "separation": ("how well the columns' kernels are told apart by colour, 0 to 1", ""),
    "separation_by_chance": ("the same over random halves of the kernels", ""),
    "split": ("separation minus that by chance", "separation beyond chance"),
    "fc7_agreement": ("nearest neighbours of the query's class, in fc7 (or what the last layer reads), %", ""),
    "pixel_agreement": ("nearest neighbours of the query's class, in pixels, %", ""),
    "feature_gain": ("agreement in fc7 minus in pixels, points", "agreement, fc7 − pixels"),
}

MEASURES = {name: meaning for name, (meaning, _) in _MEASURES.items()}
"""What each measured value is, and its unit."""

SHORT = {name: short for name, (_, short) in _MEASURES.items()}
"""What those that claims compare are called where that is too long."""

Verdict = Literal["reproduced", "not reproduced", "inconclusive at this scale", "lower", "higher"]


@dataclass(frozen=True)
class Outcome:
    """One comparison of a result: what was measured, with its interval, and the verdict."""

    comparison: Comparison
    seeds: int
    """The number of seeds, on the side that has fewer."""
    difference: float
    """The difference of the means, or their ratio."""
    low: float
    high: float
    """The 95% interval of the difference, from the spread over the seeds; infinite with fewer than two."""
    verdict: Verdict
    why: str
    """How the verdict follows from the rule."""
    size: str
    """How the paper's own figure lies: "inside the interval", "the paper's is larger", "the paper's is smaller", or ""."""

    @property
    def has_interval(self) -> bool:
        """Whether at least one end of the interval is known."""
        return _has_interval(self.comparison, self.low, self.high)


def _has_interval(comparison: Comparison, low: float, high: float) -> bool:
    return not (math.isinf(high) and (math.isinf(low) or (comparison.ratio and low == 0)))


def outcome(result: Result, comparison: Comparison) -> Outcome | None:
    """Compare two variants of a result; None if there are no values yet.

    The interval: of the mean of a measure that is a difference within each run, and of differences seed by seed where both
    sides of a seed have networks in common (`paired`), by Student's t; of the difference of two other variants' means, by
    Welch's t, which does not take their spreads for equal; of a ratio, the same on logarithms. It covers
    seeds (initial values, order, crops, dropout) and not the choice of test images, which all variants share. Where a run
    ended before its target, its epochs are the least it would take, and the interval is open on that side.

    The verdict: "not reproduced" if the whole interval lies on the other side than the paper claims, or if the paper states a
    size and all of the interval falls short of half of it; else "reproduced" if it lies wholly on the side the paper claims;
    else, and with fewer than three seeds, "inconclusive at this scale". Where nothing is claimed: "lower" or "higher", by the
    same interval.
    """
    values = result.values(comparison.of, comparison.measure)
    against = result.values(comparison.against, comparison.measure) if comparison.against else []
    if not values or (comparison.against and not against) or (comparison.ratio and min(*values, *against) <= 0):
        return None
    if comparison.paired and comparison.against:
        first, second = (result.by_seed(name, comparison.measure) for name in (comparison.of, comparison.against))
        paired = [first[seed] - second[seed] for seed in first if seed in second]
        if not paired:
            return None
        seeds, (difference, low, high) = len(paired), interval(paired)
    elif comparison.against:
        seeds = min(len(values), len(against))
        difference, low, high = interval(values, against, comparison.ratio)
    else:
        seeds = len(values)
        difference, low, high = interval([value - comparison.bound for value in values])
    if _unreached(result, comparison.of, comparison.measure):
        high = math.inf
    if comparison.against and _unreached(result, comparison.against, comparison.measure):
        low = 0.0 if comparison.ratio else -math.inf
    verdict, why = _verdict(comparison, low, high, seeds)
    return Outcome(comparison, seeds, difference, low, high, verdict, why, _size(comparison, low, high))


REACHED = {"epochs_to_target": "reached", "epochs_to_validation": "reached_validation"}
"""Measures of the epochs to a target, and the measure that says whether it was reached."""


def _unreached(result: Result, variant: str, measure: str) -> bool:
    """Whether a run of a variant never got to its target, so that its epochs are only the least it would take."""
    return measure in REACHED and min(result.values(variant, REACHED[measure]), default=1.0) == 0


def spread(errors: list[float]) -> str:
    """Mean and interval of errors, "24.31 (22.90 to 25.72)"; the mean alone where there is no interval, "" without values."""
    if not errors:
        return ""
    middle, low, high = interval(errors)
    return f"{middle:.2f}" + ("" if math.isinf(high) else f" ({max(0.0, low):.2f} to {high:.2f})")


def interval(
    values: list[float], against: list[float] | None = None, ratio: bool = False
) -> tuple[float, float, float]:
    """Mean of at least one value, or its difference from or ratio to that of others, and both ends of its 95% interval: by
    Student's t, or by Welch's; infinite with fewer than two on a side."""
    if ratio:
        assert against
        middle, low, high = interval([math.log(x) for x in values], [math.log(x) for x in against])
        return math.exp(middle), math.exp(low), math.exp(high) if high < 700 else math.inf
    need("claims")
    from scipy.stats import t  # takes a second to import

    groups = [values] if against is None else [values, against]
    means = [statistics.fmean(group) for group in groups]
    middle = means[0] if against is None else means[0] - means[1]
    shares = [statistics.variance(group) / len(group) if len(group) > 1 else 0.0 for group in groups]
    error = math.sqrt(sum(shares))
    # Seeds that agree to the last image say nothing of how far others would lie.
    if min(len(group) for group in groups) < 2 or error == 0:
        return middle, -math.inf, math.inf
    # Welch and Satterthwaite's degrees of freedom; n - 1 for one group.
    freedom = sum(shares) ** 2 / sum(share**2 / (len(group) - 1) for share, group in zip(shares, groups, strict=True))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return middle, middle - reach, middle + reach


def _verdict(comparison: Comparison, low: float, high: float, seeds: int) -> tuple[Verdict, str]:
    """The verdict, and how it follows from the rule."""
    none = 1.0 if comparison.ratio else 0.0
    if seeds < LEAST_SEEDS:
        return "inconclusive at this scale", f"fewer than {LEAST_SEEDS} seeds"
    if not _has_interval(comparison, low, high):
        why = "all seeds agree to the last image, which says nothing of how far others lie"
        if comparison.measure in REACHED:
            why = "runs on both sides ended before the target, or all took equally long"
        return "inconclusive at this scale", why
    short = falls_short(comparison, low, high)
    if low <= none <= high:
        if short:
            return "not reproduced", f"the interval holds {none:g} and excludes half of the paper's"
        half = "" if comparison.paper is None else " and half of the paper's"
        return "inconclusive at this scale", f"the interval holds {none:g}{half}"
    below = high < none
    why = f"the interval lies {'below' if below else 'above'} {none:g}"
    if comparison.expected == "either":
        return "lower" if below else "higher", f"{why}; nothing is claimed"
    if below != (comparison.expected == "lower"):
        return "not reproduced", f"{why}, on the other side"
    why += ", where the claim puts it"
    return ("not reproduced", f"{why}, and wholly short of half of the paper's") if short else ("reproduced", why)


def falls_short(comparison: Comparison, low: float, high: float) -> bool:
    """Whether the paper states a size and the whole interval is less than half of it: of a ratio, less than its root."""
    if comparison.paper is None:
        return False
    half = math.sqrt(comparison.paper) if comparison.ratio else comparison.paper / 2
    return low > half if comparison.expected == "lower" else high < half


def _size(comparison: Comparison, low: float, high: float) -> str:
    paper, none = comparison.paper, 1.0 if comparison.ratio else 0.0
    if paper is None or math.isinf(low) or math.isinf(high):
        return ""
    if low <= paper <= high:
        return "inside the interval"
    way = 1 if paper > none else -1
    furthest = max(way * (low - none), way * (high - none))
    return "the paper's is larger" if way * (paper - none) > furthest else "the paper's is smaller"
