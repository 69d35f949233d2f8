"""§3.2: the two columns of the one module against two separate stacks of plain layers that exchange their maps."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.network.layers import ColumnLinear
from alexnet.network.model import AlexNet
from alexnet.network.networks import small
from alexnet.network.spec import Network

from .tiny import images, seeded, tiny


def halves(tensor: Tensor) -> tuple[Tensor, Tensor]:
    first, second = tensor.detach().chunk(2, dim=0)
    return first.clone(), second.clone()


class Column(nn.Module):
    """What one GPU held: half of the kernels of every layer, made of plain layers."""

    def __init__(self, model: AlexNet, half: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        for name, row in model.spec.rows():
            weight = halves(model.get_parameter(f"{name}.weight").flatten(0, -4 if "conv" in name else -2))[half]
            bias = halves(model.get_parameter(f"{name}.bias"))[half]
            layer: nn.Module
            if name.startswith("conv"):
                stride, padding = getattr(row, "stride"), getattr(row, "padding")  # noqa: B009
                layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], stride, padding)
            else:
                layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            self.layers[name] = layer.double()


class TwoColumns(nn.Module):
    """Two columns that pass each other their maps before the linked layers, and one layer of classes over both."""

    def __init__(self, model: AlexNet) -> None:
        super().__init__()
        self.spec, self.windows = model.spec, model.windows
        self.columns = [Column(model, 0), Column(model, 1)]
        classes, inputs = model.get_parameter("fc8.weight").shape
        self.last = nn.Linear(inputs, classes).double()
        self.last.load_state_dict(model.get_submodule("fc8").state_dict())
        self.norm = model.spec.lrn.alpha

    def normalize(self, maps: list[Tensor]) -> list[Tensor]:
        norm = nn.LocalResponseNorm(5, alpha=self.norm * 5, beta=0.75, k=2.0)
        if self.spec.normalization_window == "column":
            return [norm(own) for own in maps]
        return list(norm(torch.cat(maps, dim=1)).chunk(2, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        maps = [x, x]
        for name, row in self.spec.rows():
            if name.startswith("fc") and maps[0].dim() > 2:
                maps = [own.flatten(1) for own in maps]
            if name in self.spec.links or name in ("conv6", "bottleneck"):
                both = torch.cat(maps, dim=1)  # the exchange
                maps = [both, both]
            hang = max(0, self.windows[name].overhang) if name in self.windows else 0
            maps = [F.pad(own, (0, hang, 0, hang)) if hang else own for own in maps]
            maps = [column.layers[name](own) for column, own in zip(self.columns, maps, strict=True)]
            for step in row.then:
                if step == "relu":
                    maps = [own.relu() for own in maps]
                elif step == "norm":
                    maps = self.normalize(maps)
                elif step == "pool":
                    maps = [F.max_pool2d(own, 3, 2, ceil_mode=True) for own in maps]
                elif step == "dropout":
                    maps = [own * (1 - self.spec.dropout) for own in maps]
        return self.last(torch.cat(maps, dim=1))


CASES: dict[str, dict[str, Any]] = {
    "paper": {},
    "authors-2012": {"normalization": "authors-2012", "normalization_window": "column", "order": "norm-pool-relu"},
    "no links": {"links": ()},
    "conv2 and fc7 linked": {"links": ("conv2", "fc7")},
    "conv6": {"conv6": True},
    "bottleneck": {"bottleneck": 4, "last_std": 0.5},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("spec", [small, tiny], ids=["small", "tiny"])
def test_one_grouped_module_equals_two_modules_with_exchange(spec: Network, case: str) -> None:
    one = AlexNet(replace(spec, **CASES[case]), generator=seeded(5)).double().eval()
    two = TwoColumns(one)
    x = images(3, spec.input_size).double()
    weights = torch.randn(3, spec.classes, generator=seeded(6), dtype=torch.float64)
    expected, actual = two(x), one(x)
    assert torch.allclose(actual, expected, rtol=1e-10, atol=1e-12)
    assert actual.std() > 0.01  # not equal for being nothing
    (expected * weights).sum().backward()
    (actual * weights).sum().backward()
    for name, _ in one.spec.rows():
        for part in ("weight", "bias"):
            whole = one.get_parameter(f"{name}.{part}")
            assert whole.grad is not None
            parts = [column.get_submodule("layers").get_submodule(name).get_parameter(part) for column in two.columns]
            separate = torch.cat([half.grad for half in parts if half.grad is not None])
            assert separate.abs().max() > 0, name
            assert torch.allclose(whole.grad.reshape(separate.shape), separate, rtol=1e-8, atol=1e-10), name
    assert torch.allclose(one.get_parameter("fc8.weight").grad, two.last.weight.grad, rtol=1e-8)  # type: ignore[arg-type]


def cross_gradient(spec: Network, until: str) -> tuple[float, float]:
    """Largest gradient of column 1's part of layer `until` by conv1's maps of column 1, and by those of column 2."""
    model = AlexNet(spec, generator=seeded(7)).double().eval()
    x = model.get_submodule("conv1")(images(2, spec.input_size).double()).detach().requires_grad_()
    y = x
    for name, layer in list(model.named_children())[1:]:
        y = layer(y)
        if name == until:
            break
    (y.chunk(2, dim=1)[0] if until != "fc8" else y).sum().backward()
    assert x.grad is not None
    own, other = x.grad.chunk(2, dim=1)
    return float(own.abs().max()), float(other.abs().max())


def test_without_links_the_columns_meet_in_the_last_layer_only() -> None:
    apart = replace(tiny, links=(), normalization_window="column")
    model = AlexNet(apart)
    assert isinstance(model.get_submodule("fc6"), ColumnLinear) and isinstance(model.get_submodule("fc7"), ColumnLinear)
    for until in ("pool2", "pool5", "relu6", "relu7"):
        own, other = cross_gradient(apart, until)
        assert own > 0 and other == 0, until
    own, other = cross_gradient(apart, "fc8")
    assert own > 0 and other > 0


def test_the_columns_meet_where_a_link_or_the_window_of_normalization_says() -> None:
    apart = replace(tiny, links=(), normalization_window="column")
    assert cross_gradient(replace(apart, normalization_window="across"), "pool1")[1] > 0
    linked = replace(tiny, normalization_window="column")
    assert cross_gradient(linked, "pool2")[1] == 0
    assert cross_gradient(linked, "relu3")[1] > 0


def test_a_column_linear_is_a_linear_with_two_blocks_on_its_diagonal() -> None:
    torch.manual_seed(0)
    layer = ColumnLinear(10, 6, 2).double()
    assert layer.weight.shape == (2, 3, 5)
    whole = torch.block_diag(*layer.weight)
    x = torch.randn(4, 10, dtype=torch.float64)
    assert torch.allclose(layer(x), F.linear(x, whole, layer.bias))
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))


def test_the_first_half_of_the_kernels_is_column_1() -> None:
    model = AlexNet(tiny, generator=seeded(8)).eval()
    with torch.no_grad():
        model.get_parameter("conv2.weight")[:3] = 0  # column 1 of layer 2 reads nothing
        model.get_parameter("conv2.bias")[:3] = 0
        maps = model.activations(images(1, 32))["conv2"]
    assert maps[:, :3].abs().max() == 0 and maps[:, 3:].abs().max() > 0
