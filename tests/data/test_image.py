"""What decoding may take: bounded for an image, and for all threads together."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from alexnet.data import image
from alexnet.data.image import Budget, Unreadable, budget, to_square
from alexnet.errors import InputError
from tests.data.making import encode, jpeg, picture, png_of


@pytest.fixture(autouse=True)
def fresh_budget() -> Iterator[None]:
    budget.cache_clear()
    yield
    budget.cache_clear()


def test_images_share_what_there_is_for_decoding() -> None:
    shared, at_once, most = Budget(100), 0, 0
    lock = threading.Lock()

    def work(need: int) -> None:
        nonlocal at_once, most
        with shared.room_for(need):
            with lock:
                at_once += need
                most = max(most, at_once)
            threading.Event().wait(0.001)
            with lock:
                at_once -= need

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, [60, 30, 50, 100, 10, 1] * 10))
    assert most <= 100
    with shared.room_for(100):  # all of it came back
        pass


def test_what_was_held_comes_back_after_an_error() -> None:
    shared = Budget(10)
    with pytest.raises(Unreadable, match="truncated"), shared.room_for(10):
        raise Unreadable("truncated")
    with shared.room_for(10):
        pass


@pytest.mark.parametrize(
    "content",
    [
        png_of(13_000, 13_000, depth=16, colour=0),
        png_of(13_000, 13_000),
        encode(Image.new("RGB", (9000, 9000)), "WEBP"),
    ],
    ids=["PNG of 16 bits", "PNG", "WEBP"],
)
def test_a_small_file_of_a_large_image_is_refused_before_it_is_decoded(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALEXNET_DECODE_GB", "0.5")
    assert len(content) < 200_000
    with pytest.raises(Unreadable, match=r"takes 1\..* GB to decode, more than the 500.0 MB for it; ALEXNET_DECODE_GB"):
        to_square(content, 32)


def test_a_large_photograph_is_counted_as_it_is_scaled_by_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXNET_DECODE_GB", "0.002")
    photograph = picture(1200, 1200)
    assert to_square(jpeg(photograph), 64).shape == (64, 64, 3)
    with pytest.raises(Unreadable, match="to decode"):
        to_square(jpeg(photograph, progressive=True), 64)


@pytest.mark.parametrize("text", ["", "much", "0", "-1", "nan", "inf"])
def test_other_values_than_numbers_are_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXNET_DECODE_GB", text)
    for content in (jpeg(picture(16, 16)), encode(picture(16, 16), "PNG")):
        with pytest.raises(InputError, match="must be a number of gigabytes"):
            to_square(content, 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I"])
def test_stretches_of_an_image_are_the_pixels_of_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = Image.fromarray(picture(60, 45))
    if mode.startswith("I"):
        values = np.asarray(photograph.convert("L")).astype(np.uint16) * 200
        original = Image.fromarray(values).convert(mode)
    elif mode == "RGBA":
        original = photograph.copy()
        original.putalpha(photograph.convert("L"))
    else:
        original = photograph.convert(mode)
    content = encode(original, "TIFF")
    whole = to_square(content, 20)
    monkeypatch.setattr(image, "AT_ONCE", 100)
    np.testing.assert_array_equal(to_square(content, 20), whole)
