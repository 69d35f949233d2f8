"""alexnet summary, doctor, gpu: a network in figures, what is wrong with a folder, all that needs a GPU."""

import time
from pathlib import Path

import tyro
from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import argument_parser, err, first_name, out, out_line, print_json, print_wide
from alexnet.cli.train import stop_signals


def summary(args: list[str]) -> int:
    """Sizes, parameters, neurons and multiply-adds of a network, beside the paper's figures."""
    from alexnet.network import summary as summaries
    from alexnet.network.named import network_of
    from alexnet.network.networks import networks
    from alexnet.network.spec import Network

    usage = (
        "NETWORK [--json] [--classes N] [--normalization none] ...\n\n"
        f"Networks: {', '.join(networks)}, or a .json file (alexnet import). `alexnet summary NETWORK --help` lists every"
        " field that can be set."
    )
    parser = argument_parser("summary", usage, summary, add_help=False)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument(
        "--all", action="store_true", help="more columns: kernels, initial values, what follows a layer"
    )
    known, rest = parser.parse_known_args(args)
    name = first_name(rest, networks)
    if name is None and ("-h" in rest or "--help" in rest):
        parser.print_help()
        return 0
    spec = network_of(name or "paper")
    if name is not None:
        rest.remove(name)
    if rest:
        spec = tyro.cli(Network, default=spec, args=rest, prog=f"alexnet summary {spec.name}")
    described = summaries.summarize(spec)
    if known.json:
        print_json(described.to_dict())
        return 0
    rows = described.rows_for_table()
    headings = [heading for heading in rows[0] if known.all or heading not in summaries.DETAILS]
    size = f"{spec.input_size}×{spec.input_size}"
    table = Table(title=f"{spec.name}: {size} RGB → {spec.classes} classes", title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in summaries.FIGURES else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[heading] for heading in headings))
    print_wide(table)
    totals = Table("in all", spec.name, *(["the paper"] if described.comparable else []))
    for what, count, stated in described.totals():
        totals.add_row(what, count, *([stated] if described.comparable else []))
    print_wide(totals)
    return 0


def doctor(path: Positional[Path], json: bool = False) -> int:
    """Check a folder of images, a prepared dataset or a run for what people trip over; each finding with its fix.

    Args:
        path: the folder.
        json: print one JSON document on stdout.
    """
    import dataclasses

    from alexnet.doctor import examine

    findings = examine(path)
    errors = sum(finding.level == "error" for finding in findings)
    if json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
        for finding in findings:
            mark, colour = marks[finding.level]
            out.print(mark, style=colour, end=" ")
            out_line(finding.what)
            if finding.fix:
                out_line(f"  → {finding.fix}")
        warnings = sum(finding.level == "warning" for finding in findings)
        out.print(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    return 2 if errors else 0


def gpu(
    pieces: Positional[tuple[str, ...]] = (),
    data: Path | None = None,
    cifar: Path | None = None,
    out: Path = Path("runs/gpu"),
    minutes: float = 8.0,
    jobs: int | None = None,
    note: str = "",
    cifar_note: str = "",
    again: bool = False,
    table: bool = False,
    rehearse: bool = False,
    unchecked: bool = False,
    json: bool = False,
) -> int:
    """All that needs a GPU, as far as the minutes reach: kernels checked, speed measured, networks trained; then a short table.

    Pieces, in their order: check, ceilings, kernels, steps, profile, epoch, networks, averaged, longer, claims, cifar. What is done
    is kept in small files under OUT, and the same command goes on where it was, on another machine too (docs/gpu.md).

    Args:
        pieces: some of the pieces; by default all that are not done.
        data: Imagenette, prepared at 256 pixels, for networks, averaged, longer and claims; without it they are left out.
        cifar: CIFAR-10, prepared at 32 pixels, for cifar; without it that is left out.
        out: where everything goes; for --rehearse by default runs/gpu-rehearsal.
        minutes: after so many nothing new is begun, and what is under way writes a checkpoint and ends.
        jobs: training runs at a time, which share the GPU; by default 3, or fewer on fewer than 12 cores.
        note: what to say of --data in the results, such as "a JPEG copy".
        cifar_note: the same of --cifar.
        again: measure the named pieces again, though they are there.
        table: only print the table of what OUT has; needs no GPU.
        rehearse: every piece on the CPU, on the built-in photographs: whether it runs. Gives no figures.
        unchecked: go on though the check fails, once somebody has read why; everything that is done then says so.
        json: print one JSON document on stdout.
    """
    from alexnet.gpu import run
    from alexnet.gpu import table as tables

    if table:
        lines = tables.lines(out)
        if json:
            print_json({"out": str(out), "table": lines})
        else:
            for line in lines:
                out_line(line)
        return 0
    if rehearse and out == Path("runs/gpu"):
        out = Path("runs/gpu-rehearsal")
    begun = time.monotonic()

    def say(line: str) -> None:
        err.print(f"{time.monotonic() - begun:5.0f} s  {line}", soft_wrap=True)

    with stop_signals() as caught:
        done = run.run(
            pieces,
            run.Set(data, note) if data else None,
            run.Set(cifar, cifar_note) if cifar else None,
            out,
            minutes,
            jobs,
            say,
            lambda: bool(caught),
            again,
            rehearse,
            unchecked,
        )
    if json:
        print_json(done.to_dict())
    else:
        for line in done.table:
            out_line(line)
    if caught:
        return 128 + caught[0]
    return 1 if done.failed else 0
