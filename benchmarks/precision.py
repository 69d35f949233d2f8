"""A training step in bf16 against float32 on this CPU, of networks from small to the paper's.

    python benchmarks/precision.py [--repeats 7] [--save]

The step as the trainer does it, on images already in memory: the recipes' own batches, the paper's network with 128. About a
minute.
"""

from collections.abc import Callable

import torch
from measure import Row, arguments, finish, in_turn, ratios, row
from training_step import our_learner

from alexnet.claims.scales import scales
from alexnet.device import Precision
from alexnet.fast import bf16_unit
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import recipes

RECIPES = {"smoke": scales["smoke"].recipe, "reduced": scales["reduced"].recipe} | {
    name: recipes[name] for name in ("demo", "cifar10", "paper")
}
STEPS = 4
"""To a round: the small networks take milliseconds."""


def steps(recipe: Recipe, precision: Precision) -> Callable[[], None]:
    """Some updates of the weights."""
    torch.manual_seed(0)
    step = our_learner(recipe, precision)
    images = 60 * torch.randn(recipe.batch, 3, recipe.network.input_size, recipe.network.input_size)
    images = images.to(torch.bfloat16 if precision == "bf16" else torch.float32, memory_format=torch.channels_last)
    labels = torch.randint(recipe.network.classes, (recipe.batch,))

    def run() -> None:
        for _ in range(STEPS):
            step(images, labels)

    return run


def main() -> None:
    given = arguments(__doc__)
    rows: list[Row] = []
    for name, recipe in RECIPES.items():
        forms: dict[str, Callable[[], float | None]] = {
            "bf16": steps(recipe, "bf16"),
            "float32": steps(recipe, "float32"),
        }
        seconds = in_turn(forms, given.repeats, warmup=2)
        for precision, took in seconds.items():
            rows.append(row(f"{name}, {precision}", [STEPS * recipe.batch / each for each in took], "images/s"))
        rows.append(row(f"{name}: bf16 against float32", ratios(seconds["bf16"], seconds["float32"]), "×"))
    finish(f"precision_{(bf16_unit() or 'none').lower()}", rows, given)


if __name__ == "__main__":
    main()
