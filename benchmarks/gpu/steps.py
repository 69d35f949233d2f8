"""Training steps of `paper`, images a second, beside what one writes with torch, in turn, in the same minutes.

    python -m benchmarks.gpu.steps steps.json --batch 128

A step goes from the indices of uint8 images in device memory to updated weights: crop, flip, colour and mean, forward, backward,
update. The peers' images come from our augmentation in bfloat16, which is to their advantage; they run under autocast to
bfloat16, channels-last, with torch's fused SGD, and torch.compile makes CUDA graphs of them, as `alexnet train` does. Labels are
random, so rates are too small to learn anything, or to diverge.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.benchmark import Timer

from alexnet.fast import TRITON
from alexnet.network.layers import LocalResponseNormalization
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.run.recipes import recipes
from alexnet.training.layouts import Layout
from alexnet.training.rule import optimizer_of
from alexnet.training.step import WARM, Batch, Step
from benchmarks.gpu.common import LAST, LOW, Bench, Images, against, compiled, start
from benchmarks.gpu.kernels import normalize
from benchmarks.gpu.needs import operations
from benchmarks.measure import Row, in_turn, ratios, row

OURS = "paper, as alexnet train does it"
OURS_COMPILED = "the same, with torch.compile between its kernels (--compile)"
BY_TORCH = "paper, torch.compile without our kernels"

RATE = 1e-6

Work = Callable[[], None]
"""One training step."""


def our_step(bench: Bench, images: Images, mode: str | None = None, capture: bool = True) -> Work:
    """As `alexnet train` does it on a GPU: kernels of ours, copies of the weights in bfloat16, one CUDA graph."""
    recipe = replace(recipes["paper"], network=bench.size.network, rate=RATE)
    model = AlexNet(recipe.network).to(images.device, memory_format=LAST).train()  # type: ignore[call-overload]
    sgd, generators = optimizer_of(recipe, model), (images.generator,)
    layout, augment = Layout(model), lambda given, dtype: images.batch(given.images, dtype=dtype)
    step = Step(layout, sgd, augment, bench.batch, None, LOW, TRITON, capture, mode, generators)
    return lambda: step(Batch(*images.draw(bench.batch), bench.batch))


def peer_step(bench: Bench, images: Images, model: nn.Module, by_compile: bool) -> Work:
    """What one writes with torch around `model`."""
    model = model.to(images.device, memory_format=LAST).train()  # type: ignore[call-overload]
    sgd = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=0.0005, fused=True)
    forward = compiled(model, bench, "reduce-overhead") if by_compile else model

    def step() -> None:
        indices, labels = images.draw(bench.batch)
        batch = images.batch(indices, LOW)
        sgd.zero_grad(set_to_none=True)  # before the forward: gradients lie in the memory of the graph that runs next
        with torch.autocast(images.device.type, dtype=LOW):
            loss = F.cross_entropy(forward(batch), labels)
        loss.backward()
        sgd.step()

    return step


class Normalization(nn.Module):
    """§3.3 in a few lines of torch, which torch.compile makes one kernel of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return normalize(x)


def plain_paper(bench: Bench) -> AlexNet:
    """The network without kernels of ours."""
    model = AlexNet(bench.size.network)
    for name, layer in list(model.named_children()):
        if isinstance(layer, LocalResponseNormalization):
            setattr(model, name, Normalization())
    return model


def torchvisions(bench: Bench) -> tuple[str, Callable[[], nn.Module]]:
    """torchvision's alexnet, which has no normalization, and its name; its layers where it is not installed."""
    if find_spec("torchvision") and not bench.rehearsal:
        import torchvision

        return f"torchvision {torchvision.__version__}", torchvision.models.alexnet
    plain = replace(bench.size.network, normalization="none") if bench.rehearsal else networks["torchvision"]
    return "torchvision's layers", lambda: AlexNet(plain)


def timers_of(makers: dict[str, Callable[[], Work]], bench: Bench) -> dict[str, Timer]:
    """A clock for a step of every form; a form that cannot be made, or fails at first, is left out."""
    timers = {}
    for name, make in makers.items():
        try:
            work = make()
            for _ in range(WARM + 3):  # in which libraries choose, compilers compile, a graph is captured and replayed
                work()
            timers[name] = Timer("work()", globals={"work": work})
        except Exception as error:
            bench.leave_out(name, error)
    return timers


def figures(timers: dict[str, Timer], bench: Bench) -> list[Row]:
    """Speed of every form, measured in turn; ours as a share of the product, and against the others."""
    rows, steps = [], max(1, bench.size.round // bench.batch)
    took = in_turn({name: lambda t=t: t.timeit(steps).mean for name, t in timers.items()}, bench.size.rounds, 0)  # type: ignore[misc]
    for name, times in took.items():
        speeds = [bench.batch / s for s in times]
        note = f"1.28 million images in {1.28e6 / statistics.median(speeds):.1f} s"
        rows.append(row(f"{name}, {bench.batch}", speeds, "images/s", note))
    work = operations(bench.size.network) * bench.batch
    shares = [100 * work / s / bench.limits["product"] for s in took[OURS]]
    rows.append(row(f"{OURS}, {bench.batch}: share of the bfloat16 product", shares, "%"))
    rows += [
        row(f"{OURS}, {bench.batch}, against {name}", ratios(took[OURS], took[name]), "x")
        for name in took
        if name != OURS
    ]
    if BY_TORCH in took:
        rows.append(against(f"kernels, copies and graph, {bench.batch} images,", took[OURS], took[BY_TORCH]))
    return rows


def main() -> None:
    bench = start(__doc__)
    images = Images(bench)
    name, theirs = torchvisions(bench)
    eager = {
        OURS: lambda: our_step(bench, images),
        f"{name}, eager": lambda: peer_step(bench, images, theirs(), False),
    }
    peers = {
        BY_TORCH: lambda: peer_step(bench, images, plain_paper(bench), True),
        f"{name}, torch.compile": lambda: peer_step(bench, images, theirs(), True),
    }
    ours = {OURS_COMPILED: lambda: our_step(bench, images, None if bench.rehearsal else "default")}
    timers: dict[str, Timer] = {}

    def with_these(makers: dict[str, Callable[[], Work]]) -> list[Row]:
        timers.update(timers_of(makers, bench))
        rows = figures(timers, bench)
        del bench.rows[2:]  # all but the limits: what was measured with fewer forms beside it is measured again
        return rows

    bench.do(
        {
            "limits": bench.measure_limits,
            "forms that do not compile": lambda: with_these(eager),
            "peers by torch.compile": lambda: with_these(peers),
            "ours between its kernels by torch.compile": lambda: with_these(ours),
        }
    )


if __name__ == "__main__":
    main()
