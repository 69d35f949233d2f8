"""Local response normalization (§3.3): the plain form, the fast forms, chosen by device. And that of the 2012 program.

x is [N, C, H, W]; y = x * (k + alpha * S) ** -beta, where S is a sum of squares over a small neighbourhood: adjacent
kernels at the same position (`local_response_normalization`), or adjacent positions of the same map
(`map_normalization`).

    plain            what the formula says, differentiated by autograd; every other form equals it within rounding
    in pieces        torch operations on a few images at a time, so that what is in between stays in the cache
    compiled         loops of `compiled.py` on the CPU (numba); with ReLU and the pooling that follows in the same pass
    gpu              kernels of `gpu.py` (Triton); likewise

All but the plain one have a backward pass of their own, which keeps one tensor, the input, and computes the rest again.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.parallel import TRITON, by_hand, in_parts, loops_take

PIECE = 1 << 20
"""Numbers in a piece of the form in pieces: 4 MB, so that the three or four tensors in between share a cache."""


def local_response_normalization(
    x: Tensor, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
) -> Tensor:
    """Divide each response by a power of the squared responses of `size` adjacent kernels (§3.3).

    x: [N, C, H, W] -> the same shape. `alpha` multiplies the plain sum, as in the paper; PyTorch's and Caffe's alpha is
    divided by `size`. With `columns` > 1 the window stays inside its column's C / columns kernels. The sum is at least
    float32, whatever x is. The fast forms can be differentiated once.
    """
    if _on_gpu(x):
        from alexnet.network import gpu

        return gpu.local_response_normalization(x, size, k, alpha, beta, columns)
    if not by_hand(x):
        return plain(x, size, k, alpha, beta, columns)
    if _can_compile(x, size, beta, columns) and (x.dtype == torch.float32 or _is_channels_last(x)):
        return _Compiled.apply(x, k, alpha, columns)
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        return _InPieces.apply(wide, size, k, alpha, beta, columns).to(x.dtype)


def plain(
    x: Tensor, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, columns: int = 1
) -> Tensor:
    """The plain form of `local_response_normalization`."""
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        sums = F.conv2d(wide * wide, band(wide.shape[1], size, columns, wide.device).to(wide.dtype))
        return (wide * (k + alpha * sums).pow(-beta)).to(x.dtype)


def band(channels: int, size: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """The sum over a window of kernels is a product with a banded matrix, which is a 1x1 convolution: its weights, 0 or 1.

    bool [C, C, 1, 1]
    """
    index = torch.arange(channels, device=device)
    near = (index[:, None] - index[None, :]).abs() <= size // 2
    same_column = (index[:, None] * columns // channels) == (index[None, :] * columns // channels)
    return (near & same_column)[:, :, None, None]


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, k: float, alpha: float, beta: float, columns: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.how = size, k, alpha, beta, columns
        sums_of, out = band(x.shape[1], size, columns, x.device).to(x.dtype), torch.empty_like(x)
        constant = x.new_full((x.shape[1],), k)
        for part, target in zip(x.split(_images(x)), out.split(_images(x)), strict=True):
            factor, _ = _powers(F.conv2d(part * part, alpha * sums_of, constant), beta)
            torch.mul(part, factor, out=target)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # d = k + alpha S;  dy_j/dx_i = [i = j] d_j^-beta - 2 alpha beta x_i x_j d_j^(-beta - 1) where i is in j's window
        (x,) = ctx.saved_tensors
        size, k, alpha, beta, columns = ctx.how
        sums_of, out = band(x.shape[1], size, columns, x.device).to(x.dtype), torch.empty_like(x)
        constant, pieces = x.new_full((x.shape[1],), k), _images(x)
        for part, came, target in zip(x.split(pieces), gradient.split(pieces), out.split(pieces), strict=True):
            factor, inverse = _powers(F.conv2d(part * part, alpha * sums_of, constant), beta)
            direct = factor.mul_(came)
            sums = F.conv2d(inverse.mul_(direct).mul_(part), 2 * alpha * beta * sums_of)
            torch.sub(direct, sums.mul_(part), out=target)
        return out, None, None, None, None, None


def _images(x: Tensor) -> int:
    return max(1, PIECE // max(1, x[:1].numel()))  # a process may have no image of a batch


def _powers(d: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """d ** -beta and 1 / d; for the paper's beta by square roots, since a power costs more than all the rest."""
    if beta == 0.75:
        root = d.rsqrt_()
        return root * root.sqrt(), root.square()
    return d.pow(-beta), d.reciprocal()


def _can_compile(x: Tensor, size: int = 5, beta: float = 0.75, columns: int = 1) -> bool:
    right = size == 5 and beta == 0.75 and x.shape[1] % columns == 0
    return right and loops_take(x)


def _on_gpu(x: Tensor) -> bool:
    if not x.is_cuda or not TRITON:
        return False
    from alexnet.network import gpu

    return gpu.takes(x)


def _rows(x: Tensor, columns: int) -> Any:
    """[N, C, H, W] in channels-last memory as an array [N, H, W, columns, C / columns], without a copy."""
    from alexnet.bf16 import array_of

    return array_of(x.permute(0, 2, 3, 1).unflatten(3, (columns, -1)))


def _planes(x: Tensor, columns: int) -> Any:
    """[N, C, H, W] in contiguous memory as an array [N, columns, C / columns, H W], without a copy."""
    return x.detach().flatten(2).unflatten(1, (columns, -1)).numpy()


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: float, alpha: float, columns: int) -> Tensor:
        from alexnet.network import compiled as loops

        x = x if _is_channels_last(x) else x.contiguous()
        ctx.save_for_backward(x)
        ctx.how = k, alpha, columns
        out = torch.empty_like(x)
        if _is_channels_last(x):
            here, there = (_rows(each, columns).reshape(-1, columns, x.shape[1] // columns) for each in (x, out))
            in_parts(lambda a, b: loops.normalize(here[a:b], there[a:b], _f(k), _f(alpha)), len(here))
        else:
            here, there = _planes(x, columns), _planes(out, columns)
            in_parts(lambda a, b: loops.normalize_planes(here[a:b], there[a:b], _f(k), _f(alpha)), len(here))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from alexnet.network import compiled as loops

        (x,) = ctx.saved_tensors
        k, alpha, columns = ctx.how
        out = torch.empty_like(x)
        if _is_channels_last(x):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            arrays = [_rows(each, columns).reshape(-1, columns, x.shape[1] // columns) for each in (x, gradient, out)]
            loop = loops.normalize_backward
        else:
            arrays = [_planes(each, columns) for each in (x, gradient.contiguous(), out)]
            loop = loops.normalize_planes_backward
        in_parts(lambda a, b: loop(*(array[a:b] for array in arrays), _f(k), _f(alpha)), len(arrays[0]))
        return out, None, None, None


def _f(value: float) -> np.float32:
    return np.float32(value)  # a Python float would make the loops' arithmetic float64


# --- ReLU, normalization and pooling in one pass ----------------------------------------------------------------------


def can_fuse(x: Tensor, norm: "LocalResponseNormalization | None", pool: nn.MaxPool2d) -> bool:
    """Whether `normalize_and_pool` can take x here, and this pooling: square windows without padding or gaps."""
    if not (
        isinstance(pool.kernel_size, int)
        and isinstance(pool.stride, int)
        and pool.kernel_size <= 15  # its positions are counted in a byte
        and (pool.padding, pool.dilation, pool.return_indices) == (0, 1, False)
        and pool.stride <= pool.kernel_size
    ):
        return False
    if _on_gpu(x):
        return norm is not None
    how = (norm.size, norm.beta, norm.columns) if norm else ()
    return _can_compile(x, *how) and _is_channels_last(x)


def normalize_and_pool(x: Tensor, relu: bool, norm: "LocalResponseNormalization | None", pool: nn.MaxPool2d) -> Tensor:
    """pool(norm(relu(x))), without what is None or False, in one pass over memory each way, keeping x only (§3.1-3.4).

    x: [N, C, H, W] -> [N, C, H', W'], where `can_fuse(x, norm, pool)`; at least one of `relu` and `norm` is there.
    """
    if x.device.type == "cpu":
        return _NormalizedAndPooled.apply(x, relu, norm, pool)
    from alexnet.network import gpu

    assert norm is not None
    window: Any = pool.kernel_size  # one number, as is the stride: the windows are square
    stride: Any = pool.stride
    how = norm.size, norm.k, norm.alpha, norm.beta, norm.columns
    return gpu.relu_lrn_pool(x, *how, window, stride, pool.ceil_mode, relu="before" if relu else "none")


class _NormalizedAndPooled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, relu: bool, norm: "LocalResponseNormalization | None", pool: nn.MaxPool2d
    ) -> Tensor:
        from alexnet.network import compiled as loops

        pooled = pool(torch.empty_like(z[:1, :1], device="meta"))
        shape = (len(z), z.shape[1], *pooled.shape[2:])
        out = torch.empty(shape, dtype=z.dtype, memory_format=torch.channels_last)
        place = torch.empty_like(out, dtype=torch.uint8)  # the window has 9 positions; torch keeps 8 bytes each
        k, alpha, columns = (norm.k, norm.alpha, norm.columns) if norm else (0.0, 0.0, 1)
        how = relu, norm is not None, _f(k), _f(alpha), pool.kernel_size, pool.stride
        arrays = [_rows(each, columns) for each in (z, out, place)]
        in_parts(lambda a, b: loops.normalize_and_pool(*(array[a:b] for array in arrays), *how), len(z))
        ctx.save_for_backward(z, place)
        ctx.how, ctx.columns = how, columns
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from alexnet.network import compiled as loops

        z, place = ctx.saved_tensors
        out = torch.empty_like(z)
        came = gradient.contiguous(memory_format=torch.channels_last)
        arrays = [_rows(each, ctx.columns) for each in (z, place, came, out)]
        in_parts(lambda a, b: loops.normalize_and_pool_backward(*(array[a:b] for array in arrays), *ctx.how), len(z))
        return out, None, None, None


def map_normalization(
    x: Tensor, size: int = 5, k: float = 1.0, alpha: float = 0.001 / 25, beta: float = 0.75
) -> Tensor:
    """Divide each response by a power of the squared responses in the `size` x `size` pixels around it, in its own map.

    x: [N, C, H, W] -> the same shape. Positions outside the map count as zeros. Layer 2 of the 2012 program
    (layers-145.cfg, the second normalization, which the paper does not mention).
    """
    if (size, beta) == (5, 0.75) and loops_take(x) and _is_channels_last(x):
        return _MapCompiled.apply(x, k, alpha)
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        sums = F.avg_pool2d(wide * wide, size, stride=1, padding=size // 2, count_include_pad=True) * size**2
        return (wide * (k + alpha * sums).pow(-beta)).to(x.dtype)


class _MapCompiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: float, alpha: float) -> Tensor:
        from alexnet.network import compiled as loops

        ctx.save_for_backward(x)
        ctx.how = k, alpha
        out = torch.empty_like(x)
        here, there = (_rows(each, 1)[..., 0, :] for each in (x, out))
        in_parts(lambda a, b: loops.normalize_map(here[a:b], there[a:b], _f(k), _f(alpha)), len(x))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from alexnet.network import compiled as loops

        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        came = gradient.contiguous(memory_format=torch.channels_last)
        arrays = [_rows(each, 1)[..., 0, :] for each in (x, came, out)]
        k, alpha = ctx.how
        in_parts(lambda a, b: loops.normalize_map_backward(*(array[a:b] for array in arrays), _f(k), _f(alpha)), len(x))
        return out, None, None


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
