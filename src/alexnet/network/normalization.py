"""Local response normalization (§3.3), and that within a map of the 2012 program, as their formulas say, in plain torch.

x is [N, C, H, W]; y = x · (k + alpha · S)^-beta, where S is a sum of squares over a small neighbourhood: adjacent kernels at
the same position, or adjacent positions of the same map. `fused.py` chooses between this form, which autograd differentiates,
and a device's faster one, which equals it within rounding. Sums are at least float32, whatever x is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network.spec import LRN

MAP = LRN(n=5, k=1.0, alpha=0.001 / 25, beta=0.75)
"""Coefficients of the normalization within a map (layers-145.cfg, layer 2): n is the side of the square of positions."""


def local_response_normalization(x: Tensor, lrn: LRN = LRN(), columns: int = 1) -> Tensor:
    """Divide each response by a power of the squared responses of adjacent kernels (§3.3): [N, C, H, W] -> the same.

    With `columns` > 1 the window stays inside its column's C / columns kernels.
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        sums = F.conv2d(wide * wide, band(wide.shape[1], lrn.n, columns, wide.device).to(wide.dtype))
        return (wide * (lrn.k + lrn.alpha * sums).pow(-lrn.beta)).to(x.dtype)


def band(channels: int, n: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """The sum over a window of kernels is a product with a banded matrix, which is a 1x1 convolution: its weights, 0 or 1.

    bool [C, C, 1, 1]
    """
    index = torch.arange(channels, device=device)
    near = (index[:, None] - index[None, :]).abs() <= n // 2
    same_column = (index[:, None] * columns // channels) == (index[None, :] * columns // channels)
    return (near & same_column)[:, :, None, None]


def map_normalization(x: Tensor) -> Tensor:
    """Divide each response by a power of the squared responses of the 5x5 positions around it: [N, C, H, W] -> the same.

    Positions outside the map count as zeros. Layer 2 of the 2012 program does it, and the paper does not mention it.
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        sums = F.avg_pool2d(wide * wide, MAP.n, stride=1, padding=MAP.n // 2, count_include_pad=True) * MAP.n**2
        return (wide * (MAP.k + MAP.alpha * sums).pow(-MAP.beta)).to(x.dtype)
