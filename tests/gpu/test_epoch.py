"""The long run: through the trainer itself, on random images that the host hardly keeps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.errors import RunFailed
from alexnet.gpu import epoch
from alexnet.gpu.speed import PIECES, Given, Size
from tests.conftest import TINY_NETWORK

TINY = Size(network=TINY_NETWORK, image=32, visits=20, resident=8, validated=4)


def given(**changes: object) -> Given:
    return replace(Given(device=torch.device("cpu"), size=TINY), **changes)  # type: ignore[arg-type]


def test_a_run_of_as_many_visits_as_wanted_and_what_90_epochs_would_take() -> None:
    rows, more = PIECES["epoch"](given())
    figures = {row.name: row for row in rows}
    assert [line["epoch"] for line in more["epochs"]] == [1, 2, 3] and "validation_top1" in more["epochs"][-1]
    assert figures["images a second, the long run"].note == "24 image visits, batches of 128"
    assert more["left out"] == []
    one, whole = figures["1.28 million images"].median, figures["1.28 million images, all included"].median
    assert 0 < one < whole
    assert figures["90 such epochs"].median == pytest.approx(1.5 * one)


def test_the_figures_of_a_run() -> None:
    lines = [{"seconds": 30.0}, {"seconds": 10.0}, {"seconds": 20.0}]
    rows = {row.name: row for row in epoch.figures(lines, 640_000, 75.0, 128)}
    assert rows["images a second, the long run"].median == 32_000
    assert rows["1.28 million images"].median == 40
    assert (rows["1.28 million images, from each epoch but the first"].low, rows["90 such epochs"].median) == (20, 60)
    assert rows["90 such epochs"].note == "5 to 6 days in 2012: 120 to 144 times faster"
    assert rows["1.28 million images, all included"].median == 50


def test_what_is_told_to_stop_says_how_far_it_came_or_that_it_has_no_figure() -> None:
    asked = 0

    def soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    rows, more = PIECES["epoch"](given(stop=soon, size=replace(TINY, visits=800)))
    assert len(more["epochs"]) < 100 and more["left out"][0].endswith("no time left") and rows
    with pytest.raises(RunFailed, match="no epoch"):
        PIECES["epoch"](given(stop=lambda: True, size=replace(TINY, resident=300)))


def test_repeated_images_are_the_same_ones_over_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "BLOCK", 3)
    data = epoch.RandomImages(tmp_path / "data", 4, 8, 2, 5)
    split = data.split("train")
    assert split.images.shape == (8, 4, 4, 3) and len(split.images) == len(split.labels) == 8
    assert np.array_equal(split.images[1], split.images[4]) and split.images[2:8].shape == (6, 4, 4, 3)
    assert np.array_equal(split.images[np.array([0, 7])], split.images[np.array([6, 1])])
    assert not np.array_equal(split.images[0], split.images[1])
    assert data.split("val").images.shape[0] == 2 and set(split.labels) <= set(range(5))
