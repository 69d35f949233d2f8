"""The division of a network and its batches over several processes.

    none      one process
    data      every process holds the whole network and reads its share of the batch; gradients are added up (torch's DDP)
    columns   two processes, each a column of the paper's network, on the same images (§3.2): they exchange activations where a
              layer reads both columns, and nowhere else
    hybrid    convolutions as in "data"; of the hidden layers every process holds a share of the units, for the whole batch
              (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks")

In every mode outputs, gradients and weights are those of one process, but for the order in which float32 sums are taken;
dropout too. `alexnet.training.collectives` is what goes from process to process.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network.layers import ColumnLinear, Convolution, Dropout, LocalResponseNormalization, through
from alexnet.network.linear import Linear
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.processes import Mode, Processes
from alexnet.training import collectives
from alexnet.training.collectives import Cut, Gather, GatherRows, Halo, Last, Masked, Part, Trim, Turn
from alexnet.training.rule import PaperSGD


class Layout:
    """A network and its batches over the processes; this class itself is that of one process alone.

    A step is `begin`, then, for each part of the batch that it returned, a call and a backward pass; then the gradients are
    complete.
    """

    replicated = True
    """Whether every process holds the whole network."""
    reads_share = judges_share = False
    """Whether a process reads a share of a batch, and whether it computes the loss of that share alone; else of all."""

    def __init__(self, model: AlexNet, processes: Processes = Processes()) -> None:
        self.processes = processes
        self.turn = Turn()
        self.module: nn.Module = model
        """What this process holds of the network, under the names of AlexNet's parameters."""
        self.cuts: dict[str, Cut] = {}
        """The parameters, by name, of which this process holds a part."""

    def rows(self, batch: int) -> slice:
        """The rows of a batch whose images this process reads in training."""
        return self.processes.rows(batch) if self.reads_share else slice(0, batch)

    def judged(self, batch: int) -> slice:
        """The rows of a batch whose logits this process has in training."""
        return self.processes.rows(batch) if self.judges_share else slice(0, batch)

    def begin(self, batch: int, micro_batch: int | None = None) -> list[Part]:
        """A step on a batch of so many images in all begins; the parts in which it passes through the network.

        micro_batch: at most so many of this process's images at a time. Every process has the same number of parts.
        """
        shares = self._shares(batch)
        size = micro_batch or batch
        turn = self.turn
        turn.parts = [self._part(shares, start, size) for start in range(0, max(1, *shares), size)]
        turn.batch, turn.rows, turn.judged = batch, self.rows(batch), self.judged(batch)
        turn.at, turn.step = -1, turn.step + 1
        return turn.parts

    def __call__(self, images: Tensor) -> Tensor:
        """Logits. In training mode: of the judged rows of the next part, from this process's images of it.

        In eval mode: of all these images, in every process; unless `replicated`, all processes have to call it with the same.
        """
        if not self.module.training:
            return self.module(images)
        self.turn.at += 1
        if self.turn.at >= len(self.turn.parts):
            raise RuntimeError("Layout.begin comes before every step, and a step has one call a part")
        return self._train(images)

    def take(self, whole: dict[str, Tensor]) -> dict[str, Tensor]:
        """This process's parts (copies, where it has not all) of the whole network's tensors: weights, or velocities by name."""
        rank, number = self.processes.rank, self.processes.number
        cut = self.cuts.keys() & whole.keys()
        return whole | {name: self.cuts[name].split(whole[name], number)[rank].clone() for name in cut}

    @torch.no_grad()
    def whole(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """The whole network's tensors, in every process, from the parts of all; all processes have to call it."""
        return parts | {name: self._joined(cut, parts[name]) for name, cut in self.cuts.items() if name in parts}

    def whole_state(self, sgd: PaperSGD) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """State of the whole network and of its optimizer, for a checkpoint; all processes have to call it."""
        return self.whole(self.module.state_dict()), self._with_velocities(sgd.state_dict(), sgd, self.whole)

    def state_of_part(self, state: dict[str, Any], sgd: PaperSGD) -> dict[str, Any]:
        """The state of this process's optimizer, from the whole network's."""
        return self._with_velocities(state, sgd, self.take)

    def _with_velocities(
        self, state: dict[str, Any], sgd: PaperSGD, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    ) -> dict[str, Any]:
        """An optimizer's state, whose weights are numbered, with other velocities: `change` takes them by name."""
        if not self.cuts:
            return state
        name_of = {id(weight): name for name, weight in self.module.named_parameters()}
        names = [name_of[id(weight)] for group in sgd.param_groups for weight in group["params"]]
        velocities = change({names[number]: values["v"] for number, values in state["state"].items()})
        return {**state, "state": {number: {"v": velocities[names[number]]} for number in state["state"]}}

    def _shares(self, batch: int) -> list[int]:
        """How many images of a batch each process reads."""
        number = self.processes.number
        rows = [Processes(rank, number).rows(batch) for rank in range(number)]
        return [share.stop - share.start if self.reads_share else batch for share in rows]

    def _part(self, shares: list[int], start: int, size: int) -> Part:
        counts = tuple(min(max(share - start, 0), size) for share in shares)
        images = slice(start, start + counts[self.processes.rank])
        return Part(images, images, counts)

    def _train(self, images: Tensor) -> Tensor:
        return self.module(images)

    def _fill(self, model: AlexNet) -> None:
        """Give `module`, whose tensors have no memory yet, this process's parts of the model, which is left without any."""
        trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
        parts = dict(self.module.named_children())
        self.module.load_state_dict(self.take(model.state_dict()), assign=True)
        for name, weight in self.module.named_parameters():
            weight.requires_grad_(trained[name])
        for name, layer in model.named_children():
            if layer is not parts[name]:
                layer.to("meta")

    def _joined(self, cut: Cut, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.processes.number)]
        dist.all_gather(parts, part.contiguous())
        return cut.join(parts)


class _Data(Layout):
    reads_share = judges_share = True

    def __init__(self, model: AlexNet, processes: Processes) -> None:
        super().__init__(model, processes)
        model = _synchronized(model)
        for name, layer in list(model.named_children()):
            if isinstance(layer, Dropout | nn.Dropout):
                setattr(model, name, Masked(layer, self.turn, self.processes, None))
        self.module = model
        self.shared = collectives.summed(model)

    def _train(self, images: Tensor) -> Tensor:
        return collectives.pass_through(self.shared, self.turn, images)


class _Columns(Layout):
    replicated = False

    def __init__(self, model: AlexNet, processes: Processes) -> None:
        super().__init__(model, processes)
        layers: list[tuple[str, nn.Module]] = []
        for name, layer in model.named_children():
            reads_both = isinstance(layer, Convolution) and layer.groups == 1 and name != "conv1"
            hidden = isinstance(layer, nn.Linear) and name != model.spec.last_name
            if reads_both or hidden:
                layers.append((f"gather-{name}", Gather(self.processes, Cut(1))))
            layers.append((name, self._column_of(name, layer, model.spec.last_name)))
        layers = self._with_halos(layers, dict(model.named_children()))
        self.module = _Parts(OrderedDict(layers))
        self._fill(model)

    def _column_of(self, name: str, layer: nn.Module, last: str) -> nn.Module:
        """This process's column of a layer, its weights without values yet; and how they are cut."""
        with torch.device("meta"):
            if name == last and isinstance(layer, nn.Linear):
                self.cuts[f"{name}.weight"] = Cut(1)
                return Last(layer.in_features // 2, layer.out_features, self.processes)
            self.cuts |= {f"{name}.{tensor}": Cut(0) for tensor, value in layer.state_dict().items() if value.ndim}
            if isinstance(layer, Convolution):
                inputs, kernels = layer.in_channels // layer.groups, layer.out_channels // 2
                size, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
                return Convolution(inputs, kernels, size, stride, padding, overhang=layer.overhang)
            if isinstance(layer, nn.Linear):
                return Linear(layer.in_features, layer.out_features // 2)
            if isinstance(layer, ColumnLinear):
                _, units, inputs = layer.weight.shape
                return ColumnLinear(inputs, units, 1)
            if isinstance(layer, nn.BatchNorm2d):
                return nn.BatchNorm2d(layer.num_features // 2)
        if isinstance(layer, LocalResponseNormalization):
            return LocalResponseNormalization(layer.lrn)
        if isinstance(layer, Dropout | nn.Dropout):
            return Masked(layer, self.turn, self.processes, Cut(1))
        return layer

    def _with_halos(
        self, layers: list[tuple[str, nn.Module]], whole: dict[str, nn.Module]
    ) -> list[tuple[str, nn.Module]]:
        """The layers with the neighbour's maps around every normalization whose window crosses the columns."""
        with_halos = list(layers)
        for at, (name, _) in reversed(list(enumerate(layers))):
            layer = whole.get(name)
            if isinstance(layer, LocalResponseNormalization) and layer.columns == 1:
                # ReLU, normalization and pooling are one pass over memory: the halo goes around all three.
                start = at - (type(layers[at - 1][1]) is nn.ReLU)
                end = at + 1 + (at + 1 < len(layers) and type(layers[at + 1][1]) is nn.MaxPool2d)
                with_halos.insert(end, (f"trim-{name}", Trim(self.processes, layer.lrn.n // 2)))
                with_halos.insert(start, (f"halo-{name}", Halo(self.processes, layer.lrn.n // 2)))
        return with_halos


class _Hybrid(Layout):
    replicated, reads_share = False, True

    def __init__(self, model: AlexNet, processes: Processes) -> None:
        super().__init__(model, processes)
        model = _synchronized(model)
        layers = dict(model.named_children())
        # Where a layer reads its own column, every process has a share of either column's units.
        apart = any(isinstance(layer, ColumnLinear) for layer in layers.values())
        self.units = Cut(1, model.spec.columns if apart else 1)
        trunk: list[tuple[str, nn.Module]] = []
        head: list[tuple[str, nn.Module]] = []
        for name, layer in layers.items():
            if name == "flatten":
                head += [(name, layer), ("gather-rows", GatherRows(self.processes, self.turn))]
            elif not head:
                trunk.append((name, self._masked(layer, None)))
            else:
                if isinstance(layer, nn.Linear | ColumnLinear) and name != model.spec.last_name and len(head) > 2:
                    head.append((f"gather-{name}", Gather(self.processes, self.units)))
                head.append((name, self._share_of(name, layer, model.spec.last_name)))
        self.module = _Shares(OrderedDict([*trunk, *head]), self)
        self._fill(model)
        self.head = [layer for _, layer in head]
        self.trunk = collectives.summed(_Parts(OrderedDict(trunk)))

    def _part(self, shares: list[int], start: int, size: int) -> Part:
        part = super()._part(shares, start, size)
        firsts = [sum(shares[:process]) + start for process in range(len(shares))]
        rows = [torch.arange(first, first + count) for first, count in zip(firsts, part.counts, strict=True)]
        return Part(
            part.images, slice(0, sum(shares)) if part.counts == tuple(shares) else torch.cat(rows), part.counts
        )

    def _train(self, images: Tensor) -> Tensor:
        return through(self.head, collectives.pass_through(self.trunk, self.turn, images))

    def _masked(self, layer: nn.Module, cut: Cut | None) -> nn.Module:
        if isinstance(layer, Dropout | nn.Dropout):
            return Masked(layer, self.turn, self.processes, cut, judged=cut is not None)
        return layer

    def _share_of(self, name: str, layer: nn.Module, last: str) -> nn.Module:
        """This process's share of a layer's units, its weights without values yet; and how they are cut."""
        number, blocks = self.processes.number, self.units.blocks
        with torch.device("meta"):
            if name == last and isinstance(layer, nn.Linear):
                self.cuts[f"{name}.weight"] = self.units
                return Last(layer.in_features // number, layer.out_features, self.processes)
            if isinstance(layer, nn.Linear | ColumnLinear) and len(layer.bias) % (blocks * number):
                raise InputError(
                    f"--parallel hybrid: the {len(layer.bias)} units of {name} cannot be shared by {number} processes; use a"
                    " number of processes that divides them"
                )
            if isinstance(layer, nn.Linear):
                self.cuts |= {f"{name}.weight": Cut(0, blocks), f"{name}.bias": Cut(0, blocks)}
                return Linear(layer.in_features, layer.out_features // number)
            if isinstance(layer, ColumnLinear):
                self.cuts |= {f"{name}.weight": Cut(1), f"{name}.bias": Cut(0, blocks)}
                columns, units, inputs = layer.weight.shape
                return ColumnLinear(columns * inputs, columns * units // number, columns)
        return self._masked(layer, self.units)


class _Parts(nn.Sequential):
    """Layers, and what exchanges activations between them."""

    def forward(self, input: Tensor) -> Tensor:
        return through(list(self.children()), input)


class _Shares(_Parts):
    """The layers of a hybrid; called in eval mode, by all processes with the same images."""

    def __init__(self, layers: OrderedDict[str, nn.Module], layout: Layout) -> None:
        super().__init__(layers)
        self.layout = layout

    def forward(self, input: Tensor) -> Tensor:
        self.layout.begin(len(input))
        self.layout.turn.at = 0
        return super().forward(input[self.layout.rows(len(input))])


def _synchronized(model: AlexNet) -> AlexNet:
    """The model with batch normalization over the images of all processes, where it normalizes batches."""
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in model.children()):
        return model
    if next(model.parameters()).device.type == "cpu":
        raise InputError(
            "--parallel: batch normalization over the images of several processes needs GPUs; use --parallel columns, or"
            " --network.normalization paper"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def check(mode: Mode, spec: Network, number: int) -> None:
    """Raise InputError for what `number` processes cannot do together in this way with the network `spec`."""
    if mode not in get_args(Mode):
        raise InputError(f"--parallel {mode}: choose one of {', '.join(get_args(Mode))}")
    if mode == "columns" and number != 2:
        raise InputError(f"--parallel columns: a process for each of two columns, not {number}; --processes 2")
    if mode == "columns" and spec.columns != 2:
        raise InputError(
            f"--parallel columns: network {spec.name} has one column and not two columns; use --parallel data"
        )
    if mode == "none" and number > 1:
        raise InputError(f"--parallel none: there are {number} processes; choose data, columns or hybrid")
    if mode == "hybrid" and number > 1 and not spec.hidden:
        raise InputError(f"--parallel hybrid: network {spec.name} has no hidden layers to share; use --parallel data")


def layout(mode: Mode, model: AlexNet, processes: Processes) -> Layout:
    """How `model`, whole and with equal values in all processes, is trained by them; it is taken apart for that.

    All processes have to call it. Raises InputError for what cannot be: what `check` says, hidden units that cannot be
    shared, batch normalization of shared batches on CPUs.
    """
    check(mode, model.spec, processes.number)
    if processes.number == 1:
        return Layout(model, processes)
    if mode == "columns":
        return _Columns(model, processes)
    return _Hybrid(model, processes) if mode == "hybrid" else _Data(model, processes)
