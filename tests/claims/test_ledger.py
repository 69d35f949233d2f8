"""The ledger, the tables of a claim, and the page: every figure of the result files is there, and nothing else."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.claims import figures, ledger, page, phrases, records, tables
from alexnet.claims.claims import claims
from alexnet.claims.ledger import AllResults
from alexnet.claims.records import PUBLISHED, Result, Trial
from alexnet.claims.scales import scales
from alexnet.claims.tables import Table
from alexnet.errors import InputError
from alexnet.words import duration
from tests.claims.making import result

ROOT = Path(__file__).parents[2]

LRN = {
    "LRN": {
        "top1": [20.11, 20.22, 20.36],
        "top5": [3.1, 3.2, 3.3],
        "gap": [5.5, 5.6, 5.7],
        "train_top1": [14.0, 14.1, 14.2],
    },
    "none": {
        "top1": [21.47, 21.58, 21.69],
        "top5": [3.1, 3.4, 3.0],
        "gap": [6.5, 6.6, 6.7],
        "train_top1": [15.0, 15.1, 15.2],
    },
}
RELU = {
    "ReLU": {"epochs_to_target": [5.01, 5.12, 5.23], "reached": [1.0, 1.0, 1.0]},
    "tanh": {"epochs_to_target": [20.04, 21.15, 22.26], "reached": [1.0, 1.0, 1.0]},
    "sigmoid": {"epochs_to_target": [40.0, 40.0, 40.0], "reached": [0.0, 0.0, 0.0]},
}


def trial(rate: float, error: float) -> Trial:
    """A run of a search."""
    return Trial(rate, error, "abcd1234", 1000, {"train_error": error}, False, 1.0, "abc1234")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three results at two scales."""
    to = tmp_path / "results"
    search = {name: (trial(0.001, 61.5), trial(0.003, 52.25)) for name in RELU}
    result("relu", "small", RELU, target=25.0, search=search).save(to)
    result("lrn", "reduced", LRN).save(to)
    result("views", "small", {"ten crops": {"top1": [18.0], "ten_gain": [-1.5], "ten_gain5": [-0.25]}}).save(to)
    return to


def cells(blocks: list[Table | str]) -> str:
    return "\n".join(" | ".join(row) for block in blocks if isinstance(block, Table) for row in block.rows)


# the ledger ----------------------------------------------------------------------------------------------------------


def test_every_claim_has_a_row_and_says_what_it_lacks(folder: Path) -> None:
    rows = {row.claim.id: row.to_dict() for row in ledger.rows(ledger.find(folder))}
    assert list(rows) == list(claims)
    assert rows["lrn"]["state"] == "measured" and rows["overlap"]["state"] == "no result yet"
    assert rows["five nets"]["state"] == "no result yet" and "reduced" in rows["five nets"]["scales"]
    assert rows["fall 2009"]["state"].startswith("no experiment here: ") and rows["fall 2009"]["scales"] == []
    assert (rows["lrn"]["paper"], rows["lrn"]["logged_2012"]) == (claims["lrn"].paper, claims["lrn"].logged)
    [measured] = rows["lrn"]["results"]
    assert measured["scale"] == "reduced"
    first = measured["comparisons"][0]
    assert first["difference"] == pytest.approx(np.mean([20.11, 20.22, 20.36]) - np.mean([21.47, 21.58, 21.69]))
    assert first["low"] < first["difference"] < first["high"]
    assert (first["seeds"], first["verdict"], first["paper"]) == (3, "reproduced", -1.4)


def test_open_ends_are_null_in_json(folder: Path) -> None:
    text = json.dumps([row.to_dict() for row in ledger.rows(ledger.find(folder))], allow_nan=False)
    sigmoid = [row for row in json.loads(text) if row["id"] == "relu"][0]["results"][0]["comparisons"][1]
    assert sigmoid["high"] is None and sigmoid["low"] > 1
    views = [row for row in json.loads(text) if row["id"] == "views"][0]["results"][0]["comparisons"][0]
    assert (views["low"], views["high"], views["why"]) == (None, None, "fewer than 3 seeds")
    json.dumps(ledger.to_dict(ledger.find(folder)["relu"]["small"]), allow_nan=False)


def test_scales_come_from_small_to_large(tmp_path: Path) -> None:
    for scale in ("imagenet", "imagenette", "reduced", "smoke"):
        result("lrn", scale, LRN).save(tmp_path)
    assert list(ledger.find(tmp_path)["lrn"]) == ["smoke", "reduced", "imagenette", "imagenet"]


def test_results_of_nothing_that_is_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        ledger.find(tmp_path / "absent")
    result("no-such-claim", "small", LRN).save(tmp_path)
    with pytest.raises(InputError, match=r"no-such-claim\.json: claim no-such-claim at scale small is not in this"):
        ledger.find(tmp_path)


def test_lines_say_difference_interval_and_verdict(folder: Path) -> None:
    found = ledger.find(folder)
    first, top1, top5 = ledger.lines(found["lrn"]["reduced"])
    assert first.startswith("lrn (§3.3), scale reduced: ")
    # Means 20.23 and 21.58 as they stand; the interval is tested against scipy elsewhere.
    assert top1.startswith("  LRN − none, validation error, top-1, centre crop, %: −1.35 (−1.")
    assert top1.endswith("; the paper −1.4: reproduced")
    assert top5.endswith("; the paper −1.2: not reproduced")
    tanh = ledger.lines(found["relu"]["small"])[1]
    assert re.search(r"tanh ÷ ReLU, .*: 4\.1\d× \(3\.\d\d× to 4\.\d\d×\); the paper 6×: reproduced$", tanh)


@pytest.mark.parametrize(
    ("value", "comparison", "text"),
    [
        (-1.456, 0, "−1.46"),
        (0.004, 0, "0.00"),
        (-0.004, 0, "0.00"),
        (math.inf, 0, "∞"),
        (-math.inf, 0, "−∞"),
        (2.5, 0, "+2.50"),
    ],
)
def test_differences_are_signed_and_zero_is_not(value: float, comparison: int, text: str) -> None:
    assert phrases.difference(value, claims["lrn"].comparisons[comparison]) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (172_800, "2.0 days"),
        (8.64e7, "1,000 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("new", "old", "because"),
    [
        ([1.0, 1.1, 1.2], [5.0, 5.1, 5.2], "the interval lies below 0, where the claim puts it"),
        ([5.0, 5.1, 5.2], [1.0, 1.1, 1.2], "the interval lies above 0, on the other side"),
        ([5.0, 5.1, 5.2], [5.0, 5.1, 5.2], "the interval holds 0 and excludes half of the paper's"),
        ([3.0, 5.1, 7.2], [3.0, 5.1, 7.2], "the interval holds 0 and half of the paper's"),
        ([5.0, 5.1], [5.0, 5.1], "fewer than 3 seeds"),
        (
            [5.0, 5.0, 5.0],
            [6.0, 6.0, 6.0],
            "all seeds agree to the last image, which says nothing of how far others lie",
        ),
    ],
)
def test_why(new: list[float], old: list[float], because: str) -> None:
    made = result("lrn", "reduced", {"LRN": {"top1": new}, "none": {"top1": old}})
    assert ledger.outcomes(made)[0].why == because


def test_seeds_are_counted_on_the_side_that_has_fewer() -> None:
    made = result(
        "lrn", "reduced", {"LRN": {"top1": [1.0, 2.0], "top5": [1.0]}, "none": {"top1": [1.0] * 3, "top5": [2.0]}}
    )
    both = ledger.outcomes(made)
    assert [one.seeds for one in both] == [2, 1]
    assert (phrases.seeds(both), phrases.seeds(both[1:])) == ("1 to 2 seeds", "1 seed")


def test_a_bound_is_named() -> None:
    made = result(
        "four-layer", "small", {"four-layer": {"top1": [17.0, 17.1, 17.2]}, "three times as long": {"top1": [16.0]}}
    )
    one = ledger.outcomes(made)[0]
    assert phrases.compared(one.comparison) == "four-layer − 20"
    assert phrases.measured(one) == "−2.90 (−3.15 to −2.65)"  # 4.302653 × 0.1 / √3 to either side
    assert one.verdict == "reproduced"


def test_why_where_nothing_is_claimed() -> None:
    made = result("2012-mean", "reduced", {"program": {"top1": [1.0, 1.1, 1.2]}, "text": {"top1": [5.0, 5.1, 5.2]}})
    [one] = ledger.outcomes(made)
    assert (one.verdict, one.why) == ("lower", "the interval lies below 0; nothing is claimed")


# one claim -----------------------------------------------------------------------------------------------------------


def test_show_has_every_seeds_value_mean_and_deviation(folder: Path) -> None:
    text = cells(tables.blocks(ledger.find(folder)["lrn"]["reduced"]))
    for values in (each for variant in LRN.values() for each in variant.values()):
        assert all(f"{value:.2f}" in text for value in values)
        assert f"{np.mean(values):.2f} | {np.std(values, ddof=1):.2f} | {values[0]:.2f}" in text


def test_show_says_where_it_comes_from_and_what_changed(folder: Path, tmp_path: Path) -> None:
    made = ledger.find(folder)["relu"]["small"]
    changes = {"network.activation": "tanh", "network.convolutions.0.std": 0.02, "network.hidden.1": None, "decay": 0.0}
    made.variants["tanh"] = replace(made.variants["tanh"], changes=changes)
    text = cells(tables.blocks(made))
    assert "tanh | network.activation tanh, conv1.std 0.02, network.hidden.1 gone, decay 0" in text
    assert "ReLU | nothing" in text
    assert "command | alexnet claims run relu --scale small" in text
    assert "photos: 100 train, 50 val; 10 classes, 32 pixels" in text
    assert "commit | abc1234" in text and "a processor, AVX2, 2 threads a run, python 3.11, torch 2.13" in text
    assert "99 s for 9 runs" in text  # 3 × (10 + 11 + 12)
    assert "tanh | 61.50 | 52.25 *" in text, "the search, with what it took"
    assert "epochs to 25 % training error" in text
    assert "tanh | 1 | 60.0 39.0" in text, "the curves that fig. 1 is drawn from"
    assert "epochs 24, batch 64" in text and "conv1 | kernels 32" in text, "the recipe of the scale"


def test_show_marks_runs_that_diverged(folder: Path) -> None:
    made = ledger.find(folder)["lrn"]["reduced"]
    first, second, third = made.variants["none"].runs
    made.variants["none"] = replace(made.variants["none"], runs=(first, replace(second, diverged=True), third))
    table = tables.values(made)
    assert "counted as guessing" in table.title
    assert "21.58 †" in cells([table]) and "21.47 †" not in cells([table])


def test_a_result_without_runs_says_so() -> None:
    empty = result("lrn", "reduced", {"LRN": {"top1": [1.0]}, "none": {"top1": [2.0]}})
    empty = replace(empty, variants={name: replace(variant, runs=()) for name, variant in empty.variants.items()})
    assert tables.comparisons(empty) == "No comparison has values yet."
    assert ledger.row(claims["lrn"], {"reduced": empty}).state == "no result yet"
    tables.blocks(empty)


# the page ------------------------------------------------------------------------------------------------------------


def test_the_page_is_written_with_its_pictures(folder: Path, tmp_path: Path) -> None:
    pictures = page.write(ledger.find(folder), tmp_path / "claims.md").pictures
    assert [path.relative_to(tmp_path).as_posix() for path in pictures] == [
        "claims/relu-small.png",
        "claims/overview-small.png",
        "claims/overview-reduced.png",
    ]
    text = (tmp_path / "claims.md").read_text()
    for target in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        with Image.open(tmp_path / target) as image:
            assert image.width > 600
    assert len(re.findall(r"!\[", text)) == 3
    # tanh and sigmoid against ReLU; the two of views have one seed.
    assert "Scale `small`, 2 claims, 4 comparisons: 2 reproduced, 2 inconclusive at this scale." in text
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert headings == ["relu", "lrn", "views"]
    for anchor in re.findall(r"\]\(#([^)]*)\)", text):
        assert anchor in headings
    for claim in claims.values():
        assert re.search(rf"^\| \[?{re.escape(claim.id)}\W", text, re.MULTILINE), claim.id


def test_the_page_has_as_many_cells_in_a_row_as_headings(folder: Path) -> None:
    found = ledger.find(folder)
    variants = found["lrn"]["reduced"].variants
    variants["none"] = replace(variants["none"], changes={"odd": "a|b\nc"})
    widths: list[int] = []
    for line in [*page.markdown(found, "claims").splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []


def test_every_scale_states_what_it_cost(folder: Path) -> None:
    by_name = {scale.name: (have, of, seconds) for scale, have, of, seconds in ledger.costs(ledger.find(folder))}
    assert set(by_name) == set(scales)
    of_table2 = 4  # rows of Table 2 that stand against another, and the weighted average
    assert by_name["reduced"][:2] == (1, len(ledger.ids("reduced")) + of_table2)
    assert by_name["imagenet"] == (0, len(ledger.ids("imagenet")) + of_table2, 0)
    assert by_name["small"][1] == len(ledger.ids("small"))


def test_runs_that_claims_share_count_once(tmp_path: Path) -> None:
    loss = {"train_loss": [1.5, 1.25, 1.125]}
    other = {"train_loss": [1.75, 1.3, 1.35]}
    result("lrn", "reduced", {"LRN": {**LRN["LRN"], **loss}, "none": {**LRN["none"], **other}}).save(tmp_path)
    shared = {
        "links": {"top1": [20.11, 20.22, 20.36], **loss},
        "no links": {"top1": [20.5, 20.6, 20.7], "train_loss": [1.0, 1.1, 1.2]},
    }
    result("links", "reduced", shared).save(tmp_path)
    [(_, have, _, seconds)] = [row for row in ledger.costs(ledger.find(tmp_path)) if row[0].name == "reduced"]
    assert have == 2 and seconds == 3 * (10 + 11 + 12)


@pytest.mark.parametrize("name", ["claims.txt", "absent/claims.md"])
def test_a_page_that_cannot_be_written_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="--out"):
        page.write(ledger.find(folder), tmp_path / name)


def test_the_page_of_the_repository_is_what_the_published_results_give() -> None:
    path = ROOT / "docs" / "claims.md"
    found = ledger.find(PUBLISHED)
    assert path.read_text() == page.markdown(found, "claims"), "docs/claims.md is old: alexnet claims page"
    for name in re.findall(r"!\[[^]]*\]\(([^)]*)\)", path.read_text()):
        assert (path.parent / name).is_file(), f"{name} is missing: alexnet claims page"


# the pictures --------------------------------------------------------------------------------------------------------


def test_fig_1_has_a_line_for_each_activation_and_thin_ones_for_each_seed(folder: Path) -> None:
    made = ledger.find(folder)["relu"]["small"]
    first, *others = made.variants["tanh"].runs
    made.variants["tanh"] = replace(made.variants["tanh"], runs=(replace(first, training=(60.0,)), *others))
    [axes] = figures.figure_1(made).axes
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["ReLU", "tanh", "sigmoid"]
    labelled = {line.get_label(): line for line in axes.lines}
    assert labelled["ReLU"].get_ydata().tolist() == [60.0, 39.0], "the mean of 60 and of 40, 39, 38"
    assert labelled["tanh"].get_ydata().tolist() == [60.0], "as far as all seeds went"
    assert labelled["ReLU"].get_linestyle() == "-" and labelled["tanh"].get_linestyle() == "--"
    assert len(axes.lines) == 3 * (3 + 1) + 1
    assert any(text.get_text() == "25%" for text in axes.texts)


def test_the_overview_has_every_comparison_in_the_panel_of_its_unit(folder: Path, tmp_path: Path) -> None:
    found = ledger.find(folder)
    of = [found["relu"]["small"], found["lrn"]["reduced"], found["views"]["small"]]
    figure = figures.overview(of)
    texts = [{text.get_text() for text in axes.texts} for axes in figure.axes]
    assert {"lrn", "LRN − none, top-1", "LRN − none, top-5", "views", "ten crops, top-1"} <= texts[0]
    assert {"relu", "tanh ÷ ReLU, epochs to target", "sigmoid ÷ ReLU, epochs to target"} <= texts[1]
    left, right = figure.axes[1].get_xlim()
    assert left < 1 and right > 6, "both 1 and the paper's 6 are on it"
    for found_outcome in ledger.outcomes(found["lrn"]["reduced"]):
        left, right = figure.axes[0].get_xlim()
        assert left < found_outcome.low and found_outcome.high < right


def test_wide_and_narrow_results_are_drawn(tmp_path: Path) -> None:
    """Differences of 70 points and of none, a ratio below 1, and one comparison only."""
    found: AllResults = {id: {} for id in ledger.NAMED}

    def add(made: Result) -> None:
        found[made.claim][made.scale] = made

    add(result("lrn", "reduced", {"LRN": {"top1": [20.0, 20.1, 20.2]}, "none": {"top1": [90.0, 90.1, 90.2]}}))
    assert figures.overview([found["lrn"]["reduced"]]).axes[0].get_xscale() == "symlog"
    add(result("lrn", "reduced", {"LRN": {"top1": [0.0, 0.0, 0.0]}, "none": {"top1": [0.0, 0.0, 0.0]}}))
    assert figures.overview([found["lrn"]["reduced"]]).axes[0].get_xscale() == "linear"
    backwards = {**RELU, "ReLU": RELU["tanh"], "tanh": RELU["ReLU"]}
    add(result("relu", "small", backwards, target=25.0))
    left, _ = figures.overview([found["relu"]["small"]]).axes[0].get_xlim()
    assert left < 0.25
    page.write(found, tmp_path / "page.md")


def test_outcomes_are_computed_and_none_is_stored(folder: Path) -> None:
    text = (folder / "reduced" / "lrn.json").read_text()
    assert "verdict" not in text and "reproduced" not in text
    made = records.load(folder / "reduced" / "lrn.json")
    moved = replace(made, variants={**made.variants, "LRN": made.variants["none"]})
    assert ledger.outcomes(moved)[0].verdict != ledger.outcomes(made)[0].verdict
