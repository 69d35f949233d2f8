"""Training batches: crop, flip, colour and mean, on the whole batch at once and on its device (§4.1).

Each step comes in the paper's form and in the 2012 program's; `Augmentation` says which. Images come in as uint8
[N, S, S, 3] and leave as float32 [N, 3, C, C] in channels-last memory, on the pixel scale 0-255 minus the mean.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import fast
from alexnet.errors import InputError
from alexnet.fast import TRITON, in_parts


@dataclass(frozen=True)
class Augmentation:
    """The changes to a training image before the network sees it."""

    crop: Literal["image", "group", "centre"] = "image"
    """Where the crop is drawn: for every image (the paper), once for 32 consecutive images (2012), or always the centre."""
    flip: bool = True
    """Horizontal reflection with probability one half, drawn as often as the crop."""
    colour: Literal["none", "paper", "authors-2012"] = "paper"
    """Noise along the principal components of RGB: alpha·lambda of pixels on 0-1 (the text), or alpha·sqrt(lambda) and
    the whole image divided by 1.1 (the program)."""
    mean: Literal["position", "centre"] = "position"
    """The mean that a training crop subtracts: that of its own pixels (the text), or the mean image's centre crop (2012)."""


GROUP = 32
"""Consecutive images that share a crop and a flip in the 2012 program (convdata.py)."""

COLOUR_STD = 0.1
"""Standard deviation of alpha, §4.1."""

SHRINK = 1.1
"""What the 2012 program divides an image by after adding colour noise (convdata.py)."""


@dataclass(frozen=True)
class Preparation:
    """The crop size and the statistics of the training set, by which uint8 images become the network's input."""

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
        """The same preparation on another device."""
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
    augmentation: Augmentation,
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
    drawn = draw(number, preparation, augmentation, generator, images.device).rows(rows)
    return batch_of(images, indices, preparation, augmentation, drawn, dtype)


@dataclass(frozen=True)
class Drawn:
    """The random choices of a batch: crops, flips and colour noise."""

    top: Tensor
    """int64 [N], first row of the crop"""
    left: Tensor
    """int64 [N], first column"""
    flip: Tensor
    """bool [N]"""
    offsets: Tensor | None
    """float32 [N, 3], colour noise of RGB, 0-255"""

    def rows(self, rows: slice) -> "Drawn":
        """The choices for these images alone."""
        offsets = None if self.offsets is None else self.offsets[rows]
        return Drawn(self.top[rows], self.left[rows], self.flip[rows], offsets)


def draw(
    number: int, preparation: Preparation, augmentation: Augmentation, generator: torch.Generator, device: torch.device
) -> Drawn:
    """Crops, flips and colour noise of `number` images, without waiting for the device."""
    last = preparation.positions
    group = GROUP if augmentation.crop == "group" else 1

    def random(below: int) -> Tensor:
        values = torch.randint(below, (-(-number // group),), generator=generator, device=device)
        return values.repeat_interleave(group)[:number]

    if augmentation.crop == "centre":
        top = left = torch.full((number,), (last - 1) // 2, device=device)
    else:
        top, left = random(last), random(last)
    flip, form = random(2).bool() & augmentation.flip, augmentation.colour
    return Drawn(top, left, flip, None if form == "none" else colour_noise(number, preparation, form, generator))


def batch_of(
    images: Tensor,
    indices: Tensor | None,
    preparation: Preparation,
    augmentation: Augmentation,
    drawn: Drawn,
    dtype: torch.dtype,
) -> Tensor:
    """The network's input [N, 3, C, C] of images [N, S, S, 3], or of those at `indices`, by the fastest form there is."""
    whole = images.dtype == torch.uint8 and images.shape[1] == preparation.size  # needs no averaging
    if whole and images.is_cuda and TRITON:
        from alexnet.data.gpu import augment

        size = preparation.input_size
        mean = preparation.mean if augmentation.mean == "position" else centre(preparation.mean, size)
        shrink = SHRINK if augmentation.colour == "authors-2012" else 1.0
        return augment(images, indices, drawn.top, drawn.left, drawn.flip, mean, drawn.offsets, shrink, size, dtype)
    if indices is not None:
        images = images.index_select(0, indices)
    if whole and images.device.type == "cpu" and fast.compiled():
        return compiled_batch(images, preparation, augmentation, drawn, dtype)
    return plain_batch(images, preparation, augmentation, drawn).to(dtype)


def plain_batch(images: Tensor, preparation: Preparation, augmentation: Augmentation, drawn: Drawn) -> Tensor:
    """The crops, minus the mean, mirrored, with their colour noise, by torch alone."""
    size, top, left = preparation.input_size, drawn.top, drawn.left
    numbers = torch.arange(len(images), device=images.device)
    crops = _windows(to_channels(images, preparation.size), size)[numbers, top, left].float()
    if augmentation.mean == "position":
        crops -= _windows(preparation.mean[None], size)[0][top, left]
    else:
        crops -= centre(preparation.mean, size)
    crops = torch.where(drawn.flip[:, None, None, None], crops.flip(-1), crops)
    if drawn.offsets is not None:
        crops += drawn.offsets[:, :, None, None]
    if augmentation.colour == "authors-2012":
        crops /= SHRINK
    return crops.contiguous(memory_format=torch.channels_last)


def compiled_batch(
    images: Tensor, preparation: Preparation, augmentation: Augmentation, drawn: Drawn, dtype: torch.dtype
) -> Tensor:
    """The bits of `plain_batch` in one pass over the pixels, on the CPU, for images that need no averaging."""
    from alexnet.bf16 import array_of
    from alexnet.data.compiled import augment

    number, size = len(images), preparation.input_size
    out = torch.empty(number, 3, size, size, dtype=dtype, memory_format=torch.channels_last)
    top, left = drawn.top, drawn.left
    middle = torch.full_like(top, (preparation.positions - 1) // 2)
    mean_top, mean_left = (top, left) if augmentation.mean == "position" else (middle, middle)
    offsets = torch.zeros(number, 3) if drawn.offsets is None else drawn.offsets
    tensors = (images, top, left, mean_top, mean_left, drawn.flip, offsets, out.permute(0, 2, 3, 1))
    arrays = [array_of(tensor.contiguous()) for tensor in tensors]
    mean = preparation.mean.permute(1, 2, 0).contiguous().numpy()
    divisor = np.float32(SHRINK if augmentation.colour == "authors-2012" else 1)
    in_parts(lambda start, stop: augment(mean, divisor, *(array[start:stop] for array in arrays)), number)
    return out


def colour_noise(number: int, preparation: Preparation, form: str, generator: torch.Generator) -> Tensor:
    """RGB offsets [number, 3], on the pixel scale 0-255 (§4.1): PCA, alpha drawn once for all pixels of an image at each use.

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
