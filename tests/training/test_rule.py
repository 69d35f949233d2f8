"""The paper's update rule by hand, and every schedule epoch by epoch (§5, FACTS of the 2012 runs)."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet.network.model import AlexNet
from alexnet.run.schedule import Plateau, Rates, Schedule, rates, warm_up
from alexnet.training.rule import LARS, PaperSGD, apply, freeze, groups, trust_ratios
from tests.conftest import TINY_NETWORK


def steps(optimizer: torch.optim.Optimizer, w: nn.Parameter, plan: list[tuple[float, float]]) -> list[float]:
    """The weight after each (gradient, rate) of the plan."""
    results = []
    for gradient, rate in plan:
        for group in optimizer.param_groups:
            group["lr"] = rate
        w.grad = torch.tensor([gradient], dtype=w.dtype)
        optimizer.step()
        results.append(w.item())
    return results


def weight(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value], dtype=torch.float64))


def test_three_steps_by_hand_with_decay_and_a_drop_of_the_rate() -> None:
    w = weight(2.0)
    optimizer = PaperSGD([w], lr=0.1, momentum=0.9, decay=0.5)
    results = steps(optimizer, w, [(1.0, 0.1), (1.0, 0.1), (-2.0, 0.01)])
    # v <- .9 v - decay * rate * w - rate * g;  w <- w + v
    # 1: v = 0         - .5 * .1 * 2       - .1 * 1   = -.2           w = 1.8
    # 2: v = -.18      - .5 * .1 * 1.8     - .1 * 1   = -.37          w = 1.43
    # 3: v = -.333     - .5 * .01 * 1.43   + .01 * 2  = -.32015       w = 1.10985
    assert results == pytest.approx([1.8, 1.43, 1.10985], abs=1e-12)


def test_it_is_pytorch_s_rule_while_the_rate_is_constant() -> None:
    ours, reference = weight(2.0), weight(2.0)
    plan = [(1.0, 0.1), (0.5, 0.1), (-2.0, 0.1), (0.25, 0.1)]
    results = steps(PaperSGD([ours], 0.1, 0.9, 0.5), ours, plan)
    assert results == pytest.approx(
        steps(torch.optim.SGD([reference], 0.1, 0.9, weight_decay=0.5), reference, plan), abs=1e-12
    )


def test_it_is_not_pytorch_s_rule_when_the_rate_drops() -> None:
    ours, reference = weight(1.0), weight(1.0)
    plan = [(1.0, 0.1), (0.0, 0.01)]
    # Ours carries the old step on: v = -.1, then -.09. PyTorch's velocity is 1, then .9, times the new rate.
    assert steps(PaperSGD([ours], 0.1, 0.9, 0.0), ours, plan) == pytest.approx([0.9, 0.81], abs=1e-12)
    assert steps(torch.optim.SGD([reference], 0.1, 0.9), reference, plan) == pytest.approx([0.9, 0.891], abs=1e-12)


def test_a_weight_without_gradient_stays() -> None:
    w = weight(3.0)
    PaperSGD([w], decay=0.5).step()
    assert w.item() == 3.0


def layered() -> nn.Module:
    return nn.ModuleDict(
        {"conv1": nn.Conv2d(3, 2, 1), "norm1": nn.BatchNorm2d(2), "fc6": nn.Linear(2, 2), "fc8": nn.Linear(2, 2)}
    )


def test_groups_are_by_place_and_kind_and_hold_every_parameter_once() -> None:
    model = AlexNet(replace(TINY_NETWORK, normalization="batch"))
    built = groups(model, "fc6", 0.0005, bias_decay=True)
    held = [id(parameter) for group in built for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    places = {(g["place"], g["kind"]) for g in built}
    assert places == {(place, kind) for place in ("first", "middle", "last") for kind in ("weights", "biases")}
    by = {(g["place"], g["kind"]): {id(p) for p in g["params"]} for g in built}
    assert by["first", "weights"] == {id(model.conv1.weight)} and by["first", "biases"] == {id(model.conv1.bias)}
    assert by["last", "weights"] == {id(model.fc6.weight)} and by["last", "biases"] == {id(model.fc6.bias)}
    assert id(model.norm1.weight) in by["middle", "biases"]
    assert {g["decay"] for g in built} == {0.0005}


def test_the_two_forms_of_bias_rate_and_decay_by_hand() -> None:
    model = layered()
    for bias_rate, bias_decay, weights_after, biases_after in [
        (1.0, True, 0.895, 0.895),  # the text: all alike, 1 - .1 * .05 - .1 * 1
        (2.0, False, 0.895, 0.8),  # the program: twice the rate, no decay: 1 - .2 * 1
    ]:
        for parameter in model.parameters():
            nn.init.ones_(parameter)
            parameter.grad = torch.ones_like(parameter)
        optimizer = PaperSGD(groups(model, "fc8", 0.05, bias_decay), momentum=0.9)
        apply(optimizer, rates(Schedule("constant"), 0, 1, 0.1, bias_rate, Plateau()))
        optimizer.step()
        for parameter in model.parameters():
            wanted = biases_after if parameter.ndim == 1 else weights_after
            torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, wanted))


def test_rates_by_place() -> None:
    optimizer = PaperSGD(groups(layered(), "fc8", 0.05, True))
    apply(optimizer, Rates(0.01, 0.02, first=0.1), first=0.5, last=10.0)
    results = {(g["place"], g["kind"]): g["lr"] for g in optimizer.param_groups}
    assert results == pytest.approx(
        {
            ("first", "weights"): 0.0005,
            ("first", "biases"): 0.001,
            ("middle", "weights"): 0.01,
            ("middle", "biases"): 0.02,
            ("last", "weights"): 0.1,
            ("last", "biases"): 0.2,
        }
    )


def test_a_layer_with_a_rate_of_its_own_has_groups_of_its_own() -> None:
    plain, with_factors = (
        groups(layered(), "fc8", 0.05, True),
        groups(layered(), "fc8", 0.05, True, {"fc6": 2.0, "conv1": 0.1}),
    )
    assert all(list(group) == ["params", "place", "kind", "decay"] for group in plain)  # as in checkpoints of before
    assert [(g["place"], g["kind"], g.get("layer"), g.get("factor")) for g in with_factors] == [
        ("first", "weights", "conv1", 0.1),
        ("first", "biases", "conv1", 0.1),
        ("middle", "biases", None, None),  # batch normalization, which is no layer
        ("middle", "weights", "fc6", 2.0),
        ("middle", "biases", "fc6", 2.0),
        ("last", "weights", None, None),
        ("last", "biases", None, None),
    ]
    optimizer = PaperSGD(with_factors)
    apply(optimizer, Rates(0.01, 0.02, first=0.1), first=0.5, last=10.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.00005, 0.0001, 0.02, 0.02, 0.04, 0.1, 0.2]
    )


def test_the_factor_of_a_layer_is_the_recipe_s_multiple_for_conv1() -> None:
    results = []
    for factors, first in ((None, 0.25), ({"conv1": 0.25}, 1.0)):
        torch.manual_seed(0)
        model = layered()
        optimizer = PaperSGD(groups(model, "fc8", 0.05, True, factors))
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.sin(parameter.detach())
            apply(optimizer, Rates(0.1, 0.2), first=first)
            optimizer.step()
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    torch.manual_seed(0)
    assert not torch.equal(results[0]["conv1.weight"], layered().state_dict()["conv1.weight"])


def test_a_frozen_layer_gets_no_gradient_and_does_not_decay() -> None:
    model = AlexNet(TINY_NETWORK, torch.Generator().manual_seed(0))
    freeze(model, ("conv1", "conv2", "fc4"))
    optimizer = PaperSGD(groups(model, "fc6", 0.5, True), lr=0.01)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    activations = model.activations(torch.randn(2, 3, 28, 28))
    differentiated = [name for name, output in activations.items() if output.requires_grad]
    assert differentiated[0] == "conv3", "the backward pass ends above the lowest layer that is trained"
    for _ in range(2):
        model(torch.randn(2, 3, 28, 28)).sum().backward()
        optimizer.step()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == (name.split(".")[0] in ("conv1", "conv2", "fc4")), name


# LARS, worked out with You, Gitman and Ginsburg's formula: local rate = trust |w| / (|g| + decay |w|).


def test_two_steps_of_lars_by_hand() -> None:
    w = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))  # of length 5
    optimizer = LARS([{"params": [w], "kind": "weights"}], lr=0.1, momentum=0.5, decay=0.2, trust=0.5)
    w.grad = torch.tensor([0.0, 2.0], dtype=torch.float64)
    optimizer.step()
    # ratio .5 * 5 / (2 + .2 * 5) = 5/6;  v = -.1 * 5/6 * (g + .2 w) = -1/12 * (.6, 2.8) = (-.05, -.233333)
    assert w.tolist() == pytest.approx([2.95, 4 - 2.8 / 12])
    w.data = torch.tensor([0.6, 0.8], dtype=torch.float64)  # of length 1
    w.grad = torch.tensor([1.0, 0.0], dtype=torch.float64)
    optimizer.step()
    # ratio .5 * 1 / (1 + .2) = 5/12;  v = (-.025, -.116667) - .1 * 5/12 * (1 + .12, .16) = (-.071667, -.123333)
    assert w.tolist() == pytest.approx([0.6 - 0.025 - 1.12 / 24, 0.8 - 1.4 / 12 - 0.16 / 24])


def test_lars_is_the_paper_s_rule_where_the_ratio_is_1() -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=draw, dtype=torch.float64)
    ours, reference = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    lars, paper = LARS([{"params": [ours], "kind": "weights"}], decay=0.5), PaperSGD([reference], decay=0.5)
    for _ in range(3):
        gradient = torch.randn(4, 3, generator=draw, dtype=torch.float64)
        # The trust that makes the ratio 1.
        lars.trust = float((gradient.norm() + 0.5 * ours.detach().norm()) / ours.detach().norm())
        ours.grad, reference.grad = gradient.clone(), gradient.clone()
        lars.step()
        paper.step()
    assert torch.allclose(ours, reference, rtol=1e-12, atol=0) and not torch.allclose(ours, start)


def test_the_length_of_a_step_of_lars_is_the_rate_s_share_of_the_weights_length() -> None:
    for scale in (1e-3, 1.0, 1e3):
        w = nn.Parameter(torch.ones(4, 3, dtype=torch.float64))
        w.grad = scale * torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        before = w.detach().clone()
        LARS([{"params": [w], "kind": "weights"}], lr=0.01, decay=0.0).step()
        assert float((w.detach() - before).norm() / before.norm()) == pytest.approx(0.01)


def test_lars_leaves_biases_and_weights_without_length_to_the_rate() -> None:
    model = layered()
    nn.init.zeros_(model["fc8"].weight)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    LARS(groups(model, "fc8", 0.0, True), lr=0.1).step()
    for name, parameter in model.named_parameters():
        if name in ("fc6.weight", "conv1.weight"):
            assert not torch.allclose(parameter, before[name] - 0.05)
        else:
            torch.testing.assert_close(parameter.detach(), before[name] - 0.05)
    assert [r.item() for r in trust_ratios([torch.zeros(2), torch.ones(4)], [torch.ones(2)] * 2, 0.5, 0.0)] == [
        1.0,
        pytest.approx(0.5 * 2 / 2**0.5),
    ]


def test_a_warm_up_step_by_step_by_hand() -> None:
    # Goyal et al.: from the small batch's rate, .01, to 8 times that over 5 epochs of 4 steps, by as much at each step.
    full = Rates(0.08, 0.16, first=0.1, last=10.0, colour=False)
    results = [warm_up(full, step / 4, 5, 1 / 8) for step in range(22)]
    assert [r.weights for r in results] == pytest.approx([0.01 + 0.0035 * step for step in range(20)] + [0.08] * 2)
    assert [r.biases for r in results] == pytest.approx([2 * r.weights for r in results])
    assert {(r.first, r.last, r.colour) for r in results} == {(0.1, 10.0, False)}
    assert results[20] is full and warm_up(full, 0.0, 0.0, 0.0) is full
    assert [warm_up(full, step / 4, 0.5, 0.0).weights for step in range(3)] == pytest.approx([0.0, 0.04, 0.08])


def table(schedule: Schedule, epochs: int, rate: float = 0.01, bias_rate: float = 2.0) -> list[Rates]:
    return [rates(schedule, epoch, epochs, rate, bias_rate, Plateau()) for epoch in range(epochs)]


def test_the_recorded_schedule_of_2012_epoch_by_epoch() -> None:
    results = table(Schedule("recorded-2012"), 91)
    assert [r.weights for r in results] == pytest.approx([1e-2] * 25 + [1e-3] * 26 + [1e-4] * 28 + [1e-5] * 12)
    assert [r.biases for r in results] == pytest.approx([2e-2] * 25 + [2e-3] * 66)
    assert [r.weights * r.first for r in results[:79]] == pytest.approx(
        [1e-2] * 25 + [1e-3] * 26 + [1e-4] * 16 + [1e-5] * 5 + [0.0] * 7
    )
    assert [r.first for r in results[72:]] == [0.0] * 19  # frozen
    assert [r.colour for r in results] == [True] * 67 + [False] * 24
    assert {r.last for r in results} == {1.0}


@pytest.mark.parametrize("times", [2, 3, 7])
def test_the_recorded_schedule_keeps_its_shape_over_more_epochs(times: int) -> None:
    once, longer = table(Schedule("recorded-2012"), 91), table(Schedule("recorded-2012"), 91 * times)
    assert longer == [r for r in once for _ in range(times)]


def test_the_recorded_schedule_scaled_to_30_epochs() -> None:
    results = table(Schedule("recorded-2012"), 30)
    # Epoch e of 30 is epoch 91 e / 30: 24.3 | 27.3 ... 48.5 | 51.6 ... 66.7 | 69.8 ... 75.8 | 78.9 | 81.9
    assert [r.weights for r in results] == pytest.approx([1e-2] * 9 + [1e-3] * 8 + [1e-4] * 10 + [1e-5] * 3)
    assert [r.biases for r in results] == pytest.approx([2e-2] * 9 + [2e-3] * 21)
    assert [r.first for r in results] == [1.0] * 23 + [0.1] + [0.0] * 6
    assert [r.colour for r in results] == [True] * 23 + [False] * 7


@pytest.mark.parametrize("epochs", [4, 60, 90])
def test_run_170_s_four_stages(epochs: int) -> None:
    results = table(Schedule("run-170"), epochs)
    quarter, half = epochs / 4, epochs // 2
    stages = [0.01, 0.01 / 250 ** (1 / 3), 0.01 / 250 ** (2 / 3), 0.01 / 250]
    assert [r.weights for r in results] == pytest.approx([stages[int(epoch / quarter)] for epoch in range(epochs)])
    assert results[-1].weights == pytest.approx(4e-5)
    assert [r.biases for r in results] == pytest.approx([0.02] * half + [0.002] * (epochs - half))
    assert all(r.colour and r.first == 1.0 for r in results)


def test_the_fine_tuning_of_2012_epoch_by_epoch() -> None:
    results = table(Schedule("fine-tuning-2012"), 54, rate=0.001, bias_rate=2.0)
    assert [r.weights for r in results] == pytest.approx([1e-3] * 22 + [1e-4] * 20 + [1e-5] * 12)
    assert [r.biases for r in results] == pytest.approx([2 * r.weights for r in results])
    assert [0.1 * r.weights * r.first for r in results] == pytest.approx([1e-4] * 5 + [1e-5] * 2 + [0.0] * 47)
    assert [10 * r.weights * r.last for r in results] == pytest.approx(
        [1e-2] * 9 + [1e-3] * 13 + [1e-4] * 20 + [1e-5] * 12
    )
    assert [r.colour for r in results] == [True] * 38 + [False] * 16


def test_the_biases_and_the_last_third_of_2012_are_switches_of_their_own() -> None:
    steps, recorded = Schedule("steps", drops=(0.5, 0.75)), Schedule("recorded-2012")
    plain, program = table(steps, 91), table(recorded, 91)
    once = table(replace(steps, biases="once"), 91)
    assert [r.biases for r in once] == pytest.approx([0.02] * 46 + [0.002] * 45)
    assert [replace(r, biases=0.0) for r in once] == [replace(r, biases=0.0) for r in plain]
    third = table(replace(steps, last_third="authors-2012"), 91)
    assert [(r.first, r.colour) for r in third] == [(r.first, r.colour) for r in program]
    assert [(r.weights, r.biases) for r in third] == [(r.weights, r.biases) for r in plain]
    text = table(replace(recorded, biases="with-weights", last_third="plain"), 91)
    assert [r.weights for r in text] == [r.weights for r in program]
    assert all(r.biases == 2 * r.weights and r.first == 1.0 and r.colour for r in text)
    assert table(replace(recorded, biases="once", last_third="authors-2012"), 91) == program


def test_steps_drop_at_their_shares() -> None:
    results = table(Schedule("steps", factor=10.0, drops=(0.5, 0.75, 0.9)), 20, bias_rate=1.0)
    assert [r.weights for r in results] == pytest.approx([1e-2] * 10 + [1e-3] * 5 + [1e-4] * 3 + [1e-5] * 2)
    assert [r.biases for r in results] == [r.weights for r in results]
    assert [r.weights for r in table(Schedule("steps", factor=2.0, drops=(0.5,)), 4)] == [0.01, 0.01, 0.005, 0.005]


def test_constant() -> None:
    assert table(Schedule("constant"), 3) == [Rates(0.01, 0.02)] * 3


def test_a_plateau_drops_the_rate_three_times_and_then_ends() -> None:
    schedule = Schedule("plateau", patience=2)
    memory, results = Plateau(), []
    #          better  | two without | equal is not better, worse | better, then two plateaus without another drop left
    for error in [90, 80, 80, 81, 70, 75, 70, 60, 61, 60, 59, 60, 60]:
        assert not memory.ended
        memory = memory.after(error, schedule)
        results.append(rates(schedule, 0, 90, 0.01, 2.0, memory))
    assert [r.weights for r in results] == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4] * 3 + [1e-5] * 4)
    assert [r.biases for r in results] == pytest.approx([2 * r.weights for r in results])
    assert memory.ended and memory.best == 59 and memory.drops == 3


def test_a_plateau_without_drops_ends_at_once() -> None:
    memory = Plateau()
    for error in (50.0, 50.0):
        memory = memory.after(error, Schedule("plateau", times=0, patience=1))
    assert memory.ended


def test_autograd_sees_the_update() -> None:
    weight = torch.nn.Parameter(torch.ones(3, 3))
    loss = (weight * weight).sum()
    weight.grad = torch.ones(3, 3)
    PaperSGD([weight]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
