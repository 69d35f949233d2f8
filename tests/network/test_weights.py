"""torchvision's AlexNet, written down here by hand from its published layout, against the named network `torchvision`."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.network.networks import torchvision
from alexnet.network.weights import LAYERS, from_torchvision, to_torchvision

from .tiny import images


class Reference(nn.Module):
    """The layout of torchvision.models.AlexNet."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def empty(classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of torchvision's shapes without memory."""
    with torch.device("meta"):
        return dict(Reference(classes).state_dict())


def test_torchvisions_weights_give_torchvisions_outputs() -> None:
    torch.manual_seed(0)
    reference = Reference().eval()
    with torch.device("meta"):
        model = AlexNet(torchvision).eval()
    model.load_state_dict(from_torchvision(reference.state_dict()), assign=True)
    x = images(2, 224, scale=1.0)
    with torch.no_grad():
        expected, actual = reference(x), model(x)
        assert torch.allclose(actual, expected, atol=1e-6, rtol=1e-5)
        assert torch.allclose(model.features(x), reference.classifier[:6](reference.features(x).flatten(1)), atol=1e-6)
    # And back: the same names, in the same order, the same tensors.
    back = to_torchvision(model.state_dict())
    assert list(back) == list(reference.state_dict())
    assert all(torch.equal(back[name], tensor) for name, tensor in reference.state_dict().items())


def test_dropout_sits_where_torchvisions_does() -> None:
    with torch.device("meta"):
        names = [name for name, _ in AlexNet(torchvision).named_children()]
    assert names[names.index("pool5") :] == [
        "pool5",
        "dropout5",
        "flatten",
        "fc6",
        "relu6",
        "dropout6",
        "fc7",
        "relu7",
        "fc8",
    ]


def test_any_number_of_classes_and_the_prefix_of_data_parallel() -> None:
    state = {f"module.{name}": tensor for name, tensor in empty(classes=10).items()}
    renamed = from_torchvision(state)
    with torch.device("meta"):
        model = AlexNet(replace(torchvision, classes=10))
    model.load_state_dict(renamed, assign=True)
    assert set(renamed) == {f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")}


def test_a_missing_key_is_named() -> None:
    state = empty()
    del state["features.6.bias"]
    with pytest.raises(InputError, match=r"features\.6\.bias is missing"):
        from_torchvision(state)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InputError, match=r"features\.1\.running_mean is among"):
        from_torchvision({**empty(), "features.1.running_mean": torch.zeros(64)})


@pytest.mark.parametrize("name", ["features.0.weight", "classifier.1.weight", "classifier.6.weight"])
def test_a_wrong_shape_is_named_with_the_right_one(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is \[7\]; torchvision's alexnet has \["):
        from_torchvision({**empty(), name: torch.zeros(7)})


def test_our_names_are_checked_on_the_way_out() -> None:
    state = from_torchvision(empty())
    del state["fc6.weight"]
    with pytest.raises(InputError, match=r"fc6\.weight is missing"):
        to_torchvision(state)
    with pytest.raises(InputError, match=r"conv1\.weight is \[96, 3, 11, 11\]"):
        to_torchvision({**from_torchvision(empty()), "conv1.weight": torch.zeros(96, 3, 11, 11)})
