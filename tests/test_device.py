"""Which device is taken, and in which numbers it computes."""

import pytest
import torch

from alexnet import device, fast
from alexnet.errors import InputError


def without_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_cuda_then_mps_then_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    without_accelerators(monkeypatch)
    assert device.pick().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.pick("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.pick("auto").type == "cuda"


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_named(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_accelerators(monkeypatch)
    with pytest.raises(InputError, match=f"--device {wanted}: not there.*--device cpu"):
        device.pick(wanted)


def test_one_device_is_not_two(monkeypatch: pytest.MonkeyPatch) -> None:
    without_accelerators(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device.pick("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(InputError, match="--device cuda:1: not there"):
        device.pick("cuda:1")


@pytest.mark.parametrize("wanted", ["gpu", "", "meta", "cuda:x"])
def test_what_is_no_device_is_refused(wanted: str) -> None:
    with pytest.raises(InputError, match=f"--device {wanted}: no such kind of device"):
        device.pick(wanted)


def test_bf16_is_used_where_the_recipe_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, low in (("float32", None), ("bf16", torch.bfloat16)):
        assert device.low_precision(wanted, torch.device("cpu")) is low
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert device.low_precision("auto", torch.device("cuda")) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert device.low_precision("auto", torch.device("cuda")) is torch.bfloat16


@pytest.mark.parametrize(
    ("loops", "amx", "vectors", "unit"),
    [
        (True, True, True, "AMX"),
        (True, False, True, "AVX512-BF16"),
        (True, False, False, None),
        (False, True, True, None),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_multiplies_it(
    loops: bool, amx: bool, vectors: bool, unit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "compiled", lambda: loops)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)
    monkeypatch.setattr(device, "bf16_unit", fast.bf16_unit.__wrapped__)  # which looks once and remembers
    cpu = torch.device("cpu")
    low = device.low_precision("auto", cpu)
    assert low is (torch.bfloat16 if unit else None)
    assert device.precision_name(low, cpu) == (f"bf16 by {unit}" if unit else "float32")
    assert device.low_precision("auto", torch.device("mps")) is None
