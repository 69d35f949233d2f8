"""What a network gives, layer by layer: names of its steps, their outputs for images, and what it sees of them."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.augment import centre
from alexnet.data.prepared import Images
from alexnet.data.views import test_views
from alexnet.errors import InputError
from alexnet.evaluation.measure import batches_of
from alexnet.network.model import ACTIVATIONS, AlexNet
from alexnet.network.spec import Convolution
from alexnet.run.trained import TrainedNetwork

BATCH = 64


def steps(network: AlexNet) -> dict[str, list[str]]:
    """Names of the modules of every layer, its own first, then the steps that follow it, without dropout.

    conv1: conv1, relu1, norm1, pool1.
    """
    layers = [name for name, _ in network.spec.all_rows()]
    steps_of: dict[str, list[str]] = {}
    for name, _ in network.named_children():
        if name in layers:
            steps_of[name] = []
        if name != "flatten" and not name.startswith("dropout"):
            steps_of[list(steps_of)[-1]].append(name)
    return steps_of


def activated(network: AlexNet, layer: str) -> str:
    """Name of the module that gives a layer's activations: its ReLU, or the layer itself where none follows it.

    Raises InputError, naming the layers there are, for another name.
    """
    names, kinds = steps(network), tuple(ACTIVATIONS.values())
    if layer not in names:
        raise InputError(f"--layer {layer}: the network has no such layer; its layers are {', '.join(names)}")
    return next((name for name in names[layer] if isinstance(network.get_submodule(name), kinds)), layer)


def best_of_columns(strengths: Tensor, columns: int, number: int) -> Tensor:
    """The units with the highest of `strengths` [K], equally many of each column, at most `number` in all.

    int64 [columns, number // columns], the strongest of a column first; fewer where a column has fewer units.
    """
    by_column = strengths.view(columns, -1)
    each = by_column.shape[1]
    best = by_column.topk(min(each, number // columns), dim=1).indices
    return best + each * torch.arange(columns)[:, None]


def last_convolution(network: AlexNet) -> str:
    """Name of the last convolutional layer: conv5 in the paper's network."""
    return [name for name, row in network.spec.rows() if isinstance(row, Convolution)][-1]


def outputs(network: AlexNet, images: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
    """Outputs of the modules called `wanted` for images [N, 3, S, S]. All else is computed in the network's fast forms."""
    outputs_of: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, given, output: outputs_of.update({name: output})

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in wanted]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs_of


def in_batches(
    trained: TrainedNetwork,
    images: Images,
    indices: np.ndarray,
    wanted: Collection[str],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """`outputs` for the images uint8 [N, S, S, 3] at `indices`, centre view, 64 at a time, on the network's device.

    `progress` is called with (done, total) after each batch.
    """
    for pixels in batches_of(images, indices, BATCH, trained.preparation.mean.device, progress):
        with torch.inference_mode():
            batch = outputs(trained.network, next(test_views(pixels, trained.preparation, 1)), wanted)
        yield batch


def seen(trained: TrainedNetwork, images: np.ndarray) -> np.ndarray:
    """The centre views of images uint8 [N, S, S, 3] as the network gets them, the mean added again: uint8 [N, C, C, 3]."""
    device = trained.preparation.mean.device
    view = next(test_views(torch.from_numpy(np.array(images)).to(device), trained.preparation, 1))
    view = view + centre(trained.preparation.mean, trained.preparation.input_size)
    return view.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
