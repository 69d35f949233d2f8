"""A recipe is a value: it survives JSON, and what is wrong in one is named."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.errors import InputError
from alexnet.training import recipe
from alexnet.training.optimizer import Schedule
from alexnet.training.recipe import Recipe, fine_tuned, recipes


@pytest.mark.parametrize("name", recipes)
def test_a_named_recipe_is_usable_and_survives_json(name: str) -> None:
    one = recipes[name]
    one.check()
    assert one.name == name
    assert Recipe.from_json(one.to_json()) == one


def test_names_of_recipes() -> None:
    assert set(recipes) == {"demo", "imagenette", "cifar10", "paper", "authors-2012"}


def test_changed_fields_survive_json() -> None:
    changed = replace(
        recipes["paper"],
        micro_batch=16,
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
    inner[last] = value
    with pytest.raises(InputError, match=rf"^RUN/recipe\.json\.{re.escape(where)}: .*(must be|choose one of)"):
        Recipe.from_json(json.dumps(values), "RUN/recipe.json")


def test_a_whole_number_is_a_number_and_null_is_none() -> None:
    values = json.loads(recipes["demo"].to_json())
    values |= {"rate": 1, "micro_batch": None}
    made = Recipe.from_json(json.dumps(values))
    assert made.rate == 1.0 and isinstance(made.rate, float) and made.micro_batch is None
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
