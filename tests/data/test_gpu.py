"""The Triton augmentation kernel against `training_batch`, which draws the same numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alexnet.data.augment import SHRINK, Augmentation, Preparation, centre, draw, plain_batch

from ..triton_device import DEVICE

pytest.importorskip("triton")
from alexnet.data.gpu import COLUMNS, LINES, augment  # noqa: E402

SIZE, CROP = 30, 23


def images(number: int, size: int = SIZE) -> Tensor:
    drawn = torch.randint(0, 256, (number, size, size, 3), generator=torch.Generator().manual_seed(1))
    return drawn.to(DEVICE, torch.uint8)


@pytest.mark.parametrize(
    "how",
    [
        Augmentation(),
        Augmentation(crop="group", colour="authors-2012", mean="centre"),
        Augmentation(colour="none", flip=False),
    ],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_equals_the_plain_form(how: Augmentation, indexed: bool, preparation_for: Callable[..., Preparation]) -> None:
    preparation = preparation_for(SIZE, CROP).to(DEVICE)
    all_images = images(5)
    indices = torch.tensor([3, 0, 4, 4, 1, 2, 3] if indexed else range(5), device=DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(2)
    drawn = draw(len(indices), preparation, how, generator, torch.device(DEVICE))
    expected = plain_batch(all_images[indices], preparation, how, drawn)
    mean = preparation.mean if how.mean == "position" else centre(preparation.mean, CROP)
    divide = SHRINK if how.colour == "authors-2012" else 1.0
    given = (
        all_images,
        indices if indexed else None,
        drawn.top,
        drawn.left,
        drawn.flip,
        mean,
        drawn.offsets,
        divide,
        CROP,
    )
    found = augment(*given)
    assert drawn.flip.any() == how.flip
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found, expected, rtol=0, atol=1e-4)  # of values up to some 200
    low = augment(*given, torch.bfloat16)
    assert low.dtype == torch.bfloat16 and torch.allclose(low.float(), expected, rtol=2**-7, atol=0.01)


@pytest.mark.parametrize("interleaved", [False, True])
def test_more_than_a_block_and_a_mean_of_whatever_layout(
    interleaved: bool, preparation_for: Callable[..., Preparation]
) -> None:
    size, crop = 97, 91
    assert 3 * crop > COLUMNS and crop > LINES and crop % LINES
    preparation, all_images = preparation_for(size, crop).to(DEVICE), images(2, size)
    generator = torch.Generator(DEVICE).manual_seed(2)
    drawn = draw(2, preparation, Augmentation(), generator, torch.device(DEVICE))
    drawn.flip.copy_(torch.tensor([False, True]))
    mean = preparation.mean
    if interleaved:
        mean = mean.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    found = augment(all_images, None, drawn.top, drawn.left, drawn.flip, mean, drawn.offsets, 1.0, crop)
    assert torch.allclose(found, plain_batch(all_images, preparation, Augmentation(), drawn), rtol=0, atol=1e-4)


def test_no_images_and_wrong_ones(preparation_for: Callable[..., Preparation]) -> None:
    mean = preparation_for(SIZE, CROP).to(DEVICE).mean
    none = torch.zeros(0, dtype=torch.int64, device=DEVICE)
    assert augment(images(2), none, none, none, none.bool(), mean, None, 1.0, CROP).shape == (0, 3, CROP, CROP)
    with pytest.raises(ValueError, match="uint8"):
        augment(images(2).float(), none, none, none, none.bool(), mean, None, 1.0, CROP)
    with pytest.raises(ValueError, match="mean is"):
        augment(images(2), none, none, none, none.bool(), mean[:, 1:, 1:], None, 1.0, CROP)
