"""The input that a network of another program takes, and the same network for the input of a run.

A run's network takes R, G, B, pixels 0-255 minus the mean image, times `network.input_scale`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.augment import centre
from alexnet.data.statistics import LARGEST
from alexnet.errors import InputError
from alexnet.exchange import caffe_read, torchvision
from alexnet.network.spec import Network
from alexnet.reading import read_array

Takes = Literal["pixels", "unit", "torchvision", "caffe"]
"""pixels: RGB 0-255 minus the mean; unit: RGB 0-1; torchvision: RGB 0-1 minus its mean, divided by its deviation; caffe: BGR
0-255 minus the mean."""


@dataclass(frozen=True)
class Input:
    """The input of a network: (pixels - mean) · scale, with pixels on 0-255 and colours in `order`."""

    order: Literal["rgb", "bgr"]
    mean: np.ndarray
    """float32, in that order: [3], or an image [3, S, S]."""
    scale: tuple[float, float, float]

    def from_pixels(self, pixels: Tensor, side: int, size: int) -> Tensor:
        """Return the input [N, 3, size, size] for `pixels`, the centre crop of images of `side` pixels.

        pixels: float32 [N, 3, S, S], R, G, B, 0-255. Where S is smaller than `size`, the last rows and columns, which the
        network does not read, are zeros.
        """
        mean = centre(torch.from_numpy(mean_image(self.mean, side)).permute(2, 0, 1), pixels.shape[-1])
        images = (pixels.flip(1) if self.order == "bgr" else pixels) - mean
        unread = size - pixels.shape[-1]
        return F.pad(images * torch.tensor(self.scale).float()[:, None, None], (0, unread, 0, unread))


def input_of(takes: Takes, given: str | None, known: Sequence[float] = (), scale: float = 1.0) -> Input:
    """Return the input that `takes` stands for, with the mean of `mean_of`; `scale` is that of Caffe's data layers."""
    mean = mean_of(takes, given, known)
    if takes == "torchvision":
        red, green, blue = (float(1 / (255.0 * std)) for std in torchvision.STD)
        return Input("rgb", mean, (red, green, blue))
    factor = scale / 255 if takes == "unit" else scale
    return Input("bgr" if takes == "caffe" else "rgb", mean, (factor, factor, factor))


def mean_of(takes: Takes, given: str | None, known: Sequence[float]) -> np.ndarray:
    """Return the mean, float32 [3] or [3, S, S] on 0-255, in the order of the file's colours.

    given: a file (.binaryproto, .npy) or three values; None: what is `known` of it. InputError if it is neither.
    """
    if given is None:
        if takes == "torchvision":
            return np.float32(255) * np.array(torchvision.MEAN, np.float32)
        if len(known) not in (1, 3):
            raise InputError(
                "--mean is missing: imagenet_mean.binaryproto, an .npy of [3, S, S], or three values in the order of the"
                " file's colours, such as --mean 104,117,123 for B,G,R of ImageNet"
            )
        return np.array(np.broadcast_to(np.array(known), 3), np.float32)
    file = Path(given)
    if not file.is_file():
        try:
            values = [float(value) for value in given.split(",")]
        except ValueError:
            raise InputError(f"--mean {given}: no such file, and not three values such as 104,117,123") from None
        if len(values) != 3:
            raise InputError(f"--mean {given}: {len(values)} values; three are needed, or a file")
        return np.array(values, np.float32)
    if file.suffix == ".npy":
        try:
            image = read_array(file, most=LARGEST)
        except (OSError, ValueError) as error:
            raise InputError(f"--mean {file}: no array of numbers ({error})") from None
    else:
        image = caffe_read.mean_of(file)
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        image = image.transpose(2, 0, 1)  # as the mean.npy of a run or a prepared dataset, R, G, B
        image = image[::-1] if takes == "caffe" else image
    square = image.shape == (3,) or (image.ndim == 3 and image.shape[0] == 3 and image.shape[1] == image.shape[2])
    if image.dtype.kind not in "fiu" or not square:
        raise InputError(f"--mean {file}: {image.dtype} {list(image.shape)}; it must be [3, S, S]")
    return np.array(image, np.float32)


def as_run(
    network: Network, weights: dict[str, Tensor], input: Input, image_size: int | None
) -> tuple[Network, dict[str, Tensor], np.ndarray]:
    """Return network and weights for the input of a run, and the mean image, float32 [S, S, 3], R, G, B, 0-255.

    A scale goes into `network.input_scale`, and what differs between colours into conv1, so that both compute the same
    and learning rates mean what they meant. InputError for a mean that does not fit the input.
    """
    mean, size = input.mean, network.input_size
    if not np.isfinite(mean).all():
        raise InputError("--mean: NaN or infinity is in it")
    if mean.ndim == 3 and mean.shape[1] < size:
        raise InputError(f"--mean: {list(mean.shape)}, smaller than the network's input, {size}; give three values")
    side = image_size or (mean.shape[1] if mean.ndim == 3 and mean.shape[1] > size else default_image_size(size))
    if side < size:
        raise InputError(f"--image-size {side}: smaller than the network's input, {size}")
    first, scale = weights["conv1.weight"], np.array(input.scale, np.float64)
    common = float(scale.mean())
    if not (np.isfinite(scale).all() and common > 0):
        raise InputError(f"the file multiplies its input by {input.scale}, which no network here does")
    first = first * torch.tensor(scale / common).float()[:, None, None]
    if input.order == "bgr":
        first, mean = first.flip(1), mean[::-1]
    weights = weights | {"conv1.weight": first.contiguous()}
    return replace(network, input_scale=common), weights, mean_image(mean, side)


def default_image_size(input_size: int) -> int:
    """Return the side of images to take crops from: 256 for the sizes of ImageNet, an eighth more than the crop for others."""
    return 256 if 193 <= input_size <= 256 else -(-input_size * 8 // 7)


def mean_image(mean: np.ndarray, side: int) -> np.ndarray:
    """Return a mean [3] or [3, S, S] as an image [side, side, 3]: its centre, or the whole with its edge repeated around it."""
    if mean.ndim == 1:
        return np.ascontiguousarray(np.broadcast_to(mean, (side, side, 3)))
    before = (side - mean.shape[1]) // 2
    if before >= 0:
        after = side - mean.shape[1] - before
        mean = np.pad(mean, ((0, 0), (before, after), (before, after)), mode="edge")
    else:
        before = (mean.shape[1] - side) // 2
        mean = mean[:, before : before + side, before : before + side]
    return np.ascontiguousarray(mean.transpose(1, 2, 0), np.float32)
