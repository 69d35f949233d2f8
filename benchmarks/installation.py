"""What an installation takes: the size of the base's and of the extras' packages, and the time of importing them.

Sizes are of the files that the installed distributions list, torch and what only torch asks for apart. Times are the
median of some new processes, each under `python -X importtime`, files read before.
"""

import argparse
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

IMPORTS = {
    "import alexnet": "import alexnet",
    "alexnet --help": "from alexnet.cli import main; main(['--help'])",
    "alexnet predict": "import alexnet.cli.evaluate, alexnet.insight.predictions",
}
"""What is timed, and the program that imports as much."""


def needed(requirements: Iterable[str], extras: Iterable[str] = ()) -> set[str]:
    """The distributions that requirements with these extras ask for here, and all that those ask for."""
    names: set[str] = set()
    seen: set[tuple[str, str]] = set()
    todo = [(text, extra) for text in requirements for extra in ("", *extras)]
    while todo:
        text, extra = todo.pop()
        wanted = Requirement(text)
        if (text, extra) in seen or (wanted.marker and not wanted.marker.evaluate({"extra": extra})):
            continue
        seen.add((text, extra))
        names.add(wanted.name)
        todo += [(more, inner) for more in distribution(wanted.name).requires or [] for inner in ("", *wanted.extras)]
    return names


def megabytes(names: Iterable[str]) -> float:
    """The size of the files of installed distributions."""
    files = {path for name in names for path in distribution(name).files or ()}
    return sum(path.stat().st_size for file in files if (path := file.locate()).is_file()) / 1e6


def milliseconds(program: str) -> Counter[str]:
    """The time that importing takes, by the package at the top."""
    command = [sys.executable, "-X", "importtime", "-c", program]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    spent: Counter[str] = Counter()
    for own, name in re.findall(r"^import time: +(\d+) \| +\d+ \| +([\w.]+)$", done.stderr, re.MULTILINE):
        spent[name.partition(".")[0]] += int(own) / 1000
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    asked = distribution("alexnet").requires or []
    base, torch = needed(asked), needed(["torch"])
    print(f"torch and what it asks for: {megabytes(torch):,.0f} MB in {len(torch)} packages")
    print(f"base without those: {megabytes(base - torch):,.1f} MB in {len(base - torch)} packages")
    extras = sorted({name for text in asked for name in re.findall(r"extra == ['\"](\w+)['\"]", text)} - {"dev"})
    for extra in extras:
        try:
            more = needed(asked, [extra]) - base - {"alexnet"}
        except PackageNotFoundError as error:
            print(f"[{extra}] is not installed: {error.name} is missing")
            continue
        print(f"[{extra}] beside the base: {megabytes(more):,.1f} MB in {len(more)} packages")
    for name, program in IMPORTS.items():
        milliseconds(program)
        rounds = [milliseconds(program) for _ in range(repeats)]
        whole = statistics.median(spent.total() for spent in rounds)
        most = ", ".join(f"{package} {time:,.0f}" for package, time in rounds[-1].most_common(5))
        print(f"{name}: {whole:,.0f} ms in imports (the last of {repeats}: {most})")


if __name__ == "__main__":
    main()
