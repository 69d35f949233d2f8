"""The exchange of activations and gradients between processes while a network computes, and the layers that do it (§3.2).

By torch.distributed: NCCL between GPUs, gloo between CPUs. Where a layer's input is gathered from all processes, its gradient
is the sum over what each process computed of it, and every process gets the part that is its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel

from alexnet.processes import Processes

Join = Callable[[list[Tensor]], Tensor]
Split = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Cut:
    """How a tensor lies over processes: along `dim` it is `blocks` blocks, and every process has an equal share of each."""

    dim: int
    blocks: int = 1

    def split(self, whole: Tensor, number: int) -> list[Tensor]:
        """The parts of `number` processes."""
        if self.blocks == 1:
            return list(whole.chunk(number, self.dim))
        shares = whole.unflatten(self.dim, (self.blocks, number, -1)).unbind(self.dim + 1)
        return [share.flatten(self.dim, self.dim + 1) for share in shares]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The whole tensor of the parts of all processes."""
        if self.blocks == 1:
            return torch.cat(list(parts), self.dim)
        shares = [part.unflatten(self.dim, (self.blocks, -1)) for part in parts]
        return torch.stack(shares, self.dim + 1).flatten(self.dim, self.dim + 2)


def swap(processes: Processes, parts: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Send parts[p] to each other process p; what came from each p, of shapes[p], with this process's part in its place.

    Maps [N, C, H, W] travel and arrive channels-last, whatever they were.
    """
    rank = processes.rank
    flat = [_flat(part) for p, part in enumerate(parts) if p != rank]
    sending = flat[0] if len(flat) == 1 else torch.cat(flat)
    lengths_sent = [0 if p == rank else part.numel() for p, part in enumerate(parts)]
    lengths = [0 if p == rank else math.prod(shape) for p, shape in enumerate(shapes)]
    received = sending.new_empty(sum(lengths))
    dist.all_to_all_single(received, sending, lengths, lengths_sent)
    pieces = received.split(lengths)
    return [parts[p] if p == rank else _shaped(pieces[p], shape) for p, shape in enumerate(shapes)]


def sum_of_parts(processes: Processes, parts: Sequence[Tensor]) -> Tensor:
    """The sum of all processes' parts for this one, taken in the processes' order and at least in float32."""
    shape, dtype = parts[processes.rank].shape, parts[processes.rank].dtype
    received = swap(processes, parts, [shape] * len(parts))
    total = received[0].to(torch.promote_types(dtype, torch.float32), copy=True)
    for part in received[1:]:
        total += part
    return total.to(dtype)


def _flat(x: Tensor) -> Tensor:
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous().view(-1)


def _shaped(flat: Tensor, shape: Sequence[int]) -> Tensor:
    if len(shape) != 4:
        return flat.view(*shape)
    images, channels, height, width = shape
    return flat.view(images, height, width, channels).permute(0, 3, 1, 2)


# --- The gradients of what is exchanged -------------------------------------------------------------------------------


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, processes: Processes, shapes: Sequence[Sequence[int]], join: Join, split: Split
    ) -> Tensor:
        ctx.processes, ctx.split = processes, split
        return join(swap(processes, [x] * len(shapes), shapes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return sum_of_parts(ctx.processes, ctx.split(gradient)), None, None, None, None


class _Sum(torch.autograd.Function):
    # All processes go on with the same sum to the same loss, so its gradient is that of every summand.
    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes) -> Tensor:
        return processes.sum(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, None


class _WithHalo(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes, width: int) -> Tensor:
        ctx.processes, ctx.width = processes, width
        second = processes.rank == 1
        border = x[:, :width] if second else x[:, -width:]
        borders = swap(processes, [border] * 2, [border.shape] * 2)
        return torch.cat([borders[0], x] if second else [x, borders[1]], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        width, second = ctx.width, ctx.processes.rank == 1
        halo = gradient[:, :width] if second else gradient[:, -width:]
        received = swap(ctx.processes, [halo] * 2, [halo.shape] * 2)[0 if second else 1]
        out = gradient[:, width:] if second else gradient[:, :-width]
        out = out.clone(memory_format=torch.channels_last)
        border = out[:, :width] if second else out[:, -width:]
        border += received
        return out, None, None


# --- The layers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What one pass through the network takes of a batch: all of it, or a micro-batch."""

    images: slice
    """Its images, among those that this process reads."""
    judged: slice | Tensor
    """The rows that it gives logits of, among those that this process judges."""
    counts: tuple[int, ...]
    """How many images each process reads for it."""


@dataclass
class Turn:
    """Which step and which part of its batch the network is at."""

    batch: int = 0
    """Images of the whole batch."""
    rows: slice = field(default_factory=lambda: slice(0))
    judged: slice = field(default_factory=lambda: slice(0))
    parts: list[Part] = field(default_factory=list)
    at: int = -1
    step: int = 0

    @property
    def part(self) -> Part:
        return self.parts[self.at]


class Gather(nn.Module):
    """The channels or units of this process, [N, ...] -> those of all processes."""

    def __init__(self, processes: Processes, cut: Cut) -> None:
        super().__init__()
        self.processes, self.cut = processes, cut

    def forward(self, x: Tensor) -> Tensor:
        number = self.processes.number
        split = partial(self.cut.split, number=number)
        return _Gathered.apply(x, self.processes, [x.shape] * number, self.cut.join, split)


class GatherRows(nn.Module):
    """The features of this process's images, [N, F] -> those of all processes' images."""

    def __init__(self, processes: Processes, turn: Turn) -> None:
        super().__init__()
        self.processes, self.turn = processes, turn

    def forward(self, x: Tensor) -> Tensor:
        counts = list(self.turn.part.counts)
        shapes = [(count, *x.shape[1:]) for count in counts]
        return _Gathered.apply(
            x, self.processes, shapes, torch.cat, partial(torch.split, split_size_or_sections=counts)
        )


class Halo(nn.Module):
    """A column's maps -> the same and the other column's nearest, for a window that crosses the border between them."""

    def __init__(self, processes: Processes, width: int) -> None:
        super().__init__()
        self.processes, self.width = processes, width

    def forward(self, x: Tensor) -> Tensor:
        return _WithHalo.apply(x, self.processes, min(self.width, x.shape[1]))


class Trim(nn.Module):
    """The maps without those that `Halo` added."""

    def __init__(self, processes: Processes, width: int) -> None:
        super().__init__()
        self.processes, self.width = processes, width

    def forward(self, x: Tensor) -> Tensor:
        width = min(self.width, x.shape[1] // 2)
        column = x[:, width:] if self.processes.rank == 1 else x[:, :-width]
        return column.contiguous(memory_format=torch.channels_last)


class Last(nn.Linear):
    """The last layer: each process multiplies its features, and the products are added up; any number of classes will do.

    input [N, features of this process] -> [N, classes], the same in all processes.
    """

    def __init__(self, inputs: int, classes: int, processes: Processes) -> None:
        super().__init__(inputs, classes)
        self.processes = processes

    def forward(self, input: Tensor) -> Tensor:
        products = F.linear(input, self.weight)
        wide = products.to(torch.promote_types(products.dtype, torch.float32))
        return _Sum.apply(wide, self.processes) + self.bias


class Masked(nn.Module):
    """Dropout by a mask drawn for all units and the whole batch, of which this process uses its part.

    The draw is the one-device network's: by the same layer, in the same order, from the same global generator.
    """

    def __init__(
        self, layer: nn.Module, turn: Turn, processes: Processes, cut: Cut | None, judged: bool = False
    ) -> None:
        """cut: how units lie over the processes, None if they do not. judged: whether it comes after `GatherRows`."""
        super().__init__()
        self.layer, self.turn, self.processes, self.cut, self.judged = layer, turn, processes, cut, judged
        self.mask, self.step = torch.empty(0), 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.layer(x)
        turn = self.turn
        if self.step != turn.step:
            self.mask, self.step = self._draw(x), turn.step
        return x * self.mask[turn.part.judged if self.judged else turn.part.images]

    @torch.no_grad()
    def _draw(self, x: Tensor) -> Tensor:
        rank, number = self.processes.rank, self.processes.number
        units = x.shape[1] * (number if self.cut else 1)
        ones = x.new_ones(self.turn.batch, units, *x.shape[2:])
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):  # the draw follows the order in memory
            ones = ones.contiguous(memory_format=torch.channels_last)
        mask = self.layer(ones)[self.turn.judged if self.judged else self.turn.rows]
        return (self.cut.split(mask, number)[rank] if self.cut else mask).clone()


# --- The gradients of weights that every process holds ----------------------------------------------------------------


def summed(module: nn.Module) -> nn.Module:
    """`module` with its gradients added up over all processes while the backward pass goes on."""
    if not any(weight.requires_grad for weight in module.parameters()):
        return module

    def add_up(_: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    shared = DistributedDataParallel(module, gradient_as_bucket_view=True)
    shared.register_comm_hook(None, add_up)
    return shared


def pass_through(shared: nn.Module, turn: Turn, images: Tensor) -> Tensor:
    """One pass; its backward pass adds gradients up over the processes if it is the last of the step."""
    if isinstance(shared, DistributedDataParallel) and turn.part is not turn.parts[-1]:
        with shared.no_sync():
            return shared(images)
    return shared(images)
