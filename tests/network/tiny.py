"""The small network shrunk once more, with every mechanism left in: for tests that run it often or in float64."""

from dataclasses import replace

import torch
from torch import Tensor

from alexnet.network.networks import small
from alexnet.network.spec import Convolution, Hidden

tiny = replace(
    small,
    name="tiny",
    convolutions=(
        Convolution(4, 3, stride=2, std=0.3, then=("relu", "norm", "pool")),
        Convolution(6, 3, padding=1, std=0.3, bias=0.1, then=("relu", "norm", "pool")),
        Convolution(8, 3, padding=1, std=0.3),
        Convolution(8, 3, padding=1, std=0.3, bias=0.1),
        Convolution(6, 3, padding=1, std=0.3, bias=0.1, then=("relu", "pool")),
    ),
    hidden=(Hidden(8, std=0.5, bias=0.1), Hidden(8, std=0.5, bias=0.1)),
    classes=3,
    input_size=32,
    last_std=0.5,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(number: int, size: int, scale: float = 60.0, seed: int = 1) -> Tensor:
    """Images [N, 3, S, S] on the scale of pixels minus their mean, where normalization is no constant factor."""
    return scale * torch.randn(number, 3, size, size, generator=seeded(seed))
