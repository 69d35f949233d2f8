"""`alexnet export RUN alexnet` and back: what fewer bits cost is measured, and what comes back is a run for every command."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import exchange
from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.errors import RunFailed
from alexnet.exchange import network_files
from alexnet.run import folder, growth, network_file, trained
from tests.conftest import CLASSES, prepare_pictures

from .test_caffe import imported
from .test_caffe import refused as not_imported
from .test_exports import exported, refused


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("network*"))


@pytest.mark.parametrize("int8", [False, True])
def test_a_file_says_what_its_bits_cost(int8: bool, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = exported(capsys, run, "alexnet", "--views", 10, *(["--int8"] if int8 else []), "--note", "of tests")
    file = Path(said["file"])
    assert file == run / ("network-int8.safetensors" if int8 else "network.safetensors")
    assert said["files"] == [str(file)] and said["bytes"] == file.stat().st_size and said["int8"] is int8
    assert said["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert 0 < said["probability_difference"] < 0.05 and "24 images, 10 views" in said["measured"]
    assert said["before"]["top1_error"] <= said["after"]["top1_error"] <= 25
    read = network_file.read(file)
    assert read.measured == network_file.Measured(**said["after"], views=10, images=24) and read.note == "of tests"
    assert list(read.kernels) == growth.epochs(run)
    assert exported(capsys, run, "alexnet", "--views", 10, *(["--int8"] if int8 else []), "--note", "of tests") == said
    assert main(["export", str(run), "alexnet"]) == 0
    text = capsys.readouterr().out
    assert "SHA-256" in text and "the file against the run's own network" in text and "top-1 error %" in text


def test_int8_is_half_as_large(run: Path) -> None:
    halves, octets = (exchange.export(run, "alexnet", run / f"{int8}.safetensors", int8=int8) for int8 in (False, True))
    numbers = sum(weight.numel() for weight in trained.load(run).network.parameters() if weight.ndim > 1)
    assert numbers * 0.9 < halves.bytes - octets.bytes < numbers


def test_without_data_nothing_is_measured(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "data.json").unlink()
    said = exported(capsys, run, "alexnet", "--int8")
    assert said["compared"] == "32 images of noise" and said["measured"] is said["before"] is None
    assert network_file.read(Path(said["file"])).measured is None


def test_a_file_that_is_read_as_something_else_is_not_kept(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "data.json").unlink()
    before = sorted(run.iterdir())
    real, reads = network_file.read, []

    def other(file: Path) -> network_file.Contents:
        contents = real(file)
        contents.weights["fc4.bias"] += 1e-6 * len(reads)
        reads.append(file)
        return contents

    monkeypatch.setattr(network_file, "read", other)
    assert "read as something else" in refused(capsys, run, "alexnet", code=1)
    assert sorted(run.iterdir()) == before


def test_bad_input_is_refused_with_the_fix(
    run: Path, starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ends in .safetensors" in refused(capsys, run, "alexnet", "--out", tmp_path / "n.pth")
    assert "have no place for it" in refused(capsys, run, "caffe", "--note", "of tests")
    assert "say where to: --out FILE" in refused(capsys, "starter", "alexnet")
    other = prepare_pictures(tmp_path / "other", 2, seed=3, kinds=CLASSES[:2])
    assert "its classes are not the run's" in refused(capsys, run, "alexnet", "--data", other.path)
    assert "--data DIR" in refused(capsys, starter, "onnx", "--int8", "--out", tmp_path / "n.onnx")


def test_weights_that_make_nan_are_not_kept(run: Path) -> None:
    network = trained.load(run)
    with torch.no_grad():
        for weight in network.network.parameters():
            weight.fill_(3e38)
    with pytest.raises(RunFailed, match="answers with NaN"):
        network_files.write(network, run / "n.safetensors", None, False, 1, "", lambda *_: None)


# --- and back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["file", "starter"])
def test_a_run_folder_again(
    given: str,
    starter: Path,
    tiny_prepared: Prepared,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, reads, real = tmp_path / "again", [], network_file.read
    monkeypatch.setattr(network_file, "read", lambda file: reads.append(file) or real(file))
    said = imported(capsys, starter if given == "file" else "starter", "--data", tiny_prepared.path, "--out", out)
    assert reads == [starter], "it is read once"
    assert said["kind"] == "alexnet" and said["classes"] == 4 and said["probability_difference"] == 0
    assert "step 0" in said["notes"][0] and "top-1 error" in said["notes"][1] and said["notes"][2] == "made in tests"
    before, after = trained.load(starter), trained.load(out)
    images = tiny_prepared.split("train").images[:9]
    assert torch.equal(after.probabilities(images, 10), before.probabilities(images, 10))
    assert after.recipe == before.recipe and after.classes == before.classes
    assert growth.epochs(out) == growth.epochs(starter)
    np.testing.assert_array_equal(growth.read(out, 12), growth.read(starter, 12))
    covariance = folder.statistics_of(out)[1]
    np.testing.assert_allclose(covariance, tiny_prepared.covariance, rtol=1e-3)


def test_every_command_takes_it(
    starter: Path, tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = str(tmp_path / "again"), str(tiny_prepared.path)
    assert main(["import", "starter", "--data", data, "--out", out]) == 0
    photograph = str(next((tiny_prepared.path.parent / "pictures").rglob("*.png")))
    for command in (
        ["evaluate", out],
        ["predict", out, photograph],
        ["similar", out, photograph, "--picture", str(tmp_path / "similar.svg")],
        ["report", out],
        ["doctor", out],
        ["export", out, "alexnet"],
        ["train", "--from", out, "--data", data, "--out", str(tmp_path / "tuned"), "--epochs", "1", "--device", "cpu"],
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    evaluation = json.loads((tmp_path / "again" / "evaluation-held-out-of-train-1views.json").read_text())
    measured = trained.load(starter).measured
    assert measured is not None and evaluation["top1_error"] == pytest.approx(measured.top1_error, abs=5)


def test_what_does_not_fit_is_refused_and_nothing_is_left(
    tiny_file: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again"
    other = prepare_pictures(tmp_path / "other", 2, seed=3, kinds=CLASSES[:2])
    assert "says all of itself" in not_imported(capsys, out, tiny_file, "--mean", "1,2,3")
    assert "give no other beside it" in not_imported(capsys, out, tiny_file, tiny_file)
    assert "its classes are not those of" in not_imported(capsys, out, tiny_file, "--data", other.path)
    (tmp_path / "cut.safetensors").write_bytes(tiny_file.read_bytes()[:-1])
    assert "cut.safetensors" in not_imported(capsys, out, tmp_path / "cut.safetensors")
    shutil.copytree(tiny_run, out)
    assert "there is something already" in not_imported(capsys, out, tiny_file)
