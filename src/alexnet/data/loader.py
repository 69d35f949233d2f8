"""Batches of images: read ahead by a thread, or put together from images that lie in the device's memory."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from alexnet.data.prepared import Images
from alexnet.errors import InputError


@dataclass(frozen=True)
class Resident:
    """A split in the memory of a device, where batches of it are put together without the host."""

    images: Tensor
    """uint8 [N, S, S, 3]"""
    labels: Tensor
    """int64 [N]"""

    def batches(self, parts: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices int64 [B], labels int64 [B]) on the device for each array of indices."""
        if not parts:
            return
        # All indices go over at once: no copy from the host, and no waiting for it, between one step and the next.
        order = torch.from_numpy(np.concatenate(parts)).to(self.images.device)
        for indices in order.split([len(part) for part in parts]):
            yield indices, self.labels.index_select(0, indices)


SPARE = 0.25
"""Share of a GPU's memory that stays free of resident images, for weights, activations and the library's own needs."""


def resident(
    images: Images, labels: np.ndarray, device: torch.device, wanted: Literal["auto", "yes", "no"] = "auto"
) -> Resident | None:
    """The split on `device`; None where it is to be read batch by batch, by `read_ahead`.

    auto: on a GPU whose free memory holds the pixels and a quarter of its whole memory besides. To be called before the
    first step, as that takes memory too. yes: on any device, whatever is free. Raises InputError if it then does not fit.
    """
    size = math.prod(images.shape)
    if wanted == "no" or (wanted == "auto" and device.type != "cuda"):
        return None
    if wanted == "auto":
        torch.cuda.empty_cache()  # what torch keeps of an earlier run of this process is free, too
        free, whole = torch.cuda.mem_get_info(device)
        if size > free - SPARE * whole:
            return None
    try:
        pixels = torch.empty(images.shape, dtype=torch.uint8, device=device)
    except RuntimeError:  # OutOfMemoryError is one; the CPU's has no name of its own
        raise InputError(
            f"--resident yes: {device} has no room for {size / 1e9:.1f} GB of images; use auto or no"
        ) from None
    for start in range(0, len(labels), 512):
        pixels[start : start + 512] = torch.from_numpy(np.array(images[start : start + 512]))
    return Resident(pixels, torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device))


def read_ahead(
    images: Images | Tensor, labels: np.ndarray, batches: list[np.ndarray], device: torch.device, ahead: int = 2
) -> Iterator[tuple[Tensor, Tensor]]:
    """(uint8 [B, S, S, 3], int64 [B]) on `device` for each array of indices, read by a thread while the caller computes.

    `images` may be raw: one indexing call a batch reads them at the speed of memory, outside the interpreter lock; or JPEGs,
    which that call decodes on all threads. At most `ahead` batches are held beside the caller's. Images that are on `device`
    already (`resident`) are put together there.
    """
    if isinstance(images, Tensor):
        held = Resident(images, torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device))
        for indices, target in held.batches(batches):
            yield images.index_select(0, indices), target
        return

    def read(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        batch = torch.from_numpy(np.ascontiguousarray(images[indices]))
        target = torch.from_numpy(np.asarray(labels[indices], dtype=np.int64))
        if device.type == "cuda":
            return batch.pin_memory().to(device, non_blocking=True), target.pin_memory().to(device, non_blocking=True)
        return batch.to(device), target.to(device)

    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        waiting = deque(reader.submit(read, indices) for indices in batches[:ahead])
        for following in range(ahead, len(batches) + ahead):
            ready = waiting.popleft().result()
            if following < len(batches):
                waiting.append(reader.submit(read, batches[following]))
            yield ready
    finally:  # a caller that stops early, or an error of the reader: nothing more is read
        reader.shutdown(wait=True, cancel_futures=True)
