"""The module: every named network and every switch runs; what it computes; what can be read from it."""

import math
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network.layers import Dropout
from alexnet.network.model import AlexNet
from alexnet.network.networks import authors_2012, networks, paper, small
from alexnet.network.spec import Convolution, Hidden, Network

from .tiny import images, seeded, tiny

# Contract: what holds for every network.


def check_contract(model: AlexNet, x: Tensor) -> None:
    spec = model.spec
    logits, activations, features = model(x), model.activations(x), model.features(x)
    assert list(activations) == [name for name, _ in model.named_children()]
    assert logits.shape == (len(x), spec.classes) and logits.isfinite().all()
    assert list(activations)[-1] == spec.last_name
    assert torch.equal(activations[spec.last_name], logits)
    for name, window in model.windows.items():
        assert activations[name].shape[-2:] == (window.output, window.output), name
    before_last = [name for name in activations if not name.startswith("dropout") and name != "bottleneck"][-2]
    assert torch.equal(features, activations[before_last])


@pytest.mark.parametrize("name", networks)
@torch.no_grad()
def test_every_named_network_runs(name: str) -> None:
    model = AlexNet(networks[name], generator=seeded()).eval()
    check_contract(model, images(1, model.spec.input_size))
    if "fc7" in dict(model.named_children()) and name != "small":
        features = model.features(images(1, model.spec.input_size))
        assert features.shape == (1, 1024 if name == "starter" else 4096) and features.min() >= 0 and features.max() > 0


SWITCHES: list[dict[str, Any]] = [
    {field.name: value}
    for field in fields(Network)
    if get_origin(field.type) is Literal
    for value in get_args(field.type)
]
SWITCHES += [
    {"classes": 10},
    {"input_size": 19},
    {"input_size": 31},
    {"links": ()},
    {"links": ("conv2", "conv4", "fc7")},
    {"map_normalization": False},
    {"dropout": 0.0},
    {"dropout": 0.9},
    {"conv6": True},
    {"bottleneck": 6},
    {"bottleneck": 6, "hidden": (), "links": ("conv3",)},
    {"last_std": 0.1},
    {"input_scale": 1 / 60},
    {"hidden": (), "links": ("conv3",)},
    {"hidden": (Hidden(16), Hidden(8, then=()))},
    {"convolutions": tuple(replace(row, kernels=2 * row.kernels) for row in tiny.convolutions)},
    {"convolutions": tuple(replace(row, then=(*row.then, "norm-map")) for row in tiny.convolutions)},
]


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_switch_alone_runs_forward_and_backward(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = AlexNet(replace(tiny, **changes), generator=seeded()).train()
    x = images(4, model.spec.input_size, scale=3.0)
    F.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    check_contract(model.eval(), x)


@pytest.mark.parametrize(
    "changes",
    [
        *({"normalization": value} for value in ("none", "authors-2012", "caffe", "batch")),
        {"normalization_window": "column"},
        {"pooling": "2/2"},
        {"rounding": "down"},
        {"activation": "tanh"},
        {"activation": "sigmoid"},
        {"dropout": 0.2},
        {"order": "norm-relu-pool"},
        {"order": "relu-pool-norm"},
        {"init": "pytorch"},
        {"init": "paper"},
    ],
    ids=str,
)
@torch.no_grad()
def test_every_switch_changes_the_output(changes: dict[str, Any]) -> None:
    x = images(2, 32)
    base, changed = (AlexNet(spec, seeded()).eval()(x) for spec in (tiny, replace(tiny, **changes)))
    assert not torch.allclose(base, changed, rtol=1e-3)


# What conv1 does at the edge.


def front(spec: Network) -> AlexNet:
    """A network's convolutions with no hidden layers, so that it is quickly made."""
    return AlexNet(replace(spec, hidden=(), links=("conv3",), classes=2), seeded()).eval()


@torch.no_grad()
def test_the_overhang_of_2012_is_zero_padding_at_the_right_and_bottom() -> None:
    model, x = front(authors_2012), images(1, 224)
    weight, bias = model.get_parameter("conv1.weight"), model.get_parameter("conv1.bias")
    actual = model.activations(x)["conv1"]
    assert actual.shape == (1, 96, 55, 55)
    assert torch.allclose(actual, F.conv2d(F.pad(x, (0, 3, 0, 3)), weight, bias, stride=4), atol=1e-4)
    assert not torch.allclose(actual, F.conv2d(F.pad(x, (3, 0, 3, 0)), weight, bias, stride=4), atol=1e-1)
    # All but the last row and column of windows is what PyTorch gives without the overhang.
    assert torch.allclose(actual[..., :54, :54], F.conv2d(x, weight, bias, stride=4), atol=1e-4)
    # And the image with three rows and columns of zeros (the mean) is one of 227.
    wider = front(replace(authors_2012, input_size=227))
    wider.load_state_dict(model.state_dict())
    assert torch.allclose(wider(F.pad(x, (0, 3, 0, 3))), model(x), atol=1e-4)


KERNELS = st.integers(1, 5)


@st.composite
def window_specs(draw: st.DrawFn) -> Network:
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(KERNELS)
        then: tuple[Any, ...] = draw(st.sampled_from([("relu",), ("relu", "pool"), ("pool", "norm")]))
        rows.append(Convolution(2, size, draw(st.integers(1, 4)), draw(st.integers(0, size // 2)), then=then))
    return Network(
        name="windows",
        convolutions=tuple(rows),
        hidden=(),
        classes=2,
        links=(),
        input_size=draw(st.integers(1, 48)),
        rounding=draw(st.sampled_from(["up", "down"])),
        pooling=draw(st.sampled_from(["3/2", "2/2"])),
        columns=draw(st.sampled_from([1, 2])),
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(window_specs())
@torch.no_grad()
def test_window_arithmetic_is_what_the_module_does(spec: Network) -> None:
    try:
        model = AlexNet(spec).eval()
    except InputError as error:
        name = str(error).partition(":")[0]
        assert name.startswith(("conv", "pool")) and "window does not fit" in str(error)
        return
    activations = model.activations(torch.ones(1, 3, spec.input_size, spec.input_size))
    size = spec.input_size
    for name, window in model.windows.items():
        assert activations[name].shape[-2:] == (window.output, window.output), name
        assert activations[name].isfinite().all(), name
        # The arithmetic that is printed holds, and starts from the map before.
        assert window.size == size
        covered = (window.output - 1) * window.stride + window.window
        assert covered == window.size + window.overhang + 2 * window.padding
        assert 0 <= window.overhang < window.stride if spec.rounding == "up" else -window.stride < window.overhang <= 0
        size = window.output


# Numbers the module starts from.


def check_start(model: AlexNet, expected: dict[str, tuple[float, float]]) -> None:
    for name, (std, bias) in expected.items():
        weight, biases = model.get_parameter(f"{name}.weight"), model.get_parameter(f"{name}.bias")
        count = weight.numel()
        assert abs(weight.mean().item()) < 5 * std / math.sqrt(count), name
        assert abs(weight.std().item() / std - 1) < 5 / math.sqrt(2 * count), name
        assert torch.equal(biases, torch.full_like(biases, bias)), name


BIASES = {"conv1": 0, "conv2": 1, "conv3": 0, "conv4": 1, "conv5": 1, "fc6": 1, "fc7": 1, "fc8": 0}


def test_initial_values_of_the_paper() -> None:
    model = AlexNet(paper, seeded())
    check_start(model, {name: (0.01, bias) for name, bias in BIASES.items()})
    # And the names under which weights are saved.
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == {
        "conv1.weight": [96, 3, 11, 11],
        "conv1.bias": [96],
        "conv2.weight": [256, 48, 5, 5],
        "conv2.bias": [256],
        "conv3.weight": [384, 256, 3, 3],
        "conv3.bias": [384],
        "conv4.weight": [384, 192, 3, 3],
        "conv4.bias": [384],
        "conv5.weight": [256, 192, 3, 3],
        "conv5.bias": [256],
        "fc6.weight": [4096, 9216],
        "fc6.bias": [4096],
        "fc7.weight": [4096, 4096],
        "fc7.bias": [4096],
        "fc8.weight": [1000, 4096],
        "fc8.bias": [1000],
    }


def test_initial_values_of_2012() -> None:
    wide = {"conv3", "conv4", "conv5"}
    model = AlexNet(replace(authors_2012, conv6=True), seeded())
    check_start(model, {name: (0.03 if name in wide else 0.01, bias) for name, bias in BIASES.items()})
    check_start(model, {"conv6": (0.03, 1)})


def test_the_bottleneck_starts_as_the_last_layer_does() -> None:
    check_start(AlexNet(replace(small, bottleneck=64), seeded()), {"bottleneck": (0.05, 0), "fc8": (0.05, 0)})
    check_start(AlexNet(replace(small, bottleneck=64, init="authors-2012"), seeded()), {"bottleneck": (0.01, 0)})


def test_initial_values_of_caffe_and_of_the_four_layer_network() -> None:
    caffe = replace(networks["caffe"], hidden=(Hidden(64, std=0.005, bias=0.1),), links=("conv3", "fc6"))
    check_start(AlexNet(caffe, seeded()), {"conv1": (0.01, 0), "conv2": (0.01, 0.1), "fc6": (0.005, 0.1)})
    expected = {"conv1": (1e-3, 0.0), "conv2": (0.03, 0.0), "conv3": (0.02, 0.0), "fc4": (0.03, 0.0)}
    check_start(AlexNet(networks["four-layer"], seeded()), expected)


def test_pytorchs_initial_values_are_uniform_by_the_number_of_inputs() -> None:
    model = AlexNet(replace(small, init="pytorch", links=()), seeded())
    for name, inputs in {"conv1": 3 * 49, "conv2": 16 * 25, "fc6": 32 * 9, "fc8": 256}.items():
        for part in ("weight", "bias"):
            values = model.get_parameter(f"{name}.{part}")
            assert 0.8 < values.abs().max().item() * math.sqrt(inputs) <= 1, name
        assert abs(model.get_parameter(f"{name}.weight").std().item() * math.sqrt(3 * inputs) - 1) < 0.05


@pytest.mark.parametrize("init", ["rows", "pytorch"])
def test_one_generator_one_network(init: Any) -> None:
    spec = replace(tiny, init=init, normalization="batch", links=())
    first, again, other = AlexNet(spec, seeded(1)), AlexNet(spec, seeded(1)), AlexNet(spec, seeded(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.get_parameter("conv3.weight"), other.get_parameter("conv3.weight"))
    for parameter in other.parameters():
        parameter.data.add_(1)
    other.initialize(seeded(1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


# Finite differences.

WHOLE: dict[str, dict[str, Any]] = {
    "paper": {},
    "authors-2012": {
        "convolutions": (
            replace(tiny.convolutions[0], then=("norm", "pool", "relu")),
            replace(tiny.convolutions[1], then=("relu", "norm", "norm-map", "pool")),
            *tiny.convolutions[2:],
        ),
        "normalization": "authors-2012",
        "normalization_window": "column",
    },
    "caffe": {"normalization": "caffe", "dropout_form": "inverted"},
    "batch, conv6, bottleneck": {"normalization": "batch", "conv6": True, "bottleneck": 4},
    "no links, tanh": {"links": (), "activation": "tanh"},
}


TOLERANCE: dict[str, Any] = {"eps": 1e-6, "atol": 1e-6, "rtol": 1e-4}


@pytest.mark.parametrize("case", WHOLE)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_finite_differences_through_the_whole_network(case: str, mode: str) -> None:
    model = AlexNet(replace(tiny, **WHOLE[case]), seeded(4)).double().train(mode == "train")
    names, parameters = zip(*model.named_parameters(), strict=True)

    def logits(x: Tensor, *values: Tensor) -> Tensor:
        torch.manual_seed(2)  # the same dropped units every time
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))

    scale = 2.0 if "tanh" in case else 60.0
    x = images(2, 32, scale=1.0).double().requires_grad_()

    def scaled(x: Tensor, *values: Tensor) -> Tensor:
        return logits(scale * x, *values)

    assert torch.autograd.gradcheck(scaled, (x, *parameters), fast_mode=True, **TOLERANCE)
    # Slow mode, element by element, for a layer of each kind near the input: all the rest lies behind it.
    chosen = [names.index(name) for name in ("conv1.bias", "conv2.bias", "conv3.bias", "fc6.bias", "fc8.weight")]

    def by_few(*few: Tensor) -> Tensor:
        values = list(parameters)
        for index, value in zip(chosen, few, strict=True):
            values[index] = value  # type: ignore[assignment]
        return scaled(x.detach(), *values)

    assert torch.autograd.gradcheck(
        by_few, tuple(parameters[index] for index in chosen), eps=1e-6, atol=1e-5, rtol=1e-4
    )


def test_finite_differences_would_notice_a_gradient_that_is_half_a_percent_off() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(context: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * 1.005

    model = AlexNet(tiny, seeded(4)).double().eval()
    x = images(2, 32).double()
    offset = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)  # of the three colours
    assert torch.autograd.gradcheck(lambda offset: model(x + offset), (offset,), **TOLERANCE)
    with pytest.raises(RuntimeError, match="Jacobian"):
        torch.autograd.gradcheck(lambda offset: model(x + Wrong.apply(offset)), (offset,), **TOLERANCE)


# Dropout.


def test_the_papers_dropout_masks_in_training_and_halves_at_test() -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 500) + 0.5
    layer = Dropout(0.5)
    dropped = layer.train()(x)
    assert ((dropped == 0) | (dropped == x)).all()
    kept = (dropped != 0).float().mean().item()
    assert abs(kept - 0.5) < 5 * 0.5 / math.sqrt(x.numel())
    assert torch.equal(layer.eval()(x), x * 0.5)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_in_expectation_is_its_test_form(p: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(50)
    layer = Dropout(p)
    mean = torch.stack([layer.train()(x) for _ in range(4000)]).mean(0)
    spread = x.abs() * math.sqrt(p * (1 - p) / 4000)
    assert ((mean - layer.eval()(x)).abs() < 5 * spread).all()


def test_gradient_of_dropout_is_its_mask() -> None:
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)

    def dropped(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return Dropout(0.5).train()(x)

    assert torch.autograd.gradcheck(dropped, (x,))


def test_inverted_dropout_is_the_mask_form_with_activations_twice_as_large() -> None:
    mask, inverted = (replace(tiny, dropout_form=form) for form in ("mask", "inverted"))  # type: ignore[arg-type]
    layer = AlexNet(inverted).get_submodule("dropout6")
    assert isinstance(layer, nn.Dropout) and isinstance(AlexNet(mask).get_submodule("dropout6"), Dropout)
    x = torch.ones(10, 10)
    assert set(layer.train()(x).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(layer.eval()(x), x)
    assert AlexNet(replace(tiny, dropout=0.0)).get_submodule("fc7") is not None
    assert not any("dropout" in name for name, _ in AlexNet(replace(tiny, dropout=0.0)).named_children())


# Reading activations.


@pytest.mark.parametrize("name", ["small", "authors-2012", "four-layer"])
@torch.no_grad()
def test_no_layer_changes_the_output_of_another(name: str) -> None:
    spec = networks[name]
    model = (front(spec) if name == "authors-2012" else AlexNet(spec, seeded())).eval()
    x = images(2, spec.input_size)
    before = x.clone()
    copies: dict[str, Tensor] = {}
    y = x.clone()
    for child, layer in model.named_children():
        y = layer(y.clone())
        copies[child] = y.clone()
    activations = model.activations(x)
    assert torch.equal(x, before)
    assert list(activations) == list(copies)
    for child, copy in copies.items():
        assert torch.equal(activations[child], copy), child
    # A linear response and what the rectifier leaves of it can both be read.
    assert activations["conv3"].min() < 0
    assert torch.equal(activations["relu3"], activations["conv3"].clamp(min=0))


@torch.no_grad()
@torch.no_grad()
def test_input_scale_multiplies_the_pixels_and_nothing_else() -> None:
    scaled, plain = (AlexNet(replace(tiny, input_scale=factor), seeded()).eval() for factor in (0.25, 1.0))
    x = images(2, tiny.input_size)
    assert torch.equal(scaled(x), plain(0.25 * x))
    assert not torch.allclose(scaled(x), plain(x))
    assert scaled.state_dict().keys() == plain.state_dict().keys()


def test_features_are_the_hidden_activations_before_their_dropout() -> None:
    x = images(2, 56)
    for form in ("mask", "inverted"):
        model = AlexNet(replace(small, dropout_form=form), seeded()).eval()  # type: ignore[arg-type]
        features, activations = model.features(x), model.activations(x)
        assert features.shape == (2, 256)
        assert torch.equal(features, activations["relu7"])
        assert features.min() == 0 and features.max() > 0
        # The dropout between fc6 and fc7 is at work: halving in the paper's form, nothing in the other.
        factor = 0.5 if form == "mask" else 1.0
        again = model.get_submodule("fc7")(activations["relu6"] * factor).relu()
        assert torch.allclose(features, again)


def test_the_bottleneck_is_linear_and_reads_fc7_after_its_dropout() -> None:
    model, x = AlexNet(replace(small, bottleneck=6), seeded()).eval(), images(2, 56)
    activations = model.activations(x)
    narrow = model.get_submodule("bottleneck")(activations["relu7"] * 0.5)
    assert torch.allclose(activations["bottleneck"], narrow) and narrow.min() < 0
    assert torch.allclose(activations["fc8"], model.get_submodule("fc8")(narrow))
    assert torch.equal(model.features(x), activations["relu7"])  # features are fc7's still
