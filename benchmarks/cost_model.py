"""What a step sends, and what many GPUs would take: a model, of which nothing here was measured.

    python benchmarks/cost_model.py [--network paper] [--save] [--gpu-speed 2987] [--network-speed 12.5] [...]

Every assumption is an option. With --save the tables go to benchmarks/results, from where
`benchmarks/tables.py` takes those of docs/scaling.md. The model of a step on n GPUs, a share of the batch each:

    compute        images of a GPU / its speed, of which a third is the forward pass
    data           the sum of all gradients, as a ring: 2 (n - 1) / n of their bytes over the slowest link, and 2 (n - 1) times
                   its latency; during the backward pass, or (no overlap) after it
    hybrid         the sum of the convolutions' gradients, likewise; before it, what the hidden layers exchange, which nothing
                   overlaps: a machine's GPUs share its link to the others
    input          images that a machine can read and decode in a second
"""

import argparse
import json
import math
from dataclasses import dataclass, field, fields
from typing import Any

from measure import RESULTS
from rich.console import Console
from rich.table import Table
from traffic import exchanged, traffic

from alexnet import provenance
from alexnet.files import write_text
from alexnet.network.networks import networks
from alexnet.network.spec import Network
from alexnet.network.summary import summarize
from alexnet.processes import Mode

IMAGES, EPOCHS = 1_281_167, 95
"""Of ILSVRC-2012, and of the published run."""
PUBLISHED = 2640.0
"""Images/s a GPU of the published run on 512 GPUs: Sun et al. 2019, arXiv 1902.06855; 95 epochs in 1.5 minutes."""


def _assumed(value: float, what: str, source: str = "assumed") -> Any:
    return field(default=value, metadata={"what": what, "source": source})


@dataclass(frozen=True)
class Assumptions:
    """Everything that the model takes for granted, an option each."""

    gpu_speed: float = _assumed(
        2987.0, "images/s of one GPU alone, forward and backward", "TensorFlow's AlexNet on a P100, synthetic images"
    )
    per_gpu: int = _assumed(128, "images of a GPU in a step; the batch grows with the GPUs")
    per_machine: int = _assumed(8, "GPUs in a machine")
    inside_speed: float = _assumed(20.0, "GB/s of a GPU to the next in its machine, one direction")
    network_speed: float = _assumed(12.5, "GB/s of a machine to the next (100 Gbit/s), one direction")
    latency: float = _assumed(5.0, "microseconds of every message")
    gradient_bytes: int = _assumed(4, "bytes of a weight's gradient that is sent", "float32, as here")
    activation_bytes: int = _assumed(4, "bytes of an activation that is sent", "float32, as here")
    input_speed: float = _assumed(
        31278.0, "images/s that a machine reads and decodes", "FFCV, 512 px JPEG in RAM, 96 threads"
    )


@dataclass(frozen=True)
class Step:
    """One step of every GPU, in seconds."""

    compute: float
    exchange: float
    """What a GPU exchanges in it, if nothing else goes on."""
    whole: float
    """How long it takes, with what overlaps."""

    def speed(self, how: Assumptions) -> float:
        """images/s of one GPU; a machine cannot take more than it can decode."""
        return min(how.per_gpu / self.whole, how.input_speed / how.per_machine)


def step(spec: Network, mode: str, gpus: int, how: Assumptions) -> Step:
    """A step in one of "data", "data, no overlap", "hybrid"."""
    compute = how.per_gpu / how.gpu_speed
    if gpus == 1:
        return Step(compute, 0.0, compute)
    many = gpus > how.per_machine
    link = min(how.inside_speed, how.network_speed) if many else how.inside_speed
    kind = "hybrid" if mode == "hybrid" else "data"
    sent = traffic(spec, kind, how.per_gpu * gpus, gpus, activation=how.activation_bytes, gradient=how.gradient_bytes)
    ring = sent.gradients / link / 1e9 + 2 * (gpus - 1) * how.latency / 1e6
    # To GPUs of other machines, all of a machine send through its one link.
    outside = (gpus - how.per_machine) / (gpus - 1) * how.per_machine / how.network_speed if many else 0.0
    inside = (min(gpus, how.per_machine) - 1) / (gpus - 1) / how.inside_speed
    activations = (sent.forward + sent.backward) * max(inside, outside) / 1e9
    forward, backward = compute / 3, 2 * compute / 3
    if mode == "data, no overlap":
        return Step(compute, ring, compute + ring)
    return Step(compute, ring + activations, forward + activations + max(backward, ring))


def cost_rows(spec: Network, how: Assumptions, counts: tuple[int, ...] = (1, 8, 64, 512)) -> list[list[str]]:
    """A heading, and a row for every mode and number of GPUs."""
    rows = [
        [
            "GPUs",
            "batch",
            "mode",
            "compute",
            "exchange",
            "step",
            "images/s a GPU",
            "of one alone",
            "95 epochs",
            "bound by",
        ]
    ]
    for gpus in counts:
        for mode in ("data", "data, no overlap", "hybrid") if gpus > 1 else ("none",):
            one = step(spec, mode, gpus, how)
            speed = one.speed(how)
            alone = Step(one.compute, 0.0, one.compute).speed(how)
            bound = "exchange" if one.whole > 1.05 * one.compute else "compute"
            if speed < how.per_gpu / one.whole:
                bound = "input"
            rows.append(
                [
                    str(gpus),
                    f"{gpus * how.per_gpu:,}",
                    mode,
                    f"{1e3 * one.compute:.1f} ms",
                    f"{1e3 * one.exchange:.1f} ms",
                    f"{1e3 * one.whole:.1f} ms",
                    f"{speed:,.0f}",
                    f"{100 * speed / alone:.0f}%",
                    _time(IMAGES * EPOCHS / (speed * gpus)),
                    bound,
                ]
            )
    return rows


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def traffic_rows(spec: Network) -> list[list[str]]:
    """A heading, and what one process sends in a step, in MB, by mode, processes and batch."""
    rows = [["processes", "batch", "mode", "activations", "their gradients", "gradients of weights", "in all"]]
    for processes, batch in ((2, 128), (2, 1024), (8, 1024)):
        for mode in ("data", "columns", "hybrid"):
            if mode == "columns" and (processes != 2 or spec.columns != 2):
                continue
            sent = traffic(spec, mode, batch, processes)  # type: ignore[arg-type]
            parts = (sent.forward, sent.backward, sent.gradients, sent.total)
            rows.append(
                [str(processes), f"{batch:,}", mode, *(f"{part / 1e6:.1f} MB" if part else "" for part in parts)]
            )
    return rows


def column_rows(spec: Network, batch: int = 128) -> list[list[str]]:
    """A heading, and what a column sends the other in a step, layer by layer."""
    each = exchanged(spec)
    rows = [["before", "numbers of an image", f"a step of {batch} images, both ways"]]
    for name, numbers in {**each.halos, **each.links}.items():
        rows.append([name, f"{numbers:,}", f"{2 * 4 * numbers * batch / 1e6:.2f} MB"])
    return [*rows, [f"after {spec.last_name}", f"{spec.classes:,}", f"{4 * spec.classes * batch / 1e6:.2f} MB"]]


def two_rows(spec: Network, how: Assumptions) -> list[list[str]]:
    """A heading, and the step of two GPUs by batch and link: every mode halves the arithmetic."""
    modes = ("data", "columns", "hybrid") if spec.columns == 2 else ("data", "hybrid")
    rows = [["batch", "link", *modes, "shortest"]]
    for batch in (128, 512, 2048):
        for link in (0.125, 1.25, how.network_speed, how.inside_speed, 100.0):
            compute = batch / 2 / how.gpu_speed
            took = {}
            for mode in modes:
                sent = traffic(
                    spec,
                    mode,
                    batch,
                    2,
                    activation=how.activation_bytes,
                    gradient=how.gradient_bytes,  # type: ignore[arg-type]
                )
                overlapped = max(2 / 3 * compute, sent.gradients / link / 1e9)
                took[mode] = compute / 3 + (sent.forward + sent.backward) / link / 1e9 + overlapped
            times = [f"{1e3 * took[mode]:.1f} ms" for mode in modes]
            rows.append([f"{batch:,}", f"{link:g} GB/s", *times, min(took, key=lambda mode: took[mode])])
    return rows


def crossing_rows(spec: Network) -> list[list[str]]:
    """A heading, and from which batch on two processes send more in one mode than in another."""
    rows = [["two processes send more with", "than with", "from batch"]]
    pairs: list[tuple[Mode, Mode]] = [("columns", "data"), ("columns", "hybrid"), ("hybrid", "data")]
    for mode, other in pairs if spec.columns == 2 else pairs[2:]:
        # Of either a constant and so much an image.
        (first, second), (other_first, other_second) = (
            [traffic(spec, each, batch, 2).total for batch in (2, 4)] for each in (mode, other)
        )
        slope = (second - first - other_second + other_first) / 2
        rows.append([mode, other, f"{math.floor((other_first - first) / slope + 2) + 1:,}"])
    return rows


def published_rows(spec: Network, how: Assumptions) -> list[list[str]]:
    """A heading, and what the model gives for the published runs, beside them."""
    p100 = step(spec, "data", 8, how).speed(how)
    volta = Assumptions(
        gpu_speed=512 * PUBLISHED / 410.2, network_speed=7.0, gradient_bytes=2, input_speed=float("inf")
    )
    runs = {
        "8 P100, TensorFlow, synthetic images: all of them": (8 * p100, 17822.0, 8 * how.gpu_speed),
        "512 V100, Sun et al. 2019: a GPU": (step(spec, "data", 512, volta).speed(volta), PUBLISHED, volta.gpu_speed),
    }
    rows = [["", "model", "published", "without any exchange"]]
    return rows + [[name, *(f"{value:,.0f} images/s" for value in values)] for name, values in runs.items()]


def assumption_rows(how: Assumptions) -> list[list[str]]:
    """A heading, and what is assumed, with its option and its source."""
    rows = [["option", "value", "", "source"]]
    for each in fields(how):
        rows.append(
            [_option(each.name), f"{getattr(how, each.name):g}", each.metadata["what"], each.metadata["source"]]
        )
    return rows


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="paper", choices=sorted(networks))
    parser.add_argument("--save", action="store_true", help="write the tables into benchmarks/results")
    for each in fields(Assumptions):
        what = f"{each.metadata['what']} ({each.metadata['source']}; %(default)s)"
        parser.add_argument(_option(each.name), type=type(each.default), default=each.default, help=what)
    given = vars(parser.parse_args())
    spec, save = networks[given.pop("network")], given.pop("save")
    how = Assumptions(**given)
    tables = {
        "bytes-a-step": traffic_rows(spec),
        "bytes-crossings": crossing_rows(spec),
        **({"bytes-of-columns": column_rows(spec)} if spec.columns == 2 else {}),
        "model-two-gpus": two_rows(spec, how),
        "model-assumptions": assumption_rows(how),
        "model-many-gpus": cost_rows(spec, how),
        "model-published": published_rows(spec, how),
    }
    print(f"{spec.name}: {summarize(spec).parameters:,} parameters")
    for name, rows in tables.items():
        _show(name, rows)
        if save:
            _save(name, rows)


def _show(name: str, rows: list[list[str]]) -> None:
    table = Table(title=name)
    for heading in rows[0]:
        table.add_column(heading)
    for cells in rows[1:]:
        table.add_row(*cells)
    Console(width=140).print(table)


def _save(name: str, rows: list[list[str]]) -> None:
    result: dict[str, Any] = {"benchmark": name, "command": "python benchmarks/cost_model.py --save", "table": rows}
    write_text(RESULTS / f"{name}.json", json.dumps({**result, "commit": provenance.commit()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
