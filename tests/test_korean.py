"""The Korean pages show what commands and lines of Python print: that is what they print today."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from alexnet import cli
from tests.documented import ROOT
from tests.end_to_end.stand_ins import album

PAGES = sorted((ROOT / "docs" / "ko").glob("*.md"))
WITHOUT_DATA = ("summary", "claims")
"""Commands that need neither data nor a run, so that a test can give them."""


def examples(page: Path, language: str) -> list[tuple[str, str]]:
    """(code, what the page says it prints) of the fenced blocks in this language that a block of text follows."""
    blocks = rf"^```{language}\n((?:(?!```).)*)^```\n\n^```text\n(.*?)^```"
    return re.findall(blocks, page.read_text(), re.MULTILINE | re.DOTALL)


def missing(shown: str, printed: str) -> list[str]:
    """The lines of `shown` that `printed` lacks, in their order; … stands for what was left out of a line, or for lines."""
    lines, absent = iter(printed.splitlines()), []
    for line in shown.splitlines():
        pieces = [re.escape(piece.strip()) for piece in line.split("…")]
        pattern = re.compile(r"\s*".join(["", ".*".join(pieces), ""]) + ("" if line.endswith("…") else "$"))
        if line != "…" and not any(pattern.match(each) for each in lines):
            absent.append(line)
    return absent


def test_lines_left_out_are_marked_and_the_rest_is_as_printed() -> None:
    printed = "│ a │ 1 │ x │\n│ b │ 2 │ y │\n│ c │ 3 │ z │\n"
    assert missing("│ a │ 1 │ x │\n…\n│ c │ … │ z │\n", printed) == []
    assert missing("│ b │ 2 │ …\n", printed) == []
    assert missing("│ b │ 2\n", printed) == ["│ b │ 2"], "without … a line is whole"
    assert missing("│ c │ 3 │ z │\n│ a │ 1 │ x │\n", printed) == ["│ a │ 1 │ x │"], "in the order of the output"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_prints_what_the_page_shows(page: Path) -> None:
    for code, shown in examples(page, "python"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        assert printed.getvalue() == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code, shown in examples(page, "sh"):
        first, *words = shlex.split(code, comments=True)
        if first == "alexnet" and words[0] in WITHOUT_DATA:
            assert cli.main(words) == 0
            assert not missing(shown, capsys.readouterr().out), f"{page.name}: alexnet {' '.join(words)}"


def test_the_doctor_says_of_the_album_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    album(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = dict(examples(ROOT / "docs" / "ko" / "practice.md", "sh"))["alexnet doctor album\n"]
    assert cli.main(["doctor", "album"]) == 2
    of_the_album, _, _ = shown.rpartition("…\n2 errors")  # how many warnings there are is also the machine's matter
    assert of_the_album and not missing(of_the_album, capsys.readouterr().out)


def test_every_page_shows_something_that_is_tested() -> None:
    tested = {page.name: examples(page, "python") + examples(page, "sh") for page in PAGES}
    assert len(tested) == 5 and all(tested.values())
