"""The images whose last hidden activations are nearest to an image's own, by Euclidean distance in fc7: fig. 4, right.

The search is exact and needs memory for one block of features at a time. One matrix product a block gives every distance
within a bound that rounding cannot exceed; those that may be among the nearest are computed again, directly, in float64.
The features of a split are computed once and kept in the run folder:

RUN/features/SPLIT-CHECKPOINT.bin    float32 [images, features], row after row; .part until all are there
RUN/features/SPLIT-CHECKPOINT.json   the weights, the preparation and the images that they are of
"""

import hashlib
import json
import mmap
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.data.prepared import Images, Prepared, Split
from alexnet.errors import InputError
from alexnet.files import named, only_writer, sync, write_text
from alexnet.insight import activations, picture
from alexnet.network.linear import product
from alexnet.run.images import training_of
from alexnet.run.recipe import Recipe
from alexnet.run.trained import TrainedNetwork
from alexnet.words import gigabytes

PIECE = 4096
"""Features summed by one product, all of fc7: fewer bring the bound on its rounding closer, more are faster."""

_PAIRS = 1 << 18
"""Numbers of candidates that are computed again at a time: 2 MB of float64, which a cache holds."""

_BLOCK = 1 << 25
"""Bytes of kept features that are read at a time."""

Progress = Callable[[int, int], None]

# The search ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def nearest(queries: Tensor, blocks: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The `count` rows nearest to each query: distances float32 [Q, count], ascending, and indices int64 [Q, count].

    queries [Q, F]; blocks [B, F] of any number type, on any device: rows are counted through all of them, from 0. With fewer
    rows than `count` in all, so many are returned. Products are taken on the device of `queries`, the answer is on the CPU.

    Exact: what is returned is what a direct sum of (q - x)² in float64 finds, rounded to float32 and ordered by (distance,
    index), so of rows at equal distances those with lower indices come first. A row with a NaN is farther than any other.
    Raises ValueError if `count` is below 1 or a block has another number of features.
    """
    if count < 1:
        raise ValueError(f"count is {count}; there must be at least 1 neighbour")
    number, features = queries.shape
    own, exact = queries.float(), queries.cpu().double()
    # A sum of n products, in whatever order, is off by at most n u times the sum of their sizes, and 2|q||x| is at most
    # |q|² + |x|²: so |q|² + |x|² - 2qx is off by at most `off` times |q|² + |x|², u being half of float32's last bit.
    off = 2 * (min(features, PIECE) + -(-features // PIECE) + 16) * 2.0**-24
    if torch.get_float32_matmul_precision() != "highest" and features:
        off += 2.0**-7  # factors may have been rounded to bfloat16
    own_squares, doubled = _squares(own), -2 * own
    distances, indices = torch.empty(number, 0), torch.empty(number, 0, dtype=torch.int64)
    seen = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != features:
            raise ValueError(f"a block is {list(block.shape)}; with these queries it has to be [B, {features}]")
        if not len(block):
            continue
        rows = block.to(own.device, torch.float32)
        squares = _squares(rows)
        # Squared distances, each too small by 0 to 2 `off` times the squares, and all without |q|².
        least = product(doubled[:, :PIECE], rows[:, :PIECE], (1 - off) * squares)
        for start in range(PIECE, features, PIECE):
            least += product(doubled[:, start : start + PIECE], rows[:, start : start + PIECE])
        limit = own_squares.new_full((number,), torch.inf)
        if len(block) >= count:  # so many rows are surely no farther than this
            limit = least.kthvalue(count).values + 2 * off * (own_squares + squares.max())
        if distances.shape[1] == count:
            worst = distances[:, -1].to(limit.device).square() * (1 + 2.0**-21)
            limit = limit.minimum(worst - (1 - off) * own_squares)
        query, row = (~(least > limit[:, None])).nonzero().cpu().unbind(1)  # "not above" is true of NaN
        found = _distances(exact, block, query, row)
        distances, indices = _merge(distances, indices, query, found, row + seen, count)
        seen += len(block)
    return distances, indices


def _squares(rows: Tensor) -> Tensor:
    """|x|² of rows float32 [N, F], piece by piece like the products, so that the same bound holds."""
    squares = rows.new_zeros(len(rows))
    for piece in rows.split(PIECE, dim=1):
        squares += torch.linalg.vector_norm(piece, dim=1).square_()
    return squares


def _distances(queries: Tensor, block: Tensor, query: Tensor, row: Tensor) -> Tensor:
    """Distances float32 [P] between queries[query] (float64, on the CPU) and block[row], by direct sums in float64."""
    at_a_time = max(1, _PAIRS // max(1, queries.shape[1]))
    found = torch.empty(len(row), dtype=torch.float32)
    for start in range(0, len(row), at_a_time):
        part = slice(start, start + at_a_time)
        apart = block[row[part].to(block.device)].cpu().double().sub_(queries[query[part]])
        found[part] = torch.linalg.vector_norm(apart, dim=1).float()
    return found


def _merge(
    distances: Tensor, indices: Tensor, query: Tensor, found: Tensor, found_at: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The best `count` of [Q, C] and of candidates [P], which are listed by `query` and then by index; all indices new."""
    number = len(distances)
    each = torch.bincount(query, minlength=number)
    place = torch.arange(len(query)) - (each.cumsum(0) - each)[query]
    most = int(each.max()) if number else 0
    # Empty places are NaN: behind all rows that are there, if they were NaN themselves, as the sort is stable.
    more, more_at = torch.full((number, most), torch.nan), torch.full((number, most), -1)
    more[query, place], more_at[query, place] = found, found_at
    together, together_at = torch.cat([distances, more], dim=1), torch.cat([indices, more_at], dim=1)
    # What was there has the lower indices, so a stable sort puts equal distances in the order of their indices.
    sorted_, order = together.sort(dim=1, stable=True)
    return sorted_[:, :count].clone(), together_at.gather(1, order)[:, :count].clone()


# Features ------------------------------------------------------------------------------------------------------------


def features_of(
    trained: TrainedNetwork, images: Images, indices: np.ndarray | None = None, progress: Progress | None = None
) -> Iterator[Tensor]:
    """Features of the images at `indices` (default: all), uint8 [N, S, S, 3], centre view: blocks float32 [B, F], on the CPU.

    `progress` is called with (done, total) after each block.
    """
    order, name = np.arange(len(images)) if indices is None else indices, activations.feature_name(trained.network)
    for found in activations.in_batches(trained, images, order, {name}, progress):
        yield found[name].float().flatten(1).cpu()


def features_of_split(
    trained: TrainedNetwork, prepared: Prepared, split: str, keep: bool = True, progress: Progress | None = None
) -> Iterable[Tensor]:
    """Features of a split of `prepared` in blocks float32 [B, F].

    keep: from RUN/features, where they are computed first if those there are not of this checkpoint and these images, or
    not all yet. Otherwise nothing is written and they are computed while they are used. Raises InputError if the disk has
    no room or another process is computing them.
    """
    images = prepared.split(split).images
    if not keep:
        return features_of(trained, images, progress=progress)
    return _read(_kept(trained, prepared, prepared.split(split).name, progress), _width(trained))


def _kept(trained: TrainedNetwork, prepared: Prepared, split: str, progress: Progress | None) -> Path:
    """The file with the features of a split: made, gone on with, or there already."""
    folder, images = trained.path / "features", prepared.split(split).images
    folder.mkdir(exist_ok=True)
    name = f"{split}-{trained.checkpoint}"
    final, part, about = (folder / f"{name}.{suffix}" for suffix in ("bin", "part", "json"))
    row = 4 * _width(trained)
    what = json.dumps({**_what(trained, prepared, split), "images": len(images), "features": row // 4}, indent=2) + "\n"
    with only_writer(folder, "alexnet similar"):
        if not about.is_file() or about.read_text() != what:
            final.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
            write_text(about, what)
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
            here = (lambda now, _: progress(done + now, len(images))) if progress else None
            for block in features_of(trained, images, np.arange(done, len(images)), here):
                file.write(block.numpy().data)
            sync(file)
        part.replace(final)
        # Those of older checkpoints are of no more use, and large.
        for old in folder.glob(f"{split}-step-*"):
            if old not in (final, about):
                old.unlink()
    return final


def _what(trained: TrainedNetwork, prepared: Prepared, split: str) -> dict[str, str]:
    """What features depend on: the weights, how images are prepared, the images."""
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


@torch.inference_mode()
def _width(trained: TrainedNetwork) -> int:
    side, device = trained.network.spec.input_size, trained.preparation.mean.device
    return trained.network.features(torch.zeros(1, 3, side, side, device=device)).flatten(1).shape[1]


def _read(path: Path, features: int) -> Iterator[Tensor]:
    """The rows of a file in blocks float32 [B, F]: views of its mapping, of which one block stays in memory at a time."""
    rows = max(1, _BLOCK // (4 * features * 1024)) * 1024  # so that a block is whole pages
    size = rows * 4 * features
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch wants memory that may be written
    for start in range(0, len(mapped), size):
        if hasattr(mapped, "madvise"):  # not on Windows
            following = min(size, len(mapped) - start - size)
            if following > 0:
                mapped.madvise(mmap.MADV_WILLNEED, start + size, following)
            if start:
                mapped.madvise(mmap.MADV_DONTNEED, start - size, size)
        length = min(size, len(mapped) - start) // 4
        yield torch.frombuffer(mapped, dtype=torch.float32, offset=start, count=length).view(-1, features)


# Similar images ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Similar:
    """The images of a split that are nearest to each query."""

    distances: Tensor
    """float32 [Q, count], ascending"""
    indices: Tensor
    """int64 [Q, count], of images of the split"""
    searched: int
    """Images that they are the nearest of."""

    def listed(self, split: Split) -> list[list[dict[str, Any]]]:
        """The neighbours of each query, which are images of `split`, as plain values."""
        return [
            [
                {"index": k, "file": split.files[k], "class": split.classes[split.labels[k]], "distance": distance}
                for k, distance in zip(indices, distances, strict=True)
            ]
            for indices, distances in zip(self.indices.tolist(), self.distances.tolist(), strict=True)
        ]


def similar(
    trained: TrainedNetwork,
    queries: np.ndarray,
    prepared: Prepared,
    split: str = "train",
    count: int = 6,
    keep: bool = True,
    progress: Progress | None = None,
) -> Similar:
    """The `count` images of a split nearest to each of the queries uint8 [Q, S, S, 3], by Euclidean distance in fc7 (§6.1).

    Images that are held out of the training split to validate the run are not searched. keep, progress, and what is
    raised: see `features_of_split`. InputError if `count` is below 1.
    """
    if count < 1:
        raise InputError(f"--count {count}: there must be at least 1")
    searched = searched_of(trained.recipe, prepared, split)
    own = torch.cat(list(features_of(trained, queries)))
    if len(searched) == 0:
        raise InputError(f"{prepared.path}: its split {split} has no images to search")
    blocks = features_of_split(trained, prepared, split, keep, progress)
    distances, places = nearest(own, _only(blocks, searched), count)
    return Similar(distances, torch.from_numpy(searched)[places], len(searched))


def searched_of(recipe: Recipe, prepared: Prepared, split: str) -> np.ndarray:
    """Indices of a split that neighbours come from: all, but in the training split those that the run was validated on."""
    return training_of(recipe, prepared)[1] if split == "train" else np.arange(len(prepared.split(split).labels))


def _only(blocks: Iterable[Tensor], indices: np.ndarray) -> Iterator[Tensor]:
    """The rows at `indices` (ascending) of all blocks together."""
    start = 0
    for block in blocks:
        low, high = np.searchsorted(indices, (start, start + len(block)))
        yield block if high - low == len(block) else block[torch.from_numpy(indices[low:high] - start)]
        start += len(block)


# The picture ---------------------------------------------------------------------------------------------------------

# Side of a photograph, space between two, space after the queries, margin, height of the two lines beneath a photograph.
_SIDE, _GAP, _RULE, _MARGIN, _BENEATH = 124, 10, 34, 22, 40


def figure(
    queries: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str | None],
    found: np.ndarray,
    found_classes: Sequence[Sequence[str]],
    distances: Tensor,
    layer: str = "fc7",
    of: str = "training images",
) -> Figure:
    """Queries uint8 [Q, S, S, 3] in the first column, with `names` beneath, and their neighbours [Q, count, S, S, 3] beside them.

    classes: each query's own; neighbours of that class have an orange line beneath them. None: not known, none is marked.
    layer and of: whose distances, and what the neighbours are called in the heading.
    """
    count = found.shape[1]
    width = 2 * _MARGIN + _SIDE + _RULE + count * (_SIDE + _GAP) - _GAP
    heading, foot = 30, 14 if any(name is not None for name in classes) else 0
    first = _MARGIN + _SIDE + _RULE
    with picture.style():
        page = picture.Page(width, 2 * _MARGIN + heading + foot + len(queries) * (_SIDE + _BENEATH) - 8)
        page.text(_MARGIN, _MARGIN + 6, "image", 10, weight="bold")
        page.text(first, _MARGIN + 6, f"nearest {of}", 10, weight="bold")
        page.text(
            width - _MARGIN, _MARGIN + 6, f"number: Euclidean distance in {layer}", 8, color=picture.FAINT, ha="right"
        )
        for k, query in enumerate(queries):
            y = _MARGIN + heading + k * (_SIDE + _BENEATH)
            page.photo(query, _MARGIN, y, _SIDE)
            page.text(_MARGIN, y + _SIDE + 13, picture.shorten(names[k], 16), 8, weight="bold")
            for n in range(count):
                x, name = first + n * (_SIDE + _GAP), found_classes[k][n]
                page.photo(found[k, n], x, y, _SIDE)
                if name == classes[k]:
                    page.box(x, y + _SIDE, _SIDE, 3, picture.PALE_ORANGE)
                page.text(x, y + _SIDE + 13, picture.shorten(name, 16), 7.5)
                page.text(
                    x + _SIDE, y + _SIDE + 13, picture.three_digits(distances[k, n]), 7, ha="right", color=picture.FAINT
                )
        page.box(
            _MARGIN + _SIDE + _RULE / 2 - 0.5,
            _MARGIN + heading,
            1,
            len(queries) * (_SIDE + _BENEATH) - 20,
            picture.GREY,
        )
        if foot:
            page.box(first, page.height - _MARGIN - 5, 18, 3, picture.PALE_ORANGE)
            page.text(first + 24, page.height - _MARGIN - 3, "of the image's own class", 8, color=picture.FAINT)
    return page.figure
