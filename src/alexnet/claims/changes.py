"""What claims do to a scale's recipe: each change makes one recipe of another."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from alexnet.network.spec import Hidden, Network, Pooling, Step
from alexnet.network.summary import summarize
from alexnet.network.window import slide
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import recipes
from alexnet.run.schedule import Schedule

Change = Callable[[Recipe], Recipe]
"""What makes a variant from a scale's recipe."""


def same(recipe: Recipe) -> Recipe:
    """The scale's recipe as it is."""
    return recipe


def field(**changes: Any) -> Change:
    """Replace fields of the recipe."""
    return lambda recipe: replace(recipe, **changes)


def network(**changes: Any) -> Change:
    """Replace fields of the recipe's network."""
    return lambda recipe: replace(recipe, network=replace(recipe.network, **changes))


def augmentation(**changes: Any) -> Change:
    """Replace fields of the recipe's augmentation."""
    return lambda recipe: replace(recipe, augmentation=replace(recipe.augmentation, **changes))


def schedule(**changes: Any) -> Change:
    """Replace fields of the recipe's schedule."""
    return lambda recipe: replace(recipe, schedule=replace(recipe.schedule, **changes))


def in_turn(*changes: Change) -> Change:
    """One change after another."""

    def changed(recipe: Recipe) -> Recipe:
        for change in changes:
            recipe = change(recipe)
        return recipe

    return changed


def without(name: str) -> Change:
    """Remove a layer of the network."""
    return lambda recipe: replace(recipe, network=recipe.network.without(name))


def plain(recipe: Recipe) -> Recipe:
    """No regularization of any kind, as fig. 1 says of its networks: no decay, dropout, augmentation, normalization."""
    quiet = network(normalization="none", dropout=0.0)(field(decay=0.0, schedule=Schedule("constant"))(recipe))
    return augmentation(crop="centre", flip=False, colour="none")(quiet)


def one_gpu(recipe: Recipe) -> Recipe:
    """The network of §3.2 for one GPU (145-half): half the kernels in every convolution but the last, no columns."""
    *first, last = recipe.network.convolutions
    halved = tuple(replace(row, kernels=row.kernels // 2) for row in first)
    return network(columns=1, convolutions=(*halved, last))(recipe)


def not_overlapping(recipe: Recipe) -> Recipe:
    """2x2 windows (§3.4), and maps of the same size behind them: the padding of a convolution before pooling is lowered by
    one where that brings it nearer, which gives run 147's paddings on 224 pixels."""
    heights, changed = _heights(recipe.network), replace(recipe.network, pooling=Pooling(2, 2))
    for number, row in enumerate(changed.convolutions):
        if number and row.padding and "pool" in row.then:
            lower = _with_row(changed, number, padding=row.padding - 1)
            pool = f"pool{number + 1}"
            kept, lowered = (abs(_heights(each)[pool] - heights[pool]) for each in (changed, lower))
            changed = lower if lowered < kept else changed
    return replace(recipe, network=changed)


def _heights(network: Network) -> dict[str, int]:
    return {layer.name: layer.output[1] for layer in summarize(network).layers}


def _with_row(network: Network, number: int, **changes: Any) -> Network:
    """The network with other fields of one of its convolutions, counted from 0."""
    rows = list(network.convolutions)
    rows[number] = replace(rows[number], **changes)
    return replace(network, convolutions=tuple(rows))


def small_start(recipe: Recipe) -> Recipe:
    """Initial deviations of the group's own networks for CIFAR-10 (cuda-convnet's example-layers, layers-18pct.cfg): .0001 in the
    first convolution, .01 in the others and the last layer."""
    first, *others = recipe.network.convolutions
    rows = (replace(first, std=1e-4), *(replace(row, std=0.01) for row in others))
    return network(convolutions=rows, last_std=0.01)(recipe)


def with_hidden(recipe: Recipe) -> Recipe:
    """The four-layer network has no hidden layer to drop activations of: give it one."""
    return recipe if recipe.network.hidden else network(hidden=(Hidden(512, std=0.02, bias=0.0),))(recipe)


def room_to_crop(recipe: Recipe) -> Recipe:
    """An input smaller by a quarter, where it was as large as the images, so that there are crops to choose from: of 24 pixels
    in images of 32, as the same group took them from CIFAR-10."""
    size = recipe.network.input_size
    return network(input_size=size - size // 4)(recipe) if size == recipe.image_size else recipe


def layer(number: int, then: tuple[Step, ...]) -> Change:
    """What follows one of the convolutions, counted from 1."""
    return lambda recipe: replace(recipe, network=_with_row(recipe.network, number - 1, then=then))


def filled(recipe: Recipe) -> Recipe:
    """An input so much larger that conv1's last window does not hang over it: 227 pixels for 224."""
    size, first = recipe.network.input_size, recipe.network.convolutions[0]
    overhang = slide("conv1", size, first.size, first.stride, first.padding, "up").overhang
    return network(input_size=size + overhang)(recipe)


def longer(times: int) -> Change:
    """So many times the epochs."""
    return lambda recipe: replace(recipe, epochs=times * recipe.epochs)


def smaller_batch(recipe: Recipe) -> Recipe:
    """Half the images to an update, and so twice the updates."""
    return replace(recipe, batch=recipe.batch // 2)


def more_decay(times: int) -> Change:
    """So many times the weight decay."""
    return lambda recipe: replace(recipe, decay=times * recipe.decay)


def larger_middle(recipe: Recipe) -> Recipe:
    """Initial deviations three times as large in the 3x3 convolutions, as .03 is to .01."""
    rows = recipe.network.convolutions
    return network(convolutions=tuple(replace(row, std=3 * row.std) if row.size == 3 else row for row in rows))(recipe)


def narrowed(recipe: Recipe, classes: int) -> Recipe:
    """A bottleneck of half the last hidden layer's units before more classes than that (2012: 2048 before 21,843)."""
    narrow = recipe.network.hidden[-1].units // 2
    return network(bottleneck=narrow)(recipe) if classes > narrow else recipe


def fine_tuned(recipe: Recipe) -> Recipe:
    """The rates, the schedule and the share of the epochs of the recipe "finetune": 54 epochs to the paper's 90."""
    tuned = recipes["finetune"]
    return replace(
        recipe,
        epochs=max(1, round(recipe.epochs * tuned.epochs / recipes["paper"].epochs)),
        rate=tuned.rate,
        first_rate=tuned.first_rate,
        last_rate=tuned.last_rate,
        last_rate_after=tuned.last_rate_after,
        schedule=tuned.schedule,
    )


def shrunk(network: Network, width: float, std: float, **changes: Any) -> Network:
    """A network with its kernels and hidden units times `width`, and its initial deviations times `std`."""
    convolutions = (replace(row, kernels=round(row.kernels * width), std=row.std * std) for row in network.convolutions)
    hidden = (replace(row, units=round(row.units * width), std=row.std * std) for row in network.hidden)
    return replace(network, convolutions=tuple(convolutions), hidden=tuple(hidden), **changes)
