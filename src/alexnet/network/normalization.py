"""Local response normalization (§3.3), and the second normalization of the 2012 program, in their plain form.

x is [N, C, H, W]; y = x * (k + alpha * S) ** -beta, where S is a sum of squares over a small neighbourhood: adjacent
kernels at the same position (`local_response_normalization`), or adjacent positions of the same map
(`map_normalization`). Fast forms may come behind these two functions; they have to equal them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def local_response_normalization(
    x: Tensor, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
) -> Tensor:
    """Divide each response by a power of the squared responses of `size` adjacent kernels (§3.3).

    x: [N, C, H, W] -> the same shape. `alpha` multiplies the plain sum, as in the paper; PyTorch's and Caffe's alpha is
    divided by `size`. With `columns` > 1 the window stays inside its column's C / columns kernels. The sum is at least
    float32, whatever x is.
    """
    # The sum over a window of kernels is a product with a banded C x C matrix, which is a 1x1 convolution.
    channels = x.shape[1]
    index = torch.arange(channels, device=x.device)
    near = (index[:, None] - index[None, :]).abs() <= size // 2
    same_column = (index[:, None] * columns // channels) == (index[None, :] * columns // channels)
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        band = (near & same_column).to(wide.dtype)
        sums = F.conv2d(wide * wide, band[:, :, None, None])
        return (wide * (k + alpha * sums).pow(-beta)).to(x.dtype)


def map_normalization(
    x: Tensor, size: int = 5, k: float = 1.0, alpha: float = 0.001 / 25, beta: float = 0.75
) -> Tensor:
    """Divide each response by a power of the squared responses in the `size` x `size` pixels around it, in its own map.

    x: [N, C, H, W] -> the same shape. Positions outside the map count as zeros. Layer 2 of the 2012 program
    (layers-145.cfg, the second normalization, which the paper does not mention).
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        sums = F.avg_pool2d(wide * wide, size, stride=1, padding=size // 2, count_include_pad=True) * size**2
        return (wide * (k + alpha * sums).pow(-beta)).to(x.dtype)


class LocalResponseNormalization(nn.Module):
    """`local_response_normalization` as a layer."""

    def __init__(
        self, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
    ) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta, self.columns = size, k, alpha, beta, columns

    def forward(self, x: Tensor) -> Tensor:
        return local_response_normalization(x, self.size, self.k, self.alpha, self.beta, self.columns)

    def extra_repr(self) -> str:
        return f"size={self.size}, k={self.k}, alpha={self.alpha:g}, beta={self.beta}, columns={self.columns}"


class MapNormalization(nn.Module):
    """`map_normalization` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return map_normalization(x)
