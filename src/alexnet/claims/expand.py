"""From claims to runs: which training runs an experiment is, for every variant and seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alexnet.claims.changes import narrowed
from alexnet.claims.claim import Claim, Group, Scale, Stage
from alexnet.claims.keys import Run, Task
from alexnet.claims.measures import keeps_predictions
from alexnet.run.recipe import Recipe, flatten


def variants(claim: Claim, scale: Scale) -> dict[str, Run]:
    """The runs of a claim at a scale by the names of its variants, seeds and searched rates apart; InputError where the scale has
    none. Variants that are several networks are not among them: `networks`."""
    base, runs = scale.base(claim), {}
    for name, change in claim.variants:
        recipe = change(base)
        if claim.stops:
            search = scale.search_of(claim)
            recipe = replace(recipe, epochs=scale.most_epochs if search is scale.search else search.epochs)
        runs[name] = Run(recipe, scale.target if claim.stops else None)
    return runs


def search_tasks(claim: Claim, scale: Scale) -> dict[str, list[Task]]:
    """The short runs that find each variant's rate."""
    search, tasks = scale.search_of(claim), dict[str, list[Task]]()
    for name, run in variants(claim, scale).items() if claim.search else ():
        until = run.until if search.by == "epochs_to_target" else None
        short = replace(run.recipe, epochs=search.epochs, seed=search.seed)
        tasks[name] = [
            Task(f"{claim.id} {name} rate {rate:g}", Run(replace(short, rate=rate), until))
            for rate in search.rates_of(name)
        ]
    return tasks


def tasks(claim: Claim, scale: Scale, rates: dict[str, float], seeds: Sequence[int]) -> dict[str, list[Task]]:
    """The runs of every variant, one a seed; `rates`: what the search found, by variant."""
    expanded = {}
    for name, run in variants(claim, scale).items():
        recipe = replace(run.recipe, rate=rates.get(name, run.recipe.rate))
        runs = [replace(run, recipe=replace(recipe, seed=seed)) for seed in seeds]
        expanded[name] = [Task(f"{claim.id} {name}", run, claim.measures) for run in runs]
    return expanded


def stage_recipe(stage: Stage, scale: Scale, base: Recipe, classes: int) -> Recipe:
    """The recipe of a stage's networks; `classes`: of the images that networks are pre-trained on."""
    recipe = stage.change(base)
    if stage.other_images:
        return replace(narrowed(recipe, classes), epochs=scale.pretrain_epochs or recipe.epochs)
    return scale.fine_tuning(recipe) if stage.start else recipe


def networks(group: Group, scale: Scale, base: Recipe, classes: int, repeat: int) -> list[Task]:
    """The networks of a group in a repeat; `classes`: of the images that networks are pre-trained on."""

    def task(stage: Stage, seed: int) -> Task:
        before = task(stage.start, seed) if stage.start else None
        recipe = replace(stage_recipe(stage, scale, base, classes), seed=seed)
        run = Run(recipe, start=before.run if before else None, other_images=stage.other_images)
        measures = () if stage.other_images else (keeps_predictions,)
        return Task(stage.name, run, measures, lends=True, before=before)

    return [task(stage, seed) for stage in group.stages for seed in stage.seeds(repeat)]


def differences(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """The fields in which `recipe` differs from `base`, seed and names apart: {"network.normalization": "none"}."""
    fields, other = flatten(recipe), flatten(base)
    names = [name for name in fields if name not in ("seed", "name", "network.name")]
    changed = {name: fields[name] for name in names if fields[name] != other.get(name, ...)}
    gone = [name for name in other if name not in fields and name.endswith(".then")]  # one field of each row that went
    return {**changed, **{name.removesuffix(".then"): None for name in gone}}
