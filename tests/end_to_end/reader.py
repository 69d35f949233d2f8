"""Somebody who goes through a page of documentation and runs what it says, in a folder of their own."""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.cli import main
from alexnet.extras import EXTRAS, lacking
from alexnet.reading import sha256_of
from tests.documented import PROGRAMS, ROOT, Step, lines

from .in_small import FETCHED, alone
from .stand_ins import STAND_INS

PREAMBLE = """
set -eo pipefail
hand_over() { printf '%q ' "$@" >&REQUESTS; echo >&REQUESTS; read -r code <&ANSWERS; return "$code"; }
"""
WRITTEN = ("--out", "--export", "--picture", "--submission")
"""Options that name what a command writes."""
EXIT_CODES = {"alexnet doctor album": 2}
"""Commands that shall find something wrong."""
PLACEHOLDERS = {"NAME": "relu"}
"""What is put in the place of words that a reader replaces; files and folders are in STAND_INS."""
UNNAMED = {"alexnet claims page": "docs"}
"""What commands take and do not name."""
NOT_RUN = {
    "pip download": "there is no index of packages; tests/end_to_end/test_wheel.py installs what can be installed without one",
    "pip install": "likewise",
    "pre-commit install": "it would change this checkout",
    "pytest -m gpu": "it needs a GPU, and tests are being run",
    "python -m build": "tests/end_to_end/test_wheel.py does it",
    "python3 -m pip install": "as of pip",
    "python -m http.server": "it is Python's, and never ends",
    "ray start": "it is Ray's, and starts processes that stay; tests/data/test_cluster.py has a cluster",
}
"""Commands that are not run, by how they begin, and why."""


class Reader:
    """A reader at work in `folder`, who copies what the page takes for granted from the one before; the first makes it."""

    def __init__(self, page: str, folder: Path, before: "Reader | None" = None) -> None:
        self.page, self.folder, self.before = page, folder, before
        self.names: dict[str, object] = {"__name__": "__main__"}

    def run(self, step: Step) -> None:
        """Run a step; fails the test with what was said where it does not end as the page says."""
        with contextlib.chdir(self.folder):
            if step.language == "python":
                for path in re.findall(r"""["']([^"'\n]+)["']""", step.code):
                    self.provide(path)
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(step.code, f"{self.page} ({step.heading})", "exec"), self.names)
            else:
                self.shell(step.code)

    def shell(self, code: str) -> None:
        """Have bash run lines; what begins with one of PROGRAMS comes back to `command`."""
        for line in lines(code):
            for word in re.findall(r"[\w./-]+", line) if line.split()[0] not in PROGRAMS else ():
                self.provide(word)
        (requests, write), (read, answers) = os.pipe(), os.pipe()
        preamble = PREAMBLE.replace("REQUESTS", str(write)).replace("ANSWERS", str(read))
        preamble += "".join(f'{name}() {{ hand_over {name} "$@"; }}\n' for name in PROGRAMS)
        bash = subprocess.Popen(
            ["bash", "-c", preamble + code],
            pass_fds=(read, write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(read)
        os.close(write)
        with bash, os.fdopen(requests) as asked, os.fdopen(answers, "w") as told:
            for line in asked:
                told.write(f"{self.command(shlex.split(line))}\n")
                told.flush()
            _, said = bash.communicate()
        assert bash.returncode == 0, f"{self.page}:\n{code}\nends with {bash.returncode}: {said}"

    def command(self, words: list[str]) -> int:
        """Run one command of a page."""
        line = " ".join(words)
        if line.startswith(tuple(NOT_RUN)):
            return 0
        self.provide_for([*words, UNNAMED.get(line, "")])
        program, *arguments = [self.replaced(word) for word in words]
        if program not in RUN:
            pytest.fail(
                f"{self.page}: {line}\nno test can run it yet: tests/end_to_end/reader.py, RUN or NOT_RUN",
                pytrace=False,
            )
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            try:
                code = RUN[program](arguments)
            except SystemExit as end:
                code = int(end.code or 0)
        wanted = EXIT_CODES.get(line, 0)
        if code != wanted:
            said = out.getvalue()
            for extra in EXTRAS:
                if (lacks := lacking(extra)) and f"alexnet[{extra}]" in said:
                    pytest.skip(lacks)
            pytest.fail(
                f"{self.page}: {line}\nends with {code} instead of {wanted}: {said}\n"
                "If it needs what no command of the page makes, add that to STAND_INS in tests/end_to_end/stand_ins.py.",
                pytrace=False,
            )
        return 0

    def provide_for(self, words: list[str]) -> None:
        """Provide what a command takes, but not what it writes."""
        written = {after for option, after in zip(words, words[1:], strict=False) if option in WRITTEN}
        if words[:2] == ["alexnet", "prepare"]:
            written.update(words[3:4])
        for word in words[1:]:
            if word not in written:
                self.provide(word)

    def provide(self, path: str) -> None:
        """Provide the stand-in that a path names or lies in, unless it is there."""
        if path.startswith("https://"):
            path = FETCHED
        for name in STAND_INS:
            if (path == name or path.startswith(f"{name}/")) and not (self.folder / name).exists():
                self.get(name)

    def get(self, name: str) -> None:
        """Copy or make a stand-in."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if self.before:
            self.before.provide(name)
            kept = self.before.folder / name
            shutil.copytree(kept, place) if kept.is_dir() else shutil.copy(kept, place)
            return
        maker = STAND_INS[name]
        if callable(maker):
            maker(self.folder)
        else:
            with contextlib.chdir(self.folder):
                self.shell(maker)

    def replaced(self, word: str) -> str:
        """A word with what a reader would put in the place of a placeholder."""
        if word.endswith("=HEX"):
            return word.removesuffix("HEX") + sha256_of(self.folder / FETCHED)
        return PLACEHOLDERS.get(word, word)


# --- Programs other than alexnet: what a test can do of them ----------------------------------------------------------


def make(arguments: list[str]) -> int:
    """Whether there is such a target."""
    done = subprocess.run(["make", "--dry-run", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    print(done.stderr)
    return done.returncode


def python(arguments: list[str]) -> int:
    """Whether a benchmark has these options."""
    words = arguments[1:] if arguments[0] == "-m" else arguments
    unknown = {word for word in words[1:] if word.startswith("--")} - options_of_benchmark(words[0])
    print(f"the help of {words[0]} has no {unknown}")
    return int(bool(unknown))


def options_of_benchmark(name: str) -> set[str]:
    """The options that the help of benchmarks/NAME.py, or of the module benchmarks.NAME, lists."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        patch.setattr(sys, "argv", [name, "--help"])
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        patch.syspath_prepend(str(ROOT))
        if name.endswith(".py"):
            runpy.run_path(str(ROOT / name), run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__")
    return set(re.findall(r"--[\w-]+", out.getvalue()))


def torchrun(arguments: list[str]) -> int:
    """alexnet as the only process, once torchrun's own options are known to exist."""
    from torch.distributed.run import get_args_parser

    given = get_args_parser().parse_args(arguments)
    assert given.training_script == "alexnet" and given.module
    return alone(main, given.training_script_args)


RUN: dict[str, Callable[[list[str]], int]] = {
    "alexnet": main,
    "make": make,
    "python": python,
    "python3": python,
    "torchrun": torchrun,
}
