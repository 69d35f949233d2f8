"""A network in bf16 from float32 weights."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from alexnet.network.low_precision import LowPrecision, copies
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from tests.conftest import TINY_NETWORK

from .tiny import seeded


def network(**changes: object) -> AlexNet:
    built = AlexNet(replace(TINY_NETWORK, **changes), seeded(1)).eval()  # type: ignore[arg-type]
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def images(number: int = 6, side: int = 28) -> torch.Tensor:
    return (60 * torch.randn(number, 3, side, side, generator=seeded(2))).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [{}, {"normalization": "batch"}, {"links": ("conv3",)}, {"columns": 1}])
def test_logits_are_those_of_float32_but_for_rounding(change: dict[str, object]) -> None:
    one = network(**change)
    with torch.inference_mode():
        wanted, logits = one(images()), LowPrecision(one, torch.bfloat16)(images())
    assert logits.dtype == torch.float32 and not torch.equal(logits, wanted)
    assert (
        logits - wanted
    ).abs().max() < 0.03 * wanted.abs().max()  # some roundings of 2^-9 each, one behind the other


@pytest.mark.parametrize("name", ["authors-2012", "four-layer"])
def test_every_kind_of_layer_computes_in_bf16(name: str) -> None:
    spec = replace(networks[name], classes=10)
    one = AlexNet(spec, seeded(1)).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        given = images(2, spec.input_size)
        wanted, logits = one(given), LowPrecision(one, torch.bfloat16)(given)
    assert (logits - wanted).abs().max() < 0.03 * wanted.abs().max()


def test_it_follows_the_weights() -> None:
    one = network()
    low = LowPrecision(one, torch.bfloat16)
    before = low(images())
    with torch.no_grad():
        one.fc5.weight.mul_(2)
    assert torch.equal(low(images()), LowPrecision(one, torch.bfloat16)(images()))
    assert not torch.equal(low(images()), before)


def test_the_last_layer_and_batch_normalization_stay_float32() -> None:
    one = network(normalization="batch")
    kept = {name for name, copy in copies(one, torch.bfloat16, "fc6").items() if copy.dtype == torch.float32}
    assert kept == {f"{layer}.{part}" for layer in ("norm1", "norm2", "fc6") for part in ("weight", "bias")}
    assert one.spec.last_name == "fc6"


def test_threads_do_not_meet_in_the_network() -> None:
    one = network()
    low = LowPrecision(one, torch.bfloat16)
    given = [images(number) for number in range(1, 9)]
    wanted = [LowPrecision(network(), torch.bfloat16)(each) for each in given]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(low, given * 8))
    assert all(torch.equal(answer, wanted[at % 8]) for at, answer in enumerate(answers))
    assert {weight.dtype for weight in one.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in one.parameters())
