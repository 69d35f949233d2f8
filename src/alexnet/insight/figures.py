"""The paper's figures of a run, together: whole for `alexnet figures`, from a sample for the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.evaluation.judged import Progress, of_split
from alexnet.insight import activations, kernels, layers, neighbours, picture, predictions, units
from alexnet.insight.features import features_of
from alexnet.insight.search import nearest
from alexnet.run.dataset import open_run
from alexnet.run.predict import most_probable
from alexnet.run.recipe import Recipe
from alexnet.run.trained import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POOL = 128
"""Validation images that the eight of fig. 4, left, are chosen from."""

SAMPLE = 512
"""Training images that the report searches for neighbours and for what excites units."""


@dataclass(frozen=True)
class Figures:
    """The files of a run's figures."""

    run: Path
    pictures: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"run": str(self.run), "pictures": [str(path) for path in self.pictures]}


def draw(
    run: Path,
    folder: Path | None = None,
    kind: str = "png",
    data: Path | None = None,
    keep: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> Figures:
    """Write `all_figures` of a run into a folder, by default RUN/figures, as png, svg or pdf.

    data: a prepared dataset; by default the run's own. Raises InputError if it is not there or has other classes.
    """
    network, prepared = open_run(run, data, device)
    if folder is None and network.in_file:
        raise InputError(f"{run}: a network in one file, which has no folder for figures; say where to: --out DIR")
    folder = folder or run / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, page in all_figures(network, prepared, keep, progress):
        written.append(folder / f"{name}.{kind}")
        picture.save(page, written[-1])
    return Figures(run, tuple(written))


def all_figures(
    trained: TrainedNetwork, prepared: Prepared, keep: bool = True, progress: Progress | None = None
) -> Iterator[tuple[str, "Figure"]]:
    """All figures of a run, each with the name of its file: what the paper shows of its network, and what it may have seen.

    Neighbours come from all training images, units' patches from all validation images. keep: see
    `features.features_of_split`.
    """
    yield "fig3-kernels", kernels.figure(trained.network)
    yield "fig4-labels", five_labels(trained, prepared)
    queries, train = _queries(trained, prepared), prepared.split("train")
    near = neighbours.search(trained, queries.images, prepared, keep=keep, progress=progress)
    yield "fig4-similar", neighbours.figure(trained, queries, near, train, f"{near.searched:,} training images")
    yield "activations", activations.figure(trained, queries.images[0], truth=queries.classes[0])
    layer, judged = layers.last_convolution(trained.network), of_split(trained.recipe, prepared)
    best = units.strongest_of(trained, judged, layer, 9, progress)
    text = f"{len(judged.indices):,} images ({judged.where})"
    chosen = units.choose(best, trained.network.spec.columns)
    yield "units", units.figure(trained, judged.images, judged.indices, layer, best, chosen, text)


def five_labels(trained: TrainedNetwork, prepared: Prepared) -> "Figure":
    """Fig. 4, left: eight validation images with five labels, chosen by `predictions.choose` among 128 drawn by the seed."""
    split, pool = neighbours.drawn(trained.recipe, prepared, POOL)
    last = trained.network.spec.last_name
    batches = layers.in_batches(trained, split.images, pool, {last})
    probabilities = torch.cat([batch[last].float().cpu() for batch in batches]).softmax(dim=1)
    labels = split.labels[pool]
    chosen = predictions.choose(probabilities.argmax(dim=1).numpy() == labels, labels)
    five = most_probable(probabilities[chosen], split.classes)
    return predictions.figure(split.images[pool[chosen]], five, [split.classes[k] for k in labels[chosen]])


def _queries(trained: TrainedNetwork, prepared: Prepared) -> neighbours.Queries:
    """Five validation images drawn by the run's seed, called by their classes."""
    split, five = neighbours.drawn(trained.recipe, prepared, 5)
    classes = [split.classes[k] for k in split.labels[five]]
    return neighbours.Queries(split.images[five], classes, classes)


def sample_of(recipe: Recipe, prepared: Prepared) -> np.ndarray:
    """Indices of the training images that `sampled` looks at, ascending."""
    searched = neighbours.searched_of(recipe, prepared, "train")
    return np.sort(np.random.default_rng(recipe.seed).permutation(searched)[:SAMPLE])


def sampled(trained: TrainedNetwork, prepared: Prepared) -> dict[str, "Figure"]:
    """The report's pictures with photographs: predictions, activations, and from 512 training images similar and units.

    The images are drawn by the run's seed, and the network sees the 512 once for both.
    """
    network, queries, train = trained.network, _queries(trained, prepared), prepared.split("train")
    pages = {
        "predictions": five_labels(trained, prepared),
        "activations": activations.figure(trained, queries.images[0], truth=queries.classes[0]),
    }
    sample, layer = sample_of(trained.recipe, prepared), layers.last_convolution(network)
    maps, features = layers.activated(network, layer), network.feature_name
    kept: list[torch.Tensor] = []

    def all_maps() -> Iterator[torch.Tensor]:
        for batch in layers.in_batches(trained, train.images, sample, {maps, features}):
            kept.append(batch[features].float().flatten(1).cpu())
            yield batch[maps]

    best, text = units.strongest(all_maps(), 9), f"{len(sample):,} training images"
    distances, places = nearest(torch.cat(list(features_of(trained, queries.images))), kept, 6)
    near = neighbours.Neighbours(distances, torch.from_numpy(sample)[places], len(sample))
    pages["similar"] = neighbours.figure(trained, queries, near, train, text)
    chosen = units.choose(best, network.spec.columns)
    pages["units"] = units.figure(trained, train.images, sample, layer, best, chosen, text)
    return pages
