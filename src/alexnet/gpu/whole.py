"""Whole networks as a GPU computes them, judging and training, against the same lines in plain PyTorch."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.data.batches import VIEW, Augmentation, _plain_batch, draw
from alexnet.gpu.comparing import Extent, Found, apart
from alexnet.gpu.stepping import Images, step_of, with_normalization
from alexnet.gpu.timing import LAST, LOW, Size, free
from alexnet.network.layers import LocalResponseNormalization
from alexnet.network.model import AlexNet
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.spec import Network
from alexnet.run import recipes
from alexnet.training import rule
from alexnet.training.graph import Step

RATE = 1e-4
"""Of the steps. Rounding decides a maximum or a ReLU here and there, and at .01, the paper's rate, that alone drives two runs
of the program's network a third of their velocities apart in six steps, in float32."""


class Plain(nn.Module):
    """A normalization layer in its plain form, which nothing fuses."""

    def __init__(self, layer: LocalResponseNormalization) -> None:
        super().__init__()
        self.how = layer.lrn, layer.columns

    def forward(self, x: Tensor) -> Tensor:
        return plain(x, *self.how)


def plain_twin(model: AlexNet) -> AlexNet:
    """The same network with the same weights, its normalization in the plain form."""
    return with_normalization(deepcopy(model), Plain)


def judging(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """Logits of whole networks, as evaluation computes them, against the plain forms in float64."""
    for network in extent.networks:
        model = AlexNet(network).to(device, memory_format=LAST).eval()  # type: ignore[call-overload]
        images = Images(_small(extent, network), device, VIEW)
        batch = images.batch(torch.arange(min(4, extent.images), device=device))
        with torch.no_grad():
            expected = plain_twin(model).double()(batch.double())
            # Sums of up to 9,216 products, one after another in no order that is known.
            yield Found(f"{network.name}, float32", apart([model(batch)], [expected]), 1e-4)
            with torch.autocast(device.type, dtype=LOW):
                yield Found(f"{network.name}, bfloat16", apart([model(batch)], [expected]), 0.05)


def _small(extent: Extent, network: Network) -> Size:
    return Size(network=network, image=extent.image, images=extent.images)


def training(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """Steps from images to weights: as a captured graph against eager plain PyTorch in float32, by the same draws; with dropout,
    in bfloat16, the graph against the same kernels one by one.

    Compared are the velocities, which hold all gradients so far, and how far the weights went: of all layers together, and of
    each. Of what comes back to conv1 through all layers, from images of noise, rounding is a large part.
    """
    for network in extent.networks:
        still = replace(network, dropout=0.0)  # two types draw two masks
        how = recipes.authors_2012.augmentation if network.name == "authors-2012" else recipes.paper.augmentation
        begun = [w.detach() for w in learner(still, device)[0].parameters()]
        expected = by_hand(still, extent, device, how)
        # On a CPU, two forms that differ in rounding alone: 0.007 together, 0.03 in conv1.
        found = by_step(still, extent, device, how, None, capture=True)
        yield from _states(f"{network.name}, float32", found, expected, begun, 0.05, 0.25)
        # Numbers of 8 bits through eight layers and back: a gradient's direction, not its digits. On a CPU 0.05.
        found = by_step(still, extent, device, how, LOW, capture=True)
        yield Found(f"{network.name}, bfloat16, velocities", apart([_flat(found[1])], [_flat(expected[1])]), 0.5)
        # The same kernels, but for sums in an order that changes; other draws would be as far as the velocities are long, 1.4.
        expected, found = (by_step(network, extent, device, how, LOW, capture=capture) for capture in (False, True))
        yield from _states(f"{network.name}, bfloat16, replayed", found, expected, begun, 0.25, 1.0)
        free(device)


State = tuple[list[Tensor], list[Tensor]]
"""Weights and velocities."""


def _states(
    name: str, found: State, expected: State, begun: list[Tensor], together: float, each: float
) -> Iterator[Found]:
    """Velocities, and how far the weights went from where they began: all together, and those of the farthest layer."""
    moved, expected_moves = (
        [w - first for w, first in zip(state[0], begun, strict=True)] for state in (found, expected)
    )
    pairs = {"velocities": (found[1], expected[1]), "changes of the weights": (moved, expected_moves)}
    for what, (ours, theirs) in pairs.items():
        yield Found(f"{name}, {what}", apart([_flat(ours)], [_flat(theirs)]), together)
        yield Found(f"{name}, {what} of a layer", apart(ours, theirs), each)


def learner(network: Network, device: torch.device) -> tuple[AlexNet, rule.PaperSGD]:
    """The network with the same initial values at every call, and its update rule."""
    model = AlexNet(network, torch.Generator().manual_seed(0)).to(device, memory_format=LAST)  # type: ignore[call-overload]
    return model.train(), rule.PaperSGD(rule.groups(model, network.last_name, 0.0005, True), lr=RATE)


def _given(
    extent: Extent, network: Network, device: torch.device, how: Augmentation
) -> Iterator[tuple[Images, Tensor]]:
    """The same batches at every call: the images, seeded for the step, and the indices."""
    torch.manual_seed(1)
    images = Images(_small(extent, network), device, how)
    order = torch.randint(extent.images, (extent.steps, extent.batch), device=device)
    for number, indices in enumerate(order):
        images.generator.manual_seed(number)
        torch.manual_seed(number)
        yield images, indices


def by_step(
    network: Network, extent: Extent, device: torch.device, how: Augmentation, low: torch.dtype | None, capture: bool
) -> State:
    """Weights and velocities after steps as `alexnet train` does them."""
    model, sgd = learner(network, device)
    step: Step | None = None
    for images, indices in _given(extent, network, device, how):
        if step is None:
            step = step_of(model, sgd, images, extent.batch, low, fused=True, capture=capture)
        step(indices, images.labels[indices])
    return _state(model, sgd)


def by_hand(network: Network, extent: Extent, device: torch.device, how: Augmentation) -> State:
    """The same by the lines that everybody writes, in the plain forms."""
    model, _ = learner(network, device)
    model = plain_twin(model)
    sgd = rule.PaperSGD(rule.groups(model, network.last_name, 0.0005, True), lr=RATE)
    for images, indices in _given(extent, network, device, how):
        drawn = draw(len(indices), images.preparation, how, images.generator, device)
        batch = _plain_batch(images.pixels[indices], images.preparation, how, drawn)
        sgd.zero_grad()
        F.cross_entropy(model(batch), images.labels[indices]).backward()
        sgd.step()
    return _state(model, sgd)


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in tensors])


def _state(model: AlexNet, sgd: rule.PaperSGD) -> State:
    return [w.detach() for w in model.parameters()], [sgd.state[w]["v"] for w in model.parameters()]
