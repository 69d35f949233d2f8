"""What a claim is: recipes that differ in one place, what is measured of each, and the figure that the paper gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.claims import measures
from alexnet.claims.measures import Measure
from alexnet.run.recipe import Recipe

Change = Callable[[Recipe], Recipe]
"""What makes a variant from a scale's recipe."""

ScaleName = Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"]


@dataclass(frozen=True)
class Comparison:
    """One figure of a claim: a measure of variant `of`, minus (or divided by) the same of variant `against`."""

    of: str
    against: str | None = None
    """None: the measure stands against `bound`, such as ten crops minus one within each run against 0."""
    measure: str = "top1"
    """A key of what is measured of a run; `results.MEASURES` explains them."""
    expected: Literal["lower", "higher", "either"] = "lower"
    """Where the paper puts `of` beside `against`; either: it claims nothing, both directions are news."""
    paper: float | None = None
    """The difference (or ratio) that the paper states, where it states one."""
    ratio: bool = False
    """Whether `of` is divided by `against`."""
    bound: float = 0.0
    """What `of` stands against where there is no other variant."""
    paired: bool = False
    """Whether both sides of a seed have networks in common, so that their difference is taken seed by seed."""


def error_of(trial: dict[str, Any], measure: str) -> float:
    """What a search compares of one of its runs; the first results kept the training error alone."""
    return float(trial.get("values", trial)[measure])


@dataclass(frozen=True)
class Search:
    """How each variant of a claim gets its own learning rate: the best of `rates` in short runs with a seed of their own."""

    rates: tuple[float, ...]
    epochs: int
    seed: int = 1000
    by: Literal["train_error", "top1", "epochs_to_target"] = "train_error"
    """What is lowest where the best rate is: the training or the validation error of the last epoch, or the epochs to the scale's
    target, at which these runs end too."""
    rates_by_variant: tuple[tuple[str, tuple[float, ...]], ...] = ()
    """(variant, the rates that it tries in place of `rates`)."""

    def rates_of(self, variant: str) -> tuple[float, ...]:
        """The rates that a variant tries."""
        return dict(self.rates_by_variant).get(variant, self.rates)

    def best(self, trials: Sequence[dict[str, Any]]) -> float:
        """The rate of the best of these runs, each with its "rate" and "values"; of equal ones the first."""
        # Runs that do not reach a target are told apart by how far they got.
        return float(min(trials, key=lambda trial: (error_of(trial, self.by), error_of(trial, "train_error")))["rate"])


@dataclass(frozen=True)
class Claim:
    """A row of the ledger, and the experiment that tests it."""

    id: str
    section: str
    """Of the paper; or "2012" for the program, "notes" for what others say."""
    says: str
    paper: str = ""
    """The paper's figures, as it prints them; "" where it gives none."""
    logged: str = ""
    """What the 2012 run's own log says, and which run."""
    variants: tuple[tuple[str, Change], ...] = ()
    """(name, change); none: the row has no experiment here yet."""
    comparisons: tuple[Comparison, ...] = ()
    scales: tuple[ScaleName, ...] = ("smoke", "reduced", "longer", "imagenette", "imagenet")
    four_layer: bool = False
    """Whether it is about the four-layer network of §3.1 rather than the paper's."""
    measures: tuple[Measure, ...] = (measures.overfitting,)
    """What is measured of a trained network beside its validation error."""
    search: bool = False
    """Whether each variant first finds its own learning rate, by its scale's search."""
    search_at: tuple[ScaleName, Search] | None = None
    """A scale, and the search that takes the place of that scale's; its `epochs` are then the most of all runs that stop."""
    stops: bool = False
    """Whether runs end when the training error reaches the scale's target."""
    note: str = ""
    """What a reader of the result has to know."""
    result: str = ""
    """Whose result file has the figures, where another command than `alexnet claims run` makes it: "table2"."""


@dataclass(frozen=True)
class Scale:
    """How large the experiments are: the recipes that claims change, their data, and what it costs."""

    name: ScaleName
    what: str
    data: str
    """What `--data` has to hold."""
    cost: str
    recipe: Recipe
    four_layer: Recipe | None = None
    """The recipe of claims about the four-layer network of §3.1, where this scale has them."""
    seeds: int = 3
    search: Search = Search((0.0003, 0.001, 0.003, 0.01), 3)
    target: float = 25.0
    """Training error in % at which runs of claims that stop there end (§3.1: 25%)."""
    most_epochs: int = 40
    """After so many epochs such runs end anyway."""
    searches: bool = False
    """Whether every variant of every claim finds its own learning rate, and not of those alone that say so."""
    ten_crops: bool = False
    """Whether claims compare errors with ten crops where elsewhere they compare those of the centre crop."""
    validation_target: float = 35.0
    """Validation error in %: `epochs_to_validation` counts the epochs until it is reached."""


def at(claim: Claim, scale: Scale) -> Claim:
    """A claim as a scale tests it: each variant with its own rate, errors with ten crops, where the scale says so."""
    if scale.searches and claim.variants:
        claim = replace(claim, search=True)
    if scale.ten_crops:
        ten = {"top1": "ten_top1", "top5": "ten_top5"}
        compared = tuple(
            dict.fromkeys(replace(each, measure=ten.get(each.measure, each.measure)) for each in claim.comparisons)
        )
        measured = tuple(dict.fromkeys((*claim.measures, measures.ten_crops)))
        claim = replace(claim, comparisons=compared, measures=measured)
    return claim


def search_of(claim: Claim, scale: Scale) -> Search:
    """How the variants of a claim find their rates at a scale, if they do."""
    special = claim.search_at
    return special[1] if special and special[0] == scale.name else scale.search


@dataclass(frozen=True)
class Run:
    """One training run of an experiment. Equal ones are done once, whatever claims they serve."""

    recipe: Recipe
    until: float | None = None
    """Training error in % at which it ends early."""
    start: Path | None = None
    """The run folder whose weights it begins with, all but the last layer's; None: from nothing."""
