"""Training batches and test views: crop, flip, colour and mean, on the whole batch at once and on its device (§4.1).

Each step comes in the paper's form and in the 2012 program's; `Augmentation` says which. Images come in as uint8
[N, S, S, 3] and leave as float32 [N, 3, C, C] in channels-last memory, on the pixel scale 0-255 minus the mean.
"""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import fast
from alexnet.data.prepared import Images
from alexnet.errors import InputError
from alexnet.fast import TRITON, in_parts


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image before the network sees it."""

    crop: Literal["image", "group", "centre"] = "image"
    """Where the crop is drawn: for every image (the paper), once for 32 consecutive images (2012), or always the centre."""
    flip: bool = True
    """Horizontal reflection with probability one half, drawn as often as the crop."""
    colour: Literal["none", "paper", "authors-2012"] = "paper"
    """Noise along the principal components of RGB: alpha·lambda of pixels on 0-1 (the text), or alpha·sqrt(lambda) and
    the whole image divided by 1.1 (the program)."""
    mean: Literal["position", "centre"] = "position"
    """The mean that a training crop subtracts: that of its own pixels (the text), or the mean image's centre crop (2012)."""


VIEW = Augmentation(crop="centre", flip=False, colour="none", mean="centre")
"""What is done to the views of a test image."""

GROUP = 32
"""Consecutive images that share a crop and a flip in the 2012 program (convdata.py)."""

COLOUR_STD = 0.1
"""Standard deviation of alpha, §4.1."""

SHRINK = 1.1
"""What the 2012 program divides an image by after adding colour noise (convdata.py)."""


@dataclass(frozen=True)
class Preparation:
    """What turns uint8 images into the network's input: crop size and the statistics of the training set."""

    input_size: int
    mean: Tensor
    """float32 [3, S, S], the mean image, 0-255"""
    eigenvalues: Tensor
    """float32 [3], descending: variances along the principal components of RGB, pixels on 0-255"""
    eigenvectors: Tensor
    """float32 [3, 3], column i belongs to eigenvalue i"""

    def __post_init__(self) -> None:
        if self.input_size > self.mean.shape[-1]:
            raise InputError(
                f"network.input_size: crops of {self.input_size} pixels do not fit prepared images of {self.mean.shape[-1]};"
                f" prepare them larger (alexnet prepare --size) or use a smaller network.input_size"
            )

    def to(self, device: torch.device | str) -> "Preparation":
        """The same on another device."""
        tensors = (self.mean, self.eigenvalues, self.eigenvectors)
        return Preparation(self.input_size, *(tensor.to(device) for tensor in tensors))

    @property
    def size(self) -> int:
        """Side of the images that crops are taken from; larger prepared images are brought to it."""
        return self.mean.shape[-1]

    @property
    def positions(self) -> int:
        """Places of the crop along one side: 33 for crops of 224 in images of 256, both ends included.

        The paper counts 32 ("a factor of 2048" = 32² · 2); its program used all 33.
        """
        return self.size - self.input_size + 1


def to_channels(images: Tensor, size: int) -> Tensor:
    """Images [N, S, S, 3] as [N, 3, size, size]: a view where S is `size`, else area averages of S >= size, float32.

    So a recipe for small images (demo, cifar10) trains on any dataset that is prepared at its size or a larger one.
    """
    images = images.permute(0, 3, 1, 2)
    if images.shape[-1] == size:
        return images
    return F.interpolate(images.float(), size=(size, size), mode="area")


def _windows(images: Tensor, size: int) -> Tensor:
    """View [N, C, S, S] as all its crops: [N, S-size+1, S-size+1, C, size, size], without a copy."""
    return images.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)


def training_batch(
    images: Tensor,
    preparation: Preparation,
    how: Augmentation,
    generator: torch.Generator,
    indices: Tensor | None = None,
    share: tuple[int, slice] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Augmented input of one training step: uint8 [N, S, S, 3] -> [N, 3, C, C] of `dtype`, all on the images' device.

    indices: int64 [N] of the images to take, on their device; all of them by default. `generator` belongs to that device;
    the same generator state gives the same batch. share: (size of the whole batch, which of its rows these images are),
    where several processes share a batch: chance then decides of each image what it would in one process. The arithmetic is
    in float32, and rounded once where `dtype` is a shorter one.
    """
    number, rows = share or (len(images) if indices is None else len(indices), slice(None))
    drawn = draw(number, preparation, how, generator, images.device).rows(rows)
    if images.is_cuda and TRITON and images.shape[1] == preparation.size:
        from alexnet.data.gpu import augment

        size = preparation.input_size
        mean = preparation.mean if how.mean == "position" else centre(preparation.mean, size)
        shrink = SHRINK if how.colour == "authors-2012" else 1.0
        return augment(images, indices, drawn.top, drawn.left, drawn.flip, mean, drawn.offsets, shrink, size, dtype)
    if indices is not None:
        images = images.index_select(0, indices)
    if _compilable(images, preparation):
        return _compiled_batch(images, preparation, how, drawn, dtype)
    return _plain_batch(images, preparation, how, drawn).to(dtype)


@dataclass(frozen=True)
class Drawn:
    """What chance decides of a batch."""

    top: Tensor
    """int64 [N], first row of the crop"""
    left: Tensor
    """int64 [N], first column"""
    flip: Tensor
    """bool [N]"""
    offsets: Tensor | None
    """float32 [N, 3], colour noise of RGB, 0-255"""

    def rows(self, rows: slice) -> "Drawn":
        """What was drawn for these images alone."""
        offsets = None if self.offsets is None else self.offsets[rows]
        return Drawn(self.top[rows], self.left[rows], self.flip[rows], offsets)


def draw(
    number: int, preparation: Preparation, how: Augmentation, generator: torch.Generator, device: torch.device
) -> Drawn:
    """Crops, flips and colour noise of `number` images, without waiting for the device."""
    last = preparation.positions
    draws = -(-number // GROUP) if how.crop == "group" else number

    def each(values: Tensor) -> Tensor:
        return values.repeat_interleave(GROUP)[:number] if how.crop == "group" else values

    if how.crop == "centre":
        top = left = torch.full((number,), (last - 1) // 2, device=device)
    else:
        top = each(torch.randint(last, (draws,), generator=generator, device=device))
        left = each(torch.randint(last, (draws,), generator=generator, device=device))
    flip = each(torch.randint(2, (draws,), generator=generator, device=device)).bool() & how.flip
    offsets = None if how.colour == "none" else colour_noise(number, preparation, how.colour, generator)
    return Drawn(top, left, flip, offsets)


def _compilable(images: Tensor, preparation: Preparation) -> bool:
    here = images.device.type == "cpu" and images.dtype == torch.uint8
    return here and images.shape[1] == preparation.size and fast.compiled()


def _plain_batch(images: Tensor, preparation: Preparation, how: Augmentation, drawn: Drawn) -> Tensor:
    """The crops, minus the mean, mirrored, with their colour noise, by torch alone."""
    size, top, left = preparation.input_size, drawn.top, drawn.left
    every = torch.arange(len(images), device=images.device)
    crops = _windows(to_channels(images, preparation.size), size)[every, top, left].float()
    if how.mean == "position":
        crops -= _windows(preparation.mean[None], size)[0][top, left]
    else:
        crops -= centre(preparation.mean, size)
    crops = torch.where(drawn.flip[:, None, None, None], crops.flip(-1), crops)
    if drawn.offsets is not None:
        crops += drawn.offsets[:, :, None, None]
    if how.colour == "authors-2012":
        crops /= SHRINK
    return crops.contiguous(memory_format=torch.channels_last)


def _compiled_batch(
    images: Tensor, preparation: Preparation, how: Augmentation, drawn: Drawn, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The bits of `_plain_batch` in one pass over the pixels, on the CPU, for images that need no averaging."""
    from alexnet.bf16 import array_of
    from alexnet.data.compiled import augment

    number, size = len(images), preparation.input_size
    out = torch.empty(number, 3, size, size, dtype=dtype, memory_format=torch.channels_last)
    top, left = drawn.top, drawn.left
    middle = torch.full_like(top, (preparation.positions - 1) // 2)
    mean_top, mean_left = (top, left) if how.mean == "position" else (middle, middle)
    offsets = torch.zeros(number, 3) if drawn.offsets is None else drawn.offsets
    of_images = (images, top, left, mean_top, mean_left, drawn.flip, offsets, out.permute(0, 2, 3, 1))
    arrays = [array_of(tensor.contiguous()) for tensor in of_images]
    mean = preparation.mean.permute(1, 2, 0).contiguous().numpy()
    divisor = np.float32(SHRINK if how.colour == "authors-2012" else 1)
    in_parts(lambda start, stop: augment(mean, divisor, *(array[start:stop] for array in arrays)), number)
    return out


def colour_noise(number: int, preparation: Preparation, form: str, generator: torch.Generator) -> Tensor:
    """RGB offsets [number, 3] to add to all pixels of an image, on the pixel scale 0-255 (§4.1).

    paper: eigenvectors · (alpha·lambda). The text names no pixel scale; on 0-255 lambda is some 15,000 and the noise
    would drown every image, so lambda is taken for pixels on 0-1 and the offset brought back to 0-255.
    authors-2012: eigenvectors · (alpha·sqrt(lambda)), which needs no such choice.
    """
    alpha = COLOUR_STD * torch.randn(number, 3, generator=generator, device=preparation.mean.device)
    if form == "paper":
        return (alpha * preparation.eigenvalues / 255.0) @ preparation.eigenvectors.T
    return (alpha * preparation.eigenvalues.clamp(min=0).sqrt()) @ preparation.eigenvectors.T


def centre(images: Tensor, size: int) -> Tensor:
    """Central `size` x `size` crop of [..., S, S], a view."""
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


def check_views(views: int) -> None:
    """InputError for a number of views that there is not."""
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")


def test_views(
    images: Tensor, preparation: Preparation, views: int = 1, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """The views of test images, one after another: uint8 [N, S, S, 3] -> `views` times [N, 3, C, C] of `dtype`.

    1 view: the centre crop. 10 views: four corners and the centre, then the same five mirrored (§4.1). Every view
    subtracts the mean image's centre crop, as the 2012 program did; the text does not say.
    Raises InputError for any other number of views.
    """
    check_views(views)
    size = preparation.input_size
    last = preparation.positions - 1
    mean = centre(preparation.mean, size)
    whole = to_channels(images, preparation.size)
    corners = [(0, 0), (0, last), (last, 0), (last, last)] if views == 10 else []
    here = torch.ones(len(images), dtype=torch.int64)
    for mirrored in (False, True)[: 1 if views == 1 else 2]:
        for top, left in [*corners, (last // 2, last // 2)]:
            if _compilable(images, preparation):
                flip = torch.full((len(images),), mirrored)
                yield _compiled_batch(images, preparation, VIEW, Drawn(top * here, left * here, flip, None), dtype)
                continue
            crop = whole[:, :, top : top + size, left : left + size].float() - mean
            yield (crop.flip(-1) if mirrored else crop).to(dtype, memory_format=torch.channels_last)


test_views.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name


@dataclass(frozen=True)
class Resident:
    """A split in the memory of a device, where batches of it are put together without the host."""

    images: Tensor
    """uint8 [N, S, S, 3]"""
    labels: Tensor
    """int64 [N]"""

    def batches(self, of: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices int64 [B], labels int64 [B]) on the device for each array of indices."""
        if not of:
            return
        # All indices go over at once: no copy from the host, and no waiting for it, between one step and the next.
        order = torch.from_numpy(np.concatenate(of)).to(self.images.device)
        for indices in order.split([len(batch) for batch in of]):
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
        there = torch.empty(images.shape, dtype=torch.uint8, device=device)
    except RuntimeError:  # OutOfMemoryError is one; the CPU's has no name of its own
        raise InputError(
            f"--resident yes: {device} has no room for {size / 1e9:.1f} GB of images; use auto or no"
        ) from None
    for start in range(0, len(labels), 512):
        there[start : start + 512] = torch.from_numpy(np.array(images[start : start + 512]))
    return Resident(there, torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device))


def read_ahead(
    images: Images | Tensor, labels: np.ndarray, batches: list[np.ndarray], device: torch.device, ahead: int = 2
) -> Iterator[tuple[Tensor, Tensor]]:
    """(uint8 [B, S, S, 3], int64 [B]) on `device` for each array of indices, read by a thread while the caller computes.

    `images` may be raw: one indexing call a batch reads them at the speed of memory, outside the interpreter lock; or JPEGs,
    which that call decodes on all threads. At most `ahead` batches are held beside the caller's. Images that are on `device`
    already (`resident`) are put together there.
    """
    if isinstance(images, Tensor):
        there = Resident(images, torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device))
        for indices, target in there.batches(batches):
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
