"""`alexnet export`: what it writes, what it says, and what it refuses."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.exchange import exports, runtimes
from alexnet.run import trained
from tests.conftest import CLASSES, prepare_pictures

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FORMATS: list[runtimes.Format] = ["onnx", "openvino"]


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> runtimes.Format:
    if request.param == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("nncf")
    return request.param


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("network*"))
    return tmp_path / "run"


def exported(capsys: pytest.CaptureFixture[str], *args: object) -> dict:
    capsys.readouterr()
    assert main(["export", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *args: object, code: int = 2) -> str:
    capsys.readouterr()
    assert main(["export", *map(str, args)]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def properties(file: Path) -> dict[str, str]:
    if file.suffix == ".onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}
    import openvino

    model = openvino.Core().read_model(str(file))
    return {key: model.get_rt_info(["alexnet", key]).value for key in model.get_rt_info(["alexnet"]).value}


def test_a_file_gives_the_runs_probabilities_and_says_what_it_is(
    format: runtimes.Format, run: Path, tiny_prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    said = exported(capsys, run, format)
    file = Path(said["file"])
    assert file == run / f"network{exports.SUFFIXES[format][0]}"
    assert said["bytes"] == sum(Path(part).stat().st_size for part in said["files"])
    assert max(said["probability_difference"], said["logit_difference"]) < 1e-4
    assert "held out of train" in said["compared"] and said["before"] is None
    # From pixels, as a reader of the file's properties would: the central crop, on 0-255, no mean.
    images = tiny_prepared.split("train").images[:7]
    pixels = np.ascontiguousarray(images[:, 2:30, 2:30].transpose(0, 3, 1, 2), np.float32)
    probabilities = runtimes.Loaded(file, format)(torch.from_numpy(pixels)).softmax(dim=1)
    torch.testing.assert_close(probabilities, trained.load(run).probabilities(images), rtol=1e-4, atol=1e-5)
    about = properties(file)
    assert tuple(json.loads(about["classes"])) == CLASSES
    assert "[N, 3, 28, 28]" in about["input"] and "mean is subtracted" in about["input"]
    assert about["preparation"] == "shorter side to 32 pixels, then the central 28x28"
    assert about["checkpoint"] == said["checkpoint"] and about["network"] == "tiny"


def test_int8_states_its_loss(format: runtimes.Format, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = exported(capsys, run, format, "--data", _data(run))
    said = exported(capsys, run, format, "--int8", "--views", 10)
    assert Path(said["file"]).name == f"network-int8{exports.SUFFIXES[format][0]}"
    assert said["int8"] and said["bytes"] < plain["bytes"]
    assert "24 images, 10 views" in said["measured"]
    for errors in (said["before"], said["after"]):
        assert errors["top1_error"] <= 25 and errors["top5_error"] == 0  # it has learned, and stays so
    assert about_int8(Path(said["file"]))
    assert main(["export", str(run), format, "--int8", "--out", str(run / f"x{exports.SUFFIXES[format][0]}")]) == 0
    text = capsys.readouterr().out
    assert "int8" in text and "top-1 error %" in text and "top-5" not in text  # of four classes


def _data(run: Path) -> str:
    return json.loads((run / "data.json").read_text())["path"]


def about_int8(file: Path) -> bool:
    """Whether weights of every kind of layer are stored in 8 bits, and normalization is not."""
    if file.suffix == ".onnx":
        import onnx

        weights = {w.name: w.data_type for w in onnx.load(str(file)).graph.initializer}
        int8 = [name for name, kind in weights.items() if kind == onnx.TensorProto.INT8]
        return (
            any("conv2.1" in n for n in int8) and any("fc5" in n for n in int8) and not any("norm" in n for n in int8)
        )
    import openvino

    operations = openvino.Core().read_model(str(file)).get_ops()
    constants = [op for op in operations if op.get_type_name() == "Constant"]
    int8 = [list(op.get_output_shape(0)) for op in constants if "int8" in str(op.get_output_element_type(0))]
    # conv1, both columns of conv2, conv3, fc4, fc5, fc6; and no 1x1 kernel, which is the band of a normalization.
    return len(int8) == 7 and not any(shape[2:] == [1, 1] for shape in int8)


def test_calibration_never_sees_an_image_that_validates(tiny_run: Path, tiny_prepared: Prepared) -> None:
    network = trained.load(tiny_run)
    from alexnet.run.images import validation_of

    _, held_out = validation_of(network.recipe, tiny_prepared)
    train = tiny_prepared.split("train")
    pixels = replace(network.preparation, mean=torch.zeros_like(network.preparation.mean))
    seen = exports._calibration(network, pixels, tiny_prepared)
    assert len(seen) == len(train.labels) - len(held_out)
    crops = train.images[:][held_out][:, 2:30, 2:30].transpose(0, 3, 1, 2).astype(np.float32)
    assert not {crop.tobytes() for crop in crops} & {image[0].tobytes() for image in seen}


def test_a_run_without_its_data_is_compared_on_noise(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "data.json").unlink()
    assert exported(capsys, run, "onnx")["compared"] == "32 images of noise"


def test_a_file_that_differs_is_not_kept(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(run.iterdir())
    real = runtimes.Loaded.forward
    for wrong in (1.001, float("nan")):
        monkeypatch.setattr(runtimes.Loaded, "forward", lambda self, pixels, wrong=wrong: real(self, pixels) * wrong)
        assert "not written" in refused(capsys, run, "onnx", code=1)
        assert sorted(run.iterdir()) == before


def test_an_old_file_is_replaced_and_nothing_else_is_left(
    format: runtimes.Format, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(capsys, run, format)
    files = sorted(run.iterdir())
    assert exported(capsys, run, format)["bytes"] > 0
    assert sorted(run.iterdir()) == files


def test_bad_input_is_refused_with_the_fix(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ends in .onnx" in refused(capsys, run, "onnx", "--out", tmp_path / "network.xml")
    assert "no folder" in refused(capsys, run, "onnx", "--out", tmp_path / "nowhere" / "network.onnx")
    assert "--views 3" in refused(capsys, run, "onnx", "--views", 3)
    assert "no recipe.json" in refused(capsys, tmp_path, "onnx")
    other = prepare_pictures(tmp_path / "other", 2, seed=3, kinds=CLASSES[:2])
    assert "its classes are not the run's" in refused(capsys, run, "onnx", "--data", other.path)
    (run / "data.json").write_text(json.dumps({"path": str(tmp_path / "gone")}))
    assert "say --data DIR" in refused(capsys, run, "onnx", "--int8")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert 'pip install "alexnet[export]"' in refused(capsys, run, "onnx")
