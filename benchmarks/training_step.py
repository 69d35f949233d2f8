"""A training step of the paper's network on the CPU, beside torchvision's alexnet and beside a plain PyTorch port.

    python benchmarks/training_step.py [--batch 128] [--repeats 7] [--allocator kept|default] [--save]

Images already in memory; forward, loss, backward, update, in bf16 where the processor multiplies it and in float32. Peers:
torchvision's alexnet (no LRN) with its reference step, eager, channels-last, and channels-last under `torch.autocast` in bf16,
in its own environment (`make peers`); the paper's network as a plain port would have it: `nn.LocalResponseNorm`, `nn.Linear`,
contiguous memory, `torch.optim.SGD`. The shares are of 4.136 GFLOP an image, forward and backward, over what the machine's
product of 4096² matrices does in the same precision: in float32 torch's own (MKL), and oneDNN's, which the convolutions use.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from measure import Peer, arguments, finish, have_peers, in_turn, multiply, ratios, row
from peers.serve import keep_memory, serve
from torch import nn

from alexnet import networks
from alexnet.device import Precision, low_precision
from alexnet.fast import bf16_unit
from alexnet.network.linear import _available, _times
from alexnet.network.model import AlexNet
from alexnet.run.recipe import Recipe
from alexnet.run.recipes import recipes
from alexnet.training.layouts import Layout
from alexnet.training.rule import optimizer_of
from alexnet.training.step import Batch, Step

GFLOP = 4.136
"""Of an image, forward and backward: three times the forward multiply-adds, less conv1's gradient of its input, times 2."""


class PlainNormalization(nn.LocalResponseNorm):
    """PyTorch's own layer with the paper's coefficients; its alpha is divided by the window."""

    def __init__(self) -> None:
        super().__init__(5, alpha=5e-4, beta=0.75, k=2.0)


def plain_port(model: AlexNet) -> nn.Sequential:
    """The same layers as a plain port has them."""
    layers: list[nn.Module] = []
    for layer in model.children():
        if type(layer).__name__ == "LocalResponseNormalization":
            layer = PlainNormalization()
        elif isinstance(layer, nn.Linear):
            linear = nn.Linear(layer.in_features, layer.out_features)
            linear.load_state_dict(layer.state_dict())
            layer = linear
        layers.append(layer)
    return nn.Sequential(*layers)


Learner = Callable[[torch.Tensor, torch.Tensor], None]
"""One update of the weights by images and labels."""


def plain_learner(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Learner:
    """The step as everybody writes it."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def our_learner(recipe: Recipe, precision: Precision) -> Learner:
    """The step as the trainer does it; images are best given as it takes them, channels-last and in its precision."""
    model = AlexNet(recipe.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    low = low_precision(precision, torch.device("cpu"))
    step = Step(Layout(model), optimizer_of(recipe, model), lambda batch, dtype: batch.images, 0, low=low)
    return lambda images, labels: step(Batch(images, labels, len(labels)))


PLAIN_PORT = "plain port, nn.LocalResponseNorm"
OURS: dict[str, tuple[Precision, str]] = {
    "ours, bf16": ("bf16", "paper"),
    "ours, bf16, normalization none": ("bf16", "none"),
    "ours, float32": ("float32", "paper"),
    "ours, float32, normalization none": ("float32", "none"),
}
THEIRS = ("eager", "channels-last", "channels-last-bf16")


def form(name: str, batch: int) -> Callable[[], None]:
    """One step of `OURS` or `PLAIN_PORT`, on images already in memory."""
    torch.manual_seed(0)
    images, labels = 60 * torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,))
    if name == PLAIN_PORT:
        learner = plain_learner(plain_port(AlexNet(networks.paper)))
    else:
        precision, normalization = OURS[name]
        network = replace(networks.paper, normalization=normalization)
        learner = our_learner(replace(recipes["paper"], network=network), precision)
        images = images.to(torch.bfloat16 if "bf16" in name else torch.float32, memory_format=torch.channels_last)
    return lambda: learner(images, labels)


def products() -> dict[str, Callable[[], None]]:
    """Products of 4096² matrices, each as a form of `in_turn`."""
    a, b, out = torch.randn(4096, 4096), torch.randn(4096, 4096), torch.empty(4096, 4096)
    made: dict[str, Callable[[], None]] = {"product, float32, torch": lambda: multiply(a, b, out)}
    if _available():
        made["product, float32, oneDNN"] = lambda: (_times(a, b), None)[1]
    if bf16_unit():
        low = [each.bfloat16() for each in (a, b, out)]
        made["product, bf16"] = lambda: multiply(*low)
    return made


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        keep_memory()
        serve(form(sys.argv[2], int(sys.argv[3])))
        return
    given = arguments(__doc__, batch=128)
    batch = given.batch
    ours = [name for name in OURS if "bf16" not in name or bf16_unit()]
    # Every form has a process of its own, as torchvision has to have: memory that others leave behind slows the next.
    peers = {
        name: Peer("training_step.py", "--serve", name, str(batch), python=sys.executable)
        for name in (*ours, PLAIN_PORT)
    }
    if have_peers():
        for kind in THEIRS if bf16_unit() else THEIRS[:2]:
            peers[f"torchvision, {kind}"] = Peer("peers/torchvision_step.py", str(batch), kind)
    seconds = in_turn({**peers, **products()}, given.repeats, warmup=3)
    for peer in peers.values():
        peer.close()

    rows = []
    for name, took in seconds.items():
        if name.startswith("product"):
            rows.append(row(name, [2 * 4096**3 / each / 1e9 for each in took], "GFLOP/s"))
        else:
            rows.append(row(name, [batch / each for each in took], "images/s"))
    for mine in (name for name in ours if "none" not in name):
        for name, took in seconds.items():
            if name.startswith("product") and name.split(", ")[1] in mine:
                speed = [batch * GFLOP / each for each in seconds[mine]]
                product = [2 * 4096**3 / each / 1e9 for each in took]
                shares = [100 * s / p for s, p in zip(speed, product, strict=True)]
                rows.append(row(f"{mine}: share of the {name}", shares, "%"))
            elif not name.startswith("product") and name != mine and ("bf16" in mine or "bf16" not in name):
                rows.append(row(f"{mine}, against {name}", ratios(seconds[mine], took), "×"))
    unit = bf16_unit()  # in the name, so that no kind of processor overwrites another's figures
    finish(f"training_step_{given.allocator}" + (f"_{unit.lower()}" if unit else ""), rows, given)


if __name__ == "__main__":
    main()
