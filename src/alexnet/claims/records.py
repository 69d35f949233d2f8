"""What was measured, as it is kept: one run in its measured.json, and all runs of a claim at a scale in RESULTS/SCALE/ID.json.

A result file holds the base recipe whole, every variant's differences from it, and every run's figures. Means, intervals and
verdicts are computed from these when they are shown (`alexnet.claims.verdicts`); none is written down.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from alexnet import typed
from alexnet.claims.measures import Measured
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.files import write_text
from alexnet.reading import read_json
from alexnet.run.recipe import Recipe

FORMAT = 1

PUBLISHED = Path(__file__).parent / "results"
"""The results that come with the package, and that docs/claims.md is made from."""

Machine = dict[str, str | int]
"""What `provenance.machine` says of a machine."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one trained network, or of several that count as one: a mean or an average of a repeat."""

    images: dict[str, int] | None = None
    """Images by split, in measured.json; None: those of the result."""
    seed: int | None = None
    """Or the number of the repeat; None in measured.json, whose folder says it."""
    values: Measured
    diverged: bool
    """Whether the loss of a network became NaN, so that it counts as one that guesses."""
    training: tuple[float, ...] = ()
    """Training error in % over each epoch."""
    validation: tuple[tuple[int, float], ...] = ()
    """(epoch, validation error in %)"""
    seconds: float
    measures: tuple[str, ...] = ()
    """The names of the measures that are among the values."""
    commit: str = ""
    machine: Machine | None = None
    """None: that of the result."""
    networks: tuple["Record", ...] = ()
    """Those that it is the mean of."""
    pretraining: "Record | None" = None
    """The network that this one began with."""

    def joined(self, other: "Record") -> "Record":
        """This run with the measures that only another record of it has: a claim that shares it measured more, on another
        machine perhaps, where the same seed need not give the same bits."""
        if self.diverged or other.diverged:
            return self
        measures = tuple(dict.fromkeys((*self.measures, *other.measures)))
        return replace(self, values=other.values | self.values, measures=measures)


@dataclass(frozen=True)
class Trial:
    """A short run of a search for a learning rate."""

    rate: float
    train_error: float
    key: str
    seed: int
    values: Measured
    diverged: bool
    seconds: float
    commit: str

    @property
    def fell_short(self) -> bool:
        """Whether it was to end at a training error, and did not get there, or was given up."""
        return self.values.get("reached") == 0


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One side of a claim's comparisons, with a record for each seed."""

    changes: dict[str, Any]
    """Fields of the base recipe by their full names, and what they are instead; None: gone."""
    key: str = ""
    """`Folders.key`, by which a runner knows again what was run; "" in files from before there was one."""
    runs: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The prepared dataset that networks were trained and measured on."""

    source: str
    note: str = ""
    size: int
    """Side of its images in pixels."""
    classes: int
    images: dict[str, int]
    """How many, by split."""
    pretraining: "Data | None" = None
    """The other images that networks were pre-trained on, where any were."""

    @staticmethod
    def describe(prepared: Prepared, note: str = "", pretraining: Prepared | None = None) -> "Data":
        """What is kept of prepared datasets."""
        return Data(
            source=prepared.manifest["source"]["description"],
            note=note,
            size=prepared.size,
            classes=len(prepared.classes),
            images=images_of(prepared),
            pretraining=Data.describe(pretraining) if pretraining else None,
        )


def images_of(prepared: Prepared) -> dict[str, int]:
    """How many images each split has."""
    return {name: part["images"] for name, part in prepared.manifest["splits"].items()}


@dataclass(frozen=True)
class Result:
    """One claim at one scale, as its file holds it."""

    claim: str
    scale: str
    command: str
    data: Data
    recipe: Recipe
    """The scale's recipe that the variants change."""
    variants: dict[str, Variant]
    search: dict[str, tuple[Trial, ...]]
    """What the search of each variant tried, if there was one."""
    target: float | None
    """Training error in % at which the runs ended, if they did."""
    validation_target: float
    machine: Machine
    commits: tuple[str, ...]
    seconds: float
    """Of all runs together, those that other claims share too."""

    def save(self, folder: Path) -> Path:
        """Write FOLDER/SCALE/ID.json, whole or not at all."""
        path = folder / self.scale / f"{self.claim}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _compact({"format": FORMAT, **to_dict(self)}) + "\n")
        return path

    def runs(self) -> list[Record]:
        """The records of all variants."""
        return [run for variant in self.variants.values() for run in variant.runs]

    def by_seed(self, variant: str, measure: str) -> dict[int, float]:
        """The measured values of a variant by seed; runs that lack the measure are left out."""
        runs = self.variants[variant].runs if variant in self.variants else ()
        return {run.seed or 0: run.values[measure] for run in runs if measure in run.values}

    def values(self, variant: str, measure: str) -> list[float]:
        """The same, one a seed."""
        return list(self.by_seed(variant, measure).values())

    def merged(self, before: "Result") -> "Result":
        """This result with what an earlier one has besides: variants, seeds and measures. As it is, where no variant of the two
        is the same: then they are of other data, or of another recipe."""
        keys = {name: variant.key for name, variant in self.variants.items()}
        shared = {*keys.values()} & {variant.key for variant in before.variants.values()}
        if not shared or before.data.images != self.data.images:
            return self
        variants, added = dict(self.variants), list[Record]()
        for name, old in before.variants.items():
            if name not in keys and old.key in ("", *keys.values()):  # it has another name now
                continue
            new = variants.get(name, replace(old, runs=()))
            if new.key != old.key:
                continue
            elsewhere = None if before.machine == self.machine else before.machine
            known = {run.seed: replace(run, machine=run.machine or elsewhere) for run in old.runs}
            ours = {run.seed: run.joined(known.get(run.seed, run)) for run in new.runs}
            added += [run for seed, run in known.items() if seed not in ours]
            runs = sorted((known | ours).values(), key=lambda run: run.seed or 0)
            variants[name] = replace(new, runs=tuple(runs))
        networks = [network for run in added for network in (run, *run.networks)]
        return replace(
            self,
            data=replace(self.data, pretraining=self.data.pretraining or before.data.pretraining),
            variants=variants,
            search=before.search | self.search,
            commits=tuple(sorted({*self.commits, *(run.commit for run in networks if run.commit)})),
            seconds=round(self.seconds + sum(run.seconds for run in added), 1),
        )


def load(path: Path) -> Result:
    """Read a result file; InputError, naming it, if it is none."""
    try:
        values = read_json(path, most=1 << 26)
        if values.pop("format") != FORMAT:
            raise InputError("written by another version of alexnet; run the claim again")
        result: Result = from_dict(Result, values)
        return result
    except (OSError, InputError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of alexnet claims run ({error})") from None


def load_all(folder: Path) -> list[Result]:
    """All results under a folder, in the order of their paths."""
    return [load(path) for path in sorted(folder.glob("*/*.json"))]


def to_dict(record: Any) -> Any:
    """A record as JSON has it; optional fields that say nothing are left out."""
    if isinstance(record, Recipe):
        return asdict(record)
    if is_dataclass(record):
        values = {field.name: getattr(record, field.name) for field in fields(record)}
        return {
            name: to_dict(value)
            for name, value in values.items()
            if name not in _OPTIONAL or value not in (None, "", ())
        }
    if isinstance(record, dict):
        return {name: to_dict(value) for name, value in record.items()}
    return [to_dict(value) for value in record] if isinstance(record, tuple) else record


_OPTIONAL = ("images", "seed", "commit", "machine", "networks", "pretraining", "key")


def from_dict(kind: Any, value: Any) -> Any:
    """The record of a kind that `to_dict` gave. Raises LookupError, TypeError, ValueError (InputError for a recipe) or
    AttributeError for what is none."""
    inner = get_args(kind)
    if kind is Recipe:
        return typed.from_dict(Recipe, value, "recipe")
    if is_dataclass(kind):
        types, make = get_type_hints(kind), cast(Callable[..., Any], kind)
        return make(**{name: from_dict(types[name], value[name]) for name in types if name in value})
    if isinstance(kind, UnionType):  # the only ones are "or None"
        return None if value is None else from_dict(inner[0], value)
    if get_origin(kind) is tuple:
        return tuple(from_dict(inner[0], each) for each in value)
    if get_origin(kind) is dict:
        return {name: from_dict(inner[1], each) for name, each in value.items()}
    if kind is float and not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _compact(values: Any, indent: int = 0) -> str:
    """JSON with a line for each member of the outer objects, and short lists on one line, so that a change is seen."""
    flat = json.dumps(values, ensure_ascii=False)
    if len(flat) + indent <= 110 or not isinstance(values, dict | list) or not values:
        return flat
    inner = " " * (indent + 1)
    if isinstance(values, dict):
        lines = [f"{inner}{json.dumps(key)}: {_compact(value, indent + 1)}" for key, value in values.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if all(isinstance(value, int | float) for value in values):
        return flat
    return "[\n" + ",\n".join(inner + _compact(value, indent + 1) for value in values) + "\n" + " " * indent + "]"
