"""How the kernels of the first layer grew: a copy of them after every epoch of a training, kept in the run folder.

A network file has those of some epochs.
"""

import io
import re
from pathlib import Path

import numpy as np
from torch import Tensor

from alexnet.errors import InputError
from alexnet.files import write_bytes
from alexnet.reading import parse_array, read_bytes
from alexnet.run import network_file
from alexnet.run.folder import KERNELS

MOST = 1 << 28
"""Bytes of a file of kernels."""


def keep(run: Path, epoch: int, kernels: Tensor) -> None:
    """Write the kernels [K, C, h, w] as they are after so many epochs, 0 being before the first: 140 KB of the paper's network."""
    content = io.BytesIO()
    np.save(content, kernels.detach().cpu().float().numpy())
    (run / KERNELS).mkdir(exist_ok=True)
    write_bytes(run / KERNELS / f"epoch-{epoch:05d}.npy", content.getbuffer())


def epochs(run: Path) -> list[int]:
    """The epochs whose kernels a run, or a network file, has kept, ascending; none of a run that an earlier version trained."""
    if run.is_file():
        return list(network_file.read_kernels(run))
    names = (re.fullmatch(r"epoch-(\d+)\.npy", file.name) for file in (run / KERNELS).glob("epoch-*.npy"))
    return sorted(int(name[1]) for name in names if name)


def read(run: Path, epoch: int) -> np.ndarray:
    """The kernels after an epoch, float32 [K, C, h, w]. Raises InputError for an epoch that is not kept, and for a damaged file."""
    if run.is_file():
        kept = network_file.read_kernels(run)
        if epoch not in kept:
            raise InputError(f"{run}: it keeps no kernels of epoch {epoch}")
        return kept[epoch]
    file = run / KERNELS / f"epoch-{epoch:05d}.npy"
    try:
        kernels = parse_array(read_bytes(file, MOST), str(file))
    except FileNotFoundError:
        raise InputError(f"{run}: it keeps no kernels of epoch {epoch}") from None
    if kernels.ndim != 4 or kernels.dtype != np.float32:
        raise InputError(f"{file}: {kernels.dtype} {list(kernels.shape)}, no kernels [K, C, h, w]; it is damaged")
    return kernels


def some_epochs(run: Path, most: int = 16) -> list[int]:
    """At most so many of the epochs that a run has kept, the first and the last among them: close at first, when most changes.

    They are nearest to steps of the same factor, in epochs + 1.
    """
    kept = epochs(run)
    if len(kept) <= most:
        return kept
    wanted = np.geomspace(kept[0] + 1, kept[-1] + 1, most) - 1
    return sorted({min(kept, key=lambda epoch: abs(epoch - each)) for each in wanted.tolist()})
