"""Forward and backward of the convolutions in every form that gives the same sums: which form is worth using.

A layer whose columns do not exchange is a grouped convolution, or two, or one with zeros across; conv1 reads three
channels, which suit no matrix unit, and may read blocks of pixels as channels instead. Maps of batch 128 partly lie in the
second-level cache, as they do in a step.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.gpu.figures import Row
from alexnet.gpu.timing import LAST, LOW, Given, free, of_product, timed
from alexnet.network.model import AlexNet
from alexnet.network.summary import summarize


def convolutions(given: Given, limits: dict[str, float]) -> list[Row]:
    """All forms at every batch size, in useful operations: zeros across columns count for nothing."""
    with torch.device("meta"):
        model = AlexNet(given.size.network)
    sides = {layer.name: layer.output[1] for layer in summarize(given.size.network).layers}
    own = [name for name, layer in model.named_children() if getattr(layer, "groups", 1) == 2]
    rows: list[Row] = []
    for batch in given.size.convolved:
        for name in ["conv1", *own]:
            if given.stop():
                given.leave_out(f"forms of {name} at batch {batch}, and what follows", "no time left")
                return rows
            layer = model.get_submodule(name)
            kernels, inputs, window, _ = layer.get_parameter("weight").shape
            sizes = batch, inputs, kernels, sides[name], window
            if name == "conv1":
                stride: int = layer.stride[0]  # type: ignore[index,assignment]
                forms, passes = first_forms(*sizes, stride, given.device), 2  # images have no gradient
            else:
                forms, passes = column_forms(*sizes, given.device), 3
            seconds = timed({f"{name}, {batch}: {form}": work for form, work in forms.items()}, given)
            work = 2 * passes * batch * kernels * sides[name] ** 2 * inputs * window**2
            rows += [of_product(form, took, work, limits) for form, took in seconds.items()]
            del forms, seconds
            free(given.device)
    return rows


def gradients(form: Callable[..., Tensor], g: Tensor, *given: Tensor) -> Callable[[], object]:
    """Forward and backward by all of `given`."""
    leaves = tuple(each.detach().contiguous(memory_format=LAST).requires_grad_() for each in given)
    return lambda: torch.autograd.grad(form(*leaves), leaves, g)


def column_forms(
    batch: int, inputs: int, kernels: int, side: int, window: int, device: torch.device
) -> dict[str, Callable[[], object]]:
    """A layer of two columns, each of `inputs` channels, that keep to themselves: forward, and both gradients."""
    x = torch.randn(batch, 2 * inputs, side, side, device=device, dtype=LOW).contiguous(memory_format=LAST)
    g = torch.randn(batch, kernels, side, side, device=device, dtype=LOW).contiguous(memory_format=LAST)
    weight = torch.randn(kernels, inputs, window, window, device=device, dtype=LOW)
    pad, half = window // 2, kernels // 2
    one = gradients(
        partial(F.conv2d, padding=pad), g[:, :half].contiguous(memory_format=LAST), x[:, :inputs], weight[:half]
    )
    return {
        "grouped": gradients(partial(F.conv2d, padding=pad, groups=2), g, x, weight),
        "two columns": gradients(partial(_columns, pad=pad), g, x, weight),
        "columns kept apart": lambda: (one(), one()),
        "block-dense": gradients(partial(F.conv2d, padding=pad), g, x, block_dense(weight)),
    }


def _columns(x: Tensor, weight: Tensor, pad: int) -> Tensor:
    both = zip(x.chunk(2, 1), weight.chunk(2, 0), strict=True)
    return torch.cat([F.conv2d(a, b, padding=pad) for a, b in both], 1)


def block_dense(weight: Tensor) -> Tensor:
    """Kernels of two columns, [K, C, S, S], as kernels that read both, [K, 2 C, S, S], with zeros across."""
    kernels, inputs = weight.shape[:2]
    dense = weight.new_zeros(kernels, 2 * inputs, *weight.shape[2:])
    dense[: kernels // 2, :inputs] = weight[: kernels // 2]
    dense[kernels // 2 :, inputs:] = weight[kernels // 2 :]
    return dense


def first_forms(
    batch: int, inputs: int, kernels: int, side: int, window: int, stride: int, device: torch.device
) -> dict[str, Callable[[], object]]:
    """conv1, forward and its weights' gradient: as it is, with channels of zeros, with blocks of pixels as channels."""
    blocks = -(-window // stride)
    x = torch.randn(batch, inputs, *2 * (stride * (side - 1 + blocks),), device=device, dtype=LOW)
    weight = torch.randn(kernels, inputs, window, window, device=device, dtype=LOW)
    g = torch.randn(batch, kernels, side, side, device=device, dtype=LOW).contiguous(memory_format=LAST)
    read = stride * (side - 1) + window
    own = x[:, :, :read, :read]

    def by_weight(x: Tensor, weight: Tensor, stride: int) -> Callable[[], object]:
        x = x.contiguous(memory_format=LAST)
        return gradients(lambda weight: F.conv2d(x, weight, stride=stride), g, weight)

    forms = {f"{inputs} channels": by_weight(own, weight, stride)}
    for channels in (4, 8):
        more = (0, 0, 0, 0, 0, channels - inputs)
        forms[f"{channels} channels"] = by_weight(F.pad(own, more), F.pad(weight, more), stride)
    forms[f"{stride} x {stride} pixels as channels"] = by_weight(*as_blocks(x, weight, stride), 1)
    return forms


def as_blocks(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Images and kernels of stride `stride` as those of stride 1 over blocks of pixels, which have the same sums.

    x [N, C, s (O - 1 + b), ...], weight [K, C, W, W] -> [N, s² C, O - 1 + b, ...], [K, s² C, b, b], with b = ⌈W / s⌉: conv1's
    window of 11 becomes one of 12 with zeros at the end, hence of 3 x 3 blocks.
    """
    more = -weight.shape[-1] % stride
    return F.pixel_unshuffle(x, stride), F.pixel_unshuffle(F.pad(weight, (0, more, 0, more)), stride)
