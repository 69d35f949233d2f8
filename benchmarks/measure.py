"""Fair timings, for the benchmarks beside this file: all forms in turn, round by round, and results as JSON.

A machine that swings by 15% swings for every form alike when they are timed in turn; so a ratio is taken inside each
round, and its median and spread are reported. Blocks that the C library frees are kept (`keep_memory`) in this process and
in every peer's, or in none: see `arguments`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from alexnet import provenance
from alexnet.device import keep_memory
from alexnet.files import write_text

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PEERS = HERE / "peers" / ".venv" / "bin" / "python"
"""The Python of the peers' own environment, made by `make peers`."""


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
    forms: Mapping[str, Callable[[], float | None]], repeats: int = 7, warmup: int = 2
) -> dict[str, list[float]]:
    """Seconds of every form in every round, the forms in turn; a form that returns a number has timed itself."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(-warmup, repeats):
        for name, form in forms.items():
            begun = time.perf_counter()
            timed = form()
            took = time.perf_counter() - begun if timed is None else timed
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


def arguments(description: str | None, **defaults: Any) -> argparse.Namespace:
    """Command line of a benchmark: --repeats, --save, --allocator, and one option for each of `defaults`.

    The allocator setting holds for this process and, through ALEXNET_BENCH_ALLOCATOR, for its peers.
    """
    parser = argparse.ArgumentParser(description=description)
    kept = defaults.pop("allocator", "kept")
    parser.add_argument("--repeats", type=int, default=defaults.pop("repeats", 7), help="rounds that count")
    parser.add_argument("--save", action="store_true", help=f"write benchmarks/{RESULTS.name}/NAME.json")
    parser.add_argument("--allocator", choices=("kept", "default"), default=kept, help="whether freed blocks are kept")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = parser.parse_args()
    os.environ["ALEXNET_BENCH_ALLOCATOR"] = given.allocator
    if given.allocator == "kept":
        keep_memory()
    return given


class Peer:
    """A script of `benchmarks/peers`, kept open in the peers' environment; a call runs one round there, in seconds.

    The script prints "ready", then, for every line it reads, does one round and prints its seconds (`peers/serve.py`).
    """

    def __init__(self, script: str, *arguments: str, python: Path | str = PEERS) -> None:
        self.process = subprocess.Popen(
            [str(python), str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect()

    def _expect(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"a peer ended early: {self.process.args}")
        return line

    def __call__(self) -> float:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._expect())

    def close(self) -> None:
        """End the peer's process."""
        self.process.terminate()
        self.process.wait()


def have_peers() -> bool:
    """Whether `make peers` has been run; says so where not."""
    if not PEERS.exists():
        print("the peers' environment is not there, and their rows are left out: make peers", file=sys.stderr)
    return PEERS.exists()


def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    """One product, as a form of `in_turn`."""
    torch.mm(a, b, out=out)


def machine() -> dict[str, str | int]:
    """The hardware and software of a result, and what becomes of freed blocks."""
    return {**provenance.machine(), "allocator": os.environ.get("ALEXNET_BENCH_ALLOCATOR", "default")}


def _command() -> str:
    # Paths by their last name: where a set lies on this machine says nothing to anybody else.
    given = [Path(word).name if os.path.exists(word) else word for word in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *given])


def finish(name: str, rows: list[Row], given: argparse.Namespace, **more: Any) -> None:
    """Print the rows; with --save write them, with commit, command and machine, to results/NAME.json."""
    table = Table(title=name)
    for column in ("", "median", "lowest", "highest", "unit", "rounds", "note"):
        table.add_column(column, justify="right" if column in ("median", "lowest", "highest", "rounds") else "left")
    for figure in rows:
        table.add_row(
            figure.name,
            *(f"{value:,.4g}" for value in (figure.median, figure.low, figure.high)),
            figure.unit,
            str(figure.rounds),
            figure.note,
        )
    Console(width=150).print(table)
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        result = document(name, _command(), rows, **more) | {"machine": machine()}
        write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
