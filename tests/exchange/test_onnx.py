"""ONNX graphs in: ours, Caffe's network as the model zoo has it, arithmetic before conv1; and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.network.spec import LRN, Pooling
from alexnet.run import trained

from .making import CaffeLayer, caffe_layers, draw, logits, write
from .test_caffe import imported, refused

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIZE = 72
"""16 windows of conv1, which leave a pixel; then pooling that hangs over."""


def graph(
    layers: list[CaffeLayer],
    before: list[tuple[str, np.ndarray]] | None = None,
    matmul: bool = False,
    change: Callable[[list[Any]], None] = lambda nodes: None,
    size: int = SIZE,
    batch: int = 1,
) -> bytes:
    """Layers of Caffe's kind as the zoo's bvlcalexnet has them: pooling padded at its end, weights as inputs too."""
    nodes, constants, at, side = [], [], "data", size

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def add(kind: str, name: str, *inputs: str, **parameters: object) -> None:
        nonlocal at
        nodes.append(helper.make_node(kind, [at, *inputs], [f"{name}_out"], name=name, **parameters))
        at = f"{name}_out"

    for number, (kind, value) in enumerate(before or []):
        add(kind, f"before{number}", constant(f"value{number}", value))
    for layer in layers:
        parameters, names = (
            layer.parameters,
            [constant(f"{layer.name}_{at}", blob) for at, blob in enumerate(layer.blobs)],
        )
        if layer.type == "Convolution":
            pad, stride, window = (
                int(parameters.get(key, default)) for key, default in (("pad", 0), ("stride", 1), ("kernel_size", 0))
            )
            sizes = {
                "kernel_shape": [window] * 2,
                "strides": [stride] * 2,
                "pads": [pad] * 4,
                "group": int(parameters.get("group", 1)),
            }
            add("Conv", layer.name, *names, **sizes)
            side = (side + 2 * pad - window) // stride + 1
        elif layer.type == "Pooling":
            window, stride = int(parameters["kernel_size"]), int(parameters["stride"])
            end = -(side - window) % stride
            add("MaxPool", layer.name, kernel_shape=[window] * 2, strides=[stride] * 2, pads=[0, 0, end, end])
            side = (side + end - window) // stride + 1
        elif layer.type == "LRN":
            numbers = {"size": int(parameters["local_size"]), "bias": parameters.get("k", 1.0)}
            add("LRN", layer.name, alpha=parameters["alpha"], beta=parameters["beta"], **numbers)
        elif layer.type == "InnerProduct":
            if layer.name == "fc6":
                shape = numpy_helper.from_array(np.array([0, -1], np.int64), "shape")
                constants.append(shape)
                add("Reshape", "flat", "shape")
            if matmul:
                add("MatMul", layer.name, constant(f"{layer.name}_t", layer.blobs[0].T))
                add("Add", f"{layer.name}_add", names[1])
            else:
                add("Gemm", layer.name, *names, transB=1)
        elif layer.type == "Dropout" and not matmul:
            add("Dropout", layer.name)
        elif layer.type in ("ReLU", "Softmax"):
            add({"ReLU": "Relu"}.get(layer.type, layer.type), layer.name)
    change(nodes)
    value = helper.make_tensor_value_info
    inputs = [value("data", TensorProto.FLOAT, [batch, 3, size, size])]
    inputs += [value(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in constants]
    computation = helper.make_graph(
        nodes, "bvlc_alexnet", inputs, [value(at, TensorProto.FLOAT, [batch, 5])], constants
    )
    return helper.make_model(computation, opset_imports=[helper.make_opsetid("", 12)], ir_version=7).SerializeToString()


def test_the_zoos_network_comes_in_as_caffes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = caffe_layers(size=SIZE)
    file, out = write(tmp_path / "m.onnx", graph(layers)), tmp_path / "run"
    said = imported(capsys, file, "--mean", "104,117,123", "--out", out)
    assert said["by"] == "onnxruntime" and said["logit_difference"] < 1e-5
    assert "conv1 reads 71 of 72 pixels" in said["notes"][0]  # pooling rounds up, conv1 does not
    network = trained.load(out)
    side = network.size
    images = draw(1).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    start = (side - 71) // 2
    crop = images[:, start : start + 71, start : start + 71, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    crop = np.pad(crop - np.float32([104, 117, 123])[:, None, None], ((0, 0), (0, 0), (0, 1), (0, 1)))
    with torch.no_grad():
        wanted, outputs = logits(layers, torch.from_numpy(crop)), network(images)
    torch.testing.assert_close(outputs, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    spec = network.network.spec
    assert (spec.columns, spec.normalization_name, spec.hidden[0].then) == (2, "caffe", ("relu", "dropout"))


@pytest.mark.parametrize("pool", [(3, 1), (2, 2)])
def test_normalization_and_pooling_may_have_any_numbers(
    pool: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = caffe_layers(size=67, lrn={"local_size": 3, "alpha": 0.02, "beta": 0.6, "k": 1.5}, pool=pool)
    file, out = write(tmp_path / "m.onnx", graph(layers, size=67)), tmp_path / "run"
    said = imported(capsys, file, "--mean", "104,117,123", "--input", "caffe", "--out", out)
    assert said["by"] == "onnxruntime" and said["logit_difference"] < 1e-5
    spec = trained.load(out).network.spec
    assert (spec.lrn, spec.pooling) == (LRN(3, 1.5, float(f"{0.02 / 3:.6g}"), 0.6), Pooling(*pool))
    # And out again, in nodes of ours, and back.
    assert main(["export", str(out), "onnx"]) == 0
    assert imported(capsys, out / "network.onnx", "--out", tmp_path / "back")["logit_difference"] < 1e-5
    back = trained.load(tmp_path / "back").network.spec
    assert (back.lrn, back.pooling) == (spec.lrn, spec.pooling)


def test_a_mean_image_is_subtracted_under_the_crop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "m.onnx", graph(caffe_layers(size=67), size=67))
    image = draw(2).uniform(90, 130, (80, 80, 3)).astype(np.float32)
    np.save(tmp_path / "mean.npy", image)
    said = imported(capsys, file, "--mean", tmp_path / "mean.npy", "--out", tmp_path / "run")
    assert said["logit_difference"] < 1e-5
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "preparation" / "mean.npy"), image)


@pytest.mark.parametrize("shape", [(3,), (1, 3, 2, 1), (2, 3, 1, 1), (2, 1, 1), (1, 1, 1 << 20), (1, 1, 1, 1, 1 << 20)])
def test_arithmetic_of_no_image_is_named(
    shape: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("Sub", "Mul"):
        file = write(tmp_path / "m.onnx", graph(caffe_layers(size=67), [(kind, np.ones(shape, np.float32))], size=67))
        assert f"before0 ({kind}): its constant is" in refused(capsys, tmp_path / "run", file)


@pytest.mark.parametrize("unit", [True, False])
def test_arithmetic_before_conv1_becomes_mean_and_scale(
    unit: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mean, std = np.float32([0.48, 0.45, 0.40]), np.float32([0.23, 0.22, 0.24])
    factor = 1 if unit else 255
    before = [("Sub", factor * mean[:, None, None]), ("Div", factor * std[:, None, None])]
    layers = caffe_layers(size=67)
    file, out = write(tmp_path / "m.onnx", graph(layers, before, matmul=True, size=67)), tmp_path / "run"
    said = imported(capsys, file, "--out", out)
    assert said["logit_difference"] < 1e-5
    mean_image = np.load(out / "preparation" / "mean.npy")
    np.testing.assert_allclose(mean_image[0, 0], 255 * mean, rtol=1e-5)
    spec = trained.load(out).network.spec
    assert spec.input_scale == pytest.approx(float((1 / (255 * std)).mean()), rel=1e-5)


@pytest.mark.parametrize(("factor", "scale"), [(1 / 255, 1 / 255), (4.0, 4 / 255)])
def test_arithmetic_without_a_mean_is_told_by_its_factor(
    factor: float, scale: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = caffe_layers(size=67)
    file, out = write(tmp_path / "m.onnx", graph(layers, [("Mul", np.float32(factor))], size=67)), tmp_path / "run"
    assert imported(capsys, file, "--out", out)["logit_difference"] < 1e-5
    assert trained.load(out).network.spec.input_scale == pytest.approx(scale)
    write(file, graph(layers, [("Mul", np.float32(1))], size=67))
    assert "say --input" in refused(capsys, tmp_path / "other", file)


@pytest.mark.parametrize("batch", [3, 10])
def test_a_fixed_batch(batch: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "m.onnx", graph(caffe_layers(size=67), size=67, batch=batch))
    said = imported(capsys, file, "--mean", "104,117,123", "--out", tmp_path / "run")
    assert said["logit_difference"] < 1e-5


def test_our_own_export_comes_back(
    tiny_run: Path, tiny_prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "n.onnx", tmp_path / "run"
    assert main(["export", str(tiny_run), "onnx", "--out", str(file)]) == 0
    said = imported(capsys, file, "--out", out)
    assert said["logit_difference"] < 1e-5
    before, after = trained.load(tiny_run), trained.load(out)
    assert after.classes == before.classes
    assert after.network.spec.links == before.network.spec.links and after.network.spec.dropout_form == "mask"
    images = tiny_prepared.split("train").images[:9]
    torch.testing.assert_close(after.probabilities(images, 10), before.probabilities(images, 10), rtol=1e-4, atol=1e-5)
    for name, tensor in before.network.state_dict().items():
        assert torch.equal(after.network.state_dict()[name], tensor), name


def test_the_second_normalization_comes_back(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "norm-map", tmp_path / "n.onnx"
    shutil.copytree(tiny_run, run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["network"]["convolutions"][1]["then"] = ["relu", "norm", "norm-map", "pool"]
    recipe["network"]["normalization_window"] = "column"
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert main(["export", str(run), "onnx", "--out", str(file)]) == 0
    assert imported(capsys, file, "--out", tmp_path / "run")["logit_difference"] < 1e-5
    spec = trained.load(tmp_path / "run").network.spec
    assert "norm-map" in spec.convolutions[1].then and spec.normalization_window == "column"


def _replace(name: str, **parameters: object) -> Callable[[list[Any]], None]:
    def go(nodes: list[Any]) -> None:
        at = next(at for at, node in enumerate(nodes) if node.name == name)
        kind = str(parameters.pop("op_type", nodes[at].op_type))
        nodes[at] = helper.make_node(kind, nodes[at].input, nodes[at].output, name=name, **parameters)

    return go


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_replace("relu3", op_type="Softplus"), "relu3 (Softplus): this kind of node"),
        (_replace("relu3", op_type="HardSigmoid"), "relu3 (HardSigmoid): this kind of node"),
        (_replace("norm2", size=5, alpha=1e-4, beta=0.5), "norm2 (LRN): LRN(n=5, k=1.0, alpha=2e-05, beta=0.5), but"),
        (_replace("pool1", op_type="AveragePool", kernel_shape=[3, 3], strides=[2, 2]), "pool1 (AveragePool)"),
        (_replace("conv3", auto_pad="SAME_UPPER", kernel_shape=[3, 3]), "auto_pad SAME_UPPER"),
        (_replace("conv3", kernel_shape=[3, 3], dilations=[2, 2], pads=[1] * 4), "dilated"),
        (lambda nodes: nodes[4].input.__setitem__(0, "conv1_out"), "is read by"),
        (lambda nodes: nodes[0].input.__setitem__(1, "nowhere"), "its input 1 is no constant"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[list[Any]], None], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "m.onnx", graph(caffe_layers(size=SIZE), change=change))
    assert expected in refused(capsys, tmp_path / "run", file, "--mean", "104,117,123")


def test_damaged_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers, out, file = caffe_layers(size=SIZE), tmp_path / "run", tmp_path / "m.onnx"
    whole = graph(layers)
    for share in (0.0, 0.05, 0.5, 0.99):
        refused(capsys, out, write(file, whole[: int(share * len(whole))]), "--mean", "104,117,123")
    assert "no text" in refused(
        capsys, out, write(file, whole.replace(b"fc8_out", b"fc8_\xa5ut")), "--mean", "104,117,123"
    )
    layers[0].blobs[0].flat[7] = np.inf
    assert "NaN or infinity" in refused(capsys, out, write(file, graph(layers)), "--mean", "104,117,123")
    model = onnx.load_model_from_string(whole)
    model.graph.initializer[0].dims[0] = 1 << 40
    assert "the file is damaged" in refused(
        capsys, out, write(file, model.SerializeToString()), "--mean", "104,117,123"
    )
    model.graph.initializer[0].dims[0] = 9
    assert "numbers of its shape" in refused(
        capsys, out, write(file, model.SerializeToString()), "--mean", "104,117,123"
    )


def test_weights_in_other_files_are_read_from_its_folder_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = onnx.load_model_from_string(graph(caffe_layers(size=SIZE)))
    weights = b""
    for tensor in model.graph.initializer:
        if tensor.name.endswith(("_0", "_1")):
            content, start = tensor.raw_data, len(weights)
            weights += content
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "w.bin"), ("offset", start), ("length", len(content))):
                tensor.external_data.add(key=key, value=str(value))
    write(folder / "w.bin", weights)
    file = write(folder / "m.onnx", model.SerializeToString())
    assert imported(capsys, file, "--mean", "104,117,123", "--out", tmp_path / "run")["logit_difference"] < 1e-5
    write(tmp_path / "w.bin", weights)
    for place in ("../w.bin", str(tmp_path / "w.bin"), "nowhere.bin", ""):
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = place if entry.key == "location" else entry.value
        write(file, model.SerializeToString())
        assert "no file of the folder" in refused(capsys, tmp_path / "other", file, "--mean", "104,117,123")
    write(folder / "w.bin", weights[:100])
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "w.bin" if entry.key == "location" else entry.value
    write(file, model.SerializeToString())
    assert "numbers of its shape" in refused(capsys, tmp_path / "other", file, "--mean", "104,117,123")


@pytest.mark.parametrize("place", ["subgraph", "function", "another node"])
def test_weights_outside_are_refused_wherever_they_are_named(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load_model_from_string(graph(caffe_layers(size=SIZE)))
    outside = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../secret.bin")
    constant = helper.make_node("Constant", [], ["secret"], value=outside)
    value = helper.make_tensor_value_info("secret", TensorProto.FLOAT, [1])
    if place == "subgraph":
        branch = helper.make_graph([constant], "branch", [], [value])
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        model.graph.node.append(helper.make_node("If", ["yes"], ["beside"], then_branch=branch, else_branch=branch))
    elif place == "function":
        versions = [helper.make_opsetid("", 12)]
        model.functions.append(helper.make_function("own", "f", [], ["secret"], [constant], versions))
    else:
        shape = numpy_helper.from_array(np.array([1], np.int64), "one")
        model.graph.initializer.append(shape)
        model.graph.node.append(helper.make_node("ConstantOfShape", ["one"], ["beside"], value=outside))
    file = write(tmp_path / "m.onnx", model.SerializeToString())
    write(tmp_path / "secret.bin", b"\0" * 4)
    err = refused(capsys, tmp_path / "run", file, "--mean", "104,117,123")
    assert "weights outside the file that are neither" in err


def test_what_is_not_in_the_file_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [layer for layer in caffe_layers(size=67) if layer.type != "LRN"]
    for at, layer in enumerate(layers):
        layer.bottom = layers[at - 1].top if at else "data"
    file = write(tmp_path / "m.onnx", graph(layers, size=67))
    assert "say --input" in refused(capsys, tmp_path / "run", file)
    assert json.dumps(imported(capsys, file, "--input", "torchvision", "--out", tmp_path / "run"))
