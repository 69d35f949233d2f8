"""Live progress, in a terminal and elsewhere."""

import io
import re

import pytest
from rich.console import Console

from alexnet.cli.progress import Bar, duration
from alexnet.training import Status


def status(epoch: int, step: int, ended: bool = False) -> Status:
    return Status(epoch, 90, step, 10010, 6.9077, 99.87, 0.0001, 12345.6, 86399.0, 99.5, ended)


def shown(terminal: bool, width: int = 100) -> str:
    """What 30 epochs write, without the codes that move the cursor."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, height=20, highlight=False, legacy_windows=False)
    with Bar("training", console) as bar:
        for epoch in range(1, 31):
            bar.training(status(epoch, 5000))
            bar.training(status(epoch, 10010))
            bar.training(status(epoch, 10010, ended=True))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "\n")


def test_a_terminal_shows_one_bar_below_a_line_for_each_epoch_before() -> None:
    text = shown(terminal=True)
    bars = [line for line in text.splitlines() if "━" in line]
    assert bars and "epoch 30/90" in bars[-1]
    for epoch in range(1, 30):
        assert len(re.findall(rf"^epoch {epoch}/90  10010/10010", text, re.MULTILINE)) == 1
    last = text[text.rindex("epoch 30/90") :]
    for part in ("loss 6.908", "error 99.9", "val 99.5", "rate 0.0001", "12,346 images/s", "23:59:59 left"):
        assert part in " ".join(last.split())


def test_an_epoch_of_a_large_set_fits_in_100_columns_and_nothing_is_cut_off_in_60() -> None:
    file = io.StringIO()
    with Bar("training", Console(file=file, force_terminal=True, width=60, highlight=False)) as bar:
        bar.training(status(90, 10010))
    words = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).split())
    assert "12,346 images/s" in words and "left" in words and "…" not in words


def test_elsewhere_it_is_a_line_at_the_end_of_an_epoch() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 30
    assert lines[0].startswith("epoch 1/90  10010/10010  loss 6.908") and "━" not in lines[0]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 59.9, 61, 3600)] == ["0:00", "0:59", "1:01", "1:00:00"]
    assert [duration(seconds) for seconds in (None, float("nan"), float("inf"))] == ["", "", ""]


@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_text_in_a_bar_and_nothing_is_cut_off_in_20_columns(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=20, highlight=False, legacy_windows=False)
    with Bar("images", console) as bar:
        for name in ("a[red]b\x1b[2J\n", "c"):
            bar.update(name, 5, 10, "1,234 images/s")
            bar.update(name, 1_281_167, 1_281_167, "1,234 images/s")
    text = file.getvalue()
    assert "\x1b[2J" not in text and "…" not in text
    assert r"a[red]b\033[2J\n  1,281,167/1,281,167 images, 1,234 images/s" in text
