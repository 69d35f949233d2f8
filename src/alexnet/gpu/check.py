"""The kernels, and all of a training step, against the plain forms: on fresh random inputs, into poisoned memory."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.batches import SHRINK, Augmentation, _plain_batch, centre, draw, test_views, training_batch
from alexnet.errors import RunFailed
from alexnet.gpu.comparing import CLOSE, Extent, Found, Part, clear, compared, exact, poisoned, worst
from alexnet.gpu.figures import Row, row
from alexnet.gpu.kernels import responses
from alexnet.gpu.stepping import statistics, synthetic
from alexnet.gpu.timing import LAST, LOW, free
from alexnet.gpu.whole import judging, training
from alexnet.network.normalization import local_response_normalization as plain
from alexnet.network.normalization import map_normalization
from alexnet.network.spec import LRN


def check(
    progress: Callable[[str], None] = lambda line: None, device: str = "cuda", extent: Extent = Extent()
) -> list[Row]:
    """Everything that training and evaluation run on a GPU; a row a part, error over bound.

    Raises RunFailed with all that is wrong, a line each.
    """
    rows: list[Row] = []
    wrong: list[str] = []
    seed = torch.seed() % 2**31
    for name, part in PARTS.items():
        found: list[Found] = []
        try:
            with exact():
                found += part(extent, torch.device(device), seed)
        except Exception as error:  # what else is wrong is worth knowing too: the GPU is there for minutes
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:1000]}")
        wrong += [f"{name}, {each.name}: {each.error:.3g}, bound {each.bound:.3g}" for each in found if _far(each)]
        if found:
            nearest = max(found, key=lambda each: each.error / each.bound)
            note = f"{len(found)} comparisons, seed {seed}; nearest: {nearest.name}"
            rows.append(row(f"{name}: error / bound", [each.error / each.bound for each in found], "", note))
        progress(f"{name}: {len(found)} comparisons")
        free(torch.device(device))
    if wrong:
        raise RunFailed(f"not what the plain forms give (seed {seed}): " + "; ".join(wrong))
    return rows


def _far(found: Found) -> bool:
    return not found.error <= found.bound  # NaN is far too


def normalization(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """Local response normalization, alone, in every type, layout and window; the 2012 program's, too; that within a map."""
    from alexnet.network import gpu

    for case in extent.cases:
        x = responses(extent.mapped, case.channels, case.side, case.dtype, device)
        for alpha in (1e-4, 1e-4 / 5):
            how: dict[str, Any] = {"lrn": LRN(alpha=alpha), "columns": case.columns}
            ours, theirs = partial(gpu.local_response_normalization, **how), partial(plain, **how)
            yield compared(f"{case}, alpha {alpha:g}", ours, theirs, x)
        yield compared(f"{case}, contiguous", ours, theirs, x.contiguous())
    for case in extent.cases[:2]:
        x = responses(extent.mapped, case.channels, case.side, torch.float32, device)
        yield compared(f"{case}, within a map", map_normalization, map_normalization, x)


def fused(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """ReLU, normalization and pooling in one pass: with the ReLU (§3.5), or without (2012, layer 1)."""
    from alexnet.network import gpu

    for case in extent.cases:
        for relu in (True, False) if case.columns == 2 else (True,):
            for ceil in (True, False) if case.side % 2 == 0 else (True,):  # else the windows are the same
                x = responses(extent.mapped, case.channels, case.side, case.dtype, device)
                how: dict[str, Any] = {"lrn": LRN(), "columns": case.columns}

                def normalized(x: Tensor, relu: bool = relu, how: dict = how) -> Tensor:
                    return plain(x.relu() if relu else x, **how)

                def theirs(x: Tensor, ceil: bool = ceil, form: Callable = normalized) -> Tensor:
                    return F.max_pool2d(form(x), 3, 2, ceil_mode=ceil)

                ours = partial(gpu.relu_lrn_pool, relu=relu, window=3, stride=2, ceil=ceil, **how)
                name = f"{case}, ReLU {'before' if relu else 'none'}{'' if ceil else ', sides rounded down'}"
                yield compared(name, ours, theirs, x, clear(normalized(x.double()), ceil))


def augmentation(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """Every form of crop, colour and mean, in both types; by index and in order; and what training calls."""
    from alexnet.data.gpu import augment

    crop = min(each.input_size for each in extent.networks)
    images, preparation = synthetic(extent.images, extent.image, device), statistics(extent.image, crop, device)
    indices = torch.randint(extent.images, (extent.images,), device=device)
    for where, colour, mean, flip in [
        (where, colour, mean, where != "centre")
        for where in get_args(Augmentation.__annotations__["crop"])
        for colour in get_args(Augmentation.__annotations__["colour"])
        for mean in get_args(Augmentation.__annotations__["mean"])
    ]:
        how = Augmentation(where, flip, colour, mean)
        name = f"crop {where}, colour {colour}, mean {mean}"
        generator = torch.Generator(device).manual_seed(seed)
        drawn = draw(len(indices), preparation, how, generator, device)
        expected = _plain_batch(images[indices], preparation, how, drawn)
        subtracted = preparation.mean if mean == "position" else centre(preparation.mean, crop)
        shrink = SHRINK if colour == "authors-2012" else 1.0
        given = drawn.top, drawn.left, drawn.flip, subtracted, drawn.offsets, shrink, crop
        with poisoned():
            yield Found(name, worst(augment(images, indices, *given), expected), CLOSE[torch.float32])
            yield Found(f"{name}, bfloat16", worst(augment(images, indices, *given, LOW), expected), CLOSE[LOW])
            yield Found(
                f"{name}, in order", worst(augment(images[indices], None, *given), expected), CLOSE[torch.float32]
            )
            found = training_batch(images, preparation, how, generator.manual_seed(seed), indices)
        yield Found(f"{name}, training_batch", worst(found, expected), CLOSE[torch.float32])


def update(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """The paper's rule: weights, velocities and bfloat16 copies, of a length that no block divides and of kernels channels-last."""
    from alexnet.training.gpu import sgd_

    for shape in ((extent.weights,), (96, 3, 11, 11)):
        w, v, g = (torch.randn(shape, device=device) for _ in range(3))
        if len(shape) == 4:  # the gradient in another layout
            w, v = (x.contiguous(memory_format=LAST) for x in (w, v))
        g = g.to(LOW)
        new_v = 0.9 * v.double() - 0.0005 * 0.01 * w.double() - 0.01 * g.double()
        new_w, copy = w.double() + new_v, torch.full_like(w, math.nan, dtype=LOW)
        with poisoned():
            sgd_(w, v, g, torch.tensor(0.01, device=device), 0.9, 0.0005, copy)
        for name, found, expected, bound in (
            ("w", w, new_w, 1e-6),
            ("v", v, new_v, 1e-6),
            ("copy", copy, new_w, CLOSE[LOW]),
        ):
            yield Found(f"{name} {list(shape)}", worst(found, expected), bound)


def views(extent: Extent, device: torch.device, seed: int) -> Iterator[Found]:
    """What evaluation sees of an image, against the CPU's: one view and ten, images of the right size and larger ones."""
    crop = min(each.input_size for each in extent.networks)
    here = statistics(extent.image, crop, torch.device("cpu"))
    there = here.to(device)
    for side in (extent.image, extent.image + 4):
        images = synthetic(4, side, device)
        for number in (1, 10):
            pairs = zip(test_views(images, there, number), test_views(images.cpu(), here, number), strict=True)
            for place, (found, expected) in enumerate(pairs):
                yield Found(f"images of {side}², view {place + 1} of {number}", worst(found.cpu(), expected), 1e-5)


PARTS: dict[str, Part] = {
    "normalization": normalization,
    "ReLU, normalization, pooling": fused,
    "augmentation": augmentation,
    "update": update,
    "views": views,
    "logits": judging,
    "training steps": training,
}
