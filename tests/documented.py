"""What the documentation has a reader run: blocks of shell and Python, and commands in tables; and what its text names."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "src" / "alexnet" / "starter" / "README.md",
]

PROGRAMS = ("alexnet", "make", "pip", "pre-commit", "pytest", "python", "python3", "ray", "torchrun")
"""What a command begins with, where a table has it."""

BLOCK = r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```"


@dataclass(frozen=True)
class Step:
    """What a reader runs at one place of a page."""

    heading: str
    """Of the section that it is in."""
    language: str
    """sh or python."""
    code: str


def steps(text: str) -> list[Step]:
    """What a page has to run, in its order: blocks of sh and python, and commands in tables.

    A block is taken as it stands, but for a prompt and the folder of an environment before a command. Only `alexnet evaluate`,
    without an argument, is no command in a table but the name of one.
    """
    in_order: list[Step] = []
    heading = ""
    for piece in re.finditer(rf"^#+ (?P<heading>[^\n]+)$|^(?P<row>\|[^\n]*)$|{BLOCK}", text, re.MULTILINE | re.DOTALL):
        if piece["heading"]:
            heading = piece["heading"]
        elif piece["row"]:
            commands = re.findall(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`", piece["row"])
            in_order += [Step(heading, "sh", each) for each in commands if not re.fullmatch(r"alexnet \w+", each)]
        elif piece["language"] == "python":
            in_order.append(Step(heading, "python", dedent(piece["code"])))
        elif piece["language"] == "sh":
            code = re.sub(r"^( *)(?:\$ |\.venv/bin/)", r"\1", dedent(piece["code"]), flags=re.MULTILINE)
            in_order.append(Step(heading, "sh", code))
    return in_order


def lines(code: str) -> list[str]:
    """The lines of shell code, with those that go on joined."""
    return [line.strip() for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def all_lines() -> list[str]:
    """The lines of shell code of all pages."""
    read = [step for page in PAGES for step in steps(page.read_text())]
    return [line for step in read if step.language == "sh" for line in lines(step.code)]


def spans(text: str) -> list[str]:
    """What stands between backquotes in a page's text and tables."""
    text = re.sub(BLOCK, "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
