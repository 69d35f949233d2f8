"""The views of a test image: the centre crop, or ten patches, four corners and the centre and their reflections (§4.1)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from alexnet.data.augment import Augmentation, Drawn, Preparation, batch_of, to_channels
from alexnet.errors import InputError

VIEW = Augmentation(crop="centre", flip=False, colour="none", mean="centre")
"""The augmentation of a view: none but its own crop and mirroring, less the mean image's centre crop."""


def check_views(views: int) -> None:
    """Raises InputError for a number of views other than 1 and 10."""
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")


def places(positions: int, views: int = 1) -> list[tuple[bool, int, int]]:
    """Where the views lie in an image with so many places of the crop along a side, in their order: (mirrored, top, left)."""
    check_views(views)
    last = positions - 1
    corners = [(0, 0), (0, last), (last, 0), (last, last)] if views == 10 else []
    crops = [*corners, (last // 2, last // 2)]
    return [(mirrored, top, left) for mirrored in (False, True)[: 1 if views == 1 else 2] for top, left in crops]


def test_views(
    images: Tensor, preparation: Preparation, views: int = 1, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """The views of test images, one after another: uint8 [N, S, S, 3] -> `views` times [N, 3, C, C] of `dtype`.

    1 view: the centre crop. 10 views: four corners and the centre, then the same five mirrored (§4.1). Every view
    subtracts the mean image's centre crop, as the 2012 program did; the text does not say.
    Raises InputError for any other number of views.
    """
    check_views(views)
    if images.shape[1] != preparation.size:  # averaged once, and not for every view
        images = to_channels(images, preparation.size).permute(0, 2, 3, 1)
    for mirrored, *place in places(preparation.positions, views):
        top, left = (torch.full((len(images),), first, device=images.device) for first in place)
        drawn = Drawn(top, left, torch.full_like(top, mirrored, dtype=torch.bool), None)
        yield batch_of(images, None, preparation, VIEW, drawn, dtype)


test_views.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name
