"""alexnet claims: the paper's claims as experiments."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from alexnet.cli.console import choose_named, err, in_100_columns, out, out_line, print_json, show, typed
from alexnet.cli.progress import Bar
from alexnet.cli.train import stop_signals
from alexnet.errors import InputError
from alexnet.words import visible

if TYPE_CHECKING:  # it brings much along
    from alexnet.claims.ledger import Row
    from alexnet.claims.tables import Table as Rows

ScaleName = Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"]


def claims(args: list[str]) -> int:
    """Every claim of the paper as an experiment: `claims_list`, or one of the actions."""
    actions: dict[str, Callable[..., int]] = {"run": claims_run, "show": claims_show, "page": claims_page}
    if args and args[0] in actions:
        return typed(f"claims {args[0]}", actions[args[0]])(args[1:])
    if args and not args[0].startswith("-"):
        raise InputError(f"{args[0]}: no such action; there are {', '.join(actions)}, or none for the ledger")
    return typed("claims", claims_list)(args)


def claims_run(
    ids: Positional[tuple[str, ...]] = (),
    all: bool = False,
    scale: ScaleName = "smoke",
    data: Path | None = None,
    pretrain_data: Path | None = None,
    out: Path = Path("runs/claims"),
    results: Path | None = None,
    seeds: int | None = None,
    jobs: int = 1,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    note: str = "",
    plan: bool = False,
    json: bool = False,
) -> int:
    """Run the experiments of claims; stopped at any moment, the same command goes on where it was.

    table2 is the chain of the paper's Table 2 (§6): five networks from nothing, alone and averaged, and two with a sixth
    convolution that are pre-trained on other images; ten crops. The claims about its rows are named one net to seven nets*.

    Args:
        ids: the claims, as `alexnet claims` lists them, or table2.
        all: every claim that has an experiment of its own at this scale.
        scale: how large: smoke runs on the built-in photographs in a minute or two and says nothing about the claims.
        data: the prepared dataset that the scale asks for; `smoke` makes its own, `--plan` can do without.
        pretrain_data: a prepared dataset of other images (the paper: ImageNet Fall 2011; at a small scale, classes that
            --data does not have), for table2; without it the five networks alone, to which a later call with it adds
            the others.
        out: where the run folders go.
        results: where the result files go; by default OUT/results.
        seeds: how many, from 0, and how often table2 is repeated; by default the scale's, 3. Verdicts need 3.
        jobs: runs at a time, each with its share of the threads. On few cores two are faster than one.
        epochs: of the runs, where they are not to be the scale's; searches, and runs that end at a target, keep theirs.
        pretrain_epochs: of pre-training; by default as many.
        precision: of the runs, where it is not to be the recipe's.
        note: what to say of the data in the results, such as "JPEG copy".
        plan: print the runs and what they cost, and start none.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import experiment, ledger, perform

    asked = experiment.Experiment(
        ids, all, scale, data, pretrain_data, out, results, seeds, precision, epochs, pretrain_epochs, note
    )
    if plan:
        planned = experiment.plan(asked)
        show(planned, json, *planned.lines())
        return 0
    with stop_signals() as caught, Bar("runs", err) as bar:
        try:
            measured = experiment.run(asked, jobs, bar.claims, lambda: bool(caught))
        except perform.Stopped:
            err.print("stopped; the same command goes on where it was")
            return 128 + (caught[0] if caught else signal.SIGINT)
    lines = (line for result in measured for line in ledger.lines(result))
    show([ledger.to_dict(result) for result in measured], json, *lines)
    return 0


def claims_list(results: Path | None = None, json: bool = False) -> int:
    """The ledger: every claim, what the paper says, what the 2012 log says, and what was measured, with its verdict.

    alexnet claims show ID: every figure of a claim. alexnet claims run ID ...: run its experiment. alexnet claims page:
    docs/claims.md, from the result files. Each has its own --help.

    Args:
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger

    rows = ledger.rows(ledger.find(results))
    if json:
        print_json([row.to_dict() for row in rows])
        return 0
    table = Table("claim", show_lines=True, expand=True)
    table.add_column("what it says", ratio=2)
    table.add_column("measured: difference (95% interval over seeds)", ratio=3)
    for row in rows:
        table.add_row(*(Text.from_markup(cell, emoji=False) for cell in _cells(row)))
    in_100_columns(table)
    out_line("alexnet claims show ID: every figure of a claim. alexnet claims run ID: its experiment.")
    return 0


_VERDICTS = {
    "reproduced": "green",
    "not reproduced": "red",
    "inconclusive at this scale": "yellow",
    "lower": "cyan",
    "higher": "cyan",
}


def _cells(row: "Row") -> tuple[str, str, str]:
    """A row of the ledger as rich's markup."""
    from alexnet.claims import phrases

    claim = row.claim
    says = [escape(claim.says)]
    says += [f"[dim]paper:[/dim] {escape(claim.paper)}"] if claim.paper else []
    says += [f"[dim]2012 log:[/dim] {escape(claim.logged)}"] if claim.logged else []
    lines = [f"[dim]{row.state}[/dim]"] if row.state else []
    for scale, seeds, compared in row.measured():
        lines += [f"[bold]{escape(visible(scale))}[/bold], {seeds}"]
        lines += [
            f"{escape(visible(label))} {phrases.measured(outcome)}"
            f" [{_VERDICTS[outcome.verdict]}]{outcome.verdict.removesuffix(' at this scale')}[/]"
            for label, outcome in compared
        ]
    return f"{escape(claim.id)}\n[dim]{claim.section}[/dim]", "\n".join(says), "\n".join(lines)


def claims_show(
    id: Positional[str], scale: ScaleName | None = None, results: Path | None = None, json: bool = False
) -> int:
    """Every figure of a claim: what its recipes differ in, every seed's values, each comparison with interval and verdict.

    Args:
        id: the claim, as `alexnet claims` lists it, or table2.
        scale: one scale; by default every one that has a result.
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger, tables

    claim = choose_named(ledger.NAMED, id, "ID", "claim")
    chosen = ledger.results_of(claim, results, scale)
    if json:
        print_json([ledger.to_dict(result) for result in chosen])
        return 0
    out_line(f"{claim.id} ({claim.section}): {claim.says}")
    for name, said in (("the paper", claim.paper), ("the 2012 log", claim.logged), ("note", claim.note)):
        if said:
            out_line(f"{name}: {said}")
    if not chosen:
        out_line(ledger.row(claim, {}).state)
    for result in chosen:
        out.print()
        out.print(f"scale {result.scale}", style="bold")
        for block in tables.blocks(result):
            _print_block(block)
    return 0


def _print_block(block: "Rows | str") -> None:
    """A paragraph or a table."""
    if isinstance(block, str):
        out_line(block)
        return
    out_line(block.title)
    table = Table(*block.headings, show_header=any(block.headings))
    for row in block.rows:
        table.add_row(*row)
    in_100_columns(table)


def claims_page(out: Path = Path("docs/claims.md"), results: Path | None = None, json: bool = False) -> int:
    """Write the page of all claims with results, its figures into a folder beside it of the same name.

    Args:
        out: the page, a .md file.
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger, page

    written = page.write(ledger.find(results), out)
    show(written, json, *map(str, (written.page, *written.pictures)))
    return 0
