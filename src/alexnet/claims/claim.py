"""What a claim is: recipes that differ in one place, what is measured of each, and the figure that the paper gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet.claims import measures
from alexnet.claims.measures import Measure
from alexnet.training.recipe import Recipe

Change = Callable[[Recipe], Recipe]
"""What makes a variant from a scale's recipe."""

ScaleName = Literal["smoke", "small", "cifar", "reduced", "imagenette", "imagenet"]


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
    scales: tuple[ScaleName, ...] = ("smoke", "reduced", "imagenette", "imagenet")
    four_layer: bool = False
    """Whether it is about the four-layer network of §3.1 rather than the paper's."""
    measures: tuple[Measure, ...] = (measures.overfitting,)
    """What is measured of a trained network beside its validation error."""
    search: bool = False
    """Whether each variant first finds its own learning rate, by its scale's search."""
    stops: bool = False
    """Whether runs end when the training error reaches the scale's target."""
    note: str = ""
    """What a reader of the result has to know."""
    result: str = ""
    """Whose result file has the figures, where another command than `alexnet claims run` makes it: "table2"."""


@dataclass(frozen=True)
class Search:
    """How each variant of a claim gets its own learning rate: the best of `rates` in short runs with a seed of their own."""

    rates: tuple[float, ...]
    epochs: int
    """The rate with the lowest training error in the last of them wins."""
    seed: int = 1000


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
    validation_target: float = 35.0
    """Validation error in %: `epochs_to_validation` counts the epochs until it is reached."""


@dataclass(frozen=True)
class Run:
    """One training run of an experiment. Equal ones are done once, whatever claims they serve."""

    recipe: Recipe
    until: float | None = None
    """Training error in % at which it ends early."""
    start: Path | None = None
    """The run folder whose weights it begins with, all but the last layer's; None: from nothing."""
