"""What reaches the terminal: names of classes and files are text whatever is in them, and no figure is cut off."""

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.table import Table

from alexnet import cli
from alexnet.cli.terminal import Terminal
from alexnet.words import visible
from tests.conftest import CLASSES, picture

CLASS = "\x1b[31mred\x1b[0m\n[bold]:smile: \u202eclass"  # a folder's name may have all of it
SHOWN = r"\033[31mred\033[0m\n[bold]:smile: \u202eclass"
FILE = "a\x1b]0;title\x07\r\nb.png"
FILE_SHOWN = r"a\033]0;title\a\r\nb.png"


def harmless(text: str) -> bool:
    """Whether nothing in it steers a terminal."""
    return not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text.replace("\n", ""))


def test_what_steers_a_terminal_is_written_out_as_ls_does() -> None:
    assert visible("a\tb\nc\x1b[1m\x7f\x9b\u2028\u202e\0") == r"a\tb\nc\033[1m\177\233\u2028\u202e\000"
    for name in ("plain", "강아지 🐶", "👩‍👩‍👧 می‌خواهم", "C:\\new\\table", "\udce9"):
        assert visible(name) == name


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_is_one_line_and_comes_back_from_a_table_without_markup(text: str) -> None:
    file = io.StringIO()
    console = Terminal(file=file, width=10_000)
    console.print(text, soft_wrap=True)
    assert file.getvalue() == visible(text) + "\n" and harmless(visible(text)) and "\n" not in visible(text)


@pytest.mark.parametrize("width", [10, 20, 40, 80])
def test_a_table_keeps_every_figure_whole_in_any_terminal(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("class", "images", "top-1 error %", "top-5 error %")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in (CLASS, "x" * 200, "golden [red]retriever of a long name", "강아지" * 30):
        table.add_row(name, "1,281,167", "40.66", "100.00")
    Terminal(width=width).table(table)
    shown = capsys.readouterr().out
    assert "…" not in shown and harmless(shown)
    assert [shown.count(figure) for figure in ("1,281,167", "40.66", "100.00", "top-1 error %")] == [4, 4, 4, 1]
    assert "".join(re.findall("x+", shown)).count("x") >= 200, "words fold"
    assert max(map(len, shown.splitlines())) <= max(width, 68)


def test_the_tables_of_commands_are_whole_in_20_columns(
    nasty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    for words in (("data", nasty / "data"), ("evaluate", nasty / "run"), ("claims", "show", "lrn"), ("summary",)):
        assert cli.main([str(word) for word in words]) == 0
        shown = capsys.readouterr().out
        assert "…" not in shown and shown
    assert cli.main(["predict", str(nasty / "run"), str(nasty / "photos" / CLASSES[1] / "00.png")]) == 0
    assert len(re.findall(r"\d\.\d %", capsys.readouterr().out)) == len(CLASSES), "a percentage for each label"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos, with such names and a broken file, prepared as data, trained as run."""
    folder = tmp_path_factory.mktemp("nasty")
    draw = np.random.default_rng(0)
    for kind, name in zip(CLASSES, (CLASS, *CLASSES[1:]), strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(picture(kind, draw)).save(folder / "photos" / name / f"{number:02}.png")
    os.rename(folder / "photos" / CLASS / "00.png", folder / "photos" / CLASS / FILE)
    (folder / "photos" / CLASS / f"bad{FILE}").write_bytes(b"no image")
    small = ("--image-size", "32", "--network.input-size", "28", "--batch", "16", "--device", "cpu", "--epochs", "1")
    assert cli.main(["prepare", str(folder / "photos"), str(folder / "data"), "--size", "32", "--max-bad", "0.1"]) == 0
    assert cli.main(["train", "demo", "--data", str(folder / "data"), "--out", str(folder / "run"), *small]) == 0
    return folder


COMMANDS = {
    "prepare": (
        ("prepare", "{photos}", "{tmp}/again", "--size", "8", "--max-bad", "0.1"),
        0,
        f"bad{FILE_SHOWN}: not an",
    ),
    "prepare refuses": (("prepare", "{photos}", "{tmp}/again", "--size", "8"), 2, f"bad{FILE_SHOWN}: not an image"),
    "data": (("data", "{data}"), 0, r"\033[31m"),
    "doctor": (("doctor", "{photos}"), 2, f"bad{FILE_SHOWN}"),
    "evaluate": (("evaluate", "{run}"), 0, r"\033[31m"),
    "predict": (
        ("predict", "{run}", "{photos}/" + CLASS, "--picture", "{tmp}/p.svg"),
        3,
        f"bad{FILE_SHOWN}: not an image",
    ),
    "similar": (("similar", "{run}", "--count", "24", "--picture", "{tmp}/s.svg"), 0, SHOWN),
    "activations": (("activations", "{run}", "{photos}/" + f"{CLASS}/{FILE}", "{tmp}/a.svg"), 0, ""),
    "units": (("units", "{run}", "{tmp}/u.svg", "--layer", "fc8"), 0, ""),
    "report": (("report", "{run}"), 0, ""),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_names_that_steer_a_terminal_are_text_in_every_command(
    name: str, nasty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, code, said = COMMANDS[name]
    places = {"photos": nasty / "photos", "data": nasty / "data", "run": nasty / "run", "tmp": tmp_path}
    capsys.readouterr()
    assert cli.main([re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), word) for word in words]) == code
    shown = capsys.readouterr()
    assert harmless(shown.out) and harmless(shown.err)
    assert said in shown.out + shown.err
    for file in tmp_path.glob("*.svg"):
        assert r"\033" in file.read_text() or name != "predict"
    if name == "report":
        assert harmless((nasty / "run" / "report.html").read_text())


@pytest.mark.parametrize("command", ["data", "doctor", "evaluate", "predict", "kernels", "curves", "report", "train"])
def test_an_error_names_a_folder_on_one_line_whatever_its_name(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, "--resume"] if command == "train" else [command]
    assert cli.main([*words, str(tmp_path / CLASS), *(["a.png"] if command == "predict" else [])]) == 2
    said = capsys.readouterr().err
    assert SHOWN in said and harmless(said) and said.count("\n") == 1


def test_an_option_that_no_option_is_called_like_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """As a file may be called that a * stands for."""
    assert cli.main(["predict", "run", "--\x1b[31m.png"]) == 2
    assert (
        capsys.readouterr().err
        == "alexnet predict: --\\033[31m.png: no option; if it is a file, name it ./--\\033[31m.png\n"
    )


def test_what_is_printed_onto_a_full_disk_is_an_error() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full here")
    for option in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "alexnet", "summary", *option]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        said = "alexnet summary: standard output: the disk is full (No space left on device); make room on it\n"
        assert (done.returncode, done.stderr) == (1, said)


def test_json_has_the_names_as_they_are(nasty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(["data", str(nasty / "data"), "--json"]) == 0
    text = capsys.readouterr().out
    assert harmless(text) and CLASS in json.loads(text)["classes"]
