"""A training step of the paper's network on the CPU, beside torchvision's alexnet and beside a plain PyTorch port.

    python benchmarks/training_step.py [--batch 128] [--repeats 7] [--allocator kept|default] [--save]

Images already in memory; forward, loss, backward, update. Peers: torchvision's alexnet (no LRN) with its reference
step, eager and channels-last, in its own environment (`make peers`); the paper's network as a plain port would have it:
`nn.LocalResponseNorm`, `nn.Linear`, contiguous memory, `torch.optim.SGD`; ours with no fast form but `channels_last`.
The shares are of 4.136 GFLOP an image, forward and backward, over what the machine's product of 4096² matrices does: torch's
own (MKL), and oneDNN's, which the convolutions use.
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
from alexnet.network.linear import _available, _times
from alexnet.network.model import AlexNet
from alexnet.training.optimizer import PaperSGD, groups

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


def step_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> Callable[[], None]:
    """One update of the weights."""

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def paper_sgd(model: AlexNet) -> PaperSGD:
    """The paper's rule, as a recipe sets it up."""
    return PaperSGD(groups(model, "fc8", 0.0005, True), 0.01)


FORMS = ("ours", "ours, normalization none", "plain port, nn.LocalResponseNorm")


def form(name: str, batch: int) -> Callable[[], None]:
    """One step of FORMS, on images already in memory."""
    torch.manual_seed(0)
    images, labels = 60 * torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,))
    if name.startswith("plain port"):
        port = plain_port(AlexNet(networks.paper))
        return step_of(
            port, torch.optim.SGD(port.parameters(), 0.01, momentum=0.9, weight_decay=0.0005), images, labels
        )
    normalization = "none" if name.endswith("none") else "paper"
    ours = AlexNet(replace(networks.paper, normalization=normalization)).to(memory_format=torch.channels_last)
    return step_of(ours, paper_sgd(ours), images.to(memory_format=torch.channels_last), labels)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        keep_memory()
        serve(form(sys.argv[2], int(sys.argv[3])))
        return
    given = arguments(__doc__, batch=128)
    batch = given.batch
    a, b, out = torch.randn(4096, 4096), torch.randn(4096, 4096), torch.empty(4096, 4096)
    # Every form has a process of its own, as torchvision has to have: memory that others leave behind slows the next.
    peers = {name: Peer("training_step.py", "--serve", name, str(batch), python=sys.executable) for name in FORMS}
    if have_peers():
        for kind in ("eager", "channels-last"):
            peers[f"torchvision, {kind}"] = Peer("peers/torchvision_step.py", str(batch), kind)
    forms: dict[str, Callable[[], float | None]] = {**peers, "product, torch": lambda: multiply(a, b, out)}
    if _available():
        forms["product, oneDNN"] = lambda: (_times(a, b), None)[1]
    seconds = in_turn(forms, given.repeats, warmup=3)
    for peer in peers.values():
        peer.close()

    rows = []
    for name, took in seconds.items():
        if name.startswith("product"):
            rows.append(row(name, [2 * 4096**3 / each / 1e9 for each in took], "GFLOP/s"))
        else:
            rows.append(row(name, [batch / each for each in took], "images/s"))
    for name, took in seconds.items():
        if name.startswith("product"):
            speed = [batch * GFLOP / each for each in seconds["ours"]]
            product = [2 * 4096**3 / each / 1e9 for each in took]
            rows.append(
                row(f"ours: share of the {name}", [100 * s / p for s, p in zip(speed, product, strict=True)], "%")
            )
        elif name != "ours":
            rows.append(row(f"ours against {name}", ratios(seconds["ours"], took), "×"))
    finish(f"training_step_{given.allocator}", rows, given)


if __name__ == "__main__":
    main()
