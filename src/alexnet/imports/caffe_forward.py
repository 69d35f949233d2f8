"""Caffe's layers computed one by one from Caffe's definitions, in the order of the file: what an import is compared with.

Apart from `steps.py` and the module `AlexNet` on purpose: blobs by name as Caffe keeps them, B, G, R in, the plain
functions of torch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.errors import InputError
from alexnet.imports.caffe import DATA, ENDS, CaffeNet, Layer, one_of


@torch.no_grad()
def forward(net: CaffeNet, images: Tensor) -> Tensor:
    """What the layer before the softmax gives, [N, classes], for images [N, 3, S, S]: B, G, R, minus the mean, scaled."""
    blobs: dict[str, Tensor] = {}
    last = images
    for layer in net.layers:
        if layer.type in DATA or layer.type in ENDS:
            continue
        # The first blob that nothing gave is the input.
        x = blobs.get(layer.bottoms[0], images)
        last = _layer(layer, x)
        blobs |= dict.fromkeys(layer.tops, last)
    return last


def _layer(layer: Layer, x: Tensor) -> Tensor:
    how = layer.parameters
    if layer.type == "Convolution":
        param = how.convolution_param
        stride = one_of(layer, "stride", param.stride, param.stride_h, param.stride_w, 1)
        pad = one_of(layer, "pad", param.pad, param.pad_h, param.pad_w, 0)
        bias = layer.blobs[1].flatten() if param.bias_term else None
        return F.conv2d(x, layer.blobs[0], bias, stride, pad, 1, param.group)
    if layer.type == "InnerProduct":
        weight = layer.blobs[0].reshape(layer.blobs[0].shape[-2:])
        weight = weight.T if how.inner_product_param.transpose else weight
        return F.linear(x.flatten(1), weight, layer.blobs[1].flatten() if how.inner_product_param.bias_term else None)
    if layer.type == "Pooling":
        param = how.pooling_param
        size = param.kernel_size or param.kernel_h
        stride = param.stride_h or param.stride
        return F.max_pool2d(x, size, stride, param.pad or param.pad_h, ceil_mode=param.round_mode == 0)
    if layer.type == "LRN":
        param = how.lrn_param  # Caffe's alpha is divided by the number of kernels, and so is PyTorch's
        return F.local_response_norm(x, param.local_size, param.alpha, param.beta, param.k)
    if layer.type in ("Dropout", "Split", "Flatten"):
        return x.flatten(1) if layer.type == "Flatten" else x
    if layer.type in ("ReLU", "TanH", "Sigmoid"):
        return {"ReLU": torch.relu, "TanH": torch.tanh, "Sigmoid": torch.sigmoid}[layer.type](x)
    raise InputError(f"{layer.name} ({layer.type}): no definition of it here")
