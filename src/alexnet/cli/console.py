"""What all commands share: where they print, and how they read their arguments."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from alexnet.cli.terminal import STDOUT, Terminal
from alexnet.errors import InputError
from alexnet.files import named

out = Terminal()
err = Terminal(stderr=True)


def print_json(value: Any) -> None:
    with named(STDOUT):
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_wide(table: Table) -> None:
    """Print a table unsqueezed, whatever the width of the terminal, if there is one."""
    Terminal(width=Terminal(width=1000).measure(table).maximum).print(table)


def show(result: Any, json: bool, *lines: str) -> None:
    """Print the JSON document of a result (plain values, or what its to_dict gives), or else `lines`."""
    if json:
        print_json(result if isinstance(result, list | dict) else result.to_dict())
        return
    for line in lines:
        out_line(line)


def error_table(*columns: str, classes: int) -> Table:
    """A table with columns of figures, of which the last are top-1 and top-5 error; no top-5 up to five classes."""
    table = Table(*columns, *_errors("top-1 error %", "top-5 error %", classes))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def error_texts(top1: float | None, top5: float | None, classes: int) -> list[str]:
    """The errors of a row of an `error_table`."""
    first, second = ("–" if error is None else f"{error:.2f}" for error in (top1, top5))
    return _errors(first, second, classes)


def _errors(top1: str, top5: str, classes: int) -> list[str]:
    return [top1, top5] if classes > 5 else [top1]  # with fewer classes every answer is among the first five


def in_100_columns(table: Table) -> None:
    """Print a table in the width of the terminal, and in 100 columns where there is none."""
    out.table(table, None if out.is_terminal else 100)


def out_line(line: str) -> None:
    """Print a line on stdout as it stands, unfolded."""
    out.print(line, soft_wrap=True)


def argument_parser(
    name: str, usage: str, command: Callable[..., int], add_help: bool = True
) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"alexnet {name}",
        usage=f"alexnet {name} {usage}",
        description=command.__doc__,
        add_help=add_help,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def first_name(args: list[str], names: Iterable[str]) -> str | None:
    """The name that a command is for, among options that only tyro knows: the first argument, or one of `names` later on
    that cannot be the value of the option before it."""
    if args and not args[0].startswith("-"):
        return args[0]
    return next((arg for at, arg in enumerate(args) if arg in names and not args[at - 1].startswith("--")), None)


def choose_named(known: dict[str, Any], name: str, argument: str, kind: str) -> Any:
    if name not in known:
        raise InputError(f"{argument} {name}: no {kind} of that name; there are {', '.join(known)}")
    return known[name]


def typed(name: str, function: Callable[..., int]) -> Callable[[list[str]], int]:
    import tyro  # slow to load
    from tyro.conf import FlagCreatePairsOff

    return lambda args: tyro.cli(function, args=args, prog=f"alexnet {name}", config=(FlagCreatePairsOff,))
