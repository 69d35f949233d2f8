import io
import json
import tarfile
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data import prepare as prepare_module
from alexnet.data import prepared, writer
from alexnet.data.image import to_square
from alexnet.data.prepare import Progress, prepare
from alexnet.data.sources import open_source
from alexnet.data.sources.source import Item, Source
from alexnet.errors import InputError, RunFailed
from tests.data.making import add_bytes, class_folders, encode, jpeg, picture, write_folder

# ---------------------------------------------------------------- one image

sides = st.integers(1, 400)


@settings(deadline=None)
@given(sides, sides, st.integers(1, 48))
def test_any_shape_becomes_a_square(height: int, width: int, size: int) -> None:
    square = to_square(picture(height, width), size)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8
    assert square.flags.c_contiguous


@settings(deadline=None)
@given(sides, sides, st.integers(1, 48))
def test_the_central_square_is_what_is_kept(height: int, width: int, size: int) -> None:
    # Coordinates painted as colours: each result pixel tells where in the image it came from.
    y, x = np.mgrid[:height, :width]
    image = np.stack([y * 255 / max(height - 1, 1), x * 255 / max(width - 1, 1), 0 * x], 2).round().astype(np.uint8)
    square = to_square(image, size).astype(float)
    side = min(height, width)
    for channel, length in ((0, height), (1, width)):
        values = square[..., channel].mean(axis=1 - channel) * max(length - 1, 1) / 255  # in source pixels
        expected = (length - side) / 2 + (np.arange(size) + 0.5) * side / size - 0.5
        # The filter bends at the image's own edge, by less than its reach, and colours are rounded.
        tolerance = 1.0 + 0.5 * side / size + length / 255
        assert np.abs(values - expected.clip(0, length - 1)).max() <= tolerance if length > 1 else True


@settings(deadline=None)
@given(sides, sides, st.integers(1, 32))
def test_a_mirrored_image_gives_a_mirrored_square(height: int, width: int, size: int) -> None:
    image = picture(height, width)
    mirrored = to_square(np.ascontiguousarray(image[:, ::-1]), size)[:, ::-1].astype(int)
    assert np.abs(mirrored - to_square(image, size)).max() <= 1


def test_an_image_of_the_right_size_is_left_alone() -> None:
    np.testing.assert_array_equal(to_square(picture(40, 40), 40), picture(40, 40))


@pytest.mark.parametrize(("height", "width"), [(200, 301), (301, 200), (111, 160), (163, 164), (97, 97), (900, 1201)])
def test_a_large_jpeg_is_decoded_smaller_and_keeps_its_place(height: int, width: int) -> None:
    # Lines of one pixel would show a shift by a small part of a pixel, as would a decoder's rounded sides.
    y, x = np.mgrid[:height, :width]
    image = np.stack([128 + 100 * np.sin(y / 9), 128 + 100 * np.sin(x / 9), 128 + 60 * np.sin((x + y) / 5)], 2)
    data = encode(image.round().astype(np.uint8), "JPEG", quality=98, subsampling=0)
    square = to_square(data, 24)
    whole = to_square(simplejpeg.decode_jpeg(data), 24)
    assert np.abs(square.astype(float) - whole).mean() < 1
    assert simplejpeg.decode_jpeg(data, min_height=48, min_width=48, min_factor=2.0).shape != image.shape


def test_reduction_does_not_alias() -> None:
    # Stripes of one pixel: a filter that does not widen with the reduction would leave black and white.
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    square = to_square(stripes, 30).astype(int)
    assert np.abs(square - 127.5).max() < 20


# ---------------------------------------------------------------- a whole source


@dataclass(frozen=True)
class ListSource(Source):
    """A source whose images the test holds in its hands."""

    description: str = "a list"
    classes: tuple[str, ...] = ("cat", "dog")
    splits: tuple[str, ...] = ("train",)
    images: dict[str, list[tuple[int, bytes | np.ndarray]]] = field(default_factory=dict)
    key: str = "abc"
    default_size: int = 16
    reads: list[str] = field(default_factory=list)

    def part(self, split: str, number: int) -> Iterator[Item]:
        for index, (label, image) in enumerate(self.images[split]):
            yield Item(f"{split}-{index}", label, partial(self._read, f"{split}-{index}", image))

    def _read(self, name: str, image: bytes | np.ndarray) -> bytes | np.ndarray:
        self.reads.append(name)
        return image

    def count(self, split: str) -> int:
        return len(self.images[split])

    def fingerprint(self) -> str:
        return self.key


def holding(images: dict[str, list[tuple[int, bytes | np.ndarray]]], kind: type[ListSource] = ListSource) -> ListSource:
    return kind(splits=tuple(images), images=images)


def good(count: int, seed: int = 0) -> list[tuple[int, bytes | np.ndarray]]:
    return [(number % 2, picture(20, 30, seed + number)) for number in range(count)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_layout_on_disk(tmp_path: Path) -> None:
    source = holding({"train": good(5), "val": good(3, seed=50)})
    result = prepare(source, tmp_path / "out", size=8)
    assert sorted(contents(tmp_path / "out")) == [
        "colour.json",
        "manifest.json",
        "mean.npy",
        "train/files.txt",
        "train/images.bin",
        "train/labels.bin",
        "val/files.txt",
        "val/images.bin",
        "val/labels.bin",
    ]
    expected = np.stack([to_square(image, 8) for _, image in source.images["train"]])
    assert (tmp_path / "out/train/images.bin").read_bytes() == expected.tobytes()
    assert (tmp_path / "out/train/labels.bin").read_bytes() == np.array([0, 1, 0, 1, 0], "<i4").tobytes()
    assert (tmp_path / "out/train/files.txt").read_text() == "".join(f"train-{i}\n" for i in range(5))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["version"] == 1
    assert manifest["complete"] is True
    assert manifest["source"] == {"description": "a list", "fingerprint": "abc"}
    assert manifest["classes"] == ["cat", "dog"]
    assert manifest["splits"]["train"]["images"] == 5
    assert manifest["splits"]["train"]["per_class"] == [3, 2]
    assert result.check() == []


def test_statistics_are_of_the_training_images_only(tmp_path: Path) -> None:
    source = holding({"train": good(6), "val": [(0, np.full((20, 20, 3), 255, np.uint8))]})
    result = prepare(source, tmp_path)
    train = result.split("train").images[:].astype(np.float64)
    np.testing.assert_allclose(result.mean, train.mean(0), rtol=1e-6)
    assert result.mean.shape == (16, 16, 3)
    np.testing.assert_allclose(result.covariance, np.cov(train.reshape(-1, 3).T, bias=True), rtol=1e-9)
    np.testing.assert_allclose(
        result.eigenvectors @ np.diag(result.eigenvalues) @ result.eigenvectors.T, result.covariance, atol=1e-6
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 9))
def test_order_and_labels_survive_bad_files_chunks_and_threads(whole: list[bool], workers: int, chunk: int) -> None:
    images = [(n % 2, picture(20, 30, n) if ok else b"rubbish") for n, ok in enumerate([True, *whole])]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "CHUNK", chunk)
        result = prepare(holding({"train": images}), Path(folder), size=8, max_bad=1.0, workers=workers)
        kept = [n for n, ok in enumerate([True, *whole]) if ok]
        split = result.split("train")
        assert split.labels.tolist() == [n % 2 for n in kept]
        assert list(split.files) == [f"train-{n}" for n in kept]
        for row, n in enumerate(kept):
            np.testing.assert_array_equal(split.images[row], to_square(picture(20, 30, n), 8))
        assert result.check() == []


def test_the_sources_own_size_is_the_default(tmp_path: Path) -> None:
    assert prepare(holding({"train": good(2)}), tmp_path / "a").size == 16
    assert prepare(open_source(str(class_folders(tmp_path / "b", {"cat": 1, "dog": 1}))), tmp_path / "c").size == 256


def test_bad_files_are_listed_with_the_reason_and_skipped(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "in", {"cat": 3, "dog": 3})
    write_folder(
        folder,
        {
            "cat/cut.jpg": jpeg(picture(50, 50))[:-300],
            "cat/empty.jpg": b"",
            "dog/text.png": b"hello",
            "dog/png.JPEG": encode(picture(20, 20), "PNG"),
            "dog/Thumbs.db": b"no image, and none of ours",
        },
    )
    (folder / "dog" / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    result = prepare(open_source(str(folder)), tmp_path / "out", size=16, max_bad=0.5)
    skipped = {skipped["file"]: skipped["reason"] for skipped in result.manifest["splits"]["train"]["skipped"]}
    assert list(skipped) == ["cat/cut.jpg", "cat/empty.jpg", "dog/dangling.jpg", "dog/text.png"]
    assert skipped["cat/cut.jpg"].startswith("truncated")
    assert "empty" in skipped["cat/empty.jpg"]
    assert "cannot be read" in skipped["dog/dangling.jpg"]
    assert "not an image" in skipped["dog/text.png"]
    assert "dog/png.JPEG" in list(result.split("train").files)
    assert result.manifest["splits"]["train"]["per_class"] == [3, 4]


def test_too_many_bad_files_are_an_error_and_a_higher_share_goes_on(tmp_path: Path) -> None:
    images = good(40)
    images[7] = images[8] = (0, b"rubbish")
    source = holding({"train": images, "val": good(3)})
    with pytest.raises(InputError, match=r"2 of the 40 images of train .*train-7: not an image.*--max-bad"):
        prepare(source, tmp_path / "out")
    with pytest.raises(InputError, match="not finished"):
        prepared.open(tmp_path / "out")
    source.reads.clear()
    result = prepare(source, tmp_path / "out", max_bad=0.05)
    assert sorted(source.reads) == ["val-0", "val-1", "val-2"]  # what was done is not done again
    assert len(result.split("train").labels) == 38
    prepare(source, tmp_path / "straight", max_bad=0.05)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_exactly_the_allowed_share_passes(tmp_path: Path) -> None:
    images = good(100)
    images[50] = (0, b"rubbish")
    assert len(prepare(holding({"train": images}), tmp_path).split("train").labels) == 99


def test_nothing_but_bad_files_is_an_error_whatever_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all of them"):
        prepare(holding({"train": [(0, b"rubbish")]}), tmp_path, max_bad=1.0)


def test_a_split_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images in its split val"):
        prepare(holding({"train": good(2), "val": []}), tmp_path)


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    source = holding({"train": good(4), "test": good(2)})
    prepare(source, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    source.reads.clear()
    told: list[Progress] = []
    result = prepare(source, tmp_path, progress=told.append)
    assert source.reads == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [(p.split, p.done, p.total, p.earlier) for p in told] == [("train", 4, 4, 4), ("test", 2, 2, 2)]
    assert len(result.split("train").labels) == 4


def test_leftovers_of_a_run_killed_at_its_very_end_are_swept(tmp_path: Path) -> None:
    source = holding({"train": good(4)})
    prepare(source, tmp_path)
    before = contents(tmp_path)
    write_folder(tmp_path, {"begun.json": (tmp_path / "manifest.json").read_bytes(), "train/progress.jsonl": b"{}"})
    write_folder(
        tmp_path, {"train/sums-000000001.npy": b"", ".manifest.json.9.new": b"{", "train/.sums-1.npy.9.new": b""}
    )
    prepare(source, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("finished", [True, False])
def test_another_source_or_size_is_refused(tmp_path: Path, finished: bool) -> None:
    source = holding({"train": good(4)})
    if finished:
        prepare(source, tmp_path)
    else:
        with pytest.raises(ZeroDivisionError):
            prepare(source, tmp_path, progress=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"source a list \(abc\), this run has source a list \(xyz\).*another DEST"):
        prepare(replace(source, key="xyz"), tmp_path)
    with pytest.raises(InputError, match="--size 16, this run has --size 32"):
        prepare(source, tmp_path, size=32)
    assert contents(tmp_path) == before
    assert len(prepare(source, tmp_path).split("train").labels) == 4


def test_a_changed_folder_is_another_source(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "in", {"cat": 2, "dog": 2})
    prepare(open_source(str(folder)), tmp_path / "out", size=8)
    prepare(open_source(str(folder)), tmp_path / "out", size=8)
    write_folder(folder, {"dog/one-more.jpg": jpeg(picture(20, 20))})
    with pytest.raises(InputError, match="source"):
        prepare(open_source(str(folder)), tmp_path / "out", size=8)


@pytest.mark.parametrize(
    "files", [{"holiday.jpg": b"x"}, {"manifest.json": b'{"name": "an app"}'}, {"manifest.json": b"[1"}]
)
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, files: dict[str, bytes]) -> None:
    write_folder(tmp_path, files)
    with pytest.raises(InputError, match="another DEST"):
        prepare(holding({"train": good(2)}), tmp_path)
    assert contents(tmp_path) == files


def test_dest_among_the_class_folders_is_refused(tmp_path: Path) -> None:
    source = open_source(str(class_folders(tmp_path, {"cat": 1, "dog": 1})))
    with pytest.raises(InputError, match="inside"):
        prepare(source, tmp_path / "prepared", size=8)
    assert not (tmp_path / "prepared").exists()


def test_dest_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for dest in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="another DEST"):
            prepare(holding({"train": good(2)}), dest)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 0),
        ("max_bad", 1.5),
        ("max_bad", -0.1),
        ("workers", 0),
        ("store", "png"),
        ("quality", 0),
        ("quality", 101),
    ],
)
def test_options_out_of_range_are_named(tmp_path: Path, option: str, value: float | str) -> None:
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} {value}: must be"):
        prepare(holding({"train": good(2)}), tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()


def test_two_runs_into_one_folder_are_kept_apart(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    source, refused = holding({"train": good(3)}), []

    def second(_: Progress) -> None:
        if not refused:
            with pytest.raises(InputError, match="another") as error:
                prepare(source, tmp_path)
            refused.append(error)

    prepare(source, tmp_path, progress=second)
    assert refused
    prepare(source, tmp_path)  # and the lock is gone afterwards


def test_progress_counts_every_item(tmp_path: Path) -> None:
    images = good(30)
    images[3] = (1, b"rubbish")
    told: list[Progress] = []
    prepare(holding({"train": images}), tmp_path, max_bad=0.1, progress=told.append)
    assert (told[0].done, told[0].total, told[0].seconds_left) == (0, 30, None)
    assert (told[-1].done, told[-1].skipped, told[-1].earlier, told[-1].seconds_left) == (30, 1, 0, 0.0)
    assert told[-1].images_per_second > 0


def test_progress_with_an_unknown_and_a_wrong_total(tmp_path: Path) -> None:
    told: list[Progress] = []

    class Unknown(ListSource):
        def count(self, split: str) -> int:
            return {"train": None, "val": 1}[split]  # type: ignore[return-value]

    prepare(holding({"train": good(4), "val": good(4)}, Unknown), tmp_path, progress=told.append)
    assert [p.total for p in told if p.split == "train"] == [None] * (sum(p.split == "train" for p in told))
    assert told[-1].total == told[-1].done == 4


def test_few_images_are_in_flight(tmp_path: Path) -> None:
    """A source may be far ahead of a slow disk or decoder only by the window."""
    lock, out, most = threading.Lock(), [0], [0]

    class Counting(ListSource):
        def items(self, split: str) -> Iterator[Item]:
            for item in super().items(split):
                with lock:
                    out[0] += 1
                    most[0] = max(most[0], out[0])
                yield item

    class Writer(prepare_module.Writer):
        def add(self, *arguments: object) -> None:
            super().add(*arguments)  # type: ignore[arg-type]
            with lock:
                out[0] -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "Writer", Writer)
        prepare(holding({"train": good(200)}, Counting), tmp_path, size=4, workers=2)
    assert out[0] == 0
    assert most[0] <= 16 * 2 + 1


def test_a_full_disk_is_a_failed_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, plain = holding({"train": good(20)}), writer.sync
    monkeypatch.setattr(prepare_module, "CHUNK", 4)
    calls = iter(range(1000))

    def full(file: object) -> None:
        if next(calls) == 12:
            raise OSError(28, "No space left on device")
        plain(file)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "sync", full)
    with pytest.raises(RunFailed, match="disk is full"):
        prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "straight")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_an_odd_name_does_not_break_the_list(tmp_path: Path) -> None:
    class Odd(ListSource):
        def items(self, split: str) -> Iterator[Item]:
            for item, name in zip(super().items(split), ("a\nb", "c\u2028d", "e\udcff", "f"), strict=True):
                yield replace(item, name=name)

    split = prepare(holding({"train": good(4)}, Odd), tmp_path).split("train")
    assert list(split.files) == ["a\\nb", "c\u2028d", "e\udcff", "f"]


def peak_memory(folder: Path, images: int) -> int:
    """Bytes that Python and numpy hold at most while an ILSVRC train archive of tiny images is prepared."""
    folder.mkdir()
    data = jpeg(picture(12, 12))
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in ("n01440764", "n01443537"):
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as inner:
                for index in range(images // 2):
                    add_bytes(inner, f"{wnid}_{index}.JPEG", data)
            add_bytes(outer, f"{wnid}.tar", file.getvalue())

    def start(told: Progress) -> None:
        if told.done == 0:
            tracemalloc.reset_peak()  # the fingerprint reads a MiB, which would hide the rest

    tracemalloc.start()
    try:
        prepare(open_source(str(folder)), folder / "out", size=8, workers=1, progress=start)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    peak_memory(tmp_path / "warm", 10)
    few, many = peak_memory(tmp_path / "few", 1000), peak_memory(tmp_path / "many", 4000)
    # Any list of the images would hold some hundred bytes for each of the 3000 more.
    assert many - few < 3000 * 30, (few, many)


def test_a_library_that_cannot_be_loaded_is_no_fault_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> np.ndarray:
        raise OSError("cannot load library")

    source = open_source(str(class_folders(tmp_path / "source", {"cat": 2, "dog": 2})))
    monkeypatch.setattr(prepare_module, "to_square", fail)
    with pytest.raises(OSError, match="cannot load library"):
        prepare(source, tmp_path / "dest", size=8, max_bad=1.0)
