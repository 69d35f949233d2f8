"""The development kit of ILSVRC-2012: its classes, and the labels of the validation images (§2)."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources import matlab
from alexnet.data.sources.source import DEVKIT
from alexnet.data.sources.tar import members_of
from alexnet.errors import InputError
from alexnet.words import short


@dataclass(frozen=True)
class Truth:
    """Labels of ILSVRC2012_val_00000001, 00000002, ... (by the number in the name, not by position)."""

    labels: np.ndarray

    def label(self, name: str) -> int:
        number = re.search(r"_(\d{1,18})\.\w+$", name)
        if number is None or not 1 <= int(number[1]) <= len(self.labels):
            raise InputError(
                f"{short(name)}: not one of ILSVRC2012_val_00000001.JPEG to {len(self.labels):08}, which the devkit has labels for"
            )
        return int(self.labels[int(number[1]) - 1])

    def check(self, names: Iterable[str], images: int, where: Path) -> None:
        """Raises InputError where a name in `where` has no label, or the number of images is not that of the labels."""
        for name in names:
            self.label(name)
        if images != len(self.labels):
            raise InputError(
                f"{where} has {images:,} validation images, but {TRUTH} has {len(self.labels):,} labels: is the "
                "download whole?"
            )


@dataclass(frozen=True)
class Devkit:
    """The classes of the development kit: those synsets of meta.mat that have no children.

    Its ids 1..1000 are *not* the order of the sorted WordNet ids, which is the order of the labels here as everywhere.
    """

    wnid_of_id: dict[int, str]
    words: dict[str, str]  # WordNet id -> the first of its words
    train_images: dict[str, int]
    truth: list[int]  # ids of ILSVRC2012_val_00000001, ...

    def class_names(self, wnids: list[str]) -> tuple[str, ...]:
        """ "n01440764 tench": unique and in the same order as the WordNet ids ("crane" alone is two classes)."""
        return tuple(f"{wnid} {self.words[wnid]}" if wnid in self.words else wnid for wnid in wnids)

    def truth_for(self, wnids: list[str]) -> Truth:
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        try:
            return Truth(np.array([label_of[self.wnid_of_id[id]] for id in self.truth], np.int32))
        except KeyError as error:
            raise InputError(
                f"the training images lack class {error.args[0]}, which the validation images have: is the download whole?"
            ) from None


META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
LARGEST = 1 << 26
"""Bytes of all that is in a devkit; the real one has 4 MB."""


def read_devkit(root: Path) -> Devkit | None:
    """The devkit in `root`, packed or unpacked; None where there is none. Raises InputError for a damaged one."""
    archive, folder = root / f"{DEVKIT}.tar.gz", root / DEVKIT
    if archive.is_file():
        where, files = archive, _unpacked(archive)
    elif folder.is_dir():
        where = folder
        files = {name: _bounded(folder / name, open) for name in (META, TRUTH) if (folder / name).is_file()}
    else:
        return None
    for name in (META, TRUTH):
        if name not in files:
            raise InputError(f"{where} lacks {name}: download it again")
    return _parsed(where, files[META], files[TRUTH])


def _unpacked(archive: Path) -> dict[str, bytes]:
    with archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    whole = _bounded(archive, gzip.open if packed else open)
    files = {}
    for member in members_of(BytesIO(whole), str(archive), 0, len(whole)):
        if member.problem:
            raise InputError(f"{archive}: {member.name}: {member.problem}: download it again")
        name = next((name for name in (META, TRUTH) if member.name.endswith(name)), None)
        if name:
            files[name] = whole[member.offset : member.offset + member.size]
    return files


def _bounded(path: Path, opened: Callable[..., Any]) -> bytes:
    """The contents of a file, unpacked by `opened`; InputError for a damaged one, and for more than LARGEST."""
    try:
        with opened(path, "rb") as file:
            # Piece by piece: a read of LARGEST bytes would make room for them first.
            content = b"".join(islice(iter(partial(file.read, 1 << 20), b""), (LARGEST >> 20) + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): download it again") from None
    if len(content) > LARGEST:
        raise InputError(f"{path} holds more than {LARGEST >> 20} MiB, which no devkit does: download it again")
    return content


def _parsed(where: Path, meta: bytes, ground_truth: bytes) -> Devkit:
    try:
        fields = ("ILSVRC2012_ID", "WNID", "words", "num_children", "num_train_images")
        synsets = matlab.structs(meta, "synsets", fields)
        leaves = [synset for synset in synsets if synset["num_children"] == 0]
        wnids = [str(synset["WNID"]) for synset in leaves]
        ids = [int(synset["ILSVRC2012_ID"]) for synset in leaves]
        if len(set(wnids)) < len(leaves) or len(set(ids)) < len(leaves):
            raise ValueError("a class is in it twice")
        return Devkit(
            dict(zip(ids, wnids, strict=True)),
            {str(synset["WNID"]): str(synset["words"]).split(",")[0].strip() for synset in leaves},
            {str(synset["WNID"]): int(synset["num_train_images"]) for synset in leaves},
            [int(line) for line in ground_truth.split()],
        )
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where} is damaged ({short(str(error))}): download it again") from None
