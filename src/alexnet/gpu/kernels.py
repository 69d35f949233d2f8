"""The kernels alone: normalization, augmentation and update as shares of a copy's speed, beside torch's own forms.

Inputs are larger than an H100's second-level cache of 50 MB, so that every pass goes to memory, as in a step; forms of a
kind take turns on them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.data.batches import Augmentation, draw
from alexnet.gpu.convolutions import convolutions
from alexnet.gpu.figures import Row, ratios, row
from alexnet.gpu.stepping import statistics, synthetic
from alexnet.gpu.timing import LAST, LOW, Given, free, of_copy, timed
from alexnet.network.model import AlexNet
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.spec import LRN, Network
from alexnet.network.summary import summarize


def kernels(given: Given) -> tuple[list[Row], dict[str, Any]]:
    """Every kernel of ours, and every form of the convolutions, as a share of what memory or matrix unit can do."""
    rows: list[Row] = []
    for work in (normalization, augmentation, update, convolutions):
        if rows and given.stop():
            given.leave_out(work.__name__, "no time left")
            continue
        try:
            rows += work(given, given.limits)
        except Exception as error:  # the others' figures are still worth having
            given.leave_out(work.__name__, error)
        free(given.device)
    return rows, {}


def responses(number: int, channels: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A map as a convolution gives it, large enough for the normalization to matter."""
    return (150 * torch.randn(number, channels, side, side, device=device)).to(dtype).contiguous(memory_format=LAST)


def normalized_maps(network: Network) -> dict[str, tuple[int, int]]:
    """Kernels and side of the maps that are normalized, by layer."""
    outputs = {layer.name: layer.output for layer in summarize(network).layers}
    return {name: outputs[name][:2] for name, layer in network.rows() if "norm" in layer.then}


def gradient(form: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Callable[[], object]:
    """Forward and backward of a form."""
    x = x.detach().requires_grad_()
    return lambda: torch.autograd.grad(form(x), x, g)


def normalization(given: Given, limits: dict[str, float]) -> list[Row]:
    """Local response normalization of both maps, alone and in one pass with ReLU and pooling."""
    from alexnet.network import gpu  # needs Triton

    rows: list[Row] = []
    ops = torch.ops.alexnet
    for layer, (channels, side) in normalized_maps(given.size.network).items():
        if rows and given.stop():
            given.leave_out(f"normalization of {layer}", "no time left")
            break
        x = responses(given.size.maps, channels, side, LOW, given.device)
        g = torch.randn_like(x)
        how = (2.0, 1e-4, 1)  # §3.3: k, α; one column
        theirs = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
        pooled, positions = ops.lrn_pool(x, *how, 3, 2, True, True)
        small = torch.randn_like(pooled)

        def normalized(x: Tensor) -> Tensor:
            return gpu.local_response_normalization(x, LRN(), 1)

        def in_one_pass(x: Tensor) -> Tensor:
            return gpu.relu_lrn_pool(x, True, LRN(), 1, 3, 2, True)

        def unfused(x: Tensor) -> Tensor:
            return F.max_pool2d(normalized(x.relu()), 3, 2, ceil_mode=True)

        def torchs(x: Tensor, theirs: nn.Module = theirs) -> Tensor:
            return F.max_pool2d(theirs(x.relu()), 3, 2, ceil_mode=True)

        names = {
            "forward": f"LRN {layer}, forward",
            "backward": f"LRN {layer}, backward",
            "fused forward": f"ReLU, LRN, pooling {layer}, forward",
            "fused backward": f"ReLU, LRN, pooling {layer}, backward",
        }
        forms: dict[str, Callable[[], object]] = {
            names["forward"]: partial(ops.lrn, x, *how),
            names["backward"]: partial(ops.lrn_backward, x, g, *how),
            "ours": gradient(normalized, x, g),
            "plain form": gradient(plain, x, g),
            "nn.LocalResponseNorm": gradient(theirs, x, g),
            names["fused forward"]: partial(ops.lrn_pool, x, *how, 3, 2, True, True),
            names["fused backward"]: partial(ops.lrn_pool_backward, x, small, positions, *how, 3, 2, True),
            "fused": gradient(in_one_pass, x, small),
            "kernel by kernel": gradient(unfused, x, small),
            "torch's three layers": gradient(torchs, x, small),
        }
        seconds = timed(forms, given)
        size, rest = 2 * x.numel(), 3 * pooled.numel()  # the pooled map and the byte that says where each maximum lay
        sizes = dict(zip(names.values(), (2 * size, 3 * size, size + rest, 2 * size + rest), strict=True))
        rows += [of_copy(name, seconds[name], least, limits) for name, least in sizes.items() if name in seconds]
        pairs = [
            (f"LRN {layer} against", "ours", ("nn.LocalResponseNorm", "plain form")),
            (f"ReLU, LRN, pooling {layer} against", "fused", ("kernel by kernel", "torch's three layers")),
        ]
        rows += [
            row(f"{name} {other}", ratios(seconds[own], seconds[other]), "x", "forward and backward")
            for name, own, others in pairs
            for other in others
            if own in seconds and other in seconds
        ]
        del x, g, pooled, positions, small, forms, seconds
        free(given.device)
    return rows


def augmentation(given: Given, limits: dict[str, float]) -> list[Row]:
    """Crop, flip, mean and colour of many images; what is read and written is a crop's bytes and the result's."""
    from alexnet.data.gpu import augment

    size, device = given.size, given.device
    crop = size.network.input_size
    images, preparation = synthetic(size.images, size.image, device), statistics(size.image, crop, device)
    number = min(size.augmented, size.images)
    indices = torch.randperm(size.images, device=device)[:number]
    drawn = draw(number, preparation, Augmentation(), torch.Generator(device), device)
    types = {"bfloat16": LOW, "float32": torch.float32}
    forms: dict[str, Callable[[], object]] = {
        f"augmentation to {name}": partial(
            augment,
            images,
            indices,
            drawn.top,
            drawn.left,
            drawn.flip,
            preparation.mean,
            drawn.offsets,
            1.0,
            crop,
            dtype,
        )
        for name, dtype in types.items()
    }
    seconds = timed(forms, given)
    numbers = number * 3 * crop**2
    return [
        of_copy(name, seconds[name], numbers * (1 + dtype.itemsize), limits)
        for name, dtype in zip(forms, types.values(), strict=True)
        if name in seconds
    ]


def update(given: Given, limits: dict[str, float]) -> list[Row]:
    """The paper's rule over all weights of the network: 20 bytes each, v, w and a bfloat16 gradient in, v, w and a copy out."""
    from alexnet.training.gpu import sgd_

    device = given.device
    with torch.device("meta"):
        shapes = [w.shape for w in AlexNet(given.size.network).parameters()]
    w, v, g = ([torch.randn(shape, device=device) for shape in shapes] for _ in range(3))
    low, copies = [x.to(LOW) for x in g], [x.to(LOW) for x in w]
    rate = torch.tensor(1e-4, device=device)
    weights = [x.clone().requires_grad_() for x in w]
    for weight, each in zip(weights, g, strict=True):
        weight.grad = each
    torchs = torch.optim.SGD(weights, lr=1e-4, momentum=0.9, weight_decay=0.0005, fused=True)
    torchs.step()

    def ours() -> None:
        for weight, velocity, each, copy in zip(w, v, low, copies, strict=True):
            sgd_(weight, velocity, each, rate, 0.9, 0.0005, copy)

    names = ("update, bfloat16 gradient and copy", "torch.optim.SGD(fused=True), float32, no copy")
    seconds = timed(dict(zip(names, (ours, torchs.step), strict=True)), given)
    number = sum(x.numel() for x in w)
    return [of_copy(name, took, 20 * number, limits) for name, took in seconds.items()]
