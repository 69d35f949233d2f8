"""A recipe is a value: it survives JSON, and what is wrong in one is named."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.run import recipe
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import continued, fine_tuned, recipes
from alexnet.run.schedule import Plateau, Rates, Schedule
from alexnet.training.rule import LARS, PaperSGD, optimizer_of
from tests.conftest import TINY_NETWORK


@pytest.mark.parametrize("name", recipes)
def test_a_named_recipe_is_usable_and_survives_json(name: str) -> None:
    one = recipes[name]
    one.check()
    assert one.name == name
    assert Recipe.from_json(one.to_json()) == one


def test_names_of_recipes() -> None:
    networks = {"demo", "imagenette", "starter", "cifar10", "paper", "authors-2012"}
    assert set(recipes) == networks | {"pretrain", "finetune", "large-batch", "lars"}


def test_changed_fields_survive_json() -> None:
    changed = replace(
        recipes["paper"],
        micro_batch=16,
        layer_rates=("conv2:0.1", "fc6:2"),
        freeze=("conv1",),
        rule="lars",
        schedule=Schedule("steps", drops=(0.3,)),
        network=replace(recipes["paper"].network, normalization="none", links=("conv3",)),
    )
    assert Recipe.from_json(changed.to_json()) == changed


def test_the_paper_s_rule_and_the_program_s() -> None:
    paper, program = recipes["paper"], recipes["authors-2012"]
    assert (paper.rate, paper.momentum, paper.decay, paper.batch) == (0.01, 0.9, 0.0005, 128)
    assert (paper.bias_rate, paper.bias_decay, paper.schedule.kind, paper.schedule.times) == (1.0, True, "plateau", 3)
    assert (program.bias_rate, program.bias_decay, program.epochs) == (2.0, False, 91)
    assert (program.schedule.kind, program.augmentation.crop) == ("recorded-2012", "group")
    assert (program.augmentation.colour, program.augmentation.mean) == ("authors-2012", "centre")


@pytest.mark.parametrize(
    ("where", "field"),
    [((), "epoch"), (("network",), "colums"), (("schedule",), "kinds"), (("augmentation",), "crops")],
)
def test_an_unknown_field_is_named(where: tuple[str, ...], field: str) -> None:
    values = json.loads(recipes["demo"].to_json())
    inner = values
    for name in where:
        inner = inner[name]
    inner[field] = 1
    with pytest.raises(
        InputError, match=r"RUN/recipe.json\." + r"\.".join([*where, field]) + r": no such field.*fields are"
    ):
        Recipe.from_json(json.dumps(values), "RUN/recipe.json")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("epochs", "90"),
        ("epochs", 1.5),
        ("epochs", True),
        ("rate", "fast"),
        ("bias_decay", 1),
        ("device", None),
        ("micro_batch", "8"),
        ("precision", "fp16"),
        ("network", "paper"),
        ("network.columns", True),
        ("network.columns", 3),
        ("freeze", "conv1"),
        ("layer_rates", {"conv1": 0.1}),
        ("layer_rates.0", 0.1),
        ("rule", "adam"),
        ("network.bottleneck", True),
        ("network.links", "fc6"),
        ("network.links.0", 6),
        ("network.convolutions", {}),
        ("network.convolutions.1", 96),
        ("network.convolutions.1.kernels", "many"),
        ("network.convolutions.1.then.0", "gelu"),
        ("schedule.kind", "cosine"),
        ("schedule.drops", 0.5),
        ("augmentation.crop", None),
    ],
)
def test_a_value_of_a_wrong_type_is_named(where: str, value: Any) -> None:
    values = json.loads(recipes["demo"].to_json())
    *path, last = (int(part) if part.isdigit() else part for part in where.split("."))
    inner = values
    for part in path:
        inner = inner[part]
    if where == "layer_rates.0":
        inner.append("")
    inner[last] = value
    with pytest.raises(InputError, match=rf"^RUN/recipe\.json\.{re.escape(where)}: .*(must be|choose one of)"):
        Recipe.from_json(json.dumps(values), "RUN/recipe.json")


def test_a_whole_number_is_a_number_and_null_is_none() -> None:
    values = json.loads(recipes["demo"].to_json())
    values |= {"rate": 1, "micro_batch": None}
    built = Recipe.from_json(json.dumps(values))
    assert built.rate == 1.0 and isinstance(built.rate, float) and built.micro_batch is None
    values["micro_batch"] = 8
    assert Recipe.from_json(json.dumps(values)).micro_batch == 8


def test_a_missing_field_is_named_and_one_with_a_default_is_not_needed() -> None:
    values = json.loads(recipes["demo"].to_json())
    del values["schedule"]["biases"]  # runs of before there was this switch
    assert Recipe.from_json(json.dumps(values)) == recipes["demo"]
    del values["network"]["hidden"]
    with pytest.raises(InputError, match=r"recipe\.json\.network\.hidden is missing"):
        Recipe.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"demo"', "null", "{}", '{"name": "demo"}', '{"epochs": [1]}'])
def test_what_is_no_recipe_is_refused_by_its_file(text: str) -> None:
    with pytest.raises(InputError, match="RUN/recipe.json"):
        Recipe.from_json(text, "RUN/recipe.json")


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"batch": -1}, "--batch -1"),
        ({"validate_every": 0}, "--validate-every 0"),
        ({"keep": 0}, "--keep 0"),
        ({"image_size": 0}, "--image-size 0"),
        ({"micro_batch": 0}, "--micro-batch 0"),
        ({"rate": 0.0}, "--rate 0"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"rate": float("inf")}, "--rate inf"),
        ({"seed": -1}, "--seed -1"),
        ({"hold_out_seed": -1}, "--hold-out-seed -1"),
        ({"momentum": 1.0}, "--momentum 1"),
        ({"momentum": -0.1}, "--momentum -0.1"),
        ({"decay": -1.0}, "--decay -1"),
        ({"bias_rate": -2.0}, "--bias-rate -2"),
        ({"first_rate": -1.0}, "--first-rate -1"),
        ({"stuck_steps": -1}, "--stuck-steps -1"),
        ({"last_rate_after": -1.0}, "--last-rate-after -1"),
        ({"warmup_epochs": float("inf")}, "--warmup-epochs inf"),
        ({"checkpoint_minutes": float("inf")}, "--checkpoint-minutes inf"),
        ({"base_batch": -1}, "--base-batch -1"),
        ({"trust": 0.0}, "--trust 0"),
        ({"layer_rates": ("conv1=2",)}, "--layer-rates conv1=2: write LAYER:FACTOR"),
        ({"layer_rates": ("conv1:fast",)}, "--layer-rates conv1:fast: write LAYER:FACTOR"),
        ({"layer_rates": (":2",)}, "--layer-rates :2: write LAYER:FACTOR"),
        ({"layer_rates": ("conv1:-1",)}, "--layer-rates conv1:-1: write LAYER:FACTOR"),
        ({"layer_rates": ("conv1:1", "conv1:2")}, "--layer-rates conv1:2: conv1 is there twice"),
        ({"layer_rates": ("conv6:1",)}, "--layer-rates conv6: .*layers are conv1, conv2, .*, fc7, fc8$"),
        ({"freeze": ("pool1",)}, "--freeze pool1: .*layers are conv1, conv2, .*, fc7, fc8$"),
        ({"freeze": ("conv1",), "layer_rates": ("conv1:2",)}, "--freeze conv1: --layer-rates gives it a rate too"),
        ({"freeze": (*(f"conv{k}" for k in range(1, 6)), "fc6", "fc7", "fc8")}, "these are all layers"),
        ({"hold_out": 0.0}, "--hold-out 0"),
        ({"hold_out": 1.0}, "--hold-out 1"),
        ({"schedule": Schedule(factor=1.0)}, "--schedule.factor 1"),
        ({"schedule": Schedule(patience=0)}, "--schedule.patience"),
    ],
)
def test_a_value_that_no_run_can_use_is_named_by_its_option(change: dict[str, Any], option: str) -> None:
    with pytest.raises(InputError, match=option):
        replace(recipes["demo"], **change).check()


def test_a_folder_without_a_recipe_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recipe.json"):
        recipe.read(tmp_path)
    (tmp_path / "recipe.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="recipe.json"):
        recipe.read(tmp_path)
    (tmp_path / "recipe.json").write_text(recipes["demo"].to_json())
    assert recipe.read(tmp_path) == recipes["demo"]


def test_fine_tuning_keeps_the_network_but_its_classes_and_lowers_the_rates() -> None:
    start = recipes["paper"]
    fine = fine_tuned(start, 7)
    assert fine.network == replace(start.network, classes=7)
    assert fine.rate == pytest.approx(0.001)
    assert fine.rate * fine.first_rate == pytest.approx(0.0001)
    assert fine.rate * fine.last_rate == pytest.approx(0.01)
    assert fine.schedule.kind == "fine-tuning-2012"
    assert fine.name == "paper-fine-tuned"
    fine.check()


def test_fine_tuning_drops_the_bottleneck() -> None:
    start = replace(recipes["pretrain"], freeze=("conv1",), layer_rates=("fc6:2",), warmup_epochs=1.0)
    fine = fine_tuned(start, 7)
    assert fine.network == replace(start.network, classes=7, bottleneck=0) and fine.network.conv6
    assert (fine.freeze, fine.layer_rates, fine.warmup_epochs) == ((), (), 0.0)


def test_the_pre_training_of_2012() -> None:
    network = recipes["pretrain"].network
    assert (network.classes, network.conv6, network.bottleneck) == (21_843, True, 2048)
    same = replace(network, name="paper", classes=1000, conv6=False, bottleneck=0)
    assert replace(recipes["pretrain"], name="paper", network=same) == recipes["paper"]


def test_the_fine_tuning_of_2012_is_that_of_the_recorded_rates() -> None:
    fine = recipes["finetune"]
    steps = 10_009  # of 128 images, for the 1,281,167 of 2012
    assert fine.warming(steps) in (300, 301)
    for step, last in ((0, 1e-3), (299, 1e-3), (301, 1e-2), (9 * steps, 1e-3)):
        now = fine.warmed(fine.rates(step // steps, Plateau()), step, steps)
        assert now.weights == pytest.approx(1e-3)
        assert now.weights * now.last * fine.last_rate == pytest.approx(last)
    assert fine.rate * fine.first_rate == pytest.approx(1e-4)
    assert (fine.epochs, fine.schedule.kind) == (54, "fine-tuning-2012")


def test_a_recipe_goes_on_with_the_network_of_another_run() -> None:
    start = replace(recipes["demo"], network=replace(recipes["demo"].network, conv6=True, bottleneck=32))
    built = continued(start, recipes["finetune"])
    assert built.network == replace(start.network, bottleneck=0)
    assert (built.name, built.image_size) == ("demo-finetune", start.image_size)
    own = {"name": "finetune", "network": recipes["finetune"].network, "image_size": recipes["finetune"].image_size}
    assert replace(built, **own) == recipes["finetune"]  # type: ignore[arg-type]
    built.check()


def test_the_rate_in_proportion_to_the_batch_and_its_warm_up() -> None:
    # Goyal et al. 2017: k times the batch, k times the rate, from the rate of the base batch over five epochs.
    large = recipes["large-batch"]
    assert (large.rate, large.batch, large.base_batch, large.full_rate) == (0.01, 1024, 128, pytest.approx(0.08))
    now = large.rates(0, Plateau())
    assert now == Rates(pytest.approx(0.08), pytest.approx(0.08))  # type: ignore[arg-type]
    assert large.warming(100) == 500
    warmed = [large.warmed(now, step, 100).weights for step in (0, 100, 250, 499, 500, 900)]
    assert warmed == pytest.approx([0.01, 0.024, 0.045, 0.08 - 0.07 / 500, 0.08, 0.08])
    assert large.rates(0, Plateau(drops=1)).weights == pytest.approx(0.008)


def test_without_a_warm_up_no_step_has_rates_of_its_own() -> None:
    for name in ("demo", "paper", "authors-2012", "cifar10"):
        assert recipes[name].warming(100) == 0 and recipes[name].full_rate == recipes[name].rate
    assert fine_tuned(recipes["paper"], 7).warming(100) == 0
    assert replace(recipes["paper"], last_rate_after=2.0).warming(100) == 0  # there is nothing to wait for


def test_the_rule_of_a_recipe() -> None:
    model = AlexNet(TINY_NETWORK)
    plain = replace(recipes["demo"], network=TINY_NETWORK)
    assert type(optimizer_of(plain, model)) is PaperSGD
    layerwise = replace(plain, rule="lars", trust=0.5, layer_rates=("fc4:2",))
    built = optimizer_of(layerwise, model)
    assert isinstance(built, LARS) and built.trust == 0.5
    assert {group.get("layer") for group in built.param_groups} == {None, "fc4"}


def test_batch_normalization_behind_a_frozen_layer_is_refused() -> None:
    normalized = replace(recipes["demo"], network=replace(recipes["demo"].network, normalization="batch"))
    with pytest.raises(InputError, match="--freeze conv2: the batch normalization behind it"):
        replace(normalized, freeze=("conv3", "conv2")).check()
    replace(normalized, freeze=("conv3", "fc6")).check()
