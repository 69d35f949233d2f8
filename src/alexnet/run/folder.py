"""The folder of a run: where its data was."""

from pathlib import Path

from alexnet.errors import InputError
from alexnet.reading import read_json


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
