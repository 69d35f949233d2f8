"""What a run's folder says of its training, for the page: errors, kernels of every epoch, the log as it grows."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import InputError
from alexnet.explore.images import NotThere
from alexnet.files import in_use
from alexnet.reading import read_json
from alexnet.run import checkpoint, growth, metrics
from alexnet.run.folder import METRICS
from alexnet.run.trained import TrainedNetwork

STEPS = 300
"""Lines of steps that are shown of a log."""

YOUNG = 60
"""Seconds after which a log that nothing was added to is that of a training that has stopped, where locks do not tell."""


def facts(trained: TrainedNetwork) -> dict[str, Any]:
    """step, epochs, error, epochs_kept and log (whether it has one) of a run; None or empty for what its folder does not tell."""
    path = trained.path
    step = re.fullmatch(r"step-(\d+)", trained.checkpoint)
    lines = metrics.read_metrics(path) if has_log(trained) else []
    return {
        "step": step and int(step[1]),
        "epochs": max((line["epoch"] for line in lines if line["kind"] == "epoch"), default=None),
        "error": {"views": _errors(trained)},
        "epochs_kept": growth.epochs(path),
        "log": has_log(trained),
    }


def _errors(trained: TrainedNetwork) -> dict[str, Any]:
    """The errors in percent of the newest evaluation over so many views on validation images, by views; a file's own."""
    if measured := trained.measured:
        return {str(measured.views): {"top1": measured.top1_error, "top5": measured.top5_error}}
    run, errors = trained.path, {}
    files = [*run.glob("evaluation-val-*views.json"), *run.glob("evaluation-held*views.json")]
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        try:
            evaluation = read_json(file, most=1 << 28)
            errors[str(int(evaluation["views"]))] = {
                "top1": float(evaluation["top1_error"]),
                "top5": float(evaluation["top5_error"]),
            }
        except (OSError, InputError, KeyError, TypeError, ValueError):
            continue
    return errors


def kernels(trained: TrainedNetwork, epoch: int) -> np.ndarray:
    """conv1's kernels after an epoch, float32 [K, C, h, w]. Raises NotThere for an epoch that is not kept."""
    try:
        return growth.read(trained.path, epoch)
    except (InputError, OSError) as error:  # OSError: a number that no file's name can hold
        raise NotThere(getattr(error, "strerror", None) or str(error)) from None


def has_log(trained: TrainedNetwork) -> bool:
    """Whether a run's folder has the log of its training."""
    return (trained.path / METRICS).is_file()


def log(trained: TrainedNetwork) -> dict[str, Any]:
    """What a run's metrics.jsonl says, and whether it goes on. Raises NotThere where there is none."""
    path, epochs_total = trained.path, trained.recipe.epochs
    file = path / METRICS
    if not has_log(trained):
        raise NotThere(f"{path.name} has no {METRICS}: its weights are not from a training here")
    lines = metrics.read_metrics(path)
    epochs = [line for line in lines if line["kind"] == "epoch"]
    steps = [line for line in lines if line["kind"] == "step"]
    state = "stopped"
    if epochs and epochs[-1]["epoch"] >= epochs_total:
        state = "finished"
    elif _goes_on(path, file):
        state = "training"
    newest = checkpoint.latest(path)
    return {
        "state": state,
        "epochs": epochs,
        "steps": steps[-STEPS:],
        "epochs_total": epochs_total,
        "images_per_second": _last(epochs, "images_per_second"),
        "rate": _last([*epochs[-1:], *steps[-1:]], "rate"),
        "checkpoint": newest and newest.name,
    }


def _goes_on(run: Path, file: Path) -> bool:
    held = in_use(run)
    return time.time() - file.stat().st_mtime < YOUNG if held is None else held


def _last(lines: list[dict[str, Any]], name: str) -> Any:
    return next((line[name] for line in reversed(lines) if name in line), None)
