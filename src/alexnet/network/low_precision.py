"""A network in bf16 from float32 weights: copies of the weights, which it computes with in their place.

Copies are made once, so that no layer converts weights or activations to and fro, as under autocast. Batch normalization
keeps float32 weights, as under autocast; it takes and gives bf16 all the same.
"""

import torch
from torch import Tensor, nn

from alexnet.network.model import AlexNet


def copies(network: nn.Module, low: torch.dtype, but: str = "") -> dict[str, Tensor]:
    """The weights by name, each as `low`, laid out as it is.

    Those of batch normalization and of the layer called `but` are the network's own, float32. A copy wants a gradient where its
    weight does.
    """

    def copy(name: str, weight: nn.Parameter) -> Tensor:
        layer = name.rpartition(".")[0]
        if layer == but or isinstance(network.get_submodule(layer), nn.BatchNorm2d):
            return weight
        return weight.detach().to(low).requires_grad_(weight.requires_grad)

    return {name: copy(name, weight) for name, weight in network.named_parameters()}


class LowPrecision:
    """Logits float32 [N, classes] of images [N, 3, S, S], computed in `low` (bf16) by the weights that `network` has now.

    The last layer is computed in float32: of three digits, the logits of two classes would be equal now and then. A change of
    weights is seen if it counts up their version, which one through `.data`, or in inference mode, does not.
    """

    def __init__(self, network: AlexNet, low: torch.dtype) -> None:
        self.network, self.low = network, low
        self._kept: tuple[list[tuple[int, int]], AlexNet] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        weights = list(self.network.parameters())
        versions = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights]
        kept = self._kept  # read once: another thread may replace it
        if kept is None or kept[0] != versions:
            kept = self._kept = versions, self._lowered()
        return kept[1](images.to(self.low)).float()

    @torch.inference_mode(False)
    @torch.no_grad()
    def _lowered(self) -> AlexNet:
        # A network of its own, and not `functional_call`, which puts other weights into the module while it computes: what
        # another thread asks the module meanwhile would be answered by those.
        with torch.device("meta"):
            network = AlexNet(self.network.spec).requires_grad_(False).eval()
        lowered = self.network.state_dict() | copies(self.network, self.low, self.network.spec.last_name)
        network.load_state_dict({name: tensor.detach() for name, tensor in lowered.items()}, assign=True)
        return network
