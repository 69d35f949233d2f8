"""The ledger: every claim beside what was measured of it. All of it follows from the claims and the result files."""

import shlex
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims import phrases, records, verdicts
from alexnet.claims.claim import Claim, Scale, at
from alexnet.claims.claims import claims, experiment, table2
from alexnet.claims.records import Result
from alexnet.claims.scales import scales
from alexnet.claims.verdicts import MEASURES, Outcome
from alexnet.errors import InputError
from alexnet.words import counted

NAMED = {**claims, table2.id: table2}
"""Whatever `alexnet claims run` and `show` take: the ledger's rows, and the experiment that several of them share."""

AllResults = dict[str, dict[str, Result]]
"""Results by id and scale."""


@dataclass(frozen=True)
class Row:
    """A row of the ledger."""

    claim: Claim
    state: str
    """Why the claim has no figures; "" if it has."""
    outcomes: dict[str, list[Outcome]]
    """The comparisons that have values, by scale."""

    def measured(self) -> Iterator[tuple[str, str, list[tuple[str, Outcome]]]]:
        """(scale, "3 seeds", [(label, comparison)]) for every scale that has figures."""
        for scale, compared in self.outcomes.items():
            if compared:
                labels = [(phrases.label(outcome.comparison, self.claim), outcome) for outcome in compared]
                yield scale, phrases.seeds(compared), labels

    def to_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        claim = self.claim
        return {
            "id": claim.id,
            "section": claim.section,
            "claim": claim.says,
            "paper": claim.paper,
            "logged_2012": claim.logged,
            "scales": list(claim.scales) if claim.variants or claim.result else [],
            "state": self.state or "measured",
            "results": [
                {"scale": scale, "comparisons": [phrases.outcome_to_dict(outcome) for outcome in compared]}
                for scale, compared in self.outcomes.items()
            ],
        }


def ids(scale: str) -> list[str]:
    """The claims that have an experiment of their own at a scale."""
    return [claim.id for claim in claims.values() if claim.variants and scale in claim.scales]


def find(folder: Path | None = None) -> AllResults:
    """The results under a folder (None: the published ones): id -> scale -> result, scales from small to large. InputError for
    a folder that is not there, and for a result of a claim or a scale that this version does not know."""
    if folder and not folder.is_dir():
        raise InputError(f"--results {folder}: no such folder; alexnet claims run writes result files to OUT/results")
    folder = folder or records.PUBLISHED
    by_id: AllResults = {id: {} for id in NAMED}
    for result in records.load_all(folder):
        if result.claim not in NAMED or result.scale not in scales:
            raise InputError(
                f"{folder / result.scale / result.claim}.json: claim {result.claim} at scale {result.scale} is not in this"
                " version of alexnet; remove the file, or run the claim again"
            )
        for id, claim in NAMED.items():
            if result.claim in (id, claim.result):
                by_id[id][result.scale] = result if id == result.claim else _part(claim, result)
    return {id: {scale: by[scale] for scale in scales if scale in by} for id, by in by_id.items()}


def results_of(claim: Claim, folder: Path | None, scale: str | None = None) -> list[Result]:
    """A claim's results under a folder, at every scale or at one. InputError, with what makes it, where that has none."""
    results = find(folder)[claim.id]
    if scale and scale not in results:
        fix = "the claim has no experiment at that scale"
        if (claim.names or claim.result) and scale in claim.scales:
            fix = f"alexnet claims run {shlex.quote(experiment(claim).id)} --scale {scale} makes one"
        raise InputError(
            f"--scale {scale}: no result of claim {claim.id} under {folder or 'the published ones'}; {fix}"
        )
    return [result for name, result in results.items() if scale in (None, name)]


def _part(claim: Claim, result: Result) -> Result:
    """A shared result reduced to what one claim is about: the variant of its name, and what that stands
    against."""
    named = {claim.id, *(side for outcome in claim.comparisons for side in (outcome.of, outcome.against))}
    return replace(
        result, claim=claim.id, variants={name: each for name, each in result.variants.items() if name in named}
    )


def claim_of(result: Result) -> Claim:
    """The claim of a result, as the result's scale tests it."""
    return at(NAMED[result.claim], scales[result.scale])


def outcomes(result: Result) -> list[Outcome]:
    """Every comparison of a result's claim that there are values for."""
    compared = [verdicts.outcome(result, comparison) for comparison in claim_of(result).comparisons]
    return [outcome for outcome in compared if outcome is not None]


def rows(all_results: AllResults) -> list[Row]:
    """The ledger, a row for each claim."""
    return [row(claim, all_results[claim.id]) for claim in claims.values()]


def row(claim: Claim, results: dict[str, Result]) -> Row:
    """A claim with what was measured of it, by scale."""
    compared = {scale: outcomes(result) for scale, result in results.items()}
    state = ""
    if not claim.names and not claim.result:
        state = "no experiment here" + (f": {claim.note}" if claim.note else "")
    elif not any(compared.values()):
        figures = [f"{scale}: {_errors(claim, result)}" for scale, result in results.items() if not claim.comparisons]
        state = "; ".join(figures) or "no result yet"
    return Row(claim, state, compared)


def _errors(claim: Claim, result: Result) -> str:
    """A claim's own errors, where there is nothing to compare them with."""
    errors = {name[4:].replace("top", "top-"): result.values(claim.id, name) for name in ("ten_top1", "ten_top5")}
    means = ", ".join(f"{name} {statistics.fmean(values):.2f} %" for name, values in errors.items() if values)
    number = len(errors["top-1"])
    return f"{means}, ten crops, {counted(number, 'repeat')}; rows below stand against it"


def lines(result: Result) -> list[str]:
    """A result in a few lines: each comparison with its interval and verdict."""
    claim = NAMED[result.claim]
    return [
        f"{claim.id} ({claim.section}), scale {result.scale}: {claim.says}",
        *(
            f"  {phrases.compared(outcome.comparison)}, {MEASURES[outcome.comparison.measure]}: {phrases.measured(outcome)}"
            + (f"; the paper {phrases.paper(outcome.comparison)}" if outcome.comparison.paper is not None else "")
            + f": {outcome.verdict}"
            for outcome in outcomes(result)
        ),
    ]


def to_dict(result: Result) -> dict[str, Any]:
    """A result file with what follows from it, for JSON."""
    return {**records.to_dict(result), "outcomes": [phrases.outcome_to_dict(outcome) for outcome in outcomes(result)]}


def costs(all_results: AllResults) -> list[tuple[Scale, int, int, float]]:
    """(scale, claims with a result, claims with an experiment, seconds of their runs), for every scale. Runs that claims
    share count once: equal losses of one seed are of one run."""
    costs = []
    for scale in scales.values():
        results = [all_results[id][scale.name] for id in claims if scale.name in all_results[id]]
        seconds: dict[tuple[object, ...], float] = {}
        for run in (run for result in results for run in result.runs()):
            seeds = tuple(network.seed for network in run.networks)
            identity = (run.seed, run.values.get("train_loss"), run.training, run.validation, seeds)
            # More was measured for one claim than for another.
            seconds[identity] = max(seconds.get(identity, 0.0), run.seconds)
        measured = sum(bool(outcomes(result)) for result in results)
        experiments = [claim for claim in claims.values() if claim.comparisons and scale.name in claim.scales]
        costs.append((scale, measured, len(experiments), sum(seconds.values())))
    return costs
