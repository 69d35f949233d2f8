"""The commands: each parses its arguments, calls what does the work, and prints what comes of it."""

from alexnet.cli.main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
