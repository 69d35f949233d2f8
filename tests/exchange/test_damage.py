"""Whatever files of others hold, importing them ends in one line, or in a network; and takes no memory for what they claim."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.cli import main
from alexnet.errors import InputError
from alexnet.exchange import caffe_read, imports, layer_files, torchvision
from tests.damage import below, damaged

from .making import caffe_layers, caffemodel, prototxt, two_columns, write
from .test_caffe import ORDERS

CAFFE = caffe_layers(next(iter(ORDERS.values())))
quiet = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quiet
@given(data=st.data())
@pytest.mark.parametrize("old", [False, True])
def test_a_damaged_caffemodel(data: st.DataObject, old: bool, tmp_path: Path) -> None:
    model = data.draw(damaged(caffemodel(CAFFE, old=old)))
    with below(50):
        try:
            caffe_read.read(write(tmp_path / "m.caffemodel", model))
        except (InputError, UnicodeDecodeError) as error:  # the latter is made the former in `read`
            assert isinstance(error, UnicodeDecodeError) or ("m.caffemodel" in str(error) and "\n" not in str(error))


@quiet
@given(data=st.data())
def test_damaged_texts(data: st.DataObject, tmp_path: Path) -> None:
    names = data.draw(st.sampled_from(("n.prototxt", "layers.cfg", "classes.json", "classes.txt")))
    text = {"n.prototxt": prototxt(CAFFE), "layers.cfg": two_columns()}.get(names, '["cat", "dog"]')
    file = write(tmp_path / names, data.draw(damaged(text.encode())))
    model = write(tmp_path / "m.caffemodel", caffemodel(CAFFE))
    with below(50):
        try:
            if file.suffix == ".prototxt":
                caffe_read.read(model, file)
            elif file.suffix == ".cfg":
                layer_files.read(file)
            else:
                imports.read_classes(file)
        except InputError as error:
            assert "\n" not in str(error)


@quiet
@given(data=st.data())
@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_state_dict(data: st.DataObject, zipped: bool, tmp_path: Path) -> None:
    saved = io.BytesIO()
    torch.save(
        {f"features.{n}.weight": torch.ones(4, 3, 3, 3) for n in range(3)}, saved, _use_new_zipfile_serialization=zipped
    )
    file = write(tmp_path / "w.pth", data.draw(damaged(saved.getvalue())))
    with below(50):
        try:
            state = torchvision.read(file)
            torchvision.weights(state, file)
        except InputError as error:
            assert "w.pth" in str(error) and "\n" not in str(error)


@quiet
@given(data=st.data())
def test_a_damaged_onnx_file(data: st.DataObject, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from alexnet.exchange import onnx_file

    from .test_onnx import graph

    file = write(tmp_path / "m.onnx", data.draw(damaged(graph(CAFFE))))
    with below(50):
        try:
            onnx_file.read(file)
        except InputError as error:
            assert "m.onnx" in str(error) and "\n" not in str(error)


def test_weights_at_places_that_no_file_can_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    from .test_onnx import graph

    for name, offset in (("w\0.bin", 0), ("w" * 5000, 0), ("w.bin", -1), ("w.bin", 10**30), ("w.bin", 5)):
        model = onnx.load_model_from_string(graph(CAFFE))
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=name)
            tensor.external_data.add(key="offset", value=str(offset))
        write(tmp_path / "w.bin", b"\0" * 10)
        file = write(tmp_path / "m.onnx", model.SerializeToString())
        assert main(["import", str(file), "--mean", "1,2,3", "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "m.onnx: conv1_0" in said and len(said) < 800


def test_a_compressed_state_dict_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(1 << 24))
    with below(10), pytest.raises(InputError, match=r"w\.pth: .*damaged"):
        torchvision.read(tmp_path / "w.pth")
