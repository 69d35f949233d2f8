"""Figures of measurements: forms timed in turn, median and spread, and the JSON document that keeps them.

A machine that swings by 15% swings for every form alike when they are timed in turn; so a ratio is taken inside each round.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alexnet import provenance


@dataclass(frozen=True)
class Row:
    """One figure: median, lowest and highest of its rounds."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    rounds: int
    note: str = ""


def row(name: str, values: list[float], unit: str, note: str = "") -> Row:
    """The figure of these values, one a round."""
    return Row(name, statistics.median(values), min(values), max(values), unit, len(values), note)


def in_turn(
    forms: Mapping[str, Callable[[], float | None]],
    repeats: int = 7,
    warmup: int = 2,
    stop: Callable[[], bool] = lambda: False,
    leave_out: Callable[[str, Exception], None] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every form in every round, the forms in turn; a form that returns a number has timed itself.

    stop: asked before every round but the first that counts; True ends with the rounds that are there. leave_out: told of a
    form that fails, which then has no figures, and the others go on; without it the error is raised.
    """
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(-warmup, repeats):
        if number > 0 and stop():
            break
        for name in list(seconds):
            begun = time.perf_counter()
            try:
                own = forms[name]()
            except Exception as error:
                if leave_out is None:
                    raise
                leave_out(name, error)
                del seconds[name]
                continue
            took = time.perf_counter() - begun if own is None else own
            if number >= 0:
                seconds[name].append(took)
    return seconds


def ratios(ours: list[float], peers: list[float]) -> list[float]:
    """How many times faster ours is, round by round."""
    return [peer / own for own, peer in zip(ours, peers, strict=True)]


def document(name: str, command: str, rows: list[Row], **more: Any) -> dict[str, Any]:
    """What a result file holds, in plain types for JSON: benchmark, command, commit, machine, rows, and `more`."""
    return {
        "benchmark": name,
        "command": command,
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "rows": [asdict(figure) for figure in rows],
        **more,
    }
