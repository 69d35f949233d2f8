"""`alexnet push`: a network and its card in one commit, that come back as they were; the card tells what the run tells."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import alexnet
from alexnet.cli import main
from alexnet.data import prepare, sources
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.exchange import model_card
from alexnet.insight import report
from alexnet.insight.evaluate import evaluate
from alexnet.network.summary import summarize
from alexnet.run import network_file
from alexnet.run.locate import public_name
from alexnet.run.recipe import Recipe
from alexnet.training import train
from tests.conftest import CLASSES, SIZE, prepare_pictures

pytest.importorskip("huggingface_hub")

from huggingface_hub import ModelCard, errors  # noqa: E402

from tests.hub import Hub, answer  # noqa: E402

NAME = "someone/photos"


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("network*", "evaluation-*"))


def pushed(capsys: pytest.CaptureFixture[str], *words: Any) -> dict[str, Any]:
    assert main(["push", *map(str, words), "--json"]) == 0, capsys.readouterr().err
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def card_of(run: Path, folder: Path, **options: Any) -> str:
    alexnet.push(run, NAME, folder=folder, **options)
    return (folder / "README.md").read_text()


def section(card: str, title: str) -> str:
    return card.partition(f"## {title}\n")[2].partition("\n## ")[0]


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("int8", [False, True])
def test_what_was_pushed_comes_back(
    int8: bool,
    run: Path,
    hub: Hub,
    tiny_prepared: Prepared,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = pushed(capsys, run, NAME, *(["--int8"] if int8 else []), "--message", "the first")
    files = hub.files(NAME)
    assert {file.name for file in files.iterdir()} == {"model.safetensors", "README.md"}
    assert said["commit"] == hub.branches[NAME]["main"] and said["url"].endswith(NAME) and hub.messages == ["the first"]
    assert said["sha256"] == hashlib.sha256((files / "model.safetensors").read_bytes()).hexdigest()
    assert said["bytes"] == (files / "model.safetensors").stat().st_size and said["int8"] is int8
    assert said["after"] and said["file"] == "model.safetensors" and said["folder"] is None
    alexnet.exchange.export(run, "alexnet", run / "there.safetensors", int8=int8)
    images = tiny_prepared.split("train").images[:24]
    wanted = alexnet.load(run / "there.safetensors").probabilities(images)
    assert torch.equal(alexnet.load(f"hf:{NAME}").probabilities(images), wanted)
    assert torch.equal(alexnet.from_pretrained(NAME).probabilities(images), wanted)


def test_a_branch_is_made_and_others_stay(run: Path, hub: Hub) -> None:
    first = alexnet.push(run, NAME)
    second = alexnet.push(run, NAME, revision="int8", int8=True, private=False)
    assert hub.branches[NAME] == {"main": first.commit, "int8": second.commit}
    assert alexnet.load(f"hf:{NAME}@int8").checkpoint == alexnet.load(f"hf:{NAME}@{first.commit}").checkpoint
    assert f"hf:{NAME}@int8 photo.jpg" in (hub.files(NAME, "int8") / "README.md").read_text()
    assert hub.private == set()


def test_a_network_of_the_hub_can_go_on_to_another_place(run: Path, hub: Hub) -> None:
    alexnet.push(run, NAME, int8=True)
    alexnet.push(Path(f"hf:{NAME}"), "hf:other/photos", private=True)
    card = (hub.files("other/photos") / "README.md").read_text()
    assert "Trained on: not known, as it was written from a network file." in card
    assert "Of this file: not measured." in card and "the file that this one was made of, as it says" in card
    assert "model-index" not in card and hub.private == {"other/photos"}


def test_the_command_says_where_it_is_and_what_it_cost(
    run: Path,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["push", str(run), NAME, "--int8"]) == 0
    text = capsys.readouterr().out
    assert (
        f"https://hub.invalid/{NAME}, commit {hub.branches[NAME]['main']}\nmodel.safetensors, README.md: 0.0 MB" in text
    )
    assert "SHA-256" in text and "top-1 error %" in text
    (run / "data.json").unlink()
    assert main(["push", str(run), NAME, "--folder", str(tmp_path / "card")]) == 0
    captured = capsys.readouterr()
    assert "card: nothing was uploaded" in captured.out and "--data DIR measures them" in captured.err


def test_into_a_folder_nothing_is_uploaded(run: Path, hub: Hub, tmp_path: Path) -> None:
    hub.token, hub.refusal = None, AssertionError("it was asked")
    done = alexnet.push(run, NAME, folder=tmp_path / "new" / "card")
    assert done.folder == tmp_path / "new" / "card" and done.url is done.commit is None
    assert {file.name for file in done.folder.iterdir()} == {"model.safetensors", "README.md"}
    assert alexnet.from_pretrained(done.folder).measured == network_file.read(done.exported.file).measured is not None
    with pytest.raises(InputError, match="there is something already"):
        alexnet.push(run, NAME, folder=done.folder)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "photos"}, "photos: no repository of the Hugging Face hub; write OWNER/NAME"),
        ({"name": "some--one/photos", "token": None}, "^hf:some--one/photos: the hub could not do it .*Cannot have --"),
        ({"name": f"{NAME}@v1"}, "the branch to write is --revision v1; leave out @v1$"),
        ({"revision": "a`b"}, "someone/photos@a`b: no repository"),
        ({"views": 3}, "views"),
        ({"refusal": answer(errors.HfHubHTTPError, 403)}, rf"^hf:{NAME}: the hub refuses it \(403\); log in"),
        ({"refusal": answer(errors.RepositoryNotFoundError, 404)}, "no such repository, or a private one"),
        ({"refusal": errors.OfflineModeIsEnabled("off")}, rf"^hf:{NAME}: HF_HUB_OFFLINE is set; unset it$"),
        ({"refusal": ConnectionError("Name or service\nnot known")}, r"\(Name or service not known\).*try again"),
        ({"refusal": ValueError('Invalid metadata in README.md.\n- "license" must be one of')}, '"license" must be'),
        ({"token": None}, "you are not logged in.*hf auth login, or a token in HF_TOKEN; --folder DIR uploads nothing"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(
    options: dict[str, Any],
    message: str,
    run: Path,
    hub: Hub,
) -> None:
    hub.token, hub.refusal = options.pop("token", "hf_token"), options.pop("refusal", None)
    before = sorted(run.iterdir())
    with pytest.raises(InputError, match=message) as raised:
        alexnet.push(run, options.pop("name", NAME), **options)
    assert "\n" not in str(raised.value) and hub.messages == [] and sorted(run.iterdir()) == before


def test_a_public_repository_gets_nothing_that_is_to_be_private(run: Path, hub: Hub) -> None:
    hub.put(NAME, {})
    with pytest.raises(InputError, match="--private: someone/photos is there and public"):
        alexnet.push(run, NAME, private=True)
    assert hub.messages == []


def test_without_its_package_the_extra_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["push", str(run), NAME, "--folder", str(run / "card")]) == 2
    assert 'huggingface_hub: pip install "alexnet[hub]"' in capsys.readouterr().err


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_tells_what_the_run_tells(run: Path, tmp_path: Path) -> None:
    evaluate(run)
    text = card_of(run, tmp_path / "card", license="cc-by-4.0", views=10, int8=True)
    trained = alexnet.load(run)
    assert f"`tiny`: {summarize(trained.recipe.network).parameters:,} parameters. It sees 28×28 pixels" in text
    assert "- conv1: 16 kernels, 5×5, stride 2" in section(text, "Network")
    assert section(text, "4 classes").strip() == ", ".join(CLASSES)
    training = section(text, "Training")
    assert "folder of class folders, pictures/; 72 images for 12 epochs, beside 24 that validated it." in training
    assert "Recipe `tiny`: at most 12 epochs in batches of 16, seed 0" in training
    assert "differs from the package's recipe `paper` in" in training and "- batch: 16 (not 128)" in training
    assert "conv1" not in training, "the network's differences are told once"
    for row in ("this file |", "before its weights were brought to 8 bits |", "the run, by `alexnet evaluate`, "):
        assert f"| {row}" in section(text, "Error")
    assert "top-5" not in text, "of four classes every answer is among the first five"
    assert "expected calibration error is" in section(text, "Limits") and "one of its 4 classes" in text
    assert f'alexnet.from_pretrained("{NAME}")' in text and f"alexnet predict hf:{NAME} photo.jpg" in text
    file = tmp_path / "card" / "model.safetensors"
    origin = section(text, "Origin")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in origin and f"alexnet {alexnet.__version__}" in origin
    assert f"`{trained.checkpoint}`" in origin and "licence" not in origin


def test_a_card_tells_of_weights_to_begin_with(
    run: Path, tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    start = alexnet.load(run).network.state_dict()
    train(replace(tiny_recipe, epochs=1), tiny_prepared, tuned, start_from=start)
    assert "It began with the weights of another network" in card_of(tuned, tmp_path / "card")
    named = replace(tiny_recipe, epochs=1)
    train(named, tiny_prepared, tmp_path / "named", start_from=start, start_name=public_name(f"hf:{NAME}"))
    assert f"It began with the weights of `hf:{NAME}`" in card_of(tmp_path / "named", tmp_path / "card-of-named")
    page = report.write(tmp_path / "named", tiny_prepared).read_text()
    assert f"The run began with the weights of hf:{NAME}." in page
    assert "another network" not in section(card_of(run, tmp_path / "new"), "Training")
    document = json.loads((run / "data.json").read_text())
    del document["pretrained"]  # as in a run of an earlier version
    (run / "data.json").write_text(json.dumps(document))
    assert "Whether it began with the weights of another network, the run does not tell." in card_of(
        run, tmp_path / "old"
    )


def test_the_hub_reads_the_front_matter(run: Path, tmp_path: Path) -> None:
    data = ModelCard(card_of(run, tmp_path / "card", views=10)).data
    measured = network_file.read(tmp_path / "card" / "model.safetensors").measured
    assert measured is not None and data.license is None and data.library_name == "alexnet"
    assert data.pipeline_tag == "image-classification" and data.datasets is None and data.model_name == "photos"
    (result,) = data.eval_results
    assert result.metric_value == pytest.approx(measured.top1_error, abs=0.005)
    assert result.metric_name == "top-1 error, %, 10 views, 24 images" and result.dataset_split == "held out of train"
    assert ModelCard(card_of(run, tmp_path / "licensed", license="mit")).data.license == "mit"


def test_nothing_is_told_that_was_not_measured(run: Path, tmp_path: Path) -> None:
    (run / "data.json").unlink()
    (run / "metrics.jsonl").unlink()
    text = card_of(run, tmp_path / "card")
    assert "Trained on: not known" in text and section(text, "Error").strip() == "Not measured."
    assert "Whether its probabilities mean what they say was not measured." in text and "No licence is stated." in text
    assert "model-index" not in text and "model_name" not in text and "images for" not in text


def test_an_evaluation_of_other_weights_is_not_told(run: Path, tmp_path: Path) -> None:
    evaluate(run)
    (file,) = run.glob("evaluation-*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"checkpoint": "step-00000001"}))
    assert "by `alexnet evaluate`" not in card_of(run, tmp_path / "card")


def test_an_evaluation_on_other_data_names_it(run: Path, tmp_path: Path) -> None:
    evaluate(run, prepare_pictures(tmp_path / "street", 6, seed=5).path)
    errors = section(card_of(run, tmp_path / "card"), "Error")
    assert "| held out of train, folder of class folders, pictures/ | 8 |" in errors


@pytest.mark.parametrize("place", ["folder", "builtin"])
def test_no_path_of_this_machine_is_told(place: str, tiny_recipe: Recipe, tmp_path: Path) -> None:
    if place == "folder":
        dataset = prepare_pictures(tmp_path / "secret", 6, seed=5)
    else:
        dataset = prepare.prepare(sources.open_source("builtin"), tmp_path / "secret" / "data", size=SIZE, workers=1)
    run = tmp_path / "run"
    train(replace(tiny_recipe, epochs=1), dataset, run)
    assert str(tmp_path) in (run / "data.json").read_text()
    text = card_of(run, tmp_path / "card")
    assert ("built-in photographs" if place == "builtin" else "folder of class folders, pictures/") in text
    for file in (tmp_path / "card").iterdir():
        content = file.read_bytes()
        assert b"secret" not in content and tmp_path.name.encode() not in content and b"/tmp" not in content


@pytest.mark.parametrize(
    "description",
    ["photos of /srv/me/x", "/srv/me", "Hugging Face dataset ./me", "list, ~/me/a.csv", r"C:\me\x", "at file:///me"],
)
def test_a_source_that_names_a_place_is_not_told(description: str) -> None:
    assert model_card._source(description) == "files of its owner's machine"


def test_a_dataset_of_the_hub_is_linked_and_listed(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "data.json").read_text())
    document["source"]["description"] = "Hugging Face dataset frgfm/imagenette:320px, 4 of its 10 classes"
    (run / "data.json").write_text(json.dumps(document))
    text = card_of(run, tmp_path / "card")
    assert "https://huggingface.co/datasets/frgfm/imagenette)" in text
    assert ModelCard(text).data.datasets == ["frgfm/imagenette"]


def test_names_of_others_are_text_and_nothing_else(run: Path, tmp_path: Path) -> None:
    names = ["<img src=x>", "a|b`c\n\n# d", "[e](http://f)", "*g*"]
    (run / "data.json").unlink()
    (run / "classes.json").write_text(json.dumps(names))
    assert section(card_of(run, tmp_path / "card"), "4 classes").strip() == (
        r"\<img src=x\>, a\|b\`c\\n\\n\# d, \[e\](http://f), \*g\*"
    )


def test_of_many_classes_the_first_are_listed() -> None:
    names = [f"class {number}" for number in range(51)]
    assert model_card._classes(names[:50]) == ", ".join(names[:50])
    assert model_card._classes(names) == ", ".join(names[:10]) + ", …"


def test_imported_weights_are_not_said_to_be_trained_on_the_data_they_came_with(
    starter: Path, tiny_prepared: Prepared, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    assert main(["import", "starter", "--data", str(tiny_prepared.path), "--out", str(out)]) == 0
    text = card_of(out, tmp_path / "card")
    assert "Trained on: not known; its run does not tell" in text and "| this file | held out of train" in text
    assert ModelCard(text).data.datasets is None
