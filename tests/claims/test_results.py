"""Intervals against scipy and by hand, the verdict's every branch, and files that are no results."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alexnet.claims import records, verdicts
from alexnet.claims.claim import Comparison
from alexnet.claims.ledger import NAMED
from alexnet.claims.records import Result, Variant
from alexnet.claims.scales import scales
from alexnet.claims.verdicts import Outcome
from alexnet.errors import InputError
from tests.claims.making import result

PAIR = Comparison("new", "old")


def outcome(new: list[float], old: list[float] | None = None, **comparison: object) -> Outcome:
    against = None if old is None else "old"
    made = Comparison("new", against, **{"measure": "top1", **comparison})  # type: ignore[arg-type]
    variants = {"new": {made.measure: new}} | ({"old": {made.measure: old}} if old is not None else {})
    found = verdicts.outcome(result("lrn", "small", variants), made)
    assert found is not None
    return found


# intervals -----------------------------------------------------------------------------------------------------------


def test_difference_of_two_means_is_welchs() -> None:
    new, old = [20.1, 19.4, 20.9], [21.0, 23.5, 22.2, 22.9]
    found = outcome(new, old)
    interval = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    assert found.difference == pytest.approx(np.mean(new) - np.mean(old))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_welchs_interval_by_hand() -> None:
    # Variances 1 and 1, three seeds each: error √(2/3), 4 degrees of freedom, t = 2.776445 (tables).
    found = outcome([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found.difference == -3
    assert found.high == pytest.approx(-3 + 2.776445 * math.sqrt(2 / 3), abs=1e-5)
    assert found.low == pytest.approx(-3 - 2.776445 * math.sqrt(2 / 3), abs=1e-5)


def test_difference_within_each_run_is_students() -> None:
    gains = [-1.4, -1.9, -1.2, -1.6]
    found = outcome(gains, measure="ten_gain")
    interval = stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert found.difference == pytest.approx(np.mean(gains))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_ratio_is_welchs_on_logarithms() -> None:
    tanh, relu = [30.0, 33.0, 28.0], [6.0, 5.5, 6.6]
    found = outcome(tanh, relu, measure="epochs", ratio=True, expected="higher")
    interval = stats.ttest_ind(np.log(tanh), np.log(relu), equal_var=False).confidence_interval(0.95)
    assert found.difference == pytest.approx(stats.gmean(tanh) / stats.gmean(relu))
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))


def test_a_paired_difference_is_students_seed_by_seed() -> None:
    # Levels of 10 to 30 and differences of about one: the spread of the levels falls out.
    old = [10.0, 20.0, 30.0]
    new = [9.0, 18.9, 29.2]
    found = outcome(new, old, paired=True)
    interval = stats.ttest_1samp(np.subtract(new, old), 0.0).confidence_interval(0.95)
    assert found.difference == pytest.approx(np.mean(new) - np.mean(old))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.verdict == "reproduced" and outcome(new, old).verdict == "inconclusive at this scale"


def test_seeds_of_one_side_only_are_no_pairs() -> None:
    made = result("lrn", "small", {"new": {"top1": [1.0, 2.0, 3.0]}, "old": {"top1": [3.0, 4.5]}})
    found = verdicts.outcome(made, Comparison("new", "old", paired=True))
    assert found is not None and found.difference == pytest.approx(-2.25)
    assert found.verdict == "inconclusive at this scale"
    shifted = tuple(replace(run, seed=10 + number) for number, run in enumerate(made.variants["old"].runs))
    apart = replace(made, variants={"new": made.variants["new"], "old": Variant(changes={}, runs=shifted)})
    assert verdicts.outcome(apart, Comparison("new", "old", paired=True)) is None


def test_one_seed_or_no_spread_gives_no_interval() -> None:
    for new, old in (([1.0], [2.0, 3.0, 4.0]), ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])):
        found = outcome(new, old)
        assert (found.low, found.high) == (-math.inf, math.inf)
        assert found.verdict == "inconclusive at this scale"
        assert found.size == ""


def test_one_side_without_spread_still_has_an_interval() -> None:
    found = outcome([1.0, 1.0, 1.0], [2.0, 2.1, 2.2])
    # Only the second side counts: 2 degrees of freedom, t = 4.302653.
    assert found.high - found.difference == pytest.approx(4.302653 * 0.1 / math.sqrt(3), abs=1e-5)
    assert found.verdict == "reproduced"


def test_runs_that_lack_a_measure_are_left_out_and_no_value_is_no_outcome() -> None:
    made = result("lrn", "small", {"new": {"top1": [1.0, 2.0], "gap": [5.0]}, "old": {"top1": [3.0, 4.0]}})
    assert made.values("new", "gap") == [5.0]
    assert verdicts.outcome(made, Comparison("new", "old", "gap")) is None
    assert verdicts.outcome(made, Comparison("absent", "old")) is None
    assert verdicts.outcome(made, Comparison("new", None, "gap")) is not None


def test_a_ratio_with_zero_is_no_outcome() -> None:
    made = result("relu", "small", {"new": {"epochs": [0.0, 1.0]}, "old": {"epochs": [1.0, 2.0]}})
    assert verdicts.outcome(made, Comparison("new", "old", "epochs", ratio=True)) is None


# verdicts ------------------------------------------------------------------------------------------------------------

WIDE = [18.0, 20.0, 22.0]
"""Of spread 2: against itself moved by 1, the interval is ±4.5."""


@pytest.mark.parametrize(
    ("new", "old", "how", "verdict"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], {}, "reproduced"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], {}, "not reproduced"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], {"expected": "higher"}, "reproduced"),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], {"expected": "higher"}, "not reproduced"),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], {"expected": "either"}, "lower"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], {"expected": "either"}, "higher"),
        (WIDE, WIDE, {"expected": "either"}, "inconclusive at this scale"),
        (WIDE, WIDE, {}, "inconclusive at this scale"),
        # ±4.5 around 0 excludes half of −10, and holds half of −8.
        (WIDE, WIDE, {"paper": -10.0}, "not reproduced"),
        (WIDE, WIDE, {"paper": -8.0}, "inconclusive at this scale"),
        # −1 ± 0.23: on the right side, at least half of −2, and less than half of −3.
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], {"paper": -2.0}, "reproduced"),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], {"paper": -3.0}, "not reproduced"),
        # Two seeds say nothing, however far apart.
        ([1.0, 1.1], [2.0, 2.1], {}, "inconclusive at this scale"),
        ([1.0, 1.1, 1.2], [2.0, 2.1], {}, "inconclusive at this scale"),
    ],
)
def test_verdict(new: list[float], old: list[float], how: dict[str, object], verdict: str) -> None:
    assert outcome(new, old, **how).verdict == verdict


def test_verdict_of_a_ratio_turns_at_one() -> None:
    six, one = [6.0, 6.2, 5.8], [1.0, 1.1, 0.9]
    how = {"measure": "epochs", "ratio": True, "expected": "higher"}
    assert outcome(six, one, **how).verdict == "reproduced"
    assert outcome(one, six, **how).verdict == "not reproduced"
    # Around 1 by a tenth: excludes √6, half of six times on a scale of ratios.
    assert outcome(one, one, paper=6.0, **how).verdict == "not reproduced"
    assert outcome(one, one, **how).verdict == "inconclusive at this scale"


def test_the_papers_size_lies_inside_or_beyond() -> None:
    new, old = [1.0, 1.1, 1.2], [2.0, 2.1, 2.2]  # −1 ± 0.23
    assert outcome(new, old, paper=-1.1).size == "inside the interval"
    assert outcome(new, old, paper=-3.0).size == "the paper's is larger"
    assert outcome(new, old, paper=-0.2).size == "the paper's is smaller"
    assert outcome(old, new, paper=-0.2).size == "the paper's is larger"  # whose interval lies on the other side of 0
    assert outcome(new, old).size == ""


def censored(of: list[float], against: list[float]) -> Outcome:
    """Epochs to the target 6 times as many, where `of` and `against` say which runs got there."""
    variants = {
        "tanh": {"epochs_to_target": [30.0, 31.0, 32.0], "reached": of},
        "ReLU": {"epochs_to_target": [5.0, 5.1, 5.2], "reached": against},
    }
    compared = Comparison("tanh", "ReLU", "epochs_to_target", "higher", paper=6.0, ratio=True)
    found = verdicts.outcome(result("relu", "small", variants), compared)
    assert found is not None
    return found


def test_a_run_that_never_got_there_opens_the_interval() -> None:
    all_of, one_not = [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]
    whole = censored(all_of, all_of)
    assert math.isfinite(whole.high) and whole.low > 1 and whole.verdict == "reproduced"
    slow = censored(one_not, all_of)
    assert slow.high == math.inf and slow.low == whole.low and slow.verdict == "reproduced"
    assert slow.size == ""
    # The one that is divided by may be slower than it looks: the ratio is only the most it can be.
    doubtful = censored(all_of, one_not)
    assert doubtful.low == 0 and doubtful.high == whole.high and doubtful.verdict == "inconclusive at this scale"
    assert censored(one_not, one_not).verdict == "inconclusive at this scale"


# files ---------------------------------------------------------------------------------------------------------------


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    made = result("lrn", "small", {"LRN": {"top1": [1.5, 2.25]}, "none": {"top1": [3.0]}})
    path = made.save(tmp_path)
    assert path == tmp_path / "small" / "lrn.json"
    assert records.load(path) == made
    assert records.load_all(tmp_path) == [made]
    assert json.loads(path.read_text())["variants"]["LRN"]["runs"][1]["values"]["top1"] == 2.25


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b"\xff\xfe", b'{"format": 1, "claim": "lrn"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json.*not a result"):
        records.load(tmp_path / "bad.json")


def test_a_result_of_another_format_says_so(tmp_path: Path) -> None:
    path = result("lrn", "small", {"LRN": {"top1": [1.0]}}).save(tmp_path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(InputError, match="another version"):
        records.load(path)


def test_the_published_results_are_of_claims_and_measures_that_exist() -> None:
    for published in records.load_all(records.PUBLISHED):
        assert isinstance(published, Result)
        claim = NAMED[published.claim]
        assert published.scale in scales and published.scale in claim.scales
        # Without other images Table 2 has its first two rows.
        assert list(published.variants) == claim.names or list(published.variants) == ["one net", "five nets"]


def test_a_result_file_comes_back_as_it_is() -> None:
    for path in sorted(records.PUBLISHED.glob("*/*.json")):
        before = json.loads(path.read_text())
        after = json.loads(json.dumps(records.to_dict(records.load(path))))
        after["recipe"] = {name: after["recipe"][name] for name in before["recipe"]}  # newer fields have their defaults
        assert {name: after[name] for name in ("recipe", "machine", "seconds", "target")} == {
            name: before[name] for name in ("recipe", "machine", "seconds", "target")
        }
        for name, variant in before["variants"].items():
            assert [run["values"] for run in after["variants"][name]["runs"]] == [
                run["values"] for run in variant["runs"]
            ]
            assert after["variants"][name].get("key") == variant.get("key")
