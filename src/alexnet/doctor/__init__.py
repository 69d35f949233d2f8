"""What people trip over, looked for before it costs a night of training. Each finding comes with its fix.

`examine` takes images that are to be prepared, a prepared dataset, or a run folder, and adds what is true of the
machine. It reads at most a few hundred images, so that it takes seconds on sets of any size; a finding from a sample
says so.
"""

from pathlib import Path

from alexnet.doctor import dataset, machine, run, source
from alexnet.doctor.finding import Finding
from alexnet.errors import InputError

__all__ = ["Finding", "examine"]


def examine(path: Path | str) -> list[Finding]:
    """Everything there is to say about `path`: images to prepare, a prepared dataset, or a run.

    Raises InputError if nothing is there. What is wrong with `path` itself is a Finding, never an exception.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of images, a prepared dataset or a run folder")
    if _is_run(path):
        return run.examine(path) + machine.examine()
    if path.is_dir() and _is_prepared(path):
        return dataset.examine(path) + machine.examine()
    return source.examine(path) + machine.examine()


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in ("recipe.json", "metrics.jsonl", "checkpoints"))


def _is_prepared(path: Path) -> bool:
    files = any((path / name).is_file() for name in ("manifest.json", "begun.json", "mean.npy"))
    return files or any(path.glob("*/images.bin"))
