"""The folder of a run: where its files lie, and readers of its classes, its statistics and where its data was.

The recipe is read by `recipe.read`, weights by `checkpoint`, the log by `metrics.read_metrics`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.prepared import Prepared
from alexnet.data.statistics import LARGEST, read_colour, read_mean
from alexnet.errors import InputError
from alexnet.files import write_bytes, write_text
from alexnet.reading import SMALL, read_bytes, read_json
from alexnet.run.locate import only_folder

RECIPE = "recipe.json"
"""The whole recipe; a folder without one is no run."""
CLASSES = "classes.json"
"""Names in label order."""
DATA = "data.json"
"""Where the dataset was, its source, the job that began the run, and whether with other weights; of imported ones, their file."""
METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
TRACKERS = "trackers.json"
"""The keys by which trackers know the run."""
CHECKPOINTS = "checkpoints"
KERNELS = "kernels"
"""The kernels of conv1 after every epoch."""
MEAN = "preparation/mean.npy"
COLOUR = "preparation/colour.json"
REPORT = "report.html"
PREDICTIONS = "predictions"
"""Class probabilities, kept by evaluate."""
FEATURES = "features"
"""Activations of the last hidden layer, kept by similar and figures."""
MEASURED = "measured.json"
"""What the claims measure of a run."""

MOST_CLASSES = 1 << 26
"""Bytes of a list of classes: a million names of 60 letters."""


def is_run(path: Path | str) -> bool:
    """Whether a folder is a run's, be it whole or damaged."""
    return any((Path(path) / part).exists() for part in (RECIPE, METRICS, CHECKPOINTS))


def keep_preparation(run: Path, prepared: Prepared) -> None:
    """Copy classes and statistics into the run folder, so that it predicts without the dataset."""
    for kept in (MEAN, COLOUR):
        (run / kept).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(run / kept, (prepared.path / Path(kept).name).read_bytes())
    write_text(run / CLASSES, json.dumps(list(prepared.classes), indent=2) + "\n")


def classes_of(run: Path) -> tuple[str, ...]:
    """The names in a run's classes.json, in the order of its labels; InputError, naming it, if it is no list of names."""
    try:
        return names_of(read_json(run / CLASSES, most=MOST_CLASSES), run / CLASSES)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _unreadable(run, error) from None


def names_of(classes: Any, where: Path | str) -> tuple[str, ...]:
    """The names of classes that a value of JSON is; InputError, naming `where`, if it is no list of names."""
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise InputError(f"{where}: no list of names")
    return tuple(classes)


def statistics_of(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean image [S, S, 3], covariance [3, 3], eigenvalues [3] and eigenvectors [3, 3] of a run's training set.

    Raises InputError, naming the file, if they are anything else, or have NaN or infinite values.
    """
    mean, colour = run / MEAN, run / COLOUR
    try:
        return read_mean(read_bytes(mean, LARGEST), mean), *read_colour(read_bytes(colour, SMALL), colour)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _unreadable(run, error) from None


def _unreadable(run: Path, error: Exception) -> InputError:
    return InputError(
        f"{run}: the run's classes.json or preparation/ cannot be read ({error}); copy them from its prepared dataset (the list"
        " of classes is in its manifest), or train again"
    )


def data_of(run: Path, there: bool = False) -> Path:
    """The prepared dataset that a run was trained on; InputError if that is not known, or has to be `there` and is not."""
    only_folder(run)
    try:
        remembered = read_json(run / DATA)
        path = Path(remembered["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{run}: no readable data.json in it, so it is no run folder, or a damaged one; say --data DIR"
        ) from None
    if there and not path.is_dir() and "imported" in remembered:
        raise InputError(f"{run}: its weights are imported, from {remembered['imported']}; say --data DIR")
    if there and not path.is_dir():
        raise InputError(f"{path}: the data of {run} is not there any more; say --data DIR if it was moved")
    return path


def remembered_of(run: Path) -> dict[str, Any]:
    """The contents of a run's data.json; empty where there is none, or a damaged one."""
    try:
        remembered = read_json(run / DATA)
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}


def source_of(run: Path) -> str | None:
    """What a run's dataset was prepared from, in the words of its source; None where the run does not tell."""
    remembered = remembered_of(run)
    source = None if "imported" in remembered else remembered.get("source")
    return str(source["description"]) if isinstance(source, dict) and "description" in source else None


def is_imported(run: Path) -> bool:
    """Whether a run's weights are imported, so that what they were trained on is not known."""
    return "imported" in remembered_of(run)


def is_data_of(run: Path, prepared: Prepared) -> bool:
    """Whether a run began with this data, told by classes and mean image, which stay the same when the same images are prepared
    again. Raises InputError where the run does not tell."""
    mean, *_ = statistics_of(run)
    return classes_of(run) == prepared.classes and np.array_equal(mean, prepared.mean)


def pretrained(run: Path) -> str | bool | None:
    """What the network is called whose weights a run began with (`train --from`); or only whether there was one.

    None where the run does not tell.
    """
    start = remembered_of(run).get("pretrained")
    return start if isinstance(start, bool | str) and start != "" else None
