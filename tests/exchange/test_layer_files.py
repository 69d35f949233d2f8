"""The layer files of 2012 as networks. The files here are the tests' own, in that format."""

import json
from pathlib import Path

import pytest

from alexnet import exchange
from alexnet.cli import main
from alexnet.exchange import layer_files
from alexnet.network.model import AlexNet
from alexnet.network.named import network_of
from alexnet.network.spec import Convolution, Hidden

from .making import section, two_columns, write


def test_two_columns_come_as_one_network(tmp_path: Path) -> None:
    file = write(tmp_path / "layers-x.cfg", two_columns())
    built = layer_files.read(file, input_size=28).network
    assert built.convolutions == (
        Convolution(16, 5, stride=2, std=0.01, then=("norm", "pool", "relu")),
        Convolution(16, 3, padding=1, std=0.03, bias=1.0, then=("relu", "pool")),
        Convolution(12, 3, padding=1, std=0.03),
    )
    assert built.hidden == (Hidden(32, 0.01, 1.0), Hidden(32, 0.01, 1.0))
    assert (built.columns, built.links, built.classes) == (2, ("conv3", "fc4", "fc5"), 10)
    assert (built.normalization_name, built.normalization_window, built.rounding) == ("authors-2012", "column", "up")
    assert (built.dropout, built.dropout_form, str(built.pooling), built.activation) == (0.5, "mask", "3/2", "relu")
    assert [name for name, _ in AlexNet(built).named_children()][:4] == ["conv1", "norm1", "pool1", "relu1"]


def test_a_layer_that_reads_its_own_column_is_no_link(tmp_path: Path) -> None:
    text = two_columns()
    for name, inputs in (("conv3a", "pool2a"), ("conv3b", "pool2b")):
        before, _, rest = text.partition(f"[{name}]")
        rest = rest.replace("inputs=pool2a,pool2b", f"inputs={inputs}", 1).replace("filters=6,6", "filters=6", 1)
        rest = rest.replace("padding=1,1", "padding=1", 1).replace("filterSize=3,3", "filterSize=3", 1)
        text = f"{before}[{name}]{rest.replace('channels=8,8', 'channels=8', 1).replace('.03,.03', '.03', 1)}"
    built = layer_files.read(write(tmp_path / "layers-x.cfg", text), input_size=28).network
    assert built.links == ("fc4", "fc5")
    assert AlexNet(built).get_parameter("conv3.weight").shape == (12, 8, 3, 3)


def test_the_parameter_file_decides_the_normalization(tmp_path: Path) -> None:
    layers = write(tmp_path / "layers-x.cfg", two_columns())
    both = "".join(section(f"rnorm1{c}", scale=0.0005, pow=0.75, minDiv=2) for c in "ab")
    params = write(tmp_path / "layer-params-x.cfg", section("conv1a", epsW=0.01, momW=0.9, wc=0.0005) + both)
    built = layer_files.read(layers, params, 28)
    assert built.network.normalization_name == "paper"  # whose coefficient is not divided by five
    assert any("epsw, momw, wc belong to a recipe" in note for note in built.notes)
    off = "".join(section(f"hs1{c}", enable="false") + section(f"hs2{c}", enable="false") for c in "ab")
    built = layer_files.read(layers, write(params, off), 28)
    assert built.network.hidden[0].then == ("relu",) and built.network.dropout == 0


def test_the_command_writes_a_network_that_summary_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers, out = write(tmp_path / "layers-x.cfg", two_columns()), tmp_path / "x.json"
    assert main(["import", str(layers), "--out", str(out), "--input-size", "28"]) == 0
    said = capsys.readouterr().out
    assert "nearest named network" in said and "ignored, as it is no part of a network: gpu, partialsum" in said
    assert "layers-x: 28×28 RGB" in said
    built = exchange.import_layers([layers], tmp_path / "y.json", 28)
    assert built.to_dict()["nearest"] == built.nearest and built.differences
    assert (
        network_of(str(tmp_path / "y.json")) == network_of(str(out)) == layer_files.read(layers, input_size=28).network
    )
    assert main(["summary", str(out), "--json"]) == 0
    names = [layer["name"] for layer in json.loads(capsys.readouterr().out)["layers"]]
    assert names == ["conv1", "pool1", "conv2", "pool2", "conv3", "fc4", "fc5", "fc6"]
    assert main(["summary", str(out), "--classes", "3"]) == 0
    assert "→ 3 classes" in capsys.readouterr().out


def test_the_sixth_convolution_and_the_bottleneck_have_their_switches(tmp_path: Path) -> None:
    text = section("data", type="data", dataIdx=0)
    below = ["data"]
    for number in range(1, 7):
        wide = 128 if number > 4 else 16  # conv6 is as wide as conv5
        reads = 1 if number == 1 else 2 if number in (3, 6) else 1
        for column in "ab":
            inputs = below if len(below) == 1 or reads == 2 else [f"conv{number - 1}{column}"]
            channels = [3] if number == 1 else [128 if number == 6 else 16] * len(inputs)
            lists = {"channels": ",".join(map(str, channels)), "filters": ",".join([str(wide)] * len(inputs))}
            start = {"initW": 0.03, "initB": 1, "neuron": "relu", "filterSize": 3, "padding": 1}
            text += section(f"conv{number}{column}", type="conv", inputs=",".join(inputs), **lists, **start)
        below = [f"conv{number}a", f"conv{number}b"]
    for name, fields in (("fc7", {"neuron": "relu"}), ("low", {}), ("last", {})):
        for column in "ab":
            size = {"last": {"a": 10, "b": 11}[column]}.get(name, 8)
            text += section(name + column, type="fc", inputs=",".join(below), outputs=size, **fields)
        below = [f"{name}a", f"{name}b"]
    text += section("all", type="concat", inputs=",".join(below)) + section("probs", type="softmax", inputs="all")
    built = layer_files.read(write(tmp_path / "layers-x.cfg", text), input_size=8).network
    assert built.conv6 and len(built.convolutions) == 5 and built.bottleneck == 16 and built.classes == 21
    assert [name for name, _ in built.rows()][-3:] == ["conv6", "fc6", "bottleneck"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pool=max", "pool=avg", "pool1a: pool=avg; a network here pools by maximum"),
        ("type=hs", "type=local", "type=local does not fit"),
        ("filters=8", "filters=eight", "filters=eight is no number"),
        ("filters=8", "filters=99999999999999", "too large to be meant"),
        ("filterSize=5", "filterSize=500", "does not fit"),
        ("neuron=relu", "neuron=abs", "neuron abs"),
        ("inputs=pool2a,pool2b", "inputs=pool2a,conv1a", "conv"),
        ("channels=8,8", "channels=8", "2 inputs need as many"),
        ("size=5", "size=4", "rnorm1a: network.lrn.n: 4 kernels; it must be odd"),
        ("type=softmax", "", "no type"),
        ("[conv2b]", "[conv2b", "no layer file"),
        ("[conv2b]", "[conv2a]", "no layer file"),
        ("initB=1\n", "initB=1\nsharedBiases=0\n", "sharedBiases=0"),
        ("dataIdx=0", "dataIdx=3", "0 layers of images"),
    ],
)
def test_what_does_not_fit_is_named(
    old: str, new: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in two_columns()
    file = write(tmp_path / "layers-x.cfg", two_columns().replace(old, new))
    assert main(["import", str(file), "--out", str(tmp_path / "x.json"), "--input-size", "28"]) == 2
    said = capsys.readouterr()
    assert expected in said.err and said.err.count("\n") == 1 and not (tmp_path / "x.json").exists()


def test_a_layer_file_becomes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "layers-x.cfg", two_columns())
    assert main(["import", str(file), "--out", str(tmp_path / "run")]) == 2
    assert "ends in .json" in capsys.readouterr().err
