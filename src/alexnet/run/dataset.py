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
    return _opened(data or data_of(run, there=True), classes_of(run), run / CLASSES)


def dataset_of(network: trained.TrainedNetwork, data: Path | None = None) -> Prepared:
    """The prepared dataset `data`, by default the one that a network was trained on; as `open_dataset`.

    Raises InputError for a network in one file without `data`.
    """
    where = network.path
    if data is None and network.in_file:
        raise InputError(f"{where}: a network in one file, which does not know where its data is; say --data DIR")
    return _opened(data or data_of(where, there=True), network.classes, where if network.in_file else where / CLASSES)


def open_run(run: Path, data: Path | None = None, device: str = "auto") -> tuple[trained.TrainedNetwork, Prepared]:
    """A run's network on `device`, and `dataset_of` it, for work that computes with them; `run`: as `trained.load` takes it."""
    network = trained.load(run, pick(device))
    prepared = dataset_of(network, data)
    keep_memory()
    return network, prepared


def _opened(data: Path, classes: tuple[str, ...], listed: Path) -> Prepared:
    prepared = prepared_sets.open(data)
    if prepared.classes != classes:
        raise InputError(
            f"{prepared.path}: its classes are not the run's, or in another order ({len(prepared.classes)} against"
            f" {len(classes)}); use data with the classes in {listed}"
        )
    return prepared
