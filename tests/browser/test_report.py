"""report.html in a browser: curves with values under the pointer, the confusion matrix, tables, narrow and dark screens."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alexnet.data.prepared import Prepared
from alexnet.evaluation.probabilities import Options
from alexnet.insight import confusion
from alexnet.insight import report as report_of_run
from alexnet.insight.evaluate import evaluate
from alexnet.run import trained
from alexnet.run.images import validation_of
from alexnet.run.metrics import read_metrics
from alexnet.run.recipe import Recipe
from alexnet.training import train

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

EPOCHS = 4


@pytest.fixture(scope="module")
def run(tiny_prepared: Prepared, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has not learned all, evaluated; validated every other epoch."""
    folder = tmp_path_factory.mktemp("runs") / "weak"
    train(replace(tiny_recipe, epochs=EPOCHS, rate=0.002, validate_every=2), tiny_prepared, folder)
    evaluate(folder, options=Options(device="cpu"))
    return folder


@pytest.fixture
def report(run: Path, page: "Page") -> "Page":
    page.goto((run / "report.html").as_uri())
    return page


def shown(report: "Page") -> dict[str, float | None]:
    """The epoch that is chosen, and the values that the curves say of it."""
    outputs = report.locator("output[data-series]").all()
    values = {each.get_attribute("data-series"): each.get_attribute("data-value") for each in outputs}
    at = {"at": report.locator("#at").text_content()}
    return {name or "": float(value) if value else None for name, value in (values | at).items()}


def logged(run: Path) -> dict[int, dict[str, float | None]]:
    """The same of every epoch, from metrics.jsonl."""
    names = {"at": "epoch", "loss": "loss", "training": "train_error", "top1": "validation_top1", "rate": "rate"}
    lines = [line for line in read_metrics(run) if line["kind"] == "epoch"]
    return {line["epoch"]: {name: line.get(key) for name, key in names.items()} for line in lines}


def test_the_values_under_the_pointer_are_those_of_the_log(run: Path, report: "Page") -> None:
    expected = logged(run)
    assert len(expected) == EPOCHS and {line["top1"] is None for line in expected.values()} == {True, False}
    assert shown(report) == expected[EPOCHS], "at first the last epoch"
    for panel in report.locator("#panels svg").all():
        panel.scroll_into_view_if_needed()
        box = panel.bounding_box()
        assert box
        seen = []
        for share in range(0, 101, 4):
            report.mouse.move(box["x"] + box["width"] * share / 100, box["y"] + box["height"] / 2)
            values = shown(report)
            assert values == expected[int(values["at"] or 0)]
            seen.append(int(values["at"] or 0))
        assert sorted(set(seen)) == [1, 2, 3, 4] and seen == sorted(seen), "from left to right"


def test_the_keyboard_goes_through_the_epochs(run: Path, report: "Page") -> None:
    expected = logged(run)
    report.get_by_role("slider").focus()
    for key, epoch in (("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 4)):
        report.keyboard.press(key)
        assert shown(report) == expected[epoch]
    said = report.get_by_role("slider").get_attribute("aria-valuetext")
    assert said and said.startswith(f"epoch 4; loss, training: {expected[4]['loss']:.3f}; error, training: ")


def mistakes(run: Path, prepared: Prepared) -> dict[tuple[int, int], list[str]]:
    """The files of the images that a run takes for another class, by true and predicted class."""
    network = trained.load(run)
    split, indices = validation_of(network.recipe, prepared)
    guessed = network.probabilities(split.images[indices]).argmax(dim=1).tolist()
    taken: dict[tuple[int, int], list[str]] = {}
    for index, guess in zip(indices.tolist(), guessed, strict=True):
        if guess != split.labels[index]:
            taken.setdefault((int(split.labels[index]), guess), []).append(Path(split.files[index]).name)
    return taken


def cell(report: "Page", true: int, predicted: int) -> "Locator":
    return report.locator(f'#matrix [data-true="{true}"][data-predicted="{predicted}"] button')


def test_a_cell_opens_the_images_that_were_taken_for_another_class(
    run: Path, report: "Page", tiny_prepared: Prepared
) -> None:
    taken, place = mistakes(run, tiny_prepared), report.locator("#mistakes")
    assert len(taken) > 1
    for (true, predicted), files in taken.items():
        cell(report, true, predicted).click()
        assert cell(report, true, predicted).get_attribute("aria-pressed") == "true"
        assert report.locator('#matrix [aria-pressed="true"]').count() == 1
        names = [image.get_attribute("alt") or "" for image in place.locator("img").all()]
        assert len(names) == min(8, len(files)) and set(names) <= set(files)
        assert place.locator("h4").inner_text().startswith(f"{len(files)} of ")
        assert place.locator("img").first.evaluate("image => image.naturalWidth") == 80
    right = report.locator("#matrix .right button").first
    right.click()
    assert place.locator("img").count() == 0 and "are right" in place.inner_text()


def test_more_classes_than_a_matrix_names_have_a_list_that_opens(
    run: Path, page: "Page", tiny_prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confusion, "MOST_NAMED", 3)
    folder = shutil.copytree(run, tmp_path / "run")
    page.goto(report_of_run.write(folder, tiny_prepared).as_uri())
    taken = mistakes(run, tiny_prepared)
    buttons = page.locator("#pairs button").all()
    assert [int(button.inner_text()) for button in buttons] == sorted(map(len, taken.values()), reverse=True)
    for button in buttons:
        button.click()
        names = {image.get_attribute("alt") for image in page.locator("#mistakes img").all()}
        pair = button.locator("xpath=..").evaluate("cell => [cell.dataset.true, cell.dataset.predicted].map(Number)")
        assert names and names <= set(taken[tuple(pair)])


def test_arrow_keys_go_through_the_matrix(report: "Page") -> None:
    places = "cell => [cell.dataset.true, cell.dataset.predicted].map(Number)"
    filled = report.locator("#matrix [data-images]").evaluate_all(f"cells => cells.map({places})")
    rows = {true: [predicted for label, predicted in filled if label == true] for true, _ in filled}
    row, (first, second) = next((true, columns[:2]) for true, columns in rows.items() if len(columns) > 1)
    cell(report, row, first).focus()
    report.keyboard.press("ArrowRight")
    report.keyboard.press("Enter")
    assert cell(report, row, second).get_attribute("aria-pressed") == "true"
    assert report.locator('#matrix button[tabindex="0"]').count() == 1, "one stop of the tabulator"
    report.keyboard.press("ArrowLeft")
    report.keyboard.press("ArrowLeft")
    report.keyboard.press("Space")
    assert cell(report, row, first).get_attribute("aria-pressed") == "true", "at its edge it stays"


def test_classes_are_sorted_by_any_column(run: Path, report: "Page") -> None:
    rows = json.loads((run / "evaluation-held-out-of-train-1views.json").read_text())["per_class"]

    def order() -> list[str]:
        return report.locator(".sortable tbody td:first-child").all_inner_texts()

    def direction(name: str) -> str | None:
        return report.locator(".sortable th", has_text=name).get_attribute("aria-sort")

    errors = {row["label"]: row["top1_error"] for row in rows}
    assert direction("top-1") == "descending"
    assert [errors[name] for name in order()] == sorted(errors.values(), reverse=True)
    report.get_by_role("button", name="top-1").click()
    assert direction("top-1") == "ascending" and [errors[name] for name in order()] == sorted(errors.values())
    report.get_by_role("button", name="class", exact=True).click()
    assert order() == sorted(errors) and direction("top-1") is None
    report.get_by_role("button", name="class", exact=True).click()
    assert order() == sorted(errors, reverse=True)
    precisions = {row["label"]: row["precision"] for row in rows if row["precision"] is not None}
    report.get_by_role("button", name="precision").click()
    assert [precisions[name] for name in order() if name in precisions] == sorted(precisions.values(), reverse=True)
    assert order()[: len(precisions)] == [name for name in order() if name in precisions], "– comes last"


def test_the_reliability_diagram_says_what_its_table_says(run: Path, report: "Page") -> None:
    bins = json.loads((run / "evaluation-held-out-of-train-1views.json").read_text())["calibration"]["bins"]
    filled = [each for each in bins if each["images"]]
    section = report.locator("#calibration")
    box = "all => all.map(each => each.getBoundingClientRect())"
    bars, axis = section.locator("rect.accuracy").evaluate_all(box), section.locator("line.grid").evaluate_all(box)
    bottom, top = axis[0]["bottom"], axis[4]["bottom"]
    assert [100 * bar["height"] / (bottom - top) for bar in bars] == pytest.approx(
        [each["accuracy"] for each in filled], abs=0.5
    )
    marks = section.locator("line.sure").evaluate_all("all => all.map(each => Number(each.getAttribute('y1')))")
    assert [(282 - mark) / 2.7 for mark in marks] == pytest.approx([each["confidence"] for each in filled], abs=0.1)
    assert not section.locator("table").is_visible()
    section.locator("summary").click()
    rows = [row.split() for row in section.locator("tbody tr").all_inner_texts()]
    assert [int(images) for _, images, _, _ in rows] == [each["images"] for each in bins]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_for_everyone_on_every_screen(
    report: "Page", axe: "Callable[[Page], list[str]]", width: int, scheme: Any
) -> None:
    report.emulate_media(color_scheme=scheme)
    report.set_viewport_size({"width": width, "height": 844})
    report.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    assert report.evaluate("document.documentElement.scrollWidth") == width, "it does not scroll sideways"
    assert axe(report) == []
    assert report.locator("#panels svg").first.evaluate("svg => svg.getBoundingClientRect().right") <= width


def test_without_scripts_the_page_is_whole(run: Path, browser: "Browser") -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run / "report.html").as_uri())
    assert page.locator("#curves img").is_visible()
    assert page.locator("#matrix .right").first.is_visible() and page.locator("button").count() == 0
    assert page.locator("#calibration svg").is_visible()
    assert page.locator("#curves summary").inner_text() == f"{EPOCHS} epochs in numbers"
    context.close()
