"""A run of an experiment, and the key by which its folder and its figures are known again.

OUT/SCALE/NAME-KEY-seed0/ is a run folder like any other, plus measured.json. The key is a hash of everything that decides the
outcome (what differs from a recipe's defaults, the data, where it ends), so that claims share their runs and a changed recipe is
another run. Result files know their runs by the same key.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.claims.measures import Measure
from alexnet.claims.records import Record, from_dict, images_of
from alexnet.data.prepared import Prepared
from alexnet.device import low_precision, pick
from alexnet.errors import InputError
from alexnet.reading import read_json
from alexnet.run import checkpoint
from alexnet.run.folder import MEASURED
from alexnet.run.recipe import Recipe

NO_MATTER = (
    "name", "network.name", "network.classes", "seed", "device", "compile", "resident", "keep", "checkpoint_minutes",
    "log",
)  # fmt: skip
"""Fields of a recipe that do not decide the outcome of a run, or that its folder names; classes come from the data."""


@dataclass(frozen=True)
class Run:
    """One training run of an experiment. Equal ones are done once, whatever claims they serve."""

    recipe: Recipe
    until: float | None = None
    """Training error in % at which it ends early."""
    start: "Run | None" = None
    """The run whose weights it begins with, all but the last layer's; None: from nothing."""
    other_images: bool = False
    """Whether it is trained on the images that networks are pre-trained on."""


@dataclass(frozen=True)
class Task:
    """A run, and what has to be measured of it."""

    name: str
    """What its folder and its recipe are called: claim and variant of the first claim that wants it."""
    run: Run
    measures: tuple[Measure, ...] = ()
    lends: bool = False
    """Whether others begin with its weights or average its predictions: then its figures alone are not enough."""
    before: "Task | None" = None
    """The task that trains `run.start`."""
    within: float | None = None
    """The search ends the run after so many epochs: with another rate it was at `run.until` by then."""

    def is_over(self, epoch: int, error: float) -> bool:
        """Whether it ends with an epoch of this training error in %: at its target, or given up."""
        at_target = self.run.until is not None and error <= self.run.until
        return at_target or (self.within is not None and epoch >= self.within)

    def missing(self, record: Record) -> list[Measure]:
        """The measures that its record lacks; a run that diverged needs none."""
        known = () if record.diverged else self.measures
        return [measure for measure in known if measure.__name__ not in record.measures]


def decisive(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that decide the outcome of a run, seed apart, where they differ from their defaults.

    So a new field of the recipe leaves all keys as they are, as long as its default changes nothing. A default that is changed
    would give old keys another meaning.
    """
    if recipe.precision == "auto" and low_precision("auto", pick()):
        recipe = replace(recipe, precision="bf16")  # which it is; before there was this, "auto" was float32 on a CPU
    return {name: value for name, value in _not_default(recipe, "") if name not in NO_MATTER}


def _not_default(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        inner, name = getattr(value, field.name), f"{prefix}{field.name}"
        if field.default is not MISSING and inner == field.default:
            continue
        if is_dataclass(inner):
            yield from _not_default(inner, f"{name}.")
        elif isinstance(inner, tuple) and inner and is_dataclass(inner[0]):
            for number, row in enumerate(inner):
                yield from _not_default(row, f"{name}.{number}.")
        else:
            yield name, inner


@dataclass(frozen=True)
class Folders:
    """The run folders of a scale, OUT/SCALE, for the images at hand."""

    root: Path
    images: Prepared
    """What claims are measured on."""
    other: Prepared | None = None
    """What networks are pre-trained on."""

    def prepared(self, run: Run) -> Prepared:
        """The images that a run is trained and measured on."""
        if not run.other_images:
            return self.images
        assert self.other is not None
        return self.other

    def key(self, run: Run) -> str:
        """Eight letters that stand for everything that decides the outcome of a run, its seed apart."""
        prepared = self.prepared(run)
        mean = hashlib.sha256(prepared.mean.tobytes()).hexdigest()
        decides = [decisive(run.recipe), run.until, prepared.classes, prepared.size, mean]
        if run.start:
            decides.append(self.ending(run.start))
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]

    def ending(self, run: Run) -> str:
        """The key and the seed of a run, by which its folder's name ends."""
        return f"{self.key(run)}-seed{run.recipe.seed}"

    def path(self, run: Run, name: str) -> Path:
        """The folder of a run, under whatever name another claim gave it; else by this name."""
        return self.named(self.ending(run), name)

    def named(self, ending: str, name: str) -> Path:
        """The run folder whose name has this ending; else the one that a run of this name would get."""
        known = sorted(self.root.glob(f"*-{ending}"))
        return known[0] if known else self.root / f"{re.sub(r'[^a-z0-9.]+', '-', name.lower()).strip('-')}-{ending}"

    def record(self, task: Task) -> Record | None:
        """The record of a task's run; None if it is not finished. Raises InputError as `read_record`."""
        return read_record(self.path(task.run, task.name), self.prepared(task.run))

    def is_done(self, task: Task) -> bool:
        """Whether a task is performed, and all that is wanted of it is measured, or at hand."""
        record = self.record(task)
        return record is not None and not task.missing(record) and not self.lacks_weights(task, record)

    def lacks_weights(self, task: Task, record: Record) -> bool:
        """Whether only the figures of a run are here, brought along by a result, and not the weights that are still to be
        measured, or that others take."""
        wanted = task.missing(record) or (task.lends and not record.diverged)
        return bool(wanted) and checkpoint.latest(self.path(task.run, task.name)) is None

    def of_variant(self, run: Run) -> dict[int, Record]:
        """The records of the finished runs that differ from this in their seed alone, by seed."""
        paths = {int(path.name.rpartition("-seed")[2]): path for path in self.root.glob(f"*-{self.key(run)}-seed*")}
        records = {seed: read_record(path, self.prepared(run)) for seed, path in sorted(paths.items())}
        return {seed: record for seed, record in records.items() if record is not None}


def read_record(path: Path, prepared: Prepared) -> Record | None:
    """The record of a finished run; None if it is not finished, or the file is damaged: then it is measured again.

    Raises InputError if it was measured on other splits: the key knows the training images only.
    """
    try:
        record: Record = from_dict(Record, read_json(path / MEASURED))
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if record.images is not None and record.images != images_of(prepared):
        raise InputError(
            f"--out: {path} was measured on other splits, {record.images}; use another --out for this data"
        )
    return record
