"""The paper's figures of a run, and the commands that draw them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.data.prepared import Prepared
from alexnet.insight import neighbours, predictions
from alexnet.run import trained
from alexnet.run.images import validation_of
from alexnet.run.predict import Prediction
from tests.conftest import CLASSES, picture, prepare_pictures


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run")


def command(*words: object) -> int:
    return cli.main([str(word) for word in words])


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert command(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


# which images --------------------------------------------------------------------------------------------------------


def test_the_images_shown_are_drawn_by_the_seed_of_different_classes(tiny_run: Path, tiny_prepared: Prepared) -> None:
    recipe = trained.load(tiny_run).recipe
    split, chosen = neighbours.drawn(recipe, tiny_prepared, 9)
    assert sorted(split.labels[chosen[:4]]) == [0, 1, 2, 3] and len(set(chosen)) == 9
    assert set(chosen) <= set(validation_of(recipe, tiny_prepared)[1])
    assert chosen.tolist() == neighbours.drawn(recipe, tiny_prepared, 9)[1].tolist()


def test_half_of_the_eight_are_mistakes_as_in_the_paper() -> None:
    labels = np.arange(40) % 10
    right = np.ones(40, bool)
    right[[5, 15, 12, 23, 30, 31]] = False
    chosen = predictions.choose(right, labels).tolist()
    assert chosen == [0, 1, 2, 3, 5, 30, 31, 12] or sorted(labels[chosen[:4]]) == [0, 1, 2, 3]
    assert right[chosen].tolist() == [True] * 4 + [False] * 4
    assert len(set(chosen)) == 8


def test_classes_are_different_as_far_as_there_are_so_many() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert sorted(labels[predictions.choose(labels % 2 == 0, labels)]) == list(range(8))


@pytest.mark.parametrize(
    ("right", "expected"), [([True] * 9, 8), ([False] * 9, 8), ([True] * 6 + [False] * 2, 8), ([True], 1)]
)
def test_one_kind_fills_the_places_of_the_other(right: list[bool], expected: int) -> None:
    chosen = predictions.choose(np.array(right), np.zeros(len(right), int))
    assert len(set(chosen.tolist())) == len(chosen) == expected
    assert np.array(right)[chosen].tolist() == sorted(np.array(right)[chosen].tolist(), reverse=True)


# the commands --------------------------------------------------------------------------------------------------------


def test_predictions_of_files_are_told_as_they_are_made_and_drawn(run: Path, tmp_path: Path) -> None:
    Image.fromarray(picture("bars", np.random.default_rng(0), 50)).save(tmp_path / "bars.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    told: list[str] = []
    names = [str(tmp_path / name) for name in ("bad.png", "bars.png")]
    result = predictions.predict(
        run, ["-"], 1, tmp_path / "p.svg", "cpu", listed=names, progress=lambda answer: told.append(answer.image)
    )
    assert (
        told == names
        and result.read == 1
        and [set(row) for row in result.to_dict()] == [{"run", "image", "error"}, {"run", "image", "labels"}]
    )
    expected = trained.load(run).predict(names[1])
    assert isinstance(expected, Prediction) and result.predictions[1].top == expected.top
    assert result.picture == tmp_path / "p.svg" and "<svg" in result.picture.read_text()


def test_all_figures_at_once(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = answer(capsys, "figures", run, "--out", tmp_path / "out", "--format", "svg")["pictures"]
    names = ["fig3-kernels.svg", "fig4-labels.svg", "fig4-similar.svg", "activations.svg", "units.svg"]
    assert [Path(path).name for path in written] == names
    assert all("<svg" in Path(path).read_text() for path in written)
    assert list((run / "features").glob("train-step-*.bin"))


def test_similar_images_of_files(
    run: Path, tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = np.setdiff1d(np.arange(96), validation_of(trained.load(run).recipe, tiny_prepared)[1])
    split = tiny_prepared.split("train")
    Image.fromarray(split.images[searched[7]]).save(tmp_path / "known.png")
    target = tmp_path / "similar.pdf"
    document = answer(capsys, "similar", run, tmp_path / "known.png", "--count", 3, "--picture", target, "--no-keep")
    (query,) = document["images"]
    assert query["image"] == str(tmp_path / "known.png") and query["class"] is None and document["searched"] == 72
    assert query["neighbours"][0]["index"] == searched[7] and query["neighbours"][0]["distance"] < 1e-3
    assert query["neighbours"][0]["file"] == split.files[searched[7]] and len(query["neighbours"]) == 3
    assert target.read_bytes().startswith(b"%PDF") and not (run / "features").exists()


def test_similar_images_of_the_validation_set(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "similar", run, "--sample", 3, "--picture", tmp_path / "similar.png")
    assert len({query["class"] for query in document["images"]}) == 3
    agree = [near["class"] == query["class"] for query in document["images"] for near in query["neighbours"]]
    assert len(agree) == 18 and sum(agree) > 9, "a network that learned these classes finds their like"
    assert command("similar", run, "--sample", 1, "--picture", tmp_path / "similar.png") == 0
    assert document["images"][0]["neighbours"][0]["file"] in capsys.readouterr().out


def test_activations_of_a_file(run: Path, tmp_path: Path) -> None:
    Image.fromarray(picture("bars", np.random.default_rng(0), 50)).save(tmp_path / "bars.png")
    assert command("activations", run, tmp_path / "bars.png", tmp_path / "drawn.png") == 0
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.width > 2000


def test_units_of_a_layer(
    run: Path, tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answer(
        capsys, "units", run, tmp_path / "u.png", "--layer", "conv1", "--units", 3, 0, "--count", 4, "--split", "train"
    )
    assert document["field"] == {"size": 5, "stride": 2, "start": 0} and document["images"] == 96
    assert [unit["unit"] for unit in document["units"]] == [3, 0]
    network, split = trained.load(run), tiny_prepared.split("train")
    maps = network.network.activations(network.prepare(split.images[:]))["relu1"].detach()
    for unit in document["units"]:
        highest = maps[:, unit["unit"]].flatten(1).max(dim=1).values
        assert [patch["activation"] for patch in unit["patches"]] == pytest.approx(
            highest.sort(descending=True).values[:4].tolist(), rel=1e-4
        )
    others = answer(capsys, "units", run, tmp_path / "u.png")
    assert others["layer"] == "conv3" and others["split"] == "held out of train" and len(others["units"]) == 12
    assert answer(capsys, "units", run, tmp_path / "u.png", "--layer", "fc6")["layer"] == "fc6"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("similar", "--picture", "a.gif"), ["a.gif", ".svg"]),
        (("similar", "--count", 0), ["--count 0"]),
        (("similar", "--sample", 0), ["--sample 0"]),
        (("similar", "--split", "test"), ["test", "train"]),
        (("activations", "nowhere.jpg"), ["nowhere.jpg"]),
        (("activations", "nowhere.jpg", "a.txt"), ["a.txt", ".svg"]),
        (("units", "--layer", "conv4"), ["--layer conv4", "conv1, conv2, conv3, fc4, fc5, fc6"]),
        (("units", "--layer", "fc6", "--units", 4), ["--units 4", "0 to 3"]),
        (("units", "--count", 0), ["--count 0"]),
        (("units", "a.jpg"), ["a.jpg", ".svg"]),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    words: tuple, said: list[str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.name != "features"}
    assert command(words[0], run, *words[1:]) == 2
    complaint = " ".join(capsys.readouterr().err.split())
    assert all(word in complaint for word in said), complaint
    assert {path for path in tmp_path.rglob("*") if path.name != "features"} == before


def test_similar_goes_on_after_an_image_that_cannot_be_read_and_its_exit_code_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    named = (tmp_path / "bad.png", tmp_path / "good.png")
    assert command("similar", run, *named, "--picture", tmp_path / "s.png", "--json") == 3
    said = capsys.readouterr()
    assert [set(image) for image in json.loads(said.out)["images"]] == [
        {"image", "class", "neighbours"},
        {"image", "error"},
    ]
    assert "bad.png: not an image" in said.err and (tmp_path / "s.png").is_file()
    assert command("similar", run, "nowhere.jpg", "--picture", tmp_path / "none.png", "--json") == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["images"] == [{"image": "nowhere.jpg", "error": "No such file or directory"}]
    assert not (tmp_path / "none.png").exists()


def test_data_of_other_classes_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = prepare_pictures(tmp_path / "other", 2, seed=0, kinds=CLASSES[:3])
    for words in (("similar",), ("units",), ("figures",)):
        assert command(*words, run, "--data", other.path) == 2
        assert "its classes are not the run's" in " ".join(capsys.readouterr().err.split())
