"""The last hidden activations of images, and the files in the run folder that keep those of a split.

RUN/features/SPLIT-CHECKPOINT.bin    float32 [images, features], row after row; .part until all are there
RUN/features/SPLIT-CHECKPOINT.json   the weights, the preparation and the images that they are of
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet.data.prepared import Images, Prepared
from alexnet.errors import InputError
from alexnet.files import named, only_writer, sync, write_text
from alexnet.insight import layers
from alexnet.run.folder import FEATURES
from alexnet.run.trained import TrainedNetwork
from alexnet.words import gigabytes

_BLOCK = 1 << 25
"""Bytes of kept features that are read at a time."""

Progress = Callable[[int, int], None]


def features_of(
    trained: TrainedNetwork, images: Images, indices: np.ndarray | None = None, progress: Progress | None = None
) -> Iterator[Tensor]:
    """Features of the images at `indices` (default: all), uint8 [N, S, S, 3], centre view: blocks float32 [B, F], on the CPU.

    `progress` is called with (done, total) after each block.
    """
    order, name = np.arange(len(images)) if indices is None else indices, trained.network.feature_name
    for outputs in layers.in_batches(trained, images, order, {name}, progress):
        yield outputs[name].float().flatten(1).cpu()


def features_of_split(
    trained: TrainedNetwork,
    prepared: Prepared,
    split: str,
    keep: bool = True,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Iterable[Tensor]:
    """Features of a split of `prepared` in blocks float32 [B, F].

    keep: from RUN/features, where they are computed first if those there are not of this checkpoint and these images, or
    not all yet. Otherwise, and of a network file, nothing is written and they are computed while they are used.
    folder: in place of RUN/features. Raises InputError if the disk has no room or another process is computing them.
    """
    part = prepared.split(split)
    if not keep or (trained.in_file and folder is None):
        return features_of(trained, part.images, progress=progress)
    width = next(iter(features_of(trained, part.images, np.arange(1)))).shape[1]
    return _read(_kept(trained, prepared, part.name, width, folder or trained.path / FEATURES, progress), width)


def _kept(
    trained: TrainedNetwork, prepared: Prepared, split: str, width: int, folder: Path, progress: Progress | None
) -> Path:
    """The file with the features of a split, written or completed first if it is not whole."""
    images = prepared.split(split).images
    folder.mkdir(exist_ok=True)
    name = f"{split}-{trained.checkpoint}"
    final, part, about = (folder / f"{name}.{suffix}" for suffix in ("bin", "part", "json"))
    row = 4 * width
    identity = {**_identity(trained, prepared, split), "images": len(images), "features": width}
    text = json.dumps(identity, indent=2) + "\n"
    with only_writer(folder, "alexnet similar"):
        if not about.is_file() or about.read_text() != text:
            final.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
            write_text(about, text)
        if final.is_file():
            return final
        done = part.stat().st_size // row if part.is_file() else 0
        missing = (len(images) - done) * row
        if shutil.disk_usage(folder).free < missing:
            raise InputError(
                f"{final}: the features of {len(images):,} images need {gigabytes(missing)} more than there is room for;"
                " make room, or use --no-keep"
            )
        with named(part), part.open("ab") as file:
            file.truncate(done * row)  # a killed process may have left half a row
            shown = (lambda now, _: progress(done + now, len(images))) if progress else None
            for block in features_of(trained, images, np.arange(done, len(images)), shown):
                file.write(block.numpy().data)
            sync(file)
        part.replace(final)
        # Those of older checkpoints are of no more use, and large.
        for old in folder.glob(f"{split}-step-*"):
            if old not in (final, about):
                old.unlink()
    return final


def _identity(trained: TrainedNetwork, prepared: Prepared, split: str) -> dict[str, str]:
    """Hashes of all that features depend on: the weights, how images are prepared, the images."""
    weights = hashlib.sha256(repr(trained.network.spec).encode())
    for name, values in trained.network.state_dict().items():
        weights.update(name.encode())
        weights.update(values.cpu().contiguous().numpy().data)
    of_images = json.dumps([prepared.size, prepared.store, prepared.manifest["splits"][split]["checksums"]])
    return {
        "weights": weights.hexdigest(),
        "mean": hashlib.sha256(trained.preparation.mean.cpu().contiguous().numpy().data).hexdigest(),
        "split": hashlib.sha256(of_images.encode()).hexdigest(),
    }


def _read(path: Path, features: int) -> Iterator[Tensor]:
    """The rows of a file in blocks float32 [B, F], each mapped by itself, so that only blocks in use take memory."""
    rows, total = max(1, _BLOCK // (4 * features)), path.stat().st_size // (4 * features)
    for start in range(0, total, rows):
        shape = (min(rows, total - start), features)
        # Copy-on-write, as torch wants memory that may be written.
        yield torch.from_numpy(np.memmap(path, np.float32, "c", offset=4 * features * start, shape=shape))
