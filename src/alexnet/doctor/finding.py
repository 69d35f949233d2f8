"""A finding: one thing that was looked at, and what to do about it."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: an error stops the work, a warning makes its result worse than it need be."""

    level: Level
    what: str
    fix: str = ""
    """What to do about it; empty where there is nothing to do."""


ok = partial(Finding, "ok")
warning = partial(Finding, "warning")
error = partial(Finding, "error")


def refused(problem: object, fix: str, level: Level = "error") -> Finding:
    """Return the finding of an error message, whose fix follows its last colon; `fix` is for one that names none."""
    text, colon, fix_in_text = str(problem).rpartition(": ")
    return Finding(level, text, fix_in_text) if colon else Finding(level, str(problem), fix)


def gigabytes(number: float) -> str:
    """Return a number of bytes in words."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
