"""What `alexnet claims run` is asked for: claims by name, a scale, and the prepared datasets that they take."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.claims import ledger, runner
from alexnet.claims import plan as plans
from alexnet.claims.claim import Claim, Scale, ScaleName
from alexnet.claims.claims import experiment
from alexnet.claims.plan import Plan
from alexnet.claims.records import Result
from alexnet.claims.scales import scales
from alexnet.claims.workers import Now
from alexnet.data import prepared as prepared_sets
from alexnet.data.builtin import FILES, Photographs
from alexnet.data.prepare import prepare
from alexnet.data.prepared import Prepared
from alexnet.device import Precision, keep_memory
from alexnet.errors import InputError

NAMES = tuple(sorted(FILES))
"""The classes of the built-in photographs."""


@dataclass(frozen=True)
class Experiment:
    """Claims at a scale, and what they are run with. Raises InputError, as it is made, for what cannot be run."""

    ids: tuple[str, ...]
    """Rows of the ledger, or "table2"; a row that another experiment measures stands for that one."""
    all: bool = False
    """Every claim that has an experiment of its own at the scale, in place of `ids`."""
    scale_name: ScaleName = "smoke"
    data: Path | None = None
    """The prepared dataset that the scale asks for; None: smoke prepares its own."""
    pretrain_data: Path | None = None
    """A prepared dataset of other images, for the networks that are pre-trained; None: they are left out."""
    out: Path = Path("runs/claims")
    results: Path | None = None
    """Where result files go; None: OUT/results."""
    seeds: int | None = None
    """How many, from 0; None: as many as the scale has."""
    precision: Precision | None = None
    epochs: int | None = None
    pretrain_epochs: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if bool(self.ids) == self.all:
            known = ", ".join(ledger.ids(self.scale_name))
            raise InputError(f"name the claims to run, or --all; at scale {self.scale_name} there are {known}")
        for id in self.ids:
            if id not in ledger.NAMED:
                raise InputError(f"ID {id}: no claim of that name; there are {', '.join(ledger.NAMED)}")
        for claim in self.claims:
            self.scale.base(claim)
        for name in ("seeds", "epochs", "pretrain_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} {value}: must be at least 1")
        if self.data and self.pretrain_data and self.data.resolve() == self.pretrain_data.resolve():
            raise InputError(
                f"--pretrain-data {self.pretrain_data}: the same folder as --data; it has to be other images"
            )
        if (self.pretrain_data or self.pretrain_epochs) and not any(claim.groups for claim in self.claims):
            raise InputError(
                "--pretrain-data, --pretrain-epochs: none of these claims pre-trains networks; table2 does"
            )
        if self.pretrain_epochs and self.pretrain_data is None and self.data is not None:
            raise InputError(
                f"--pretrain-epochs {self.pretrain_epochs}: there is nothing to pre-train on; name it with --pretrain-data DIR,"
                " or leave the option out"
            )

    @property
    def claims(self) -> list[Claim]:
        """The claims to run, each once."""
        ids = ledger.ids(self.scale_name) if self.all else self.ids
        return list({claim.id: claim for claim in (experiment(ledger.NAMED[id]) for id in ids)}.values())

    @property
    def scale(self) -> Scale:
        """The scale with this experiment's precision and epochs."""
        return scales[self.scale_name].changed(self.precision, self.epochs, self.pretrain_epochs)

    @property
    def options(self) -> str:
        """The options of the command that decide the figures."""
        values: dict[str, Any] = {
            "scale": self.scale_name,
            "data": self.data.name if self.data and self.scale_name != "smoke" else None,
            "pretrain-data": self.pretrain_data.name if self.pretrain_data else None,
            "epochs": self.epochs,
            "pretrain-epochs": self.pretrain_epochs,
            "precision": self.precision,
            "seeds": self.seeds,
        }
        return " ".join(f"--{name} {value}" for name, value in values.items() if value is not None)

    @property
    def repeats(self) -> range:
        """The seeds."""
        return range(self.seeds or self.scale.seeds)

    def prepared(self, make: bool) -> tuple[Prepared | None, Prepared | None]:
        """The datasets, the second to pre-train on; `make`: prepare those of scale smoke that are not there. Raises InputError
        for one that is missing then, or that is no prepared dataset."""
        data, other = self.data, self.pretrain_data
        if data is None and self.scale_name == "smoke":
            names = {"builtin": NAMES}
            if other is None and any(claim.groups for claim in self.claims):
                names = {"builtin-target": NAMES[6:], "builtin-pretraining": NAMES[:6]}
            for name, classes in names.items() if make else ():
                photographs = Photographs(train_patches=40, test_patches=20, classes=classes)
                prepare(photographs, self.out / name, size=32)
            paths = (self.out / name for name in names)
            data, *rest = (path if (path / "manifest.json").is_file() else None for path in paths)
            other = rest[0] if rest else other
        if data is None and make:
            raise InputError(f"--data DIR is missing: scale {self.scale_name} takes {self.scale.data}")
        return prepared_sets.open(data) if data else None, prepared_sets.open(other) if other else None


def run(
    asked: Experiment,
    jobs: int = 1,
    progress: Callable[[Now], None] = lambda now: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Run what is left of an experiment, `jobs` runs at a time, and write a result file for each claim.

    Raises perform.Stopped once `stop` says so, after which the same call goes on; InputError for data that is missing or does
    not fit the scale.
    """
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be at least 1")
    keep_memory()
    prepared, other = asked.prepared(make=True)
    assert prepared is not None
    results = asked.results or asked.out / "results"
    places = (asked.out, results, asked.repeats, jobs, asked.options, asked.note)
    return runner.run(asked.claims, asked.scale, prepared, *places, progress, stop, other)


def plan(asked: Experiment) -> Plan:
    """The runs that `run` would do, and what they cost; nothing is started."""
    prepared, other = asked.prepared(make=False)
    return plans.plan(asked.claims, asked.scale, prepared, asked.out, asked.repeats, other)
