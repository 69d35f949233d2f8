"""A call of train: what it begins with, what it refuses, and how a run goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.network.networks import networks
from alexnet.run import checkpoint, recipes
from alexnet.run.recipe import Recipe
from alexnet.run.recipe import read as read_recipe
from alexnet.run.recipes import fine_tuned
from alexnet.training import Status, resume, train
from tests.conftest import IMAGES_PER_CLASS, prepare_pictures
from tests.training.test_loop import equal, weights

# ---------------------------------------------------------------- fine-tuning


def test_fine_tuning_replaces_the_last_layer_and_copies_the_rest(
    tiny_run: Path, with_validation: Prepared, tmp_path: Path
) -> None:
    fine = replace(fine_tuned(read_recipe(tiny_run), 3), epochs=1, keep=9)
    train(fine, with_validation, tmp_path, start_from=weights(tiny_run))
    first, last = (checkpoint.weights(path) for path in sorted((tmp_path / "checkpoints").iterdir()))
    before = weights(tiny_run)
    for name in before:
        if not name.startswith("fc6."):
            assert torch.equal(first[name], before[name]), name
            assert not torch.equal(last[name], before[name]), name
    assert first["fc6.weight"].shape == (3, 32) and bool((first["fc6.bias"] == 0).all())
    rates = {
        group["place"]: group["lr"]
        for group in torch.load(checkpoint.newest(tmp_path) / "state.pt", weights_only=True)["optimizer"][
            "param_groups"
        ]
    }
    assert rates == pytest.approx({"first": 0.00005, "middle": 0.0005, "last": 0.005})


def test_the_last_layer_is_new_even_where_the_number_of_classes_is_the_same(
    tiny_run: Path, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    fine = replace(fine_tuned(read_recipe(tiny_run), 4), epochs=1, keep=9)
    train(fine, tiny_prepared, tmp_path, start_from=weights(tiny_run), stop=lambda: True)
    first = checkpoint.weights(sorted((tmp_path / "checkpoints").iterdir())[0])
    assert not torch.equal(first["fc6.weight"], weights(tiny_run)["fc6.weight"])
    assert torch.equal(first["fc5.weight"], weights(tiny_run)["fc5.weight"])


def test_weights_that_do_not_fit_are_refused(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--from: conv1.weight is \[16, 3, 5, 5\] here and \[1\] in that run"):
        train(tiny_recipe, tiny_prepared, tmp_path / "run", start_from={"conv1.weight": torch.zeros(1)})
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- what it refuses


def refused(tiny_prepared: Prepared, recipe: Recipe, run: Path, message: str, **more: Any) -> None:
    with pytest.raises(InputError, match=message):
        train(recipe, tiny_prepared, run, **more)


def test_images_of_another_size(tiny_prepared: Prepared, tmp_path: Path) -> None:
    refused(tiny_prepared, recipes.demo, tmp_path / "run", r"32×32, recipe demo is for 64.*--size 64.*--image-size 32")
    assert not (tmp_path / "run").exists()


def test_crops_larger_than_the_images(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    large = replace(tiny_recipe, network=replace(tiny_recipe.network, input_size=40))
    refused(tiny_prepared, large, tmp_path / "run", r"network\.input_size")
    assert not (tmp_path / "run").exists()


def test_the_number_of_classes_is_that_of_the_data(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    train(replace(one_epoch, network=replace(one_epoch.network, classes=1000)), tiny_prepared, tmp_path)
    assert read_recipe(tmp_path).network.classes == 4
    assert weights(tmp_path)["fc6.weight"].shape == (4, 32)


def test_a_network_that_cannot_be_built(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    impossible = replace(tiny_recipe, network=replace(networks["paper"], input_size=20))
    refused(tiny_prepared, impossible, tmp_path / "run", "pool|conv")


def test_a_bad_value_in_the_recipe(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    refused(tiny_prepared, replace(tiny_recipe, batch=0), tmp_path / "run", "--batch 0")


def test_labels_beyond_the_classes(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Prepared(tiny_prepared.path, tiny_prepared.manifest)
    split = replace(tiny_prepared.split("train"), labels=tiny_prepared.split("train").labels + 1)
    monkeypatch.setattr(damaged, "split", lambda name: split)
    refused(damaged, tiny_recipe, tmp_path / "run", "labels beyond its 4 classes")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_taken(tiny_run: Path, tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in tiny_run.rglob("*") if file.is_file()}
    refused(tiny_prepared, tiny_recipe, tiny_run, "there is a run already.*--resume")
    assert {file: file.read_bytes() for file in tiny_run.rglob("*") if file.is_file()} == before
    (tmp_path / "file").write_text("")
    refused(tiny_prepared, tiny_recipe, tmp_path / "file", "--out .*file: File exists; use another name")


def test_a_run_that_another_process_is_writing(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")

    def meanwhile() -> bool:
        refused(tiny_prepared, one_epoch, tmp_path, "another `alexnet train` is writing it", resume=True)
        return False

    assert train(one_epoch, tiny_prepared, tmp_path, stop=meanwhile).finished
    assert train(one_epoch, tiny_prepared, tmp_path, resume=True).finished


def test_a_folder_with_checkpoints_of_a_lost_run(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    train(one_epoch, tiny_prepared, tmp_path)
    (tmp_path / "recipe.json").unlink()
    refused(tiny_prepared, one_epoch, tmp_path, "there are checkpoints, but no recipe.json")


def test_nothing_to_resume(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    refused(tiny_prepared, one_epoch, tmp_path, "classes.json or preparation.*cannot be read", resume=True)


def test_resuming_with_other_data(
    tiny_prepared: Prepared, with_validation: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    train(one_epoch, tiny_prepared, tmp_path, stop=lambda: True)
    refused(with_validation, one_epoch, tmp_path, "not the data that .* began with; .*data.json", resume=True)


def test_resuming_with_the_same_images_prepared_again(
    tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    train(one_epoch, tiny_prepared, tmp_path / "run", stop=lambda: True)
    again = prepare_pictures(tmp_path, IMAGES_PER_CLASS, seed=1)
    assert train(one_epoch, again, tmp_path / "run", resume=True).finished
    other = prepare_pictures(tmp_path / "other", IMAGES_PER_CLASS, seed=2)
    refused(other, one_epoch, tmp_path / "run", "not the data that", resume=True)


@pytest.mark.parametrize("file", ["weights.safetensors", "state.pt"])
def test_resuming_from_a_damaged_checkpoint(
    file: str, tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path
) -> None:
    train(one_epoch, tiny_prepared, tmp_path)
    (checkpoint.newest(tmp_path) / file).write_bytes(b"damaged")
    refused(tiny_prepared, one_epoch, tmp_path, f"{file}: .*remove that checkpoint", resume=True)


def test_a_held_out_share_that_leaves_nothing(tiny_recipe: Recipe, tmp_path: Path) -> None:
    single = prepare_pictures(tmp_path, 1, seed=0)  # one picture a class stays in training
    refused(single, tiny_recipe, tmp_path / "run", "no images are left for validation")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- going on


def test_resume_goes_on_with_the_run_s_own_recipe_and_data(
    tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    stopped = train(tiny_recipe, tiny_prepared, tmp_path / "run", stop=lambda: True)
    seen: list[Status] = []
    outcome = resume(tmp_path / "run", progress=seen.append)
    assert not stopped.finished and outcome.finished and seen[0].step == 2
    train(tiny_recipe, tiny_prepared, tmp_path / "never")
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "never"))
    told = outcome.to_dict()
    assert (told["run"], told["finished"], told["epochs"]) == (str(tmp_path / "run"), True, 4)
    assert told["validation_top1"] == outcome.last["validation_top1"] and "time" not in told


def test_resume_of_a_run_whose_data_is_gone(tiny_prepared: Prepared, one_epoch: Recipe, tmp_path: Path) -> None:
    train(one_epoch, tiny_prepared, tmp_path)
    (tmp_path / "data.json").write_text(json.dumps({"path": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match="gone: the data of .* is not there any more; say --data DIR"):
        resume(tmp_path)
    assert resume(tmp_path, tiny_prepared.path).finished
    with pytest.raises(InputError, match="there is no such folder"):
        resume(tmp_path / "nothing")
