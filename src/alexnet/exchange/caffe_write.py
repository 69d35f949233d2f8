"""The network of a run is written as Caffe's files: .prototxt, .caffemodel and the mean image.

Caffe's layers compute the same in another form: conv1's channels are reversed for B, G, R; the alpha of normalization is
multiplied by the number of kernels; the x (1 - p) of dropout at test goes into the weights behind it; a window that hangs
over the edge becomes a larger kernel, its first rows and columns zero, with more padding. A layer that they cannot
compute is refused, with the reason.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.data.augment import centre
from alexnet.errors import InputError
from alexnet.exchange import caffe_messages, caffe_read
from alexnet.files import write_bytes
from alexnet.network.layers import ColumnLinear, Convolution, Dropout, LocalResponseNormalization, Scale
from alexnet.network.model import AlexNet
from alexnet.run.trained import TrainedNetwork

ACTIVATIONS = {nn.ReLU: "ReLU", nn.Tanh: "TanH", nn.Sigmoid: "Sigmoid"}


def files_of(file: Path) -> tuple[Path, Path, Path]:
    """Return the names of the three files: NAME.prototxt, NAME-mean.binaryproto, NAME.caffemodel."""
    return file.with_suffix(".prototxt"), file.with_name(f"{file.stem}-mean.binaryproto"), file


def write(network: TrainedNetwork, file: Path) -> None:
    """Write the three files; InputError, naming the layer, if Caffe's layers cannot express the network."""
    model = message_of(network.network)
    text, image, weights = files_of(file)
    write_bytes(weights, model.SerializeToString())
    for layer in model.layer:
        layer.ClearField("blobs")
    write_bytes(text, caffe_messages.text_of(model).encode())
    mean = caffe_messages.classes()["BlobProto"]()
    _fill(mean, network.preparation.mean.flip(0)[None])
    write_bytes(image, mean.SerializeToString())


class Loaded(nn.Module):
    """The network in written files by Caffe's definitions, from float32 pixels [N, 3, S, S], R, G, B, 0-255, to logits."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        text, image, weights = files_of(file)
        self._net = caffe_read.read(weights, text)
        self._mean = torch.from_numpy(caffe_read.mean_of(image))

    def forward(self, pixels: Tensor) -> Tensor:
        return caffe_read.forward(self._net, pixels.flip(1) - centre(self._mean, pixels.shape[-1]))


def message_of(network: AlexNet) -> Any:
    """Return the network as a NetParameter with its weights; InputError, naming the layer, if Caffe cannot compute it."""
    side = network.spec.input_size
    net = caffe_messages.classes()["NetParameter"](name=network.spec.name, input=["data"], input_dim=[1, 3, side, side])
    factor = 1.0  # what the next weights are multiplied by
    for name, module in network.named_children():
        if isinstance(module, Scale):
            factor *= module.factor
        elif isinstance(module, Dropout | nn.Dropout):
            factor *= 1 - module.p if isinstance(module, Dropout) else 1.0
            _add(net, name, "Dropout").dropout_param.dropout_ratio = module.p
        elif isinstance(module, Convolution | nn.Linear | ColumnLinear):
            _add_weights(net, name, module, factor)
            factor = 1.0
        elif factor != 1 and not isinstance(module, nn.ReLU | nn.MaxPool2d | nn.Flatten):
            raise InputError(
                f"{name}: dropout stands before it, and its factor at test cannot go into weights behind it"
            )
        elif isinstance(module, nn.MaxPool2d):
            window = network.windows[name]
            if window.overhang < 0:
                raise InputError(
                    f"{name}: it leaves {-window.overhang} of {window.size} pixels unread; Caffe's pooling rounds up"
                )
            pool = _add(net, name, "Pooling").pooling_param
            pool.pool, pool.kernel_size, pool.stride = 0, window.window, window.stride
        elif isinstance(module, LocalResponseNormalization):
            if module.columns != 1:
                raise InputError(
                    f"{name}: its sum stays inside a column, and Caffe's LRN crosses from one into the other"
                )
            lrn, numbers = _add(net, name, "LRN").lrn_param, module.lrn
            lrn.local_size, lrn.alpha, lrn.beta, lrn.k = numbers.n, numbers.alpha * numbers.n, numbers.beta, numbers.k
        elif type(module) in ACTIVATIONS:
            _add(net, name, ACTIVATIONS[type(module)])
        elif not isinstance(module, nn.Flatten):  # InnerProduct flattens by itself, in the same order
            raise InputError(f"{name}: Caffe has no layer that computes {type(module).__name__} as this network does")
    _add(net, "prob", "Softmax")
    return net


def _add(net: Any, name: str, kind: str) -> Any:
    """Append a layer that reads the output of the last one."""
    below = net.layer[-1].top[0] if net.layer else "data"
    return net.layer.add(name=name, type=kind, bottom=[below], top=[name])


def _add_weights(net: Any, name: str, module: Convolution | nn.Linear | ColumnLinear, factor: float) -> None:
    assert module.bias is not None
    if isinstance(module, Convolution):
        # Zeros before the kernel, and as many more around the map: the windows stand where they stood.
        over = module.overhang
        weight = F.pad(module.weight.detach(), (over, 0, over, 0))
        weight = weight if net.layer else weight.flip(1)
        layer = _add(net, name, "Convolution")
        parameters = layer.convolution_param
        parameters.group = module.groups
        parameters.kernel_size.append(weight.shape[-1])
        parameters.stride.append(int(module.stride[0]))
        parameters.pad.append(int(module.padding[0]) + over)
    else:
        # A layer whose columns read their own part is one with zeros for the other.
        weight = torch.block_diag(*module.weight) if isinstance(module, ColumnLinear) else module.weight
        layer = _add(net, name, "InnerProduct")
        parameters = layer.inner_product_param
    parameters.num_output = len(weight)
    for tensor in (weight * factor, module.bias):
        _fill(layer.blobs.add(), tensor.detach())


def _fill(blob: Any, tensor: Tensor) -> None:
    blob.shape.dim.extend(tensor.shape)
    blob.data.append(np.ascontiguousarray(tensor.cpu().numpy(), "<f4").tobytes())
