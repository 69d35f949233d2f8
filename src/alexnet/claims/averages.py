"""Errors of several trained runs averaged (§6), plainly and weighted, from class probabilities kept in their folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet.claims import runner
from alexnet.claims.measures import Measured
from alexnet.data.prepared import Prepared, hold_out
from alexnet.evaluation import ensemble
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import of_split
from alexnet.run import recipe
from alexnet.run.trained import TrainedNetwork

BATCH = 128


def keeps_predictions(network: TrainedNetwork, prepared: Prepared, measured: Measured) -> Measured:
    """ten_top1, ten_top5: validation error with ten crops in %. Class probabilities of ten crops and of one are kept in the
    run folder, where `errors_of` finds them."""
    judged = of_split(network.recipe, prepared)
    device, classes = network.preparation.mean.device, prepared.classes
    found = {views: kept.compute(network.path, judged, kept.Options(views, BATCH, device)) for views in (1, 10)}
    ten = ensemble.measure(found[10], judged.labels, classes, 10)
    return {"ten_top1": ten.top1_error, "ten_top5": ten.top5_error}


def errors_of(paths: Sequence[Path], prepared: Prepared) -> Measured:
    """Errors in % of runs averaged, on the images that validate them: top1 and top5 of the centre crop, ten_top1 and ten_top5
    of ten. With five classes or fewer there is no top-5 error: every answer is among the first five. No runs: of guessing."""
    if not paths:
        guess = runner.guess(len(prepared.classes))
        return {f"{crops}{name}": guess[name] for crops in ("", "ten_") for name in named(prepared)}
    judged = of_split(recipe.read(paths[0]), prepared)
    made: Measured = {}
    for views, prefix in ((1, ""), (10, "ten_")):
        probabilities: list[np.ndarray] = [kept.compute(path, judged, kept.Options(views, BATCH)) for path in paths]
        error = ensemble.measure(ensemble.mean(probabilities), judged.labels, prepared.classes, views)
        both = {"top1": error.top1_error, "top5": error.top5_error}
        made |= {f"{prefix}{name}": both[name] for name in named(prepared)}
    return made


def weighing(paths: Sequence[Path], prepared: Prepared) -> Measured:
    """weight_gain: top-1 error in points, ten crops, of runs averaged with weights that were searched on the labels of one half
    of the images and measured on the other, both ways round, minus that of the plain average. {}: no two runs, or one image."""
    if len(paths) < 2:
        return {}
    judged = of_split(recipe.read(paths[0]), prepared)
    labels, each = judged.labels, [kept.compute(path, judged, kept.Options(10, BATCH)) for path in paths]
    halves = hold_out(labels, 0.5, seed=0)
    if min(len(half) for half in halves) == 0:
        return {}
    gain = 0.0
    for seen, other in (halves, halves[::-1]):
        weights = ensemble.search([one[seen] for one in each], labels[seen]).tolist()
        measured = [one[other] for one in each]
        weighted, plain = (
            ensemble.measure(ensemble.mean(measured, by), labels[other], prepared.classes, 10).top1_error
            for by in (weights, None)
        )
        gain += (weighted - plain) * len(other) / len(labels)
    return {"weight_gain": gain}


def named(prepared: Prepared) -> tuple[str, ...]:
    """The errors that there are."""
    return ("top1", "top5") if len(prepared.classes) > 5 else ("top1",)
