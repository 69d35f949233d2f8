"""What experiments would cost: every run once, what is there already, images seen, and time at speeds that are known."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims.claim import Claim, Scale, at
from alexnet.claims.expand import networks, search_tasks, tasks
from alexnet.claims.keys import Folders, Run, Task, decisive
from alexnet.claims.sheet import trials_of
from alexnet.data.prepared import Prepared
from alexnet.network.networks import paper
from alexnet.network.summary import summarize
from alexnet.run.images import training_of, validation_of
from alexnet.words import counted, duration

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
    """The claims that share them."""
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
    """Whether the data was at hand, without which it is not known which runs are there."""
    seeds: int
    runs: tuple[Planned, ...]

    def total(self, left: bool = False) -> int:
        """Training images seen by all runs, or by those that are left."""
        return sum(row.images * (row.runs - left * row.done) for row in self.runs)

    def seconds(self) -> float:
        """On two CPU cores, for the runs that are left: the multiply-adds a second of the paper's network, for all. Small
        networks do not reach that."""
        work = sum(row.images * (row.runs - row.done) * row.multiply_adds for row in self.runs)
        return work / (IMAGES_PER_SECOND * summarize(paper).multiply_adds)

    def to_dict(self) -> dict[str, Any]:
        """The plan for JSON."""
        return {
            **asdict(self),
            "images": self.total(),
            "images_left": self.total(left=True),
            "seconds_on_two_cores_at_least": self.seconds(),
        }

    def lines(self) -> list[str]:
        """The plan as lines of text."""
        claims = {name for row in self.runs for name in row.claims}
        number, done = sum(row.runs for row in self.runs), sum(row.done for row in self.runs)
        searches = sum(row.runs for row in self.runs if row.search)
        first = f"scale {self.scale}, {counted(len(claims), 'claim')}, {self.seeds} seeds: {number} runs"
        first += f", {searches} of them short ones that find a learning rate" if searches else ""
        lines = [first, f"data: {self.data}", f"{'runs':>5} {'there':>5} {'epochs':>8} {'images a run':>13}  what"]
        for row in self.runs:
            shared = f" (serves {len(row.claims)} claims)" if len(row.claims) > 1 else ""
            known = str(row.done) if self.known else "?"
            epochs = f"up to {row.epochs}" if row.at_most else str(row.epochs)
            lines.append(f"{row.runs:>5} {known:>5} {epochs:>8} {row.images:>13,}  {row.name}{shared}")
        validated = sum(row.measured * (row.runs - row.done) for row in self.runs)
        lines += [
            f"images seen in training: {self.total():,}, of which {self.total(left=True):,} are left",
            f"in validation, forward only: {validated:,}",
            f"on two CPU cores: {duration(self.seconds())} at least, by the multiply-adds a second of the paper's network"
            f" at {IMAGES_PER_SECOND:g} images/s (docs/performance.md); small networks reach fewer",
            "on a GPU: not measured",
        ]
        if self.scale == "imagenet":
            fast, slow = (self.total(left=True) / a_day for a_day in GTX_580)
            lines.append(
                f"at the pace of the two GTX 580 of 2012, 90 epochs in 5 to 6 days: {fast:,.0f} to {slow:,.0f} days"
            )
        if not self.known and self.scale != "smoke":
            lines.append("name the data with --data DIR to see what is there already")
        if done:
            lines.append(f"there already: {done} of {number} runs")
        return lines


def plan(
    claims: Sequence[Claim],
    scale: Scale,
    prepared: Prepared | None,
    out: Path,
    seeds: Sequence[int],
    pretraining: Prepared | None = None,
) -> Plan:
    """The runs that `runner.run` would do with these arguments, shared ones once; nothing is started.

    prepared: None counts with the numbers of images that the scale's data has, for pre-training too. Raises InputError for a
    claim that has no experiment at this scale.
    """
    folders = Folders(out / scale.name, prepared, pretraining) if prepared else None
    rows: dict[str, _Runs] = {}
    for claim in (at(claim, scale) for claim in claims):
        for each in _runs(claim, scale, folders, seeds):
            # Runs that wait for their rate are told apart by their claim and variant: two searches may find two rates.
            run = each.tasks[0].run
            key = each.name if each.waits else str((decisive(run.recipe), run.until, run.other_images, bool(run.start)))
            row = rows.setdefault(key, each)
            row.claims = list(dict.fromkeys((*row.claims, claim.id)))
            known = {(task.run.recipe.seed, task.run.recipe.rate) for task in row.tasks}
            row.tasks += [task for task in each.tasks if (task.run.recipe.seed, task.run.recipe.rate) not in known]
    data = prepared.manifest["source"]["description"] if prepared else scale.data
    if any(claim.groups for claim in claims):
        without = (
            "none, so that no network is pre-trained" if prepared else "other images, counted as if they were as many"
        )
        data += f"; pre-training: {pretraining.manifest['source']['description'] if pretraining else without}"
    planned = tuple(_planned(row, scale, folders) for row in rows.values())
    return Plan(scale.name, data, prepared is not None, len(seeds), planned)


@dataclass
class _Runs:
    """Tasks that are one row of the plan, each once."""

    name: str
    claims: list[str]
    tasks: list[Task]
    search: bool = False
    waits: bool = False
    """Whether the search has yet to find their rate: then nothing of them can be there."""


def _runs(claim: Claim, scale: Scale, folders: Folders | None, seeds: Sequence[int]) -> Iterator[_Runs]:
    """The runs of a claim by what they are: searches, variants, the stages of groups."""
    base, searches = scale.base(claim), search_tasks(claim, scale)
    trials = trials_of(searches, folders) if folders else {}
    rates = {name: scale.search_of(claim).best(each) for name, each in trials.items()}
    for name, group in searches.items():
        tried = " ".join(f"{task.run.recipe.rate:g}" for task in group)
        yield _Runs(f"{claim.id} {name} rates {tried}", [claim.id], group, search=True)
    for name, group in tasks(claim, scale, rates, seeds).items():
        waits = name in searches and name not in rates
        yield _Runs(group[0].name + " (its own best rate)" * waits, [claim.id], group, waits=waits)
    other = folders.other if folders else None
    classes = len(other.classes) if other else WHOLE[scale.name][2]
    for _, several in claim.groups:
        if not folders or other or not several.takes_other_images():
            trained = [task for repeat in seeds for task in networks(several, scale, base, classes, repeat)]
            in_order = (each for task in trained for each in (task.before, task) if each)
            yield from (_Runs(task.name, [claim.id], [task]) for task in in_order)


def _planned(row: _Runs, scale: Scale, folders: Folders | None) -> Planned:
    run: Run = row.tasks[0].run
    training, validation, classes = WHOLE[scale.name]
    if folders:
        images = folders.prepared(run)
        training, validation = (len(part(run.recipe, images)[1]) for part in (training_of, validation_of))
        classes = len(images.classes)
    ended = 0 if row.waits or not folders else sum(folders.record(task) is not None for task in row.tasks)
    return Planned(
        name=row.name,
        claims=tuple(row.claims),
        search=row.search,
        epochs=run.recipe.epochs,
        at_most=run.until is not None,
        runs=len(row.tasks),
        done=ended,
        images=run.recipe.epochs * training,
        measured=-(-run.recipe.epochs // run.recipe.validate_every) * validation,
        multiply_adds=summarize(replace(run.recipe.network, classes=classes)).multiply_adds,
    )
