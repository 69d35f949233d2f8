"""One .npz file: what it may declare, and damaged ones."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from alexnet.data.sources import arrays, open_source
from alexnet.errors import InputError
from tests.damage import damaged, one_line_or_success

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)


def open_error(path: Path) -> str:
    message = ""

    def work() -> None:
        nonlocal message
        with pytest.raises(InputError) as error:
            open_source(str(path))
        message = str(error.value)

    one_line_or_success(work, 64)
    return message


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("labels", [[0, 10**9], [0, 10**18], [3, 3]])
def test_a_label_that_nobody_means_is_one_line(tmp_path: Path, labels: list[int]) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES[:2], labels=labels)
    assert f"label {max(labels)} with 2 training images: labels begin at 0" in open_error(tmp_path / "a.npz")


def test_a_label_of_ten_to_the_nine_with_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES[:2], labels=[0, 10**9], classes=["a", "b"])
    assert "labels go from 0 to 1000000000, but must lie in 0 to 1" in open_error(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(10**6, 10**3, 10**3), (2**32, 2**32), (10**300,), (2, 5, 5, 10**6)])
def test_an_array_that_declares_more_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = zipped(tmp_path / "a.npz", {"images.npy": header(shape) + bytes(100), "labels.npy": header((0,))})
    assert "cannot be read as .npz: images.npy declares" in open_error(path)


def test_a_bomb_is_compared_with_the_memory_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "memory_free", lambda: 1 << 20)
    path = zipped(
        tmp_path / "a.npz", {"images.npy": header((1000, 50, 50)) + bytes(2_500_000), "labels.npy": header((0,))}
    )
    assert path.stat().st_size < 10_000
    assert "takes 2.5 MB of memory, and 1.0 MB are free" in open_error(path)


def test_what_a_name_says_of_its_size_is_not_believed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.npz", {"images.npy": header((10**8,)) + bytes(1000), "labels.npy": header((0,))})
    data = path.read_bytes()
    true = (len(header((10**8,))) + 1000).to_bytes(4, "little")
    assert data.count(true) == 2
    path.write_bytes(data.replace(true, (2 * 10**8).to_bytes(4, "little")))
    assert "images.npy declares [100000000] of uint8" in open_error(path)


def test_odd_members_are_one_line(tmp_path: Path) -> None:
    labels = {"labels.npy": header((2,), "<i8") + bytes(16)}
    for name, members, message in (
        ("header", {"images.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100)}, "images.npy is no plain array"),
        ("object", {"images.npy": header((2,), "|O") + b"cos\nsystem\n."}, "cannot be read as .npz"),
        ("nothing", {"images.npy": b""}, "cannot be read as .npz"),
    ):
        assert message in open_error(zipped(tmp_path / f"{name}.npz", members | labels))
    odd = zipped(tmp_path / "bzip.npz", {"images.npy": header((2, 5, 5)) + bytes(50)} | labels, zipfile.ZIP_BZIP2)
    assert "images.npy is compressed in another way than numpy does" in open_error(odd)


def test_names_of_splits_and_other_arrays(tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1])
    content = {"Train_images": IMAGES, "Train_labels": labels, "valid_images": IMAGES, "valid_labels": labels}
    np.savez(tmp_path / "a.npz", **content, testing_images=IMAGES, testing_labels=labels, extra=[1], x_more=[1])
    source = open_source(str(tmp_path / "a.npz"))
    assert source.splits == ("train", "val", "test")
    assert str(source.passed_over) == "2 arrays (extra, x_more)"  # type: ignore[attr-defined]
    np.savez(tmp_path / "b.npz", **content, dev_images=IMAGES)
    assert "valid_images.npy and dev_images.npy are both val_images: leave one out" in open_error(tmp_path / "b.npz")


def test_names_of_keras_and_labels_in_a_column(tmp_path: Path) -> None:
    column = np.array([[0], [1], [1], [0]])  # as MedMNIST has them
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=column, x_test=IMAGES[..., :1], y_test=column[:, 0])
    source = open_source(str(tmp_path / "a.npz"))
    assert source.splits == ("train", "test")
    for split in source.splits:
        assert [item.label for item in source.items(split)] == [0, 1, 1, 0]
    np.testing.assert_array_equal([item.read() for item in source.items("test")], IMAGES[..., 0])


def test_one_class_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=[0] * 4)
    assert "there is only one class, 0: nothing to tell apart" in open_error(tmp_path / "a.npz")


def whole(save: object) -> bytes:
    file = io.BytesIO()
    save(file, images=IMAGES, labels=np.array([0, 1, 0, 1]), classes=np.array(["cat", "dog"]))  # type: ignore[operator]
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_read_or_refused(save: object) -> None:
    @settings(max_examples=100, deadline=None)
    @given(damaged(whole(save)))
    def reads_or_refuses(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "a.npz"
            path.write_bytes(data)

            def work() -> None:
                source = open_source(str(path))
                for split in source.splits:
                    for item in source.items(split):
                        assert isinstance(item.read(), np.ndarray) and 0 <= item.label < len(source.classes)

            one_line_or_success(work, 8)

    reads_or_refuses()
