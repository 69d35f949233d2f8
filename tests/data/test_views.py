"""The views of test images, compiled and plain."""

from collections.abc import Callable

import pytest
import torch

from alexnet import fast
from alexnet.data.augment import Preparation
from alexnet.data.views import places, test_views


@pytest.mark.parametrize("views", [1, 10])
def test_the_compiled_views_are_the_plain_ones(
    views: int, preparation_for: Callable[..., Preparation], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    images = torch.randint(256, (5, 13, 13, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    both: dict[bool, list[torch.Tensor]] = {}
    for compiled in (True, False):
        monkeypatch.setattr(fast, "compiled", lambda compiled=compiled: compiled)
        both[compiled] = list(test_views(images, preparation_for(13, 8), views))
    assert len(both[True]) == views
    for fast_view, view in zip(both[True], both[False], strict=True):
        assert torch.equal(fast_view, view)
        assert fast_view.is_contiguous(memory_format=torch.channels_last) == view.is_contiguous(
            memory_format=torch.channels_last
        )


@pytest.mark.parametrize("views", [1, 10])
def test_a_view_is_the_crop_at_its_place_less_the_mean_s_centre(
    views: int, preparation_for: Callable[..., Preparation]
) -> None:
    images = torch.randint(256, (2, 13, 13, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    preparation = preparation_for(13, 8)
    where = places(preparation.positions, views)
    assert len(where) == views and where[-1][1:] == (2, 2)
    for (mirrored, top, left), view in zip(where, test_views(images, preparation, views), strict=True):
        crop = images[:, top : top + 8, left : left + 8].permute(0, 3, 1, 2) - preparation.mean[:, 2:10, 2:10]
        assert torch.equal(view, crop.flip(-1) if mirrored else crop)
