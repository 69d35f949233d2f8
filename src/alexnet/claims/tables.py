"""Every figure of a result, as paragraphs and tables: the same rows for a terminal and for the page."""

import re
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from alexnet.claims import ledger, phrases, verdicts
from alexnet.claims.claims import claims
from alexnet.claims.records import Data, Result
from alexnet.claims.scales import scales
from alexnet.claims.verdicts import CONFIDENCE, MEASURES, REACHED, SHORT, Outcome
from alexnet.words import counted, duration

PERCENT = f"{100 * CONFIDENCE:.0f}%"

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
    """Rows of text under headings."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The rows, each cell on one line."""
        cells = (self.headings, ("---",) * len(self.headings), *self.rows)
        escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
        return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def blocks(result: Result) -> list[Table | str]:
    """Everything of a result file, as paragraphs and tables."""
    return [
        *table_2(result),
        comparisons(result),
        values(result),
        *searched(result),
        changes(result),
        origin(result),
        base(result),
        *curves(result),
    ]


def table_2(result: Result) -> list[Table]:
    """Table 2 of the paper beside what was measured; nothing for results of other claims."""
    rows = [claims[name] for name in result.variants if name in claims and claims[name].result == result.claim]
    cells = []
    for claim in rows:
        errors = (verdicts.spread(result.values(claim.id, measure)) or "–" for measure in ("ten_top1", "ten_top5"))
        cells.append((claim.id, claim.says, claim.paper, *errors))
    title = "Table 2: error in %, ten crops; the paper's on ILSVRC-2012"
    intervals = (f"{name} ({PERCENT} interval)" for name in ("top-1", "top-5"))
    headings = ("", "networks", "the paper, top-1 / top-5", *intervals)
    return [Table(title, headings, tuple(cells))] if cells else []


def comparisons(result: Result) -> Table | str:
    """Every comparison with its interval, the paper's figure and the verdict; a paragraph if there is none."""
    if not ledger.NAMED[result.claim].comparisons:
        return "There is nothing in this row to compare."
    cells = tuple(_compared(outcome, result) for outcome in ledger.outcomes(result))
    headings = ("compared", "difference", f"{PERCENT} interval", "seeds", "the paper", "verdict")
    return Table("Comparisons", headings, cells) if cells else "No comparison has values yet."


def _compared(outcome: Outcome, result: Result) -> tuple[str, ...]:
    low, high = phrases.interval(outcome)
    measure, paper = outcome.comparison.measure, phrases.paper(outcome.comparison)
    beside = outcome.size.removeprefix("the paper's is ").removesuffix(" the interval")
    return (
        f"{phrases.compared(outcome.comparison)}, {_meaning(measure, result) if measure in REACHED else SHORT[measure]}",
        phrases.difference(outcome.difference, outcome.comparison),
        f"{low} to {high}" if low or high else "none",
        str(outcome.seeds),
        f"{paper}, {beside}" if beside else paper,
        f"{outcome.verdict}: {outcome.why}",
    )


def _meaning(measure: str, result: Result) -> str:
    """What a measure is, with the target where it has one."""
    if measure == "epochs_to_target" and result.target is not None:
        return f"epochs to {result.target:g} % training error"
    if measure == "epochs_to_validation":
        return f"epochs to {result.validation_target:g} % validation error"
    return MEASURES[measure]


def _shown(result: Result, all_errors: bool) -> list[str]:
    """The measures that matter for a claim: those that it compares, what they are made of, top-1, and the other errors too if
    wanted."""
    compared = [comparison.measure for comparison in ledger.claim_of(result).comparisons]
    wanted = {"top1", *compared, *(name for outcome in compared for name in _BESIDE.get(outcome, ()))}
    wanted |= {"top5", "train_top1", "gap", "train_error"} if all_errors else set()
    wanted |= {"ten_top1", "ten_top5"} if ledger.NAMED[result.claim].result else set()
    have = {name for run in result.runs() for name in run.values}
    return [name for name in MEASURES if name in wanted & have]


def values(result: Result, all_errors: bool = True) -> Table:
    """Mean, standard deviation and every seed's value, of each measure that matters and variant."""
    numbers = sorted({run.seed or 0 for run in result.runs()})
    cells: list[tuple[str, ...]] = []
    for measure in _shown(result, all_errors):
        title = _meaning(measure, result)
        for name, variant in result.variants.items():
            by_seed = result.by_seed(name, measure)
            if not by_seed:
                continue
            diverged = {run.seed for run in variant.runs if run.diverged}
            marked = {seed: phrases.number(by_seed[seed], measure) + " †" * (seed in diverged) for seed in by_seed}
            mean = phrases.number(statistics.fmean(by_seed.values()), measure)
            spread = phrases.number(statistics.stdev(by_seed.values()), measure) if len(by_seed) > 1 else ""
            cells.append((title, name, mean, spread, *(marked.get(seed, "") for seed in numbers)))
            title = ""
    marked_any = any(run.diverged for run in result.runs())
    title = "Measured" + ("; †: the loss became NaN, counted as guessing" if marked_any else "")
    return Table(title, ("", "variant", "mean", "deviation", *(f"seed {seed}" for seed in numbers)), tuple(cells))


def searched(result: Result) -> list[Table]:
    """What the search for each variant's learning rate tried; nothing if there was none."""
    if not result.search:
        return []
    rates = sorted({trial.rate for trials in result.search.values() for trial in trials})
    cells, search = [], scales[result.scale].search_of(ledger.claim_of(result))
    for name, trials in result.search.items():
        tried = {trial.rate: f"{'> ' * trial.fell_short}{trial.values[search.by]:.2f}" for trial in trials}
        best = search.best(trials) if trials else None
        # At an end of what was tried the best may lie beyond.
        mark = " * (at the end)" if best in (min(tried, default=None), max(tried, default=None)) else " *"
        cells.append((name, *(tried.get(rate, "") + mark * (rate == best) for rate in rates)))
    said = {
        "train_error": "training error in % after",
        "top1": "validation error in % after",
        "epochs_to_target": "epochs to the target (>: not there by then, or given up), of at most",
    }[search.by]
    title = f"The search for each variant's learning rate: {said} {search.epochs} epochs, by rate; *: taken"
    return [Table(title, ("variant", *(f"{rate:g}" for rate in rates)), tuple(cells))]


def changes(result: Result) -> Table:
    """What each variant changes in the scale's recipe."""
    cells = [(name, _changed(variant.changes)) for name, variant in result.variants.items()]
    return Table("What the variants change in the scale's recipe", ("variant", "changes"), tuple(cells))


def _changed(fields: dict[str, Any]) -> str:
    named = {
        re.sub(r"^network\.convolutions\.(\d+)", lambda match: f"conv{int(match[1]) + 1}", name): value
        for name, value in fields.items()
    }
    said = (f"{name} {'gone' if value is None else _value(value)}" for name, value in named.items())
    return ", ".join(said) or "nothing"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def origin(result: Result) -> Table:
    """Where the figures come from."""
    data, machine, runs = result.data, result.machine, result.runs()
    parts = [str(machine[name]) for name in ("gpu", "cpu", "capability") if name in machine]
    parts += [f"{counted(int(machine['threads']), 'thread')} a run"] if "threads" in machine else []
    parts += [f"{name} {machine[name]}" for name in ("python", "torch") if name in machine]
    if result.recipe.precision != "auto":
        parts.append(result.recipe.precision)
    elif (
        "bf16" in machine
        and "gpu" not in machine
        and not any("precision" in variant.changes for variant in result.variants.values())
    ):
        # What "auto" is on such a CPU.
        parts.append(f"bf16 by {machine['bf16']}")
    seconds, count = sum(run.seconds for run in runs), sum(len(run.networks) or bool(run.commit) for run in runs)
    rows = (
        ("command", result.command),
        ("data", _images(data)),
        ("commit", ", ".join(result.commits)),
        ("machine", ", ".join(parts)),
        ("time", f"{duration(seconds)} for {count} runs, in all; other claims may share them"),
    )
    return Table("Where this comes from", ("", ""), rows)


def _images(data: Data) -> str:
    images = ", ".join(f"{count:,} {split}" for split, count in data.images.items())
    said = f"{data.source}{', ' + data.note if data.note else ''}: {images}; {data.classes} classes, {data.size} pixels"
    other = data.pretraining
    if other:
        said += f"; pre-training: {other.source}: {other.images['train']:,} train; {other.classes} classes"
    return said


def base(result: Result) -> Table:
    """The scale's recipe, which the variants change, field by field."""
    recipe, network = asdict(result.recipe), asdict(result.recipe.network)
    parts = {"recipe": recipe, "network": network}
    parts |= {name: asdict(row) for name, row in result.recipe.network.rows()}
    parts |= {"schedule": recipe["schedule"], "augmentation": recipe["augmentation"]}
    inner = ("network", "schedule", "augmentation", "convolutions", "hidden")
    cells = (
        (name, ", ".join(f"{field} {_value(value)}" for field, value in fields.items() if field not in inner))
        for name, fields in parts.items()
    )
    return Table(f"The recipe of scale {result.scale}", ("", ""), tuple(cells))


def curves(result: Result) -> list[Table]:
    """Training error after each epoch, for claims about it: what fig. 1 is drawn from."""
    if result.target is None:
        return []
    cells = [
        (name, str(run.seed), " ".join(f"{error:.1f}" for error in run.training))
        for name, variant in result.variants.items()
        for run in variant.runs
    ]
    return [Table("Training error in % over each epoch", ("variant", "seed", "epochs 1, 2, ..."), tuple(cells))]
