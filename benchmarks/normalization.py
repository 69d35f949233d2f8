"""Local response normalization of conv1's map, forward and backward, by every form there is on the CPU.

    python benchmarks/normalization.py [--batch 128] [--repeats 7] [--allocator kept|default] [--save]

Peer: `nn.LocalResponseNorm`. The compiled loops take channels-last maps only; "compiled, contiguous, with copies" has what a
contiguous one costs, copied for them and its gradient back. The floor is a copy of the map, which moves as much as a forward
pass has to; forward and backward together move at least five maps, a copy two.
"""

from collections.abc import Callable

import torch
from measure import arguments, finish, in_turn, ratios, row
from torch import Tensor, nn

from alexnet.fast import compiled
from alexnet.network import cpu
from alexnet.network.layers import LocalResponseNormalization, through
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.spec import LRN


def main() -> None:
    given = arguments(__doc__, batch=128)
    torch.manual_seed(0)
    peer = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    norm, pool, relu = LocalResponseNormalization(), nn.MaxPool2d(3, 2), nn.ReLU()
    forms: dict[str, Callable[[], float | None]] = {}

    def form(function: Callable[[Tensor], Tensor], x: Tensor, came: Tensor) -> Callable[[], None]:
        def both() -> None:
            x.grad = None
            function(x).backward(came)

        return both

    for layout, format in (("channels-last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        x = (30 * torch.randn(given.batch, 96, 55, 55)).relu_().to(memory_format=format).requires_grad_()
        came = torch.randn(given.batch, 96, 55, 55).to(memory_format=format)
        pooled = torch.randn(given.batch, 96, 27, 27).to(memory_format=format)
        forms[f"nn.LocalResponseNorm, {layout}"] = form(peer, x, came)
        forms[f"plain, {layout}"] = form(plain, x, came)
        if compiled():
            name = f"compiled, {layout}" + (", with copies" if layout == "contiguous" else "")
            forms[name] = form(lambda x: cpu.local_response_normalization(x, LRN(), 1), x, came)
            if layout == "channels-last":
                forms["ReLU, normalization, pooling: compiled, one after another"] = form(
                    lambda x: pool(norm(relu(x))), x, pooled
                )
                forms["ReLU, normalization, pooling: compiled, in one pass"] = form(
                    lambda x: through([relu, norm, pool], x), x, pooled
                )
    target = torch.empty_like(came)
    forms["a copy of the map"] = lambda: (target.copy_(came), None)[1]

    seconds = in_turn(forms, given.repeats)
    rows = [row(name, [1000 * each for each in took], "ms") for name, took in seconds.items()]
    if compiled():
        fast, copied = seconds["compiled, channels-last"], seconds["compiled, contiguous, with copies"]
        # Whoever ports the network plainly has contiguous memory.
        last, plainly = (seconds[f"nn.LocalResponseNorm, {layout}"] for layout in ("channels-last", "contiguous"))
        rows.append(row("compiled against nn.LocalResponseNorm, channels-last", ratios(fast, last), "×"))
        rows.append(
            row("compiled, with copies, against nn.LocalResponseNorm, contiguous", ratios(copied, plainly), "×")
        )
        rows.append(
            row("compiled, channels-last, against nn.LocalResponseNorm, contiguous", ratios(fast, plainly), "×")
        )
        apart, fused = (
            seconds[f"ReLU, normalization, pooling: compiled, {how}"] for how in ("one after another", "in one pass")
        )
        rows.append(row("in one pass against one after another", ratios(fused, apart), "×"))
    finish(f"normalization_{given.allocator}", rows, given)


if __name__ == "__main__":
    main()
