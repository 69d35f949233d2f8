"""Whole training steps to be measured: ours as `alexnet train` does it, the peers' as one writes it with torch.

A step goes from the indices of uint8 images in device memory to updated weights, nothing left out: crop, flip, colour and
mean, forward, backward, update. The peers' images come from our augmentation, which is to their advantage.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.data.batches import Augmentation, Preparation, training_batch
from alexnet.fast import TRITON
from alexnet.gpu.timing import LAST, LOW, Size, wait
from alexnet.network.layers import LocalResponseNormalization
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.spec import Network
from alexnet.training import rule
from alexnet.training.graph import WARM, Step
from alexnet.training.trainer import LOG_STEPS, seed_of


def synthetic(number: int, side: int, device: torch.device) -> Tensor:
    """Random images uint8 [number, side, side, 3]."""
    return torch.randint(0, 256, (number, side, side, 3), dtype=torch.uint8, device=device)


def statistics(side: int, input_size: int, device: torch.device) -> Preparation:
    """A mean image and principal components of the right size; the eigenvalues are those of ImageNet."""
    vectors = torch.linalg.qr(torch.randn(3, 3))[0]
    mean = 100 + 50 * torch.rand(3, side, side)
    return Preparation(input_size, mean, torch.tensor([14830.0, 1376.0, 389.0]), vectors).to(device)


class Images:
    """A set in device memory, and what turns indices into a training batch, as the trainer does it."""

    def __init__(self, size: Size, device: torch.device, how: Augmentation = Augmentation()) -> None:
        self.device, self.how, self.classes = device, how, size.network.classes
        self.pixels = synthetic(size.images, size.image, device)
        self.labels = torch.randint(self.classes, (size.images,), device=device)
        self.preparation = statistics(size.image, size.network.input_size, device)
        self.generator = torch.Generator(device)

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[N, 3, C, C] of the images at `indices`."""
        return training_batch(self.pixels, self.preparation, self.how, self.generator, indices, dtype=dtype)


Stepping = Callable[[Tensor, Tensor], None]
"""indices int64 [N], labels int64 [N] -> updated weights."""


class Loop:
    """Steps of one form, fed with random batches of `images`; a call is a round of `steps`."""

    def __init__(self, step: Stepping, images: Images, batch: int, steps: int) -> None:
        self.step, self.images, self.batch, self.steps, self.done = step, images, batch, steps, 0
        # Libraries choose their algorithms, compilers compile, a graph is captured and once replayed.
        self.run(WARM + 3)

    def run(self, number: int) -> None:
        """Like the trainer: all indices go over at once, each step has seeds of its own, a look at the loss now and then."""
        images = self.images
        order = torch.randint(len(images.pixels), (number * self.batch,), device=images.device)
        for indices in order.split(self.batch):
            images.generator.manual_seed(seed_of(0, "batch", self.done))
            torch.manual_seed(seed_of(0, "dropout", self.done))
            self.step(indices, images.labels.index_select(0, indices))
            self.done += 1
            if self.done % LOG_STEPS == 0 and isinstance(self.step, Step):
                self.step.take()

    def __call__(self) -> float:
        """Seconds an image, by the host's clock."""
        wait(self.images.device)
        begun = time.perf_counter()
        self.run(self.steps)
        wait(self.images.device)
        return (time.perf_counter() - begun) / (self.steps * self.batch)


def our_step(
    network: Network, images: Images, batch: int, capture: bool = True, compile: str | None = None, low: bool = True
) -> Step:
    """A training step as `alexnet train` does it; without `capture`, kernel by kernel."""
    model = AlexNet(network).to(images.device, memory_format=LAST)  # type: ignore[call-overload]
    sgd = rule.PaperSGD(rule.groups(model, network.last_name, 0.0005, True), lr=1e-3)
    return step_of(model.train(), sgd, images, batch, LOW if low else None, TRITON, capture, compile)


def step_of(
    model: AlexNet,
    sgd: rule.PaperSGD,
    images: Images,
    batch: int,
    low: torch.dtype | None,
    fused: bool,
    capture: bool,
    compile: str | None = None,
) -> Step:
    """The trainer's step on these images, which come in the numbers that it computes in."""
    step = Step(
        model,
        sgd,
        images.batch,
        batch,
        low=low,
        fused=fused,
        capture=capture,
        compile=compile,
        generators=(images.generator,),
    )
    step.set_input(partial(images.batch, dtype=step.input_dtype))
    return step


def peer_step(model: nn.Module, images: Images, mode: str | None) -> Stepping:
    """What one writes with torch around `model`: autocast to bfloat16, channels-last, fused SGD, torch.compile in `mode`."""
    model = model.to(images.device, memory_format=LAST).train()  # type: ignore[call-overload]
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.0005, fused=True)
    forward: Any = torch.compile(model, mode=mode, dynamic=False) if mode else model

    def step(indices: Tensor, labels: Tensor) -> None:
        batch = images.batch(indices)  # whose colour noise is in float32
        with torch.autocast(images.device.type, dtype=LOW):
            loss = F.cross_entropy(forward(batch), labels)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()

    return step


def plain_port(network: Network) -> AlexNet:
    """`network` with PyTorch's own normalization layer, as most people write it."""
    # PyTorch divides alpha by the window; its sums know no columns.
    return with_normalization(
        AlexNet(network),
        lambda layer: nn.LocalResponseNorm(layer.lrn.n, layer.lrn.alpha * layer.lrn.n, layer.lrn.beta, layer.lrn.k),
    )


def with_normalization(model: AlexNet, made_of: Callable[[LocalResponseNormalization], nn.Module]) -> AlexNet:
    """The same model, other layers in the place of its local response normalization."""
    for name, layer in list(model.named_children()):
        if isinstance(layer, LocalResponseNormalization):
            setattr(model, name, made_of(layer))
    return model


def torchvisions(classes: int) -> tuple[str, Callable[[], nn.Module]]:
    """torchvision's alexnet, which has no normalization: its name, and what makes it. Its layers where it is not installed."""
    if find_spec("torchvision"):
        import torchvision

        return f"torchvision {torchvision.__version__}", lambda: torchvision.models.alexnet(num_classes=classes)
    return "torchvision's layers", lambda: AlexNet(replace(networks["torchvision"], classes=classes))
