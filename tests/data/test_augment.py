"""Crops, flips, colour noise, means and views, against hand-made numpy (§4.1)."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data import augment
from alexnet.data.augment import Augmentation, Preparation, centre, colour_noise, to_channels, training_batch
from alexnet.data.views import test_views
from alexnet.errors import InputError

Maker = Callable[..., Preparation]
PLAIN = Augmentation(crop="image", flip=False, colour="none", mean="centre")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def no_mean(size: int, input_size: int) -> Preparation:
    return Preparation(input_size, torch.zeros(3, size, size), torch.zeros(3), torch.eye(3))


def coordinates(number: int, size: int) -> torch.Tensor:
    """uint8 [number, size, size, 3] whose pixels say (row, column, image)."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    image = torch.arange(number)[:, None, None].expand(number, size, size)
    return torch.stack([row.expand_as(image), column.expand_as(image), image], dim=-1).to(torch.uint8)


def places(batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(top, left, mirrored) of every crop of `coordinates`, after checking that it is a sub-window of its own image."""
    top, left, mirrored = [], [], []
    size = batch.shape[-1]
    for number, (row, column, image) in enumerate(batch.to(torch.int64)):
        assert (image == number).all()
        turned = size > 1 and bool(column[0, 0] > column[0, -1])
        column = column.flip(-1) if turned else column
        assert (row == row[0, 0] + torch.arange(size)[:, None]).all()
        assert (column == column[0, 0] + torch.arange(size)[None, :]).all()
        top.append(int(row[0, 0]))
        left.append(int(column[0, 0]))
        mirrored.append(turned)
    return np.array(top), np.array(left), np.array(mirrored)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 70),
    size=st.integers(2, 24),
    cut=st.integers(0, 10),
    crop=st.sampled_from(["image", "group", "centre"]),
    flip=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_every_crop_is_a_window_of_its_image(
    number: int, size: int, cut: int, crop: str, flip: bool, seed: int
) -> None:
    input_size = max(2, size - cut)
    augmentation = Augmentation(crop=crop, flip=flip, colour="none", mean="position")  # type: ignore[arg-type]
    batch = training_batch(coordinates(number, size), no_mean(size, input_size), augmentation, generator(seed))
    assert batch.shape == (number, 3, input_size, input_size) and batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    top, left, mirrored = places(batch)
    last = size - input_size
    assert top.min() >= 0 and left.min() >= 0 and top.max() <= last and left.max() <= last
    if crop == "centre":
        assert set(top) == set(left) == {last // 2}
    if not flip:
        assert not mirrored.any()


def test_every_position_and_both_directions_occur() -> None:
    preparation = no_mean(9, 6)
    assert preparation.positions == 4
    seen = set()
    for seed in range(10):
        batch = training_batch(coordinates(100, 9), preparation, Augmentation(colour="none"), generator(seed))
        seen |= set(zip(*places(batch), strict=True))
    assert seen == {(top, left, mirrored) for top in range(4) for left in range(4) for mirrored in (False, True)}


def test_a_crop_of_224_has_33_places_in_256() -> None:
    assert no_mean(256, 224).positions == 33


def test_a_flip_is_the_mirror_image_of_the_same_crop() -> None:
    draw = np.random.default_rng(0)
    images = torch.from_numpy(draw.integers(0, 256, (64, 12, 12, 3), dtype=np.uint8))
    straight = training_batch(images, no_mean(12, 8), PLAIN, generator(5))
    turned = training_batch(images, no_mean(12, 8), Augmentation(colour="none", mean="centre"), generator(5))
    mirrored = [not torch.equal(a, b) for a, b in zip(straight, turned, strict=True)]
    assert 16 < sum(mirrored) < 48
    for a, b, was in zip(straight, turned, mirrored, strict=True):
        assert torch.equal(b, a.flip(-1) if was else a)


def test_32_consecutive_images_share_crop_and_flip_in_the_form_of_2012() -> None:
    augmentation = Augmentation(crop="group", colour="none")
    different = 0
    for seed in range(20):
        place = np.stack(places(training_batch(coordinates(70, 16), no_mean(16, 10), augmentation, generator(seed))))
        for group in (place[:, :32], place[:, 32:64], place[:, 64:]):
            assert (group == group[:, :1]).all()
        different += bool((place[:, 31] != place[:, 32]).any()) and bool((place[:, 63] != place[:, 64]).any())
    assert different > 15  # 98 places: two neighbouring groups are rarely alike


def test_images_of_the_paper_form_are_drawn_one_by_one() -> None:
    place = np.stack(
        places(training_batch(coordinates(32, 16), no_mean(16, 10), Augmentation(colour="none"), generator(0)))
    )
    assert len(set(map(tuple, place.T))) > 16


def test_the_mean_is_that_of_the_crop_s_own_pixels(preparation_for: Maker) -> None:
    preparation = preparation_for(12, 8)
    images = coordinates(40, 12)
    batch = training_batch(images, preparation, Augmentation(flip=True, colour="none", mean="position"), generator(3))
    place = places(training_batch(images, no_mean(12, 8), Augmentation(flip=True, colour="none"), generator(3)))
    for number, (top, left, mirrored) in enumerate(zip(*place, strict=True)):
        crop = images[number].numpy()[top : top + 8, left : left + 8].transpose(2, 0, 1).astype(np.float32)
        crop -= preparation.mean.numpy()[:, top : top + 8, left : left + 8]
        np.testing.assert_array_equal(batch[number].numpy(), crop[:, :, ::-1] if mirrored else crop)


def test_the_mean_is_the_centre_crop_of_the_mean_image_in_the_form_of_2012(preparation_for: Maker) -> None:
    preparation = preparation_for(12, 8)
    images = coordinates(40, 12)
    batch = training_batch(images, preparation, Augmentation(flip=True, colour="none", mean="centre"), generator(3))
    place = places(training_batch(images, no_mean(12, 8), Augmentation(flip=True, colour="none"), generator(3)))
    mean = preparation.mean.numpy()[:, 2:10, 2:10]
    for number, (top, left, mirrored) in enumerate(zip(*place, strict=True)):
        crop = images[number].numpy()[top : top + 8, left : left + 8].transpose(2, 0, 1).astype(np.float32) - mean
        np.testing.assert_array_equal(batch[number].numpy(), crop[:, :, ::-1] if mirrored else crop)


@pytest.mark.parametrize("form", ["paper", "authors-2012"])
def test_colour_noise_has_the_covariance_it_should(form: str, preparation_for: Maker) -> None:
    preparation = preparation_for(4, 4, seed=7)
    offsets = colour_noise(200_000, preparation, form, generator(0)).double().numpy()
    eigenvalues = preparation.eigenvalues.double().numpy()
    vectors = preparation.eigenvectors.double().numpy()
    variances = (0.1 * eigenvalues / 255) ** 2 if form == "paper" else 0.01 * eigenvalues
    wanted = vectors @ np.diag(variances) @ vectors.T
    # The standard error of a covariance is at most sqrt(2 / n) of the product of the deviations.
    error = np.sqrt(2 / len(offsets)) * np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
    assert (np.abs(np.cov(offsets.T) - wanted) < 5 * error).all()
    assert (np.abs(offsets.mean(axis=0)) < 5 * np.sqrt(wanted.diagonal() / len(offsets))).all()
    # In the basis of the components each has its own variance: with the vectors transposed this fails.
    np.testing.assert_allclose((offsets @ vectors).var(axis=0), variances, rtol=0.03)


@pytest.mark.parametrize("form", ["paper", "authors-2012"])
def test_one_offset_for_all_pixels_of_an_image_and_2012_s_division(form: str, preparation_for: Maker) -> None:
    preparation = preparation_for(10, 8)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (6, 10, 10, 3), dtype=np.uint8))
    centred = Augmentation(crop="centre", flip=False, colour="none")
    plain = training_batch(images, preparation, centred, generator(2))
    noisy = training_batch(images, preparation, Augmentation("centre", False, form, "position"), generator(2))  # type: ignore[arg-type]
    offset = noisy * (1.1 if form == "authors-2012" else 1.0) - plain
    assert offset.std(dim=(2, 3)).max() < 1e-4
    assert offset.mean(dim=(2, 3)).std(dim=0).min() > 0.01  # and another for every image


def test_the_same_generator_state_gives_the_same_batch(preparation_for: Maker) -> None:
    preparation = preparation_for(12, 8)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8))
    for augmentation in (Augmentation(), Augmentation("group", True, "authors-2012", "centre")):
        first = training_batch(images, preparation, augmentation, generator(11))
        assert torch.equal(first, training_batch(images, preparation, augmentation, generator(11)))
        assert not torch.equal(first, training_batch(images, preparation, augmentation, generator(12)))


@pytest.mark.parametrize(("size", "input_size"), [(12, 8), (13, 8), (8, 8)])
def test_ten_views_are_corners_centre_and_their_mirror_images(
    size: int, input_size: int, preparation_for: Maker
) -> None:
    preparation = preparation_for(size, input_size)
    pixels = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    last, middle = size - input_size, (size - input_size) // 2
    window = slice(middle, middle + input_size)
    mean = preparation.mean.numpy()[:, window, window]
    wanted = []
    # The order: upper left, upper right, lower left, lower right, centre; then the same five mirrored.
    for top, left in [(0, 0), (0, last), (last, 0), (last, last), (middle, middle)]:
        crop = pixels[:, top : top + input_size, left : left + input_size].transpose(0, 3, 1, 2).astype(np.float32)
        wanted.append(crop - mean)
    wanted += [crop[..., ::-1] for crop in wanted]
    result = list(test_views(torch.from_numpy(pixels), preparation, 10))
    assert len(result) == 10
    for view, crop in zip(result, wanted, strict=True):
        np.testing.assert_array_equal(view.numpy(), crop)
    (only,) = test_views(torch.from_numpy(pixels), preparation, 1)
    np.testing.assert_array_equal(only.numpy(), wanted[4])


def test_other_numbers_of_views_are_refused(preparation_for: Maker) -> None:
    with pytest.raises(InputError, match="--views 3"):
        list(test_views(torch.zeros(1, 12, 12, 3, dtype=torch.uint8), preparation_for(12, 8), 3))


def test_crops_larger_than_the_images_are_refused(preparation_for: Maker) -> None:
    with pytest.raises(InputError, match=r"network\.input_size.*9.*8"):
        preparation_for(8, 9)


def test_larger_images_are_averaged_down_to_the_size_of_the_mean_image(preparation_for: Maker) -> None:
    draw = np.random.default_rng(1)
    pixels = draw.integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
    halved = pixels.reshape(5, 12, 2, 12, 2, 3).mean(axis=(2, 4)).astype(np.float32).transpose(0, 3, 1, 2)
    result = to_channels(torch.from_numpy(pixels), 12)
    np.testing.assert_allclose(result.numpy(), halved, rtol=1e-5)

    preparation = preparation_for(12, 8)
    mean = preparation.mean.numpy()[:, 2:10, 2:10]
    (view,) = test_views(torch.from_numpy(pixels), preparation, 1)
    np.testing.assert_allclose(view.numpy(), halved[:, :, 2:10, 2:10] - mean, rtol=1e-4, atol=1e-4)
    centred = Augmentation(crop="centre", flip=False, colour="none", mean="centre")
    np.testing.assert_array_equal(training_batch(torch.from_numpy(pixels), preparation, centred, generator(0)), view)


def test_images_of_the_right_size_are_not_copied() -> None:
    images = torch.zeros(2, 12, 12, 3, dtype=torch.uint8)
    assert to_channels(images, 12).data_ptr() == images.data_ptr()
    assert to_channels(images, 12).dtype == torch.uint8


def test_the_centre_of_an_odd_remainder_lies_to_the_upper_left() -> None:
    assert centre(torch.arange(25).view(5, 5), 2).tolist() == [[6, 7], [11, 12]]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_batch_in_bf16_is_that_in_float32_rounded_once(
    compiled: bool, preparation_for: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled:
        pytest.importorskip("numba")
    monkeypatch.setattr(augment.fast, "compiled", lambda: compiled)
    preparation, images = preparation_for(32, 28), torch.randint(256, (9, 32, 32, 3), dtype=torch.uint8)
    augmentation = Augmentation(crop="image", flip=True, colour="authors-2012")

    def batch(dtype: torch.dtype) -> torch.Tensor:
        return training_batch(images, preparation, augmentation, torch.Generator().manual_seed(3), dtype=dtype)

    assert torch.equal(batch(torch.bfloat16), batch(torch.float32).bfloat16())
    pairs = zip(*(test_views(images, preparation, 10, dtype) for dtype in (torch.bfloat16, torch.float32)), strict=True)
    assert all(torch.equal(low, wide.bfloat16()) for low, wide in pairs)
