"""A miniature ILSVRC-2012, archives and devkit, through prepare, train and evaluate."""

import json
from pathlib import Path

import numpy as np
import pytest

import alexnet
from alexnet.cli import main
from tests.data.making import make_mini_ilsvrc


def test_archives_to_an_error_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_mini_ilsvrc(tmp_path / "ilsvrc")
    before = sorted(path.name for path in (tmp_path / "ilsvrc").iterdir())
    data = tmp_path / "data"
    assert main(["prepare", str(tmp_path / "ilsvrc"), str(data), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [item["file"] for item in said["splits"]["train"]["skipped"]] == [made.truncated]
    assert sorted(path.name for path in (tmp_path / "ilsvrc").iterdir()) == before, (
        "nothing is unpacked beside the archives"
    )

    # Prepared at 256 as the paper says; the demo's recipe brings them to 64. Mirroring turns one class into another here.
    options = ["--epochs", "12", "--batch", "16", "--rate", "0.005", "--augmentation.no-flip", "--device", "cpu"]
    assert main(["train", "demo", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--views", "10", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    # Were the devkit's ids taken for sorted WordNet ids, most validation labels would be another class's.
    chance = 100 * (1 - 1 / len(alexnet.data.prepared.open(data).classes))
    assert measured["top1_error"] < 0.7 * chance
    assert np.sum(measured["confusion"]) == measured["images"] == said["splits"]["val"]["images"]
