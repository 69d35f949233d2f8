"""Forms in turn, ratios round by round, documents."""

import json

import pytest

from benchmarks.measure import document, in_turn, ratios, row


def test_a_row_is_median_lowest_and_highest() -> None:
    figure = row("speed", [3.0, 1.0, 2.0], "x", "note")
    assert (figure.median, figure.low, figure.high, figure.rounds, figure.note) == (2.0, 1.0, 3.0, 3, "note")


def test_forms_take_turns_and_those_that_warm_up_do_not_count() -> None:
    called: list[str] = []

    def form(name: str) -> float:
        called.append(name)
        return len(called)

    seconds = in_turn({"a": lambda: form("a"), "b": lambda: form("b")}, repeats=2, warmup=1)
    assert called == ["a", "b"] * 3
    assert seconds == {"a": [3, 5], "b": [4, 6]}


def test_a_form_that_returns_nothing_is_timed() -> None:
    assert in_turn({"a": lambda: None}, repeats=1)["a"][0] > 0


def test_a_ratio_is_of_one_round() -> None:
    assert ratios([1.0, 2.0], [3.0, 3.0]) == [3.0, 1.5]
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])


def test_a_document_is_plain_json() -> None:
    text = json.dumps(document("steps", "python benchmarks/steps.py", [row("a", [1.0], "s")], limits={"copy": 1.0}))
    made = json.loads(text)
    assert list(made) == ["benchmark", "command", "commit", "machine", "rows", "limits"]
    assert made["rows"] == [{"name": "a", "median": 1, "low": 1, "high": 1, "unit": "s", "rounds": 1, "note": ""}]
    assert made["machine"]["torch"]
