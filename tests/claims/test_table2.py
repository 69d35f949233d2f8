"""Table 2's chain: its recipes, the whole of it end to end on tiny networks, resumed, and the table it prints."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet.claims import (
    averages,
    expand,
    experiment,
    ledger,
    perform,
    phrases,
    plan,
    records,
    runner,
    sheet,
    tables,
    verdicts,
)
from alexnet.claims.claim import Scale, Stage
from alexnet.claims.claims import claims, table2
from alexnet.claims.keys import Folders, Run, Task
from alexnet.claims.perform import Stopped
from alexnet.claims.records import Data, Result
from alexnet.claims.scales import scales
from alexnet.claims.workers import Now
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import Judged, of_split
from alexnet.run import checkpoint, recipe
from alexnet.run.folder import MEASURED
from alexnet.run.recipe import Recipe
from tests.claims import making
from tests.conftest import prepare_pictures

CNN, STAR = dict(table2.groups)["seven nets*"].stages
FIRST = STAR.start
assert FIRST


SHOWN = {*table2.names, "2012-weights"}


def chain(
    scale: Scale,
    prepared: Prepared,
    pretraining: Prepared | None,
    out: Path,
    results: Path,
    repeats: int = 1,
    progress: Callable[[Now], None] = lambda now: None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    [result] = runner.run(
        [table2], scale, prepared, out, results, range(repeats), 1, "", "", progress, stop, pretraining
    )
    return result


def recipes_of(scale: Scale, classes: int) -> dict[str, Recipe]:
    return {stage.name: expand.stage_recipe(stage, scale, scale.recipe, classes) for stage in (CNN, FIRST, STAR)}


def planned(scale: Scale, prepared: Prepared, pretraining: Prepared | None, out: Path, repeats: int) -> plan.Plan:
    return plan.plan([table2], scale, prepared, out, range(repeats), pretraining)


@pytest.fixture(scope="module")
def scale(tiny_recipe: Recipe) -> Scale:
    return making.scale(replace(tiny_recipe, epochs=2))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Three classes of pictures to pre-train on, drawn anew."""
    return prepare_pictures(tmp_path_factory.mktemp("other"), 12, seed=9, kinds=("bars", "blobs", "checks"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table2")


@pytest.fixture(scope="module")
def made(scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path) -> Result:
    """Two repeats, never stopped."""
    return chain(scale, tiny_prepared, other, out, out / "results", repeats=2)


def folders(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "smoke").iterdir())


# the recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smoke", "reduced", "imagenette", "imagenet"])
def test_the_recipes_of_every_scale(name: str) -> None:
    plain, first, tuned = recipes_of(scales[name], classes=10).values()
    assert plain == scales[name].recipe
    assert first.network.conv6 and tuned.network.conv6
    assert first.network.bottleneck == 0, "ten classes need none"
    if name == "imagenet":
        assert (tuned.rate, tuned.first_rate, tuned.last_rate, tuned.epochs) == (0.001, 0.1, 10.0, 54)
    else:
        assert replace(tuned, network=plain.network) == plain, "the same but for conv6"
    for each in (plain, first, tuned):
        each.check()


def test_fall_2011_is_pre_trained_on_with_the_bottleneck_of_2012() -> None:
    scale = scales["imagenet"].changed(epochs=30, pretrain=5)
    plain, first, tuned = recipes_of(scale, classes=21_843).values()
    assert (first.network.bottleneck, tuned.network.bottleneck) == (2048, 0)
    assert (plain.epochs, first.epochs, tuned.epochs) == (30, 5, 18)


def test_no_two_networks_of_any_repeat_share_a_seed() -> None:
    seeds = [seed for repeat in range(5) for stage in (CNN, STAR) for seed in stage.seeds(repeat)]
    assert len(set(seeds)) == len(seeds) == 5 * 7
    assert STAR.seeds(3) == FIRST.seeds(3), "a network begins with the one of its own seed"


# end to end ----------------------------------------------------------------------------------------------------------


def test_the_chain_runs_and_its_figures_are_those_of_its_runs(made: Result, tiny_prepared: Prepared, out: Path) -> None:
    names = [name.rsplit("-", 2)[0] for name in folders(out)]
    assert [names.count(name) for name in ("table2-cnn", "table2-pretraining", "table2-cnn-star")] == [10, 4, 4]
    for repeat in range(2):
        plain, starred = (
            [next((out / "smoke").glob(f"{kind}-????????-seed{seed}")) for seed in group]
            for kind, group in zip(
                ("table2-cnn", "table2-cnn-star"), (CNN.seeds(repeat), STAR.seeds(repeat)), strict=True
            )
        )
        judged = of_split(recipe.read(plain[0]), tiny_prepared)
        assert judged.labels is not None

        def error(of: list[Path], judged: Judged = judged) -> float:
            probabilities = np.mean(
                [kept.compute(run, judged, kept.Options(10, 128, keep=False)) for run in of], axis=0
            )
            return 100 * float((probabilities.argmax(1) != judged.labels).mean())

        wanted = {
            "one net": np.mean([error([run]) for run in plain]),
            "five nets": error(plain),
            "one net*": np.mean([error([run]) for run in starred]),
            "seven nets*": error([*plain, *starred]),
        }
        found = {name: made.by_seed(name, "ten_top1")[repeat] for name in table2.names}
        assert found == pytest.approx(wanted)
    networks = made.variants["one net*"].runs[1].networks
    assert (
        [each.seed for each in networks] == [15, 16] == [each.pretraining.seed for each in networks if each.pretraining]
    )
    assert not made.values("one net", "ten_top5"), "four classes have no top-5 error"


def test_fine_tuning_begins_with_the_pre_trained_weights(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path
) -> None:
    before = next((out / "smoke").glob("table2-pretraining-*-seed5"))
    folders = Folders(out / "smoke", tiny_prepared, other)
    _, first, tuned = recipes_of(scale, 3).values()
    start = Run(replace(first, seed=5), other_images=True)
    run = Run(replace(tuned, seed=5), start=start)
    assert folders.path(start, "") == before
    assert folders.key(run) != folders.key(replace(run, start=None))
    assert folders.key(run) == folders.key(replace(run, start=replace(start, recipe=replace(start.recipe, name="x"))))
    assert folders.key(run) != folders.key(replace(run, start=replace(start, recipe=replace(start.recipe, seed=6))))
    # With a rate of next to nothing the weights are still those of the start.
    still = Task("still", replace(run, recipe=replace(run.recipe, rate=1e-12, epochs=1, decay=0.0)))
    perform.perform(still, folders)
    weights, begun = (
        checkpoint.weights(checkpoint.newest(path)) for path in (folders.path(still.run, "still"), before)
    )
    assert all(np.allclose(weights[name], begun[name], atol=1e-6) for name in weights if not name.startswith("fc6"))
    shutil.rmtree(folders.path(still.run, "still"))


def test_a_stopped_chain_goes_on_to_the_same_figures(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, tmp_path: Path
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 40

    with pytest.raises(Stopped):
        chain(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1, stop=stop)
    rows = planned(scale, tiny_prepared, other, tmp_path, repeats=1).runs
    assert 0 < sum(row.done for row in rows) < sum(row.runs for row in rows) == 9
    again = chain(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1)
    for name in table2.names:
        assert again.by_seed(name, "ten_top1")[0] == made.by_seed(name, "ten_top1")[0]
    assert [row.done for row in planned(scale, tiny_prepared, other, tmp_path, repeats=1).runs] == [5, 2, 2]


def test_fewer_repeats_take_nothing_from_a_result(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path
) -> None:
    file = out / "results" / "smoke" / "table2.json"
    before = file.read_text()
    chain(scale, tiny_prepared, other, out, out / "results", repeats=1)
    assert file.read_text() == before


# without other images, and with the result alone ---------------------------------------------------------------------


def test_without_other_images_there_are_two_rows_and_a_later_call_adds_the_others(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out / "smoke", tmp_path / "smoke", ignore=lambda _, names: [n for n in names if "-cnn-star-" in n])
    results_ = tmp_path / "results"
    first = chain(scale, tiny_prepared, None, tmp_path, results_, repeats=2)
    assert list(first.variants) == ["one net", "five nets"] and first.data.pretraining is None
    for name in first.variants:
        assert first.variants[name].runs == made.variants[name].runs
    [table] = tables.table_2(first)
    assert [row[0] for row in table.rows] == ["one net", "five nets"]
    assert [phrases.compared(one.comparison) for one in ledger.outcomes(first)] == ["five nets − one net", "five nets"]
    found = ledger.find(results_)
    assert ledger.row(claims["seven nets*"], found["seven nets*"]).state == "no result yet"
    begun: list[str] = []
    ended: list[str] = []

    def note(now: Now) -> None:
        begun.append(now.name)
        ended.extend([now.name] if now.record else [])

    with pytest.raises(Stopped):
        chain(scale, tiny_prepared, other, tmp_path, results_, repeats=2, progress=note, stop=lambda: len(ended) > 1)
    half = records.load(results_ / "smoke" / "table2.json").variants
    assert {name: [one.seed for one in half[name].runs] for name in ("one net", "seven nets*")} == {
        "one net": [0, 1],
        "seven nets*": [0],
    }, "what is there stays until it is made anew"
    chain(scale, tiny_prepared, other, tmp_path, results_, repeats=2, progress=note)
    assert set(begun) == {"table2 cnn star"} and len(ended) == 4, "nothing is done twice"
    both = records.load(results_ / "smoke" / "table2.json")
    assert {name: both.values(name, "ten_top1") for name in table2.names} == {
        name: made.values(name, "ten_top1") for name in table2.names
    }
    chain(scale, tiny_prepared, None, tmp_path, results_, repeats=1)
    again = records.load(results_ / "smoke" / "table2.json")
    assert again.variants == both.variants and again.data == both.data, "a later call without them leaves them there"


def test_the_result_file_alone_is_enough_to_know_what_is_done(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path, tmp_path: Path
) -> None:
    """As on another machine, where run folders have not come along."""
    shutil.copytree(out / "results", tmp_path / "results")
    begun: list[str] = []
    for images in (other, None):
        again = chain(
            scale, tiny_prepared, images, tmp_path, tmp_path / "results", repeats=2,
            progress=lambda now: begun.append(now.name),
        )  # fmt: skip
        assert again.variants == made.variants
    assert not begun and not folders(tmp_path)
    longer = replace(scale, recipe=replace(scale.recipe, epochs=1))
    shorter = chain(longer, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    assert shorter.recipe.epochs == 1 and len(folders(tmp_path)) == 5, "another recipe is another table"


def test_runs_that_are_known_by_their_figures_alone_are_trained_for_their_predictions(
    made: Result, scale: Scale, tiny_prepared: Prepared, out: Path, tmp_path: Path
) -> None:
    """A base run that a result of claims brought along has no weights to average."""
    [run] = (out / "smoke").glob("table2-cnn-????????-seed0")
    (tmp_path / "smoke" / run.name).mkdir(parents=True)
    shutil.copy(run / MEASURED, tmp_path / "smoke" / run.name)
    again = chain(scale, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    assert again.by_seed("five nets", "ten_top1")[0] == made.by_seed("five nets", "ten_top1")[0]


def test_a_network_of_another_machine_says_so(
    made: Result, scale: Scale, tiny_prepared: Prepared, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out / "smoke", tmp_path / "smoke", ignore=lambda _, names: [n for n in names if "-cnn-star-" in n])
    [record] = (tmp_path / "smoke").glob("table2-cnn-*-seed3/measured.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "machine": {"gpu": "another"}}))
    found = chain(scale, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    networks = found.variants["one net"].runs[0].networks
    assert [each.machine for each in networks] == [None, None, None, {"gpu": "another"}, None]
    assert found.machine == made.machine


def test_runs_are_shared_with_the_claims(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    """The scale's own recipe with seeds 0, 1, 2 is the base run of most claims, and the first networks of a repeat."""
    assert set(range(scale.seeds)) <= set(CNN.seeds(0))
    [[base]] = expand.tasks(making.views, scale, {}, range(1)).values()
    first, *_ = expand.networks(dict(table2.groups)["one net"], scale, scale.recipe, 0, 0)
    folders = Folders(tmp_path, tiny_prepared)
    assert folders.ending(base.run) == folders.ending(first.run) and not first.before


def test_weights_are_measured_on_images_that_they_were_not_searched_on(
    tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Result, out: Path
) -> None:
    """Of three networks two know nothing: weights on the one that does lower the error on the other half too."""
    paths = sorted((out / "smoke").glob("table2-cnn-????????-seed[012]"))
    judged = of_split(recipe.read(paths[0]), tiny_prepared)
    assert judged.labels is not None
    number, classes = len(judged.labels), len(tiny_prepared.classes)
    right = np.eye(classes, dtype=np.float32)[judged.labels] * 0.4 + 0.15
    wrong = np.eye(classes, dtype=np.float32)[(judged.labels + 1) % classes]
    given = dict(zip(paths, (right, wrong, wrong), strict=True))
    monkeypatch.setattr(kept, "compute", lambda path, *_, **how: given[path])
    assert averages.weighing(paths, tiny_prepared)["weight_gain"] == pytest.approx(-100.0), number
    assert averages.weighing(paths[:1], tiny_prepared) == {}


@pytest.mark.parametrize(
    ("kind", "marked"),
    [("pretraining", {"one net*", "seven nets*"}), ("plain", {"one net", "five nets", "seven nets*"})],
)
def test_networks_that_diverged_guess_and_mark_all_that_rests_on_them(
    kind: str,
    marked: set[str],
    made: Result,
    scale: Scale,
    tiny_prepared: Prepared,
    other: Prepared,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(out / "smoke", tmp_path / "smoke")
    real = expand.stage_recipe
    wild_stage = {"pretraining": FIRST, "plain": CNN}[kind]

    def wild(stage: Stage, *given: Any) -> Recipe:
        made = real(stage, *given)
        return replace(made, rate=1e6) if stage is wild_stage else made

    for module in (expand, sheet):
        monkeypatch.setattr(module, "stage_recipe", wild)
    found = chain(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1)
    assert {name for name in table2.names if found.variants[name].runs[0].diverged} == marked
    errors = {name: found.by_seed(name, "ten_top1")[0] for name in table2.names}
    before = {name: made.by_seed(name, "ten_top1")[0] for name in table2.names}
    if kind == "pretraining":
        # Four classes: three of four guesses are wrong; and the five without the two are what they were.
        assert errors == {**before, "one net*": 75.0, "seven nets*": before["five nets"]}
    else:
        assert (errors["one net"], errors["five nets"]) == (75.0, 75.0) and errors["one net*"] == before["one net*"]
        assert (
            errors["seven nets*"]
            == averages.errors_of(sorted((tmp_path / "smoke").glob("table2-cnn-star-*-seed[56]")), tiny_prepared)[
                "ten_top1"
            ]
        )


# the ledger ----------------------------------------------------------------------------------------------------------


def test_four_rows_of_the_ledger_show_one_result(made: Result, out: Path) -> None:
    found = ledger.find(out / "results")
    assert {id for id, by in found.items() if by} == SHOWN | {"table2"}
    [five] = ledger.outcomes(found["five nets"]["smoke"])
    five_nets, one_net = (np.mean(made.values(name, "ten_top1")) for name in ("five nets", "one net"))
    assert five.difference == pytest.approx(five_nets - one_net)
    assert set(found["seven nets*"]["smoke"].variants) == {"seven nets*", "five nets"}
    said = ledger.row(claims["one net"], found["one net"]).state
    assert f"top-1 {np.mean(made.values('one net', 'ten_top1')):.2f} %" in said and "2 repeats" in said
    [weights] = ledger.outcomes(found["2012-weights"]["smoke"])
    assert weights.difference == pytest.approx(np.mean(made.values("five nets", "weight_gain")))
    for id in SHOWN:
        assert tables.blocks(found[id]["smoke"])


def by_hand(five: list[float], star: list[float]) -> Result:
    """One net at 40, 42, 41 %."""
    values = {"one net": [40.0, 42.0, 41.0], "five nets": five, "one net*": star, "seven nets*": [36.0, 37.0, 37.5]}
    measured = {name: {"ten_top1": each, "ten_top5": [x / 2 for x in each]} for name, each in values.items()}
    made = making.result("table2", "reduced", measured)
    return replace(
        made, data=replace(made.data, pretraining=Data(source="others", size=32, classes=5, images={"train": 9}))
    )


def test_the_table_by_hand() -> None:
    result = by_hand(five=[38.1, 40.0, 39.1], star=[39.0, 43.0, 41.0])
    [table] = tables.table_2(result)
    assert [row[0] for row in table.rows] == ["one net", "five nets", "one net*", "seven nets*"]
    low, high = verdicts.interval([40.0, 42.0, 41.0])[1:]
    assert table.rows[0][2:4] == ("40.7 / 18.2", f"41.00 ({low:.2f} to {high:.2f})")
    assert "| five nets | five networks averaged | 38.1 / 16.4, test 16.4 | 39.07 " in table.markdown()
    differences = tables.comparisons(result)
    assert isinstance(differences, tables.Table)
    # −1.9, −2, −1.9: −1.933 ± .143 by Student's t with two degrees of freedom (4.303 · .0577 / √3).
    assert differences.rows[0][:5] == (
        "five nets − one net, ten-crop top-1",
        "−1.93",
        "−2.08 to −1.79",
        "3",
        "−2.6, larger",
    )
    assert differences.rows[0][5].startswith("reproduced: ")
    assert differences.rows[2][0] == "one net* − one net, ten-crop top-1"
    assert differences.rows[2][5].startswith("inconclusive at this scale: ")
    assert json.loads(json.dumps(ledger.to_dict(result)))["outcomes"][0]["verdict"] == "reproduced"


# the command ---------------------------------------------------------------------------------------------------------


def test_a_plan_without_data_counts_the_scales_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["claims", "run", "table2", "--plan", "--scale", "imagenet", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(row["runs"], row["epochs"]) for row in document["runs"]] == [(15, 90), (6, 90), (6, 54)]
    assert document["images"] == 1_281_167 * (21 * 90 + 6 * 54)
    assert not list(tmp_path.iterdir()), "a plan starts nothing"


def test_a_row_of_table_2_stands_for_its_experiment(tmp_path: Path) -> None:
    asked = experiment.Experiment(("five nets", "one net*", "lrn"), out=tmp_path)
    assert [claim.id for claim in asked.claims] == ["table2", "lrn"]


def test_the_photographs_of_smoke_are_two_sets_of_other_classes(tmp_path: Path) -> None:
    asked = experiment.Experiment(("table2",), out=tmp_path)
    assert asked.prepared(make=False) == (None, None)
    first, second = asked.prepared(make=True)
    assert first and second
    assert (len(first.classes), len(second.classes)) == (7, 6) and not set(first.classes) & set(second.classes)
