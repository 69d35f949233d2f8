"""The tables of docs/performance.md that a GPU's figures go into."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from alexnet.gpu.figures import document, row

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks/tables.py, with results in a folder of this test."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def test_the_page_has_a_place_for_every_piece() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    pieces = ["check", "ceilings", "kernels", "steps", "profile", "epoch"]
    assert re.findall(r"<!-- results: gpu-(\S+) -->", text) == pieces


def test_a_place_is_filled_with_figures_device_and_what_is_missing(tables: Any, tmp_path: Path) -> None:
    page = "<!-- results: gpu-steps -->\nold\n<!-- end -->\nrest"
    assert tables.page(page) == "<!-- results: gpu-steps -->\nNot measured yet.\n<!-- end -->\nrest"
    left_out = {"left out": ["a peer: OutOfMemoryError: none left"]}
    made = document("steps", "alexnet gpu steps", [row("a step", [12.0, 13.0], "ms", "why")], cuda="13.0", **left_out)
    made["machine"]["gpu"] = "H100"
    (tmp_path / "results" / "gpu-steps.json").write_text(json.dumps(made))
    filled = tables.page(page)
    assert "`alexnet gpu steps`, commit " in filled and "; H100, CUDA 13.0; " in filled and "blocks" not in filled
    assert "| a step (why) | 12.5 ms | 12.0 ms | 13.0 ms | 2 |" in filled
    assert "Left out: a peer: OutOfMemoryError: none left." in filled and filled.endswith("<!-- end -->\nrest")
