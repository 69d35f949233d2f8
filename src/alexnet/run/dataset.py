"""The prepared dataset of a run: where it was, and opened."""

from pathlib import Path

from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.device import keep_memory, pick
from alexnet.errors import InputError
from alexnet.reading import read_json
from alexnet.run import trained


def data_of(run: Path, there: bool = False) -> Path:
    """The prepared dataset that a run was trained on; InputError if that is not known, or has to be `there` and is not."""
    try:
        remembered = read_json(run / "data.json")
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


def open_dataset(run: Path, data: Path | None = None) -> Prepared:
    """The prepared dataset `data`, by default the one that a run was trained on; InputError if its classes are not the run's."""
    classes = trained.classes_of(run)
    prepared = prepared_sets.open(data or data_of(run, there=True))
    if prepared.classes != classes:
        raise InputError(
            f"{prepared.path}: its classes are not the run's, or in another order ({len(prepared.classes)} against"
            f" {len(classes)}); use data with the classes in {run / 'classes.json'}"
        )
    return prepared


def open_run(run: Path, data: Path | None = None, device: str = "auto") -> tuple[trained.TrainedNetwork, Prepared]:
    """A run's network on `device`, and `open_dataset`, for work that computes with them."""
    network = trained.load(run, pick(device))
    prepared = open_dataset(run, data)
    keep_memory()
    return network, prepared
