"""alexnet claims, table2: the paper's claims as experiments."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from alexnet.cli.console import choose_named, err, in_100_columns, out, out_line, print_json, typed
from alexnet.cli.progress import Bar
from alexnet.cli.train import stop_signals
from alexnet.errors import InputError
from alexnet.words import visible


def claims(args: list[str]) -> int:
    """Every claim of the paper as an experiment: `claims_list`, or one of the actions."""
    actions: dict[str, Callable[..., int]] = {"run": claims_run, "show": claims_show, "page": claims_page}
    if args and args[0] in actions:
        return typed(f"claims {args[0]}", actions[args[0]])(args[1:])
    if args and not args[0].startswith("-"):
        raise InputError(f"{args[0]}: no such action; there are {', '.join(actions)}, or none for the ledger")
    return typed("claims", claims_list)(args)


def _experiment(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, int]:
    """What `work` returns, with a bar of its runs, and 0; nothing and the exit code if it was told to stop."""
    from alexnet.claims import runner

    with stop_signals() as caught, Bar("runs", err) as bar:
        try:
            return work(*arguments, **options, progress=bar.claims, stop=lambda: bool(caught)), 0
        except runner.Stopped:
            err.print("stopped; the same command goes on where it was")
            return None, 128 + (caught[0] if caught else signal.SIGINT)


def claims_run(
    ids: Positional[tuple[str, ...]] = (),
    all: bool = False,
    scale: Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"] = "smoke",
    data: Path | None = None,
    out: Path = Path("runs/claims"),
    results: Path | None = None,
    seeds: int | None = None,
    jobs: int = 1,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    note: str = "",
    plan: bool = False,
    json: bool = False,
) -> int:
    """Run the experiments of claims; stopped at any moment, the same command goes on where it was.

    Args:
        ids: the claims, as `alexnet claims` lists them.
        all: every claim that has an experiment at this scale.
        scale: how large: smoke runs on the built-in photographs in a minute or two and says nothing about the claims.
        data: the prepared dataset that the scale asks for; `smoke` makes its own, `--plan` can do without.
        out: where the run folders go.
        results: where the result files go; by default OUT/results.
        seeds: how many, from 0; by default the scale's, 3. Verdicts need 3.
        jobs: runs at a time, each with its share of the threads. On few cores two are faster than one.
        precision: of the runs, where it is not to be the recipe's.
        note: what to say of the data in the results, such as "JPEG copy".
        plan: print the runs and what they cost, and start none.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger, runner
    from alexnet.claims import plan as planning
    from alexnet.claims.claims import claims as there
    from alexnet.claims.scales import scales
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory

    keep_memory()
    if bool(ids) == all:
        raise InputError(f"name the claims to run, or --all; at scale {scale} there are {', '.join(ledger.ids(scale))}")
    chosen = [choose_named(there, name, "ID", "claim") for name in (ledger.ids(scale) if all else dict.fromkeys(ids))]
    at = ledger.with_precision(scales[scale], precision)
    for claim in chosen:
        runner.base_of(claim, at)  # before anything is prepared or asked for
    number = at.seeds if seeds is None else seeds
    if number < 1 or jobs < 1:
        raise InputError(f"--seeds {number} --jobs {jobs}: both must be at least 1")
    if data is None and scale == "smoke" and (out / "builtin" / "manifest.json").is_file():
        data = out / "builtin"
    if plan:
        planned = planning.plan(chosen, at, prepared_sets.open(data) if data else None, out, range(number))
        if json:
            print_json(planned.to_dict())
        else:
            for line in planned.lines():
                out_line(line)
        return 0
    if data is None and scale == "smoke":
        data = ledger.smoke_data(out / "builtin")
    if data is None:
        raise InputError(f"--data DIR is missing: scale {scale} takes {at.data}")
    opened = prepared_sets.open(data)
    said = f"--scale {scale}" + ("" if scale == "smoke" else f" --data {data.name}")
    said += f" --precision {precision}" if precision else ""
    said += f" --seeds {seeds}" if seeds is not None else ""
    made, code = _experiment(
        runner.run,
        chosen,
        at,
        opened,
        out,
        results or out / "results",
        range(number),
        jobs,
        options=said,
        note=note,
    )
    if code:
        return code
    if json:
        print_json([ledger.to_dict(result) for result in made])
    else:
        for result in made:
            for line in ledger.lines(result):
                out_line(line)
    return 0


def table2(
    data: Path | None = None,
    pretrain_data: Path | None = None,
    scale: Literal["smoke", "reduced", "imagenette", "imagenet"] = "smoke",
    out: Path = Path("runs/table2"),
    results: Path | None = None,
    repeats: int = 3,
    jobs: int = 1,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    note: str = "",
    plan: bool = False,
    markdown: bool = False,
    json: bool = False,
) -> int:
    """Table 2 as one chain (§6): one network, five averaged, one pre-trained and fine-tuned, seven averaged; ten crops.

    A repeat is five networks from nothing, and two with a sixth convolution that are pre-trained on other images; without other
    images there are the first two rows alone, and a later call with them adds the rest. Stopped at any moment, the same command
    goes on where it was. The result is one of the claims': alexnet claims show "five nets".

    Args:
        data: a prepared dataset, which all networks are measured on; `smoke` makes its own.
        pretrain_data: a prepared dataset of other images (the paper: ImageNet Fall 2011; at a small scale, classes that --data does
            not have), for pre-training; without it CNN* is not run. `smoke` makes its own.
        scale: how large: smoke runs in a minute on photographs that come with the dependencies, and says nothing.
        out: where the run folders go.
        results: where the result file goes; by default OUT/results.
        repeats: how many, each of nine training runs, or five without other images. Verdicts need 3.
        jobs: runs at a time, each with its share of the threads. On few cores two are faster than one.
        epochs: of training from nothing, and of fine-tuning (at scale imagenet 54/90 of it); by default the scale's.
        pretrain_epochs: of pre-training; by default as many.
        precision: of the runs, where it is not to be the recipe's.
        note: what to say of the data in the result, such as "five of ten classes".
        plan: print the runs and what they cost, and start none.
        markdown: print the tables as Markdown.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger
    from alexnet.claims import table2 as chain
    from alexnet.claims.scales import scales
    from alexnet.data import prepared as prepared_sets
    from alexnet.device import keep_memory

    keep_memory()
    at = ledger.with_precision(scales[scale], precision)
    for name, value in (("repeats", repeats), ("jobs", jobs), ("epochs", epochs), ("pretrain-epochs", pretrain_epochs)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: must be at least 1")
    given = f"--scale {scale}"
    for name, path in (("data", data), ("pretrain-data", pretrain_data)):
        given += f" --{name} {path.name}" if path else ""
    for name, option in (("epochs", epochs), ("pretrain-epochs", pretrain_epochs), ("precision", precision)):
        given += f" --{name} {option}" if option is not None else ""
    given += f" --repeats {repeats}" if repeats != 3 else ""
    if plan:
        here, other = (prepared_sets.open(path) if path else None for path in (data, pretrain_data))
        planned = chain.plan(at, here, other, out, repeats, epochs, pretrain_epochs)
        if json:
            print_json(planned.to_dict())
        else:
            for line in planned.lines():
                out_line(line)
        return 0
    if scale == "smoke" and not data and not pretrain_data:
        data, pretrain_data = chain.smoke_data(out)
    if data is None:
        raise InputError(f"--data DIR is missing: what the networks are measured on; scale {scale} takes {at.data}")
    if pretrain_data is None and pretrain_epochs is not None:
        raise InputError(
            f"--pretrain-epochs {pretrain_epochs}: there is nothing to pre-train on; name it with --pretrain-data DIR, or leave"
            " the option out"
        )
    opened, before = chain.open_both(data, pretrain_data)
    made, code = _experiment(
        chain.run,
        at,
        opened,
        before,
        out,
        results or out / "results",
        repeats,
        jobs,
        epochs,
        pretrain_epochs,
        options=given,
        note=note,
    )
    if code:
        return code
    if json:
        print_json(chain.to_dict(made))
    elif markdown:
        for line in chain.markdown(made).splitlines():
            out_line(line)
    else:
        for block in chain.tables(made):
            out_line(block.title)
            _print_rows(block)
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
    from alexnet.claims.claims import claims as there
    from alexnet.claims.results import PUBLISHED

    found = ledger.found(results or PUBLISHED)
    if json:
        print_json(ledger.rows(found))
        return 0
    table = Table("claim", show_lines=True, expand=True)
    table.add_column("what it says", ratio=2)
    table.add_column("measured: difference (95% interval over seeds)", ratio=3)
    for claim in there.values():
        says = [escape(claim.says)]
        says += [f"[dim]paper:[/dim] {escape(claim.paper)}"] if claim.paper else []
        says += [f"[dim]2012 log:[/dim] {escape(claim.logged)}"] if claim.logged else []
        lines = [f"[dim]{ledger.state(claim, found[claim.id])}[/dim]"] if ledger.state(claim, found[claim.id]) else []
        for scale, result in found[claim.id].items():
            outcomes = ledger.outcomes(result)
            lines += [f"[bold]{escape(visible(scale))}[/bold], {ledger.seeds(outcomes)}"] if outcomes else []
            lines += [
                f"{escape(visible(ledger.label(one.comparison, claim)))} {ledger.measured(one)}"
                f" [{_VERDICTS[one.verdict]}]{one.verdict.removesuffix(' at this scale')}[/]"
                for one in outcomes
            ]
        first = [escape(claim.id), f"[dim]{claim.section}[/dim]"]
        table.add_row(*(Text.from_markup("\n".join(cell), emoji=False) for cell in (first, says, lines)))
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


def claims_show(
    id: Positional[str],
    scale: Literal["smoke", "small", "cifar", "reduced", "longer", "imagenette", "imagenet"] | None = None,
    results: Path | None = None,
    json: bool = False,
) -> int:
    """Every figure of a claim: what its recipes differ in, every seed's values, each comparison with interval and verdict.

    Args:
        id: the claim, as `alexnet claims` lists it.
        scale: one scale; by default every one that has a result.
        results: a folder of result files; by default those that come with the package.
        json: print one JSON document on stdout.
    """
    from alexnet.claims import ledger
    from alexnet.claims.claims import claims as there
    from alexnet.claims.results import PUBLISHED

    claim = choose_named(there, id, "ID", "claim")
    found = ledger.found(results or PUBLISHED)[id]
    if scale and scale not in found:
        make = f"alexnet {claim.result or f'claims run {id}'} --scale {scale} makes one"
        fix = (
            make
            if (claim.variants or claim.result) and scale in claim.scales
            else "the claim has no experiment at that scale"
        )
        raise InputError(f"--scale {scale}: no result of claim {id} under {results or 'the published ones'}; {fix}")
    chosen = [result for name, result in found.items() if scale in (None, name)]
    if json:
        print_json([ledger.to_dict(result) for result in chosen])
        return 0
    out_line(f"{claim.id} ({claim.section}): {claim.says}")
    for name, said in (("the paper", claim.paper), ("the 2012 log", claim.logged), ("note", claim.note)):
        if said:
            out_line(f"{name}: {said}")
    if not chosen:
        out_line(ledger.state(claim, {}))
    for result in chosen:
        out.print()
        out.print(f"scale {result.scale}", style="bold")
        for block in ledger.show(result):
            if isinstance(block, str):
                out_line(block)
                continue
            out_line(block.title)
            _print_rows(block)
    return 0


def _print_rows(of: Any) -> None:
    """A `ledger.Table`."""
    table = Table(*of.headings, show_header=any(of.headings))
    for row in of.rows:
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
    from alexnet.claims.results import PUBLISHED

    pictures = page.write(ledger.found(results or PUBLISHED), out)
    if json:
        print_json({"page": str(out), "pictures": [str(picture) for picture in pictures]})
    else:
        for path in (out, *pictures):
            out_line(str(path))
    return 0
