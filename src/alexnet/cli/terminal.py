"""What is printed: names as they stand, whatever is in them, and tables that never lose a figure."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alexnet.files import named
from alexnet.words import visible

STDOUT, STDERR = "standard output", "standard error"

LEAST = 12
"""Cells that a column of words keeps in the narrowest terminal."""


class Terminal(Console):
    """A console to which every string, in a table too, is one line of text: no markup, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Where rich makes all strings into what is printed."""
        return super().render_str(visible(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's; an OSError says which of the two streams it is that takes no more."""
        with named(STDERR if self.stderr else STDOUT):
            super().print(*objects, **options)

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
