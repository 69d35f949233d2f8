"""How the kernels of the first layer grew: a copy of them after every epoch of a training, kept in the run folder."""

import io
import re
from pathlib import Path

import numpy as np
from torch import Tensor

from alexnet.errors import InputError
from alexnet.files import write_bytes
from alexnet.reading import parse_array, read_bytes
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
    """The epochs whose kernels a run has kept, ascending; none of a run that an earlier version trained."""
    names = (re.fullmatch(r"epoch-(\d+)\.npy", file.name) for file in (run / KERNELS).glob("epoch-*.npy"))
    return sorted(int(name[1]) for name in names if name)


def read(run: Path, epoch: int) -> np.ndarray:
    """The kernels after an epoch, float32 [K, C, h, w]. Raises InputError for an epoch that is not kept, and for a damaged file."""
    file = run / KERNELS / f"epoch-{epoch:05d}.npy"
    try:
        kernels = parse_array(read_bytes(file, MOST), str(file))
    except FileNotFoundError:
        raise InputError(f"{run}: it keeps no kernels of epoch {epoch}") from None
    if kernels.ndim != 4 or kernels.dtype != np.float32:
        raise InputError(f"{file}: {kernels.dtype} {list(kernels.shape)}, no kernels [K, C, h, w]; it is damaged")
    return kernels
