"""The log of a training, metrics.jsonl: writing it, for trackers too, and reading it again."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.files import named, write_text
from alexnet.reading import parse_json, read_bytes
from alexnet.run.folder import METRICS
from alexnet.run.trackers import Trackers


class Log:
    """metrics.jsonl, a line an event, and the same numbers in trackers. Without trackers nothing is written.

    Only one of several processes has any, and writes.
    """

    def __init__(self, run: Path, step: int, trackers: Trackers | None) -> None:
        self.path = run / METRICS
        self.last: dict[str, Any] = {}
        self.trackers = trackers
        if trackers is None:
            return
        # The lines after the checkpoint's step will be written again.
        lines = [line for line in read_metrics(run) if line.get("step", 0) <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        self.last = next(reversed(epochs(lines)), {})

    def write(self, kind: str, **values: Any) -> None:
        if self.trackers is None:
            return
        line = {"kind": kind, **values, "time": round(time.time(), 3)}
        with named(self.path), self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if kind != "start":
            numbers = {name: value for name, value in values.items() if name not in ("epoch", "step")}
            self.trackers.write(kind, values["step"], numbers)
        if kind == "epoch":
            self.last = line

    def close(self, finished: bool) -> None:
        """End the trackers' runs; `finished`: whether the training came to its end."""
        if self.trackers:
            self.trackers.close(finished)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a line that a kill cut short, or that is no event, is left out."""
    lines: list[dict[str, Any]] = []
    try:
        text = read_bytes(run / METRICS, most=1 << 30).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return lines
    for written in text.splitlines():
        try:
            line = parse_json(written, "")
        except InputError:
            continue
        if isinstance(line, dict) and _is_event(line):
            lines.append(line)
    return lines


def epochs(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of kind epoch, one an epoch: of one that a resumed run wrote twice, the later line."""
    return list({line["epoch"]: line for line in lines if line["kind"] == "epoch"}.values())


COUNTS = {"start": (), "step": ("step",), "epoch": ("epoch", "step")}
"""What the lines of metrics.jsonl count, by kind."""


def _is_event(line: dict[str, Any]) -> bool:
    """Whether a line can be what `train` wrote: its counts are counts, and everything else a number or a word."""
    kind = line.get("kind")
    if not isinstance(kind, str) or not all(isinstance(value, str | int | float | None) for value in line.values()):
        return False
    # "step" where it is there at all, whatever the kind: lines are sorted out by it.
    counts = [line.get("step", 0), *(line.get(name) for name in COUNTS.get(kind, ()))]
    numbers = [line[name] for name in ("loss", "error", "rate", "train_error", "validation_top1") if name in line]
    counted = all(type(count) is int and 0 <= count < 1 << 53 for count in counts)
    return counted and all(type(number) in (int, float) for number in numbers)
