"""Kernels alone: how much of a copy's or a product's speed they reach, and whether they beat torch.compile.

    python -m benchmarks.gpu.kernels kernels.json

Inputs are larger than the second-level cache, so that every pass goes to memory, as in a step; the forms of a thing take turns.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.augment import draw, plain_batch
from alexnet.network.model import AlexNet
from alexnet.network.spec import LRN
from alexnet.network.summary import summarize
from benchmarks.gpu.common import LAST, LOW, Bench, Images, against, compare, compiled, start
from benchmarks.measure import Row, ratios, row

BY_HAND, BY_TORCH = "hand-written", "torch.compile"


@dataclass(frozen=True)
class Task:
    """Work that several forms do; the first is the one that training uses."""

    name: str
    forms: dict[str, Callable[[], object]]
    bytes: float = 0.0
    """Read and written at the least."""
    work: float = 0.0
    """Floating-point operations, where the matrix unit is the limit."""


def measure(task: Task, bench: Bench) -> list[Row]:
    """Each form as a share of the limit, and the first against the others."""
    took = compare(task.forms, bench)
    limit, what = (bench.limits["product"], "product") if task.work else (bench.limits["copy"], "copy")
    rows = []
    for form, times in took.items():
        note = f"{1e6 * statistics.median(times):,.1f} µs"
        shares = [100 * (task.work or task.bytes) / s / limit for s in times]
        rows.append(row(f"{task.name}: {form}", shares, f"% of {what}", note))
    first, *others = took
    for other in others:
        if (first, other) == (BY_HAND, BY_TORCH):
            rows.append(against(task.name, took[first], took[other]))
        else:
            rows.append(row(f"{task.name}: {first} against {other}", ratios(took[first], took[other]), "x"))
    return rows


def with_gradients(form: Callable[..., Tensor], g: Tensor, *given: Tensor) -> Callable[[], object]:
    """Forward and backward by all of `given`."""
    leaves = tuple(each.detach().contiguous(memory_format=LAST).requires_grad_() for each in given)
    return lambda: torch.autograd.grad(form(*leaves), leaves, g)


def random_map(number: int, channels: int, side: int, bench: Bench, scale: float = 1.0) -> Tensor:
    """bfloat16, channels-last."""
    x = scale * torch.randn(number, channels, side, side, device=bench.device)
    return x.to(LOW).contiguous(memory_format=LAST)


# --- normalization, augmentation, update --------------------------------------------------------------------------------


def normalize(x: Tensor) -> Tensor:
    """§3.3 as sums of shifted squares: n = 5, k = 2, alpha = 1e-4, beta = 0.75."""
    wide = x.float()
    squares = F.pad(wide * wide, (0, 0, 0, 0, 2, 2))
    sums = sum(squares[:, shift : shift + x.shape[1]] for shift in range(5))
    return (wide * (2.0 + 1e-4 * sums) ** -0.75).to(x.dtype)


def normalization(layer: str, pooling: bool, bench: Bench) -> Task:
    """LRN of a layer's map forward and backward, alone or with the ReLU before it and the pooling after it, as in `paper`."""
    from alexnet.network import gpu  # needs Triton

    outputs = {each.name: each.output for each in summarize(bench.size.network).layers}
    channels, side, _ = outputs[layer]
    x = random_map(bench.size.maps, channels, min(side, bench.size.side), bench, scale=150)

    def layers(x: Tensor) -> Tensor:
        return F.max_pool2d(normalize(x.relu()), 3, 2, ceil_mode=True)

    def pooled(x: Tensor) -> Tensor:
        return gpu.relu_lrn_pool(x, True, LRN(), 1, 3, 2, True)

    def normalized(x: Tensor) -> Tensor:
        return gpu.local_response_normalization(x, LRN(), 1)

    plain, by_hand = (layers, pooled) if pooling else (normalize, normalized)
    g = torch.randn_like(by_hand(x))
    forms = {BY_HAND: with_gradients(by_hand, g, x), BY_TORCH: with_gradients(compiled(plain, bench), g, x)}
    # In bfloat16: x in, y out; x and g in, gradient out. Pooled: a byte says where a maximum lay.
    size = 6 * x.numel() + 6 * g.numel() if pooling else 10 * x.numel()
    return Task(f"{'ReLU, LRN, pooling' if pooling else 'LRN'} of {layer}", forms, size)


def augmentation(bench: Bench) -> Task:
    """Crop, flip, mean and colour: a crop's bytes in, its numbers in bfloat16 out."""
    from alexnet.data.gpu import augment

    images, number, crop = Images(bench), bench.size.augmented, bench.size.network.input_size
    preparation, indices = images.preparation, torch.randperm(bench.size.images, device=bench.device)[:number]
    drawn = draw(number, preparation, images.how, images.generator, bench.device)
    where = drawn.top, drawn.left, drawn.flip, preparation.mean, drawn.offsets
    plain = compiled(lambda: plain_batch(images.pixels[indices], preparation, images.how, drawn).to(LOW), bench)
    by_hand = partial(augment, images.pixels, indices, *where, 1.0, crop, LOW)
    return Task("augmentation", {BY_HAND: by_hand, BY_TORCH: plain}, number * 3 * crop**2 * 3)


def update(bench: Bench) -> Task:
    """The rule (§5) over all weights, 20 bytes each: v, w and a bfloat16 gradient in; v, w and a bfloat16 copy out."""
    from alexnet.training.gpu import sgd_

    with torch.device("meta"):
        shapes = [w.shape for w in AlexNet(bench.size.network).parameters()]
    w, v, g = ([torch.randn(shape, device=bench.device) for shape in shapes] for _ in range(3))
    low, copies, rate = [x.to(LOW) for x in g], [x.to(LOW) for x in w], torch.tensor(1e-4, device=bench.device)

    def by_hand() -> None:
        for each in zip(w, v, low, copies, strict=True):
            sgd_(*each[:3], rate, 0.9, 0.0005, each[3])

    def plain() -> None:
        for weight, velocity, gradient, copy in zip(w, v, low, copies, strict=True):
            velocity.mul_(0.9).sub_(rate * (0.0005 * weight + gradient.float()))
            weight.add_(velocity)
            copy.copy_(weight)

    return Task("update", {BY_HAND: by_hand, BY_TORCH: compiled(plain, bench)}, 20 * sum(x.numel() for x in w))


# --- convolutions in other forms that give the same sums ----------------------------------------------------------------


def first_convolution(bench: Bench) -> Task:
    """conv1, forward and its weights' gradient: on 3 channels, which suit no matrix unit, and on blocks of pixels as channels."""
    model = AlexNet(bench.size.network)
    stride, side, batch = model.conv1.stride[0], model.windows["conv1"].output, bench.size.convolved  # type: ignore[index,union-attr]
    weight = model.get_parameter("conv1.weight").detach().to(bench.device, LOW)
    kernels, channels, window, _ = weight.shape
    x = random_map(batch, channels, stride * (side - 1 + -(-window // stride)), bench)
    g, read = random_map(batch, kernels, side, bench), stride * (side - 1) + window

    def by_weight(x: Tensor, weight: Tensor, stride: int) -> Callable[[], object]:
        x = x.contiguous(memory_format=LAST)
        return with_gradients(lambda weight: F.conv2d(x, weight, stride=stride), g, weight)

    forms = {
        f"{channels} channels": by_weight(x[:, :, :read, :read], weight, stride),
        f"{stride} x {stride} pixels as channels": by_weight(*as_blocks(x, weight, stride), 1),
    }
    return Task("conv1", forms, work=2 * 2 * batch * side**2 * weight.numel())


def second_convolution(bench: Bench) -> Task:
    """conv2, forward and both gradients: grouped by column, and dense with zeros across columns."""
    model, batch = AlexNet(bench.size.network), bench.size.convolved
    weight = model.get_parameter("conv2.weight").detach().to(bench.device, LOW)
    kernels, inputs, window, _ = weight.shape
    side = model.windows["conv2"].output
    x, g = random_map(batch, 2 * inputs, side, bench), random_map(batch, kernels, side, bench)
    forms = {
        "grouped": with_gradients(partial(F.conv2d, padding=window // 2, groups=2), g, x, weight),
        "block-dense": with_gradients(partial(F.conv2d, padding=window // 2), g, x, block_dense(weight)),
    }
    return Task("conv2", forms, work=3 * 2 * batch * side**2 * weight.numel())


def as_blocks(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Images and kernels of stride `stride` as those of stride 1 over blocks of pixels, which have the same sums.

    x [N, C, s (O - 1 + b), ...], weight [K, C, W, W] -> [N, s² C, O - 1 + b, ...], [K, s² C, b, b], with b = ⌈W / s⌉: conv1's
    window of 11 becomes one of 12 with zeros at the end, hence of 3 x 3 blocks.
    """
    more = -weight.shape[-1] % stride
    return F.pixel_unshuffle(x, stride), F.pixel_unshuffle(F.pad(weight, (0, more, 0, more)), stride)


def block_dense(weight: Tensor) -> Tensor:
    """Kernels of two columns, [K, C, S, S], as kernels that read both, [K, 2 C, S, S], with zeros across."""
    kernels, inputs = weight.shape[:2]
    dense = weight.new_zeros(kernels, 2 * inputs, *weight.shape[2:])
    dense[: kernels // 2, :inputs] = weight[: kernels // 2]
    dense[kernels // 2 :, inputs:] = weight[kernels // 2 :]
    return dense


def main() -> None:
    bench = start(__doc__)
    tasks: dict[str, Callable[[], Task]] = {
        "ReLU, LRN, pooling of conv1": lambda: normalization("conv1", True, bench),
        "augmentation": lambda: augmentation(bench),
        "update": lambda: update(bench),
        "conv1": lambda: first_convolution(bench),
        "conv2": lambda: second_convolution(bench),
        "LRN of conv1": lambda: normalization("conv1", False, bench),
        "ReLU, LRN, pooling of conv2": lambda: normalization("conv2", True, bench),
        "LRN of conv2": lambda: normalization("conv2", False, bench),
    }
    parts = {name: lambda make=make: measure(make(), bench) for name, make in tasks.items()}  # type: ignore[misc]
    bench.do({"limits": bench.measure_limits, **parts})


if __name__ == "__main__":
    main()
