"""The two ways a command can fail; `cli.main` turns each into one line and an exit code."""

import errno


class InputError(ValueError):
    """Bad input: a file, an option or a field. The message names it and says how to mend it (exit code 2)."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory: Python's, torch's for a GPU, and what libraries say on the CPU."""
    if isinstance(error, InputError | RunFailed):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).strip().lower()
    phrases = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")
    endings = ("could not create a primitive", "can't start new thread")  # oneDNN's; Python's, without a stack for it
    return any(phrase in text for phrase in phrases) or text.endswith(endings)


class RunFailed(RuntimeError):
    """A run that began well and could not go on, such as a loss that became NaN (exit code 1)."""

    code = 1


class Diverged(RunFailed):
    """The loss, the weights or what the network answers became infinite or NaN."""
