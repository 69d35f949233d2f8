"""Images as they lie on the disk: read by position, every chunk compared with its checksum before it is trusted."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data import prepared, stored
from alexnet.data.prepared import Prepared
from alexnet.data.stored import Chunks, RawImages
from alexnet.errors import InputError


@pytest.fixture
def opened(chunked: Path, tmp_path: Path) -> Prepared:
    return prepared.open(shutil.copytree(chunked, tmp_path / "set"))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@given(st.lists(st.integers(-9, 8), max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_index_gives_what_numpy_gives(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    folder = tmp_path_factory.mktemp("raw")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), np.uint8)
    pixels.tofile(folder / stored.PIXELS)
    images = RawImages(folder, 9, 4)
    for index in (np.array(numbers, np.int64), slice(*(sorted(numbers) + [0, 5])[:2]), numbers[0] if numbers else -1):
        np.testing.assert_array_equal(images[index], pixels[index])
    np.testing.assert_array_equal(np.asarray(images), pixels)


def last_chunk(opened: Prepared, file: str) -> int:
    """A place in a file's part of the last of three chunks."""
    return (opened.path / "train" / file).stat().st_size - 2


@pytest.mark.parametrize("file", ["pixels", "labels.bin", "files.txt"])
def test_altered_bytes_are_noticed_where_their_images_are_read(
    opened: Prepared, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "AT_ONCE", 1)
    file = opened._pixels if file == "pixels" else file
    labels = opened.path / "train/labels.bin"
    if file == "labels.bin":  # two labels change places, which no count tells
        values = np.fromfile(labels, "<i4")
        values[[0, 11]] = values[[11, 0]]
        values.tofile(labels)
    else:
        flip(opened.path / "train" / file, last_chunk(opened, file))
    images = prepared.open(opened.path).split("train").images
    if file != "labels.bin":
        assert images[2:6].shape == (4, 8, 8, 3)
    for _ in range(2):
        with pytest.raises(InputError, match=r"train: images 8 to 11 .*changed since.*run `alexnet prepare SOURCE"):
            images[11]


@pytest.mark.parametrize("name", ["mean.npy", "colour.json"])
def test_altered_statistics_are_noticed_at_once(opened: Prepared, name: str) -> None:
    flip(opened.path / name, -3)
    with pytest.raises(InputError, match=f"{name} has changed since it was written.*alexnet prepare"):
        prepared.open(opened.path)


def test_a_small_set_is_compared_before_any_image_is_seen(opened: Prepared) -> None:
    flip(opened.path / "train" / opened._pixels, -2)
    images = opened.split("train").images
    with pytest.raises(InputError, match="images 8 to 11"):
        images[np.array([0, 5, 9])]


def test_what_one_split_has_compared_the_next_does_not(opened: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened.split("train").images[:]
    monkeypatch.setattr(Prepared, "_compare", lambda *_: pytest.fail("compared again"))
    np.testing.assert_array_equal(opened.split("train").images[:], first)


@pytest.mark.parametrize("file", ["pixels", "files.txt"])
def test_a_file_cut_off_while_it_is_read_is_an_error(opened: Prepared, file: str) -> None:
    split, file = opened.split("train"), opened._pixels if file == "pixels" else file
    path = opened.path / "train" / file
    assert split.images[0].shape == (8, 8, 3)
    with path.open("r+b") as open_file:
        open_file.truncate(10)
    with pytest.raises(InputError, match=rf"{path}: was cut off at 10 of its [0-9,]+ bytes"):
        split.images[11], split.files[11]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_shuffled_epoch_compares_every_chunk_by_its_first_quarter_and_each_once(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=30))
    batch = data.draw(st.integers(1, 64))
    seen: list[int] = []
    ends = np.cumsum(sizes)
    chunks = Chunks(ends, stored.AT_ONCE, seen.append, np.zeros(len(sizes), np.bool_))
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(ends[-1])
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        before = len(seen)
        chunks.touch(part)
        last = seen[before:][-1:]
        # No reading waits for more than four times what it asks for, and the chunk that goes beyond it.
        assert sum(sizes[chunk] for chunk in seen[before:]) - sum(sizes[chunk] for chunk in last) < max(
            4 * len(part), 2
        )
    assert sorted(seen) == list(range(len(sizes)))


def test_reading_in_order_sees_nothing_that_is_not_compared() -> None:
    compared: list[int] = []
    chunks = Chunks(np.array([512, 1024, 1500]), 196_608, compared.append, np.zeros(3, np.bool_))
    for start in range(0, 1500, 128):
        numbers = np.arange(start, min(start + 128, 1500))
        chunks.touch(numbers)
        assert set((numbers // 512).tolist()) <= set(compared)
    assert compared == [0, 1, 2]
