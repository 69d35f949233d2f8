"""The file that the ILSVRC server takes: five labels a line, most probable first, one line an image in the order of names.

Labels are the ids 1 to 1000 of the development kit, which are not the order of the sorted WordNet ids, the order of
classes everywhere else here. For other data they are the classes' own numbers, from 1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.data import prepared as prepared_sets
from alexnet.data.sources.devkit import read_devkit
from alexnet.data.sources.source import DEVKIT
from alexnet.errors import InputError
from alexnet.evaluation.judged import order_of
from alexnet.files import write_text

LABELS = 5


@dataclass(frozen=True, eq=False)
class Submission:
    """A submission file, written already or not."""

    path: Path
    classes: tuple[str, ...]
    ids: np.ndarray
    """int64 [classes], the number of each class in it"""
    lines: int = 0
    """0: it is not written yet"""

    @property
    def listed(self) -> Path:
        """The file beside it that names the classes, FILE.classes.txt: a line a class, "number name", by number."""
        return self.path.with_name(f"{self.path.name}.classes.txt")

    def write(self, probabilities: np.ndarray, files: Sequence[str]) -> "Submission":
        """Write the five labels of each image, class probabilities float32 [N, classes], in the order of `files`' names.

        With fewer than five classes, so many labels as there are. Writes `listed` beside it. The file is read again and
        checked before this returns.
        """
        best = torch.from_numpy(probabilities).topk(min(LABELS, len(self.ids)), dim=1).indices.numpy()
        labels = self.ids[best[np.array(order_of(files), np.int64)]]
        write_text(self.path, "".join(" ".join(map(str, line)) + "\n" for line in labels.tolist()))
        if not np.array_equal(read(self.path, len(files), self.ids), labels):
            raise InputError(f"{self.path}: what was written reads otherwise; write it again, to another disk")
        write_text(self.listed, "".join(f"{self.ids[k]} {self.classes[k]}\n" for k in np.argsort(self.ids).tolist()))
        return replace(self, lines=len(files))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"submission": str(self.path), "lines": self.lines, "submission_classes": str(self.listed)}


def planned(path: Path, classes: tuple[str, ...], devkit: Path | None = None) -> Submission:
    """A submission that will be written to `path`. Asked before networks run: InputError if it cannot be written there."""
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(
            f"--submission {path}: no file can be written there; make the folder, or name a file in another"
        )
    return Submission(path, classes, ids_of(classes, devkit))


def ids_of(classes: Sequence[str], devkit: Path | None = None) -> np.ndarray:
    """The number of each class in a submission file, int64 [classes]: the devkit's ids, or 1, 2, ... without one.

    devkit: the archive, its unpacked folder, or the folder that holds either. Raises InputError if it lacks a class, and
    if the classes are the thousand of ILSVRC-2012 and there is none: by their order they would be wrong nearly always.
    """
    if devkit is None:
        if _like_ilsvrc(classes):
            raise InputError(
                f"--devkit is missing: the classes are 1,000 WordNet ids, and the server's labels for those are the ids of"
                f" {DEVKIT}.tar.gz, not their order"
            )
        return np.arange(1, len(classes) + 1)
    contents = read_devkit(devkit.parent if devkit.name in (DEVKIT, f"{DEVKIT}.tar.gz") else devkit)
    if contents is None:
        raise InputError(f"--devkit {devkit}: no {DEVKIT}.tar.gz there, packed or unpacked")
    id_of = {wnid: id for id, wnid in contents.wnid_of_id.items()}
    missing = next((name for name in classes if name.partition(" ")[0] not in id_of), None)
    if missing is not None:
        fix = "" if _like_ilsvrc(classes) else f"; leave out --devkit, and labels are 1 to {len(classes)}"
        raise InputError(f"--devkit {devkit}: no class {missing!r} in it, so the server has no label for it{fix}")
    return np.array([id_of[name.partition(" ")[0]] for name in classes], np.int64)


def _like_ilsvrc(classes: Sequence[str]) -> bool:
    return len(classes) == 1000 and all(re.match(r"n\d{8}\b", name) for name in classes)


def read(path: Path, images: int, ids: np.ndarray) -> np.ndarray:
    """The labels of a submission file, int64 [N, 5] (fewer with fewer classes), checked.

    Raises InputError, naming the line, unless there are as many lines as `images`, each of five different numbers out of
    `ids`.
    """
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a submission ({error})") from None
    if not lines or len(lines) != images:
        raise InputError(f"{path}: {len(lines):,} lines, but there are {images} images; one line for each")
    each, known, rows = min(LABELS, len(ids)), set(ids.tolist()), []
    for number, line in enumerate(lines, 1):
        words = line.split()
        row = [int(word) for word in words if word.isdecimal() and len(word) < 10]
        if len(row) != len(words) or len(row) != each or len(set(row)) != each:
            raise InputError(f"{path}, line {number}: {line[:60]!r}; it has to be {each} different numbers")
        if not known.issuperset(row):
            wrong = next(label for label in row if label not in known)
            raise InputError(
                f"{path}, line {number}: label {wrong} is no class; they are {min(known)} to {max(known)}"
                + ("" if len(known) == max(known) - min(known) + 1 else ", not all of them")
            )
        rows.append(row)
    return np.array(rows, np.int64)


def score(labels: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Top-1 and top-5 error in % of the labels int64 [N, 5] of a submission against true ones int64 [N], both as ids."""
    right = labels == truth[:, None]
    return 100.0 * float((~right[:, 0]).mean()), 100.0 * float((~right.any(axis=1)).mean())


@dataclass(frozen=True)
class Score:
    """The errors of a submission file on a split, in percent."""

    submission: Path
    data: Path
    split: str
    top1_error: float
    top5_error: float
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**vars(self), "submission": str(self.submission), "data": str(self.data)}


def score_file(path: Path, data: Path, split: str = "val", devkit: Path | None = None) -> Score:
    """Check a submission file and measure it on a split of the prepared dataset `data`; InputError if it is none of that."""
    prepared = prepared_sets.open(data)
    part = prepared.split(split)
    ids = ids_of(prepared.classes, devkit)
    order = order_of(list(part.files))
    top1, top5 = score(read(path, len(order), ids), ids[part.labels[order]])
    return Score(path, data, part.name, top1, top5, len(order))
