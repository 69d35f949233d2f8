"""Figures as text: differences, intervals and verdicts, as a terminal, the page and JSON give them."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from alexnet.claims.claim import Claim, Comparison
from alexnet.claims.verdicts import MEASURES, SHORT, Outcome


def seeds(outcomes: Sequence[Outcome]) -> str:
    """The seeds of several comparisons: "3 seeds", "2 to 3 seeds"."""
    numbers = sorted({outcome.seeds for outcome in outcomes})
    return f"{' to '.join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))} seed{'s' * (numbers[-1] != 1)}"


def compared(comparison: Comparison) -> str:
    """What is compared: "ReLU − tanh", "four-layer − 20", or the variant of a measure that is a difference already."""
    if comparison.against is None:
        return f"{comparison.of} − {comparison.bound:g}" if comparison.bound else comparison.of
    return f"{comparison.of} {'÷' if comparison.ratio else '−'} {comparison.against}"


def number(value: float, measure: str) -> str:
    """A measured value: two digits behind the point, three where it lies between 0 and 1 by its nature."""
    return _minus(f"{value:.{_digits(measure)}f}")


def _minus(text: str) -> str:
    """A number with the typographic minus sign, and no sign before zero."""
    return text.replace("-", "−") if text.strip("+-0.") else text.lstrip("+-")


def in_points(measure: str) -> bool:
    """Whether a measure is in percent, and its differences in points."""
    return MEASURES[measure].endswith((" %", " points"))


def _digits(measure: str) -> int:
    return 2 if in_points(measure) or measure.startswith(("epochs", "reached")) else 3


def difference(value: float, comparison: Comparison) -> str:
    """A difference with its sign, or a ratio."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if comparison.ratio:
        return f"{value:.2f}×"
    return _minus(f"{value:+.{_digits(comparison.measure)}f}")


def measured(outcome: Outcome) -> str:
    """A difference with its interval: "−0.80 (−1.52 to −0.08)"."""
    middle = difference(outcome.difference, outcome.comparison)
    low, high = interval(outcome)
    return f"{middle} ({low} to {high})" if low or high else f"{middle} (no interval)"


def interval(outcome: Outcome) -> tuple[str, str]:
    """Both ends of an interval; "" twice where there is none."""
    if not outcome.has_interval:
        return "", ""
    return difference(outcome.low, outcome.comparison), difference(outcome.high, outcome.comparison)


def label(comparison: Comparison, claim: Claim) -> str:
    """The shortest name that tells a comparison from the others of its claim."""
    pairs = {(each.of, each.against) for each in claim.comparisons}
    short = SHORT[comparison.measure]
    if len(pairs) == 1:
        return short
    same = len({each.measure for each in claim.comparisons}) == 1
    return compared(comparison) if same else f"{compared(comparison)}, {short}"


def paper(comparison: Comparison) -> str:
    """The paper's difference or ratio; "" where it states none."""
    if comparison.paper is None:
        return ""
    return f"{comparison.paper:g}×" if comparison.ratio else _minus(f"{comparison.paper:+g}")


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON, which has no infinity: an open end of an interval is null."""
    low, high = (None if math.isinf(end) else end for end in (outcome.low, outcome.high))
    return {
        **asdict(outcome.comparison),
        "seeds": outcome.seeds,
        "difference": outcome.difference,
        "low": low,
        "high": high,
        "verdict": outcome.verdict,
        "why": outcome.why,
        "the_papers_size": outcome.size,
    }
