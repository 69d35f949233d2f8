"""The views of test images, compiled and plain."""

from collections.abc import Callable

import pytest
import torch

from alexnet import fast
from alexnet.data.augment import Preparation
from alexnet.data.views import test_views


@pytest.mark.parametrize("views", [1, 10])
def test_the_compiled_views_are_the_plain_ones(
    views: int, preparation_for: Callable[..., Preparation], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    images = torch.randint(256, (5, 13, 13, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found: dict[bool, list[torch.Tensor]] = {}
    for compiled in (True, False):
        monkeypatch.setattr(fast, "compiled", lambda compiled=compiled: compiled)
        found[compiled] = list(test_views(images, preparation_for(13, 8), views))
    assert len(found[True]) == views
    for one, other in zip(found[True], found[False], strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous(memory_format=torch.channels_last) == other.is_contiguous(
            memory_format=torch.channels_last
        )
