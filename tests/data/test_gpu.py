"""The Triton augmentation kernel against the plain form, by the same draws; on a GPU, test views against the CPU's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alexnet.data.augment import SHRINK, Augmentation, Preparation, centre, draw, plain_batch, training_batch
from alexnet.data.views import test_views

from ..comparing import CLOSE, poisoned, worst
from ..triton_device import cases, each_device

pytest.importorskip("triton")
from alexnet.data.gpu import COLUMNS, LINES, augment  # noqa: E402

Make = Callable[..., Preparation]
SIZE, CROP = 30, 23
HOW = [
    Augmentation(),
    Augmentation(crop="group", colour="authors-2012", mean="centre"),
    Augmentation(colour="none", flip=False),
    Augmentation(crop="centre", mean="centre"),
]


def images(device: str, number: int, size: int = SIZE) -> Tensor:
    drawn = torch.randint(0, 256, (number, size, size, 3), generator=torch.Generator().manual_seed(1))
    return drawn.to(device, torch.uint8)


@pytest.mark.parametrize("augmentation", HOW, ids=str)
@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(("device", "size", "crop"), cases([(SIZE, CROP)], [(256, 224)]))
def test_equals_the_plain_form(
    device: str, size: int, crop: int, indexed: bool, augmentation: Augmentation, preparation_for: Make
) -> None:
    preparation, all_images = preparation_for(size, crop).to(device), images(device, 5, size)
    indices = torch.tensor([3, 0, 4, 4, 1, 2, 3] if indexed else range(5), device=device)
    generator = torch.Generator(device).manual_seed(2)
    drawn = draw(len(indices), preparation, augmentation, generator, torch.device(device))
    expected = plain_batch(all_images[indices], preparation, augmentation, drawn)
    mean = preparation.mean if augmentation.mean == "position" else centre(preparation.mean, crop)
    divide = SHRINK if augmentation.colour == "authors-2012" else 1.0
    numbers = indices if indexed else None
    given = all_images, numbers, drawn.top, drawn.left, drawn.flip, mean, drawn.offsets, divide, crop
    assert drawn.flip.any() == augmentation.flip
    with poisoned():
        for dtype in (torch.float32, torch.bfloat16):
            result = augment(*given, dtype)
            assert result.dtype == dtype and result.is_contiguous(memory_format=torch.channels_last)
            assert worst(result, expected) <= CLOSE[dtype]
        result = training_batch(all_images, preparation, augmentation, generator.manual_seed(2), numbers)
    assert worst(result, expected) <= CLOSE[torch.float32]


@each_device
@pytest.mark.parametrize("interleaved", [False, True])
def test_more_than_a_block_and_a_mean_of_whatever_layout(device: str, interleaved: bool, preparation_for: Make) -> None:
    size, crop = 97, 91
    assert 3 * crop > COLUMNS and crop > LINES and crop % LINES
    preparation, all_images = preparation_for(size, crop).to(device), images(device, 2, size)
    generator = torch.Generator(device).manual_seed(2)
    drawn = draw(2, preparation, Augmentation(), generator, torch.device(device))
    drawn.flip.copy_(torch.tensor([False, True]))
    mean = preparation.mean
    if interleaved:
        mean = mean.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    result = augment(all_images, None, drawn.top, drawn.left, drawn.flip, mean, drawn.offsets, 1.0, crop)
    assert worst(result, plain_batch(all_images, preparation, Augmentation(), drawn)) <= CLOSE[torch.float32]


@each_device
def test_no_images_and_wrong_ones(device: str, preparation_for: Make) -> None:
    mean = preparation_for(SIZE, CROP).to(device).mean
    none = torch.zeros(0, dtype=torch.int64, device=device)
    assert augment(images(device, 2), none, none, none, none.bool(), mean, None, 1.0, CROP).shape == (0, 3, CROP, CROP)
    with pytest.raises(ValueError, match="uint8"):
        augment(images(device, 2).float(), none, none, none, none.bool(), mean, None, 1.0, CROP)
    with pytest.raises(ValueError, match="mean is"):
        augment(images(device, 2), none, none, none, none.bool(), mean[:, 1:, 1:], None, 1.0, CROP)


@each_device
@pytest.mark.parametrize("side", [SIZE, SIZE + 4])  # larger images are averaged down
def test_views_are_the_cpus(device: str, side: int, preparation_for: Make) -> None:
    preparation, all_images = preparation_for(SIZE, CROP), images("cpu", 4, side)
    for number in (1, 10):
        expected = list(test_views(all_images, preparation, number))
        result = list(test_views(all_images.to(device), preparation.to(device), number))
        assert len(result) == len(expected) == number
        assert all(worst(a, b) <= 1e-5 for a, b in zip(result, expected, strict=True))
