"""Kept probabilities: the same as computed, used while nothing has changed, computed again when something has."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import probabilities
from alexnet.evaluation.judged import of_split
from alexnet.evaluation.measure import probabilities_of
from alexnet.evaluation.probabilities import Options, compute, file_of, read
from alexnet.run import checkpoint, recipe, trained


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run's folder."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images computed, call by call."""
    calls: list[int] = []

    def counting(*args: object, **options: object) -> object:
        calls.append(len(args[3]))  # type: ignore[arg-type]
        return probabilities_of(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(probabilities, "probabilities_of", counting)
    return calls


def test_kept_are_the_bits_that_were_computed(run: Path, tiny_prepared: Prepared, computed: list[int]) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    first = compute(run, judged, Options(10))
    second = compute(run, judged, Options(10))
    assert computed == [24] and first.dtype == np.float32 and np.array_equal(first, second)
    network = trained.load(run)
    direct = network.probabilities(np.asarray(judged.images[judged.indices]), views=10).detach().numpy()
    assert np.allclose(first, direct, atol=1e-6)
    file = file_of(run, judged, 10)
    assert file.name.startswith("held-out-of-train-10views-") and file.name.endswith("-step-00000060.safetensors")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_nothing_is_kept_where_it_is_not_wanted(run: Path, tiny_prepared: Prepared, computed: list[int]) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    for _ in range(2):
        compute(run, judged, Options(keep=False))
    assert computed == [24, 24] and not (run / "predictions").exists()


def other_weights(run: Path, _: Prepared) -> Prepared | None:
    file = checkpoint.newest(run) / checkpoint.WEIGHTS
    weights = load_file(file)
    weights["fc6.bias"][0] += 1
    save_file(weights, file)
    return None


def other_mean(run: Path, _: Prepared) -> Prepared | None:
    file = run / "preparation" / "mean.npy"
    np.save(file, np.load(file) + 1)
    return None


def other_images(run: Path, prepared: Prepared) -> Prepared | None:
    splits = json.loads(json.dumps(prepared.manifest["splits"]))
    splits["train"]["checksums"].append({"images": 0, "sha256": "0" * 64})
    return Prepared(prepared.path, {**prepared.manifest, "splits": splits})


def damaged(run: Path, _: Prepared) -> Prepared | None:
    [file] = (run / "predictions").iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    return None


@pytest.mark.parametrize("change", [other_weights, other_mean, other_images, damaged])
def test_what_has_changed_is_computed_again(
    change: Callable[[Path, Prepared], Prepared | None], run: Path, tiny_prepared: Prepared, computed: list[int]
) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    before = compute(run, judged)
    changed = change(run, tiny_prepared)
    judged = of_split(recipe.read(run), changed or tiny_prepared)
    after = compute(run, judged)
    assert computed == [24, 24]
    assert np.array_equal(before, after) == (change in (other_images, damaged))
    compute(run, judged)
    assert computed == [24, 24]


def test_another_split_or_number_of_views_is_kept_beside(
    run: Path, tiny_prepared: Prepared, computed: list[int]
) -> None:
    run_recipe = recipe.read(run)
    held_out, whole = of_split(run_recipe, tiny_prepared), of_split(run_recipe, tiny_prepared, "train")
    other = of_split(replace(run_recipe, hold_out_seed=1), tiny_prepared)
    for judged, views in ((held_out, 1), (held_out, 10), (whole, 1), (other, 1)) * 2:
        compute(run, judged, Options(views))
    assert computed == [24, 24, 96, 24]


def test_those_of_an_older_checkpoint_go(run: Path, tiny_prepared: Prepared) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    compute(run, judged)
    compute(run, judged, Options(10))
    newest = checkpoint.newest(run)
    newest.rename(newest.with_name("step-00000061"))
    compute(run, judged)
    assert read(run, judged, Options()) is not None and read(run, judged, Options(10)) is None
    names = sorted(path.name for path in (run / "predictions").iterdir())
    assert [("-1views-" in name, name[-14:-12]) for name in names] == [(False, "60"), (True, "61")]


def test_writing_takes_no_copy(run: Path, tiny_prepared: Prepared) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    many = np.random.default_rng(0).random((500_000, 4), np.float32)
    tracemalloc.start()
    try:
        probabilities._write(file_of(run, judged, 1), many, {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < many.nbytes / 2
    there = load_file(file_of(run, judged, 1))["probabilities"]
    assert np.array_equal(there.numpy(), many)


def test_no_run_folder_is_said(tmp_path: Path, tiny_run: Path, tiny_prepared: Prepared) -> None:
    judged = of_split(recipe.read(tiny_run), tiny_prepared)
    with pytest.raises(InputError, match="no recipe.json"):
        compute(tmp_path, judged)
    shutil.copy(tiny_run / "recipe.json", tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        compute(tmp_path, judged)


def test_each_precision_is_kept_for_itself(run: Path, tiny_prepared: Prepared, computed: list[int]) -> None:
    judged = of_split(recipe.read(run), tiny_prepared)
    wide = compute(run, judged, Options(precision="float32"))
    low = compute(run, judged, Options(precision="bf16"))
    assert computed == [24, 24] and not np.array_equal(wide, low) and np.abs(wide - low).max() < 0.05
    assert read(run, judged, Options(precision="float32")) is None  # one is kept, the last one
    assert np.array_equal(low, compute(run, judged, Options(precision="bf16"))) and computed == [24, 24]


def test_the_recipe_says_in_which_precision_unless_the_caller_does(run: Path) -> None:
    (run / "recipe.json").write_text(replace(recipe.read(run), precision="float32").to_json())
    assert Options().precision_of(run) == "float32" and Options(precision="bf16").precision_of(run) == "bf16"
