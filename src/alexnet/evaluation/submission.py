"""The file that the ILSVRC server takes: five labels a line, most probable first, one line an image in the order of names.

Labels are the ids 1 to 1000 of the development kit, which are not the order of the sorted WordNet ids, the order of
classes everywhere else here. For other data they are the classes' own numbers, from 1.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from alexnet.data.sources.devkit import read_devkit
from alexnet.data.sources.source import DEVKIT
from alexnet.errors import InputError
from alexnet.files import write_text

LABELS = 5


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
    found = read_devkit(devkit.parent if devkit.name in (DEVKIT, f"{DEVKIT}.tar.gz") else devkit)
    if found is None:
        raise InputError(f"--devkit {devkit}: no {DEVKIT}.tar.gz there, packed or unpacked")
    id_of = {wnid: id for id, wnid in found.wnid_of_id.items()}
    missing = next((name for name in classes if name.partition(" ")[0] not in id_of), None)
    if missing is not None:
        fix = "" if _like_ilsvrc(classes) else f"; leave out --devkit, and labels are 1 to {len(classes)}"
        raise InputError(f"--devkit {devkit}: no class {missing!r} in it, so the server has no label for it{fix}")
    return np.array([id_of[name.partition(" ")[0]] for name in classes], np.int64)


def _like_ilsvrc(classes: Sequence[str]) -> bool:
    return len(classes) == 1000 and all(re.match(r"n\d{8}\b", name) for name in classes)


def order_of(files: Sequence[str]) -> list[int]:
    """The order of the lines of a submission, numbers into `files`: by name, in whatever folders they are, then by folder."""
    return sorted(range(len(files)), key=lambda k: (os.path.basename(files[k]), files[k]))


def write(path: Path, probabilities: np.ndarray, files: Sequence[str], ids: np.ndarray) -> np.ndarray:
    """Write the five labels of each image, class probabilities float32 [N, classes], in the order of `files`' names.

    With fewer than five classes, so many labels as there are. Returns the order of the lines, int64 [N] into `files`. The
    file is read again and checked before this returns.
    """
    order = np.array(order_of(files), np.int64)
    best = torch.from_numpy(probabilities).topk(min(LABELS, len(ids)), dim=1).indices.numpy()
    labels = ids[best[order]]
    write_text(path, "".join(" ".join(map(str, line)) + "\n" for line in labels.tolist()))
    if not np.array_equal(read(path, len(files), ids), labels):
        raise InputError(f"{path}: what was written reads otherwise; write it again, to another disk")
    return order


def write_classes(path: Path, classes: Sequence[str], ids: np.ndarray) -> Path:
    """Write FILE.classes.txt, a line a class, "number name" by number; returns its path."""
    to = path.with_name(f"{path.name}.classes.txt")
    write_text(to, "".join(f"{ids[k]} {classes[k]}\n" for k in np.argsort(ids).tolist()))
    return to


def read(path: Path, images: int | None, ids: np.ndarray) -> np.ndarray:
    """The labels of a submission file, int64 [N, 5] (fewer with fewer classes), checked.

    Raises InputError, naming the line, unless there are as many lines as `images` (None: any number), each of five
    different numbers out of `ids`.
    """
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a submission ({error})") from None
    if not lines or (images is not None and len(lines) != images):
        raise InputError(f"{path}: {len(lines):,} lines, but there are {images or 'some'} images; one line for each")
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
