"""Common mistakes are looked for before they cost a night of training; each finding comes with its fix.

`examine` takes images that are to be prepared, a prepared dataset, a run folder or a network file, and adds what is true of the
machine. It lists a folder once, as `prepare` does, and reads at most a few hundred images; a finding from a sample says so.
"""

from pathlib import Path

from alexnet.doctor import dataset, machine, network_file, run, source
from alexnet.doctor.finding import Finding
from alexnet.errors import InputError
from alexnet.run.folder import is_run
from alexnet.run.locate import is_file

__all__ = ["Finding", "examine"]


def examine(path: Path | str) -> list[Finding]:
    """Return all findings about `path`: images to prepare, a prepared dataset, a run, or a network file.

    Raises InputError if nothing is there. What is wrong with `path` itself is a Finding, never an exception.
    """
    path = Path(path).expanduser()
    if is_file(path):
        return [*network_file.examine(path), *machine.examine()]
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of images, a prepared dataset or a run folder")
    if is_run(path):
        findings = run.examine(path)
    elif any((path / name).is_file() for name in ("manifest.json", "begun.json", "mean.npy")) or any(
        path.glob("*/images.bin")
    ):
        findings = dataset.examine(path)
    else:
        findings = source.examine(path)
    return [*findings, *machine.examine()]
