"""The arguments of a call of `train`, and what it reports to its caller."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from alexnet.data.prepared import Prepared
from alexnet.processes import Mode, Processes
from alexnet.run.recipe import Recipe
from alexnet.run.trackers import Trackers


@dataclass(frozen=True)
class Status:
    """How far a run is, for live progress. Errors in percent, over the epoch so far; `validation` is the last one measured."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    error: float
    rate: float
    images_per_second: float
    seconds_left: float
    validation: float | None
    ended: bool = False
    """Whether the epoch is over, its validation too."""


@dataclass(frozen=True)
class Start:
    """What a call of `train` is about to do."""

    recipe: Recipe
    """As it trains: with as many classes as the data has."""
    device: str
    threads: int
    precision: str
    """What the network computes in, with the part of the processor that does: "float32", "bf16", "bf16 by AMX"."""
    images: int
    validation: str
    """The split that measures the run: "val", "test", or "held out of train"."""
    validation_images: int
    steps: int
    """Updates of the weights in an epoch."""
    done: int
    """Updates done before, by an earlier call."""
    restarted: bool
    """Whether these processes were started again, after one of them died, and go on with the run that they began."""
    pretrained: bool
    """Whether its first weights are another network's."""
    finished: bool
    """Whether nothing is left to do: its epochs are over, or its schedule or early stopping ended it before."""
    left_out: tuple[str, ...] = ()
    """A line for each tracker, TensorBoard too, that is done without: which package it needs, or why it cannot begin."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    run: Path
    epochs: int
    finished: bool
    """False if it was stopped before its last epoch; `alexnet train --resume` goes on."""
    last: dict[str, Any]
    """The last epoch's line of metrics.jsonl."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        last = {key: value for key, value in self.last.items() if key not in ("kind", "epoch", "time")}
        return {"run": str(self.run), "finished": self.finished, "epochs": self.epochs, **last}


@dataclass(frozen=True)
class Call:
    """The arguments of a call of `start.train`, whose docstring says what each means."""

    recipe: Recipe
    prepared: Prepared
    run: Path
    resume: bool
    start_from: dict[str, Tensor] | None
    progress: Callable[[Status], None] | None
    stop: Callable[[], bool]
    started: Callable[[Start], None] | None
    processes: Processes
    parallel: Mode
    say: Callable[[str], Any]
    start_name: str | None = None
    restarted: bool = False
    trackers: Trackers | None = None
    """Where the process that writes sends its numbers; None in the others."""
