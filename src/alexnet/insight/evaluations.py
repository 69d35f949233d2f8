"""What `evaluate` has measured of a run, read again from the files that it left in the run folder."""

import re
from pathlib import Path
from typing import Any

from alexnet.errors import InputError
from alexnet.evaluation import calibration
from alexnet.reading import read_json
from alexnet.run.folder import is_imported
from alexnet.typed import from_dict


def read_if_there(path: Path, absent: Any) -> Any:
    """The JSON value in a file of a run folder; `absent` where there is no such file. InputError for a damaged one."""
    try:
        return read_json(path, most=1 << 28)
    except FileNotFoundError:
        return absent
    except InputError as error:
        raise InputError(f"{error}; remove it, or write it again with the command that made it") from None


def read_evaluations(run: Path, classes: tuple[str, ...], newest: str | None) -> list[dict[str, Any]]:
    """The evaluations in the run folder, most telling first, so ten views before one.

    Each with its split's name, `dataset` (None: the run's own; else another's folder name), `source` (of that, or of what
    imported weights were measured on; else None), `on` (all of it in words), and whether it measured an older checkpoint than
    `newest`.
    """
    evaluations, imported = [], is_imported(run)
    for path in run.glob("evaluation-*views.json"):
        if name := re.fullmatch(r"evaluation-(?:on-(.+?)-)?(val|test|train|held-out-of-train)-\d+views", path.stem):
            measured = read_if_there(path, {})
            match measured:
                case {"per_class": [*rows], "confusion": None | [*_] as counts}:
                    whole = len(rows) == len(rows if counts is None else counts) == len(classes)
                case _:
                    whole = False
            if not whole:
                raise InputError(
                    f"{path}: not an evaluation of this run's {len(classes)} classes; remove it and evaluate again"
                )
            # An old file does not say which checkpoint it measured.
            older = newest is not None and (measured.get("checkpoint") or newest) != newest
            calibrated = measured.get("calibration")  # which an old file does not have either
            if calibrated is not None:
                calibrated = from_dict(calibration.Calibration, calibrated, f"{path}: calibration")
            split = name[2].replace("-", " ")
            source = (measured.get("source") or name[1]) if name[1] or imported else None
            on = f"{split}{' of other data' * bool(name[1])} ({source})" if source else split
            row = {**measured, "split": split, "dataset": name[1], "source": source, "on": on, "older": older}
            evaluations.append({**row, "calibration": calibrated})
    return sorted(
        evaluations,
        key=lambda row: (row["dataset"] or "", row["split"] == "train", row["split"], row["older"], -row["views"]),
    )
