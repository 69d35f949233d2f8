"""The views of a test image: the centre crop, or ten patches, four corners and the centre and their reflections (§4.1)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from alexnet.data.augment import Augmentation, Drawn, Preparation, centre, compilable, compiled_batch, to_channels
from alexnet.errors import InputError

VIEW = Augmentation(crop="centre", flip=False, colour="none", mean="centre")
"""What is done to the views of a test image."""


def check_views(views: int) -> None:
    """InputError for a number of views that there is not."""
    if views not in (1, 10):
        raise InputError(f"--views {views}: the views are 1 (centre crop) or 10 (corners, centre, mirrored)")


def test_views(
    images: Tensor, preparation: Preparation, views: int = 1, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """The views of test images, one after another: uint8 [N, S, S, 3] -> `views` times [N, 3, C, C] of `dtype`.

    1 view: the centre crop. 10 views: four corners and the centre, then the same five mirrored (§4.1). Every view
    subtracts the mean image's centre crop, as the 2012 program did; the text does not say.
    Raises InputError for any other number of views.
    """
    check_views(views)
    size = preparation.input_size
    last = preparation.positions - 1
    mean = centre(preparation.mean, size)
    whole = to_channels(images, preparation.size)
    corners = [(0, 0), (0, last), (last, 0), (last, last)] if views == 10 else []
    ones = torch.ones(len(images), dtype=torch.int64)
    for mirrored in (False, True)[: 1 if views == 1 else 2]:
        for top, left in [*corners, (last // 2, last // 2)]:
            if compilable(images, preparation):
                flip = torch.full((len(images),), mirrored)
                yield compiled_batch(images, preparation, VIEW, Drawn(top * ones, left * ones, flip, None), dtype)
                continue
            crop = whole[:, :, top : top + size, left : left + size].float() - mean
            yield (crop.flip(-1) if mirrored else crop).to(dtype, memory_format=torch.channels_last)


test_views.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name
