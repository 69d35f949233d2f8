"""The paper's figures of a run, together: whole for `alexnet figures`, from a sample for the report."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from alexnet.data.prepared import Prepared, Split
from alexnet.insight import activations, kernels, neighbours, picture, predictions, units
from alexnet.network.spec import Convolution
from alexnet.run.images import measured_on, validation_of
from alexnet.run.recipe import Recipe
from alexnet.run.trained import TrainedNetwork

POOL = 128
"""Validation images that the eight of fig. 4, left, are chosen from."""

SAMPLE = 512
"""Training images that the report searches for neighbours and for what excites units."""

Progress = Callable[[str, int, int], None]
"""Called with what is computed, images done, images in all."""


def drawn(recipe: Recipe, prepared: Prepared, number: int) -> tuple[Split, np.ndarray]:
    """Validation images drawn by the run's seed, the first of every class before a second of any: their split, indices."""
    split, indices = validation_of(recipe, prepared)
    order = np.random.default_rng(recipe.seed).permutation(indices)
    first_of_class = np.sort(np.unique(split.labels[order], return_index=True)[1])
    return split, np.concatenate([order[first_of_class], np.delete(order, first_of_class)])[:number]


def last_convolution(trained: TrainedNetwork) -> str:
    """Name of the last convolutional layer: conv5 in the paper's network."""
    return [name for name, row in trained.network.spec.rows() if isinstance(row, Convolution)][-1]


def five_labels(trained: TrainedNetwork, prepared: Prepared) -> Figure:
    """Fig. 4, left: eight validation images with five labels, chosen by `predictions.choose` among 128 drawn by the seed."""
    split, pool = drawn(trained.recipe, prepared, POOL)
    last = trained.network.spec.last_name
    logits = torch.cat(
        [found[last].float().cpu() for found in activations.in_batches(trained, split.images, pool, {last})]
    )
    probabilities = logits.softmax(dim=1)
    labels = split.labels[pool]
    chosen = predictions.choose(probabilities.argmax(dim=1).numpy() == labels, labels)
    best = probabilities[chosen].topk(min(5, len(split.classes)), dim=1)
    five = [
        [(split.classes[k], p) for k, p in zip(where, values, strict=True)]
        for where, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return predictions.figure(split.images[pool[chosen]], five, [split.classes[k] for k in labels[chosen]])


def similar(
    trained: TrainedNetwork,
    queries: np.ndarray,
    names: list[str],
    classes: list[str | None],
    found: neighbours.Similar,
    split: Split,
    of: str,
) -> Figure:
    """Fig. 4, right: queries uint8 [Q, S, S, 3] with `names`, their `classes` (None: unknown) and the images `found` of `split`."""
    layer = [name for name, _ in trained.network.spec.rows()][-1]
    count = found.indices.shape[1]
    pixels = split.images[found.indices.flatten().numpy()].reshape(len(queries), count, *split.images.shape[1:])
    theirs = [[split.classes[split.labels[k]] for k in row] for row in found.indices.tolist()]
    return neighbours.figure(queries, names, classes, pixels, theirs, found.distances, layer, of)


def all_figures(
    trained: TrainedNetwork, prepared: Prepared, keep: bool = True, progress: Progress | None = None
) -> Iterator[tuple[str, Figure]]:
    """All figures of a run, each with the name of its file: what the paper shows of its network, and what it may have seen.

    Neighbours come from all training images, units' patches from all validation images. keep: see
    `neighbours.features_of_split`.
    """

    def of(what: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: progress(what, done, total)) if progress else None

    spec = trained.network.spec
    yield "fig3-kernels", kernels.figure(trained.network.get_parameter("conv1.weight"), spec.columns)
    yield "fig4-labels", five_labels(trained, prepared)
    split, five = drawn(trained.recipe, prepared, 5)
    names = [split.classes[k] for k in split.labels[five]]
    queries = split.images[five]
    found = neighbours.similar(trained, queries, prepared, keep=keep, progress=of("features of train"))
    yield (
        "fig4-similar",
        similar(
            trained,
            queries,
            names,
            list(names),
            found,
            prepared.split("train"),
            f"of {found.searched:,} training images",
        ),
    )
    yield "activations", activations.figure(trained, queries[0], truth=names[0])
    layer, (split, validation) = last_convolution(trained), validation_of(trained.recipe, prepared)
    name = activations.activated(trained.network, layer)
    maps = activations.in_batches(trained, split.images, validation, {name}, of(f"activations of {layer}"))
    best = units.strongest((one[name] for one in maps), 9)
    text = f"{len(validation):,} images ({measured_on(split)})"
    yield "units", units.figure(trained, split.images, validation, layer, best, units.choose(best, spec.columns), text)


def sample_of(recipe: Recipe, prepared: Prepared) -> np.ndarray:
    """Indices of the training images that `sampled` looks at, ascending."""
    searched = neighbours.searched_of(recipe, prepared, "train")
    return np.sort(np.random.default_rng(recipe.seed).permutation(searched)[:SAMPLE])


def sampled(trained: TrainedNetwork, prepared: Prepared) -> dict[str, Figure]:
    """The same for the report: predictions, similar, activations, units; the last three from one pass over 512 training images.

    The images are drawn by the run's seed.
    """
    split, five = drawn(trained.recipe, prepared, 5)
    names, queries = [split.classes[k] for k in split.labels[five]], split.images[five]
    made = {
        "predictions": five_labels(trained, prepared),
        "activations": activations.figure(trained, queries[0], truth=names[0]),
    }
    sample, train = sample_of(trained.recipe, prepared), prepared.split("train")
    layer, features = last_convolution(trained), activations.feature_name(trained.network)
    maps = activations.activated(trained.network, layer)
    kept: list[torch.Tensor] = []

    def of_maps() -> Iterator[torch.Tensor]:
        for one in activations.in_batches(trained, train.images, sample, {maps, features}):
            kept.append(one[features].float().flatten(1).cpu())
            yield one[maps]

    best = units.strongest(of_maps(), 9)
    own = torch.cat(list(neighbours.features_of(trained, queries)))
    distances, places = neighbours.nearest(own, kept, 6)
    found = neighbours.Similar(distances, torch.from_numpy(sample)[places], len(sample))
    of = f"of {len(sample):,} training images"
    made["similar"] = similar(trained, queries, names, list(names), found, train, of)
    shown = units.choose(best, trained.network.spec.columns)
    made["units"] = units.figure(trained, train.images, sample, layer, best, shown, f"{len(sample):,} training images")
    return made


def save(figure: Figure, folder: Path, name: str, kind: str) -> Path:
    """Write FOLDER/NAME.KIND; returns its path."""
    path = folder / f"{name}.{kind}"
    picture.save(figure, path)
    return path
