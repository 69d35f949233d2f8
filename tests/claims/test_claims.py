"""The claims and the scales agree with each other and with the paper: ids, variants, networks, what a change changes."""

import re
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest

from alexnet.claims import changes, expand, keys, ledger, plan, program, verdicts
from alexnet.claims.changes import network, not_overlapping, one_gpu, plain
from alexnet.claims.claim import Claim, Scale, ScaleName
from alexnet.claims.claims import claims, experiment, table2
from alexnet.claims.scales import scales
from alexnet.claims.sections_6_and_7 import MIDDLE_LAYERS
from alexnet.cli import experiments
from alexnet.network import networks
from alexnet.network.summary import summarize
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import recipes
from alexnet.run.schedule import Plateau, rates

FACTS = (
    "relu", "columns", "links", "lrn", "lrn-cifar", "overlap", "crops", "colour", "dropout", "decay", "depth", "views",
    "one net", "five nets", "one net*", "seven nets*", "fall 2009", "kernels", "features", "batchnorm",
)  # fmt: skip
"""What the paper and the notes claim with a number, in the paper's order."""

EXPERIMENTS = [
    pytest.param(claim, scales[name], id=f"{claim.id}-{name}")
    for claim in claims.values()
    if claim.variants
    for name in claim.scales
]


def test_every_claim_of_the_paper_has_its_row_in_the_papers_order() -> None:
    assert tuple(claims)[: len(FACTS)] == FACTS


def test_every_disagreement_of_text_and_program_has_its_row() -> None:
    own = [id for id in claims if claims[id].section == "2012"]
    assert len(own) == len(program.POINTS) + 2 and {"2012-all", "2012-weights"} <= set(own)


@pytest.mark.parametrize("claim", claims.values(), ids=list(claims))
def test_a_row_says_what_it_is(claim: Claim) -> None:
    assert claims[claim.id] is claim
    assert claim.section and claim.says and not claim.says.endswith(".")
    names = experiment(claim).names
    assert len(set(names)) == len(names)
    assert bool(names) == bool(claim.comparisons) or claim.id == "one net", "which the other three stand against"
    for comparison in claim.comparisons:
        assert {comparison.of, comparison.against or comparison.of} <= set(names)
        assert comparison.measure in verdicts.MEASURES
        assert comparison.against is not None or not comparison.ratio
        if comparison.paper is not None:
            below = comparison.paper < (1 if comparison.ratio else 0)
            assert comparison.expected == ("lower" if below else "higher"), (
                "the paper's figure is on the side it claims"
            )
    assert all(name in scales for name in claim.scales)


def test_measures_of_a_claim_give_what_it_compares() -> None:
    given = {
        "overfitting": {"train_top1", "gap"},
        "ten_crops": {"ten_top1", "ten_gain", "ten_gain5"},
        "columns_colour": {"split"},
        "features": {"feature_gain"},
    }
    for claim in claims.values():
        there = {"top1", "top5", "train_error", "epochs_to_validation"} | (
            {"epochs_to_target"} if claim.stops else set()
        )
        there = there.union(*(given[measure.__name__] for measure in claim.measures))
        there |= {"ten_top1", "ten_top5", "weight_gain"} if claim.result == table2.id else set()
        assert {comparison.measure for comparison in claim.comparisons} <= there, claim.id


@pytest.mark.parametrize(("claim", "scale"), EXPERIMENTS)
def test_every_variant_is_a_recipe_that_can_be_trained(claim: Claim, scale: Scale) -> None:
    base = scale.base(claim)
    changed = {}
    for name, run in expand.variants(claim, scale).items():
        run.recipe.check()
        classes = {"smoke": 13, "imagenet": 1000}.get(scale.name, 10)
        made = summarize(replace(run.recipe.network, classes=classes))
        assert made.parameters > 0 and made.layers[-1].output == (classes, 1, 1)
        assert run.recipe.network.input_size <= run.recipe.image_size
        assert (run.until == scale.target) if claim.stops else run.until is None
        changed[name] = str(keys.decisive(run.recipe))
    assert len(set(changed.values())) == len(changed), "no two variants are the same run"
    if not claim.search and scale.name not in ("small", "smoke"):
        assert str(keys.decisive(base)) in changed.values() or claim.id in ("crops", "views", "bf16")


@pytest.mark.parametrize("claim", [claim for claim in claims.values() if len(claim.variants) == 2], ids=lambda c: c.id)
def test_two_variants_differ_in_what_the_claim_is_about(claim: Claim) -> None:
    """A difference of one to three fields, but for what removes or halves layers and the sum of all points."""
    scale = scales["imagenet" if "imagenet" in claim.scales else "small"]
    first, second = (run.recipe for run in expand.variants(claim, scale).values())
    own, other = keys.decisive(first), keys.decisive(second)
    fields = {name for name in own.keys() | other.keys() if own.get(name) != other.get(name)}
    assert 1 <= len(fields) <= (20 if claim.id in ("columns", "2012-all") else 3), fields


def test_all_points_of_the_program_together_are_authors_2012() -> None:
    """The sum of the switches is the recipe that docs/disagreements.md describes."""
    made = expand.variants(claims["2012-all"], scales["imagenet"])["program"].recipe
    program = recipes["authors-2012"]
    assert dict(made.network.rows()) == dict(program.network.rows())
    own, wanted = keys.decisive(made), keys.decisive(program)
    differing = {name for name in own | wanted if own.get(name) != wanted.get(name) and ".convolutions." not in name}
    # The program's initial values and schedule under one name or under several, and its one epoch more.
    assert differing <= {"epochs", "stuck_steps", "network.init", "schedule.biases", "schedule.last_third"}
    for epoch in range(91):
        args = (epoch, 91, 0.01, 2.0, Plateau())
        assert rates(made.schedule, *args) == rates(program.schedule, *args)


def test_authors_2012_is_trained_once_for_all_claims_about_it() -> None:
    """From scratch it is the run of 2012-all, and its kernels those of the same runs; so are the longer ones."""
    for name in ("smoke", "reduced", "imagenette"):
        scratch, program, early, late = (
            expand.variants(claims[id], scales[name])
            for id in ("from-scratch", "2012-all", "kernels", "kernels-longer")
        )
        assert scratch["authors-2012"] == program["program"] and scratch["paper"] == program["text"]
        assert late["paper"] == early["links"] == scratch["paper"]
        assert all(late[variant] == scratch[variant] for variant in late)
    long, short = (expand.variants(claims["from-scratch"], scales["imagenette"])[name] for name in ("longer", "paper"))
    assert (long.recipe.epochs, short.recipe.epochs) == (270, 90)
    assert replace(long.recipe, epochs=90) == short.recipe


def test_everything_together_is_the_program_by_the_scales_schedule() -> None:
    made = expand.variants(claims["from-scratch"], scales["imagenette"])
    together, program, text = (made[name].recipe for name in ("together", "authors-2012", "paper"))
    assert together.schedule == text.schedule
    assert replace(together, schedule=program.schedule, decay=program.decay, epochs=program.epochs) == program


def test_scale_cifar_is_the_way_to_the_groups_13_and_11_percent() -> None:
    """cuda-convnet's example-layers, layer-params-conv-local-13pct.cfg and -11pct.cfg: crops of 24, wc=.004, epsB twice epsW."""
    recipe = scales["cifar"].recipe
    assert (recipe.network.input_size, recipe.image_size, recipe.augmentation.crop) == (24, 32, "image")
    assert recipe.augmentation.flip and not recipe.bias_decay
    assert (recipe.batch, recipe.decay, recipe.bias_rate) == (128, 0.004, 2.0)
    pair = expand.variants(claims["lrn-cifar"], scales["cifar"])
    assert {variant.recipe.network.normalization for variant in pair.values()} == {"local", "none"}
    shared = [expand.variants(claims[id], scales["cifar"]) for id in ("views", "crops", "overlap", "batchnorm")]
    assert all(str(pair["LRN"]) in map(str, of.values()) for of in shared), "they share its runs"


def test_fig_1_has_no_regularization() -> None:
    for run in expand.variants(claims["relu"], scales["small"]).values():
        recipe = run.recipe
        assert recipe.decay == 0 and recipe.network.dropout == 0 and recipe.network.normalization == "none"
        assert not recipe.augmentation.flip
        assert (recipe.augmentation.crop, recipe.augmentation.colour) == ("centre", "none")
        assert recipe.schedule.kind == "constant"
    activations = [run.recipe.network.activation for run in expand.variants(claims["relu"], scales["small"]).values()]
    assert activations == ["relu", "tanh", "sigmoid"]


def test_plain_leaves_the_architecture() -> None:
    before, after = recipes["paper"], plain(recipes["paper"])
    assert after.network.convolutions == before.network.convolutions and after.rate == before.rate


def test_the_network_for_one_gpu_has_its_parameters() -> None:
    made = one_gpu(recipes["paper"])
    assert [row.kernels for row in made.network.convolutions] == [48, 128, 192, 192, 256]
    assert summarize(made.network).parameters == 59_798_312


def outputs(recipe: Recipe, layers: str) -> dict[str, tuple[int, int, int]]:
    return {layer.name: layer.output for layer in summarize(recipe.network).layers if layer.name.startswith(layers)}


def test_pooling_without_overlap_has_run_147s_paddings() -> None:
    made = not_overlapping(recipes["paper"])
    assert str(made.network.pooling) == "2/2"
    assert [row.padding for row in made.network.convolutions] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("name", ["reduced", "imagenette", "imagenet"])
def test_pooling_without_overlap_keeps_the_sizes_of_the_maps(name: str) -> None:
    base = scales[name].recipe
    after = not_overlapping(base)
    assert outputs(after, "pool")["pool5"] == outputs(base, "pool")["pool5"]
    assert outputs(after, "fc") == outputs(base, "fc")


@pytest.mark.parametrize("name", ["smoke", "small", "cifar"])
def test_pooling_without_overlap_on_small_images_is_as_near_as_paddings_allow(name: str) -> None:
    claim = claims["overlap"]
    base = scales[name].base(claim)
    after = not_overlapping(base)
    for pool, (_, height, _) in outputs(base, "pool").items():
        assert abs(outputs(after, "pool")[pool][1] - height) <= 1


def test_room_to_crop_is_made_only_where_there_is_none() -> None:
    full = replace(recipes["cifar10"], network=replace(recipes["cifar10"].network, input_size=32), image_size=32)
    assert changes.room_to_crop(full).network.input_size == 24
    assert changes.room_to_crop(recipes["paper"]) == recipes["paper"]


def test_dropout_needs_a_hidden_layer() -> None:
    bare = network(hidden=())(recipes["cifar10"])
    assert changes.with_hidden(bare).network.hidden
    assert changes.with_hidden(recipes["paper"]) == recipes["paper"]


def test_removed_middle_layers_exist_at_every_scale() -> None:
    for name in claims["depth"].scales:
        layers = dict(scales[name].base(claims["depth"]).network.rows())
        assert set(MIDDLE_LAYERS) <= set(layers)


def test_shrinking_scales_widths_and_deviations() -> None:
    made = changes.shrunk(networks.paper, 0.25, 2.0, input_size=112)
    assert [row.kernels for row in made.convolutions] == [24, 64, 96, 96, 64]
    assert [row.units for row in made.hidden] == [1024, 1024]
    assert [row.std for row in made.convolutions] == [2 * row.std for row in networks.paper.convolutions]
    assert made.input_size == 112 and made.last_std == networks.paper.last_std


def test_scales_are_named_as_they_are_asked_for() -> None:
    assert all(scales[name].name == name for name in scales)
    assert set(scales) == set(plan.WHOLE) == set(get_args(ScaleName))
    for command in (experiments.claims_run, experiments.claims_show):
        assert set(scales) <= set(re.findall(r"\w+", str(get_type_hints(command)["scale"])))
    assert all(scale.seeds >= verdicts.LEAST_SEEDS for scale in scales.values())


def test_the_rows_of_table_2_are_variants_of_its_experiment() -> None:
    rows = [claim for claim in claims.values() if experiment(claim) is table2]
    assert [claim.id for claim in rows] == [*table2.names, "2012-weights"]
    assert table2.comparisons == tuple(comparison for claim in rows for comparison in claim.comparisons)
    assert ledger.NAMED["table2"] is table2 and "table2" not in claims
