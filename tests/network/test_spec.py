"""Networks as data: what the named ones say, what each switch changes, what is refused and in which words."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks, paper, small
from alexnet.network.spec import LRN, Convolution, Hidden, Network, Pooling
from alexnet.network.summary import summarize
from alexnet.network.window import Window
from alexnet.typed import from_dict

from .tiny import tiny


def children(spec: Network) -> list[str]:
    """Names of the layers, in order, without making weights."""
    with torch.device("meta"):
        return [name for name, _ in AlexNet(spec).named_children()]


def windows(spec: Network) -> dict[str, Window]:
    with torch.device("meta"):
        return AlexNet(spec).windows


def test_names_of_the_networks() -> None:
    wanted = {"paper", "authors-2012", "one-gpu", "one-tower", "caffe", "torchvision", "four-layer", "small"}
    assert wanted <= set(networks)
    assert all(networks[name].name == name for name in networks)


PAPER_LAYERS = [
    *("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"),
    *("conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5", "flatten"),
    *("fc6", "relu6", "dropout6", "fc7", "relu7", "dropout7", "fc8"),
]


def test_layers_of_the_paper_and_of_the_2012_program() -> None:
    assert children(paper) == PAPER_LAYERS
    assert children(networks["authors-2012"]) == [
        *("conv1", "norm1", "pool1", "relu1", "conv2", "relu2", "norm2", "norm-map2", "pool2"),
        *PAPER_LAYERS[PAPER_LAYERS.index("conv3") :],
    ]
    assert children(networks["one-tower"]) == children(networks["caffe"]) == PAPER_LAYERS


def test_widths_of_the_one_gpu_network() -> None:
    widths = [row.kernels for _, row in networks["one-gpu"].rows() if isinstance(row, Convolution)]
    assert widths == [48, 128, 192, 192, 256]
    assert [row.units for _, row in networks["one-gpu"].rows() if isinstance(row, Hidden)] == [4096, 4096]


def test_the_demo_network_keeps_every_mechanism() -> None:
    assert small.columns == 2 and small.links == paper.links
    assert (
        small.normalization == "local"
        and small.lrn == LRN()
        and small.pooling == Pooling(3, 2)
        and small.dropout == 0.5
    )
    assert children(small) == PAPER_LAYERS
    assert windows(small)["conv1"].overhang == 1


@pytest.mark.parametrize(
    ("order", "steps"),
    [
        ("rows", ["relu1", "norm1", "pool1"]),
        ("relu-norm-pool", ["relu1", "norm1", "pool1"]),
        ("relu-pool-norm", ["relu1", "pool1", "norm1"]),
        ("norm-relu-pool", ["norm1", "relu1", "pool1"]),
        ("norm-pool-relu", ["norm1", "pool1", "relu1"]),
        ("pool-relu-norm", ["pool1", "relu1", "norm1"]),
        ("pool-norm-relu", ["pool1", "norm1", "relu1"]),
    ],
)
def test_the_place_of_normalization(order: Any, steps: list[str]) -> None:
    names = children(replace(paper, order=order))
    assert names[1:4] == steps
    assert names[5:8] == [step.replace("1", "2") for step in steps]
    assert names[8:] == PAPER_LAYERS[8:]  # layers that do not normalize are left alone
    assert [step for step in names if "norm" not in step] == children(replace(paper, order=order, normalization="none"))


def test_the_second_normalization_of_2012_moves_with_the_first() -> None:
    names = children(replace(networks["authors-2012"], order="norm-pool-relu"))
    assert names[4:9] == ["conv2", "norm2", "norm-map2", "pool2", "relu2"]


def test_dropout_stays_last_in_any_order() -> None:
    row = Convolution(4, 3, then=("relu", "norm", "pool", "dropout"))
    names = children(replace(tiny, convolutions=(row,), links=(), hidden=(), order="pool-norm-relu"))
    assert names == ["conv1", "pool1", "norm1", "relu1", "dropout1", "flatten", "fc2"]


@pytest.mark.parametrize("name", ["paper", "authors-2012", "caffe", "four-layer", "small"])
def test_without_normalization_no_layer_normalizes_and_the_rest_stays(name: str) -> None:
    with_it, without = children(networks[name]), children(replace(networks[name], normalization="none"))
    assert any(child.startswith("norm") for child in with_it)
    assert without == [child for child in with_it if not child.startswith("norm")]


def test_map_normalization_is_a_switch_of_its_own() -> None:
    program = networks["authors-2012"]
    names = children(replace(program, map_normalization=False))
    assert names == [child for child in children(program) if child != "norm-map2"]


def test_conv6_reads_both_columns_and_takes_nothing_from_fc6() -> None:
    deeper = replace(paper, conv6=True)
    names = children(deeper)
    assert names[names.index("pool5") :] == [
        *("pool5", "conv6", "relu-conv6", "flatten"),
        *("fc6", "relu6", "dropout6", "fc7", "relu7", "dropout7", "fc8"),
    ]
    with torch.device("meta"):
        weight = AlexNet(deeper).get_parameter("conv6.weight")
    assert list(weight.shape) == [256, 256, 3, 3]  # 128 + 128 kernels over all 256 maps
    row = dict(deeper.rows())["conv6"]
    assert (row.std, row.bias) == (0.03, 1.0)
    assert row.then == ("relu",)


def test_the_bottleneck_of_2012_comes_between_fc7_and_fc8_and_reads_both_columns() -> None:
    # layers-146-2011 of 2012: 1024 + 1024 without a neuron, .01, biases 0; 21,843 classes.
    spec = replace(paper, conv6=True, bottleneck=2048, classes=21_843)
    assert children(spec)[-4:] == ["relu7", "dropout7", "bottleneck", "fc8"] and spec.last_name == "fc8"
    row = dict(spec.rows())["bottleneck"]
    assert isinstance(row, Hidden) and (row.std, row.bias, row.then) == (0.01, 0.0, ())
    table = {layer.name: layer for layer in summarize(spec).layers}
    assert table["bottleneck"].reads == table["conv6"].reads == "both columns"
    assert (table["bottleneck"].kernels_per_column, table["bottleneck"].parameters) == (1024, 2048 * 4097)
    assert table["fc8"].parameters == 21_843 * 2049
    assert not summarize(spec).comparable


@pytest.mark.parametrize(
    ("links", "shapes"),
    [
        (("conv3", "fc6", "fc7"), {"conv2": 48, "conv3": 256, "conv4": 192, "fc6": 9216, "fc7": 4096}),
        ((), {"conv2": 48, "conv3": 128, "conv4": 192, "fc6": 4608, "fc7": 2048}),
        (("conv2", "fc7"), {"conv2": 96, "conv3": 128, "conv4": 192, "fc6": 4608, "fc7": 4096}),
    ],
)
def test_links_say_which_layers_read_both_columns(links: tuple[str, ...], shapes: dict[str, int]) -> None:
    with torch.device("meta"):
        model = AlexNet(replace(paper, links=links))
    for name, inputs in shapes.items():
        weight = model.get_parameter(f"{name}.weight")
        assert (weight.shape[-1] if name.startswith("fc") else weight.shape[1]) == inputs
    assert model.get_parameter("fc8.weight").shape[1] == 4096  # the last layer reads everything


def test_pooling_windows() -> None:
    assert (windows(paper)["pool1"].window, windows(paper)["pool1"].stride) == (3, 2)
    assert windows(paper)["pool1"].output == 27
    plain = windows(replace(paper, pooling=Pooling(2, 2)))["pool1"]
    assert (plain.window, plain.stride, plain.output) == (2, 2, 28)


def test_the_network_without_overlap_ends_in_maps_of_the_papers_size() -> None:
    maps = {name: window.output for name, window in windows(networks["non-overlapping"]).items()}
    assert maps["pool5"] == windows(paper)["pool5"].output == 6
    assert (maps["pool2"], maps["conv4"]) == (13, 13)


def test_input_sizes_that_give_the_papers_55() -> None:
    overhanging, exact = windows(paper)["conv1"], windows(replace(paper, input_size=227))["conv1"]
    assert (overhanging.output, overhanging.overhang) == (55, 3)
    assert (exact.output, exact.overhang) == (55, 0)
    assert windows(replace(paper, rounding="down"))["conv1"].output == 54
    assert {name: window.output for name, window in windows(networks["caffe"]).items()} == {
        name: window.output for name, window in windows(paper).items()
    }


def test_initial_values_by_switch() -> None:
    def stds(spec: Network) -> list[float]:
        return [row.std for _, row in spec.rows()] + [spec.std_of_last]

    assert stds(paper) == [0.01] * 8
    assert stds(networks["authors-2012"]) == stds(replace(paper, init="authors-2012"))
    assert stds(networks["authors-2012"]) == [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01]
    assert stds(replace(networks["authors-2012"], init="paper")) == [0.01] * 8
    assert stds(networks["caffe"]) == [0.01] * 5 + [0.005] * 2 + [0.01]
    assert stds(replace(small, init="paper")) == [0.01] * 8 != stds(small)


@pytest.mark.parametrize("name", networks)
def test_a_network_survives_json(name: str) -> None:
    spec = networks[name]
    assert from_dict(Network, json.loads(json.dumps(asdict(spec)))) == spec


def test_a_network_of_an_old_recipe_has_the_numbers_that_its_names_meant() -> None:
    # As recipe.json had it before the numbers of §3.3 and §3.4 were fields of their own.
    old = json.loads(json.dumps(asdict(paper))) | {"normalization": "caffe", "pooling": "2/2"}
    del old["lrn"]
    read = from_dict(Network, old)
    assert (read.normalization, read.lrn, read.pooling) == ("local", LRN(5, 1.0, 1e-4 / 5, 0.75), Pooling(2, 2))
    for name, alpha in (("paper", 1e-4), ("authors-2012", 1e-4 / 5)):
        assert from_dict(Network, old | {"normalization": name}).lrn == LRN(5, 2.0, alpha, 0.75)
    for name in ("none", "batch"):
        assert from_dict(Network, old | {"normalization": name}).normalization == name
    with pytest.raises(InputError, match=r"network\.pooling: 3 by 2; write WINDOW/STRIDE, as 3/2"):
        from_dict(Network, old | {"pooling": "3 by 2"})


def test_short_names_stand_for_coefficients() -> None:
    assert replace(paper, normalization="caffe").lrn == networks["caffe"].lrn
    with pytest.raises(InputError, match="network.normalization: caffe has coefficients of its own"):
        replace(paper, normalization="caffe", lrn=LRN(k=3.0))
    assert replace(networks["caffe"], normalization="paper") == replace(networks["caffe"], lrn=LRN())
    assert [networks[name].normalization_name for name in ("paper", "authors-2012", "caffe", "torchvision")] == [
        *("paper", "authors-2012", "caffe", "none"),
    ]
    assert replace(paper, lrn=LRN(k=1.0)).normalization_name == "n 5, k 1, alpha 0.0001, beta 0.75"


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(InputError, match=r"network\.colums: no such field; the fields are name, "):
        from_dict(Network, {**asdict(paper), "colums": 2})


def row_changed(number: int, **changes: Any) -> dict[str, Any]:
    rows = list(paper.convolutions)
    rows[number] = replace(rows[number], **changes)
    return {"convolutions": tuple(rows)}


REFUSED = [
    (row_changed(1, kernels=255), r"^conv2: 255 .* two columns; make it even"),
    ({"hidden": (Hidden(4096), Hidden(4095))}, r"^fc7: 4095 .* two columns"),
    (row_changed(2, kernels=0), r"^conv3: 0 kernels"),
    (row_changed(3, stride=0), r"^conv4: size and stride must be at least 1"),
    (row_changed(3, padding=-1), r"^conv4: .*padding at least 0"),
    (row_changed(3, then=("relu", "relu")), r"^conv4: the step relu follows it twice"),
    (row_changed(3, then=("rely",)), r"^conv4: the step rely cannot follow it; choose from relu, norm"),
    ({"hidden": (Hidden(4096, then=("norm",)),), "links": ()}, r"^fc6: the step norm cannot follow"),
    ({"input_size": 7}, r"^conv1: its 11×11 window does not fit the 7×7 map; use a larger network\.input_size"),
    ({"input_size": 10, "rounding": "down"}, r"^conv1: its 11×11 window does not fit the 10×10 map"),
    ({"input_size": 15, "rounding": "down"}, r"^pool1: its 3×3 window does not fit the 2×2 map"),
    (row_changed(4, padding=0, size=15), r"^conv5: its 15×15 window does not fit the 13×13 map"),
    (row_changed(4, padding=1, size=17), r"^conv5: its 17×17 window does not fit the 13×13 map with padding 1"),
    ({"input_size": 0}, r"^network\.input_size: 0 pixels"),
    ({"input_scale": 0.0}, r"^network\.input_scale: 0\.0; it must be above 0 and finite"),
    ({"input_scale": float("nan")}, r"^network\.input_scale: nan"),
    ({"links": ("conv33",)}, r"^network\.links: no layer is called conv33; the layers are conv1, conv2"),
    ({"dropout": 1.0}, r"^network\.dropout: 1\.0; .* less than 1"),
    ({"dropout": -0.1}, r"^network\.dropout: -0\.1"),
    ({"bottleneck": -2}, r"^network\.bottleneck: -2 units"),
    ({"bottleneck": 3}, r"^bottleneck: 3 .* two columns; make it even"),
    ({"classes": 1}, r"^network\.classes: 1 classes; there must be at least 2"),
    ({"convolutions": ()}, r"^network\.convolutions: .* at least one"),
    ({"columns": 3}, r"^network\.columns: 3; choose one of 1, 2"),
    (
        {"normalization": "lrn"},
        r"^network\.normalization: lrn; choose one of local, batch, none, paper, authors-2012, caffe",
    ),
    ({"pooling": Pooling(2, 3)}, r"^network\.pooling: 2/3; the stride must be at least 1 and at most the window"),
    ({"pooling": Pooling(3, 0)}, r"^network\.pooling: 3/0; the stride"),
    ({"lrn": LRN(n=4)}, r"^network\.lrn\.n: 4 kernels; it must be odd"),
    ({"lrn": LRN(k=0.0)}, r"^network\.lrn: .*k=0\.0.*k must be above 0"),
    ({"lrn": LRN(alpha=float("nan"))}, r"^network\.lrn: .*all finite"),
    ({"activation": "gelu"}, r"^network\.activation: gelu; choose one of relu, tanh, sigmoid"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_network_that_cannot_be_built_says_which_layer_and_why(changes: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(InputError, match=message):
        AlexNet(replace(paper, **changes))


def test_links_are_no_matter_with_one_column() -> None:
    assert children(replace(tiny, columns=1, hidden=())) == children(replace(tiny, columns=1, hidden=(), links=()))


# A layer less: what passes to which layer, §7.
WITHOUT = [
    # layer, links, its steps' new place, parameters that go
    ("conv2", ("conv2", "fc5", "fc6"), 1, ("relu", "norm", "pool")),
    ("conv3", ("conv3", "fc5", "fc6"), 3, ("relu", "pool")),
    ("conv4", ("conv3", "fc5", "fc6"), 3, ("relu", "pool")),
    ("conv5", ("conv3", "fc5", "fc6"), 3, ("relu", "pool")),
    ("fc6", ("conv3", "fc6"), 4, ("relu", "pool")),
    ("fc7", ("conv3", "fc6"), 4, ("relu", "pool")),
]


@pytest.mark.parametrize(("name", "links", "place", "steps"), WITHOUT)
def test_a_network_without_a_layer(name: str, links: tuple[str, ...], place: int, steps: tuple[str, ...]) -> None:
    shorter = paper.without(name)
    assert shorter.name == f"paper-without-{name}"
    assert shorter.links == links
    assert shorter.convolutions[place].then == steps
    assert len(shorter.convolutions) + len(shorter.hidden) == 6
    assert list(windows(shorter).values())[-1].output == 6, "the maps that reach the hidden layers keep their size"


def test_what_a_removed_layer_took_with_it() -> None:
    parameters = {name: summarize(paper.without(name)).parameters for name in ("conv3", "conv4", "fc7")}
    # conv4 and fc7 as the table of §3.5 counts them. Behind conv2, old conv4 reads both columns as conv3 did.
    assert parameters["conv4"] == 60_965_224 - 663_936
    assert parameters["fc7"] == 60_965_224 - 16_781_312
    assert parameters["conv3"] == 60_965_224 - 885_120 - 663_936 + 885_120


def test_layers_are_removed_one_after_another_and_conv6_stays() -> None:
    assert children(paper.without("conv4").without("conv3")) == children(paper.without("conv3").without("conv3"))
    less = replace(paper, conv6=True, bottleneck=2048).without("fc7")
    assert less.links == paper.without("fc7").links and less.bottleneck == 2048
    assert "conv6" in children(less) and children(less)[-2:] == ["bottleneck", "fc7"]


@pytest.mark.parametrize("name", ["conv1", "fc8", "conv6", "bottleneck", "pool1", ""])
def test_a_layer_that_cannot_be_removed_is_named(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} cannot be removed; the layers that can are conv2, .*, fc7"):
        paper.without(name)


def test_the_only_hidden_layer_stays() -> None:
    with pytest.raises(InputError, match="fc6 cannot be removed"):
        replace(paper, hidden=paper.hidden[:1], links=("conv3", "fc6")).without("fc6")


def test_a_layer_whose_pooling_no_neighbour_can_take_stays() -> None:
    with pytest.raises(InputError, match="conv2 cannot be removed; no layer beside it can take its pool and norm"):
        networks["four-layer"].without("conv2")
    assert networks["torchvision"].without("conv5").convolutions[-1].then == ("relu", "pool", "dropout")
