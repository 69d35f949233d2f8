"""A set that is stored as JPEGs behaves as one that is stored raw."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from alexnet.data import jpegs, prepared
from alexnet.data.image import to_square
from alexnet.data.jpegs import JpegImages
from alexnet.data.loader import read_ahead
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError
from tests.data.making import class_folders, jpeg, picture, write_folder

SIZE = 24


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, prepared.Prepared]:
    """The same pictures, one of them unreadable, stored both ways."""
    folder = class_folders(tmp_path / "in", {"train/cat": 5, "train/dog": 4, "val/cat": 2, "val/dog": 2}, (40, 60))
    write_folder(folder, {"train/cat/0002-cut.jpg": jpeg(picture(60, 60))[:-200]})
    source = open_source(str(folder))
    return {store: prepare(source, tmp_path / store, SIZE, 0.2, store=store) for store in ("raw", "jpeg")}  # type: ignore[arg-type]


def test_layout_on_disk(sets: dict[str, prepared.Prepared]) -> None:
    folder, raw = sets["jpeg"].path, sets["raw"]
    assert sorted(path.name for path in (folder / "train").iterdir()) == [
        "files.txt",
        "jpegs.bin",
        "labels.bin",
        "offsets.bin",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["version"], manifest["store"], manifest["quality"]) == (2, "jpeg", 95)
    ends = np.frombuffer((folder / "train/offsets.bin").read_bytes(), "<i8")
    stored = (folder / "train/jpegs.bin").read_bytes()
    assert len(ends) == 9 and ends[-1] == len(stored)
    for pixels, start, end in zip(raw.split("train").images[:], [0, *ends], ends, strict=False):
        assert stored[start:end] == simplejpeg.encode_jpeg(pixels, 95, "RGB", "444", fastdct=False)
    assert sets["jpeg"].image_bytes == sum((folder / split / "jpegs.bin").stat().st_size for split in ("train", "val"))
    assert raw.image_bytes == (9 + 4) * SIZE * SIZE * 3


def test_images_are_those_of_the_raw_set_but_for_the_jpeg(sets: dict[str, prepared.Prepared]) -> None:
    for name in ("train", "val"):
        raw, coded = sets["raw"].split(name), sets["jpeg"].split(name)
        assert coded.images.shape == raw.images.shape and coded.images.dtype == raw.images.dtype
        assert len(coded.images) == len(raw.images)
        assert list(coded.files) == list(raw.files) and coded.labels.tolist() == raw.labels.tolist()
        difference = coded.images[:].astype(float) - raw.images[:]
        assert 0 < np.abs(difference).mean() < 2
        for pixels, start in zip(coded.images[:], range(len(raw.images)), strict=True):
            assert isinstance(coded.images, JpegImages)
            data = coded.images.stored(start, start + 1).tobytes()
            np.testing.assert_array_equal(pixels, simplejpeg.decode_jpeg(data, "RGB"))


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        np.int64(2),
        slice(None),
        slice(2, 7, 2),
        slice(5, 2),
        slice(None, None, -1),
        np.array([4, 4, 0]),
        [1, -2],
        np.zeros(0, np.int64),
        np.array([[0, 1], [2, 3]]),
        np.arange(9) % 2 == 0,
    ],
    ids=str,
)
def test_indexing_is_numpy_s(sets: dict[str, prepared.Prepared], index: object) -> None:
    images = sets["jpeg"].split("train").images
    whole = np.asarray(images)
    assert whole.shape == (9, SIZE, SIZE, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(images[index], whole[index])  # type: ignore[call-overload]
    assert images[index].flags.writeable


def test_an_index_out_of_range_is_an_index_error(sets: dict[str, prepared.Prepared]) -> None:
    for index in (9, -10, np.array([0, 9])):
        with pytest.raises(IndexError):
            sets["jpeg"].split("train").images[index]


def test_threads_change_nothing(sets: dict[str, prepared.Prepared], monkeypatch: pytest.MonkeyPatch) -> None:
    images = sets["jpeg"].split("train").images
    once = images[:]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    np.testing.assert_array_equal(images[:], once)
    np.testing.assert_array_equal(prepared.open(sets["jpeg"].path).split("train").images[:], once)


def test_statistics_are_of_the_decoded_training_images(sets: dict[str, prepared.Prepared]) -> None:
    coded = sets["jpeg"]
    seen = coded.split("train").images[:].astype(np.float64)
    np.testing.assert_allclose(coded.mean, seen.mean(0), rtol=1e-6)
    np.testing.assert_allclose(coded.covariance, np.cov(seen.reshape(-1, 3).T, bias=True), rtol=1e-9)
    assert not np.array_equal(coded.mean, sets["raw"].mean)


def test_reading_ahead_decodes(sets: dict[str, prepared.Prepared]) -> None:
    split = sets["jpeg"].split("train")
    batches = [np.array([0, 3]), np.array([8])]
    for (pixels, labels), indices in zip(
        read_ahead(split.images, split.labels, batches, torch.device("cpu")), batches, strict=True
    ):
        np.testing.assert_array_equal(pixels.numpy(), split.images[indices])
        np.testing.assert_array_equal(labels.numpy(), split.labels[indices])


def test_it_is_described_sampled_and_checked(sets: dict[str, prepared.Prepared]) -> None:
    raw, coded = (one.describe() for one in sets.values())
    assert (raw["store"], raw["quality"]) == ("raw", None)
    assert (coded["store"], coded["quality"]) == ("jpeg", 95)
    assert coded["splits"] == raw["splits"]
    assert coded["bytes"] == sum(path.stat().st_size for path in sets["jpeg"].path.rglob("*") if path.is_file())
    sample = sets["jpeg"].sample("train", 2)
    assert isinstance(sample.images, np.ndarray) and sample.images.shape == (4, SIZE, SIZE, 3)
    assert sets["jpeg"].check() == []


@pytest.mark.parametrize(
    "file", ["train/jpegs.bin", "train/offsets.bin", "train/labels.bin", "val/files.txt", "mean.npy"]
)
@pytest.mark.parametrize("place", [-2, 0])
def test_check_finds_one_changed_byte(sets: dict[str, prepared.Prepared], file: str, place: int) -> None:
    path = sets["jpeg"].path / file
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    problems = sets["jpeg"].check()
    assert problems and all(file.split("/")[0] in problem for problem in problems)


@pytest.mark.parametrize("file", ["jpegs.bin", "offsets.bin"])
def test_a_cut_file_is_found_and_not_opened(sets: dict[str, prepared.Prepared], file: str) -> None:
    path = sets["jpeg"].path / "train" / file
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 16 * 8])
    assert file in sets["jpeg"].check()[0]
    with pytest.raises(InputError, match="damaged"):
        sets["jpeg"].split("train")
    path.unlink()
    assert f"{file} is missing" in sets["jpeg"].check()[0]


@pytest.mark.parametrize("damage", [b"\0" * 40, jpeg(picture(8, 8))])
def test_a_damaged_image_is_named(sets: dict[str, prepared.Prepared], damage: bytes) -> None:
    images = sets["jpeg"].split("train").images
    assert isinstance(images, JpegImages)
    path = sets["jpeg"].path / "train/jpegs.bin"
    data = bytearray(path.read_bytes())
    length = images.ends[4] - images.ends[3]
    data[images.ends[3] : images.ends[4]] = damage[:length] + b"\0" * max(0, length - len(damage))
    path.write_bytes(data)
    again = JpegImages(sets["jpeg"].path / "train", len(images), SIZE)  # as if its checksum were that of the damage
    assert again[3].shape == (SIZE, SIZE, 3)
    with pytest.raises(InputError, match=r"image 4 is damaged.*alexnet data"):
        again[:]


def test_another_store_or_quality_is_refused(tmp_path: Path, sets: dict[str, prepared.Prepared]) -> None:
    source = open_source(str(tmp_path / "in"))
    with pytest.raises(InputError, match="--store raw, this run has --store jpeg"):
        prepare(source, tmp_path / "raw", SIZE, 0.2, store="jpeg")
    with pytest.raises(InputError, match="--store jpeg, this run has --store raw"):
        prepare(source, tmp_path / "jpeg", SIZE, 0.2)
    with pytest.raises(InputError, match="--quality 95, this run has --quality 80"):
        prepare(source, tmp_path / "jpeg", SIZE, 0.2, store="jpeg", quality=80)
    prepare(source, tmp_path / "raw", SIZE, 0.2, quality=80)  # which says nothing of a raw set
    prepare(source, tmp_path / "coarse", SIZE, 0.2, store="jpeg", quality=50)
    assert prepared.open(tmp_path / "coarse").image_bytes < sets["jpeg"].image_bytes


def test_full_colour_is_kept() -> None:
    # Columns of two colours in turn: at half the colour resolution (4:2:0) they would come back as one.
    image = np.full((16, 16, 3), (180, 100, 120), np.uint8)
    image[:, ::2] = 90, 130, 170
    out = np.empty_like(image)
    jpegs.decode(jpegs.encode(image, 95), out)
    assert np.abs(out.astype(int) - image).max() < 12


def old(manifest: dict) -> dict:
    """As written before there were stores."""
    return {key: value for key, value in manifest.items() if key not in ("store", "form")}


def rewrite(path: Path, change: Callable[[dict], dict]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_sets_of_before_are_opened_and_are_finished(tmp_path: Path, sets: dict[str, prepared.Prepared]) -> None:
    rewrite(tmp_path / "raw/manifest.json", old)
    opened = prepared.open(tmp_path / "raw")
    assert opened.store == "raw" and opened.check() == []
    np.testing.assert_array_equal(opened.split("train").images[0], to_square(jpeg(picture(40, 60, 1)), SIZE))
    before = (tmp_path / "raw/manifest.json").read_bytes()
    prepare(open_source(str(tmp_path / "in")), tmp_path / "raw", SIZE, 0.2)
    assert (tmp_path / "raw/manifest.json").read_bytes() == before


def test_a_set_that_was_begun_with_other_pixels_is_not_continued(tmp_path: Path) -> None:
    source = open_source(str(class_folders(tmp_path / "in", {"cat": 3, "dog": 3})))
    with pytest.raises(ZeroDivisionError):
        prepare(source, tmp_path / "out", SIZE, progress=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    rewrite(tmp_path / "out/begun.json", old)
    with pytest.raises(InputError, match="form of resizing 1, this run has form of resizing 2.*prepare it anew"):
        prepare(source, tmp_path / "out", SIZE)
