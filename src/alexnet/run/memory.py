"""The memory that a step of training takes, and the advice where there is too little."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from alexnet.errors import RunFailed, out_of_memory
from alexnet.memory import address_space_left, memory_free
from alexnet.network.layers import ColumnLinear, Convolution
from alexnet.network.model import AlexNet
from alexnet.network.spec import Network
from alexnet.run.recipe import Recipe

LIBRARIES = 900 << 20
"""Bytes of address space that a process maps, from before its first step to the report after its last, beside the tensors of a
step: compiled loops and their compiler, TensorBoard, pictures, stacks and heaps of threads. The demo was measured to need 840
million on one thread and on two; few of them are ever touched."""


@contextmanager
def advice(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Makes RunFailed, with what to do, of running out of memory on a GPU or a CPU."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise _too_little(recipe, f"{device}: out of memory") from error


def check(recipe: Recipe, device: torch.device) -> None:
    """Raises RunFailed, with what to do, where a step on the CPU cannot have the memory that it takes.

    Some libraries do not ask whether they were given what they asked for: within a limit on the address space (`ulimit -v`) a
    step would end in a segmentation fault, or wait without end. Without such a limit the kernel would kill the process; then
    only what no step can do without is counted.
    """
    if device.type != "cpu":
        return
    left = address_space_left()
    if left is not None and left < (needed := batch_memory(recipe) + LIBRARIES):
        lack = f"cpu: training takes {needed / 1e9:.1f} GB, the limit on memory (ulimit -v) leaves {left / 1e9:.1f}"
        raise _too_little(recipe, lack, left - LIBRARIES)
    free, least = memory_free(), batch_memory(recipe, activations_held=0.5)
    if free is not None and free < least:
        lack = f"cpu: a step takes at least {least / 1e9:.1f} GB, {free / 1e9:.1f} are free"
        raise _too_little(recipe, lack, free)


def _too_little(recipe: Recipe, lack: str, room: int | None = None) -> RunFailed:
    """The error that says what to do: half as many images at a time, or as many as `room` bytes hold."""
    images = min(recipe.micro_batch or recipe.batch, recipe.batch) // 2
    while images and room is not None and batch_memory(replace(recipe, micro_batch=images)) > room:
        images //= 2
    if not images:
        return RunFailed(
            f"{lack}. One image at a time would not fit either: give it more memory, or train a smaller network"
        )
    return RunFailed(
        f"{lack}. --micro-batch {images} passes fewer images at a time through the network and adds up their gradients, for the"
        " same steps; start again with it and another --out"
    )


def activations_of(spec: Network) -> tuple[int, int]:
    """(activations of one image, parameters) of a network, as numbers of values; nothing is computed or held.

    Raises InputError for a network that cannot be built.
    """
    with torch.device("meta"):
        model = AlexNet(spec)
    channels, size, total = 3, spec.input_size, 3 * spec.input_size**2
    for name, layer in model.named_children():
        if name == "flatten":
            channels, size = channels * size * size, 1
            continue
        size = model.windows[name].output if name in model.windows else size
        if isinstance(layer, Convolution | nn.Linear | ColumnLinear):
            channels = layer.get_parameter("bias").numel()
        total += channels * size * size
    return total, sum(parameter.numel() for parameter in model.parameters())


def batch_memory(recipe: Recipe, activations_held: float = 3) -> int:
    """Estimated bytes that training takes: activations of one pass and their gradients, weights, gradients, velocities.

    Three times the activations is what a step was measured to take at most on the CPU (1.2 to 2.9 times, by network):
    the values kept for the backward pass, their gradients, and what the normalization needs in between.
    """
    activations, parameters = activations_of(recipe.network)
    images = min(recipe.micro_batch or recipe.batch, recipe.batch)
    pixels = recipe.batch * recipe.image_size**2 * 3 * 4
    return int(4 * (activations_held * images * activations + 3 * parameters)) + 2 * pixels
