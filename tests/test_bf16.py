"""bf16 in compiled loops: read and rounded as torch does it."""

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from alexnet.bf16 import array_of, rounded, wide
from alexnet.fast import loop


@loop
def through(numbers, out):  # type: ignore[no-untyped-def]
    """out = numbers, each read as float32 and rounded to what `out` holds."""
    for i in range(len(numbers)):
        out[i] = rounded(wide(numbers[i]), out)


def loop_gives(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    out = torch.empty(len(numbers), dtype=dtype)
    through(array_of(numbers), array_of(out))
    return out


def test_every_bf16_number_is_read_as_torch_reads_it() -> None:
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    assert torch.equal(loop_gives(every, torch.float32).view(torch.int32), every.float().view(torch.int32))


def test_float32_numbers_are_rounded_as_torch_rounds_them() -> None:
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 1 << 32, 1 << 20, dtype=np.uint64).astype(np.uint32)
    bits[: 1 << 19] &= np.uint32(0xFFFF8000)  # half of them exact, or half-way between two
    numbers = torch.from_numpy(bits.view(np.float32))
    actual, expected = loop_gives(numbers, torch.bfloat16), numbers.bfloat16()
    assert torch.equal(actual.isnan(), expected.isnan()) and bool(actual.isnan().any())
    assert torch.equal(actual[~actual.isnan()].view(torch.int16), expected[~expected.isnan()].view(torch.int16))


def test_float32_stays_as_it_is() -> None:
    numbers = torch.randn(1000)
    assert torch.equal(loop_gives(numbers, torch.float32), numbers)
