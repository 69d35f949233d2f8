"""The development kit of ILSVRC-2012: its classes, and the labels of the validation images (§2)."""

import re
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from alexnet.data.sources.source import DEVKIT
from alexnet.errors import InputError


@dataclass(frozen=True)
class Truth:
    """Labels of ILSVRC2012_val_00000001, 00000002, ... (by the number in the name, not by position)."""

    labels: np.ndarray

    def label(self, name: str) -> int:
        number = re.search(r"_(\d+)\.\w+$", name)
        if number is None or not 1 <= int(number[1]) <= len(self.labels):
            raise InputError(
                f"{name}: not one of ILSVRC2012_val_00000001.JPEG to {len(self.labels):08}, which the devkit has labels for"
            )
        return int(self.labels[int(number[1]) - 1])


@dataclass(frozen=True)
class Devkit:
    """What the development kit says of the classes: those synsets of meta.mat that have no children.

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
            of_id = {id: label_of[self.wnid_of_id[id]] for id in set(self.truth)}
        except KeyError as error:
            raise InputError(
                f"the training images lack class {error.args[0]}, which the validation images have: is the download whole?"
            ) from None
        return Truth(np.array([of_id[id] for id in self.truth], np.int32))


def read_devkit(root: Path) -> Devkit | None:
    """The devkit in `root`, packed or unpacked; None where there is none. Raises InputError for a damaged one."""
    names = ("data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt")
    archive, folder = root / f"{DEVKIT}.tar.gz", root / DEVKIT
    found: dict[str, bytes] = {}
    if archive.is_file():
        try:
            with tarfile.open(archive, "r:*") as tar:
                for member in tar:
                    name = next((name for name in names if member.name.endswith(name)), None)
                    if name and (file := tar.extractfile(member)):
                        found[name] = file.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{archive} is damaged ({error}): download it again") from None
    elif folder.is_dir():
        found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    else:
        return None
    where = archive if archive.is_file() else folder
    for name in names:
        if name not in found:
            raise InputError(f"{where} lacks {name}: download it again")
    return _parse_devkit(where, *(found[name] for name in names))


def _parse_devkit(where: Path, meta: bytes, ground_truth: bytes) -> Devkit:
    from scipy.io import loadmat

    try:
        synsets = np.atleast_1d(loadmat(BytesIO(meta), squeeze_me=True)["synsets"])
        leaves = [synset for synset in synsets if int(synset["num_children"]) == 0]
        return Devkit(
            {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves},
            {str(synset["WNID"]): str(synset["words"]).split(",")[0].strip() for synset in leaves},
            {str(synset["WNID"]): int(synset["num_train_images"]) for synset in leaves},
            [int(line) for line in ground_truth.split()],
        )
    except Exception as error:  # loadmat raises many kinds, and says little
        raise InputError(f"{where} is damaged ({type(error).__name__}: {error}): download it again") from None
