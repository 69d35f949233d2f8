"""What is printed: names as they stand, whatever is in them, and tables that never lose a figure."""

import re
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alexnet.files import named

# Control characters, which steer a terminal and are forbidden in XML; other ends of a line; what turns the direction of letters.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SHORT = {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"}

STDOUT, STDERR = "standard output", "standard error"

LEAST = 12
"""Cells that a column of words keeps in the narrowest terminal."""


def visible(text: str) -> str:
    r"""`text` on one line, with what a terminal would obey written out as `ls -b` writes it: \n, \033, \u202e."""
    return _UNSEEN.sub(lambda found: _SHORT.get(found[0]) or _numbered(ord(found[0])), text)


def _numbered(code: int) -> str:
    return f"\\{code:03o}" if code < 0o400 else f"\\u{code:04x}"


class Terminal(Console):
    """A console to which every string, in a table too, is one line of text: no markup, no control characters."""

    def __init__(self, **how: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        """Where rich makes all strings into what is printed."""
        return super().render_str(visible(text), **how)

    def print(self, *objects: Any, **how: Any) -> None:
        """As rich's; an OSError says which of the two streams it is that takes no more."""
        with named(STDERR if self.stderr else STDOUT):
            super().print(*objects, **how)

    def on_broken_pipe(self) -> None:
        """Rich would exit with 1; `cli.main` knows what it means that a reader has left."""
        raise BrokenPipeError

    def table(self, table: Table, width: int | None = None) -> None:
        """Print a table in this width (None: the terminal's), but wider where its columns of figures need that.

        Figures, which are justified to the right, stay whole; words fold.
        """
        words = [column for column in table.columns if column.justify != "right"]
        for column in table.columns:
            column.no_wrap = column.no_wrap or column.justify == "right"
        for column in words:
            column.overflow, column.max_width = "fold", LEAST
        least = Terminal(width=1000).measure(table).maximum
        for column in words:
            column.max_width = None
        Terminal(stderr=self.stderr, width=max(width or self.width, least)).print(table)
