"""One step of training (§5): forward, loss, backward, update; on a GPU captured as a CUDA graph, which one call starts.

In bf16 the network computes with copies of the float32 weights, which one pass over memory a tensor updates together with
weights and velocities, so that no weight is converted twice a step.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from alexnet.network.low_precision import copies
from alexnet.network.model import AlexNet
from alexnet.training.layouts import Layout
from alexnet.training.rule import PaperSGD

WARM = 3
"""Steps before the capture: real ones, on the stream that is captured later, in which libraries choose their algorithms."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from, on the network's device; where several processes share it, what is this one's."""

    images: Tensor
    """uint8 [N, S, S, 3], or int64 [N], indices of images that are on the device."""
    labels: Tensor
    """int64 [M], of the images that this process computes the loss of (`Layout.judged`): all N where it is alone."""
    size: int
    """Images of the whole batch."""
    rows: slice = field(default_factory=lambda: slice(None))
    """Which of them `images` are (`Layout.rows`)."""


Augment = Callable[[Batch, torch.dtype], Tensor]
"""The network's input [N, 3, C, C] from a batch, best in this dtype: anything else is converted, which takes another pass."""


class Step:
    """step(batch): one update of the weights of `layout.module` by `sgd`.

    augment: runs within the step, so that it is captured with it; it must not wait for the device, and draws from
    `generators`, which may be seeded anew before every call. batch: images of a full batch, the size that is captured or
    compiled. micro_batch: at most so many images a pass; their gradients are added up. low: what the network computes in,
    None for float32. fused: update by `alexnet.training.gpu`. capture: replay full batches as a CUDA graph where one process
    trains on a GPU; after other changes than those of learning rates, seeds and data the graph is wrong. compile: a mode of
    torch.compile for forward and backward of full batches. Velocities are those in `sgd.state`, so a checkpoint is to be
    loaded before.
    """

    def __init__(
        self,
        layout: Layout,
        sgd: PaperSGD,
        augment: Augment,
        batch: int,
        micro_batch: int | None = None,
        low: torch.dtype | None = None,
        fused: bool = False,
        capture: bool = False,
        compile: str | None = None,
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self.layout, self.model, self.sgd = layout, layout.module, sgd
        self.batch, self.micro_batch, self.low = batch, micro_batch, low
        self.fused, self.generators = fused, tuple(generators)
        self.device = next(self.model.parameters()).device
        self.loss, self.wrong = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.rates = [torch.zeros((), device=self.device) for _ in sgd.param_groups]
        self._rates = [0.0 for _ in sgd.param_groups]
        # Several processes exchange the gradients of the weights themselves; there autocast makes its own copies.
        self.alone = layout.processes.number == 1
        on_cpu = self.device.type == "cpu"
        self.copied = low if self.alone and (on_cpu or (fused and micro_batch is None)) else None
        weights: dict[str, Tensor] = dict(self.model.named_parameters())
        self.leaves = copies(self.model, self.copied) if self.copied else weights
        sgd.copies = {w: self.leaves[name] for name, w in weights.items() if self.leaves[name] is not w}
        if fused:
            for weight in weights.values():
                if weight.requires_grad:
                    sgd.velocity(weight)  # memory for it now, not within a capture
        self._compiled = torch.compile(self._loss, mode=compile, dynamic=False) if compile else None
        capture = capture and self.device.type == "cuda" and self.alone
        self._stream = torch.cuda.Stream(self.device) if capture else None
        self.set_augment(augment)

    def set_augment(self, augment: Augment) -> None:
        """Take another augmentation from the next step on; the graph is captured again."""
        self.augment = augment
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warmed = 0

    def __call__(self, batch: Batch) -> None:
        """One step; the rates are those that `sgd.param_groups` have now."""
        for number, group in enumerate(self.sgd.param_groups):
            if group["lr"] != self._rates[number]:
                self._rates[number] = group["lr"]
                self.rates[number].fill_(group["lr"])
        if self._stream is None or batch.size != self.batch:
            self._learn(batch)
        elif self._graph is None and self._warmed < WARM:
            self._warmed += 1
            before = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(before)
            with torch.cuda.stream(self._stream):
                self._learn(batch)
            before.wait_stream(self._stream)
        else:
            if self._graph is None:
                self._graph = self._capture(batch)
            self._captured.images.copy_(batch.images)
            self._captured.labels.copy_(batch.labels)
            self._graph.replay()

    def take(self) -> tuple[float, int]:
        """Summed loss and number of errors since the last call; waits for the device."""
        sums = float(self.loss), int(self.wrong)
        self.loss.zero_()
        self.wrong.zero_()
        return sums

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of images, by the weights as they are now; the model is in eval mode.

        In bf16 where the step has copies of the weights, but for the last layer (`LowPrecision`); else in float32.
        """
        if not self.copied:
            return self.layout(images)
        assert isinstance(self.model, AlexNet)  # a module of several processes has no copies
        last = f"{self.model.spec.last_name}."
        weights = {name: weight for name, weight in self.model.named_parameters() if name.startswith(last)}
        return self._logits(self.leaves | weights, images)

    def _learn(self, batch: Batch) -> None:
        """Forward, loss, backward, update: the batch whole, or its parts one after the other, their gradients added up."""
        images = self.augment(batch, self.copied or torch.float32)
        self._forget_gradients()
        loss_of = self._compiled if self._compiled and batch.size == self.batch else self._loss
        for part in self.layout.begin(batch.size, self.micro_batch):
            loss, wrong = loss_of(self.leaves, images[part.images], batch.labels[part.judged])
            (loss / batch.size).backward()
            self.loss += loss.detach()
            self.wrong += wrong
            if self.micro_batch:
                self._add_up()
        self._update()

    def _loss(self, leaves: dict[str, Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and number of errors of images by the network with these weights."""
        logits = self._logits(leaves, images)
        return F.cross_entropy(logits, labels, reduction="sum"), (logits.detach().argmax(dim=1) != labels).sum()

    def _logits(self, leaves: dict[str, Tensor], images: Tensor) -> Tensor:
        autocast = self.low is not None and not self.copied
        with torch.autocast(self.device.type, dtype=self.low) if autocast else nullcontext():
            if not self.alone:
                return self.layout(images).float()
            return functional_call(self.model, leaves, (images.to(self.copied or images.dtype),)).float()

    def _forget_gradients(self) -> None:
        for each in (*self.leaves.values(), *self.sgd.copies):
            each.grad = None

    def _add_up(self) -> None:
        """Add the gradients of the copies to those of the weights: to sum micro-batches, bf16 is too coarse."""
        for weight, copy in self.sgd.copies.items():
            if copy.grad is not None:
                wide = copy.grad.to(weight.dtype)
                weight.grad = wide if weight.grad is None else weight.grad.add_(wide)
                copy.grad = None

    @torch.no_grad()
    def _update(self) -> None:
        if not self.fused:
            self.sgd.step()
            return
        from alexnet.training.gpu import sgd_

        for group, rate in zip(self.sgd.param_groups, self.rates, strict=True):
            for weight in group["params"]:
                gradient, copy = self.sgd.gradient(weight), self.sgd.copies.get(weight)
                if gradient is not None:  # else a weight that is not trained
                    v = self.sgd.velocity(weight)
                    sgd_(weight, v, gradient, rate, group["momentum"], group["decay"], copy)

    def _capture(self, batch: Batch) -> torch.cuda.CUDAGraph:
        self._captured = replace(batch, images=batch.images.clone(), labels=batch.labels.clone())
        self._forget_gradients()  # freed now, not within the capture
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        # The thread that reads ahead may copy and allocate meanwhile, which is no part of the graph.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._learn(self._captured)
        return graph
