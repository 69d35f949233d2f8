"""A network in one file is examined: whether it is whole, which network it is, what it knows and how often it errs."""

from collections.abc import Iterator
from pathlib import Path

from alexnet.doctor.finding import Finding, ok, refused
from alexnet.doctor.run import which
from alexnet.errors import InputError
from alexnet.reading import sha256_of
from alexnet.run import trained
from alexnet.run.locate import locate
from alexnet.words import gigabytes, some


def examine(given: Path) -> Iterator[Finding]:
    """Yield findings about a network file, the starter, or one at a URL."""
    try:
        path = locate(given)
        network = trained.load(path)
    except InputError as problem:
        yield refused(problem, "copy or download it again")
        return
    yield ok(f"network file: whole, {gigabytes(path.stat().st_size)}, SHA-256 {sha256_of(path)}")
    yield from which(network.recipe, network.network)
    yield ok(f"classes: {len(network.classes)}, {some(network.classes)}")
    if network.measured:
        yield ok(f"as it was written, it had {network.measured}")
