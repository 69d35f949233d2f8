"""The kernels of `gpu_kernels.py` as operators with gradients, which torch.compile knows.

Importing this needs Triton; `fused.py` does so only where it is installed. Triton starts a kernel on the current device, hence
`device_of` around each.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from alexnet.network.gpu_kernels import ROWS, _backward, _backward_pool, _forward, _forward_pool
from alexnet.network.spec import LRN
from alexnet.network.window import steps_of


def local_response_normalization(x: Tensor, lrn: LRN, columns: int) -> Tensor:
    """`normalization.local_response_normalization`; channels-last whatever x is."""
    return _cut(torch.ops.alexnet.lrn(_whole_rows(x), lrn.k, lrn.alpha, columns), x.shape[1])


def relu_lrn_pool(z: Tensor, relu: bool, lrn: LRN, columns: int, window: int, stride: int, ceil: bool) -> Tensor:
    """`fused.relu_lrn_pool`, with pooling windows of `window` pixels, `stride` apart; `ceil` as in torch's max_pool2d.

    Of equal maxima the first gets the gradient, as in torch.
    """
    pooled, _ = torch.ops.alexnet.lrn_pool(_whole_rows(z), lrn.k, lrn.alpha, columns, window, stride, relu, ceil)
    return _cut(pooled, z.shape[1])


def takes(x: Tensor, columns: int) -> bool:
    """Whether the columns of a map are whole rows, or there is only one, which zeros can make so."""
    return columns == 1 or x.shape[1] % (columns * _vector(x)) == 0


def _whole_rows(x: Tensor) -> Tensor:
    """x channels-last, with zeros for the kernels that the last row lacks: half of 96 and two of the other column's do."""
    missing = -x.shape[1] % _vector(x)
    return _channels_last(F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x)


def _cut(y: Tensor, kernels: int) -> Tensor:
    """y without what `_whole_rows` has added; a slice of the whole would cost a copy in the backward pass."""
    return y if y.shape[1] == kernels else y[:, :kernels]


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _vector(x: Tensor) -> int:
    """Kernels to a row: 16 bytes of them."""
    return 16 // x.element_size()


def _rows(x: Tensor, columns: int) -> tuple[tuple[int], int, int, int]:
    """Blocks of the kernels alone, and their arguments: rows in all, rows to a column, kernels to a row."""
    vector = _vector(x)
    rows = x.numel() // vector
    return (triton.cdiv(rows, ROWS.value),), rows, x.shape[1] // columns // vector, vector


@torch.library.custom_op("alexnet::lrn", mutates_args=())
def _lrn(x: Tensor, k: float, alpha: float, columns: int) -> Tensor:
    y = torch.empty_like(x)
    if x.numel():
        blocks, rows, groups, vector = _rows(x, columns)
        with torch.cuda.device_of(x):
            _forward[blocks](x, y, rows, k, alpha, groups, vector)
    return y


@torch.library.custom_op("alexnet::lrn_backward", mutates_args=())
def _lrn_backward(x: Tensor, g: Tensor, k: float, alpha: float, columns: int) -> Tensor:
    g, gx = _channels_last(g), torch.empty_like(x)
    if x.numel():
        blocks, rows, groups, vector = _rows(x, columns)
        with torch.cuda.device_of(x):
            _backward[blocks](x, g, gx, rows, k, alpha, groups, vector)
    return gx


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.settings = inputs[1:]


def _lrn_gradient(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    return torch.ops.alexnet.lrn_backward(*ctx.saved_tensors, g, *ctx.settings), None, None, None


def _pooled_like(
    z: Tensor, k: float, alpha: float, columns: int, window: int, stride: int, relu: bool, ceil: bool
) -> tuple[Tensor, Tensor]:
    """Memory for the pooled maps of z, and for the position of each maximum. With `ceil` the last window may hang over."""
    images, kernels, *sides = z.shape
    height, width = (steps_of(side - window, stride, ceil) + 1 for side in sides)
    shape, last = (images, kernels, height, width), torch.channels_last
    pooled = torch.empty(shape, dtype=z.dtype, device=z.device, memory_format=last)
    return pooled, torch.empty_like(pooled, dtype=torch.uint8)


def _sizes(z: Tensor, pooled: Tensor, columns: int) -> tuple[int, ...]:
    """H, W, OH, OW, G, GROUPS, V of the kernels that pool."""
    vector = _vector(z)
    groups = z.shape[1] // vector
    return *z.shape[2:], *pooled.shape[2:], groups, groups // columns, vector


def _lines(x: Tensor) -> tuple[int]:
    """Blocks of a kernel that takes x line by line, each in parts."""
    images, kernels, height, width = x.shape
    return (images * height * triton.cdiv(width * kernels // _vector(x), ROWS.value),)


@torch.library.custom_op("alexnet::lrn_pool", mutates_args=())
def _lrn_pool(
    z: Tensor, k: float, alpha: float, columns: int, window: int, stride: int, relu: bool, ceil: bool
) -> tuple[Tensor, Tensor]:
    pooled, positions = _pooled_like(z, k, alpha, columns, window, stride, relu, ceil)
    if pooled.numel():
        sizes = _sizes(z, pooled, columns)
        with torch.cuda.device_of(z):
            _forward_pool[_lines(pooled)](z, pooled, positions, k, alpha, *sizes, window, stride, relu)
    return pooled, positions


@torch.library.custom_op("alexnet::lrn_pool_backward", mutates_args=())
def _lrn_pool_backward(
    z: Tensor, g: Tensor, positions: Tensor, k: float, alpha: float, columns: int, window: int, stride: int, relu: bool
) -> Tensor:
    g, gz = _channels_last(g), torch.empty_like(z)
    if z.numel():
        sizes = _sizes(z, positions, columns)
        with torch.cuda.device_of(z):
            _backward_pool[_lines(z)](z, g, positions, gz, k, alpha, *sizes, window, stride, relu)
    return gz


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.settings = inputs[1:-1]  # all but `ceil`


def _lrn_pool_gradient(ctx: Any, g: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    z, positions = ctx.saved_tensors
    return torch.ops.alexnet.lrn_pool_backward(z, g, positions, *ctx.settings), *(None,) * 7


# What torch.compile knows of them: the shapes of what comes back.
_lrn.register_fake(lambda x, *settings: torch.empty_like(x))
_lrn_backward.register_fake(lambda x, *settings: torch.empty_like(x))
_lrn_pool.register_fake(_pooled_like)
_lrn_pool_backward.register_fake(lambda z, *settings: torch.empty_like(z))
_lrn.register_autograd(_lrn_gradient, setup_context=_keep)
_lrn_pool.register_autograd(_lrn_pool_gradient, setup_context=_keep_pool)
