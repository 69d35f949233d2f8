"""Class probabilities of a run's images: computed once, kept in the run folder, read again while nothing has changed.

RUN/predictions/WHERE-VIEWSviews-IMAGES-CHECKPOINT.safetensors   float32 [images, classes]; IMAGES: eight letters of a hash.
Its header says what they are of: the weights, how images are prepared, the images with their labels, the views.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError

from alexnet import tensors
from alexnet.data.views import check_views
from alexnet.device import Precision, keep_memory, low_precision, pick
from alexnet.errors import InputError
from alexnet.evaluation.judged import Judged, Progress
from alexnet.evaluation.measure import Count, Evaluation, probabilities_of
from alexnet.processes import Processes
from alexnet.reading import sha256_of
from alexnet.run import checkpoint, recipe, trained
from alexnet.run.folder import MEAN, PREDICTIONS, classes_of

MOST = 1_000_000_000
"""Bytes of class probabilities of one run above which `alexnet evaluate` neither holds nor keeps them, if it can do without."""


@dataclass(frozen=True)
class Options:
    """How networks judge images. Raises InputError for a number of views or a batch that cannot be."""

    views: int = 1
    """1 (centre crop) or 10, probabilities averaged"""
    batch: int = 64
    """Images at a time"""
    device: torch.device | str = "auto"
    """A device, or auto, cpu, cuda, mps"""
    precision: Precision | None = None
    """What is computed in; None: as the run's recipe says"""
    keep: bool = True
    """Whether probabilities are kept in the run folder, and those kept are used"""
    processes: Processes = Processes()
    """This process's place among those that share the images; the first one writes"""

    def __post_init__(self) -> None:
        check_views(self.views)
        if self.batch < 1:
            raise InputError(f"--batch {self.batch}: must be at least 1")

    @property
    def place(self) -> torch.device:
        """The device that this process computes on; InputError if it is not there."""
        return pick(self.processes.device(str(self.device)))

    def precision_of(self, run: Path) -> str:
        """The precision that the probabilities of a run are computed in, "float32" or "bf16"."""
        low = low_precision(self.precision or recipe.read(run).precision, self.place)
        return "bf16" if low else "float32"


def compute(run: Path, judged: Judged, options: Options = Options(), progress: Progress | None = None) -> np.ndarray:
    """Class probabilities float32 [N, classes] by the newest checkpoint of a run, averaged over 1 or 10 views.

    With `options.keep` from RUN/predictions if they are there and all that they depend on is the same, else computed and
    written there. Not kept where images could not be read (`Judged.bad`), so that it is told again. Kept or computed, they
    are the same to the bit with the same machine, batch, device and number of processes; all processes get all of them.
    Raises InputError if `run` is no run folder with a checkpoint.
    """
    recipe.read(run)  # which says it of what is no run folder
    processes = options.processes
    kept = read(run, judged, options) if options.keep else None
    if not processes.any(kept is None):
        assert kept is not None
        return kept
    computed = np.zeros((len(judged.indices), len(classes_of(run))), np.float32)
    for rows, block in _blocks(run, judged, options, progress):
        computed[rows] = block.cpu().numpy()
    computed = processes.sum(torch.from_numpy(computed)).numpy()  # to the bit: all but one have zeros there
    bad = processes.any(bool(judged.bad))
    if options.keep and not bad and processes.first:
        _write(file_of(run, judged, options.views), computed, _identity(run, judged, options))
    return computed


def count_errors(
    run: Path, judged: Judged, options: Options = Options(), progress: Progress | None = None
) -> Evaluation:
    """The errors of the newest checkpoint of a run on images with labels, counted block by block; nothing is held or kept.

    They are those of the probabilities of `compute`.
    """
    count = Count(judged.classes, confusion=True)
    for rows, block in _blocks(run, judged, options, progress):
        count.add(block, judged.labels[rows])
    count.summed(options.processes)
    return count.evaluation(options.views)


def _blocks(
    run: Path, judged: Judged, options: Options, progress: Progress | None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Class probabilities of this process's share of the images, in blocks, each with its rows among all of them."""
    keep_memory()
    network = trained.load(run, options.place, options.precision)
    share = options.processes.rows(len(judged.indices))
    shown = partial(progress, f"{run.name}, {judged.where}") if progress and options.processes.first else None
    images, indices, start = judged.images, judged.indices[share], share.start
    for block in probabilities_of(
        network.judge, network.preparation, images, indices, options.views, options.batch, shown
    ):
        yield slice(start, start + len(block)), block
        start += len(block)


def read(run: Path, judged: Judged, options: Options) -> np.ndarray | None:
    """The kept probabilities float32 [N, classes]; None if there are none, or of other weights, images, views or precision."""
    try:
        with safetensors.safe_open(file_of(run, judged, options.views), framework="numpy") as file:
            if file.metadata() != _identity(run, judged, options):
                return None
            kept: np.ndarray = file.get_tensor("probabilities")
    except (OSError, SafetensorError):  # not there, or damaged
        return None
    return kept if kept.shape == (len(judged.indices), len(judged.classes)) else None


def _write(path: Path, computed: np.ndarray, identity: dict[str, str]) -> None:
    path.parent.mkdir(exist_ok=True)
    tensors.write(path, {"probabilities": computed}, identity)
    for old in path.parent.glob(f"{path.name.partition('-step-')[0]}-step-*.safetensors"):
        if old != path:  # of an older checkpoint: of no more use
            old.unlink(missing_ok=True)


def file_of(run: Path, judged: Judged, views: int) -> Path:
    """Where the probabilities of the newest checkpoint are kept, or would be."""
    where = judged.where.replace(" ", "-").replace("/", "-")
    name = f"{where}-{views}views-{judged.fingerprint[:8]}-{checkpoint.newest(run).name}"
    return run / PREDICTIONS / f"{name}.safetensors"


def _identity(run: Path, judged: Judged, options: Options) -> dict[str, str]:
    """All that probabilities depend on, as plain text."""
    run_recipe, newest = recipe.read(run), checkpoint.newest(run)
    network = repr((run_recipe.network, run_recipe.image_size))
    try:
        hashes = [sha256_of(file) for file in (newest / checkpoint.WEIGHTS, run / MEAN)]
    except OSError as error:
        raise InputError(f"{run}: cannot be read ({error}); copy the run folder whole, or train again") from None
    precision = options.precision_of(run)
    return {
        **({"precision": precision} if precision != "float32" else {}),  # which was not said before there was another
        "checkpoint": newest.name,
        "weights": hashes[0],
        "mean": hashes[1],
        "network": hashlib.sha256(network.encode()).hexdigest(),
        "images": judged.fingerprint,
        "split": judged.where,
        "views": str(options.views),
    }
