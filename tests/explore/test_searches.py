"""Neighbours and units, asked for until they are there: those that a plain search over all training images finds."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.explore import searches
from alexnet.explore.session import Session
from alexnet.run import trained
from alexnet.run.images import training_of
from tests.explore.conftest import Explorer, client_of


def ready(explorer: Explorer, path: str) -> dict:
    """The answer once it is there; every one before it says that it is computed."""
    for _ in range(2000):
        answer = explorer.client.get(f"/api/runs/tiny-run/{path}")
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] == "ready":
            return answer.json()
        assert set(answer.json()) == {"state", "done", "total"} and answer.json()["state"] == "computing"
        time.sleep(0.005)
    raise AssertionError("never ready")


def test_neighbours_are_the_nearest_of_all_that_it_was_trained_on(explorer: Explorer) -> None:
    near = ready(explorer, "images/train-4/neighbours.json?count=5")
    ours, data = trained.load(explorer.run), explorer.session.data
    assert data
    split, indices = training_of(ours.recipe, data)
    rows = torch.cat([ours.features(split.images[k]).double() for k in range(len(split.labels))])
    distances = (rows[indices] - rows[4]).norm(dim=1).numpy()
    order = [k for k in np.argsort(distances, kind="stable") if indices[k] != 4][:5]
    assert near["searched"] == len(indices) == 72
    assert [row["id"] for row in near["neighbours"]] == [f"train-{indices[k]}" for k in order]
    np.testing.assert_allclose([row["distance"] for row in near["neighbours"]], distances[order], rtol=1e-4)
    for row in near["neighbours"]:
        number = int(row["id"].removeprefix("train-"))
        assert (row["name"], row["label"]) == (split.files[number], split.classes[split.labels[number]])
    assert len(ready(explorer, "images/train-4/neighbours.json?count=0")["neighbours"]) == 1
    assert len(ready(explorer, "images/train-4/neighbours.json?count=999")["neighbours"]) == searches.MOST
    kept = explorer.run / "features"
    assert {file.suffix for file in kept.iterdir()} == {".bin", ".json"}


def test_features_of_a_run_that_cannot_be_written_are_kept_elsewhere(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "tiny-run")
    monkeypatch.setattr(searches.os, "access", lambda path, mode: False)
    session = Session([run])
    near = ready(Explorer(session, client_of(session), run), "images/train-4/neighbours.json")
    assert len(near["neighbours"]) == 12 and not (run / "features").exists()
    session.close()


ACTIVATIONS = {"conv1": "relu1", "conv2": "relu2", "fc5": "relu5", "fc6": "fc6"}
UNITS = [("conv1", "conv1", 3), ("pool2", "conv2", 15), ("fc5", "fc5", 7), ("fc6", "fc6", 2)]


@pytest.mark.parametrize(("step", "layer", "unit"), UNITS)
def test_patches_are_where_the_unit_answers_strongest(explorer: Explorer, step: str, layer: str, unit: int) -> None:
    found = ready(explorer, f"units/{step}/{unit}.json")
    ours, data = trained.load(explorer.run), explorer.session.data
    assert data
    split, indices = training_of(ours.recipe, data)
    with torch.inference_mode():
        outputs = ours.network.activations(ours.prepare(split.images[indices]))
    maps = outputs[ACTIVATIONS[layer]][:, unit]
    best = maps.reshape(len(indices), -1).max(dim=1).values
    order = best.argsort(descending=True, stable=True)[:9]
    wanted = [(f"train-{indices[k]}", float(best[k])) for k in order.tolist() if best[k] > 0 or layer == "fc6"]
    assert found["searched"] == 72 and [patch["id"] for patch in found["patches"]] == [id for id, _ in wanted]
    np.testing.assert_allclose(
        [patch["value"] for patch in found["patches"]], [value for _, value in wanted], rtol=1e-4
    )
    for patch in found["patches"]:
        x, y, width, height = patch["box"]
        number = int(patch["id"].removeprefix("train-"))
        assert patch["label"] == split.classes[split.labels[number]]
        if layer.startswith("fc"):
            assert patch["box"] == [2, 2, 28, 28]
            continue
        # What lies outside the box may change as it likes: the unit's strongest answer there stays, but for the edge of the crop.
        assert x >= 2 and x + width <= 30 and y >= 2 and y + height <= 30
        pixels = np.array(split.images[number])
        inside = pixels[y : y + height, x : x + width].copy()
        pixels[:] = np.random.default_rng(0).integers(0, 255, pixels.shape)
        pixels[y : y + height, x : x + width] = inside
        with torch.inference_mode():
            again = ours.network.activations(ours.prepare(pixels[None]))[f"relu{layer[-1]}"][0, unit]
        assert float((again - patch["value"]).abs().min()) < 1e-3 * patch["value"]


def test_only_so_many_images_are_looked_at(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "LOOKED_AT", 10)
    assert ready(explorer, "units/conv3/0.json")["searched"] == 10


def test_a_twin_has_the_same_weights_and_shares_no_hook(explorer: Explorer) -> None:
    ours = explorer.session.run("tiny-run").trained
    twin = searches.twin(ours)
    for name, weight in ours.network.state_dict().items():
        assert twin.network.state_dict()[name].data_ptr() == weight.data_ptr()
    assert all(a is not b for a, b in zip(twin.network.modules(), ours.network.modules(), strict=True))


def test_a_dataset_that_is_not_the_runs_own_has_no_neighbours(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer.session.data, "classes", ("other",))
    answer = explorer.client.get("/api/runs/tiny-run/images/train-4/neighbours.json")
    assert answer.status_code == 404 and "\n" not in answer.json()["error"]
