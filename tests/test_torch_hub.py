"""What torch.hub takes from the repository: hubconf.py."""

import tomllib
from pathlib import Path

import pytest
import torch

import alexnet
from alexnet.extras import PACKAGES

ROOT = Path(__file__).parent.parent


def test_torch_hub_loads_the_starter_which_predicts() -> None:
    network = torch.hub.load(str(ROOT), "starter", source="local")
    assert isinstance(network, alexnet.TrainedNetwork)
    image = torch.zeros(network.size, network.size, 3, dtype=torch.uint8)
    assert network.predict(image).label == alexnet.load("starter").predict(image).label


@pytest.mark.parametrize("name", ["paper", "authors_2012"])
def test_torch_hub_builds_a_network_with_as_many_classes_as_are_asked_for(name: str) -> None:
    with torch.device("meta"):
        network = torch.hub.load(str(ROOT), name, source="local", classes=7)
    assert network.spec.name == getattr(alexnet.networks, name).name
    assert network.fc8.weight.shape == (7, 4096)


def test_every_entry_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import hubconf

    entries = [value for value in vars(hubconf).values() if callable(value)]
    assert {entry.__name__ for entry in entries} == {"starter", "load", "paper", "authors_2012"}
    assert all(entry.__doc__ for entry in entries), "torch.hub.help shows it"


def test_torch_hub_checks_for_what_the_base_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import hubconf

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    modules = {package: module for module, package in PACKAGES.items()} | {"pillow": "PIL"}
    asked = {name.partition(">=")[0] for name in project["dependencies"]}
    assert set(hubconf.dependencies) == {modules.get(name, name) for name in asked}
