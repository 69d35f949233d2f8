"""What a claim is: recipes that differ in one place, what is measured of each, and the figure that the paper gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from alexnet.claims import measures
from alexnet.claims.changes import Change, same
from alexnet.claims.measures import Measure
from alexnet.claims.records import Trial
from alexnet.device import Precision
from alexnet.errors import InputError
from alexnet.run.recipe import Recipe

ScaleName = Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"]
WITH_SMALL: tuple[ScaleName, ...] = ("smoke", "small", "reduced", "longer", "imagenette", "imagenet")
WITH_CIFAR: tuple[ScaleName, ...] = ("smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet")
TO_IMAGENETTE: tuple[ScaleName, ...] = ("smoke", "reduced", "imagenette")
TABLE_2: tuple[ScaleName, ...] = ("smoke", "reduced", "imagenette", "imagenet")


@dataclass(frozen=True)
class Comparison:
    """One figure of a claim: a measure of variant `of`, minus (or divided by) the same of variant `against`."""

    of: str
    against: str | None = None
    """None: the measure stands against `bound`, such as ten crops minus one within each run against 0."""
    measure: str = "top1"
    """A key of what is measured of a run; `verdicts.MEASURES` explains them."""
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
class Search:
    """How each variant of a claim gets its own learning rate: the best of `rates` in short runs with a seed of their own."""

    rates: tuple[float, ...]
    epochs: int
    seed: int = 1000
    by: Literal["train_error", "top1", "epochs_to_target"] = "train_error"
    """What is lowest where the best rate is: the training or the validation error of the last epoch, or the epochs to the scale's
    target: these runs end at it, or once they have taken as many epochs as a rate before them that reached it."""
    rates_by_variant: tuple[tuple[str, tuple[float, ...]], ...] = ()
    """(variant, the rates that it tries in place of `rates`)."""

    def rates_of(self, variant: str) -> tuple[float, ...]:
        """The rates that a variant tries."""
        return dict(self.rates_by_variant).get(variant, self.rates)

    def best(self, trials: Sequence[Trial]) -> float:
        """The rate of the best of these runs; of equal ones the first."""
        # Runs that fall short of a target come last, and are told apart by how far they got.
        return min(trials, key=lambda trial: (trial.fell_short, trial.values[self.by], trial.train_error)).rate


@dataclass(frozen=True)
class Stage:
    """Networks of one recipe, several to a repeat, that are averaged or that others begin with: a link of Table 2's chain."""

    name: str
    """What their run folders are called."""
    networks: range
    """The seeds of the first repeat; those of every other are 10 larger than those before."""
    change: Change = same
    other_images: bool = False
    """Whether they are trained on other images than those that the claim is measured on: pre-training (§6)."""
    start: "Stage | None" = None
    """The stage whose networks of the same seeds these begin with; the scale's `fine_tuning` changes their recipe too."""

    def seeds(self, repeat: int) -> range:
        """The seeds of the networks of a repeat, counted from 0."""
        return range(self.networks.start + 10 * repeat, self.networks.stop + 10 * repeat)


@dataclass(frozen=True)
class Group:
    """A variant of several networks: the mean of their errors, or the error of their averaged probabilities."""

    stages: tuple[Stage, ...]
    averaged: bool = False

    def takes_other_images(self) -> bool:
        """Whether it rests on networks that are pre-trained."""
        return any(stage.start is not None for stage in self.stages)


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
    """(name, change); none: the row has no experiment of its own."""
    groups: tuple[tuple[str, Group], ...] = ()
    """(name, networks): variants that are several networks a seed, which is then called a repeat."""
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
    """Whose result file has the figures, where another claim's experiment gives them: "table2"."""

    @property
    def names(self) -> list[str]:
        """The names of all variants."""
        return [name for name, _ in (*self.variants, *self.groups)]


@dataclass(frozen=True)
class Scale:
    """How large the experiments are: the recipes that claims change, their data, and what it costs."""

    name: ScaleName
    description: str
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
    fine_tuning: Change = same
    """What is done to the recipe of networks that begin with pre-trained weights, besides their claim's change."""
    pretrain_epochs: int | None = None
    """Epochs of pre-training; None: as many as of training from nothing."""

    def changed(
        self, precision: Precision | None = None, epochs: int | None = None, pretrain: int | None = None
    ) -> "Scale":
        """This scale with another precision, or other epochs, of all recipes; None leaves what it has."""
        changes = {"precision": precision, "epochs": epochs}
        changes = {name: value for name, value in changes.items() if value is not None}
        four_layer = self.four_layer and replace(self.four_layer, **changes)  # type: ignore[arg-type]
        recipe = replace(self.recipe, **changes)  # type: ignore[arg-type]
        return replace(self, recipe=recipe, four_layer=four_layer, pretrain_epochs=pretrain or self.pretrain_epochs)

    def base(self, claim: Claim) -> Recipe:
        """The recipe that a claim changes. Raises InputError if this scale has none for it."""
        if self.name not in claim.scales or not claim.names:
            known = ", ".join(claim.scales) if claim.names else "none: it has no experiment yet"
            raise InputError(f"--scale {self.name}: the scales of claim {claim.id} are {known}")
        return self.four_layer if claim.four_layer and self.four_layer else self.recipe

    def search_of(self, claim: Claim) -> Search:
        """How the variants of a claim find their rates, if they do."""
        special = claim.search_at
        return special[1] if special and special[0] == self.name else self.search


def at(claim: Claim, scale: Scale) -> Claim:
    """A claim as a scale tests it: each variant with its own rate, errors with ten crops, where the scale says so."""
    if scale.searches and claim.variants:
        claim = replace(claim, search=True)
    if scale.ten_crops:
        ten = {"top1": "ten_top1", "top5": "ten_top5"}
        compared = (replace(each, measure=ten.get(each.measure, each.measure)) for each in claim.comparisons)
        measured = dict.fromkeys((*claim.measures, measures.ten_crops))
        claim = replace(claim, comparisons=tuple(dict.fromkeys(compared)), measures=tuple(measured))
    return claim
