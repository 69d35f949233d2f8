"""What is trained of a network: layers frozen or with rates of their own, what is copied from another run, rates that rise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.run import checkpoint
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import continued, recipes
from alexnet.training import rule, train
from tests.conftest import prepare_pictures


def weights(run: Path) -> dict[str, Tensor]:
    return checkpoint.weights(checkpoint.newest(run))


def at_step_0(run: Path) -> dict[str, Tensor]:
    return checkpoint.weights(run / "checkpoints" / checkpoint.name_of(0))


def velocities(run: Path) -> int:
    state = torch.load(checkpoint.newest(run) / "state.pt", weights_only=True)
    return len(state["optimizer"]["state"])


@pytest.fixture(scope="module")
def short(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, epochs=2, keep=9)


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_frozen_layers_stay_to_the_bit_and_the_others_learn(
    tiny_prepared: Prepared, short: Recipe, tmp_path: Path
) -> None:
    recipe = replace(short, freeze=("conv1", "conv2", "fc5"), decay=0.05)
    train(recipe, tiny_prepared, tmp_path)
    before, after = at_step_0(tmp_path), weights(tmp_path)
    for name in before:
        assert torch.equal(before[name], after[name]) == (name.split(".")[0] in recipe.freeze), name
    assert velocities(tmp_path) == 6  # conv3, fc4, fc6


def test_the_rate_of_conv1_by_its_name_is_first_rate(tiny_prepared: Prepared, short: Recipe, tmp_path: Path) -> None:
    train(replace(short, first_rate=0.25, last_rate=2.0), tiny_prepared, tmp_path / "by-place")
    by_name = replace(short, layer_rates=("conv1:0.25", "fc6:2"))
    train(by_name, tiny_prepared, tmp_path / "by-name")
    assert equal(weights(tmp_path / "by-place"), weights(tmp_path / "by-name"))
    train(short, tiny_prepared, tmp_path / "alike")
    assert not equal(weights(tmp_path / "alike"), weights(tmp_path / "by-name"))


CASES: dict[str, dict[str, Any]] = {
    "layer rates, frozen": {"layer_rates": ("conv2:0.5", "fc4:0"), "freeze": ("conv1",)},
    "warm-up": {"base_batch": 8, "warmup_epochs": 1.5},
    "last rate later": {"last_rate": 4.0, "last_rate_after": 1.3},
    "lars": {"rule": "lars", "layer_rates": ("conv2:0.5",), "warmup_epochs": 0.7},
}


@pytest.mark.parametrize("case", CASES)
def test_stopped_after_every_step_it_is_the_run_that_never_was(
    case: str, tiny_prepared: Prepared, short: Recipe, tmp_path: Path
) -> None:
    recipe = replace(short, **CASES[case])
    train(recipe, tiny_prepared, tmp_path / "never")
    outcome = train(recipe, tiny_prepared, tmp_path / "stopped", stop=lambda: True)
    while not outcome.finished:
        outcome = train(recipe, tiny_prepared, tmp_path / "stopped", resume=True, stop=lambda: True)
    assert equal(weights(tmp_path / "stopped"), weights(tmp_path / "never"))
    assert not equal(weights(tmp_path / "never"), at_step_0(tmp_path / "never"))


def test_the_rates_that_the_steps_of_a_warm_up_are_taken_with(
    tiny_prepared: Prepared, short: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[float] = []
    plain = rule.PaperSGD.step

    def recorded(self: rule.PaperSGD, closure: None = None) -> Any:
        results.append(next(g["lr"] for g in self.param_groups if (g["place"], g["kind"]) == ("middle", "weights")))
        return plain(self, closure)

    monkeypatch.setattr(rule.PaperSGD, "step", recorded)
    # 72 images: 5 steps an epoch. 16 images, 4 times the base batch: from .005 to .02 in 5 steps.
    recipe = replace(short, base_batch=4, warmup_epochs=1.0, schedule=replace(short.schedule, kind="constant"))
    train(recipe, tiny_prepared, tmp_path)
    assert results == pytest.approx([0.005, 0.008, 0.011, 0.014, 0.017] + [0.02] * 5)


# ---------------------------------------------------------------- head replacement


@pytest.fixture(scope="module")
def pretrained(tiny_prepared: Prepared, short: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A run of a network with a fourth convolution of its own, as conv6 is to the paper's five, and the bottleneck."""
    run = tmp_path_factory.mktemp("pretrained") / "run"
    recipe = replace(short, epochs=1, network=replace(short.network, conv6=True, bottleneck=6))
    train(recipe, tiny_prepared, run)
    return recipe, run


def test_fine_tuning_copies_all_of_a_pre_trained_network_but_its_head(
    pretrained: tuple[Recipe, Path], tmp_path: Path
) -> None:
    start, run = pretrained
    other = prepare_pictures(tmp_path / "other", 8, seed=5, kinds=("blobs", "bars", "stripes"))
    tuned = replace(continued(start, recipes["finetune"]), epochs=1, batch=8, device="cpu", keep=9)
    train(tuned, other, tmp_path / "run", start_from=weights(run))
    before, first, last = weights(run), at_step_0(tmp_path / "run"), weights(tmp_path / "run")
    assert not any(name.startswith("bottleneck") for name in first) and "bottleneck.weight" in before
    copied = [name for name in before if name.split(".")[0] not in ("bottleneck", "fc6")]
    assert {name.split(".")[0] for name in copied} == {"conv1", "conv2", "conv3", "conv4", "fc4", "fc5"}
    assert all(torch.equal(first[name], before[name]) for name in copied)
    assert first["fc6.weight"].shape == (3, 32) and not torch.equal(first["fc6.weight"], last["fc6.weight"])
    moved = {name: float((last[name] - first[name]).abs().max()) for name in copied}
    assert all(moved.values())


def test_a_layer_that_only_one_of_the_two_networks_has_is_named(
    pretrained: tuple[Recipe, Path], tiny_run: Path, tiny_prepared: Prepared, short: Recipe, tmp_path: Path
) -> None:
    start, run = pretrained
    with pytest.raises(InputError, match="--from: conv4 is in that run's network and not in this one"):
        train(short, tiny_prepared, tmp_path / "run", start_from=weights(run))
    deeper = replace(start, network=replace(start.network, bottleneck=0))
    with pytest.raises(InputError, match=r"--from: conv4.weight is \[16, 16, 3, 3\] here and not in that run"):
        train(deeper, tiny_prepared, tmp_path / "run", start_from=weights(tiny_run))
    assert not (tmp_path / "run").exists()


def test_a_new_head_may_have_a_bottleneck(
    pretrained: tuple[Recipe, Path], tiny_prepared: Prepared, tmp_path: Path
) -> None:
    start, run = pretrained
    train(replace(start, seed=3, keep=9), tiny_prepared, tmp_path, start_from=weights(run), stop=lambda: True)
    before, first = weights(run), at_step_0(tmp_path)
    assert torch.equal(first["fc5.weight"], before["fc5.weight"])
    assert not torch.equal(first["bottleneck.weight"], before["bottleneck.weight"])


def test_old_runs_groups_are_read(tiny_prepared: Prepared, short: Recipe, tmp_path: Path) -> None:
    # As a version without any of this wrote them.
    train(short, tiny_prepared, tmp_path, stop=lambda: True)
    file = checkpoint.newest(tmp_path) / "state.pt"
    state = torch.load(file, weights_only=True)
    keys = {"params", "place", "kind", "decay", "lr", "momentum"}
    assert all(set(group) == keys for group in state["optimizer"]["param_groups"])
    assert train(short, tiny_prepared, tmp_path, resume=True).finished
