"""What experiments would cost: every run once, what is there already, images seen, and time at speeds that are known."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims import runner
from alexnet.claims.claim import Claim, Scale, at, search_of
from alexnet.claims.ledger import duration
from alexnet.claims.runner import Task
from alexnet.data.prepared import Prepared
from alexnet.network import networks
from alexnet.network.summary import summarize
from alexnet.run.images import training_of, validation_of

WHOLE = {
    "smoke": (520, 260, 13),
    "small": (50_000, 10_000, 10),
    "cifar": (50_000, 10_000, 10),
    "reduced": (9469, 3925, 10),
    "longer": (9469, 3925, 10),
    "imagenette": (9469, 3925, 10),
    "imagenet": (1_281_167, 50_000, 1000),
}
"""Training images, validation images and classes of the data that each scale asks for, where it is not at hand."""

IMAGES_PER_SECOND = 90.0
"""Of the paper's network in training, on two CPU cores (docs/performance.md)."""

GTX_580 = (90 * 1_200_000 / 5, 90 * 1_200_000 / 6)
"""Images a day on the two GTX 580 of 2012: 90 epochs of 1.2 million in 5 to 6 days (§5)."""


@dataclass(frozen=True)
class Planned:
    """Runs that differ in their seed only, or in the rate that a search tries."""

    name: str
    claims: tuple[str, ...]
    """Whose they are; several share them."""
    search: bool
    """Whether they only find a learning rate."""
    epochs: int
    at_most: bool
    """Whether they may end before, at a training error."""
    runs: int
    done: int
    images: int
    """Training images seen by one of them."""
    measured: int
    """Validation images of one of them, forward only."""
    multiply_adds: int
    """For one image, forward."""


@dataclass(frozen=True)
class Plan:
    """All runs of some claims at a scale."""

    scale: str
    data: str
    known: bool
    """Whether the data was at hand, without which nobody knows what is there already."""
    seeds: int
    runs: tuple[Planned, ...]

    def total(self, left: bool = False) -> int:
        """Training images seen by all runs, or by those that are left."""
        return sum(row.images * (row.runs - left * row.done) for row in self.runs)

    def seconds(self) -> float:
        """On two CPU cores, for the runs that are left: the multiply-adds a second of the paper's network, for all. Small
        networks do not reach that."""
        work = sum(row.images * (row.runs - row.done) * row.multiply_adds for row in self.runs)
        return work / (IMAGES_PER_SECOND * summarize(networks.paper).multiply_adds)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self),
            "images": self.total(),
            "images_left": self.total(left=True),
            "seconds_on_two_cores_at_least": self.seconds(),
        }

    def lines(self) -> list[str]:
        """As text."""
        claims = dict.fromkeys(name for row in self.runs for name in row.claims)
        number, done = sum(row.runs for row in self.runs), sum(row.done for row in self.runs)
        searches = sum(row.runs for row in self.runs if row.search)
        first = f"scale {self.scale}, {len(claims)} claim{'s' * (len(claims) != 1)}, {self.seeds} seeds: {number} runs"
        first += f", {searches} of them short ones that find a learning rate" if searches else ""
        made = [first, f"data: {self.data}", f"{'runs':>5} {'there':>5} {'epochs':>8} {'images a run':>13}  what"]
        for row in self.runs:
            shared = f" (serves {len(row.claims)} claims)" if len(row.claims) > 1 else ""
            there = str(row.done) if self.known else "?"
            epochs = f"up to {row.epochs}" if row.at_most else str(row.epochs)
            made.append(f"{row.runs:>5} {there:>5} {epochs:>8} {row.images:>13,}  {row.name}{shared}")
        validated = sum(row.measured * (row.runs - row.done) for row in self.runs)
        made += [
            f"images seen in training: {self.total():,}, of which {self.total(left=True):,} are left",
            f"in validation, forward only: {validated:,}",
            f"on two CPU cores: {duration(self.seconds())} at least, by the multiply-adds a second of the paper's network"
            f" at {IMAGES_PER_SECOND:g} images/s (docs/performance.md); small networks reach fewer",
            "on a GPU: not measured",
        ]
        if self.scale == "imagenet":
            fast, slow = (self.total(left=True) / a_day for a_day in GTX_580)
            made.append(
                f"at the pace of the two GTX 580 of 2012, 90 epochs in 5 to 6 days: {fast:,.0f} to {slow:,.0f} days"
            )
        if not self.known and self.scale != "smoke":
            made.append("name the data with --data DIR to see what is there already")
        if done:
            made.append(f"there already: {done} of {number} runs")
        return made


def plan(claims: Sequence[Claim], scale: Scale, prepared: Prepared | None, out: Path, seeds: Sequence[int]) -> Plan:
    """The runs that `runner.run` would do with these arguments, shared ones once; nothing is started.

    prepared: None counts with the numbers of images that the scale's data has. Raises InputError for a claim that has no
    experiment at this scale.
    """
    rows: dict[str, Planned] = {}
    for claim in (at(claim, scale) for claim in claims):
        searches = runner.search_tasks(claim, scale)
        rates = {
            name: best for name, trials in searches.items() if (best := _found(claim, trials, prepared, out, scale))
        }
        for trials in searches.values():
            _add(rows, claim, scale, trials, prepared, out, search=True)
        for name, of_seeds in runner.tasks(claim, scale, rates, seeds).items():
            waits = bool(searches) and name not in rates  # for its rate: then nothing of it can be there
            _add(rows, claim, scale, of_seeds, prepared, out, waits=waits)
    data = prepared.manifest["source"]["description"] if prepared else scale.data
    return Plan(scale.name, data, prepared is not None, len(seeds), tuple(rows.values()))


def _found(claim: Claim, trials: Sequence[Task], prepared: Prepared | None, out: Path, scale: Scale) -> float | None:
    records = [(task.run.recipe.rate, _record(task, prepared, out, scale)) for task in trials]
    done = [{"rate": rate, "values": record["values"]} for rate, record in records if record]
    return search_of(claim, scale).best(done) if len(done) == len(trials) else None


def _record(task: Task, prepared: Prepared | None, out: Path, scale: Scale) -> dict[str, Any] | None:
    return runner.measured(runner.folder(task, prepared, out / scale.name), prepared) if prepared else None


def _add(
    rows: dict[str, Planned],
    claim: Claim,
    scale: Scale,
    of_seeds: Sequence[Task],
    prepared: Prepared | None,
    out: Path,
    search: bool = False,
    waits: bool = False,
) -> None:
    run = of_seeds[0].run
    recipe = run.recipe
    name = of_seeds[0].name + (" (its own best rate)" if waits else "")
    if search:
        rates = " ".join(f"{task.run.recipe.rate:g}" for task in of_seeds)
        name = f"{name.removesuffix(f' rate {recipe.rate:g}')} rates {rates}"
    # Runs that wait for their rate are told apart by their claim and variant: two searches may find two rates.
    key = name if waits else str((runner.decisive(recipe), run.until))
    if key in rows:
        there = rows[key]
        rows[key] = replace(there, claims=tuple(dict.fromkeys((*there.claims, claim.id))))
        return
    if prepared:
        training, validation = len(training_of(recipe, prepared)[1]), len(validation_of(recipe, prepared)[1])
        classes = len(prepared.classes)
    else:
        training, validation, classes = WHOLE[scale.name]
    rows[key] = Planned(
        name=name,
        claims=(claim.id,),
        search=search,
        epochs=recipe.epochs,
        at_most=run.until is not None,
        runs=len(of_seeds),
        done=0 if waits else sum(_record(task, prepared, out, scale) is not None for task in of_seeds),
        images=recipe.epochs * training,
        measured=-(-recipe.epochs // recipe.validate_every) * validation,
        multiply_adds=summarize(replace(recipe.network, classes=classes)).multiply_adds,
    )
