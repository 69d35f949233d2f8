"""Which images an epoch trains on, and in which order."""

from dataclasses import replace

import numpy as np
import pytest

from alexnet.run.images import epoch_order
from alexnet.run.recipe import Recipe

LABELS = np.repeat([0, 1, 2, 9], [10, 3, 50, 7])
INDICES = np.flatnonzero(np.arange(70) % 10)  # 9, 2, 45 and 7 images are left of the classes


def order(recipe: Recipe, epoch: int) -> np.ndarray:
    return epoch_order(recipe, LABELS, INDICES, epoch)


def test_each_image_once_in_an_order_of_seed_and_epoch(tiny_recipe: Recipe) -> None:
    assert sorted(order(tiny_recipe, 3)) == INDICES.tolist()
    assert order(tiny_recipe, 3).tolist() == order(tiny_recipe, 3).tolist() != order(tiny_recipe, 4).tolist()
    assert order(tiny_recipe, 3).tolist() != order(replace(tiny_recipe, seed=1), 3).tolist()


@pytest.mark.parametrize("epoch", range(5))
def test_balanced_every_class_gives_equally_many_or_one_more(tiny_recipe: Recipe, epoch: int) -> None:
    drawn = order(replace(tiny_recipe, balance=True), epoch)
    assert len(drawn) == len(INDICES) == 63 and set(drawn) <= set(INDICES)
    assert sorted(np.bincount(LABELS[drawn])[[0, 1, 2, 9]]) == [15, 16, 16, 16]
    for label in (0, 1, 2, 9):
        times = np.unique(drawn[LABELS[drawn] == label], return_counts=True)[1]
        assert times.max() - times.min() <= 1
    assert len(np.unique(drawn[LABELS[drawn] == 1])) == 2, "all of a small class"


def test_balanced_a_large_class_gives_other_images_in_other_epochs(tiny_recipe: Recipe) -> None:
    drawn = [order(replace(tiny_recipe, balance=True), epoch) for epoch in range(12)]
    large = [set(each[LABELS[each] == 2]) for each in drawn]
    assert large[0] != large[1]
    assert len(set.union(*large)) == 45
    assert drawn[0].tolist() == order(replace(tiny_recipe, balance=True), 0).tolist()
