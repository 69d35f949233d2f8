"""A network in bf16 from float32 weights: copies of the weights, which it computes with in their place.

The copies of a network are made once, so that no layer converts weights or activations to and fro, as under autocast. Batch
normalization keeps float32 weights, as under autocast; it takes and gives bf16 all the same.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from alexnet.network.model import AlexNet


def copies(network: nn.Module, low: torch.dtype, but: str = "") -> dict[str, Tensor]:
    """The weights by name, each as `low`, laid out as it is; those of batch normalization, and of the layer called `but`, are
    the network's own, float32.

    A copy wants a gradient where its weight does.
    """

    def copy(name: str, weight: nn.Parameter) -> Tensor:
        layer = name.rpartition(".")[0]
        if layer == but or isinstance(network.get_submodule(layer), nn.BatchNorm2d):
            return weight
        return weight.detach().to(low).requires_grad_(weight.requires_grad)

    return {name: copy(name, weight) for name, weight in network.named_parameters()}


class LowPrecision:
    """Logits float32 [N, classes] of images [N, 3, S, S], computed in `low` (bf16) by the weights that `network` has now.

    The last layer is computed in float32: of three digits, the logits of two classes would be equal now and then.
    """

    def __init__(self, network: AlexNet, low: torch.dtype) -> None:
        self.network, self.low = network, low
        self._made_of: list[tuple[int, int]] = []
        self._copies: dict[str, Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        # Every change of a weight in place counts its version up, but in inference mode, where it cannot be trained either;
        # another tensor lies elsewhere.
        weights = list(self.network.parameters())
        now = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights]
        if now != self._made_of:
            self._copies, self._made_of = copies(self.network, self.low, self.network.spec.last_name), now
        logits: Tensor = functional_call(self.network, self._copies, (images.to(self.low),))
        return logits.float()
