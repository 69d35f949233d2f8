"""One step of training (§5), captured as a CUDA graph where there is a GPU: the host then starts one thing a step.

The same lines run in every case. In bf16 the network computes with copies of the float32 weights, which one pass over memory
a tensor updates together with weights and velocities, so that no weight is converted twice a step.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from alexnet.network.low_precision import copies
from alexnet.network.model import AlexNet
from alexnet.training.rule import PaperSGD

if TYPE_CHECKING:  # what several processes need is loaded where there are several
    from alexnet.training.distributed import Layout

WARM = 3
"""Steps before the capture: real ones, on the stream that is captured later, in which libraries choose their algorithms."""


class Step:
    """step(given, labels): one update of the weights of `model` by `sgd`. `given` is what `input_of` makes images of.

    given: uint8 images, or indices of images that are on the device; labels: int64 [N]; both on the model's device.
    `input_of` runs within the step, so that augmentation is captured with it; it must not wait for the device, and
    draws from `generators`, which may be seeded anew before every call. It is to be replaced by `set_input`.
    Sums of the loss and of the errors stay on the device until `take`.

    low: what the network computes in, None for float32. fused: whether to update by `alexnet.training.gpu`. capture:
    whether to replay full batches, of `batch` images, as a CUDA graph; after other changes than those of learning rates,
    seeds and data the graph is wrong. compile: a mode of torch.compile for forward and backward of full batches.
    Velocities are those in `sgd.state`, so a checkpoint is to be loaded before.
    layout: how the network and its batches lie over several processes; `model` is then its module. Nothing is captured.
    """

    def __init__(
        self,
        model: nn.Module,
        sgd: PaperSGD,
        input_of: Callable[[Tensor], Tensor],
        batch: int,
        micro_batch: int | None = None,
        low: torch.dtype | None = None,
        fused: bool = False,
        capture: bool = False,
        compile: str | None = None,
        generators: Sequence[torch.Generator] = (),
        layout: "Layout | None" = None,
    ) -> None:
        self.layout = layout
        self.model, self.sgd, self.batch, self.micro_batch, self.low = model, sgd, batch, micro_batch, low
        self.fused, self.generators = fused, tuple(generators)
        self.device = next(model.parameters()).device
        self.loss, self.wrong = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.rates = [torch.zeros((), device=self.device) for _ in sgd.param_groups]
        self._rates = [0.0 for _ in sgd.param_groups]
        # Several processes exchange the gradients of the weights themselves; there autocast makes its own copies.
        on_cpu = self.device.type == "cpu"
        self.copied = low is not None and layout is None and (on_cpu or (fused and micro_batch is None))
        self.leaves: dict[str, Tensor] = copies(model, low) if self.copied and low else dict(model.named_parameters())
        self.leaf_of = {weight: self.leaves[name] for name, weight in model.named_parameters()}
        sgd.copies = {weight: leaf for weight, leaf in self.leaf_of.items() if leaf is not weight}
        if fused:
            for weight in self.leaf_of:
                if not weight.requires_grad:
                    continue
                v = torch.zeros_like(weight)  # laid out as the weight is, which a loaded velocity may not be
                sgd.state[weight]["v"] = v.copy_(sgd.state[weight].get("v", v))
        self._compiled = torch.compile(self._loss, mode=compile, dynamic=False) if compile else None
        capture = capture and self.device.type == "cuda" and layout is None
        self._stream = torch.cuda.Stream(self.device) if capture else None
        self.set_input(input_of)

    @property
    def input_dtype(self) -> torch.dtype:
        """What `input_of` had best give: anything else is converted, which takes another pass."""
        return self.low if self.copied and self.low is not None else torch.float32

    def set_input(self, input_of: Callable[[Tensor], Tensor]) -> None:
        """Another `input_of` from the next step on; the graph is captured again."""
        self.input_of = input_of
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warmed = 0

    def __call__(self, given: Tensor, labels: Tensor, whole: int | None = None) -> None:
        """One step; the rates are those that `sgd.param_groups` have now.

        whole: images of the batch in all processes, where there is a layout; `given` are its `rows`, `labels` its `judged`.
        """
        for number, group in enumerate(self.sgd.param_groups):
            if group["lr"] != self._rates[number]:
                self._rates[number] = group["lr"]
                self.rates[number].fill_(group["lr"])
        if self.layout is not None:
            self._share(given, labels, whole or len(labels))
        elif self._stream is None or len(labels) != self.batch:
            self._once(given, labels)
        elif self._graph is None and self._warmed < WARM:
            self._warmed += 1
            here = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                self._once(given, labels)
            here.wait_stream(self._stream)
        else:
            if self._graph is None:
                self._record(given, labels)
            self._given.copy_(given)
            self._labels.copy_(labels)
            self._graph.replay()  # type: ignore[union-attr]

    def take(self) -> tuple[float, int]:
        """Summed loss and number of errors since the last call; waits for the device."""
        sums = float(self.loss), int(self.wrong)
        self.loss.zero_()
        self.wrong.zero_()
        return sums

    def _record(self, given: Tensor, labels: Tensor) -> None:
        self._given, self._labels = given.clone(), labels.clone()
        self._clear()
        self._graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            self._graph.register_generator_state(generator)
        # The thread that reads ahead may copy and allocate meanwhile, which is no part of the graph.
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            self._once(self._given, self._labels)

    def _once(self, given: Tensor, labels: Tensor) -> None:
        size = self.micro_batch or len(labels)
        images = self.input_of(given)
        self._clear()
        for part, truth in zip(images.split(size), labels.split(size), strict=True):
            forward = self._compiled if self._compiled and len(labels) == self.batch else self._loss
            loss, wrong = forward(self.leaves, part, truth)
            (loss / len(labels)).backward()
            self.loss += loss.detach()
            self.wrong += wrong
            if self.micro_batch:
                self._add_up()
        self._update()

    def _clear(self) -> None:
        for weight, leaf in self.leaf_of.items():
            weight.grad = leaf.grad = None

    def _add_up(self) -> None:
        """Add the gradients of the copies to those of the weights: to sum micro-batches, bf16 is too coarse."""
        for weight, copy in self.sgd.copies.items():
            if copy.grad is not None:
                wide = copy.grad.to(weight.dtype)
                weight.grad = wide if weight.grad is None else weight.grad.add_(wide)
                copy.grad = None

    def _share(self, given: Tensor, labels: Tensor, whole: int) -> None:
        """This process's part of a step."""
        layout, images = self.layout, self.input_of(given)
        assert layout is not None
        self._clear()
        for part in layout.begin(whole, self.micro_batch):
            loss, wrong = self._loss(self.leaves, images[part.own], labels[part.judged])
            (loss * layout.scale(whole)).backward()
            self.loss += loss.detach()
            self.wrong += wrong
        self._update()

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of images, by the weights as they are now.

        In bf16 where the step has copies of the weights, but for the last layer (`LowPrecision`); else in float32.
        """
        if not self.copied:
            return (self.layout or self.model)(images)
        assert isinstance(self.model, AlexNet)  # a module of several processes has no copies
        last = f"{self.model.spec.last_name}."
        weights = {name: weight for name, weight in self.model.named_parameters() if name.startswith(last)}
        return self._logits(self.leaves | weights, images)

    def _logits(self, leaves: dict[str, Tensor], images: Tensor) -> Tensor:
        by_itself = self.low is not None and not self.copied
        with torch.autocast(self.device.type, dtype=self.low) if by_itself else nullcontext():
            if self.layout is not None:
                return self.layout(images).float()
            given = images.to(self.low) if self.copied else images
            return functional_call(self.model, leaves, (given,)).float()

    def _loss(self, leaves: dict[str, Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and number of errors of images by the network with these weights."""
        logits = self._logits(leaves, images)
        return F.cross_entropy(logits, labels, reduction="sum"), (logits.detach().argmax(dim=1) != labels).sum()

    @torch.no_grad()
    def _update(self) -> None:
        if not self.fused:
            self.sgd.step()
            return
        from alexnet.training.gpu import sgd_

        for group, rate in zip(self.sgd.param_groups, self.rates, strict=True):
            for weight in group["params"]:
                leaf = self.leaf_of[weight]
                if leaf.grad is None:  # a weight that is not trained
                    continue
                copy = None if leaf is weight else leaf
                sgd_(weight, self.sgd.state[weight]["v"], leaf.grad, rate, group["momentum"], group["decay"], copy)
