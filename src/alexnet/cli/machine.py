"""alexnet summary, doctor: a network in figures, what is wrong with a folder."""

from pathlib import Path

import tyro
from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import argument_parser, first_name, out, out_line, print_json, print_wide
from alexnet.words import counted


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
    for quantity, count, stated in described.totals():
        totals.add_row(quantity, count, *([stated] if described.comparable else []))
    print_wide(totals)
    return 0


def doctor(path: Positional[Path], json: bool = False) -> int:
    """Check a folder of images, a prepared dataset, a run or a network file for what people trip over; each with its fix.

    Args:
        path: the folder, or the file.
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
        out.print(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return 2 if errors else 0
