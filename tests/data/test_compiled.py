"""The compiled loops give the bits of the plain forms, so that neither sets nor batches depend on what is installed."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet import fast
from alexnet.data.augment import Augmentation, Preparation, training_batch
from alexnet.data.image import plain_resize, to_square
from alexnet.data.statistics import products_of
from tests.data.making import encode, jpeg, picture, rotated

compiled = pytest.importorskip("numba") and pytest.importorskip("alexnet.data.compiled")
Maker = Callable[..., Preparation]
EVERY = [
    Augmentation(*one)
    for one in itertools.product(
        ("image", "group", "centre"), (True, False), ("none", "paper", "authors-2012"), ("position", "centre")
    )
]


def plain(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> object:
    """What `work` gives where numba is not installed."""
    with monkeypatch.context() as patch:
        patch.setattr(fast, "compiled", lambda: False)
        return work()


@pytest.mark.parametrize(
    "augmentation", EVERY, ids=lambda augmentation: "-".join(map(str, vars(augmentation).values()))
)
def test_a_training_batch_has_the_same_bits(
    augmentation: Augmentation, preparation_for: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: True)
    for size, input_size, number in ((12, 8, 5), (13, 8, 40), (9, 9, 1), (37, 30, 33)):
        preparation = preparation_for(size, input_size)
        pixels = np.random.default_rng(size).integers(0, 256, (number, size, size, 3), dtype=np.uint8)

        def batch(pixels: np.ndarray = pixels, preparation: Preparation = preparation) -> torch.Tensor:
            return training_batch(torch.from_numpy(pixels), preparation, augmentation, torch.Generator().manual_seed(4))

        quick, slow = batch(), plain(monkeypatch, batch)
        assert isinstance(slow, torch.Tensor)
        assert torch.equal(quick.view(torch.int32), slow.view(torch.int32))
        assert quick.stride() == slow.stride()


def test_threads_change_nothing(preparation_for: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: True)
    preparation = preparation_for(16, 11)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8))
    batches = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        batches.append(training_batch(images, preparation, Augmentation(), torch.Generator().manual_seed(0)))
    assert torch.equal(batches[0], batches[1]) and torch.equal(batches[0], batches[2])


def test_images_to_be_averaged_take_the_plain_form(preparation_for: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: True)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8))
    halved = images.reshape(4, 12, 2, 12, 2, 3).float().mean(dim=(2, 4)).permute(0, 3, 1, 2)
    preparation = Preparation(12, torch.zeros(3, 12, 12), torch.zeros(3), torch.eye(3))
    batch = training_batch(images, preparation, Augmentation("centre", False, "none"), torch.Generator())
    torch.testing.assert_close(batch, halved)


def same_square(height: int, width: int, size: int, scale: float = 1.0, seed: int = 0) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    side = min(height, width) * scale
    box = (width - side) / 2, (height - side) / 2, side
    np.testing.assert_array_equal(compiled.resize(noise, size, *box), plain_resize(noise, size, *box))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(1, 70), st.integers(0, 2**31), st.floats(0.5, 1.0))
def test_a_square_has_the_bytes_that_pillow_gives(height: int, width: int, size: int, seed: int, scale: float) -> None:
    same_square(height, width, size, 1.0, seed)
    same_square(height, width, size, scale, seed)


@pytest.mark.parametrize(
    ("height", "width"), [(375, 500), (500, 375), (333, 500), (224, 224), (256, 301), (1200, 1600)]
)
def test_a_square_of_a_photograph_s_size_too(height: int, width: int) -> None:
    same_square(height, width, 64)
    same_square(height, width, 256)


@pytest.mark.parametrize(
    "image",
    [
        jpeg(picture(50, 70)),
        jpeg(picture(200, 151, 3)),  # large enough to be decoded at a half
        encode(picture(60, 41, 2), "PNG"),
        encode(Image.fromarray(picture(60, 41, 2)).convert("L"), "PNG"),
        rotated(picture(40, 61, 4), 6),
        picture(33, 47, 5),
        picture(33, 47, 6)[:, :, 0],
        np.ascontiguousarray(picture(33, 47, 6)[::-1]),
        picture(33, 47, 6)[::-1, ::2],
    ],
)
def test_any_image_gives_the_same_square(image: bytes | np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: True)
    np.testing.assert_array_equal(to_square(image, 24), plain(monkeypatch, lambda: to_square(image, 24)))


@pytest.mark.parametrize("pixels", [np.full((300, 300, 3), 255, np.uint8), picture(64, 65, 1)])
def test_sums_of_products_are_exact(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda: True)
    flat = pixels.reshape(-1, 3).astype(np.int64)
    for result in (products_of(pixels), plain(monkeypatch, lambda: products_of(pixels))):
        np.testing.assert_array_equal(result, flat.T @ flat)
        assert isinstance(result, np.ndarray) and result.dtype == np.int64
