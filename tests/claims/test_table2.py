"""Table 2's chain: its recipes, the whole of it end to end on tiny networks, resumed, and the table it prints."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alexnet.claims import averages, ledger, results, runner, table2
from alexnet.claims.claim import Scale
from alexnet.claims.claims import claims
from alexnet.claims.results import Result
from alexnet.claims.scales import scales
from alexnet.cli import main
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import Judged, of_split
from alexnet.run import checkpoint, recipe
from alexnet.run.recipe import Recipe
from tests.claims import making
from tests.conftest import prepare_pictures

Chain = Callable[..., Result]


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
    return table2.run(scale, tiny_prepared, other, out, out / "results", repeats=2)


def folders(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "smoke").iterdir())


# the recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smoke", "reduced", "imagenette", "imagenet"])
def test_the_recipes_of_every_scale(name: str) -> None:
    kinds = table2.chain(scales[name], classes=10)
    assert kinds.plain == scales[name].recipe
    assert kinds.pretraining.network.conv6 and kinds.fine_tuning.network.conv6
    assert kinds.pretraining.network.bottleneck == 0, "ten classes need none"
    tuned = kinds.fine_tuning
    if name == "imagenet":
        assert (tuned.rate, tuned.first_rate, tuned.last_rate, tuned.epochs) == (0.001, 0.1, 10.0, 54)
    else:
        assert replace(tuned, network=kinds.plain.network) == kinds.plain, "the same but for conv6"
    for each in (kinds.plain, kinds.pretraining, kinds.fine_tuning):
        each.check()


def test_fall_2011_is_pre_trained_on_with_the_bottleneck_of_2012() -> None:
    kinds = table2.chain(scales["imagenet"], classes=21_843, epochs=30, pretrain_epochs=5)
    assert (kinds.pretraining.network.bottleneck, kinds.fine_tuning.network.bottleneck) == (2048, 0)
    assert (kinds.plain.epochs, kinds.pretraining.epochs, kinds.fine_tuning.epochs) == (30, 5, 18)


def test_no_two_networks_of_any_repeat_share_a_seed() -> None:
    all_seeds = [seed for repeat in range(5) for group in table2.seeds(repeat) for seed in group]
    assert len(set(all_seeds)) == len(all_seeds) == 5 * 7


# end to end ----------------------------------------------------------------------------------------------------------


def test_the_chain_runs_and_its_figures_are_those_of_its_runs(made: Result, tiny_prepared: Prepared, out: Path) -> None:
    names = [name.rsplit("-", 2)[0] for name in folders(out)]
    assert [names.count(name) for name in ("table2-cnn", "table2-pretraining", "table2-cnn-star")] == [10, 4, 4]
    for repeat in range(2):
        plain, starred = (
            [next((out / "smoke").glob(f"{kind}-????????-seed{seed}")) for seed in group]
            for kind, group in zip(("table2-cnn", "table2-cnn-star"), table2.seeds(repeat), strict=True)
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
        found = {name: made.by_seed(name, "ten_top1")[repeat] for name in table2.ROWS}
        assert found == pytest.approx(wanted)
    networks = made.variants["one net*"]["runs"][1]["networks"]
    assert [each["seed"] for each in networks] == [15, 16] == [each["pretraining"]["seed"] for each in networks]
    assert not made.values("one net", "ten_top5"), "four classes have no top-5 error"


def test_fine_tuning_begins_with_the_pre_trained_weights(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path
) -> None:
    before = next((out / "smoke").glob("table2-pretraining-*-seed5"))
    kinds = table2.chain(scale, 3)
    own = runner.Run(replace(kinds.fine_tuning, seed=5), start=before)
    from_nothing = replace(own, start=None)
    assert runner.key(own, tiny_prepared) != runner.key(from_nothing, tiny_prepared)
    renamed = replace(own, start=before.with_name(before.name.replace("pretraining", "renamed")))
    assert runner.key(own, tiny_prepared) == runner.key(renamed, tiny_prepared)
    other_seed = replace(own, start=before.with_name(before.name.replace("seed5", "seed6")))
    assert runner.key(own, tiny_prepared) != runner.key(other_seed, tiny_prepared)
    # With a rate of next to nothing the weights are still those of the start.
    still = runner.Task("still", replace(own, recipe=replace(own.recipe, rate=1e-12, epochs=1, decay=0.0)), ())
    runner.perform(still, tiny_prepared, out / "still")
    weights, first = (checkpoint.weights(checkpoint.newest(run)) for run in (out / "still", before))
    assert all(np.allclose(weights[name], first[name], atol=1e-6) for name in weights if not name.startswith("fc6"))


def test_a_stopped_chain_goes_on_to_the_same_figures(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, tmp_path: Path
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 40

    with pytest.raises(runner.Stopped):
        table2.run(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1, stop=stop)
    planned = table2.plan(scale, tiny_prepared, other, tmp_path, repeats=1)
    assert 0 < sum(row.done for row in planned.runs) < sum(row.runs for row in planned.runs) == 9
    again = table2.run(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1)
    for name in table2.ROWS:
        assert again.by_seed(name, "ten_top1")[0] == made.by_seed(name, "ten_top1")[0]
    assert [row.done for row in table2.plan(scale, tiny_prepared, other, tmp_path, repeats=1).runs] == [2, 5, 2]


def test_fewer_repeats_take_nothing_from_a_result(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path
) -> None:
    file = out / "results" / "smoke" / "table2.json"
    before = file.read_text()
    table2.run(scale, tiny_prepared, other, out, out / "results", repeats=1)
    assert file.read_text() == before


# without other images, and with the result alone ---------------------------------------------------------------------


def test_without_other_images_there_are_two_rows_and_a_later_call_adds_the_others(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out / "smoke", tmp_path / "smoke", ignore=lambda _, names: [n for n in names if "-cnn-star-" in n])
    results_ = tmp_path / "results"
    first = table2.run(scale, tiny_prepared, None, tmp_path, results_, repeats=2)
    assert list(first.variants) == ["one net", "five nets"] and "pretraining" not in first.data
    for name in first.variants:
        assert first.variants[name]["runs"] == made.variants[name]["runs"]
    table, differences = table2.tables(first)
    assert [row[2] for row in table.rows[3:]] == ["not run", "not run"] and "nothing to pre-train on" in table.title
    assert [row[0] for row in differences.rows] == ["5 CNNs − 1 CNN, top-1", "5 CNNs weighted − plain, top-1"]
    found = ledger.found(results_)
    assert ledger.state(claims["seven nets*"], found["seven nets*"]) == "no result yet"
    begun: list[str] = []
    ended: list[str] = []

    def note(now: runner.Now) -> None:
        begun.append(now.name)
        ended.extend([now.name] if now.record else [])

    with pytest.raises(runner.Stopped):
        table2.run(
            scale, tiny_prepared, other, tmp_path, results_, repeats=2, progress=note, stop=lambda: len(ended) > 1
        )
    half = results.load(results_ / "smoke" / "table2.json").variants
    assert {name: [one["seed"] for one in half[name]["runs"]] for name in ("one net", "seven nets*")} == {
        "one net": [0, 1],
        "seven nets*": [0],
    }, "what is there stays until it is made anew"
    table2.run(scale, tiny_prepared, other, tmp_path, results_, repeats=2, progress=note)
    assert set(begun) == {"table2 cnn star"} and len(ended) == 4, "nothing is done twice"
    both = results.load(results_ / "smoke" / "table2.json")
    assert {name: both.values(name, "ten_top1") for name in table2.ROWS} == {
        name: made.values(name, "ten_top1") for name in table2.ROWS
    }
    table2.run(scale, tiny_prepared, None, tmp_path, results_, repeats=1)
    again = results.load(results_ / "smoke" / "table2.json")
    assert again.variants == both.variants and again.data == both.data, "a later call without them leaves them there"


def test_the_result_file_alone_is_enough_to_know_what_is_done(
    made: Result, scale: Scale, tiny_prepared: Prepared, other: Prepared, out: Path, tmp_path: Path
) -> None:
    """As on another machine, where run folders have not come along."""
    shutil.copytree(out / "results", tmp_path / "results")
    begun: list[str] = []
    for images in (other, None):
        again = table2.run(
            scale, tiny_prepared, images, tmp_path, tmp_path / "results", repeats=2,
            progress=lambda now: begun.append(now.name),
        )  # fmt: skip
        assert again.variants == made.variants
    assert not begun and not folders(tmp_path)
    longer = replace(scale, recipe=replace(scale.recipe, epochs=1))
    planned = table2.run(longer, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    assert planned.recipe["epochs"] == 1 and len(folders(tmp_path)) == 5, "another recipe is another table"


def test_runs_that_are_known_by_their_figures_alone_are_trained_for_their_predictions(
    made: Result, scale: Scale, tiny_prepared: Prepared, out: Path, tmp_path: Path
) -> None:
    """A base run that a result of claims brought along has no weights to average."""
    [run] = (out / "smoke").glob("table2-cnn-????????-seed0")
    (tmp_path / "smoke" / run.name).mkdir(parents=True)
    shutil.copy(run / runner.MEASURED, tmp_path / "smoke" / run.name)
    again = table2.run(scale, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    assert again.by_seed("five nets", "ten_top1")[0] == made.by_seed("five nets", "ten_top1")[0]


def test_a_network_of_another_machine_says_so(
    made: Result, scale: Scale, tiny_prepared: Prepared, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out / "smoke", tmp_path / "smoke", ignore=lambda _, names: [n for n in names if "-cnn-star-" in n])
    [record] = (tmp_path / "smoke").glob("table2-cnn-*-seed3/measured.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "machine": {"gpu": "another"}}))
    found = table2.run(scale, tiny_prepared, None, tmp_path, tmp_path / "results", repeats=1)
    networks = found.variants["one net"]["runs"][0]["networks"]
    assert [each.get("machine") for each in networks] == [None, None, None, {"gpu": "another"}, None]
    assert found.machine == made.machine


def test_runs_are_shared_with_the_claims(scale: Scale, tiny_prepared: Prepared, tmp_path: Path) -> None:
    """The scale's own recipe with seeds 0, 1, 2 is the base run of most claims, and the first networks of a repeat."""
    assert set(range(scale.seeds)) <= set(table2.seeds(0)[0])
    [base] = runner.tasks(making.views, scale, {}, range(1)).values()
    repeat = table2.tasks(table2.chain(scale, 0), 0, None)
    assert runner.key(base[0].run, tiny_prepared) == runner.key(repeat.plain[0].run, tiny_prepared)
    assert repeat.plain[0].run.recipe.seed == base[0].run.recipe.seed and not repeat.fine_tuning


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
    kinds = table2.chain(scale, 3)
    wild = replace(kinds, **{kind: replace(getattr(kinds, kind), rate=1e6)})
    monkeypatch.setattr(table2, "chain", lambda *args: wild)
    found = table2.run(scale, tiny_prepared, other, tmp_path, tmp_path / "results", repeats=1)
    assert {name for name in table2.ROWS if found.variants[name]["runs"][0]["diverged"]} == marked
    errors = {name: found.by_seed(name, "ten_top1")[0] for name in table2.ROWS}
    before = {name: made.by_seed(name, "ten_top1")[0] for name in table2.ROWS}
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
    found = ledger.found(out / "results")
    assert {id for id, by in found.items() if by} == set(table2.SHOWN)
    [five] = ledger.outcomes(found["five nets"]["smoke"])
    assert five.of == made.values("five nets", "ten_top1") and five.against == made.values("one net", "ten_top1")
    assert set(found["seven nets*"]["smoke"].variants) == {"seven nets*", "five nets"}
    said = ledger.state(claims["one net"], found["one net"])
    assert f"top-1 {np.mean(made.values('one net', 'ten_top1')):.2f} %" in said and "2 repeats" in said
    [weights] = ledger.outcomes(found["2012-weights"]["smoke"])
    assert weights.of == made.values("five nets", "weight_gain")
    for id in table2.SHOWN:
        assert ledger.show(found[id]["smoke"])


def by_hand(five: list[float], star: list[float]) -> Result:
    """One net at 40, 42, 41 %."""
    values = {"one net": [40.0, 42.0, 41.0], "five nets": five, "one net*": star, "seven nets*": [36.0, 37.0, 37.5]}
    measured = {name: {"ten_top1": each, "ten_top5": [x / 2 for x in each]} for name, each in values.items()}
    made = making.result("table2", "reduced", measured)
    facts = {"source": "others", "size": 32, "classes": 5, "images": {"train": 9}}
    return replace(made, data={**made.data, "pretraining": facts})


def test_the_table_by_hand() -> None:
    made = by_hand(five=[38.1, 40.0, 39.1], star=[39.0, 43.0, 41.0])
    table, differences = table2.tables(made)
    assert [row[0] for row in table.rows] == ["second-best entry", "1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*"]
    low, high = results.mean_interval([40.0, 42.0, 41.0])[1:]
    assert table.rows[1] == ("1 CNN", "40.7", f"41.00 ({low:.2f} to {high:.2f})", "18.2", table.rows[1][4])
    assert table.rows[0][3] == "26.2"
    first = differences.rows[0]
    # −1.9, −2, −1.9: −1.933 ± .143 by Student's t with two degrees of freedom (4.303 · .0577 / √3).
    assert first == ("5 CNNs − 1 CNN, top-1", "−2.6", "−1.93 (−2.08 to −1.79)", "reproduced")
    assert differences.rows[2][0] == "1 CNN* − 1 CNN, top-1" and differences.rows[2][3] == "inconclusive at this scale"
    text = table2.markdown(made)
    assert "| 5 CNNs | 38.1 | 39.07 " in text and text.count("\n| ---") == 2
    assert json.loads(json.dumps(table2.to_dict(made)))["outcomes"][0]["verdict"] == "reproduced"


# the command ---------------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_prepared: Prepared
) -> None:
    data = str(tiny_prepared.path)
    for options, said in (
        (["--scale", "reduced"], "--data DIR is missing"),
        (["--data", data, "--pretrain-epochs", "3"], "--pretrain-epochs 3: there is nothing to pre-train on"),
        (["--data", data, "--pretrain-data", data], "the same folder as --data"),
        (["--repeats", "0"], "--repeats 0: must be at least 1"),
        (["--epochs", "0"], "--epochs 0"),
    ):
        assert main(["table2", "--out", str(tmp_path), *options]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_images_too_small_for_the_scale_are_refused(tiny_prepared: Prepared, other: Prepared, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its images are 32×32; scale reduced takes 128×128"):
        table2.run(scales["reduced"], tiny_prepared, other, tmp_path, tmp_path)


def test_a_plan_without_data_counts_the_scales_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table2", "--plan", "--scale", "imagenet", "--out", str(tmp_path), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [(row["runs"], row["epochs"]) for row in planned["runs"]] == [(6, 90), (15, 90), (6, 54)]
    assert planned["images"] == 1_281_167 * (21 * 90 + 6 * 54)
    assert not list(tmp_path.iterdir()), "a plan starts nothing"


def test_the_photographs_of_smoke_are_two_sets_of_other_classes(tmp_path: Path) -> None:
    first, second = (prepared_sets.open(path) for path in table2.smoke_data(tmp_path))
    assert (len(first.classes), len(second.classes)) == (7, 6) and not set(first.classes) & set(second.classes)
    shutil.rmtree(tmp_path)
