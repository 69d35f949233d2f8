"""Class probabilities of test images, averaged over their ten patches or of the centre alone (§4.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preparation
from alexnet.data.views import test_views
from alexnet.errors import Diverged
from alexnet.network.low_precision import LowPrecision

Network = nn.Module | Callable[[Tensor], Tensor]
"""What makes logits [N, classes] of images: a network in eval mode, or several processes' together."""


@torch.inference_mode()
def view_probabilities(network: Network, images: Tensor, preparation: Preparation, views: int = 1) -> Tensor:
    """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over the views (not the logits).

    `network` has to be in eval mode, on the device of `images` and `preparation`. Raises Diverged if it answers with NaN.
    """
    total = None
    dtype = network.low if isinstance(network, LowPrecision) else torch.float32
    for view in test_views(images, preparation, views, dtype):
        probabilities = network(view).float().softmax(dim=1)
        total = probabilities if total is None else total + probabilities
    assert total is not None
    if not bool(total.isfinite().all()):
        raise Diverged(
            "the network answers with NaN: its weights are damaged or too large; use another checkpoint or train again"
        )
    return total / views
