"""What an experiment gave: a JSON file for a claim at a scale, and the verdict that follows from it by rule.

SCALE/ID.json holds the base recipe whole, every variant's differences from it, and every run's figures. Means,
intervals and verdicts are computed from these when they are shown; none is written down.
"""

import json
import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.claims.claim import Comparison
from alexnet.errors import InputError
from alexnet.files import write_text
from alexnet.reading import read_json

FORMAT = 1
LEAST_SEEDS = 3
CONFIDENCE = 0.95

PUBLISHED = Path(__file__).parent / "results"
"""The results that come with the package, and that docs/claims.md is made from."""

MEASURES = {
    "top1": "validation error, top-1, centre crop, %",
    "top5": "validation error, top-5, centre crop, %",
    "train_error": "training error over the last epoch, as it is trained, %",
    "train_loss": "training loss over the last epoch",
    "train_top1": "error on training images as in testing (centre crop, no dropout), %",
    "gap": "overfitting: validation error minus that on training images, points",
    "ten_top1": "validation error, top-1, ten crops, %",
    "ten_top5": "validation error, top-5, ten crops, %",
    "ten_gain": "ten crops minus the centre crop, top-1, points",
    "ten_gain5": "ten crops minus the centre crop, top-5, points",
    "weight_gain": "weighted average minus the plain one, top-1, ten crops, points",
    "epochs_to_target": "epochs to the target training error",
    "epochs_to_validation": "epochs to the target validation error",
    "epochs": "epochs trained",
    "reached": "whether the target training error was reached",
    "reached_validation": "whether the target validation error was reached",
    "colour_1": "share of colour in the kernels of the column that has less",
    "colour_2": "share of colour in the kernels of the column that has more",
    "separation": "how well the columns' kernels are told apart by colour, 0 to 1",
    "separation_by_chance": "the same over random halves of the kernels",
    "split": "separation minus that by chance",
    "fc7_agreement": "nearest neighbours of the query's class, in fc7 (or what the last layer reads), %",
    "pixel_agreement": "nearest neighbours of the query's class, in pixels, %",
    "feature_gain": "agreement in fc7 minus in pixels, points",
}
"""What each measured value is, and its unit."""

Verdict = Literal["reproduced", "not reproduced", "inconclusive at this scale", "lower", "higher"]


@dataclass(frozen=True)
class Result:
    """One claim at one scale, as its file holds it."""

    claim: str
    scale: str
    command: str
    data: dict[str, Any]
    recipe: dict[str, Any]
    """The scale's recipe that the variants change."""
    variants: dict[str, dict[str, Any]]
    """name -> {"changes": {field: value}, "key", "runs": [{"seed", "values", "training", "validation", ...}]}; the key is
    `runner.key`, by which a runner knows again what was run."""
    search: dict[str, list[dict[str, Any]]]
    """variant -> what its search tried: [{"rate", "train_error", "key", "seed", ...}]"""
    target: float | None
    """Training error in % at which the runs ended, if they did."""
    validation_target: float
    machine: dict[str, Any]
    commits: list[str]
    seconds: float
    """Of all runs together, those that other claims share too."""

    def save(self, folder: Path) -> Path:
        """Write FOLDER/SCALE/ID.json, whole or not at all."""
        path = folder / self.scale / f"{self.claim}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _compact({"format": FORMAT, **self.__dict__}) + "\n")
        return path

    def values(self, variant: str, measure: str) -> list[float]:
        """The measured values of a variant, one a seed; runs that lack the measure are left out."""
        return list(self.by_seed(variant, measure).values())

    def runs(self) -> int:
        """How many runs it has."""
        return sum(len(variant["runs"]) for variant in self.variants.values())

    def by_seed(self, variant: str, measure: str) -> dict[int, float]:
        """The same by seed."""
        runs = self.variants.get(variant, {"runs": []})["runs"]
        return {run["seed"]: run["values"][measure] for run in runs if measure in run["values"]}


def load(path: Path) -> Result:
    """Read a result file; InputError, naming it, if it is none."""
    try:
        values = read_json(path, most=1 << 26)
    except (OSError, InputError) as error:
        raise InputError(f"{path}: not a result of alexnet claims run ({error})") from None
    try:
        if values.pop("format") != FORMAT:
            raise InputError(f"{path}: written by another version of alexnet; run the claim again")
        result = Result(**values)
        for variant in result.variants.values():
            for run in variant["runs"]:
                if not all(isinstance(value, int | float) for value in run["values"].values()):
                    raise ValueError("a run's values are no numbers")
        return result
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a result of alexnet claims run ({error})") from None


def joined(run: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A run with the measures that only another record of it has: a claim that shares it measured more, on another machine
    perhaps, where the same seed need not give the same bits."""
    if run["diverged"] or other["diverged"]:
        return run
    measures = list(dict.fromkeys((*run["measures"], *other["measures"])))
    return run | {"values": other["values"] | run["values"], "measures": measures}


def merged(result: Result, before: Result) -> Result:
    """A result with what an earlier one has besides: variants, seeds and measures. As it is, where no variant of the two is
    the same: then they are of other data, or of another recipe."""
    keys = {name: variant["key"] for name, variant in result.variants.items()}
    if not {*keys.values()} & {variant.get("key") for variant in before.variants.values()}:
        return result
    variants, added = dict(result.variants), []
    for name, old in before.variants.items():
        if name not in keys and old.get("key") in (None, *keys.values()):  # it has another name now
            continue
        own = variants.get(name, {**old, "runs": []})
        if own["key"] != old.get("key"):
            continue
        elsewhere = {} if before.machine == result.machine else {"machine": before.machine}
        there = {run["seed"]: elsewhere | run for run in old["runs"]}
        here = {run["seed"]: joined(run, there.get(run["seed"], run)) for run in own["runs"]}
        added += [run for seed, run in there.items() if seed not in here]
        variants[name] = {**own, "runs": [run for _, run in sorted((there | here).items())]}
    return replace(
        result,
        variants=variants,
        search=before.search | result.search,
        commits=sorted({*result.commits, *(run["commit"] for run in added)}),
        seconds=round(result.seconds + sum(run["seconds"] for run in added), 1),
    )


def load_all(folder: Path) -> list[Result]:
    """All results under a folder, in the order of their paths."""
    return [load(path) for path in sorted(folder.glob("*/*.json"))]


@dataclass(frozen=True)
class Outcome:
    """One comparison of a result: what was measured, with its interval, and the verdict."""

    comparison: Comparison
    of: list[float]
    against: list[float]
    """Empty where the measure is a difference already."""
    difference: float
    """Or ratio."""
    low: float
    high: float
    """The 95% interval of the difference, from the spread over the seeds; infinite with fewer than two."""
    verdict: Verdict
    size: str
    """How the paper's own figure lies: "inside the interval", "the paper's is larger", "the paper's is smaller", or ""."""


def outcome(result: Result, comparison: Comparison) -> Outcome | None:
    """Compare, or None if there are no values yet.

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
    of = result.values(comparison.of, comparison.measure)
    against = result.values(comparison.against, comparison.measure) if comparison.against else []
    if not of or (comparison.against and not against):
        return None
    if comparison.ratio and min(*of, *against) <= 0:
        return None
    own = of if comparison.against else [value - comparison.bound for value in of]
    seeds = min(len(of), len(against)) if comparison.against else len(of)
    if comparison.paired and comparison.against:
        pairs = [result.by_seed(name, comparison.measure) for name in (comparison.of, comparison.against)]
        own = [pairs[0][seed] - pairs[1][seed] for seed in pairs[0] if seed in pairs[1]]
        if not own:
            return None
        seeds = len(own)
        difference, low, high = _interval(own, None, False)
    else:
        difference, low, high = _interval(own, against if comparison.against else None, comparison.ratio)
    if _unreached(result, comparison.of, comparison.measure):
        high = math.inf
    if comparison.against and _unreached(result, comparison.against, comparison.measure):
        low = 0.0 if comparison.ratio else -math.inf
    return Outcome(
        comparison,
        of,
        against,
        difference,
        low,
        high,
        _verdict(comparison, low, high, seeds),
        _size(comparison, low, high),
    )


REACHED = {"epochs_to_target": "reached", "epochs_to_validation": "reached_validation"}
"""Measures of the epochs to a target, and the measure that says whether it was reached."""


def _unreached(result: Result, variant: str, measure: str) -> bool:
    """Whether a run of a variant never got to its target, so that its epochs are only the least it would take."""
    return measure in REACHED and min(result.values(variant, REACHED[measure]), default=1.0) == 0


def mean_interval(values: list[float]) -> tuple[float, float, float]:
    """Mean of at least one value, and both ends of its 95% interval by Student's t; infinite with fewer than two."""
    return _interval(values, None, False)


def spread(errors: list[float]) -> str:
    """Mean and interval of errors, "24.31 (22.90 to 25.72)"; the mean alone where there is no interval, "" without values."""
    if not errors:
        return ""
    middle, low, high = mean_interval(errors)
    return f"{middle:.2f}" + ("" if math.isinf(high) else f" ({max(0.0, low):.2f} to {high:.2f})")


def _interval(of: list[float], against: list[float] | None, ratio: bool) -> tuple[float, float, float]:
    if ratio:
        assert against
        middle, low, high = _interval([math.log(x) for x in of], [math.log(x) for x in against], False)
        return math.exp(middle), math.exp(low), math.exp(high) if high < 700 else math.inf
    from scipy.stats import t  # takes a second to import

    groups = [of] if against is None else [of, against]
    means = [statistics.fmean(group) for group in groups]
    middle = means[0] if against is None else means[0] - means[1]
    if min(len(group) for group in groups) < 2:
        return middle, -math.inf, math.inf
    shares = [statistics.variance(group) / len(group) for group in groups]
    error = math.sqrt(sum(shares))
    if error == 0:  # seeds that agree to the last image say nothing of how far others would lie
        return middle, -math.inf, math.inf
    # Welch and Satterthwaite's degrees of freedom; n - 1 for one group.
    freedom = sum(shares) ** 2 / sum(share**2 / (len(group) - 1) for share, group in zip(shares, groups, strict=True))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return middle, middle - reach, middle + reach


def _verdict(comparison: Comparison, low: float, high: float, seeds: int) -> Verdict:
    none = 1.0 if comparison.ratio else 0.0
    if seeds < LEAST_SEEDS:
        return "inconclusive at this scale"
    below, above = high < none, low > none
    if comparison.expected == "either":
        return "lower" if below else "higher" if above else "inconclusive at this scale"
    claimed, other = (below, above) if comparison.expected == "lower" else (above, below)
    if other or falls_short(comparison, low, high):
        return "not reproduced"
    return "reproduced" if claimed else "inconclusive at this scale"


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


def _compact(values: Any, indent: int = 0) -> str:
    """JSON with a line for each member of the outer objects, and short lists on one line, so that a change is seen."""
    flat = json.dumps(values, ensure_ascii=False)
    if len(flat) + indent <= 110 or not isinstance(values, dict | list) or not values:
        return flat
    inner = " " * (indent + 1)
    if isinstance(values, dict):
        lines = [f"{inner}{json.dumps(key)}: {_compact(value, indent + 1)}" for key, value in values.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if all(isinstance(value, int | float) for value in values):
        return flat
    return "[\n" + ",\n".join(inner + _compact(value, indent + 1) for value in values) + "\n" + " " * indent + "]"
