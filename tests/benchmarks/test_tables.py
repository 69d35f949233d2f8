"""The tables of docs/performance.md, those that a GPU's figures go into too."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.gpu.run import PIECES
from benchmarks.measure import document, row

ROOT = Path(__file__).parents[2]


def test_the_page_has_a_place_for_every_piece() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert set(re.findall(r"<!-- results: gpu-(\S+) -->", text)) == PIECES.keys() - {"imagenette", "claims"}


def test_a_place_is_filled_with_figures_device_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    page = "<!-- results: gpu-steps-128 -->\nold\n<!-- end -->\nrest"
    assert tables.page(page) == "<!-- results: gpu-steps-128 -->\nNot measured yet.\n<!-- end -->\nrest"
    more = {"cuda": "13.0", "left out": ["a peer: OutOfMemoryError: none left"]}
    rows = [row("a step", [12.0, 13.0], "ms", "why")]
    made = document("gpu-steps-128", "python -m benchmarks.gpu.steps", rows, **more)
    made["machine"]["gpu"] = "H100"
    (tmp_path / "results" / "gpu-steps-128.json").write_text(json.dumps(made))
    filled = tables.page(page)
    assert (
        "`python -m benchmarks.gpu.steps`, commit " in filled
        and "; H100, CUDA 13.0; " in filled
        and "blocks" not in filled
    )
    assert "| a step (why) | 12.5 ms | 12.0 ms | 13.0 ms | 2 |" in filled
    assert "Left out: a peer: OutOfMemoryError: none left." in filled and filled.endswith("<!-- end -->\nrest")
