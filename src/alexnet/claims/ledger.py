"""The ledger: every claim beside what was measured of it, as tables for a terminal, a page or JSON.

Nothing here is written down: all of it follows from the claims and the result files.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims import results as results_
from alexnet.claims.claim import Claim, Comparison, Scale, at, error_of, search_of
from alexnet.claims.claims import claims
from alexnet.claims.results import CONFIDENCE, LEAST_SEEDS, MEASURES, REACHED, Outcome, Result
from alexnet.claims.scales import scales
from alexnet.device import Precision
from alexnet.errors import InputError
from alexnet.words import duration

SHORT = {
    "top1": "top-1",
    "top5": "top-5",
    "train_error": "training error",
    "train_top1": "error in training set",
    "gap": "overfitting",
    "ten_top1": "ten-crop top-1",
    "ten_top5": "ten-crop top-5",
    "ten_gain": "top-1",
    "ten_gain5": "top-5",
    "weight_gain": "weighted − plain",
    "epochs_to_target": "epochs to target",
    "epochs_to_validation": "epochs to target",
    "split": "separation beyond chance",
    "feature_gain": "agreement, fc7 − pixels",
}
"""What measures are called where `results.MEASURES` is too long."""

_BESIDE = {
    "gap": ("train_top1",),
    "ten_gain": ("ten_top1",),
    "ten_gain5": ("ten_top5",),
    **{measure: (whether,) for measure, whether in REACHED.items()},
    "split": ("colour_1", "colour_2", "separation", "separation_by_chance"),
    "feature_gain": ("fc7_agreement", "pixel_agreement"),
}
"""What a measure is made of, and is shown with it."""


@dataclass(frozen=True)
class Table:
    """Rows under headings."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = str | Table
"""A paragraph or a table."""

# --- what there is ----------------------------------------------------------------------------------------------------


def ids(scale: str) -> list[str]:
    """The claims that have an experiment at a scale."""
    return [claim.id for claim in claims.values() if claim.variants and scale in claim.scales]


def with_precision(scale: Scale, precision: Precision | None) -> Scale:
    """The scale with its recipes computed in another precision; as it is for None."""
    if precision is None:
        return scale
    four_layer = scale.four_layer and replace(scale.four_layer, precision=precision)
    return replace(scale, recipe=replace(scale.recipe, precision=precision), four_layer=four_layer)


def smoke_data(path: Path) -> Path:
    """The built-in photographs at 32 pixels, prepared under `path` if they are not there."""
    from alexnet.data.builtin import Photographs
    from alexnet.data.prepare import prepare

    prepare(Photographs(train_patches=40, test_patches=20), path, size=32)
    return path


Found = dict[str, dict[str, Result]]
"""Results by claim and scale."""


def found(folder: Path) -> Found:
    """The results under a folder: id -> scale -> result, scales from small to large. InputError for a folder that is not
    there, and for a result of a claim or a scale that this version does not know."""
    if folder != results_.PUBLISHED and not folder.is_dir():
        raise InputError(f"--results {folder}: no such folder; alexnet claims run writes result files to OUT/results")
    made: Found = {id: {} for id in claims}
    for result in results_.load_all(folder):
        of = [id for id, claim in claims.items() if result.claim in (id, claim.result)]
        if not of or result.scale not in scales:
            raise InputError(
                f"{folder / result.scale / result.claim}.json: claim {result.claim} at scale {result.scale} is not in this"
                " version of alexnet; remove the file, or run the claim again"
            )
        for id in of:
            made[id][result.scale] = result if id == result.claim else _own_part(claims[id], result)
    return {id: {scale: by[scale] for scale in scales if scale in by} for id, by in made.items()}


def _own_part(claim: Claim, result: Result) -> Result:
    """Of a result that several claims share, what one of them is about: the variant of its name, and what that stands
    against."""
    named = {claim.id, *(side for one in claim.comparisons for side in (one.of, one.against))}
    own = {name: variant for name, variant in result.variants.items() if name in named}
    return replace(result, claim=claim.id, variants=own)


def claim_of(result: Result) -> Claim:
    """The claim of a result, as the result's scale tests it."""
    return at(claims[result.claim], scales[result.scale])


def outcomes(result: Result) -> list[Outcome]:
    """Every comparison of a result's claim that there are values for."""
    compared = [results_.outcome(result, comparison) for comparison in claim_of(result).comparisons]
    return [one for one in compared if one is not None]


def state(claim: Claim, of: dict[str, Result]) -> str:
    """Why a row has no figures; "" if it has."""
    if not claim.variants and not claim.result:
        return "no experiment here" + (f": {claim.note}" if claim.note else "")
    if any(outcomes(result) for result in of.values()):
        return ""
    figures = [f"{scale}: {_figures(claim, result)}" for scale, result in of.items() if not claim.comparisons]
    return "; ".join(figures) or "no result yet"


def _figures(claim: Claim, result: Result) -> str:
    """A claim's own errors, where there is nothing to compare them with."""
    errors = {name[4:].replace("top", "top-"): result.values(claim.id, name) for name in ("ten_top1", "ten_top5")}
    means = ", ".join(f"{name} {statistics.fmean(values):.2f} %" for name, values in errors.items() if values)
    number = len(errors["top-1"])
    return f"{means}, ten crops, {number} repeat{'s' * (number != 1)}; rows below stand against it"


# --- figures as text --------------------------------------------------------------------------------------------------


def seeds_of(one: Outcome) -> int:
    """Of the side that has fewer."""
    return min(len(one.of), len(one.against)) if one.comparison.against else len(one.of)


def seeds(of: Sequence[Outcome]) -> str:
    """Of several comparisons: "3 seeds", "2 to 3 seeds"."""
    numbers = sorted({seeds_of(one) for one in of})
    return f"{' to '.join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))} seed{'s' * (numbers[-1] != 1)}"


def what(comparison: Comparison) -> str:
    """What is compared: "ReLU − tanh", "four-layer − 20", or the variant of a measure that is a difference already."""
    if comparison.against is None:
        return f"{comparison.of} − {comparison.bound:g}" if comparison.bound else comparison.of
    return f"{comparison.of} {'÷' if comparison.ratio else '−'} {comparison.against}"


def number(value: float, measure: str) -> str:
    """A measured value: two digits behind the point, three where it lies between 0 and 1 by its nature."""
    return _minus(f"{value:.{_digits(measure)}f}")


def _minus(text: str) -> str:
    """With the typographic sign, and none before zero."""
    return text.replace("-", "−") if text.strip("+-0.") else text.lstrip("+-")


def _digits(measure: str) -> int:
    return 2 if MEASURES[measure].endswith((" %", " points")) or measure.startswith(("epochs", "reached")) else 3


def difference(value: float, comparison: Comparison) -> str:
    """A difference with its sign, or a ratio."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if comparison.ratio:
        return f"{value:.2f}×"
    return _minus(f"{value:+.{_digits(comparison.measure)}f}")


def measured(one: Outcome) -> str:
    """A difference with its interval: "−0.80 (−1.52 to −0.08)"."""
    middle = difference(one.difference, one.comparison)
    low, high = interval(one)
    return f"{middle} ({low} to {high})" if low or high else f"{middle} (no interval)"


def interval(one: Outcome) -> tuple[str, str]:
    """Both ends; "" twice where there is none."""
    none = math.isinf(one.high) and (math.isinf(one.low) or (one.comparison.ratio and one.low == 0))
    return ("", "") if none else (difference(one.low, one.comparison), difference(one.high, one.comparison))


def label(one: Comparison, claim: Claim) -> str:
    """What tells a comparison from the claim's others."""
    pairs = {(each.of, each.against) for each in claim.comparisons}
    short = SHORT[one.measure]
    if len(pairs) == 1:
        return short
    same = len({each.measure for each in claim.comparisons}) == 1
    return what(one) if same else f"{what(one)}, {short}"


def why(one: Outcome) -> str:
    """How the verdict follows from the rule."""
    comparison, none = one.comparison, "1" if one.comparison.ratio else "0"
    if seeds_of(one) < LEAST_SEEDS:
        return f"fewer than {LEAST_SEEDS} seeds"
    if interval(one) == ("", ""):
        if comparison.measure in REACHED:
            return "runs on both sides ended before the target, or all took equally long"
        return "all seeds agree to the last image, which says nothing of how far others lie"
    zero = float(none)
    if one.high < zero or one.low > zero:
        side = "below" if one.high < zero else "above"
        if comparison.expected == "either":
            return f"the interval lies {side} {none}; nothing is claimed"
        claimed = (comparison.expected == "lower") == (side == "below")
        if claimed and one.verdict == "not reproduced":
            return f"the interval lies {side} {none}, where the claim puts it, and wholly short of half of the paper's"
        return f"the interval lies {side} {none}, {'where the claim puts it' if claimed else 'on the other side'}"
    if one.verdict == "not reproduced":
        return f"the interval holds {none} and excludes half of the paper's"
    if comparison.paper is None:
        return f"the interval holds {none}"
    return f"the interval holds {none} and half of the paper's"


def paper(comparison: Comparison) -> str:
    """The paper's difference or ratio; "" where it states none."""
    if comparison.paper is None:
        return ""
    return f"{comparison.paper:g}×" if comparison.ratio else f"{comparison.paper:+g}".replace("-", "−")


# --- the ledger -------------------------------------------------------------------------------------------------------


def lines(result: Result) -> list[str]:
    """A result in a few lines: each comparison with its interval and verdict."""
    claim = claims[result.claim]
    return [
        f"{claim.id} ({claim.section}), scale {result.scale}: {claim.says}",
        *(
            f"  {what(one.comparison)}, {MEASURES[one.comparison.measure]}: {measured(one)}"
            + (f"; the paper {paper(one.comparison)}" if paper(one.comparison) else "")
            + f": {one.verdict}"
            for one in outcomes(result)
        ),
    ]


def rows(all: Found) -> list[dict[str, Any]]:
    """The ledger, for JSON: every claim with its results in figures."""
    return [
        {
            "id": claim.id,
            "section": claim.section,
            "claim": claim.says,
            "paper": claim.paper,
            "logged_2012": claim.logged,
            "scales": list(claim.scales) if claim.variants or claim.result else [],
            "state": state(claim, all[claim.id]) or "measured",
            "results": [
                {"scale": scale, "comparisons": [outcome_to_dict(one) for one in outcomes(result)]}
                for scale, result in all[claim.id].items()
            ],
        }
        for claim in claims.values()
    ]


def outcome_to_dict(one: Outcome) -> dict[str, Any]:
    """An outcome for JSON, which has no infinity: an open end of an interval is null."""
    low, high = (None if math.isinf(end) else end for end in (one.low, one.high))
    return {
        **asdict(one.comparison),
        "seeds": seeds_of(one),
        "difference": one.difference,
        "low": low,
        "high": high,
        "verdict": one.verdict,
        "why": why(one),
        "the_papers_size": one.size,
    }


def to_dict(result: Result) -> dict[str, Any]:
    """A result file with what follows from it, for JSON."""
    return {**result.__dict__, "outcomes": [outcome_to_dict(one) for one in outcomes(result)]}


# --- one claim --------------------------------------------------------------------------------------------------------


def show(result: Result) -> list[Block]:
    """Everything of a result file, as paragraphs and tables."""
    return [
        *comparisons(result),
        values(result),
        *searched(result),
        changes(result),
        origin(result),
        base(result),
        *curves(result),
    ]


def comparisons(result: Result) -> list[Block]:
    """Every comparison with its interval, the paper's figure and the verdict; a paragraph if there is none."""
    made = outcomes(result)
    if not claims[result.claim].comparisons:
        return ["There is nothing in this row to compare."]
    if not made:
        return ["No comparison has values yet."]
    confidence = f"{100 * CONFIDENCE:.0f}% interval"
    headings = ("compared", "difference", confidence, "seeds", "the paper", "verdict")
    cells = []
    for one in made:
        low, high = interval(one)
        measure = (
            _in(one.comparison.measure, result) if one.comparison.measure in REACHED else SHORT[one.comparison.measure]
        )
        beside = one.size.removeprefix("the paper's is ").removesuffix(" the interval")
        cells.append(
            (
                f"{what(one.comparison)}, {measure}",
                difference(one.difference, one.comparison),
                f"{low} to {high}" if low or high else "none",
                str(seeds_of(one)),
                f"{paper(one.comparison)}, {beside}" if beside else paper(one.comparison),
                f"{one.verdict}: {why(one)}",
            )
        )
    return [Table("Comparisons", headings, tuple(cells))]


def _in(measure: str, result: Result) -> str:
    """What a measure is, with the target where it has one."""
    if measure == "epochs_to_target" and result.target is not None:
        return f"epochs to {result.target:g} % training error"
    if measure == "epochs_to_validation":
        return f"epochs to {result.validation_target:g} % validation error"
    return MEASURES[measure]


def shown_measures(result: Result, all_errors: bool) -> list[str]:
    """The measures that matter for a claim: those that it compares, what they are made of, top-1, and the other errors too if
    wanted."""
    compared = [comparison.measure for comparison in claim_of(result).comparisons]
    wanted = {"top1", *compared, *(name for one in compared for name in _BESIDE.get(one, ()))}
    wanted |= {"top5", "train_top1", "gap", "train_error"} if all_errors else set()
    wanted |= {"ten_top1", "ten_top5"} if claims[result.claim].result else set()
    have = {name for variant in result.variants.values() for run in variant["runs"] for name in run["values"]}
    return [name for name in MEASURES if name in wanted & have]


def values(result: Result, all_errors: bool = True) -> Table:
    """Mean, standard deviation and every seed's value, of each measure that matters and variant."""
    numbers = sorted({run["seed"] for variant in result.variants.values() for run in variant["runs"]})
    cells: list[tuple[str, ...]] = []
    shown = ""
    for measure in shown_measures(result, all_errors):
        for name, variant in result.variants.items():
            by_seed = {run["seed"]: run["values"][measure] for run in variant["runs"] if measure in run["values"]}
            if not by_seed:
                continue
            mean = number(statistics.fmean(by_seed.values()), measure)
            spread = number(statistics.stdev(by_seed.values()), measure) if len(by_seed) > 1 else ""
            diverged = {run["seed"] for run in variant["runs"] if run["diverged"]}
            each = [
                (number(by_seed[seed], measure) + " †" * (seed in diverged)) if seed in by_seed else ""
                for seed in numbers
            ]
            first = not cells or measure != shown
            shown = measure
            cells.append((_in(measure, result) if first else "", name, mean, spread, *each))
    marked = any(run["diverged"] for variant in result.variants.values() for run in variant["runs"])
    title = "Measured" + ("; †: the loss became NaN, counted as guessing" if marked else "")
    return Table(title, ("", "variant", "mean", "deviation", *(f"seed {seed}" for seed in numbers)), tuple(cells))


def searched(result: Result) -> list[Block]:
    """What the search for each variant's learning rate tried; nothing if there was none."""
    if not result.search:
        return []
    rates = sorted({trial["rate"] for trials in result.search.values() for trial in trials})
    cells, search = [], search_of(claim_of(result), scales[result.scale])
    for name, trials in result.search.items():
        errors = {trial["rate"]: error_of(trial, search.by) for trial in trials}
        best = search.best(trials) if trials else None
        # At an end of what was tried the best may lie beyond.
        mark = " * (at the end)" if best in (min(errors, default=None), max(errors, default=None)) else " *"
        each = [f"{errors[rate]:.2f}{mark if rate == best else ''}" if rate in errors else "" for rate in rates]
        cells.append((name, *each))
    said = {
        "train_error": "training error in % after",
        "top1": "validation error in % after",
        "epochs_to_target": "epochs to the target, of at most",
    }[search.by]
    title = f"The search for each variant's learning rate: {said} {search.epochs} epochs, by rate; *: taken"
    return [Table(title, ("variant", *(f"{rate:g}" for rate in rates)), tuple(cells))]


def changes(result: Result) -> Table:
    """What each variant changes in the scale's recipe."""
    cells = [(name, changed(variant["changes"])) for name, variant in result.variants.items()]
    return Table("What the variants change in the scale's recipe", ("variant", "changes"), tuple(cells))


def changed(fields: dict[str, Any]) -> str:
    """Changed fields of a recipe in a line; "nothing" if there are none."""
    named = {
        re.sub(r"^network\.convolutions\.(\d+)", lambda found: f"conv{int(found[1]) + 1}", name): value
        for name, value in fields.items()
    }
    return (
        ", ".join(f"{name} {'gone' if value is None else _value(value)}" for name, value in named.items()) or "nothing"
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(_value(each) for each in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def origin(result: Result) -> Table:
    """Where the figures come from."""
    data, machine = result.data, result.machine
    images = ", ".join(f"{count:,} {split}" for split, count in data["images"].items())
    of = f"{data['source']}{', ' + data['note'] if data['note'] else ''}: {images}; {data['classes']} classes,"
    runs = [run for variant in result.variants.values() for run in variant["runs"]]
    seconds, count = [run["seconds"] for run in runs], sum(len(run.get("networks", (run,))) for run in runs)
    parts = [str(machine[name]) for name in ("gpu", "cpu", "capability") if name in machine]
    parts += [f"{machine['threads']} thread{'s' * (machine['threads'] != 1)} a run"] if "threads" in machine else []
    parts += [f"{name} {machine[name]}" for name in ("python", "torch") if name in machine]
    if result.recipe["precision"] != "auto":
        parts.append(result.recipe["precision"])
    elif (
        "bf16" in machine
        and "gpu" not in machine
        and not any("precision" in v["changes"] for v in result.variants.values())
    ):
        # What "auto" is on such a CPU.
        parts.append(f"bf16 by {machine['bf16']}")
    return Table(
        "Where this comes from",
        ("", ""),
        (
            ("command", result.command),
            ("data", f"{of} {data['size']} pixels{_pretraining(data)}"),
            ("commit", ", ".join(result.commits)),
            ("machine", ", ".join(parts)),
            ("time", f"{duration(sum(seconds))} for {count} runs, in all; other claims may share them"),
        ),
    )


def _pretraining(data: dict[str, Any]) -> str:
    """What networks were pre-trained on, where any were."""
    if "pretraining" not in data:
        return ""
    other = data["pretraining"]
    return f"; pre-training: {other['source']}: {other['images']['train']:,} train; {other['classes']} classes"


def base(result: Result) -> Table:
    """The scale's recipe, which the variants change, field by field."""
    recipe = result.recipe
    parts: list[tuple[str, dict[str, Any]]] = [("recipe", _plain(recipe)), ("network", _plain(recipe["network"]))]
    for number, row in enumerate(recipe["network"]["convolutions"], 1):
        parts.append((f"conv{number}", row))
    for number, row in enumerate(recipe["network"]["hidden"], len(recipe["network"]["convolutions"]) + 1):
        parts.append((f"fc{number}", row))
    parts += [("schedule", recipe["schedule"]), ("augmentation", recipe["augmentation"])]
    cells = [(name, ", ".join(f"{field} {_value(value)}" for field, value in of.items())) for name, of in parts]
    return Table(f"The recipe of scale {result.scale}", ("", ""), tuple(cells))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    inner = ("network", "schedule", "augmentation", "convolutions", "hidden")
    return {name: value for name, value in values.items() if name not in inner}


def curves(result: Result) -> list[Block]:
    """Training error after each epoch, for claims about it: what fig. 1 is drawn from."""
    if result.target is None:
        return []
    cells = [
        (name, str(run["seed"]), " ".join(f"{error:.1f}" for error in run["training"]))
        for name, variant in result.variants.items()
        for run in variant["runs"]
    ]
    return [Table("Training error in % over each epoch", ("variant", "seed", "epochs 1, 2, ..."), tuple(cells))]


def costs(all: Found) -> list[tuple[Scale, int, int, float]]:
    """(scale, claims with a result, claims with an experiment, seconds of their runs), for every scale. Runs that claims
    share count once: equal losses of one seed are of one run."""
    made = []
    for scale in scales.values():
        there = [by[scale.name] for by in all.values() if scale.name in by]
        runs: dict[str, float] = {}
        for run in (run for result in there for variant in result.variants.values() for run in variant["runs"]):
            networks = [network["seed"] for network in run.get("networks", ())]
            which = repr([run["seed"], run["values"].get("train_loss"), run["training"], run["validation"], networks])
            runs[which] = max(runs.get(which, 0.0), run["seconds"])  # more was measured for one claim than for another
        measured = sum(bool(outcomes(result)) for result in there)
        of = [claim for claim in claims.values() if claim.comparisons and scale.name in claim.scales]
        made.append((scale, measured, len(of), sum(runs.values())))
    return made


def with_results(all: Found) -> Sequence[Result]:
    """All results, in the order of the claims, then of the scales."""
    return [result for by in all.values() for result in by.values()]
