"""One run of an experiment: trained, if it is not yet, and measured, what is not yet; resumable at any moment."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from alexnet import provenance
from alexnet.claims.keys import Folders, Task, read_record
from alexnet.claims.measures import guess
from alexnet.claims.records import Record, images_of, to_dict
from alexnet.data.prepared import Prepared
from alexnet.device import pick
from alexnet.errors import Diverged
from alexnet.files import only_writer, write_text
from alexnet.run import checkpoint, trained
from alexnet.run.folder import MEASURED, RECIPE
from alexnet.run.metrics import epochs, read_metrics
from alexnet.training import Status, train


class Stopped(Exception):
    """The runner was asked to stop; the same call goes on where it was."""


def perform(
    task: Task,
    folders: Folders,
    progress: Callable[[Status], None] = lambda status: None,
    stop: Callable[[], bool] = lambda: False,
) -> Record:
    """Train and measure what is left of a task: the run's record, also in measured.json of its folder.

    A run whose loss becomes NaN counts as one that guesses, and says so ("diverged"). Raises Stopped, with a checkpoint
    written, once `stop` says so.
    """
    path, prepared = folders.path(task.run, task.name), folders.prepared(task.run)
    record = folders.record(task)
    if record is not None and folders.lacks_weights(task, record):
        forget(path)
        record = None
    if record is None:
        record = _train(task, folders, path, progress, stop)
        save(record, path)
    missing = task.missing(record)
    if missing:
        begun = time.monotonic()
        network = trained.load(path, pick(task.run.recipe.device))
        for measure in missing:
            values = record.values | measure(network, prepared, record.values)
            record = replace(record, values=values, measures=(*record.measures, measure.__name__))
        record = replace(record, seconds=record.seconds + time.monotonic() - begun)
        save(record, path)
    return record


def save(record: Record, path: Path) -> None:
    """Write measured.json of a run folder."""
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / MEASURED, json.dumps(to_dict(record), indent=1) + "\n")


def forget(path: Path) -> None:
    """Remove a run folder. Raises InputError if another runner is at work in it."""
    with only_writer(path, "alexnet claims run"):
        shutil.rmtree(path)


def _train(
    task: Task, folders: Folders, path: Path, progress: Callable[[Status], None], stop: Callable[[], bool]
) -> Record:
    run, prepared, code = task.run, folders.prepared(task.run), provenance.commit()
    start = folders.path(run.start, "") if run.start else None
    first = read_record(start, folders.prepared(run.start)) if start and run.start else None
    if first and first.diverged:  # nothing to begin with
        return _record(task, prepared, path, code, diverged=True)
    last = checkpoint.latest(path) if (path / RECIPE).is_file() else None
    if path.exists() and last is None:
        forget(path)  # killed before its first checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    # Lines of after the last checkpoint are of epochs that a kill took the weights of: they are done again.
    lines = [line for line in epochs(read_metrics(path)) if last and checkpoint.name_of(int(line["step"])) <= last.name]
    ended = any(task.is_over(int(line["epoch"]), line["train_error"]) for line in lines)

    def watch(status: Status) -> None:
        nonlocal ended
        ended = ended or (status.ended and task.is_over(status.epoch, status.error))
        progress(status)

    recipe, resume = replace(run.recipe, name=task.name, keep=1), last is not None
    weights = checkpoint.weights(checkpoint.newest(start)) if start and not resume else None

    def stops() -> bool:
        return ended or stop()

    try:
        finished = ended or train(recipe, prepared, path, resume, weights, progress=watch, stop=stops).finished
    except Diverged:
        return _record(task, prepared, path, code, diverged=True)
    if not finished and not ended:
        raise Stopped
    return _record(task, prepared, path, code)


def _record(task: Task, prepared: Prepared, path: Path, code: str, diverged: bool = False) -> Record:
    """The record of a run that has ended. One whose loss became NaN would have guessed to the end; how far it overfits is not
    said: it has learned nothing to overfit with."""
    lines, until = epochs(read_metrics(path)), task.run.until
    if diverged:
        values = guess(len(prepared.classes))
        values |= {"train_error": values["top1"], "epochs": float(task.run.recipe.epochs)}
    else:
        last = lines[-1]
        values = {"train_error": last["train_error"], "train_loss": last["loss"], "epochs": float(len(lines))}
        if "validation_top1" in last:
            values |= {"top1": last["validation_top1"], "top5": last["validation_top5"]}
    if until is not None:
        points = [] if diverged else [(int(line["epoch"]), line["train_error"]) for line in lines]
        values["epochs_to_target"], values["reached"] = epochs_to(until, points, values["epochs"])
    validated = (line for line in lines if "validation_top1" in line)
    return Record(
        images=images_of(prepared),
        values=values,
        diverged=diverged,
        training=tuple(round(line["train_error"], 2) for line in lines),
        validation=tuple((int(line["epoch"]), round(line["validation_top1"], 2)) for line in validated),
        seconds=sum(line["seconds"] for line in lines),
        commit=code,
        machine=provenance.machine(),
    )


def epochs_to(target: float, points: Sequence[tuple[int, float]], epochs: float) -> tuple[float, float]:
    """Epochs until an error reaches `target`, and 1.0; `epochs` and 0.0 if it does not. Points (epoch, error in %) are joined by
    straight lines that start from 100% at 0."""
    before = (0, 100.0)
    for point in points:
        if point[1] <= target:
            share = (before[1] - target) / (before[1] - point[1]) if before[1] > point[1] else 0.0
            return before[0] + share * (point[0] - before[0]), 1.0
        before = point
    return epochs, 0.0
