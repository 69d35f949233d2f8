"""Speed on a GPU: the kernels against the memory's speed, whole training steps against the matrix ceiling and a peer.

    python benchmarks/gpu.py --save                           # everything, under 8 minutes; writes results/gpu.json
    python benchmarks/gpu.py --pieces check,ceilings,steps    # some of it

The kernels are checked first, against the plain forms in float64 on fresh random inputs; nothing is timed if one is wrong.
Kernels are timed as replayed CUDA graphs, so that no start-up time of Python's is in their figures, on tensors of several
times the second-level cache. A step goes from a set of uint8 images in device memory to updated weights, nothing left out:
crop, flip, colour and mean, forward, backward, update. Peers' steps get their images from the same augmentation kernel,
which is to their advantage, and are otherwise what one writes with torch: autocast to bfloat16, channels-last,
torch.compile, fused SGD. The peer without LRN is torchvision's alexnet itself where torchvision is installed, else
`networks["torchvision"]`, which has the same layers. Ends with code 2 where there is no GPU.
"""

import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from measure import Row, arguments, finish, in_turn, ratios, row
from torch import Tensor, nn

from alexnet.data.batches import Preparation, colour_noise
from alexnet.network.model import AlexNet
from alexnet.network.normalization import LocalResponseNormalization, plain
from alexnet.network.spec import Network, networks
from alexnet.training import optimizer
from alexnet.training.graph import Step

DEVICE = "cuda"
LOW = torch.bfloat16
LAST = torch.channels_last
PIECES = ("check", "ceilings", "normalization", "augmentation", "update", "convolutions", "steps", "kernels")
GFLOP = {"convolutions": 3.7839, "fully connected": 0.3517}
"""An image's forward and backward pass: three times the forward pass's, less conv1's input gradient. 4.136 together."""
MAPS = {"conv1": (96, 55), "conv2": (256, 27)}
"""Kernels and side of the maps that are normalized."""
IMAGES = 4096
"""Images of 256 x 256 in device memory, 0.8 GB: sixteen times the second-level cache."""
BATCHES = (128, 256, 1024)
LRN_BATCH = 512
ROUND = 12800
"""Images to one round of steps."""


def device_seconds(work: Callable[[], object], times: int = 10) -> float:
    """Mean seconds of one `work()` on the device's own clock."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(times):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / times


def graphed(work: Callable[[], object]) -> Callable[[], object]:
    """`work` as a CUDA graph to be replayed."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph.replay


def timed(forms: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Device seconds of each form, in turn, `repeats` times."""
    ready = {name: graphed(work) for name, work in forms.items()}
    return in_turn({name: partial(device_seconds, work) for name, work in ready.items()}, repeats)


def responses(channels: int, side: int, number: int, dtype: torch.dtype = LOW) -> Tensor:
    """A map as a convolution gives it, large enough for the normalization to matter."""
    return (150 * torch.randn(number, channels, side, side, device=DEVICE)).to(dtype).contiguous(memory_format=LAST)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@contextmanager
def poisoned() -> Iterator[None]:
    """New tensors are NaN, or the largest whole number, until they are written."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def both(form: Callable[[Tensor], Tensor], x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """form(x), and the gradient by x of its product with random numbers."""
    x = x.detach().requires_grad_()
    y = form(x)
    g = torch.randn(y.shape, generator=torch.Generator(DEVICE).manual_seed(seed), device=DEVICE)
    return y.detach(), torch.autograd.grad(y, x, g.to(LOW).to(y.dtype))[0]


def check() -> list[Row]:
    """Every kernel on fresh random inputs, into memory full of NaN; ends the program if one is wrong."""
    from alexnet.data.gpu import augment
    from alexnet.network import gpu
    from alexnet.training.gpu import sgd_

    seed = torch.seed() % 2**31
    close = {torch.float32: 1e-5, LOW: 5e-3, torch.float16: 1e-3}
    found: dict[str, tuple[float, float]] = {}

    def pooled(x: Tensor) -> Tensor:
        return F.max_pool2d(plain(x.relu()), 3, 2, ceil_mode=True)

    for dtype, bound in close.items():
        for channels, side in (*MAPS.values(), (20, 13)):
            settings = {"columns": 2 if side == 27 else 1}
            x = responses(channels, side, 3, dtype)
            name = f"{channels} x {side} x {side} {str(dtype).removeprefix('torch.')}"
            for layout, y in (("channels-last", x), ("contiguous", x.contiguous())):
                with poisoned():
                    ours = both(partial(gpu.local_response_normalization, **settings), y, seed)
                theirs = both(partial(plain, **settings), x.double(), seed)
                found[f"normalization {name} {layout}"] = max(map(relative, ours, theirs)), bound
            if channels % 8 == 0:  # else not fused: pooling rounded numbers, which have other maxima
                with poisoned():
                    ours = both(gpu.relu_lrn_pool, x, seed)
                theirs = both(pooled, x.double(), seed)
                found[f"ReLU, normalization, pooling {name}"] = max(map(relative, ours, theirs)), bound
    images, preparation, draws = synthetic(64), statistics(), batch_draws(seed)
    top, left, flip, noise = draws(len(images), preparation)
    with poisoned():
        ours = augment(images, None, top, left, flip, preparation.mean, noise, 1.0, 224)
    theirs = torch.stack(
        [
            (images[n].permute(2, 0, 1).double() - preparation.mean)[:, t : t + 224, p : p + 224].flip(-1)
            if mirrored
            else (images[n].permute(2, 0, 1).double() - preparation.mean)[:, t : t + 224, p : p + 224]
            for n, (t, p, mirrored) in enumerate(zip(top.tolist(), left.tolist(), flip.tolist(), strict=True))
        ]
    )
    found["augmentation"] = relative(ours, theirs + noise[:, :, None, None]), 1e-5
    w, v, g = (torch.randn(1_000_003, device=DEVICE) for _ in range(3))
    new_v = 0.9 * v.double() - 0.0005 * 0.01 * w.double() - 0.01 * g.to(LOW).double()
    new_w, copy = w.double() + new_v, torch.full_like(w, float("nan"), dtype=LOW)
    sgd_(w, v, g.to(LOW), torch.tensor(0.01, device=DEVICE), 0.9, 0.0005, copy)
    found["update"] = max(relative(w, new_w), relative(v, new_v)), 1e-6
    found["update, bfloat16 copy"] = relative(copy, new_w), 5e-3
    wrong = [f"{name}: {error:.2g}, bound {bound:g}" for name, (error, bound) in found.items() if not error <= bound]
    if wrong:
        sys.exit(f"kernels differ from the plain forms (seed {seed}):\n" + "\n".join(wrong))
    worst = max(found, key=lambda name: found[name][0] / found[name][1])
    values = [error / bound for error, bound in found.values()]
    return [row("check: error / bound", values, "", f"{len(found)} checks, seed {seed}; nearest: {worst}")]


def ceilings(repeats: int) -> tuple[list[Row], dict[str, float]]:
    """The two limits: a bfloat16 product of 8192² matrices, a copy of 2 GB, on random numbers."""
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=LOW) for _ in range(2))
    out = torch.empty_like(a)
    source = torch.randn(1 << 29, device=DEVICE)
    target = torch.empty_like(source)
    seconds = timed({"product": lambda: torch.mm(a, b, out=out), "copy": lambda: target.copy_(source)}, repeats)
    product = row("bf16 product, 8192²", [2 * 8192**3 / s / 1e12 for s in seconds["product"]], "TFLOP/s")
    copy = row("copy", [2 * (4 << 29) / s / 1e12 for s in seconds["copy"]], "TB/s", "bytes read and written")
    return [product, copy], {"product": product.median * 1e12, "copy": copy.median * 1e12}


def share(name: str, seconds: list[float], size: float, limits: dict[str, float]) -> Row:
    """`size` bytes in these seconds, as a share of what a copy does."""
    values = [100 * size / s / limits["copy"] for s in seconds]
    return row(name, values, "% of copy", f"{1e6 * sorted(seconds)[len(seconds) // 2]:,.0f} µs")


def normalization(repeats: int, limits: dict[str, float]) -> list[Row]:
    """Local response normalization of both maps, alone and fused."""
    from alexnet.network import gpu

    rows = []
    for layer, (channels, side) in MAPS.items():
        x = responses(channels, side, LRN_BATCH)
        g = torch.randn_like(x)
        settings = (5, 2.0, 1e-4, 0.75, 1)
        torchs = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
        pooled, positions = torch.ops.alexnet.lrn_pool(x, *settings, 3, 2, True, "before")
        small = torch.randn_like(pooled)

        def unfused(x: Tensor) -> Tensor:
            return F.max_pool2d(gpu.relu_lrn(x), 3, 2, ceil_mode=True)

        def gradient(form: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Callable[[], object]:
            x = x.detach().requires_grad_()
            return lambda: torch.autograd.grad(form(x), x, g)

        seconds = timed(
            {
                "forward": lambda x=x, s=settings: torch.ops.alexnet.lrn(x, *s, False),
                "backward": lambda x=x, g=g, s=settings: torch.ops.alexnet.lrn_backward(x, g, *s, False),
                "both": gradient(gpu.local_response_normalization, x, g),
                "plain": gradient(plain, x, g),
                "nn": gradient(torchs, x, g),
                "fused forward": lambda x=x, s=settings: torch.ops.alexnet.lrn_pool(x, *s, 3, 2, True, "before"),
                "fused backward": lambda x=x, g=small, p=positions, s=settings: torch.ops.alexnet.lrn_pool_backward(
                    x, g, p, *s, 3, 2, "before"
                ),
                "fused both": gradient(gpu.relu_lrn_pool, x, small),
                "unfused both": gradient(unfused, x, small),
            },
            repeats,
        )
        size = 2 * x.numel()
        rest = 3 * pooled.numel()  # the pooled map and the positions
        rows += [
            share(f"LRN {layer} forward", seconds["forward"], 2 * size, limits),
            share(f"LRN {layer} backward", seconds["backward"], 3 * size, limits),
            row(f"LRN {layer} against nn.LocalResponseNorm", ratios(seconds["both"], seconds["nn"]), "x"),
            row(f"LRN {layer} against the plain form", ratios(seconds["both"], seconds["plain"]), "x"),
            share(f"ReLU+LRN+pool {layer} forward", seconds["fused forward"], size + rest, limits),
            share(f"ReLU+LRN+pool {layer} backward", seconds["fused backward"], 2 * size + rest, limits),
            row(f"ReLU+LRN+pool {layer} against unfused", ratios(seconds["fused both"], seconds["unfused both"]), "x"),
        ]
        torch.cuda.empty_cache()
    return rows


def synthetic(number: int) -> Tensor:
    """uint8 images in device memory."""
    return torch.randint(0, 256, (number, 256, 256, 3), dtype=torch.uint8, device=DEVICE)


def statistics() -> Preparation:
    """A mean image and principal components of the right size."""
    vectors = torch.linalg.qr(torch.randn(3, 3))[0]
    return Preparation(224, 100 + 50 * torch.rand(3, 256, 256), torch.tensor([14830.0, 1376.0, 389.0]), vectors).to(
        DEVICE
    )


def batch_draws(seed: int) -> Any:
    """The draws of a training batch of the paper: top, left, flip, colour offsets; `.generator` may be seeded."""
    generator = torch.Generator(DEVICE).manual_seed(seed)

    def draws(number: int, preparation: Preparation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        top, left, flip = (
            torch.randint(last, (number,), generator=generator, device=DEVICE)
            for last in (preparation.positions, preparation.positions, 2)
        )
        return top, left, flip.bool(), colour_noise(number, preparation, "paper", generator)

    draws.generator = generator  # type: ignore[attr-defined]
    return draws


def augmentation(repeats: int, limits: dict[str, float]) -> list[Row]:
    """Crop, flip, mean and colour of 1024 images."""
    from alexnet.data.gpu import augment

    images, preparation = synthetic(IMAGES), statistics()
    indices = torch.randperm(IMAGES, device=DEVICE)[:1024]
    top, left, flip, noise = batch_draws(1)(len(indices), preparation)
    given = (images, indices, top, left, flip, preparation.mean, noise, 1.0, 224)
    numbers = len(indices) * 3 * 224 * 224
    types = {"bfloat16": LOW, "float32": torch.float32}
    seconds = timed({name: partial(augment, *given, dtype) for name, dtype in types.items()}, repeats)
    return [
        share(f"augmentation to {name}", seconds[name], numbers * (1 + dtype.itemsize), limits)
        for name, dtype in types.items()
    ]


def update(repeats: int, limits: dict[str, float]) -> list[Row]:
    """The paper's rule over all weights of `paper`."""
    from alexnet.training.gpu import sgd_

    shapes = [w.shape for w in AlexNet(networks["paper"]).parameters()]
    w, v, g = ([torch.randn(shape, device=DEVICE) for shape in shapes] for _ in range(3))
    low, copies = [x.to(LOW) for x in g], [x.to(LOW) for x in w]
    rate = torch.tensor(1e-4, device=DEVICE)
    weights = [x.clone().requires_grad_() for x in w]
    for weight, gradient in zip(weights, g, strict=True):
        weight.grad = gradient
    torchs = torch.optim.SGD(weights, lr=1e-4, momentum=0.9, weight_decay=0.0005, fused=True)
    torchs.step()

    def ours() -> None:
        for each in zip(w, v, low, copies, strict=True):
            sgd_(each[0], each[1], each[2], rate, 0.9, 0.0005, each[3])

    seconds = timed({"ours": ours, "torch": torchs.step}, repeats)
    number = sum(x.numel() for x in w)
    return [
        share("update, bf16 gradients and copy", seconds["ours"], 20 * number, limits),
        share("torch.optim.SGD(fused=True), no copy", seconds["torch"], 20 * number, limits),
    ]


CONVOLUTIONS = {"conv2": (96, 256, 27, 5), "conv4": (384, 384, 13, 3), "conv5": (384, 256, 13, 3)}
"""Channels in, kernels, side of the map, side of the window of the layers that keep to their column."""


def convolutions(repeats: int, limits: dict[str, float]) -> list[Row]:
    """Forward and backward of the convolutions in every form, in useful operations: which form to use."""
    rows = []
    for batch in (128, 1024):
        for layer, (inputs, kernels, side, window) in CONVOLUTIONS.items():
            x = torch.randn(batch, inputs, side, side, device=DEVICE, dtype=LOW).contiguous(memory_format=LAST)
            g = torch.randn(batch, kernels, side, side, device=DEVICE, dtype=LOW).contiguous(memory_format=LAST)
            weight = torch.randn(kernels, inputs // 2, window, window, device=DEVICE, dtype=LOW).contiguous(
                memory_format=LAST
            )
            dense = torch.zeros(kernels, inputs, window, window, device=DEVICE, dtype=LOW)
            dense[: kernels // 2, : inputs // 2] = weight[: kernels // 2]
            dense[kernels // 2 :, inputs // 2 :] = weight[kernels // 2 :]
            pad = window // 2

            def gradient(form: Callable[..., Tensor], g: Tensor, *given: Tensor) -> Callable[[], object]:
                given = tuple(each.detach().contiguous(memory_format=LAST).requires_grad_() for each in given)
                return lambda: torch.autograd.grad(form(*given), given, g)

            def columns(x: Tensor, w: Tensor, pad: int = pad) -> Tensor:
                both = zip(x.chunk(2, 1), w.chunk(2, 0), strict=True)
                return torch.cat([F.conv2d(a, b, padding=pad) for a, b in both], 1)

            own = x[:, : inputs // 2], weight[: kernels // 2]
            half = gradient(partial(F.conv2d, padding=pad), g[:, : kernels // 2].contiguous(memory_format=LAST), *own)
            seconds = timed(
                {
                    "grouped": gradient(partial(F.conv2d, padding=pad, groups=2), g, x, weight),
                    "two columns": gradient(columns, g, x, weight),
                    "columns kept apart": lambda half=half: (half(), half()),
                    "block-dense": gradient(partial(F.conv2d, padding=pad), g, x, dense),
                },
                repeats,
            )
            work = 6 * batch * kernels * side**2 * (inputs // 2) * window**2
            rows += [rate(f"{layer}, {batch}: {form}", took, work, limits) for form, took in seconds.items()]
        rows += first_convolution(batch, repeats, limits)
        torch.cuda.empty_cache()
    return rows


def rate(name: str, seconds: list[float], work: float, limits: dict[str, float]) -> Row:
    """`work` floating-point operations in these seconds."""
    values = [work / s / 1e12 for s in seconds]
    note = f"{1e6 * sorted(seconds)[len(seconds) // 2]:,.0f} µs"
    return row(name, values, "TFLOP/s", f"{note}, {100e12 * sorted(values)[len(values) // 2] / limits['product']:.0f}%")


def first_convolution(batch: int, repeats: int, limits: dict[str, float]) -> list[Row]:
    """conv1, whose three channels suit no matrix unit: as it is, with channels of zeros, and with 4 x 4 pixels as channels.

    The last is the same sum: the window of 11 becomes one of 12, hence 3 x 3 of such pixels, at stride 1.
    """
    x = torch.randn(batch, 3, 228, 228, device=DEVICE, dtype=LOW)
    weight = torch.randn(96, 3, 11, 11, device=DEVICE, dtype=LOW)
    g = torch.randn(batch, 96, 55, 55, device=DEVICE, dtype=LOW).contiguous(memory_format=LAST)

    def gradient(x: Tensor, weight: Tensor, stride: int) -> Callable[[], object]:
        x, weight = x.contiguous(memory_format=LAST), weight.contiguous(memory_format=LAST).requires_grad_()
        return lambda: torch.autograd.grad(F.conv2d(x, weight, stride=stride), weight, g)

    def unshuffled(x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, 4)

    forms = {"3 channels": gradient(x[:, :, :227, :227], weight, 4)}
    for channels in (4, 8):
        more = (0, 0, 0, 0, 0, channels - 3)
        forms[f"{channels} channels"] = gradient(F.pad(x[:, :, :227, :227], more), F.pad(weight, more), 4)
    forms["4 x 4 pixels as channels"] = gradient(unshuffled(x), unshuffled(F.pad(weight, (0, 1, 0, 1))), 1)
    difference = F.conv2d(unshuffled(x).float(), unshuffled(F.pad(weight, (0, 1, 0, 1))).float())
    assert relative(difference, F.conv2d(x[:, :, :227, :227].float(), weight.float(), stride=4)) < 1e-2
    seconds = timed(forms, repeats)
    work = 4 * batch * 96 * 55**2 * 363
    return [rate(f"conv1, {batch}: {form}", took, work, limits) for form, took in seconds.items()]


class Loop:
    """Steps of one form, fed with random batches of a set in device memory; a call is one round."""

    def __init__(self, step: Callable[[Tensor, Tensor], None], batch: int, steps: int, generator: Any) -> None:
        self.step, self.batch, self.steps, self.generator, self.done = step, batch, steps, generator, 0
        self.labels = torch.randint(1000, (IMAGES,), device=DEVICE)
        self._some(6)

    def _some(self, number: int) -> None:
        """As the trainer does it: all indices go over at once; every step has seeds of its own."""
        order = torch.randint(IMAGES, (number * self.batch,), device=DEVICE)
        for indices in order.split(self.batch):
            self.generator.manual_seed(self.done)
            torch.manual_seed(self.done)
            self.step(indices, self.labels[indices])
            self.done += 1

    def __call__(self) -> float:
        """Seconds an image, by the host's clock."""
        torch.cuda.synchronize()
        begun = time.perf_counter()
        self._some(self.steps)
        torch.cuda.synchronize()
        return (time.perf_counter() - begun) / (self.steps * self.batch)


def our_step(network: Network, images: Tensor, preparation: Preparation, batch: int, **how: Any) -> tuple[Step, Any]:
    """A training step as `alexnet train` does it, and the generator of its augmentation."""
    from alexnet.data.gpu import augment

    draws = batch_draws(0)

    def input_of(indices: Tensor) -> Tensor:
        top, left, flip, noise = draws(len(indices), preparation)
        return augment(images, indices, top, left, flip, preparation.mean, noise, 1.0, 224, LOW)

    model = AlexNet(network).to(DEVICE, memory_format=LAST)  # type: ignore[call-overload]
    sgd = optimizer.PaperSGD(optimizer.groups(model, network.last_name, 0.0005, True), lr=1e-3)
    step = Step(model.train(), sgd, input_of, batch, low=LOW, fused=True, generators=(draws.generator,), **how)
    return step, draws.generator


def peer_step(model: nn.Module, images: Tensor, preparation: Preparation, mode: str | None) -> tuple[Any, Any]:
    """What one writes with torch around `model`."""
    from alexnet.data.gpu import augment

    draws = batch_draws(0)
    model = model.to(DEVICE, memory_format=LAST).train()  # type: ignore[call-overload]
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.0005, fused=True)
    forward: Any = torch.compile(model, mode=mode, dynamic=False) if mode else model

    def step(indices: Tensor, labels: Tensor) -> None:
        top, left, flip, noise = draws(len(indices), preparation)
        batch = augment(images, indices, top, left, flip, preparation.mean, noise, 1.0, 224)
        with torch.autocast("cuda", dtype=LOW):
            loss = F.cross_entropy(forward(batch), labels)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()

    return step, draws.generator


def without_our_lrn() -> AlexNet:
    """`paper` with PyTorch's own normalization layer: a plain port."""
    model = AlexNet(networks["paper"])
    for name, layer in list(model.named_children()):
        if isinstance(layer, LocalResponseNormalization):
            # PyTorch divides alpha by the window.
            setattr(model, name, nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k))
    return model


def torchvisions() -> tuple[str, nn.Module]:
    if find_spec("torchvision"):
        import torchvision

        return f"torchvision {torchvision.__version__}", torchvision.models.alexnet()
    return "torchvision's layers", AlexNet(networks["torchvision"])


def steps(repeats: int, limits: dict[str, float], ends: float) -> list[Row]:
    """Whole steps at every batch size, end to end."""
    rows: list[Row] = []
    images, preparation = synthetic(IMAGES), statistics()
    paper = networks["paper"]
    for batch in BATCHES:
        if time.monotonic() > ends:
            print(f"no time left for batches of {batch}; alone: --pieces ceilings,steps", file=sys.stderr)
            break
        name, theirs = torchvisions()
        ours = partial(our_step, images=images, preparation=preparation, batch=batch)
        peer = partial(peer_step, images=images, preparation=preparation)
        forms = {
            "paper, eager": lambda ours=ours: ours(paper),
            "paper, graph": lambda ours=ours: ours(paper, capture=True),
            "paper, graph + compile": lambda ours=ours: ours(paper, capture=True, compile="default"),
            "paper without LRN, graph": lambda ours=ours: ours(replace(paper, normalization="none"), capture=True),
            f"{name}, compile": lambda peer=peer, m=theirs: peer(m, mode="default"),
            f"{name}, compile + its graphs": lambda peer=peer: peer(torchvisions()[1], mode="reduce-overhead"),
            "paper with nn.LocalResponseNorm, eager": lambda peer=peer: peer(without_our_lrn(), mode=None),
        }
        if batch == 256:  # compiling takes its time
            forms = {key: made for key, made in forms.items() if "compile +" not in key and "+ compile" not in key}
        number = max(10, ROUND // batch)
        loops = {}
        for form, make in forms.items():
            begun = time.monotonic()
            try:
                step, generator = make()
                loops[form] = Loop(step, batch, number, generator)
            except Exception as error:  # one form that fails leaves the others' figures
                print(f"{form}, batch {batch}: {type(error).__name__}: {str(error)[:500]}", file=sys.stderr)
            print(f"{form}, batch {batch}: ready after {time.monotonic() - begun:.0f} s", file=sys.stderr)
        seconds = in_turn(loops, repeats)
        for form, took in seconds.items():
            speed = sorted(1 / s for s in took)[len(took) // 2]
            part = f"{100e9 * speed * sum(GFLOP.values()) / limits['product']:.1f}% of the ceiling, " * (
                "paper," in form
            )
            note = f"{part}1.28 million images in {1.28e6 / speed:.0f} s"
            rows.append(row(f"{form}, {batch}", [1 / s for s in took], "images/s", note))
        for rival in [form for form in seconds if not form.startswith("paper,")]:
            if "paper, graph" in seconds:
                against = ratios(seconds["paper, graph"], seconds[rival])
                rows.append(row(f"paper, graph, {batch} against {rival}", against, "x"))
        del loops
        torch.compiler.reset()
        torch.cuda.empty_cache()
    return rows


KINDS = {
    "augmentation": r"_augment",
    "normalization and its pooling": r"_(forward|backward)_(rows|any|pool)",
    "update": r"_sgd",
    "pooling": r"max_?pool",
    "layout": r"nchwtonhwc|nhwctonchw|transpose|_pad|catarray",
    "convolutions": r"cudnn|conv|fprop|dgrad|wgrad",
    "fully connected": r"gemm|gemv|nvjet|cutlass|splitk",
}
"""Kinds of kernels by parts of their names, the first that fits; everything else is "elementwise and sums"."""


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, kernel.lower()))
    return next(found, "elementwise and sums")


def kernels(limits: dict[str, float], more: dict[str, Any]) -> list[Row]:
    """Where a step's time goes, by kind of kernel, beside what each needs at the least; each kernel goes into `more`."""
    images, preparation = synthetic(IMAGES), statistics()
    rows: list[Row] = []
    weights = 60_965_224
    for batch in (128, 1024):
        step, generator = our_step(networks["paper"], images, preparation, batch)
        loop = Loop(step, batch, 5, generator)
        loop()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            loop()
        spent: Counter[str] = Counter()
        for event in profile.key_averages():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                spent[event.key] += event.self_device_time_total / loop.steps  # microseconds
        kinds: Counter[str] = Counter()
        for kernel, time_ in spent.items():
            kinds[kind_of(kernel)] += time_
        maps = batch * sum(channels * side**2 for channels, side in MAPS.values())
        pooled = batch * (96 * 27**2 + 256 * 13**2)
        floors = {
            "augmentation": batch * 150528 * 3 / limits["copy"],
            "normalization and its pooling": (2 * 3 * maps + 2 * 3 * pooled) / limits["copy"],
            "update": 20 * weights / limits["copy"],
            "convolutions": batch * GFLOP["convolutions"] * 1e9 / limits["product"],
            # or reading the weights twice and writing their gradients
            "fully connected": max(
                batch * GFLOP["fully connected"] * 1e9 / limits["product"], 6 * 58.6e6 / limits["copy"]
            ),
        }
        whole = sum(spent.values())
        rows.append(row(f"kernels of a step, {batch}", [whole], "µs", f"{batch / whole * 1e6:,.0f} images/s at most"))
        for kind, took in kinds.most_common():
            floor = f"at least {1e6 * floors[kind]:,.0f} µs" if kind in floors else ""
            rows.append(row(f"  {kind}, {batch}", [took], "µs", f"{100 * took / whole:.0f}%  {floor}"))
        more[f"kernels, {batch}"] = [{"kernel": key[:160], "us": round(us, 2)} for key, us in spent.most_common(40)]
    return rows


def main() -> None:
    given = arguments(__doc__, pieces=",".join(PIECES), minutes=7.0, repeats=5)
    pieces = given.pieces.split(",")
    unknown = [piece for piece in pieces if piece not in PIECES]
    if unknown:
        print(f"--pieces: no such piece: {', '.join(unknown)}; the pieces are {', '.join(PIECES)}", file=sys.stderr)
        sys.exit(2)
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a CUDA GPU, and there is none here", file=sys.stderr)
        sys.exit(2)
    ends = time.monotonic() + 60 * given.minutes
    torch.backends.cudnn.benchmark = True
    rows = check()  # always: a wrong kernel's speed is no figure
    more: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    measured, limits = ceilings(given.repeats)  # every share is one of these, in the same run
    rows += measured
    works: dict[str, Callable[[], list[Row]]] = {
        "normalization": lambda: normalization(given.repeats, limits),
        "augmentation": lambda: augmentation(given.repeats, limits),
        "update": lambda: update(given.repeats, limits),
        "convolutions": lambda: convolutions(given.repeats, limits),
        "steps": lambda: steps(given.repeats, limits, ends),
        "kernels": lambda: kernels(limits, more),
    }
    for piece, work in works.items():
        if piece not in pieces:
            continue
        if time.monotonic() > ends:
            print(f"no time left for {piece}; alone: --pieces {piece}", file=sys.stderr)
            continue
        try:
            rows += work()
        except Exception:  # a machine with a GPU is held for minutes: one piece that fails leaves the others' figures
            print(f"{piece} failed:", file=sys.stderr)
            traceback.print_exc()
    finish("gpu", rows, given, **more)


if __name__ == "__main__":
    main()
