"""Which form computes: a device's fast one where there is one for what is asked, else the plain one.

    plain   the formulas of `normalization.py`, and torch's ReLU and pooling
    cpu     compiled loops (numba), float32 and bf16
    gpu     kernels (Triton), the same

The fast forms are for windows of five kernels and the power 3/4, which every named network has. They pass over memory once
each way, keep the input alone for the backward pass, and can be differentiated once.
"""

from typing import Any

import torch
from torch import Tensor, nn

from alexnet.fast import TRITON, loops_take
from alexnet.network import normalization
from alexnet.network.spec import LRN


def local_response_normalization(x: Tensor, lrn: LRN = LRN(), columns: int = 1) -> Tensor:
    """`normalization.local_response_normalization` (§3.3), by the fastest form for x: [N, C, H, W] -> the same."""
    form = _form(x, lrn, columns) or normalization
    return form.local_response_normalization(x, lrn, columns)


def map_normalization(x: Tensor) -> Tensor:
    """`normalization.map_normalization`, by the fastest form for x: [N, C, H, W] -> the same."""
    if not loops_take(x):
        return normalization.map_normalization(x)
    from alexnet.network import cpu

    return cpu.map_normalization(x)


def relu_lrn_pool(x: Tensor, relu: bool, lrn: LRN | None, columns: int, pool: nn.MaxPool2d) -> Tensor | None:
    """pool(lrn(relu(x))), without what is None or False, in one pass, [N, C, H, W] -> [N, C, H', W']; None if no form does it.

    At least one of `relu` and `lrn` is there. Beside x only a byte for each pooled value is kept for the backward pass.
    """
    form = _form(x, lrn or LRN(), columns)
    alone = lrn is None and (x.is_cuda or not x.is_contiguous(memory_format=torch.channels_last))
    if form is None or alone or not _plain_windows(pool):
        return None
    return form.relu_lrn_pool(x, relu, lrn, columns, pool.kernel_size, pool.stride, pool.ceil_mode)


def _form(x: Tensor, lrn: LRN, columns: int) -> Any:
    """The module of this device's fast form, if it can take x and these coefficients."""
    if (lrn.n, lrn.beta) != (5, 0.75) or x.ndim != 4 or x.dtype not in (torch.float32, torch.bfloat16):
        return None
    if x.is_cuda and TRITON:
        from alexnet.network import gpu

        return gpu if gpu.takes(x, columns) else None
    if loops_take(x) and x.shape[1] % columns == 0:
        from alexnet.network import cpu

        return cpu
    return None


def _plain_windows(pool: nn.MaxPool2d) -> bool:
    """Square windows of which none is padded, spread or counted; their positions go into a byte."""
    window, stride = pool.kernel_size, pool.stride
    if not (isinstance(window, int) and isinstance(stride, int)):
        return False
    return stride <= window <= 15 and (pool.padding, pool.dilation, pool.return_indices) == (0, 1, False)
