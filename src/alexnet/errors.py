"""The two ways a command can fail; `cli.py` turns each into one line and an exit code."""


class InputError(ValueError):
    """Bad input: a file, an option or a field. The message names it and says how to mend it (exit code 2)."""


class RunFailed(RuntimeError):
    """A run that began well and could not go on, such as a loss that became NaN (exit code 1)."""

    code = 1
