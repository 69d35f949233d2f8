"""Which images of a prepared dataset a run trains on, and which validate it (§2)."""

from dataclasses import replace

import numpy as np

from alexnet.data.prepared import Prepared, Split, hold_out
from alexnet.errors import InputError
from alexnet.run.recipe import Recipe, seed_of


def training_of(recipe: Recipe, prepared: Prepared) -> tuple[Split, np.ndarray]:
    """The training split, and the indices of the images that a run trains on: all but those held out for validation."""
    split = prepared.split("train")
    if {"val", "test"} & set(prepared.splits):
        return split, np.arange(len(split.labels))
    return split, hold_out(split.labels, recipe.hold_out, recipe.hold_out_seed)[0]


def epoch_order(recipe: Recipe, labels: np.ndarray, indices: np.ndarray, epoch: int) -> np.ndarray:
    """The indices of the images that an epoch trains on, in its order: each once, or with `recipe.balance` drawn class by class.

    Balanced, it is as many images in all; every class gives as many as every other, or one more. Of a small class each image
    comes equally often, or once more; of a large one other images come in other epochs. labels: of the whole split.
    """
    draw = np.random.default_rng(seed_of(recipe.seed, "order", epoch))
    if not recipe.balance:
        return draw.permutation(indices)
    classes = np.unique(labels[indices])
    share, more = divmod(len(indices), len(classes))
    drawn = []
    for place, label in enumerate(draw.permutation(classes)):
        images, wanted = indices[labels[indices] == label], share + (place < more)
        rest = draw.permutation(images)[: wanted % len(images)]
        drawn += [np.tile(images, wanted // len(images)), rest]
    return draw.permutation(np.concatenate(drawn))


def validation_of(recipe: Recipe, prepared: Prepared) -> tuple[Split, np.ndarray]:
    """The images that validate a run, and their indices: the set's own split, or the recipe's share of the training images."""
    if {"val", "test"} & set(prepared.splits):
        split = prepared.split("val")
        return split, np.arange(len(split.labels))
    split = prepared.split("train")
    return split, hold_out(split.labels, recipe.hold_out, recipe.hold_out_seed)[1]


def mixed(split: Split, indices: np.ndarray, seed: int) -> np.ndarray:
    """Indices of images of a split in an order drawn by a seed, the first of every class before a second of any."""
    order = np.random.default_rng(seed).permutation(indices)
    first_of_class = np.sort(np.unique(split.labels[order], return_index=True)[1])
    return np.concatenate([order[first_of_class], np.delete(order, first_of_class)])


def measured_on(validation: Split) -> str:
    """What the split of `validation_of` is called: "val", "test", or "held out of train"."""
    return "held out of train" if validation.name == "train" else validation.name


def check_fit(recipe: Recipe, prepared: Prepared) -> Recipe:
    """The recipe with the number of classes of the data. InputError if recipe and data do not go together."""
    recipe.check()
    if prepared.size < recipe.image_size:
        raise InputError(
            f"{prepared.path}: its images are {prepared.size}×{prepared.size}, recipe {recipe.name} is for {recipe.image_size};"
            f" prepare with alexnet prepare --size {recipe.image_size}, or set --image-size {prepared.size}"
            " and a --network.input-size that is not larger"
        )
    split, indices = training_of(recipe, prepared)
    if len(indices) == 0:
        raise InputError(f"{prepared.path}: no training images are left; hold out less with --hold-out")
    if not 0 <= split.labels.min() <= split.labels.max() < len(prepared.classes):
        raise InputError(
            f"{prepared.path}: labels beyond its {len(prepared.classes)} classes; check it with alexnet data"
        )
    if len(validation_of(recipe, prepared)[1]) == 0:
        raise InputError(f"{prepared.path}: no images are left for validation; hold out more with --hold-out")
    return replace(recipe, network=replace(recipe.network, classes=len(prepared.classes)))
