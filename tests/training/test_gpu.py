"""The update kernel against `PaperSGD`; on a GPU whole training steps, captured, against plain PyTorch."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.augment import Augmentation, Preparation, draw, plain_batch, training_batch
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.run.recipes import recipes
from alexnet.training import rule
from alexnet.training.layouts import Layout
from alexnet.training.rule import PaperSGD
from alexnet.training.step import WARM, Batch, Step

from ..comparing import CLOSE, apart, exact, plain_twin, poisoned, whole_networks, worst
from ..network.tiny import seeded
from ..triton_device import GPU, each_device

pytest.importorskip("triton")
from alexnet.training.gpu import sgd_  # noqa: E402

LOW, LAST = torch.bfloat16, torch.channels_last


@each_device
def test_equals_the_papers_rule_over_steps_with_falling_rates(device: str) -> None:
    generator = seeded(1)
    shapes = [(6, 3, 5, 5), (700,), (3, 5), *([(1_000_003,), (96, 3, 11, 11)] if GPU else [])]
    plain = [torch.randn(*shape, generator=generator).to(device) for shape in shapes]
    plain[0] = plain[0].contiguous(memory_format=LAST)
    weights = [w.clone() for w in plain]
    velocities = [torch.zeros_like(w) for w in weights]
    copies = [torch.full_like(w, float("nan"), dtype=LOW) for w in weights]
    rate = torch.zeros((), device=device)
    sgd = PaperSGD([{"params": [w.requires_grad_() for w in plain]}], momentum=0.9, decay=0.0005)
    for lr in (0.01, 0.01, 0.001):
        sgd.param_groups[0]["lr"] = lr
        rate.fill_(lr)
        for number, w in enumerate(plain):
            # In whatever layout, and rounded to bfloat16, as the network's own gradients are.
            w.grad = torch.randn(*w.shape, generator=generator).to(device).to(LOW).float()
            with poisoned():
                sgd_(weights[number], velocities[number], w.grad.to(LOW), rate, 0.9, 0.0005, copies[number])
        sgd.step()
    for w, v, copy, expected in zip(weights, velocities, copies, plain, strict=True):
        assert worst(w, expected.detach()) <= 1e-6 and worst(v, sgd.state[expected]["v"]) <= 1e-6
        assert worst(copy, w) <= CLOSE[LOW] and not copy.float().equal(w)


@each_device
def test_nothing_is_written_beyond_the_weights(device: str) -> None:
    whole = torch.ones(20, device=device)
    w, v = whole[:13], torch.zeros(13, device=device)
    sgd_(w, v, torch.ones(13, device=device), torch.tensor(0.5, device=device), 0.9, 0.0)
    assert whole.tolist() == [0.5] * 13 + [1.0] * 7


@each_device
def test_refuses_what_it_would_get_wrong(device: str) -> None:
    w, rate = torch.zeros(4, 2, device=device), torch.zeros((), device=device)
    for others in ((w.T, w), (w.half(), w), (w, w[:2]), (w.T.contiguous().T, w)):
        with pytest.raises(ValueError):
            sgd_(w, *others, rate, 0.9, 0.0)
    with pytest.raises(ValueError, match="one number"):
        sgd_(w, w.clone(), w, w, 0.9, 0.0)


RATE = 1e-4
"""Of the steps below. Rounding decides a maximum or a ReLU here and there, and at .01, the paper's rate, that alone drives two
runs of the program's network a third of their velocities apart in six steps, in float32."""

State = tuple[list[Tensor], list[Tensor]]
"""Velocities, and how far the weights went: they hold all gradients so far."""


class Learner:
    """A network and its rule, the same at every call, and what its steps are fed with."""

    def __init__(self, network: Network, device: str) -> None:
        self.network, self.device = network, torch.device(device)
        self.model = AlexNet(network, seeded(0)).to(device, memory_format=LAST).train()  # type: ignore[call-overload]
        self.begun = [w.detach().clone() for w in self.model.parameters()]
        self.how: Augmentation = recipes["authors-2012" if network.name == "authors-2012" else "paper"].augmentation
        side = network.input_size * 8 // 7
        self.pixels = torch.randint(0, 256, (64, side, side, 3), generator=seeded(1), dtype=torch.uint8).to(device)
        self.labels = torch.randint(network.classes, (64,), generator=seeded(2)).to(device)
        mean, vectors = 90 + 50 * torch.rand(3, side, side, generator=seeded(3)), torch.eye(3)
        values = torch.tensor([14830.0, 1376.0, 389.0])
        self.preparation = Preparation(network.input_size, mean, values, vectors).to(device)
        self.generator = torch.Generator(device)

    def batches(self) -> Iterator[Tensor]:
        """Indices of each step's images; whatever is drawn of them is the same at every call."""
        size, steps = (32, WARM + 3) if GPU else (4, 2)  # three of them are replayed
        order = torch.randint(64, (steps, size), generator=seeded(4)).to(self.device)
        for number, indices in enumerate(order):
            self.generator.manual_seed(number)
            torch.manual_seed(number)
            yield indices

    def sgd(self, model: AlexNet) -> PaperSGD:
        return PaperSGD(rule.groups(model, self.network.last_name, 0.0005, True), lr=RATE)

    def state(self, model: AlexNet, sgd: PaperSGD) -> State:
        weights = [w.detach() for w in model.parameters()]
        moved = [w - begun for w, begun in zip(weights, self.begun, strict=True)]
        return [sgd.state[w]["v"] for w in model.parameters()], moved

    def by_step(self, low: torch.dtype | None, capture: bool) -> State:
        """After steps as `alexnet train` does them on a GPU."""
        sgd = self.sgd(self.model)
        size = len(next(self.batches()))

        def augment(batch: Batch, dtype: torch.dtype) -> Tensor:
            return training_batch(self.pixels, self.preparation, self.how, self.generator, batch.images, dtype=dtype)

        step = Step(Layout(self.model), sgd, augment, size, None, low, True, capture, generators=(self.generator,))
        for indices in self.batches():
            step(Batch(indices, self.labels[indices], size))
        return self.state(self.model, sgd)

    def by_hand(self) -> State:
        """After the lines that everybody writes, in the plain forms, in float32."""
        model = plain_twin(self.model)
        sgd = self.sgd(model)
        for indices in self.batches():
            drawn = draw(len(indices), self.preparation, self.how, self.generator, self.device)
            batch = plain_batch(self.pixels[indices], self.preparation, self.how, drawn)
            sgd.zero_grad()
            F.cross_entropy(model(batch), self.labels[indices]).backward()
            sgd.step()
        return self.state(model, sgd)


def flat(tensors: list[Tensor]) -> list[Tensor]:
    """All of them as one vector."""
    return [torch.cat([each.flatten() for each in tensors])]


def assert_near(results: State, expected: State, together: float, each: float) -> None:
    """Velocities and moves of all layers together, and of the farthest layer."""
    for ours, reference in zip(results, expected, strict=True):
        assert apart(flat(ours), flat(reference)) <= together
        assert apart(ours, reference) <= each


@whole_networks
def test_steps_equal_plain_pytorchs_by_the_same_draws(device: str, network: Network) -> None:
    still = replace(network, dropout=0.0)  # two types draw two masks
    with exact():
        expected = Learner(still, device).by_hand()
        # Of what comes back to conv1 through all layers, from images of noise, rounding is a large part. On a CPU, two forms
        # that differ in rounding alone: 0.007 together, 0.03 in conv1.
        assert_near(Learner(still, device).by_step(None, capture=True), expected, 0.05, 0.25)
        # Numbers of 8 bits through eight layers and back: a gradient's direction, not its digits. On a CPU 0.05.
        assert apart(flat(Learner(still, device).by_step(LOW, capture=True)[0]), flat(expected[0])) <= 0.5


@whole_networks
def test_a_replayed_graph_draws_as_the_kernels_one_by_one_do(device: str, network: Network) -> None:
    one_by_one, replayed = (Learner(network, device).by_step(LOW, capture) for capture in (False, True))
    # But for sums in an order that changes; other draws would be as far as the velocities are long, 1.4.
    assert_near(replayed, one_by_one, 0.25, 1.0)
