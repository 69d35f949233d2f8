"""report.html: what a run's page says, from a tiny run trained here on class names that are meant to do harm."""

import dataclasses
import json
import re
import shutil
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alexnet import words
from alexnet.data import prepare, prepared, sources
from alexnet.errors import InputError
from alexnet.evaluation.calibration import calibrate
from alexnet.evaluation.measure import evaluate
from alexnet.insight import figures, report, settings
from alexnet.network import networks
from alexnet.network.spec import LRN, Convolution, Hidden, Network
from alexnet.run import checkpoint, trained
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import paper, recipes
from alexnet.run.schedule import Schedule
from alexnet.training import train

SCRIPT = "<script>alert('x')<script>"  # no slash: it is the name of a folder
CLASSES = sorted([SCRIPT, "a & b", "tench", "{{ 991 * 997 }}", '"quoted" onerror=x', "church", "gas pump"])

tiny = Recipe(
    name="tiny",
    network=Network(
        name="tiny",
        convolutions=(Convolution(8, 5, stride=2, then=("relu", "norm", "pool")),),
        hidden=(Hidden(8),),
        classes=len(CLASSES),
        input_size=20,
        links=("fc2",),
    ),
    epochs=2,
    batch=8,
    image_size=24,
    schedule=Schedule("steps"),
    device="cpu",
)


class Page(HTMLParser):
    """Tags, what they load, and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.html = html
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " "
        self.loads += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attributes if name.startswith("on")], "no event handlers"

    def handle_data(self, data: str) -> None:
        self.text += data

    def sections(self) -> list[str]:
        return re.findall(r'<section id="(\w+)"', self.html)


def page_of(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def values_of(run: Path) -> dict[str, Any]:
    """What the page's script is given."""
    written = re.search('<script type="application/json" id="values">(.*?)</script>', page_of(run).html)
    assert written

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    values: dict[str, Any] = json.loads(written[1], parse_constant=refuse)
    return values


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> prepared.Prepared:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for split, number in (("train", 4), ("val", 2)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for k in range(number):
                image = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / split / name / f"{k}.png")
    for k in range(2):
        (folder / "train" / "tench" / f"broken{k}.jpeg").write_bytes(b"\xff\xd8 no image")
    return prepare.prepare(
        sources.open_source(str(folder)), folder.parent / "prepared", size=24, max_bad=0.5, workers=1
    )


@pytest.fixture(scope="module")
def trained_run(data: prepared.Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "a <run>"
    train(tiny, data, run)
    return run


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "a <run>")


@pytest.fixture
def evaluated(run: Path, data: prepared.Prepared) -> Path:
    network, split = trained.load(run), data.split("val")
    for views in (1, 10):
        measured = evaluate(
            network.network, network.preparation, split.images, split.labels, data.classes, views=views, confusion=True
        )
        measured.save(run / f"evaluation-val-{views}views.json")
    return run


def test_a_whole_run_has_every_section(evaluated: Path, data: prepared.Prepared) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = report.write(evaluated, data)
    assert written == evaluated / "report.html"
    page = page_of(evaluated)
    pictures = ["kernels", "predictions", "similar", "activations", "units"]
    assert page.sections() == ["errors", "curves", *pictures, "classes", "recipe", "data", "machine"]
    assert "this page searches 28 training images" in page.text, "all there are"
    measured = json.loads((evaluated / "evaluation-val-10views.json").read_text())
    assert f"{measured['top1_error']:.2f}" in page.text and f"{measured['top5_error']:.2f}" in page.text
    assert "2 of 2 epochs are done" in page.text
    assert "2 unreadable files skipped in train" in page.text and "broken0.jpeg" in page.text
    assert not [file for file in evaluated.iterdir() if file.name.endswith(".new")]


def test_an_evaluation_of_an_older_checkpoint_is_marked(evaluated: Path) -> None:
    file = evaluated / "evaluation-val-10views.json"
    measured = json.loads(file.read_text())
    for name, said in ((None, False), (checkpoint.newest(evaluated).name, False), ("step-00000001", True)):
        file.write_text(json.dumps({**measured, "checkpoint": name}))
        report.write(evaluated)
        assert ("at step 1; trained since, evaluate again" in page_of(evaluated).text) == said


def test_the_page_needs_nothing_from_elsewhere(evaluated: Path, data: prepared.Prepared) -> None:
    report.write(evaluated, data)
    page = page_of(evaluated)
    assert len(page.loads) == 6 and all(re.match("data:image/(png|svg.xml|jpeg);base64,", load) for load in page.loads)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|@import|url\(", page.html)


def test_the_page_has_the_values_of_the_log_and_of_the_evaluation(evaluated: Path, data: prepared.Prepared) -> None:
    report.write(evaluated, data)
    values = values_of(evaluated)
    lines = [json.loads(line) for line in (evaluated / "metrics.jsonl").read_text().splitlines() if '"epoch", ' in line]
    names = {"at": "epoch", "loss": "loss", "training": "train_error", "top1": "validation_top1", "rate": "rate"}
    assert len(lines) == 2
    assert [{name: point[name] for name in names} for point in values["curves"]["points"]] == [
        {name: line[key] for name, key in names.items()} for line in lines
    ]
    confusion = json.loads((evaluated / "evaluation-val-10views.json").read_text())["confusion"]
    attributes = r'data-true="(\d)" data-predicted="(\d)" data-images="(\d+)"'
    cells = [tuple(map(int, each)) for each in re.findall(attributes, page_of(evaluated).html)]
    expected = [(true, k, images) for true, row in enumerate(confusion) for k, images in enumerate(row) if images]
    assert cells == expected and values["images"] == [2] * len(CLASSES)


def test_why_there_are_no_images_of_mistakes_is_said(evaluated: Path, data: prepared.Prepared) -> None:
    report.write(evaluated, data)
    assert values_of(evaluated)["mistakes"] == {} and "not kept" in values_of(evaluated)["missing"]
    report.write(evaluated)
    assert "dataset was not there" in values_of(evaluated)["missing"]


def test_a_loss_that_diverged_is_no_number_in_the_page(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").write_text("".join(json.dumps({**line, "loss": float("nan")}) + "\n" for line in lines))
    report.write(run)
    assert [point["loss"] for point in values_of(run)["curves"]["points"]] == [None, None]


def test_the_report_looks_at_a_sample_of_the_training_images(
    run: Path, data: prepared.Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SAMPLE", 9)
    recipe, looked = trained.load(run).recipe, []
    sample = figures.sample_of(recipe, data)
    assert len(set(sample)) == 9 and sample.tolist() == sorted(sample)
    before = figures.layers.in_batches

    def watched(network: object, images: object, indices: np.ndarray, *more: object) -> object:
        looked.append(len(indices))
        return before(network, images, indices, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(figures.layers, "in_batches", watched)
    report.write(run, data)
    assert sorted(looked) == [5, 9, 14], (
        "queries, training images, and the validation images that eight are chosen from"
    )
    assert "searches 9 training images" in page_of(run).text


def test_names_of_classes_are_text(evaluated: Path, data: prepared.Prepared) -> None:
    report.write(evaluated, data)
    page = page_of(evaluated)
    assert page.tags.count("script") == 2, "the values and what shows them"
    assert SCRIPT not in page.html and "&lt;script&gt;alert" in page.html
    assert values_of(evaluated)["classes"] == CLASSES
    assert "<run>" not in page.html
    for name in CLASSES:
        assert name in page.text
    assert "988027" not in re.findall(r"\b\d+\b", page.text), "a name is not evaluated as a template"


def test_a_run_that_is_not_evaluated_says_so(run: Path) -> None:
    report.write(run)
    page = page_of(run)
    assert page.sections() == ["errors", "curves", "kernels", "recipe", "data", "machine"]
    assert "Not evaluated yet" in page.text and "after epoch 2" in page.text


def test_a_run_in_its_first_epoch(run: Path, data: prepared.Prepared) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(lines[0] + "\n" + '{"kind": "epoch", "epo')
    *older, saved = sorted((run / "checkpoints").iterdir())
    for folder in older:
        shutil.rmtree(folder)
    saved.rename(saved.with_name("step-00000000"))
    report.write(run, data)
    page = page_of(run)
    assert "The first epoch is not over" in page.text and "Nothing measured yet" in page.text
    assert "nothing is trained yet" in page.text and "predictions" in page.sections()


def test_one_epoch_without_validation(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [lines[0], *(line for line in lines if line["kind"] == "epoch")][:2]
    kept[1] = {key: value for key, value in kept[1].items() if not key.startswith("validation")}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    report.write(run)
    assert "1 of 2 epochs are done" in page_of(run).text


def test_a_run_with_a_recipe_only(run: Path, data: prepared.Prepared) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    report.write(run, data)
    assert page_of(run).sections() == ["errors", "curves", "recipe", "data"]


def test_what_is_no_run_or_not_its_data_is_refused(run: Path, data: prepared.Prepared, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no recipe\.json"):
        report.write(tmp_path)
    (run / "classes.json").write_text(json.dumps(["other", "classes"]))
    with pytest.raises(InputError, match="classes are not those of"):
        report.write(run, data)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"per_class": 7, "confusion": null}', '{"per_class": [], "confusion": []}']
)
def test_a_damaged_evaluation_is_named(run: Path, content: str) -> None:
    (run / "evaluation-val-1views.json").write_text(content)
    with pytest.raises(InputError, match=r"evaluation-val-1views\.json"):
        report.write(run)


def calibrated(evaluated: Path, labels: list[int], **other: object) -> dict[str, Any]:
    """The run's evaluation with the calibration of a network that says 90 % of the first of two classes, whatever it sees."""
    result = calibrate(np.tile(np.array([0.9, 0.1], np.float32), (len(labels), 1)), np.array(labels))
    assert result
    file = evaluated / "evaluation-val-10views.json"
    written: dict[str, Any] = json.loads(file.read_text()) | {"calibration": dataclasses.asdict(result) | other}
    file.write_text(json.dumps(written))
    return written


def test_the_calibration_is_drawn_and_told(evaluated: Path) -> None:
    calibrated(evaluated, 12 * [0] + 4 * [1])
    report.write(evaluated)
    page = page_of(evaluated)
    assert page.sections()[-5:] == ["classes", "calibration", "recipe", "data", "machine"]
    assert "gives its first label 90.00 %, and that label is right for 75.00 % of the images" in page.text
    assert "Bin by bin the two are 15.00 points apart" in page.text
    assert "A temperature of 2.00, by which the logarithm of the mean of the views’ probabilities" in page.text
    assert "(2.00 and 2.00)" in page.text and "error from 15.00 to 0.00 points" in page.text
    # 75 % of 270 pixels above the axis at 282; 14 of the 15 bins are empty
    assert re.findall('<rect class="accuracy".* y="(.*?)" height="(.*?)"', page.html) == [("79.5", "202.5")]
    assert "86.7 to 93.3 %: 16 images, accuracy 75.00 %, mean confidence 90.00 %" in page.text
    assert "86.7–93.3 16 75.00 90.00" in page.text and "pale" not in page.text


def test_a_calibration_without_another_half_tells_no_gain_and_pales_what_few_images_say(evaluated: Path) -> None:
    calibrated(evaluated, [0, 1])
    report.write(evaluated)
    assert "negative log-likelihood" not in page_of(evaluated).text
    assert "pale: fewer than 10 images" in page_of(evaluated).text and page_of(evaluated).html.count('class="few"') == 1


def test_an_evaluation_from_before_there_was_calibration_still_has_a_report(evaluated: Path) -> None:
    for file in evaluated.glob("evaluation-*.json"):
        measured = json.loads(file.read_text())
        del measured["calibration"]
        for row in measured["per_class"]:
            del row["precision"], row["recall"]
        file.write_text(json.dumps(measured))
    report.write(evaluated)
    assert "classes" in page_of(evaluated).sections() and "calibration" not in page_of(evaluated).sections()


def test_a_damaged_calibration_is_named(evaluated: Path) -> None:
    calibrated(evaluated, [0, 1], bins=[{"above": "x"}])
    with pytest.raises(InputError, match=r"evaluation-val-10views\.json: calibration\.bins\.0"):
        report.write(evaluated)


def test_classes_have_their_precision_and_recall(evaluated: Path) -> None:
    report.write(evaluated)
    rows = json.loads((evaluated / "evaluation-val-10views.json").read_text())["per_class"]
    shown = re.findall(
        r'</i></td>\s*<td class="number">(.*?)</td><td class="number">(.*?)</td>', page_of(evaluated).html
    )
    wanted = [
        tuple("–" if row[name] is None else f"{row[name]:.2f}" for name in ("precision", "recall")) for row in rows
    ]
    assert sorted(shown) == sorted(wanted) and any(row["precision"] is None for row in rows)


def test_the_same_run_has_the_same_page(evaluated: Path, data: prepared.Prepared) -> None:
    first = report.write(evaluated, data).read_bytes()
    assert report.rewrite(evaluated, data.path).path.read_bytes() == first


def test_machine_and_resumes(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        start = {
            "kind": "start",
            "device": "NVIDIA X",
            "torch": "2.11",
            "threads": 4,
            "images": 28,
            "validation_images": 14,
        }
        file.write(json.dumps(start | {"time": 0}) + "\n")
    report.write(run)
    text = page_of(run).text
    assert "cpu, then NVIDIA X" in text and "resumed once" in text and "training images 28" in text


# against what the errors are held ----------------------------------------------------------------------------------


def synsets(number: int) -> tuple[str, ...]:
    return tuple(f"n{k:08d}" for k in range(number))


@pytest.mark.parametrize(
    ("source", "classes", "expected"),
    [
        ("ILSVRC-2012 archives, imagenet/", tuple(map(str, range(1000))), "ilsvrc-2012"),
        ("folder of class folders, train/", synsets(1000), "ilsvrc-2012"),
        ("Hugging Face dataset ILSVRC/imagenet-1k", tuple(map(str, range(1000))), "ilsvrc-2012"),
        ("ILSVRC-2012 archives, miniature/", synsets(4), "other"),
        ("folder of class folders, train/", synsets(200), "other"),
        ("folder of class folders, products/", tuple(map(str, range(1000))), "other"),
        ("folder of class folders, photos/", tuple(words.IMAGENETTE), "imagenette"),
        (
            "folder of class folders, photos/",
            tuple(f"{n} {w}" for n, w in words.IMAGENETTE.items()),
            "imagenette",
        ),
        ("Hugging Face dataset frgfm/imagenette", tuple("abcdefghij"), "imagenette"),
        ("folder of class folders, cifar/", tuple(sorted(report.CIFAR10)), "cifar-10"),
        ("built-in photographs", ("astronaut", "cat"), "other"),
    ],
)
def test_the_task_of_a_run(source: str, classes: tuple[str, ...], expected: str) -> None:
    assert report.task(source, classes) == expected


@pytest.mark.parametrize("task", ["ilsvrc-2012", "imagenette", "cifar-10", "other"])
def test_the_papers_figures_are_called_another_task_unless_they_are_not(
    run: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "task", lambda source, classes: task)
    report.write(run)
    text = page_of(run).text
    assert "40.7" in text and "18.2" in text
    assert ("another task" in text) == (task != "ilsvrc-2012")
    assert ("not on the data of this run" in text) == (task != "ilsvrc-2012")
    assert ("AlexNet from scratch, the best found (images of 320 pixels, 30 epochs) 20.9" in text) == (
        task == "imagenette"
    )


# the recipe --------------------------------------------------------------------------------------------------------


def test_the_paper_differs_in_nothing() -> None:
    assert not [line for line in settings.settings(paper) if line.differs]


@pytest.mark.parametrize("name", sorted(recipes))
def test_every_recipe_has_a_table(name: str) -> None:
    lines = settings.settings(recipes[name])
    assert len({line.name for line in lines}) == len(lines)
    assert any(line.differs for line in lines) == (name != "paper")


def test_differences_are_marked_beside_the_papers_value() -> None:
    marked = {
        line.name: (line.value, line.paper) for line in settings.settings(recipes["authors-2012"]) if line.differs
    }
    assert marked["normalization"] == ("authors-2012", "paper")
    assert marked["epochs, at most"] == ("91", "90")
    assert "norm, pool, relu" in marked["conv1"][0] and "relu, norm, pool" in marked["conv1"][1]
    assert "std 0.03" in marked["conv4"][0]
    assert "fc7" not in marked


def changed(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value * 2 + 2
    if isinstance(value, LRN):
        return replace(value, k=1.0)
    if isinstance(value, tuple):
        return value[:-1] or ("conv1",)
    return {
        "paper": "none", "local": "none",
        "auto": "bf16", "image": "centre", "position": "centre", "plateau": "constant", "across": "column",
        "by-kind": "plain" , "rows": "authors-2012", "3/2": "2/2", "up": "down", "relu": "tanh", "mask": "inverted",
    }[str(value)]  # fmt: skip


FIELDS = [
    *[
        ("", field.name)
        for field in dataclasses.fields(paper)
        if field.name not in ("name", "network", "schedule", "augmentation")
    ],
    *[("network", field.name) for field in dataclasses.fields(networks.paper) if field.name != "name"],
    *[("augmentation", field.name) for field in dataclasses.fields(paper.augmentation)],
    *[("schedule", name) for name in ("kind", "factor", "times", "patience", "biases", "last_third")],
]


@pytest.mark.parametrize(("part", "field"), [pair for pair in FIELDS if pair[1] not in settings._PRACTICAL])
def test_no_difference_goes_unmarked(part: str, field: str) -> None:
    owner = getattr(paper, part) if part else paper
    value = changed(getattr(owner, field))
    if field == "order":
        value = "norm-relu-pool"
    if field == "biases":
        value = "once"
    altered = replace(owner, **{field: value})
    recipe = replace(paper, **{part: altered}) if part else altered
    assert [line for line in settings.settings(recipe) if line.differs]
