"""The table of the network, against figures worked out by hand from the paper."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from alexnet.cli import main
from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks, paper, small
from alexnet.network.summary import DETAILS, FIGURES, summarize

from .tiny import tiny

# name, reads, kernels per column / in all, (size, stride, padding), std, bias, output, parameters, multiply-adds
PAPER = [
    ("conv1", "image", 48, 96, (11, 4, 0), 0.01, 0, [96, 55, 55], 34_944, 105_415_200),
    ("pool1", "own column", None, None, (3, 2, 0), None, None, [96, 27, 27], 0, 0),
    ("conv2", "own column", 128, 256, (5, 1, 2), 0.01, 1, [256, 27, 27], 307_456, 223_948_800),
    ("pool2", "own column", None, None, (3, 2, 0), None, None, [256, 13, 13], 0, 0),
    ("conv3", "both columns", 192, 384, (3, 1, 1), 0.01, 0, [384, 13, 13], 885_120, 149_520_384),
    ("conv4", "own column", 192, 384, (3, 1, 1), 0.01, 1, [384, 13, 13], 663_936, 112_140_288),
    ("conv5", "own column", 128, 256, (3, 1, 1), 0.01, 1, [256, 13, 13], 442_624, 74_760_192),
    ("pool5", "own column", None, None, (3, 2, 0), None, None, [256, 6, 6], 0, 0),
    ("fc6", "both columns", 2048, 4096, (None, None, None), 0.01, 1, [4096, 1, 1], 37_752_832, 37_748_736),
    ("fc7", "both columns", 2048, 4096, (None, None, None), 0.01, 1, [4096, 1, 1], 16_781_312, 16_777_216),
    ("fc8", "both columns", None, 1000, (None, None, None), 0.01, 0, [1000, 1, 1], 4_097_000, 4_096_000),
]


@pytest.mark.parametrize("name", ["paper", "authors-2012"])
def test_every_row_of_the_papers_table(name: str) -> None:
    layers = summarize(networks[name]).to_dict()["layers"]
    assert [layer["name"] for layer in layers] == [row[0] for row in PAPER]
    for layer, row in zip(layers, PAPER, strict=True):
        _, reads, per_column, kernels, window, std, bias, output, parameters, multiply_adds = row
        if name == "authors-2012" and row[0] in ("conv3", "conv4", "conv5"):
            std = 0.03
        assert layer["reads"] == reads
        assert (layer["kernels_per_column"], layer["kernels"]) == (per_column, kernels)
        assert (layer["size"], layer["stride"], layer["padding"]) == window
        assert (layer["std"], layer["bias"]) == (std, bias)
        assert layer["output"] == output
        assert (layer["parameters"], layer["multiply_adds"]) == (parameters, multiply_adds)


def test_arithmetic_of_the_papers_windows() -> None:
    arithmetic = {layer.name: layer.arithmetic for layer in summarize(paper).layers}
    assert arithmetic == {
        "conv1": "(224+3−11)/4+1 = 55",
        "pool1": "(55−3)/2+1 = 27",
        "conv2": "(27+2·2−5)/1+1 = 27",
        "pool2": "(27−3)/2+1 = 13",
        "conv3": "(13+2·1−3)/1+1 = 13",
        "conv4": "(13+2·1−3)/1+1 = 13",
        "conv5": "(13+2·1−3)/1+1 = 13",
        "pool5": "(13−3)/2+1 = 6",
        "fc6": "",
        "fc7": "",
        "fc8": "",
    }
    assert summarize(replace(paper, input_size=227)).layers[0].arithmetic == "(227−11)/4+1 = 55"
    assert summarize(networks["torchvision"]).layers[0].arithmetic == "(224−1+2·2−11)/4+1 = 55"


# parameters, multiply-adds, those of the convolutions alone, neurons
TOTALS = {
    "paper": (60_965_224, 724_406_816, 665_784_864, 659_272),
    "authors-2012": (60_965_224, 724_406_816, 665_784_864, 659_272),
    "caffe": (60_965_224, 724_406_816, 665_784_864, 659_272),
    "one-tower": (62_378_344, 1_135_256_096, 1_076_634_144, 659_272),
    # Halves of every convolution but the last: 34944/2 + 5*5*48*128+128 + 9*128*192+192 + 9*192*192+192 + 9*192*256+256.
    "one-gpu": (59_798_312, 391_514_384, 332_892_432, 355_864),
    # One map of conv2 is 26x26 instead of 27x27, one of conv5 11x11 instead of 13x13.
    "non-overlapping": (60_965_224, 686_891_552, 628_269_600, 633_416),
    "torchvision": (61_100_840, 714_188_480, 655_566_528, 494_184),
    # 32*(75+1) + 64*(800+1) + 64*(1600+1) + 10*(1024+1) on maps of 32, 16 and 8 pixels.
    "four-layer": (166_410, 22_128_640, 22_118_400, 53_258),
    "small": (371_917, 12_201_600, 11_985_280, 42_189),
    # 48*(363+1) + 128*(600+1) + 192*(1152+1) + 192*(864+1) + 128*(864+1) + 1024*(4608+1) + 1024*1025 + 10*1025.
    "starter": (6_372_042, 198_577_424, 192_800_016, 327_098),
}


@pytest.mark.parametrize("name", networks)
def test_totals(name: str) -> None:
    summary = summarize(networks[name])
    convolutions = sum(layer.multiply_adds for layer in summary.layers if layer.name.startswith("conv"))
    assert (summary.parameters, summary.multiply_adds, convolutions, summary.neurons) == TOTALS[name]


def test_parameters_are_those_of_the_module() -> None:
    deeper = replace(small, normalization="batch", conv6=True, bottleneck=32)
    for spec in (small, tiny, deeper, replace(small, links=())):
        assert summarize(spec).parameters == sum(parameter.numel() for parameter in AlexNet(spec).parameters())


def test_multiply_adds_are_counted_by_pytorch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's own counter, two operations a multiply-add; LRN's sums are made by a convolution, so they are left out, and
    # the products are torch's own, which it counts.
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr("alexnet.network.linear._available", lambda: False)
    for spec in (
        replace(small, normalization="none"),
        replace(small, normalization="none", links=(), conv6=True, bottleneck=32),
    ):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            AlexNet(spec)(torch.zeros(1, 3, 56, 56))
        assert 2 * summarize(spec).multiply_adds == counter.get_total_flops()


def test_json_has_the_promised_keys() -> None:
    document = json.loads(json.dumps(summarize(paper).to_dict()))
    assert list(document) == ["network", "parameters", "neurons", "multiply_adds", "layers"]
    assert document["network"] == "paper"
    assert document["parameters"] == 60_965_224
    for layer in document["layers"]:
        assert {"name", "output", "parameters", "multiply_adds", "arithmetic", "reads", "kernels"} <= set(layer)


def test_batch_normalization_has_a_row_and_the_others_none() -> None:
    rows = {layer.name: layer for layer in summarize(replace(paper, normalization="batch")).layers}
    assert list(rows)[:4] == ["conv1", "norm1", "pool1", "conv2"]
    assert (rows["norm1"].parameters, rows["norm1"].output) == (2 * 96, (96, 55, 55))
    assert rows["norm1"].reads == "own column"
    # Before pooling or after it: the size of the map is that of its place.
    later = summarize(replace(paper, normalization="batch", order="relu-pool-norm")).layers
    assert [(layer.name, layer.output) for layer in later[1:3]] == [("pool1", (96, 27, 27)), ("norm1", (96, 27, 27))]


def test_steps_without_a_row_are_listed_in_their_order() -> None:
    then = {layer.name: layer.then for layer in summarize(networks["authors-2012"]).layers}
    assert then["conv1"] == ("norm1",)
    assert then["pool1"] == ("relu1",)
    assert then["conv2"] == ("relu2", "norm2", "norm-map2")
    assert then["pool5"] == ()
    assert then["fc7"] == ("relu7", "dropout7")


def test_one_column_reads_all_and_links_change_what_is_read() -> None:
    assert {layer.reads for layer in summarize(networks["one-tower"]).layers} == {"image", "all"}
    reads = {layer.name: layer.reads for layer in summarize(replace(paper, links=("conv4",), conv6=True)).layers}
    assert reads["conv3"] == reads["fc6"] == reads["fc7"] == "own column"
    assert reads["conv4"] == reads["conv6"] == reads["fc8"] == "both columns"


def test_the_papers_figures_stand_beside_networks_of_its_shape_only() -> None:
    compared = {name for name, spec in networks.items() if summarize(spec).comparable}
    assert compared == {"paper", "authors-2012", "one-tower", "caffe"}
    totals = {what: (actual, stated) for what, actual, stated in summarize(paper).totals()}
    assert totals["parameters"] == ("60,965,224", "60,000,000 (abstract)")
    assert totals["neurons"] == ("659,272", "650,000 (abstract)")
    assert totals["inputs"] == ("150,528", "150,528 (§3.5)")
    assert "724,406,816" in totals["multiply-adds"][0] and "665,784,864" in totals["multiply-adds"][0]
    assert totals["multiply-adds"][1] == "630,000,000 (2012 talk)"
    assert {stated for _, _, stated in summarize(small).totals()} == {""}


def test_table_rows_are_texts_under_the_headings() -> None:
    rows = summarize(paper).rows_for_table()
    assert all(list(row) == list(rows[0]) and {*DETAILS, *FIGURES} <= row.keys() for row in rows)
    first = rows[0]
    assert first["kernels"] == "48 / 96"
    assert first["size, stride, padding"] == "11×11, 4, 0"
    assert first["output"] == "96×55×55"
    assert first["arithmetic"] == "(224+3−11)/4+1 = 55"
    assert first["neurons"] == "290,400 (paper: 253,440)"
    assert rows[2]["neurons"] == "186,624"  # the paper's own figure


def test_a_network_that_cannot_be_built_is_refused_as_in_the_module() -> None:
    with pytest.raises(InputError, match="^conv1: "):
        summarize(replace(paper, input_size=5))


def test_a_scaled_input_is_said_and_costs_nothing() -> None:
    scaled = summarize(replace(paper, input_scale=1 / 60))
    assert scaled.layers[0].reads == "image × 0.0167"
    assert (scaled.parameters, scaled.multiply_adds) == TOTALS["paper"][:2]
    assert scaled.layers[1:] == summarize(paper).layers[1:]


def test_the_numbers_of_3_3_and_3_4_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    def table(*options: str) -> dict[str, Any]:
        assert main(["summary", "paper", *options, "--json"]) == 0
        return {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)["layers"]}

    pooled = table("--pooling.window", "2", "--pooling.stride", "2", "--lrn.alpha", "2e-5", "--normalization", "caffe")
    assert (pooled["pool1"]["size"], pooled["pool1"]["stride"], pooled["pool1"]["arithmetic"]) == (
        2,
        2,
        "(55+1−2)/2+1 = 28",
    )
    assert main(["summary", "paper", "--lrn.n", "4"]) == 2 and "network.lrn.n: 4" in capsys.readouterr().err
