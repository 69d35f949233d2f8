"""The prepared dataset of a run, opened."""

from pathlib import Path

from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.device import keep_memory, pick
from alexnet.errors import InputError
from alexnet.run import trained
from alexnet.run.folder import CLASSES, classes_of, data_of


def open_dataset(run: Path, data: Path | None = None) -> Prepared:
    """The prepared dataset `data`, by default the one that a run was trained on; InputError if its classes are not the run's."""
    classes = classes_of(run)
    prepared = prepared_sets.open(data or data_of(run, there=True))
    if prepared.classes != classes:
        raise InputError(
            f"{prepared.path}: its classes are not the run's, or in another order ({len(prepared.classes)} against"
            f" {len(classes)}); use data with the classes in {run / CLASSES}"
        )
    return prepared


def open_run(run: Path, data: Path | None = None, device: str = "auto") -> tuple[trained.TrainedNetwork, Prepared]:
    """A run's network on `device`, and `open_dataset`, for work that computes with them."""
    network = trained.load(run, pick(device))
    prepared = open_dataset(run, data)
    keep_memory()
    return network, prepared
