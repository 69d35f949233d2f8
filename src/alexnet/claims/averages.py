"""Several networks as one figure (§6): the mean of their errors, or the error of their averaged class probabilities.

A network that diverged, or whose pre-training did, guesses: every class is as likely, so it changes no order of classes in a
mean of probabilities, and is left out of it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alexnet.claims.keys import Folders, Task
from alexnet.claims.measures import BATCH, Measured, guess
from alexnet.claims.records import Record
from alexnet.data.prepared import Prepared, hold_out
from alexnet.evaluation import ensemble
from alexnet.evaluation import probabilities as kept
from alexnet.evaluation.judged import of_split
from alexnet.run import recipe


def average(tasks: Sequence[Task], averaged: bool, repeat: int, folders: Folders) -> Record:
    """The record of a group of trained networks in a repeat: their mean or their average."""
    records = [_record(task, folders) for task in tasks]
    rests_on = [*records, *(record.pretraining for record in records if record.pretraining)]
    diverged = any(record.diverged for record in rests_on)
    if averaged:
        paths = [path for task, record in zip(tasks, records, strict=True) for path in _paths(task, record, folders)]
        plain = all(task.before is None for task in tasks)
        values = errors_of(paths, folders.images) | (weighing(paths, folders.images) if plain else {})
        return Record(seed=repeat, values=values, diverged=diverged, seconds=0.0)
    errors = [errors_of(_paths(*pair, folders), folders.images) for pair in zip(tasks, records, strict=True)]
    records = [replace(record, values=record.values | each) for record, each in zip(records, errors, strict=True)]
    names = ("train_error", *_errors(folders.images))
    values = {name: statistics.fmean(record.values[name] for record in records) for name in names}
    seconds = sum(record.seconds for record in rests_on)
    return Record(seed=repeat, values=values, diverged=diverged, seconds=seconds, networks=tuple(records))


def _record(task: Task, folders: Folders) -> Record:
    record = folders.record(task)
    assert record is not None
    before = _record(task.before, folders) if task.before else None
    return replace(record, seed=task.run.recipe.seed, images=None, pretraining=before)


def _paths(task: Task, record: Record, folders: Folders) -> list[Path]:
    return [] if record.diverged else [folders.path(task.run, task.name)]


def errors_of(paths: Sequence[Path], prepared: Prepared) -> Measured:
    """Errors in % of runs averaged, on the images that validate them: top1 and top5 of the centre crop, ten_top1 and ten_top5
    of ten. With five classes or fewer there is no top-5 error: every answer is among the first five. No runs: of guessing."""
    if not paths:
        errors = guess(len(prepared.classes))
        return {name: errors[name.removeprefix("ten_")] for name in _errors(prepared)}
    judged = of_split(recipe.read(paths[0]), prepared)
    values: Measured = {}
    for views, prefix in ((1, ""), (10, "ten_")):
        probabilities = [kept.compute(path, judged, kept.Options(views, BATCH)) for path in paths]
        error = ensemble.measure(ensemble.mean(probabilities), judged.labels, prepared.classes, views)
        values |= {f"{prefix}top1": error.top1_error, f"{prefix}top5": error.top5_error}
    return {name: values[name] for name in _errors(prepared)}


def weighing(paths: Sequence[Path], prepared: Prepared) -> Measured:
    """weight_gain: top-1 error in points, ten crops, of runs averaged with weights that were searched on the labels of one half
    of the images and measured on the other, both ways round, minus that of the plain average. {}: no two runs, or one image."""
    if len(paths) < 2:
        return {}
    judged = of_split(recipe.read(paths[0]), prepared)
    labels = judged.labels
    probabilities = [kept.compute(path, judged, kept.Options(10, BATCH)) for path in paths]
    halves = hold_out(labels, 0.5, seed=0)
    if min(len(half) for half in halves) == 0:
        return {}
    gain = 0.0
    for seen, other in (halves, halves[::-1]):
        weights = ensemble.search([each[seen] for each in probabilities], labels[seen]).tolist()
        measured = [each[other] for each in probabilities]
        weighted, plain = (
            ensemble.measure(ensemble.mean(measured, by), labels[other], prepared.classes, 10).top1_error
            for by in (weights, None)
        )
        gain += (weighted - plain) * len(other) / len(labels)
    return {"weight_gain": gain}


def _errors(prepared: Prepared) -> tuple[str, ...]:
    return ("top1", "top5", "ten_top1", "ten_top5") if len(prepared.classes) > 5 else ("top1", "ten_top1")
