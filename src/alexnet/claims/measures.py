"""What is measured of a trained network beside its validation error, for the claims that need it.

A measure takes the network, the prepared dataset and what has been measured of the run so far, and gives named numbers.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import centre, to_channels
from alexnet.data.prepared import Images, Prepared, Split
from alexnet.evaluation import ensemble
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import of_split
from alexnet.evaluation.measure import Evaluation, evaluate
from alexnet.insight import kernels
from alexnet.insight.features import features_of
from alexnet.insight.search import nearest
from alexnet.run.images import training_of, validation_of
from alexnet.run.trained import TrainedNetwork

Measured = dict[str, float]
Measure = Callable[[TrainedNetwork, Prepared, Measured], Measured]

TRAINING_SAMPLE = 5000
"""Training images, drawn once for all runs, that the error on the training set is measured on."""

QUERIES, NEIGHBOURS = 1000, 10
"""`features`: validation images that are asked about, and neighbours of each among the training images."""

BATCH = 128
"""Images at a time of kept probabilities, whose bits depend on it."""


def overfitting(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """train_top1: centre-crop error in % on training images, by the finished network as it is tested; gap: the validation
    error minus that, which is what overfitting is."""
    split, indices = training_of(trained.recipe, prepared)
    error = _evaluate(trained, split, _sample(indices, TRAINING_SAMPLE), views=1).top1_error
    return {"train_top1": error, "gap": measured["top1"] - error}


def ten_crops(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """ten_top1, ten_top5: validation error with ten crops in %; ten_gain, ten_gain5: those minus the centre crop's (§6)."""
    split, indices = validation_of(trained.recipe, prepared)
    ten = _evaluate(trained, split, indices, views=10)
    return {
        "ten_top1": ten.top1_error,
        "ten_top5": ten.top5_error,
        "ten_gain": ten.top1_error - measured["top1"],
        "ten_gain5": ten.top5_error - measured["top5"],
    }


def keeps_predictions(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """ten_top1, ten_top5: validation error with ten crops in %. Class probabilities of ten crops and of one are kept in the
    run folder, where averages of several runs take them from."""
    judged = of_split(trained.recipe, prepared)
    device, classes = trained.preparation.mean.device, prepared.classes
    _, ten = (kept.compute(trained.path, judged, kept.Options(views, BATCH, device)) for views in (1, 10))
    error = ensemble.measure(ten, judged.labels, classes, 10)
    return {"ten_top1": error.top1_error, "ten_top5": error.top5_error}


def guess(classes: int) -> Measured:
    """top1 and top5: errors in % of a network that guesses."""
    return {"top1": 100 * (1 - 1 / classes), "top5": max(0.0, 100 * (1 - 5 / classes))}


def columns_colour(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """How much colour conv1's kernels hold, and how well the two columns are told apart by it (§6.1, fig. 3).

    colour_1, colour_2: mean share of colour of the kernels of each column (`kernels.colour`), the lesser first, as which
    column gets the colours is chance. separation: 0 (alike) to 1 (every kernel of one column holds more colour than all of the
    other). separation_by_chance: the mean of the same over random halves of the same kernels. split: their difference.
    """
    weight: Tensor = trained.network.get_parameter("conv1.weight").detach().cpu()
    share = kernels.colour(weight)
    first, second = share.chunk(2)
    generator = torch.Generator().manual_seed(0)
    by_chance = [
        kernels.separation(*share[torch.randperm(len(share), generator=generator)].chunk(2)) for _ in range(1000)
    ]
    apart, chance = kernels.separation(first, second), sum(by_chance) / len(by_chance)
    low, high = sorted((float(first.mean()), float(second.mean())))
    return {
        "colour_1": low,
        "colour_2": high,
        "separation": apart,
        "separation_by_chance": chance,
        "split": apart - chance,
    }


def features(trained: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """Share in % of the nearest training images that are of the query's class, by Euclidean distance (§6.1).

    fc7_agreement: in the network's `features`, fc7 of the paper's and what the last layer reads in any other;
    pixel_agreement: in the pixels of the centre crop; feature_gain: their difference. Queries are `QUERIES` validation
    images, neighbours the `NEIGHBOURS` nearest of all training images.
    """
    split, indices = validation_of(trained.recipe, prepared)
    queries = _sample(indices, QUERIES)
    base, base_indices = training_of(trained.recipe, prepared)

    device = trained.preparation.mean.device  # which multiplies

    def agreement(vectors: Callable[[TrainedNetwork, Images, np.ndarray], Iterator[Tensor]]) -> float:
        asked = torch.cat(list(vectors(trained, split.images, queries))).to(device)
        blocks = vectors(trained, base.images, base_indices)
        rows = nearest(asked, blocks, NEIGHBOURS)[1].numpy()
        same = base.labels[base_indices[rows]] == split.labels[queries][:, None]
        return 100.0 * float(same.mean())

    in_features, in_pixels = agreement(features_of), agreement(_pixels)
    return {"fc7_agreement": in_features, "pixel_agreement": in_pixels, "feature_gain": in_features - in_pixels}


def _pixels(trained: TrainedNetwork, images: Images, indices: np.ndarray) -> Iterator[Tensor]:
    """The centre crops of images uint8 [N, S, S, 3] as the network sees them, in blocks float32 [B, 3·C·C]."""
    for start in range(0, len(indices), 256):
        pixels = torch.from_numpy(np.ascontiguousarray(images[indices[start : start + 256]]))
        whole = to_channels(pixels, trained.preparation.size)  # what the network's own crop is taken from
        yield centre(whole, trained.recipe.network.input_size).flatten(1).float()


def _evaluate(trained: TrainedNetwork, split: Split, indices: np.ndarray, views: int) -> Evaluation:
    return evaluate(trained.judge, trained.preparation, split.images, split.labels, trained.classes, indices, views)


def _sample(indices: np.ndarray, number: int) -> np.ndarray:
    """At most `number` of `indices`, the same ones in every run."""
    return np.sort(np.random.default_rng(2012).permutation(indices)[:number])
