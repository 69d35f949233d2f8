"""Class probabilities of test images, averaged over their ten patches or of the centre alone (§4.1)."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preparation
from alexnet.data.views import test_views
from alexnet.errors import Diverged
from alexnet.network.low_precision import LowPrecision

Network = nn.Module | Callable[[Tensor], Tensor]
"""What makes logits [N, classes] of images: a network in eval mode, or several processes' together."""


@torch.inference_mode()
def each_view(network: Network, images: Tensor, preparation: Preparation, views: int = 1) -> Iterator[Tensor]:
    """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], view after view (`places` says where they lie).

    `network` has to be in eval mode, on the device of `images` and `preparation`.
    """
    dtype = network.low if isinstance(network, LowPrecision) else torch.float32
    for view in test_views(images, preparation, views, dtype):
        yield network(view).float().softmax(dim=1)


def view_probabilities(network: Network, images: Tensor, preparation: Preparation, views: int = 1) -> Tensor:
    """Class probabilities float32 [N, classes] of uint8 images [N, S, S, 3], averaged over the views (not the logits).

    `network` as in `each_view`. Raises Diverged if it answers with NaN.
    """
    return mean_of(each_view(network, images, preparation, views))


@torch.inference_mode()
def mean_of(probabilities: Iterable[Tensor]) -> Tensor:
    """The mean of the views' probabilities, each [N, classes]. Raises Diverged if the network answers with NaN."""
    total, views = None, 0
    for view in probabilities:
        total, views = view if total is None else total + view, views + 1
    assert total is not None
    if not bool(total.isfinite().all()):
        raise Diverged(
            "the network answers with NaN: its weights are damaged or too large; use another checkpoint or train again"
        )
    return total / views
