"""What the page shows of a network and an image, as plain values and arrays."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.data.augment import to_channels
from alexnet.data.views import places
from alexnet.device import low_precision, precision_name
from alexnet.explore.images import NotThere
from alexnet.insight.attribution import Occlusion, grad_cam, gradient_times_input, gradients
from alexnet.network.layers import ColumnLinear, Convolution, Dropout, LocalResponseNormalization, MapNormalization
from alexnet.network.model import ACTIVATIONS, AlexNet
from alexnet.network.normalization import MAP
from alexnet.network.summary import Layer, summarize
from alexnet.run.predict import most_probable
from alexnet.run.trained import TrainedNetwork
from alexnet.run.views import each_view, mean_of
from alexnet.words import IMAGENETTE, short

VIEWS = 10

# The network ----------------------------------------------------------------------------------------------------------


def network(trained: TrainedNetwork) -> dict[str, Any]:
    """A network as the page draws it: its classes and sizes, and its steps in the order of the image's way through it."""
    spec = trained.network.spec
    summary = summarize(spec)
    device = trained.preparation.mean.device
    return {
        "name": spec.name,
        "recipe": trained.recipe.name,
        "checkpoint": trained.checkpoint,
        "classes": list(trained.classes),
        "words": [IMAGENETTE.get(name, name) for name in trained.classes],
        "image_size": trained.preparation.size,
        "input_size": spec.input_size,
        "columns": spec.columns,
        "links": [name for name in spec.links if name in dict(spec.all_rows())] if spec.columns > 1 else [],
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "precision": precision_name(low_precision(trained.precision, device), device),
        **({"input_scale": spec.input_scale} if spec.input_scale != 1 else {}),
        "steps": steps_of(trained.network),
    }


def steps_of(network: AlexNet) -> list[dict[str, Any]]:
    """The steps of a network: of each its layer, the shape that it gives, and the numbers by which it computes."""
    spec = network.spec
    rows = {layer.name: layer for layer in summarize(spec).layers}
    weighted = dict(spec.all_rows())
    steps: list[dict[str, Any]] = []
    layer, before, row, flat = "", "input", next(iter(rows.values())), False
    for name, module in network.named_children():
        if isinstance(module, nn.Flatten):
            flat = True
        if name in ("flatten", "scale"):
            continue
        layer, row = (name if name in weighted else layer), rows.get(name, row)
        columns = 1 if name == spec.last_name else spec.columns
        about = {"shape": list(row.output[:1] if flat else row.output), "columns": columns}
        arithmetic = row.arithmetic if row.name == name else ""
        kind = _kind(network, name, module, row, before)
        steps.append({"name": name, "layer": layer, **about, "arithmetic": arithmetic, **kind})
        before = name
    return steps


def _kind(network: AlexNet, name: str, module: nn.Module, row: Layer, before: str) -> dict[str, Any]:
    """What a step is, and the numbers by which it computes."""
    window = network.windows.get(name)
    if window and isinstance(module, Convolution):
        geometry = {"kernel": window.window, "stride": window.stride, "padding": window.padding}
        geometry |= {"overhang": module.overhang, "groups": module.groups}
        return {"kind": "convolution", **geometry, **_weights(row), "inputs": before}
    if window:
        overhang = max(0, window.overhang)
        return {"kind": "pooling", "window": window.window, "stride": window.stride, "overhang": overhang}
    if isinstance(module, LocalResponseNormalization):
        per_column = module.columns > 1
        return {"kind": "normalization", **vars(module.lrn), "per_column": per_column, "within_map": False}
    if isinstance(module, MapNormalization):
        return {"kind": "normalization", **vars(MAP), "per_column": False, "within_map": True}
    if isinstance(module, nn.BatchNorm2d):
        return {"kind": "batch-normalization"}
    if isinstance(module, Dropout | nn.Dropout):
        return {"kind": "dropout", "probability": module.p, "form": network.spec.dropout_form}
    if isinstance(module, nn.Linear | ColumnLinear):
        return {"kind": "full", "units": row.output[0], **_weights(row), "inputs": module.weight.shape[-1]}
    function = next(function for function, kind in ACTIVATIONS.items() if isinstance(module, kind))
    return {"kind": "activation", "function": function}


def _weights(row: Layer) -> dict[str, Any]:
    # "image × 0.0167" of a scaled input: the scale is said once.
    return {"reads": row.reads.split(" ×")[0], "parameters": row.parameters, "multiply_adds": row.multiply_adds}


def weights(trained: TrainedNetwork, layer: str) -> np.ndarray:
    """Weights of a convolution as it computes with them: float32 [K, C / groups, h, w]. Raises NotThere for another layer."""
    module = _layer(trained, layer)
    if not isinstance(module, Convolution):
        raise NotThere(f"{layer} is fully connected: its weights are asked for unit by unit, weights/{layer}/UNIT.bin")
    return _array(module.weight)


def bias(trained: TrainedNetwork, layer: str) -> np.ndarray:
    """Biases of a layer, float32 [K]. Raises NotThere if there is no such layer."""
    return _array(_layer(trained, layer).get_parameter("bias"))


def row_of_weights(trained: TrainedNetwork, layer: str, unit: int) -> np.ndarray:
    """Weights of a unit of a fully connected layer: float32 [inputs]; of its column's inputs where it reads no others.

    Raises NotThere for a unit that is not there, and for a convolution.
    """
    module = _layer(trained, layer)
    if not isinstance(module, nn.Linear | ColumnLinear):
        raise NotThere(f"{layer} is a convolution: its weights are weights/{layer}.bin")
    rows = module.weight.flatten(0, -2)
    if not 0 <= unit < len(rows):
        raise NotThere(f"{layer} has the units 0 to {len(rows) - 1}")
    return _array(rows[unit])


def _layer(trained: TrainedNetwork, layer: str) -> nn.Module:
    names = [name for name, _ in trained.network.spec.all_rows()]
    if layer not in names:
        raise NotThere(f"no layer {short(layer)}; there are {', '.join(names)}")
    return trained.network.get_submodule(layer)


# An image in it -------------------------------------------------------------------------------------------------------


def at_image_size(trained: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """An image uint8 [S, S, 3] at the size that crops are taken from; larger ones are averaged down, as in training."""
    size = trained.preparation.size
    if len(pixels) == size:
        return pixels
    smaller = to_channels(torch.from_numpy(np.array(pixels))[None], size)[0]
    return smaller.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def crop(trained: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """The centre crop of an image uint8 [S, S, 3], as pixels: uint8 [C, C, 3]."""
    ((_, top, left),) = places(trained.preparation.positions)
    side = trained.preparation.input_size
    return at_image_size(trained, pixels)[top : top + side, left : left + side]


def view(trained: TrainedNetwork, pixels: np.ndarray) -> Tensor:
    """The centre crop less the mean, float32 [1, 3, C, C], as `AlexNet` takes it."""
    return trained.prepare(pixels[None])


def first_input(trained: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """What the first convolution reads: the centre crop less the mean, times the network's input_scale: float32 [3, C, C]."""
    return _array(view(trained, pixels)[0] * trained.network.spec.input_scale)


@torch.inference_mode()
def steps(trained: TrainedNetwork, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of all steps for an image's centre crop, float32 [C, H, W] or [U], as `AlexNet.activations` gives them."""
    outputs = trained.network.activations(view(trained, pixels))
    return {name: _array(output[0]) for name, output in outputs.items() if name not in ("flatten", "scale")}


def answer(trained: TrainedNetwork, pixels: np.ndarray, label: str | None) -> dict[str, Any]:
    """What a network answers for an image uint8 [S, S, 3]: the mean of its ten crops, and each crop's own answer.

    label: the name of its class, if that is known. Raises RunFailed if the network answers with NaN.
    """
    begun = time.perf_counter()
    images = torch.from_numpy(np.array(pixels))[None].to(trained.preparation.mean.device)
    each = list(each_view(trained.judge, images, trained.preparation, VIEWS))
    mean = mean_of(each)[0]
    crops = [
        {"x": left, "y": top, "mirrored": mirrored, "top": _five(trained, probabilities[0])}
        for (mirrored, top, left), probabilities in zip(places(trained.preparation.positions, VIEWS), each, strict=True)
    ]
    return {
        "label": label if label in trained.classes else None,
        "top": _five(trained, mean),
        "probabilities": mean.tolist(),
        "centre": crops[VIEWS // 2 - 1]["top"],
        "crops": crops,
        "milliseconds": round(1e3 * (time.perf_counter() - begun), 1),
    }


def _five(trained: TrainedNetwork, probabilities: Tensor) -> list[dict[str, Any]]:
    """The five most probable labels, or all where there are fewer, as `alexnet predict` orders them."""
    (five,) = most_probable(probabilities[None], trained.classes)
    return [{"label": label, "probability": probability} for label, probability in five]


def check_label(trained: TrainedNetwork, label: int) -> None:
    """Raises NotThere for a number that is no label's."""
    if not 0 <= label < len(trained.classes):
        raise NotThere(f"no label {label}; they are 0 to {len(trained.classes) - 1}")


def why(trained: TrainedNetwork, view: Tensor, label: int, occluded: Occlusion) -> dict[str, Any]:
    """What speaks for a label in a view [3, C, C]: Grad-CAM, gradient times input, and the occlusion of the view."""
    speaks = gradients(trained.network, view, label)
    grid = occluded.probabilities[..., label]
    return {
        "label": label,
        "score": speaks.score,
        "probability": speaks.probability,
        "grad_cam": _grid(grad_cam(speaks), 4),
        "gradient_input": _grid(gradient_times_input(speaks), 4),
        "occlusion": {"patch": occluded.patch, "stride": occluded.stride, **_grid(grid, 6)},
    }


def _grid(values: Tensor, digits: int) -> dict[str, Any]:
    """Values [h, w] row by row, rounded: they are shades of a picture."""
    rounded = _array(values).astype(np.float64).round(digits) + 0.0  # no -0
    return {"shape": list(values.shape), "values": rounded.flatten().tolist()}


def _array(tensor: Tensor) -> np.ndarray:
    """float32 in the order of its dimensions, whatever the order in memory."""
    return tensor.detach().float().cpu().contiguous().numpy()
