"""A finding: one thing that was looked at, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

from alexnet.words import some as some


@dataclass(frozen=True)
class Finding:
    """One thing looked at: an error stops the work, a warning makes its result worse than it need be."""

    level: Literal["ok", "warning", "error"]
    what: str
    fix: str = ""
    """What to do about it; empty where there is nothing to do."""


def ok(what: str) -> Finding:
    return Finding("ok", what)


def warning(what: str, fix: str) -> Finding:
    return Finding("warning", what, fix)


def error(what: str, fix: str) -> Finding:
    return Finding("error", what, fix)


def parts(problem: object, fix: str) -> tuple[str, str]:
    """(what, fix) of an error message whose fix follows its last colon; `fix` where it names none."""
    text = str(problem)
    what, colon, told = text.rpartition(": ")
    return (what, told) if colon else (text, fix)


def gigabytes(number: float) -> str:
    """A number of bytes, for people."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
