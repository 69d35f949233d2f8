"""A run's network as Caffe's files: .prototxt, .caffemodel and the mean image; where Caffe's layers can say it exactly.

What is different there and how it is the same: B, G, R (conv1's channels reversed); the alpha of normalization times the
number of kernels; dropout at test (the x (1 - p) of the paper goes into the weights behind it); a window that hangs over
the edge (a larger kernel, its first rows and columns zero, and more padding: the same sums). Refused, with the reason,
is what Caffe's layers cannot compute.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.data.batches import centre
from alexnet.errors import InputError
from alexnet.files import write_bytes
from alexnet.imports import caffe, caffe_forward
from alexnet.imports import caffe_messages as messages
from alexnet.network.layers import ColumnLinear, Convolution, Dropout, LocalResponseNormalization, Scale
from alexnet.network.model import AlexNet
from alexnet.run.trained import TrainedNetwork

ACTIVATIONS = {nn.ReLU: "ReLU", nn.Tanh: "TanH", nn.Sigmoid: "Sigmoid"}


def files_of(file: Path) -> tuple[Path, Path, Path]:
    """What belongs together: NAME.prototxt, NAME-mean.binaryproto, NAME.caffemodel."""
    return file.with_suffix(".prototxt"), file.with_name(f"{file.stem}-mean.binaryproto"), file


def write(network: TrainedNetwork, file: Path) -> None:
    """Write the three files; InputError, naming the layer, if Caffe's layers cannot express the network."""
    model = messages_of(network.network)
    trained = messages.CLASSES["NetParameter"]()
    trained.CopyFrom(model)
    for layer in model.layer:
        layer.ClearField("blobs")
    mean = messages.CLASSES["BlobProto"]()
    _fill(mean, network.preparation.mean.flip(0)[None])
    text, image, weights = files_of(file)
    write_bytes(text, messages.print_text(model).encode())
    write_bytes(image, mean.SerializeToString())
    write_bytes(weights, trained.SerializeToString())


class Loaded(nn.Module):
    """The files, read again and computed from Caffe's definitions: float32 pixels [N, 3, S, S], R, G, B, 0-255, to logits."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        text, image, weights = files_of(file)
        self._net = caffe.read(weights, text)
        self._mean = torch.from_numpy(caffe.mean_of(image))

    def forward(self, pixels: Tensor) -> Tensor:
        return caffe_forward.forward(self._net, pixels.flip(1) - centre(self._mean, pixels.shape[-1]))


def messages_of(network: AlexNet) -> Any:
    """The network as a NetParameter with its weights; InputError, naming the layer, for what Caffe cannot compute."""
    side = network.spec.input_size
    made = messages.CLASSES["NetParameter"](name=network.spec.name, input=["data"], input_dim=[1, 3, side, side])
    top, factor = "data", 1.0

    def add(name: str, kind: str) -> Any:
        nonlocal top
        layer = made.layer.add(name=name, type=kind, bottom=[top], top=[name])
        top = name
        return layer

    for name, module in network.named_children():
        if isinstance(module, Scale):
            factor *= module.factor
        elif isinstance(module, Convolution):
            assert module.bias is not None
            # Zeros before the kernel, and as many more around the map: the windows stand where they stood.
            over = module.overhang
            weight = F.pad(module.weight.detach() * factor, (over, 0, over, 0))
            weight, factor = weight.flip(1) if top == "data" else weight, 1.0
            layer = add(name, "Convolution")
            how = layer.convolution_param
            how.num_output, how.group = len(weight), module.groups
            how.kernel_size.append(weight.shape[-1])
            how.stride.append(int(module.stride[0]))
            how.pad.append(int(module.padding[0]) + over)
            _blobs(layer, weight, module.bias)
        elif isinstance(module, nn.Linear | ColumnLinear):
            # A layer whose columns read their own part is one with zeros for the other.
            weight = torch.block_diag(*module.weight) if isinstance(module, ColumnLinear) else module.weight
            layer = add(name, "InnerProduct")
            layer.inner_product_param.num_output = len(weight)
            _blobs(layer, weight.detach() * factor, module.bias)
            factor = 1.0
        elif isinstance(module, nn.MaxPool2d):
            window = network.windows[name]
            if window.overhang < 0:
                raise InputError(
                    f"{name}: it leaves {-window.overhang} of {window.size} pixels unread; Caffe's pooling rounds up"
                )
            how = add(name, "Pooling").pooling_param
            how.pool, how.kernel_size, how.stride = 0, window.window, window.stride
        elif isinstance(module, LocalResponseNormalization):
            if module.columns != 1:
                raise InputError(
                    f"{name}: its sum stays inside a column, and Caffe's LRN crosses from one into the other"
                )
            _no_factor(name, factor)
            how = add(name, "LRN").lrn_param
            lrn = module.lrn
            how.local_size, how.alpha, how.beta, how.k = lrn.n, lrn.alpha * lrn.n, lrn.beta, lrn.k
        elif type(module) in ACTIVATIONS:
            if type(module) is not nn.ReLU:
                _no_factor(name, factor)
            add(name, ACTIVATIONS[type(module)])
        elif isinstance(module, Dropout | nn.Dropout):
            factor *= 1 - module.p if isinstance(module, Dropout) else 1.0
            add(name, "Dropout").dropout_param.dropout_ratio = module.p
        elif not isinstance(module, nn.Flatten):  # InnerProduct flattens by itself, in the same order
            raise InputError(f"{name}: Caffe has no layer that computes {type(module).__name__} as this network does")
    add("prob", "Softmax")
    return made


def _no_factor(name: str, factor: float) -> None:
    if factor != 1:
        raise InputError(f"{name}: dropout stands before it, and its factor at test cannot go into weights behind it")


def _blobs(layer: Any, *tensors: Tensor) -> None:
    for tensor in tensors:
        _fill(layer.blobs.add(), tensor.detach())


def _fill(blob: Any, tensor: Tensor) -> None:
    blob.shape.dim.extend(tensor.shape)
    blob.data.append(np.ascontiguousarray(tensor.cpu().numpy(), "<f4").tobytes())
