"""The ledger: every claim beside what was measured of it, as lines, tables and the page docs/claims.md."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.claims import results as results_
from alexnet.claims.claim import Scale
from alexnet.claims.claims import claims
from alexnet.claims.results import Outcome, Result


def ids(scale: str) -> list[str]:
    """The claims that have an experiment at a scale."""
    return [claim.id for claim in claims.values() if claim.variants and scale in claim.scales]


def with_precision(scale: Scale, precision: Literal["auto", "float32", "bf16"] | None) -> Scale:
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


def outcomes(result: Result) -> list[Outcome]:
    """Every comparison of a result's claim that there are values for."""
    found = [results_.outcome(result, comparison) for comparison in claims[result.claim].comparisons]
    return [one for one in found if one is not None]


def lines(result: Result) -> Iterator[str]:
    """A result as text: each comparison with its interval and verdict."""
    claim = claims[result.claim]
    yield f"{claim.id} ({claim.section}), scale {result.scale}: {claim.says}"
    for one in outcomes(result):
        yield f"  {sentence(one)}"


def sentence(one: Outcome) -> str:
    """One comparison in a line."""
    comparison = one.comparison
    what = results_.MEASURES[comparison.measure]
    name = f"{comparison.of} ÷ {comparison.against}" if comparison.ratio else f"{comparison.of} − {comparison.against}"
    name = name if comparison.against else comparison.of
    unit = "×" if comparison.ratio else ""
    paper = f"; the paper {comparison.paper:+g}" if comparison.paper is not None and not comparison.ratio else ""
    paper = f"; the paper {comparison.paper:g}×" if comparison.paper is not None and comparison.ratio else paper
    sign = "" if comparison.ratio else "+"
    return (
        f"{name}, {what}: {one.difference:{sign}.2f}{unit} ({one.low:{sign}.2f} to {one.high:{sign}.2f}){paper}:"
        f" {one.verdict}"
    )


def to_dict(result: Result) -> dict[str, Any]:
    """A result with its outcomes, ready for JSON."""
    return {**result.__dict__, "outcomes": [asdict(one) for one in outcomes(result)]}
