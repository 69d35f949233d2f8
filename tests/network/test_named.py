"""A network from a file, and in what two of them differ."""

from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.errors import InputError
from alexnet.network.named import differences, nearest, network_of, to_json, without_dropout
from alexnet.network.networks import authors_2012, networks, paper, torchvision
from alexnet.network.spec import Convolution


@pytest.mark.parametrize("name", networks)
def test_a_network_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text(to_json(networks[name]))
    assert network_of(str(tmp_path / "n.json")) == network_of(name) == networks[name]


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    for content, expected in (
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"name": "x"}', "is missing"),
        (to_json(paper).replace('"kernels": 256', '"kernels": "many"'), "whole number"),
        (to_json(paper).replace('"input_size": 224', '"input_size": 3'), "does not fit"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=expected):
            network_of(str(file))
    with pytest.raises(InputError, match="no network of that name"):
        network_of("papers")
    with pytest.raises(InputError, match="cannot be read"):
        network_of(str(tmp_path / "nowhere.json"))


def test_networks_are_compared_by_what_they_compute() -> None:
    assert differences(replace(paper, name="x", classes=7), paper) == []
    # ReLU behind max pooling gives what ReLU before it gives; the same with normalization does not.
    fifth = replace(authors_2012.convolutions[4], then=("pool", "relu"))
    assert differences(replace(authors_2012, convolutions=(*authors_2012.convolutions[:4], fifth)), authors_2012) == []
    assert differences(replace(paper, order="relu-pool-norm"), paper) == [
        "conv1: then relu pool norm (not then relu norm pool)",
        "conv2: then relu pool norm (not then relu norm pool)",
    ]
    assert differences(replace(paper, links=("conv3", "fc6")), paper) == [
        "fc7: reads its own column (not reads both columns)"
    ]
    assert differences(replace(paper, init="authors-2012"), paper) == []
    assert len(differences(replace(paper, init="authors-2012"), paper, initial=True)) == 3
    longer = (*paper.convolutions, Convolution(8, 3, padding=1))
    more = replace(paper, convolutions=longer, links=("conv3", "fc7", "fc8"))
    assert any(line.startswith("conv6: 8 kernels") for line in differences(more, paper))
    assert any(line.startswith("no fc7 ") for line in differences(paper.without("fc7"), paper))


@pytest.mark.parametrize("name", networks)
def test_every_named_network_is_nearest_to_itself(name: str) -> None:
    named, differ = nearest(networks[name], initial=True)
    assert differ == [] and differences(named, networks[name], initial=True) == []


def test_without_dropout() -> None:
    built = without_dropout(torchvision)
    assert built.convolutions[4].then == ("relu", "pool") and built.hidden[0].then == ("relu",)
