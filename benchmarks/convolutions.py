"""Each convolution of the paper's network on the CPU, forward and backward, in the forms that it could have.

    python benchmarks/convolutions.py [--precision float32|bf16] [--batch 128] [--repeats 5] [--save]

Channels-last. Layers that read their own column only (§3.2): grouped (what the network does), two convolutions with their
results side by side, or block-dense (both columns, half of the weights zero, twice the operations). conv1: over pixels, or,
the same sum, as a 3x3 convolution over blocks of 4x4 pixels, 48 channels, which fill the processor's vectors where 3 do
not. torch's: the gradient of the biases with that of the weights; all others sum it apart.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from measure import arguments, finish, in_turn, ratios, row
from torch import Tensor

from alexnet import networks
from alexnet.network.convolution import Convolved
from alexnet.network.layers import Convolution
from alexnet.network.model import AlexNet


def over_blocks(layer: Convolution) -> Callable[[Tensor], Tensor]:
    """conv1 as a 3x3 convolution: [N, 3, 224, 224] is cut into [N, 48, 57, 57], its 11x11 kernels are widened to 12x12."""

    def run(x: Tensor) -> Tensor:
        pixels = F.pad(x, (0, 4, 0, 4)).permute(0, 2, 3, 1).reshape(len(x), 57, 4, 57, 12)
        # Four numbers are moved at once, as one of a larger type.
        cut = (
            pixels.view(torch.complex128 if x.dtype == torch.float32 else torch.complex64).transpose(2, 3).contiguous()
        )
        weight = F.pad(layer.weight, (0, 1, 0, 1)).reshape(96, 3, 3, 4, 3, 4).permute(0, 2, 4, 3, 5, 1)
        kernels = weight.reshape(96, 3, 3, 48).permute(0, 3, 1, 2)
        blocks = cut.view(x.dtype).reshape(len(x), 57, 57, 48).permute(0, 3, 1, 2)
        return Convolved.apply(blocks, kernels, layer.bias, 1, 0, 1)

    return run


def main() -> None:
    given = arguments(__doc__, batch=128, repeats=5, precision="float32")
    dtype = torch.bfloat16 if given.precision == "bf16" else torch.float32
    torch.manual_seed(0)
    model = AlexNet(networks.paper).to(dtype, memory_format=torch.channels_last)
    forms: dict[str, Callable[[], float | None]] = {}
    compared: list[tuple[str, str]] = []

    def both(function: Callable[[Tensor], Tensor], x: Tensor, layer: Convolution) -> Callable[[], None]:
        came = torch.randn_like(function(x).detach())

        def run() -> None:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            function(x).backward(came)

        return run

    for name, layer in model.named_children():
        if not isinstance(layer, Convolution):
            continue
        window = model.windows[name]
        x = 60 * torch.randn(given.batch, layer.in_channels, window.size, window.size)
        x = x.to(dtype, memory_format=torch.channels_last)
        x.requires_grad_(name != "conv1")
        stride, padding = window.stride, window.padding
        taken = f"{name}: as the network does it"
        forms[taken] = both(layer, x, layer)

        def torchs(x: Tensor, layer: Convolution = layer, stride: int = stride, padding: int = padding) -> Tensor:
            return F.conv2d(
                F.pad(x, (0, layer.overhang) * 2), layer.weight, layer.bias, stride, padding, 1, layer.groups
            )

        forms[f"{name}: torch's"] = both(torchs, x, layer)
        compared.append((taken, f"{name}: torch's"))
        if name == "conv1":
            forms["conv1: over blocks"] = both(over_blocks(layer), x, layer)
            compared.append((taken, "conv1: over blocks"))
        if layer.groups == 2:

            def two(x: Tensor, layer: Convolution = layer, padding: int = padding) -> Tensor:
                parts = zip(x.chunk(2, 1), layer.weight.chunk(2), layer.bias.chunk(2), strict=True)  # type: ignore[union-attr]
                return torch.cat([Convolved.apply(*each, 1, padding, 1) for each in parts], dim=1)

            def dense(x: Tensor, layer: Convolution = layer, padding: int = padding) -> Tensor:
                first, second = layer.weight.chunk(2)
                zero = torch.zeros_like(first)
                whole = torch.cat([torch.cat([first, zero], 1), torch.cat([zero, second], 1)])
                return Convolved.apply(x, whole, layer.bias, 1, padding, 1)

            for form, function in (("two convolutions", two), ("block-dense", dense)):
                forms[f"{name}: {form}"] = both(function, x, layer)
                compared.append((taken, f"{name}: {form}"))
    x = torch.randn(2, 3, 224, 224).to(dtype, memory_format=torch.channels_last)
    conv1 = model.get_submodule("conv1")
    near = 1e-4 if dtype == torch.float32 else 1e-2
    assert isinstance(conv1, Convolution) and torch.allclose(over_blocks(conv1)(x), conv1(x), rtol=near, atol=near)
    seconds = in_turn(forms, given.repeats)
    rows = [row(name, [1000 * each for each in took], "ms") for name, took in seconds.items()]
    rows += [row(f"{ours} against {other}", ratios(seconds[ours], seconds[other]), "×") for ours, other in compared]
    finish("convolutions" + ("_bf16" if dtype == torch.bfloat16 else ""), rows, given)


if __name__ == "__main__":
    main()
