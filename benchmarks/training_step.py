"""A training step of the paper's network on the CPU, beside torchvision's alexnet and beside a plain PyTorch port.

    python benchmarks/training_step.py [--batch 128] [--repeats 7] [--allocator kept|default] [--save]

Images already in memory; forward, loss, backward, update. Peers: torchvision's alexnet (no LRN) with its reference
step, eager and channels-last, in its own environment (`make peers`); the paper's network as a plain port would have it:
`nn.LocalResponseNorm`, `nn.Linear`, contiguous memory, `torch.optim.SGD`; ours with no fast form but `channels_last`.
The shares are of 4.136 GFLOP an image, forward and backward, over what the machine's product of 4096² matrices does: torch's
own (MKL), and oneDNN's, which the convolutions use.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from measure import Peer, arguments, finish, have_peers, in_turn, ratios, row
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


def main() -> None:
    given = arguments(__doc__, batch=128)
    torch.manual_seed(0)
    batch = given.batch
    images = 60 * torch.randn(batch, 3, 224, 224)
    near = images.to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,))

    ours = AlexNet(networks.paper).to(memory_format=torch.channels_last)
    port = plain_port(AlexNet(networks.paper))
    without = AlexNet(replace(networks.paper, normalization="none")).to(memory_format=torch.channels_last)
    a, b, out = torch.randn(4096, 4096), torch.randn(4096, 4096), torch.empty(4096, 4096)

    plain_sgd = torch.optim.SGD(port.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)
    forms: dict[str, Callable[[], float | None]] = {
        "ours": step_of(ours, paper_sgd(ours), near, labels),
        "ours, normalization none": step_of(without, paper_sgd(without), near, labels),
        "plain port, nn.LocalResponseNorm": step_of(port, plain_sgd, images, labels),
    }
    forms["product, torch"] = lambda: (torch.mm(a, b, out=out), None)[1]
    if _available():
        forms["product, oneDNN"] = lambda: (_times(a, b), None)[1]
    peers = []
    if have_peers():
        for form in ("eager", "channels-last"):
            peers.append(Peer("torchvision_step.py", str(batch), form))
            forms[f"torchvision, {form}"] = peers[-1]
    seconds = in_turn(forms, given.repeats, warmup=3)
    for peer in peers:
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
