"""What each change to the training step in float32 brings: the step as it is, and with one change after another taken back.

    python benchmarks/changes.py [--batch 128] [--repeats 7] [--save]

Every form has a process of its own and the same blocks kept; see `training_step.py` for the step.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import Peer, arguments, finish, in_turn, ratios, row
from peers.serve import keep_memory, serve
from training_step import form, plain_learner

from alexnet import networks
from alexnet.network import fused, layers, linear
from alexnet.network.model import AlexNet
from alexnet.run.recipes import recipes
from alexnet.training import rule


def never(*given: Any) -> None:
    """In place of a function that says whether, or gives what, a fast form computes."""


def taken_back(what: str, batch: int) -> Callable[[], None]:
    """One step without that change."""
    if what == "contiguous memory":
        torch.manual_seed(0)
        network = AlexNet(networks.paper)
        images, labels = 60 * torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,))
        learner = plain_learner(network, rule.optimizer_of(recipes["paper"], network))
        return lambda: learner(images, labels)
    for module, name in CHANGES[what]:
        setattr(module, name, never)
    return form("ours, float32", batch)


CHANGES: dict[str, list[tuple[Any, str]]] = {
    "as it is": [],
    "ReLU, normalization and pooling one after another": [(fused, "relu_lrn_pool")],
    "the same, normalization plain": [(fused, "_form")],
    "fully connected layers by torch's product": [(linear, "_available")],
    "biases' gradients with the weights'": [(layers, "float32_on_the_cpu")],
    "the update in four passes": [(rule, "compiled")],
    "contiguous memory": [],
}


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        keep_memory()
        serve(taken_back(sys.argv[2], int(sys.argv[3])))
        return
    given = arguments(__doc__, batch=128)
    serving = partial(Peer, "changes.py", "--serve", python=sys.executable)
    peers = {what: serving(what, str(given.batch)) for what in CHANGES}
    seconds = in_turn(peers, given.repeats, warmup=3)
    for peer in peers.values():
        peer.close()
    rows = [row(what, [1000 * each for each in took], "ms") for what, took in seconds.items()]
    for what, took in seconds.items():
        if what != "as it is":
            rows.append(row(f"as it is, against: {what}", ratios(seconds["as it is"], took), "×"))
    finish("changes", rows, given)


if __name__ == "__main__":
    main()
