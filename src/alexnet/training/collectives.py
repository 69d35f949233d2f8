"""What processes send each other while a network computes, and the layers that do it (§3.2).

Everything goes by torch.distributed: NCCL between GPUs, gloo between CPUs, in the same lines. Where a layer's input is gathered
from all processes, the gradient of it is the sum of what each process's units say, and every process gets its own part.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel

from alexnet.processes import Processes

When = Literal["forward", "backward", "gradients"]
Join = Callable[[list[Tensor]], Tensor]
Split = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Cut:
    """How a tensor lies over processes: cut along `dim` into `blocks`, of each of which every process has an equal share."""

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


@dataclass
class Exchange:
    """Collectives over all processes, and the bytes that this process has sent by them."""

    processes: Processes
    sent: dict[When, int] = field(default_factory=lambda: {"forward": 0, "backward": 0, "gradients": 0})
    """forward, backward: activations and their gradients; gradients: those of weights. A sum counts as the ring algorithm
    sends it: 2 (n - 1) / n of its bytes."""

    def swap(self, parts: Sequence[Tensor], shapes: Sequence[Sequence[int]], when: When) -> list[Tensor]:
        """Send parts[p] to each other process p; what came from each p, of shapes[p], with the own part in its place.

        Maps [N, C, H, W] travel and arrive channels-last, whatever they were.
        """
        rank = self.processes.rank
        flat = [_flat(part) for p, part in enumerate(parts) if p != rank]
        sending = flat[0] if len(flat) == 1 else torch.cat(flat)
        to = [0 if p == rank else part.numel() for p, part in enumerate(parts)]
        coming = [0 if p == rank else math.prod(shape) for p, shape in enumerate(shapes)]
        came = sending.new_empty(sum(coming))
        dist.all_to_all_single(came, sending, coming, to)
        self.sent[when] += sending.nbytes
        pieces = came.split(coming)
        return [parts[p] if p == rank else _shaped(pieces[p], shape) for p, shape in enumerate(shapes)]

    def sum(self, x: Tensor, when: When) -> Tensor:
        """The sum of x over all processes."""
        x = x.clone()
        dist.all_reduce(x)
        self.count_sum(x, when)
        return x

    def count_sum(self, x: Tensor, when: When) -> None:
        """Count what a sum of x over all processes sends."""
        number = self.processes.number
        self.sent[when] += 2 * (number - 1) * x.nbytes // number

    def added(self, parts: Sequence[Tensor]) -> Tensor:
        """The sum of all processes' parts for this one, taken in the processes' order and at least in float32."""
        shape, dtype = parts[self.processes.rank].shape, parts[self.processes.rank].dtype
        came = self.swap(parts, [shape] * len(parts), "backward")
        total = came[0].to(torch.promote_types(dtype, torch.float32), copy=True)
        for part in came[1:]:
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
        ctx: Any, x: Tensor, exchange: Exchange, shapes: Sequence[Sequence[int]], join: Join, split: Split
    ) -> Tensor:
        ctx.exchange, ctx.split = exchange, split
        return join(exchange.swap([x] * len(shapes), shapes, "forward"))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.exchange.added(ctx.split(gradient)), None, None, None, None


class _Sum(torch.autograd.Function):
    # All processes go on with the same sum to the same loss, so its gradient is that of every summand.
    @staticmethod
    def forward(ctx: Any, x: Tensor, exchange: Exchange) -> Tensor:
        return exchange.sum(x, "forward")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, None


class _WithHalo(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exchange: Exchange, width: int) -> Tensor:
        ctx.exchange, ctx.width = exchange, width
        second = exchange.processes.rank == 1
        border = x[:, :width] if second else x[:, -width:]
        came = exchange.swap([border] * 2, [border.shape] * 2, "forward")
        return torch.cat([came[0], x] if second else [x, came[1]], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        width, second = ctx.width, ctx.exchange.processes.rank == 1
        halo = gradient[:, :width] if second else gradient[:, -width:]
        came = ctx.exchange.swap([halo] * 2, [halo.shape] * 2, "backward")[0 if second else 1]
        out = gradient[:, width:] if second else gradient[:, :-width]
        out = out.clone(memory_format=torch.channels_last)
        border = out[:, :width] if second else out[:, -width:]
        border += came
        return out, None, None


# --- The layers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What one pass through the network takes of a batch: all of it, or a micro-batch."""

    own: slice
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
    """Own channels or units of [N, ...] -> those of all processes."""

    def __init__(self, exchange: Exchange, cut: Cut) -> None:
        super().__init__()
        self.exchange, self.cut = exchange, cut

    def forward(self, x: Tensor) -> Tensor:
        number = self.exchange.processes.number
        split = partial(self.cut.split, number=number)
        return _Gathered.apply(x, self.exchange, [x.shape] * number, self.cut.join, split)


class GatherRows(nn.Module):
    """Features [own images, F] -> [images of all processes, F]."""

    def __init__(self, exchange: Exchange, turn: Turn) -> None:
        super().__init__()
        self.exchange, self.turn = exchange, turn

    def forward(self, x: Tensor) -> Tensor:
        counts = list(self.turn.part.counts)
        shapes = [(count, *x.shape[1:]) for count in counts]
        return _Gathered.apply(x, self.exchange, shapes, torch.cat, partial(torch.split, split_size_or_sections=counts))


class Halo(nn.Module):
    """A column's maps -> the same and, beyond the border, the other column's nearest, for a window that crosses it."""

    def __init__(self, exchange: Exchange, width: int) -> None:
        super().__init__()
        self.exchange, self.width = exchange, width

    def forward(self, x: Tensor) -> Tensor:
        return _WithHalo.apply(x, self.exchange, min(self.width, x.shape[1]))


class Trim(nn.Module):
    """Takes away again what `Halo` added."""

    def __init__(self, exchange: Exchange, width: int) -> None:
        super().__init__()
        self.exchange, self.width = exchange, width

    def forward(self, x: Tensor) -> Tensor:
        width = min(self.width, x.shape[1] // 2)
        own = x[:, width:] if self.exchange.processes.rank == 1 else x[:, :-width]
        return own.contiguous(memory_format=torch.channels_last)


class Last(nn.Linear):
    """The last layer: each process multiplies its own features, and the products are added up; any number of classes will do.

    input [N, own features] -> [N, classes], the same in all processes.
    """

    def __init__(self, inputs: int, classes: int, exchange: Exchange) -> None:
        super().__init__(inputs, classes)
        self.exchange = exchange

    def forward(self, input: Tensor) -> Tensor:
        products = F.linear(input, self.weight)
        wide = products.to(torch.promote_types(products.dtype, torch.float32))
        return _Sum.apply(wide, self.exchange) + self.bias


class Masked(nn.Module):
    """Dropout by a mask drawn for all units and the whole batch, of which this process uses its own part.

    The draw is the one-device network's: by the same layer, in the same order, from the same global generator.
    """

    def __init__(self, layer: nn.Module, turn: Turn, exchange: Exchange, cut: Cut | None, judged: bool = False) -> None:
        """cut: how units lie over the processes, None if they do not. judged: whether it comes after `GatherRows`."""
        super().__init__()
        self.layer, self.turn, self.exchange, self.cut, self.judged = layer, turn, exchange, cut, judged
        self.mask, self.step = torch.empty(0), 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.layer(x)
        turn = self.turn
        if self.step != turn.step:
            self.mask, self.step = self._draw(x), turn.step
        return x * self.mask[turn.part.judged if self.judged else turn.part.own]

    @torch.no_grad()
    def _draw(self, x: Tensor) -> Tensor:
        rank, number = self.exchange.processes.rank, self.exchange.processes.number
        units = x.shape[1] * (number if self.cut else 1)
        ones = x.new_ones(self.turn.batch, units, *x.shape[2:])
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):  # the draw follows the order in memory
            ones = ones.contiguous(memory_format=torch.channels_last)
        mask = self.layer(ones)[self.turn.judged if self.judged else self.turn.rows]
        return (self.cut.split(mask, number)[rank] if self.cut else mask).clone()


# --- The gradients of weights that every process holds ----------------------------------------------------------------


def summed(module: nn.Module, exchange: Exchange) -> nn.Module:
    """`module` with its gradients added up over all processes while the backward pass goes on."""
    if not any(weight.requires_grad for weight in module.parameters()):
        return module

    def add_up(exchange: Exchange, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        exchange.count_sum(bucket.buffer(), "gradients")
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    shared = DistributedDataParallel(module, gradient_as_bucket_view=True)
    shared.register_comm_hook(exchange, add_up)
    return shared


def pass_through(shared: nn.Module, turn: Turn, images: Tensor) -> Tensor:
    """One pass; its backward pass adds gradients up over the processes if it is the last of the step."""
    if isinstance(shared, DistributedDataParallel) and turn.part is not turn.parts[-1]:
        with shared.no_sync():
            return shared(images)
    return shared(images)
