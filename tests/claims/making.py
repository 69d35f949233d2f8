"""Results by hand, and a claim and a scale that run in a second."""

import os
from dataclasses import replace
from typing import Any

from alexnet.claims import measures
from alexnet.claims.changes import network, same
from alexnet.claims.claim import Claim, Comparison, Scale, Search
from alexnet.claims.measures import Measured
from alexnet.claims.records import Data, Record, Result, Variant
from alexnet.data.prepared import Prepared
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import demo
from alexnet.run.trained import TrainedNetwork


def result(
    claim: str, scale: str, variants: dict[str, dict[str, list[float]]], target: float | None = None, **fields: Any
) -> Result:
    """A result file's content: variant -> measure -> its value for seeds 0, 1, ..."""
    made = {}
    for name, values in variants.items():
        runs = (
            Record(
                seed=seed,
                values={measure: each[seed] for measure, each in values.items() if seed < len(each)},
                diverged=False,
                training=(60.0, 40.0 - seed),
                validation=((1, 50.0), (2, 45.0)),
                seconds=10.0 + seed,
                commit="abc1234",
            )
            for seed in range(max(len(each) for each in values.values()))
        )
        made[name] = Variant(changes={}, runs=tuple(runs))
    whole = Result(
        claim=claim,
        scale=scale,
        command=f"alexnet claims run {claim} --scale {scale}",
        data=Data(source="photos", size=32, classes=10, images={"train": 100, "val": 50}),
        recipe=demo,
        variants=made,
        search={},
        target=target,
        validation_target=50.0,
        machine={"cpu": "a processor", "capability": "AVX2", "threads": 2, "python": "3.11", "torch": "2.13"},
        commits=("abc1234",),
        seconds=60.0,
    )
    return replace(whole, **fields)


def scale(recipe: Recipe, **changes: Any) -> Scale:
    """The smoke scale with another recipe."""
    made = Scale("smoke", "for tests", "pictures", "a second", recipe, search=Search((0.001, 0.005), 1))
    return replace(made, **changes)


lrn = Claim(
    "tiny-lrn",
    "§3.3",
    "normalization against none",
    variants=(("LRN", same), ("none", network(normalization="none"))),
    comparisons=(Comparison("LRN", "none"),),
)

views = Claim(
    "tiny-views",
    "§6",
    "ten crops against one",
    variants=(("ten crops", same),),
    comparisons=(Comparison("ten crops", None, "ten_gain"),),
    measures=(measures.ten_crops,),
)

relu = Claim(
    "tiny-relu",
    "§3.1",
    "each with its own rate, until the target",
    variants=(("ReLU", same), ("tanh", network(activation="tanh"))),
    comparisons=(Comparison("tanh", "ReLU", "epochs_to_target", "higher", ratio=True),),
    measures=(),
    search=True,
    stops=True,
)


def dies(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """A measure that ends its process as the kernel does for want of memory."""
    os._exit(9)
