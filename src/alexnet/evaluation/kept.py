"""Class probabilities of a run's images: computed once, kept in the run folder, read again while nothing has changed.

RUN/predictions/WHERE-VIEWSviews-IMAGES-CHECKPOINT.safetensors   float32 [images, classes]; IMAGES: eight letters of a hash.
Its header says what they are of: the weights, how images are prepared, the images with their labels, the views.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError

from alexnet.data.prepared import Images, Prepared
from alexnet.device import Precision, low_precision
from alexnet.errors import InputError
from alexnet.evaluation.errors import Evaluation, evaluate, probabilities_of
from alexnet.files import write_bytes
from alexnet.processes import Processes
from alexnet.run import checkpoint, folder, recipe, trained
from alexnet.run.images import measured_on, validation_of
from alexnet.run.recipe import Recipe

Progress = Callable[[int, int], None]

MOST = 1_000_000_000
"""Bytes of class probabilities of one run above which `alexnet evaluate` neither holds nor keeps them, if it can do without."""


@dataclass(frozen=True)
class Judged:
    """Images that networks are to judge."""

    where: str
    """What they are called: a split, "held out of train", or a folder's name"""
    images: Images
    indices: np.ndarray
    """int64 [N], which of them, in the order of the answers"""
    labels: np.ndarray | None
    """int64 [N]; None: not known"""
    files: Sequence[str]
    """N names"""
    fingerprint: str
    """Hex; changes with images or labels"""


def bytes_of(run: Path, judged: Judged) -> int:
    """Bytes of a run's class probabilities of these images, in memory and on disk."""
    return 4 * len(judged.indices) * len(classes_of(run))


def of_split(of: Recipe, prepared: Prepared, split: str = "val") -> Judged:
    """The images of a split. "val": those that validate a run of this recipe, as in training."""
    if split == "val":
        part, indices = validation_of(of, prepared)
        where = measured_on(part)
    else:
        part = prepared.split(split)
        indices, where = np.arange(len(part.labels)), part.name
    if len(indices) == 0:
        raise InputError(f"{prepared.path}: there are no images to evaluate in split {split}")
    facts = [prepared.size, prepared.store, prepared.classes, prepared.manifest["splits"][part.name]["checksums"]]
    fingerprint = hashlib.sha256(json.dumps(facts).encode() + indices.tobytes()).hexdigest()
    files = [part.files[index] for index in indices.tolist()]
    return Judged(where, part.images, indices, part.labels[indices], files, fingerprint)


def classes_of(run: Path) -> tuple[str, ...]:
    """The classes of a run, in the order of its labels, without its weights. InputError if it is no run folder."""
    recipe.read(run)
    return folder.classes_of(run)


def probabilities(
    run: Path,
    judged: Judged,
    views: int = 1,
    batch: int = 128,
    device: torch.device | str = "cpu",
    keep: bool = True,
    progress: Progress | None = None,
    processes: Processes = Processes(),
    precision: Precision | None = None,
) -> np.ndarray:
    """Class probabilities float32 [N, classes] by the newest checkpoint of a run, averaged over 1 or 10 views.

    keep: from RUN/predictions if they are there and all that they depend on is the same, else computed and written there.
    Not kept where images could not be read (`Files.bad`), so that it is told again. Kept or computed, they are the same to
    the bit with the same machine, batch, device and number of processes. `progress` is called with (done, total) while computing.
    processes: this process's place among those that share the images; all get all of them, the first one keeps them.
    precision: as in `trained.load`.
    Raises InputError if `run` is no run folder with a checkpoint.
    """
    recipe.read(run)  # says what is missing, if it is no run folder
    there = read(run, judged, views, device, precision) if keep else None
    if not processes.any(there is None):
        assert there is not None
        return there
    network = trained.load(run, device, precision)
    share = processes.rows(len(judged.indices))
    own = judged.indices[share]
    blocks = probabilities_of(network.judge, network.preparation, judged.images, own, views, batch, progress)
    made = np.zeros((len(judged.indices), len(network.classes)), np.float32)
    done = share.start
    for block in blocks:
        made[done : done + len(block)] = block.cpu().numpy()
        done += len(block)
    made = processes.sum(torch.from_numpy(made)).numpy()  # to the bit: all but one have zeros there
    bad = processes.any(bool(getattr(judged.images, "bad", ())))
    if keep and not bad and processes.first:
        _write(run, judged, views, made, _identity(run, judged, views, device, precision))
    return made


def measure(
    run: Path,
    judged: Judged,
    views: int = 1,
    batch: int = 128,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    processes: Processes = Processes(),
    precision: Precision | None = None,
) -> Evaluation:
    """The errors of the newest checkpoint of a run on images with labels, counted block by block; nothing is held or kept.

    The same as those of `probabilities`, and as theirs its arguments are.
    """
    assert judged.labels is not None
    network = trained.load(run, device, precision)
    labels = np.zeros(len(judged.images), np.int64)
    labels[judged.indices] = judged.labels
    measured_by = (network.judge, network.preparation, judged.images, labels, network.classes, judged.indices)
    return evaluate(*measured_by, views, batch, progress, processes, confusion=True)


def read(
    run: Path,
    judged: Judged,
    views: int,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
) -> np.ndarray | None:
    """What is kept, float32 [N, classes]; None if there is nothing, or it is of other weights, images, views or precision."""
    path = file_of(run, judged, views)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            if file.metadata() != _identity(run, judged, views, device, precision):
                return None
            found: np.ndarray = file.get_tensor("probabilities")
    except (OSError, SafetensorError):  # not there, or damaged
        return None
    return found if found.shape == (len(judged.indices), len(classes_of(run))) else None


def _write(run: Path, judged: Judged, views: int, made: np.ndarray, identity: dict[str, str]) -> None:
    path = file_of(run, judged, views)
    path.parent.mkdir(exist_ok=True)
    # By hand, as safetensors' own functions copy what they save: eight bytes with the header's length, the header, the data.
    tensor = {"dtype": "F32", "shape": made.shape, "data_offsets": [0, made.nbytes]}
    header = json.dumps({"__metadata__": identity, "probabilities": tensor}).encode()
    header += b" " * (-len(header) % 8)
    write_bytes(path, len(header).to_bytes(8, "little") + header, made.data.cast("B"))
    for old in path.parent.glob(f"{path.name.partition('-step-')[0]}-step-*.safetensors"):
        if old != path:  # of an older checkpoint: of no more use
            old.unlink(missing_ok=True)


def file_of(run: Path, judged: Judged, views: int) -> Path:
    """Where the probabilities of the newest checkpoint are kept, or would be."""
    where = judged.where.replace(" ", "-").replace("/", "-")
    name = f"{where}-{views}views-{judged.fingerprint[:8]}-{checkpoint.newest(run).name}"
    return run / "predictions" / f"{name}.safetensors"


def precision_of(run: Path, device: torch.device | str, precision: Precision | None = None) -> str:
    """What the probabilities of a run are computed in on this device, "float32" or "bf16"."""
    low = low_precision(precision or recipe.read(run).precision, torch.device(device))
    return "bf16" if low else "float32"


def _identity(
    run: Path, judged: Judged, views: int, device: torch.device | str, precision: Precision | None
) -> dict[str, str]:
    """What probabilities depend on, as plain text."""
    of, found = recipe.read(run), checkpoint.newest(run)
    network = repr((of.network, of.image_size))
    try:
        with (found / checkpoint.WEIGHTS).open("rb") as weights, (run / "preparation" / "mean.npy").open("rb") as mean:
            hashes = [hashlib.file_digest(file, "sha256").hexdigest() for file in (weights, mean)]
    except OSError as error:
        raise InputError(f"{run}: cannot be read ({error}); copy the run folder whole, or train again") from None
    computed = precision_of(run, device, precision)
    return {
        **({"precision": computed} if computed != "float32" else {}),  # which was not said before there was another
        "checkpoint": found.name,
        "weights": hashes[0],
        "mean": hashes[1],
        "network": hashlib.sha256(network.encode()).hexdigest(),
        "images": judged.fingerprint,
        "split": judged.where,
        "views": str(views),
    }
