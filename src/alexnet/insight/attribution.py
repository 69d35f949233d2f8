"""Why a network answers with a label: which pixels of the image speak for it, in three ways that others have described.

    occlusion         what a grey patch does to the label's probability (Zeiler and Fergus 2014, "Visualizing and
                      understanding convolutional networks", §4.2)
    gradient × input  the label's score, shared out over the pixels to first order (the gradient: Simonyan, Vedaldi and
                      Zisserman 2014, "Deep inside convolutional networks"; times the input: Shrikumar et al. 2016, "Not just
                      a black box")
    Grad-CAM          the maps of the last convolution, weighted by their mean gradient (Selvaraju et al. 2017)

All are of one view [3, C, C] as the network takes it, less the mean, so that 0 is the mean's grey. A score is a logit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet.insight.layers import activated, last_convolution
from alexnet.network.model import AlexNet

BATCH = 13
"""Patches that are tried at once, a row of those on an input of 224 pixels: small, as others may wait meanwhile."""


@dataclass(frozen=True)
class Occlusion:
    """What the network answers when a patch of its input is grey, for every place of the patch."""

    probabilities: Tensor
    """float32 [h, w, classes], where the patch's top left corner is at (row · stride, column · stride)"""
    patch: int
    """Side of the patch in pixels"""
    stride: int


def occlusion(
    network: AlexNet,
    view: Tensor,
    patch: int | None = None,
    stride: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Occlusion:
    """Class probabilities of a view [3, C, C] with a patch of it set to 0, the mean, at every place.

    patch: its side, by default a seventh of the view's: 32 of 224 pixels. stride: pixels from one place to the next, by default
    half a patch. progress: called with (done, total) before each batch of places.
    """
    side = view.shape[-1]
    patch = patch or max(1, round(side / 7))
    stride = stride or max(1, patch // 2)
    along = (side - patch) // stride + 1
    places = [(row * stride, column * stride) for row in range(along) for column in range(along)]
    rows = []
    for start in range(0, len(places), BATCH):
        if progress:
            progress(start, len(places))
        part = places[start : start + BATCH]
        with torch.inference_mode():
            images = view.repeat(len(part), 1, 1, 1)
            for image, (top, left) in zip(images, part, strict=True):
                image[:, top : top + patch, left : left + patch] = 0
            images = images.contiguous(memory_format=torch.channels_last)
            rows.append(network(images).float().softmax(dim=1).cpu())
    return Occlusion(torch.cat(rows).reshape(along, along, -1), patch, stride)


@dataclass(frozen=True)
class Gradients:
    """A label's score for a view, and its gradients with respect to what the network saw and made of it."""

    score: float
    """The logit"""
    probability: float
    view: Tensor
    """[3, C, C]"""
    of_view: Tensor
    """[3, C, C], of the score"""
    maps: Tensor
    """[K, h, w], the last convolution's activations"""
    of_maps: Tensor
    """[K, h, w], of the score"""


def gradients(network: AlexNet, view: Tensor, label: int) -> Gradients:
    """The score of a label for a view [3, C, C] and its gradients, the network being in eval mode."""
    watched = activated(network, last_convolution(network))
    image = view[None].detach().clone().requires_grad_()
    maps, outputs = image, image
    with torch.enable_grad():
        for name, layer in network.named_children():
            outputs = layer(outputs)
            if name == watched:
                maps = outputs
        logits = outputs[0]
        of_view, of_maps = torch.autograd.grad(logits[label], (image, maps))
    logits = logits.detach().float()
    probability = float(logits.softmax(dim=0)[label])
    return Gradients(float(logits[label]), probability, view, of_view[0], maps[0].detach(), of_maps[0])


def gradient_times_input(gradients: Gradients) -> Tensor:
    """How much each pixel speaks for (above 0) or against the label: gradient times input, summed over RGB, as -1 to 1: [C, C]."""
    product = (gradients.of_view * gradients.view).sum(dim=0)
    return product / product.abs().max().clamp(min=torch.finfo(product.dtype).tiny)


def grad_cam(gradients: Gradients) -> Tensor:
    """Where the last convolution sees what speaks for the label, 0 to 1: [h, w], over the whole view.

    The maps' sum, each weighted by the mean of its gradient, what is below 0 set to 0, divided by its maximum; 0 everywhere if
    nothing speaks for it.
    """
    weights = gradients.of_maps.mean(dim=(1, 2))
    map = (weights[:, None, None] * gradients.maps).sum(dim=0).relu()
    return map / map.max().clamp(min=torch.finfo(map.dtype).tiny)
