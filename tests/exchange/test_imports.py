"""An imported run folder is a run: every command works on it, and nothing is left of one that was refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from alexnet import exchange
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.exchange import caffe_write, foreign, imports, inputs, torchvision
from alexnet.exchange.inputs import Input
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.run import checkpoint, trained
from tests.conftest import TINY_NETWORK

from .making import caffe_layers, caffemodel, prototxt, write
from .test_caffe import imported, refused


@pytest.fixture
def exported(tiny_run: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """The tiny run as files of Caffe: weights, structure, mean."""
    assert main(["export", str(tiny_run), "caffe", "--out", str(tmp_path / "n.caffemodel")]) == 0
    return tmp_path / "n.caffemodel", tmp_path / "n.prototxt", tmp_path / "n-mean.binaryproto"


def test_out_and_in_again_through_caffe(
    exported: tuple[Path, Path, Path],
    tiny_run: Path,
    tiny_prepared: Prepared,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, text, mean = exported
    out = tmp_path / "run"
    said = imported(capsys, model, text, "--mean", mean, "--data", tiny_prepared.path, "--out", out)
    assert said["logit_difference"] < 1e-5
    before, after = trained.load(tiny_run), trained.load(out)
    images = tiny_prepared.split("train").images[:9]
    torch.testing.assert_close(after.probabilities(images, 10), before.probabilities(images, 10), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.mean.numpy(), before.mean.numpy())
    # A window over the edge, which Caffe does not have: a larger kernel whose first rows are zeros, and more padding.
    overhang, first = before.network.windows["conv1"].overhang, before.recipe.network.convolutions[0]
    assert overhang == 1 and first.padding == 0
    assert f"kernel_size: {first.size + 1}" in text.read_text() and "pad: 1" in text.read_text()
    assert (after.recipe.network.convolutions[0].size, after.recipe.network.convolutions[0].padding) == (first.size, 0)
    assert torch.equal(after.network.get_parameter("conv1.weight"), before.network.get_parameter("conv1.weight"))


def test_every_command_takes_it(
    exported: tuple[Path, Path, Path], tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, text, mean = exported
    out, data = tmp_path / "run", str(tiny_prepared.path)
    imported(capsys, model, text, "--mean", mean, "--data", data, "--out", out)
    photograph = next((tiny_prepared.path.parent / "pictures").rglob("*.png"))
    tuned = ["--from", str(out), "--data", data, "--out", str(tmp_path / "tuned"), "--epochs", "1", "--device", "cpu"]
    for command in (
        ["evaluate", str(out)],
        ["predict", str(out), str(photograph)],
        ["similar", str(out), str(photograph), "--picture", str(tmp_path / "similar.png")],
        ["report", str(out)],
        ["doctor", str(out)],
        ["export", str(out), "caffe"],
        ["train", *tuned],
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    capsys.readouterr()
    assert main(["doctor", str(out)]) == 0
    assert "weights imported from" in capsys.readouterr().out
    evaluation = json.loads((out / "evaluation-held-out-of-train-1views.json").read_text())
    assert evaluation["top1_error"] < 50  # what it learned has come over
    assert checkpoint.newest(out).name == "step-00000000"


def test_python_imports_and_exports_as_the_commands_do(tiny_run: Path, tiny_prepared: Prepared, tmp_path: Path) -> None:
    exported = exchange.export(tiny_run, "caffe", tmp_path / "n.caffemodel")
    assert [file.name for file in exported.files] == ["n.prototxt", "n-mean.binaryproto", "n.caffemodel"]
    document = json.loads(json.dumps(exported.to_dict()))
    assert document["format"] == "caffe" and "B" in document["takes"]
    assert document["probability_difference"] == exported.difference.probability < 1e-6
    out = tmp_path / "run"
    files = [tmp_path / "n.caffemodel", tmp_path / "n.prototxt"]
    mean = str(tmp_path / "n-mean.binaryproto")
    imported = exchange.import_weights(files, out, mean=mean, data=tiny_prepared.path, name="again")
    assert (imported.run, imported.kind, imported.network, imported.classes) == (out, "caffe", "again", 4)
    assert list(imported.to_dict()) == [
        *("run", "kind", "network", "classes", "notes", "by"),
        *("probability_difference", "logit_difference"),
    ]
    assert trained.load(out).classes == trained.load(tiny_run).classes
    with pytest.raises(InputError, match="there is something already"):
        exchange.import_weights(files, out, mean=mean)
    with pytest.raises(InputError, match="needs a FILE"):
        exchange.import_weights([], tmp_path / "other")
    with pytest.raises(InputError, match="import_layers makes a network of it"):
        exchange.import_weights(files[:1], tmp_path / "other", kind="cuda-convnet")
    with pytest.raises(InputError, match="float32 weights"):
        exchange.export(tiny_run, "torchvision", int8=True)


def test_without_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    imported(capsys, model, "--mean", "104,117,123", "--out", tmp_path / "run")
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "its weights are imported" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "no prepared dataset at" in capsys.readouterr().err


def test_classes_of_other_data_are_refused(
    tmp_path: Path, tiny_prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    err = refused(capsys, tmp_path / "run", model, "--mean", "104,117,123", "--data", tiny_prepared.path)
    assert "4 classes, the network has 5" in err


def test_a_network_that_computes_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    real = foreign.as_run

    def swapped(network: Network, weights: dict, takes: Input, image_size: int | None) -> tuple:
        return real(network, weights, Input("rgb", takes.mean[::-1], takes.scale), image_size)

    monkeypatch.setattr(foreign, "as_run", swapped)  # as if RGB had been taken for BGR
    assert "not imported: the probabilities differ" in refused(capsys, tmp_path / "run", model, "--mean", "104,117,123")


def test_safetensors_are_known_by_their_bytes_under_any_name(tmp_path: Path) -> None:
    for name in ("weights", "weights.pth", "weights.safetensors"):
        save_file({"features.0.bias": torch.ones(3)}, tmp_path / name)
        assert foreign.kind_of([tmp_path / name]) == "torchvision"
        assert torch.equal(torchvision.read(tmp_path / name)["features.0.bias"], torch.ones(3))


def test_files_are_told_by_how_they_begin(tmp_path: Path) -> None:
    layers = caffe_layers()
    for content, kind in ((caffemodel(layers), "caffe"), (b"PK\x03\x04", "torchvision"), (b"\x08\x07", "onnx")):
        assert foreign.kind_of([write(tmp_path / "weights", content)]) == kind
    assert foreign.kind_of([write(tmp_path / "d.prototxt", prototxt(layers))]) == "caffe"
    with pytest.raises(InputError, match="say --kind"):
        foreign.kind_of([write(tmp_path / "weights", b"\x00\x01")])


@pytest.mark.parametrize("shape", [(3,), (3, 28, 28), (3, 40, 40), (3, 64, 64)])
def test_a_mean_of_any_size_is_subtracted_under_the_crop(shape: tuple[int, ...], tiny_run: Path) -> None:
    network = trained.load(tiny_run).network
    mean = np.random.default_rng(0).uniform(80, 120, shape).astype(np.float32)
    takes = Input("bgr", mean, (0.5, 0.25, 0.125))
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    spec, weights, image = inputs.as_run(network.spec, weights, takes, 40)
    assert image.shape == (40, 40, 3) and spec.input_scale == pytest.approx(0.875 / 3)

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        start = (shape[-1] - 28) // 2 if len(shape) == 3 else 0
        cropped = mean[:, start : start + 28, start : start + 28] if len(shape) == 3 else mean[:, None, None]
        images = pixels.flip(1) - torch.from_numpy(np.ascontiguousarray(cropped))
        return network(images * torch.tensor([0.5, 0.25, 0.125])[:, None, None])

    original = foreign.Foreign(spec, weights, image, (), logits, "the tests")
    assert imports.compare(original.module(), original).logit < 1e-5
    pixels = torch.randint(256, (2, 3, 28, 28), generator=torch.Generator().manual_seed(1)).float()
    torch.testing.assert_close(network(takes.from_pixels(pixels, 40, 28)), logits(pixels))


def _own_columns(folder: Path) -> None:
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["network"]["normalization_window"] = "column"
    (folder / "recipe.json").write_text(json.dumps(recipe))


def _tanh_behind_dropout(folder: Path) -> None:
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["network"]["hidden"][0]["then"] = ["dropout", "relu"]
    recipe["network"]["activation"] = "tanh"
    (folder / "recipe.json").write_text(json.dumps(recipe))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_own_columns, "norm1: its sum stays inside a column"),
        (_tanh_behind_dropout, "tanh4: dropout stands before it"),
    ],
)
def test_what_caffe_cannot_compute_is_named(
    change: Callable[[Path], None], expected: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    change(tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    assert main(["export", str(tmp_path / "run"), "caffe"]) == 2
    assert expected in capsys.readouterr().err and sorted((tmp_path / "run").iterdir()) == before
    assert main(["export", str(tmp_path / "run"), "caffe", "--int8"]) == 2
    assert "float32 weights" in capsys.readouterr().err


def test_pooling_that_leaves_pixels_unread_is_named() -> None:
    down = replace(TINY_NETWORK, rounding="down", input_size=39)
    with pytest.raises(InputError, match="pool1: it leaves 1 of 18 pixels unread"):
        caffe_write.message_of(AlexNet(down))
