"""The runner: every run once, whatever stops it in between; searches, targets, runs that diverge, several processes."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alexnet.claims import expand, keys, ledger, perform, plan, records, runner, workers
from alexnet.claims.changes import field, same
from alexnet.claims.claim import Claim, Scale, Search, at
from alexnet.claims.claims import claims
from alexnet.claims.keys import Folders, Run
from alexnet.claims.perform import Stopped
from alexnet.claims.records import Result
from alexnet.claims.scales import scales
from alexnet.claims.workers import Now
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed
from alexnet.run.recipe import Recipe
from tests.claims import making
from tests.claims.making import lrn, relu, views


@pytest.fixture(scope="module")
def scale(tiny_recipe: Recipe) -> Scale:
    return making.scale(replace(tiny_recipe, epochs=2))


def run(
    claims: Sequence[Claim], scale: Scale, prepared: Prepared, out: Path, seeds: int = 1, **how: Any
) -> list[Result]:
    return runner.run(claims, scale, prepared, out, out / "results", range(seeds), **how)


def values(results: Sequence[Result]) -> list[Any]:
    """What was measured, without the seconds it took."""
    return [
        {
            name: [(one.seed, one.values, one.training, one.validation) for one in variant.runs]
            for name, variant in result.variants.items()
        }
        for result in results
    ]


@pytest.fixture(scope="module")
def unbroken(scale: Scale, tiny_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Both claims with two seeds, never stopped."""
    return run([lrn, views], scale, tiny_prepared, tmp_path_factory.mktemp("unbroken"), seeds=2)


def folders(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "smoke").iterdir())


def test_a_run_measured_on_other_splits_is_refused(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    run([views], scale, tiny_prepared, tmp_path)
    [path] = (tmp_path / "smoke").glob("*/measured.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "images": {"train": 3}}))
    with pytest.raises(InputError, match=r"measured on other splits.*another --out"):
        run([views], scale, tiny_prepared, tmp_path)


def test_fewer_seeds_take_nothing_from_a_result(
    unbroken: list[Result], scale: Scale, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    kept = unbroken[1].save(tmp_path / "results").read_text()
    run([views], scale, tiny_prepared, tmp_path)  # one seed, in a folder that has no other
    assert (tmp_path / "results" / "smoke" / f"{views.id}.json").read_text() == kept
    [again] = run([views], scale, tiny_prepared, tmp_path, seeds=2)
    [once_more] = run([views], scale, tiny_prepared, tmp_path)
    assert values([once_more]) == values([again])
    assert [one.seed for one in once_more.variants["ten crops"].runs] == [0, 1]


def test_images_too_small_for_a_scale_are_refused(tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path) -> None:
    large = making.scale(replace(tiny_recipe, image_size=tiny_prepared.size + 1))
    with pytest.raises(InputError, match="scale smoke takes pictures"):
        run([views], large, tiny_prepared, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_key_is_of_what_differs_from_the_defaults(tiny_prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "low_precision", lambda wanted, device: None)
    prepared = copy(tiny_prepared)
    prepared.__dict__.update(classes=("a", "b"), size=128, mean=np.zeros((3, 128, 128), np.float32))
    folders = Folders(Path(), prepared)
    reduced = expand.variants(claims["lrn"], scales["reduced"])["LRN"]
    # So are the published ones: whatever changes this key has to rewrite them.
    assert folders.key(reduced) == "9efeb3a6"
    fields = keys.decisive(reduced.recipe)
    assert fields["epochs"] == 12 and fields["network.convolutions.1.bias"] == 1.0
    assert (
        not {"rate", "rule", "network.pooling", "network.convolutions.0.bias", "augmentation.flip", "name"}
        & fields.keys()
    )
    changes: tuple[dict[str, Any], ...] = (
        {"rule": "lars"},
        {"freeze": ("conv1",)},
        {"network": replace(reduced.recipe.network, bottleneck=8)},
        {"augmentation": replace(reduced.recipe.augmentation, flip=False)},
    )
    others = [folders.key(replace(reduced, recipe=replace(reduced.recipe, **change))) for change in changes]
    assert len({folders.key(reduced), *others}) == 5, "what is not the default counts"


# every run once ------------------------------------------------------------------------------------------------------


def test_a_result_has_every_run_with_what_it_took(unbroken: list[Result], scale: Scale) -> None:
    first, second = unbroken
    assert (first.claim, first.scale, second.claim) == ("tiny-lrn", "smoke", "tiny-views")
    assert first.variants["LRN"].changes == {}
    assert first.variants["none"].changes == {"network.normalization": "none"}
    assert [one.seed for one in first.variants["none"].runs] == [0, 1]
    assert all({"top1", "gap", "train_top1"} <= one.values.keys() for one in first.variants["LRN"].runs)
    assert all({"top1", "ten_gain"} <= one.values.keys() for one in second.variants["ten crops"].runs)
    assert first.recipe.network.name == "tiny" and first.data.images == {"train": 96}
    assert first.machine["torch"] and first.commits and first.seconds > 0


def test_seeds_differ_and_variants_too(unbroken: list[Result]) -> None:
    of = unbroken[0].variants
    losses = [one.values["train_loss"] for variant in of.values() for one in variant.runs]
    assert len(set(losses)) == 4


def test_shared_runs_are_done_once(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    done = []
    results = run(
        [lrn, views], scale, tiny_prepared, tmp_path, progress=lambda now: done.append(now) if now.record else None
    )
    assert len(done) == 2 and [now.done for now in done] == [1, 2]
    assert len(folders(tmp_path)) == 2
    assert results[0].variants["LRN"].runs == results[1].variants["ten crops"].runs


def test_a_finished_run_is_not_done_again(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run([views], scale, tiny_prepared, tmp_path)
    monkeypatch.setattr(perform, "train", None)
    assert values(run([views], scale, tiny_prepared, tmp_path)) == values(first)
    # Another claim's measures of the same run need no training either.
    with_lrn = replace(lrn, variants=lrn.variants[:1])
    assert "gap" in run([with_lrn], scale, tiny_prepared, tmp_path)[0].variants["LRN"].runs[0].values


def test_another_recipe_other_data_another_end_are_other_runs(scale: Scale, tiny_prepared: Prepared) -> None:
    run = Run(scale.recipe)
    folders = Folders(Path(), tiny_prepared)
    same_run = replace(run, recipe=replace(run.recipe, name="other", device="cuda", keep=9, seed=5))
    assert folders.key(run) == folders.key(same_run)
    others = [
        replace(run, recipe=replace(run.recipe, rate=0.004)),
        replace(run, recipe=replace(run.recipe, network=replace(run.recipe.network, dropout=0.3))),
        replace(run, until=25.0),
    ]
    darker = copy(tiny_prepared)
    darker.__dict__["mean"] = tiny_prepared.mean - 1
    of_all = [folders.key(each) for each in (run, *others)] + [Folders(Path(), darker).key(run)]
    assert len(set(of_all)) == len(of_all)


# whatever stops it ---------------------------------------------------------------------------------------------------


def stop_after(polls: int) -> Callable[[], bool]:
    left = [polls]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stop


def test_stopped_in_the_middle_it_goes_on_to_the_same_figures(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, unbroken: list[Result]
) -> None:
    stops = 0
    for polls in (3, 9, 14):
        with pytest.raises(Stopped):
            run([lrn, views], scale, tiny_prepared, tmp_path, seeds=2, stop=stop_after(polls))
        stops += 1
    assert stops == 3
    assert any(not (tmp_path / "smoke" / name / "measured.json").exists() for name in folders(tmp_path))
    assert values(run([lrn, views], scale, tiny_prepared, tmp_path, seeds=2)) == values(unbroken)


def test_killed_before_its_first_checkpoint_it_begins_anew(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, unbroken: list[Result]
) -> None:
    [task] = expand.tasks(views, scale, {}, [0])["ten crops"]
    left = Folders(tmp_path / "smoke", tiny_prepared).path(task.run, task.name)
    left.mkdir(parents=True)
    (left / "recipe.json").write_text(scale.recipe.to_json())
    (left / "metrics.jsonl").write_text('{"kind": "step", "epoch"')
    again = run([views], scale, tiny_prepared, tmp_path)
    assert folders(tmp_path) == [left.name]
    assert values(again)[0]["ten crops"][0][2:] == values(unbroken)[1]["ten crops"][0][2:]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b"\xff", b'{"values": {}}'])
def test_a_damaged_or_missing_record_is_made_again_from_the_run(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, content: bytes | None
) -> None:
    before = run([views], scale, tiny_prepared, tmp_path)
    [name] = folders(tmp_path)
    record = tmp_path / "smoke" / name / "measured.json"
    checkpoint = next((tmp_path / "smoke" / name / "checkpoints").glob("*/weights.safetensors")).stat()
    if content is None:
        record.unlink()
    else:
        record.write_bytes(content)
    assert values(run([views], scale, tiny_prepared, tmp_path)) == values(before)
    after = next((tmp_path / "smoke" / name / "checkpoints").glob("*/weights.safetensors")).stat()
    assert after.st_mtime_ns == checkpoint.st_mtime_ns, "it is measured anew and not trained anew"


def test_results_are_there_from_the_first_seed_on(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    """Every claim's first seed comes before any claim's second."""
    begun = []

    def note(now: Now) -> None:
        if now.record:
            written = sorted(path.stem for path in (tmp_path / "results" / "smoke").glob("*.json"))
            begun.append((now.done, written))

    run([lrn, views], scale, tiny_prepared, tmp_path, seeds=2, progress=note)
    assert begun[2] == (3, ["tiny-lrn", "tiny-views"])


# on another machine, with nothing but the results -------------------------------------------------------------------


def test_runs_that_a_result_knows_are_not_done_again(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run([lrn, views], scale, tiny_prepared, tmp_path)
    shutil.rmtree(tmp_path / "smoke")
    with monkeypatch.context() as without_training:
        without_training.setattr(perform, "train", None)
        assert [result.__dict__ for result in run([lrn, views], scale, tiny_prepared, tmp_path)] == [
            result.__dict__ for result in before
        ]
        assert not list((tmp_path / "smoke").glob("*/checkpoints"))
    # A second seed is new, and is all that is trained.
    trained = []
    run([lrn, views], scale, tiny_prepared, tmp_path, seeds=2, progress=lambda now: trained.append(now.record))
    assert len([record for record in trained if record]) == 2


def test_a_measure_that_a_result_lacks_trains_the_run_anew(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    before = run([replace(views, measures=())], scale, tiny_prepared, tmp_path)
    shutil.rmtree(tmp_path / "smoke")
    after = run([views], scale, tiny_prepared, tmp_path)
    own, more = (results[0].variants["ten crops"].runs[0] for results in (before, after))
    assert own.training == more.training
    assert "ten_gain" not in own.values and "ten_gain" in more.values
    # The result with the fuller record counts, whichever name comes first.
    run([replace(views, id="another", measures=())], scale, tiny_prepared, tmp_path / "other")
    name = "smoke/another.json"
    shutil.copy(tmp_path / "other" / "results" / name, tmp_path / "results" / name)
    shutil.rmtree(tmp_path / "smoke")
    runner.restore(tmp_path / "results", scale, Folders(tmp_path / "smoke", tiny_prepared))
    [path] = (tmp_path / "smoke").glob("*/measured.json")
    assert "ten_crops" in json.loads(path.read_text())["measures"]


def test_a_run_that_was_begun_anew_goes_on_though_a_result_knows_it(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, unbroken: list[Result]
) -> None:
    """Its checkpoint is of half a run: nothing may be measured of it, whatever the result says of an earlier one."""
    run([replace(views, measures=())], scale, tiny_prepared, tmp_path)
    shutil.rmtree(tmp_path / "smoke")
    with pytest.raises(Stopped):  # it lacks a measure, so it is trained again
        run([views], scale, tiny_prepared, tmp_path, stop=stop_after(4))
    [path] = (tmp_path / "smoke").glob("*/checkpoints")
    runner.restore(tmp_path / "results", scale, Folders(tmp_path / "smoke", tiny_prepared))
    assert not list((tmp_path / "smoke").glob("*/measured.json"))
    [again] = run([views], scale, tiny_prepared, tmp_path)
    own, whole = (results[0].variants["ten crops"].runs[0] for results in ([again], unbroken[1:]))
    assert own.training == whole.training
    assert own.values["ten_top1"] == whole.values["ten_top1"]


def test_a_run_that_two_results_know_has_the_measures_of_both(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = replace(lrn, variants=lrn.variants[:1])
    for claim in (gap, views):
        run([claim], scale, tiny_prepared, tmp_path / claim.id)
        name = f"smoke/{claim.id}.json"
        (tmp_path / "results" / "smoke").mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / claim.id / "results" / name, tmp_path / "results" / name)
    monkeypatch.setattr(perform, "train", None)
    for result in run([gap, views], scale, tiny_prepared, tmp_path):
        [variant] = result.variants.values()
        assert {"gap", "ten_gain"} <= variant.runs[0].values.keys()


def test_a_result_keeps_what_another_call_put_there(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    """Some of the variants, another seed in another folder, a variant with another name: nothing is lost or counted twice."""

    def runs(result: Result) -> dict[str, list[int]]:
        return {name: [one.seed for one in variant.runs] for name, variant in result.variants.items()}

    results = tmp_path / "results"
    [both] = runner.run([lrn], scale, tiny_prepared, tmp_path / "a", results, range(1))
    some = replace(lrn, variants=lrn.variants[:1])
    # As by two runners at once: what the other has written is not among the run folders here.
    [second] = runner.run([some], scale, tiny_prepared, tmp_path / "b", tmp_path / "other", [1])
    path = second.save(results)
    assert runs(records.load(path)) == {"LRN": [1]}
    [first] = runner.run([lrn], scale, tiny_prepared, tmp_path / "a", results, range(1))
    assert runs(first) == {"LRN": [0, 1], "none": [0]}
    assert first.seconds == pytest.approx(both.seconds + second.seconds, abs=0.2)
    renamed = replace(some, variants=(("normalized", same),))
    [last] = runner.run([renamed], scale, tiny_prepared, tmp_path / "c", results, range(1))
    assert runs(last) == runs(records.load(path)) == {"normalized": [0, 1], "none": [0]}


def test_results_on_other_data_and_damaged_ones_say_nothing(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    [result] = run([views], scale, tiny_prepared, tmp_path)
    shutil.rmtree(tmp_path / "smoke")
    fewer = replace(result, data=replace(result.data, images={"train": 3}))
    fewer.save(tmp_path / "fewer")
    keyless = {name: replace(variant, key="") for name, variant in result.variants.items()}
    replace(result, variants=keyless).save(tmp_path / "older")
    (tmp_path / "damaged" / "smoke").mkdir(parents=True)
    (tmp_path / "damaged" / "smoke" / "tiny-views.json").write_text("{")
    for folder in ("fewer", "older", "damaged", "nothing"):
        runner.restore(tmp_path / folder, scale, Folders(tmp_path / "smoke", tiny_prepared))
        assert not list((tmp_path / "smoke").glob("*/measured.json")), folder
    runner.restore(tmp_path / "results", scale, Folders(tmp_path / "smoke", tiny_prepared))
    assert len(list((tmp_path / "smoke").glob("*/measured.json"))) == 1


def test_a_search_is_not_done_again_either(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = making.scale(tiny_recipe, target=0.0, most_epochs=1)
    before = run([relu], scale, tiny_prepared, tmp_path)
    shutil.rmtree(tmp_path / "smoke")
    monkeypatch.setattr(perform, "train", None)
    assert [result.__dict__ for result in run([relu], scale, tiny_prepared, tmp_path)] == [
        result.__dict__ for result in before
    ]


# runs that diverge, end early, are searched --------------------------------------------------------------------------


def test_a_run_that_diverges_counts_as_guessing(tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path) -> None:
    wild = replace(lrn, variants=(("LRN", field(rate=1e6)), ("none", same)))
    scale = making.scale(replace(tiny_recipe, epochs=2))
    result = run([wild], scale, tiny_prepared, tmp_path)[0]
    [diverged] = result.variants["LRN"].runs
    assert diverged.diverged and not result.variants["none"].runs[0].diverged
    # Four classes: three of four guesses are wrong, and five guesses are always right.
    assert (diverged.values["top1"], diverged.values["top5"]) == (75.0, 0.0)
    assert not {"gap", "train_top1"} & set(diverged.values)  # a network that guesses shows no lack of overfitting
    assert (diverged.values["epochs_to_validation"], diverged.values["reached_validation"]) == (2.0, 0.0)
    assert "epochs_to_target" not in diverged.values
    assert values(run([wild], scale, tiny_prepared, tmp_path)) == values([result])


def test_the_search_takes_the_rate_with_the_lowest_training_error(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    scale = making.scale(tiny_recipe, target=0.0, most_epochs=1)
    result = run([relu], scale, tiny_prepared, tmp_path)[0]
    assert list(result.search) == ["ReLU", "tanh"]
    for name, trials in result.search.items():
        assert [trial.rate for trial in trials] == [0.001, 0.005]
        best = min(trials, key=lambda trial: trial.values["train_error"]).rate
        assert result.variants[name].changes.get("rate", tiny_recipe.rate) == best
    # Two rates of two variants, and a run of each: the search has a seed of its own.
    assert len(folders(tmp_path)) == 6
    assert sum(name.endswith("-seed1000") for name in folders(tmp_path)) == 4


def test_a_scale_may_search_for_every_claim_by_the_validation_error_and_compare_ten_crops(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    search = Search((0.001, 0.005), 2, by="top1")
    scale = making.scale(replace(tiny_recipe, epochs=1), search=search, searches=True, ten_crops=True)
    result = run([lrn], scale, tiny_prepared, tmp_path)[0]
    for name, trials in result.search.items():
        assert [trial.values["epochs"] for trial in trials] == [2.0, 2.0]
        best = min(trials, key=lambda trial: trial.values["top1"]).rate
        assert result.variants[name].changes.get("rate", tiny_recipe.rate) == best
        assert {"ten_top1", "gap", "train_top1"} <= result.variants[name].runs[0].values.keys()
    as_tested = at(lrn, scale)
    assert [one.measure for one in as_tested.comparisons] == ["ten_top1"] and at(lrn, making.scale(tiny_recipe)) == lrn


def test_a_run_by_auto_is_known_by_what_auto_is(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = {name: replace(tiny_recipe, precision=name) for name in ("auto", "float32", "bf16")}
    monkeypatch.setattr(keys, "low_precision", lambda wanted, device: None)
    assert len({str(keys.decisive(recipe)) for recipe in by_hand.values()}) == 3, "as results of float32 know it"
    monkeypatch.setattr(keys, "low_precision", lambda wanted, device: torch.bfloat16)
    assert keys.decisive(by_hand["auto"]) == keys.decisive(by_hand["bf16"]) != keys.decisive(by_hand["float32"])


def test_a_claims_own_search_takes_the_rate_that_reaches_the_target_soonest(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    own = Search((0.005, 1e-5), 12, by="epochs_to_target", rates_by_variant=(("tanh", (1e-5, 0.005)),))
    scale = making.scale(tiny_recipe, target=55.0, most_epochs=1)
    result = run([replace(relu, search_at=("smoke", own))], scale, tiny_prepared, tmp_path)[0]
    assert {name: [trial.rate for trial in trials] for name, trials in result.search.items()} == {
        "ReLU": [0.005, 1e-5],
        "tanh": [1e-5, 0.005],
    }
    fast, slow = (trial.values for trial in result.search["ReLU"])
    assert fast["reached"] == 1 and fast["epochs"] < 12, "a search run ends at the target"
    assert fast["epochs_to_target"] < slow["epochs_to_target"]
    assert slow["reached"] == 0 and slow["epochs"] == fast["epochs"], (
        "given up when it could not be the soonest any more"
    )
    [first, _] = result.search["tanh"]
    assert first.values["epochs"] == 12, "there was none before it"
    assert result.variants["ReLU"].changes.get("rate", tiny_recipe.rate) == 0.005
    assert result.variants["ReLU"].runs[0].values["epochs"] > 1, "the search's epochs are the most, not the scale's"
    assert [run.seed for run in result.variants["ReLU"].runs] == [0], "the run that chose the rate is no repeat"


def test_a_run_ends_at_its_target_and_says_when(tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path) -> None:
    scale = making.scale(tiny_recipe, target=70.0, most_epochs=12)
    one = replace(relu, search=False, variants=relu.variants[:1], comparisons=())
    [got] = run([one], scale, tiny_prepared, tmp_path)[0].variants["ReLU"].runs
    assert got.training[-1] <= 70 < min(got.training[:-1], default=100)
    assert got.values["reached"] == 1 and len(got.training) < 12
    assert len(got.training) - 1 < got.values["epochs_to_target"] <= len(got.training)
    never = making.scale(tiny_recipe, target=0.0, most_epochs=1)
    [got] = run([one], never, tiny_prepared, tmp_path)[0].variants["ReLU"].runs
    assert (got.values["reached"], got.values["epochs_to_target"]) == (0.0, 1.0)


def test_an_epoch_that_a_kill_took_the_weights_of_ends_no_run(
    tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    """On a GPU the last checkpoint may be older than the last line."""
    scale = making.scale(tiny_recipe, target=0.0, most_epochs=2)
    one = replace(relu, search=False, variants=relu.variants[:1], comparisons=())
    with pytest.raises(Stopped):
        run([one], scale, tiny_prepared, tmp_path, stop=stop_after(4))
    [path] = (tmp_path / "smoke").glob("*/metrics.jsonl")
    with path.open("a") as file:
        line = {"epoch": 1, "step": 999, "loss": 0.0, "train_error": 0.0, "rate": 0.0, "seconds": 1.0}
        file.write(json.dumps({"kind": "epoch", **line}) + "\n")
    [got] = run([one], scale, tiny_prepared, tmp_path)[0].variants["ReLU"].runs
    assert len(got.training) == 2 and got.values["reached"] == 0.0


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        ([(1, 80.0), (2, 60.0), (3, 20.0)], 2 + 35 / 40),
        ([(1, 25.0)], 1.0),
        ([(1, 10.0)], 75 / 90),
        ([(2, 30.0), (4, 20.0)], 3.0),
        ([(1, 80.0), (2, 26.0)], None),
        ([], None),
    ],
)
def test_epochs_to_a_target_lie_on_straight_lines(points: list[tuple[int, float]], wanted: float | None) -> None:
    expected = (9.0, 0.0) if wanted is None else (pytest.approx(wanted), 1.0)
    assert perform.epochs_to(25.0, points, 9.0) == expected


# several processes ---------------------------------------------------------------------------------------------------


def test_two_processes_give_what_one_gives(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path, unbroken: list[Result]
) -> None:
    assert values(run([lrn, views], scale, tiny_prepared, tmp_path, seeds=2, jobs=2)) == values(unbroken)


def test_a_killed_process_is_said_with_the_fix(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    fatal = replace(lrn, measures=(making.dies,))
    with pytest.raises(RunFailed, match="was killed.*the same command goes on.*fewer --jobs"):
        run([fatal], scale, tiny_prepared, tmp_path, jobs=2)


def test_a_process_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(workers.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(workers.os, "_exit", sys.exit)
    monkeypatch.setattr(workers.time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit):
        workers._end_with(7)
    assert next(parents, None) is None


# plans ---------------------------------------------------------------------------------------------------------------


def test_a_plan_counts_shared_runs_once_and_what_is_there(
    scale: Scale, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    made = plan.plan([lrn, views], scale, tiny_prepared, tmp_path, range(2))
    assert [(row.name, row.claims, row.runs, row.done) for row in made.runs] == [
        ("tiny-lrn LRN", ("tiny-lrn", "tiny-views"), 2, 0),
        ("tiny-lrn none", ("tiny-lrn",), 2, 0),
    ]
    # 72 of 96 pictures are left to train on, for two epochs; 24 validate after each.
    assert made.runs[0].images == 2 * 72 and made.runs[0].measured == 2 * 24
    assert made.total() == made.total(left=True) == 4 * 144
    assert not list(tmp_path.iterdir()), "a plan starts nothing"
    run([views], scale, tiny_prepared, tmp_path, seeds=1)
    after = plan.plan([lrn, views], scale, tiny_prepared, tmp_path, range(2))
    assert [row.done for row in after.runs] == [1, 0] and after.total(left=True) == 3 * 144
    assert "there already: 1 of 4 runs" in after.lines()


def test_a_plan_of_a_search_waits_for_its_rates(tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path) -> None:
    scale = making.scale(tiny_recipe, target=0.0, most_epochs=1)
    before = plan.plan([relu], scale, tiny_prepared, tmp_path, range(1))
    assert [(row.search, row.runs) for row in before.runs] == [(True, 2), (True, 2), (False, 1), (False, 1)]
    run([relu], scale, tiny_prepared, tmp_path)
    after = plan.plan([relu], scale, tiny_prepared, tmp_path, range(1))
    assert [(row.runs, row.done) for row in after.runs] == [(2, 2), (2, 2), (1, 1), (1, 1)]


def test_imagenet_is_planned_without_data(tmp_path: Path) -> None:
    made = plan.plan([claims["lrn"]], scales["imagenet"], None, tmp_path, range(3))
    assert [row.runs for row in made.runs] == [3, 3]
    assert made.total() == 6 * 90 * 1_281_167
    assert made.runs[0].multiply_adds == 724_406_816
    # The paper's network at 90 images/s.
    assert made.seconds() == pytest.approx(6 * 1_281_167)
    text = "\n".join(made.lines())
    # 6 runs of 115.3 million images, at 90 × 1.2 million in 5 to 6 days.
    assert "32 to 38 days" in text and "on a GPU: not measured" in text
    assert json.loads(json.dumps(made.to_dict()))["images"] == made.total()


def test_every_scale_has_a_plan_without_data(tmp_path: Path) -> None:
    for scale in scales.values():
        made = plan.plan([claims[id] for id in ledger.ids(scale.name)], scale, None, tmp_path, range(3))
        assert made.total() > 0 and made.lines()


def test_a_claim_without_an_experiment_at_a_scale_is_refused(
    tiny_prepared: Prepared, tmp_path: Path, scale: Scale
) -> None:
    nowhere = replace(lrn, scales=("imagenet",))
    for each in (nowhere, replace(lrn, variants=())):
        with pytest.raises(InputError, match="--scale smoke: the scales of claim tiny-lrn are"):
            run([each], scale, tiny_prepared, tmp_path)
    assert not (tmp_path / "smoke").exists()
