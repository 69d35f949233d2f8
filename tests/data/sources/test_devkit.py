"""ILSVRC-2012's development kit: what it says is held against what is there, and a hostile one costs nothing."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from alexnet.data.image import Unreadable
from alexnet.data.sources import matlab, open_source
from alexnet.data.sources.devkit import META, TRUTH, read_devkit
from alexnet.errors import InputError
from tests.data.making import WNIDS, add_bytes, make_mini_ilsvrc, meta_mat, unpack_mini_ilsvrc, write_folder

NAME = "ILSVRC2012_devkit_t12"
IDS = dict(zip(WNIDS, (3, 5, 1, 2, 4), strict=True))


def devkit(folder: Path, meta: bytes, truth: bytes = b"1\n2\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{NAME}.tar.gz", "w:gz") as tar:
        add_bytes(tar, f"{NAME}/{META}", meta)
        add_bytes(tar, f"{NAME}/{TRUTH}", truth)
    return folder


def ilsvrc(folder: Path, train_images: int = 3, labels: int = 10) -> Path:
    """Five classes of three images and ten validation images, beside a devkit that may say other numbers."""
    make_mini_ilsvrc(folder, per_class=3, val_per_class=2)
    return devkit(folder, meta_mat(IDS, train_images), b"1\n" * labels)


@pytest.mark.parametrize("labels", [9, 11, 1000])
def test_other_numbers_of_labels_than_of_validation_images_are_an_error(labels: int, tmp_path: Path) -> None:
    ilsvrc(tmp_path, labels=labels)
    with pytest.raises(
        InputError, match=rf"has 10 validation images, but .* has {labels:,} labels|0010\.JPEG: not one of"
    ):
        open_source(str(tmp_path))


@pytest.mark.parametrize("labels", [9, 11])
def test_so_they_are_unpacked(labels: int, tmp_path: Path) -> None:
    folder = unpack_mini_ilsvrc(make_mini_ilsvrc(tmp_path / "packed", 3, 2).folder, tmp_path / "unpacked")
    (folder / NAME / TRUTH).write_text("1\n" * labels)
    with pytest.raises(InputError, match=r"val has 10 validation images|which the devkit has labels for"):
        open_source(str(folder))


def test_images_that_the_devkit_counts_and_the_archive_lacks_are_listed(tmp_path: Path) -> None:
    items = list(open_source(str(ilsvrc(tmp_path, train_images=4))).items("train"))
    absent = [item for item in items if "image 4 of 4" in item.name]
    assert len(absent) == len(WNIDS)
    with pytest.raises(Unreadable, match="not in the archive; the devkit says that n01440764 has 4 images"):
        absent[0].read()


@pytest.mark.parametrize("train_images", [2, 10**9])
def test_numbers_that_cannot_be_of_this_archive_are_an_error(train_images: int, tmp_path: Path) -> None:
    source = open_source(str(ilsvrc(tmp_path, train_images=train_images)))
    with pytest.raises(InputError, match=rf"n01440764\.tar has 3 images, but the devkit says {train_images:,}"):
        list(source.items("train"))


def test_a_validation_name_of_thousands_of_digits_is_an_error(tmp_path: Path) -> None:
    ilsvrc(tmp_path)
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as tar:
        add_bytes(tar, f"ILSVRC2012_val_{'9' * 4500}.JPEG", b"x")
    with pytest.raises(InputError, match="which the devkit has labels for"):
        open_source(str(tmp_path))


def test_a_damaged_header_among_the_validation_images_is_one_unreadable_image(tmp_path: Path) -> None:
    path = ilsvrc(tmp_path) / "ILSVRC2012_img_val.tar"
    content = bytearray(path.read_bytes())
    content[content.index(b"ILSVRC2012_val_00000004")] ^= 1
    path.write_bytes(bytes(content))
    items = list(open_source(str(tmp_path)).items("val"))
    assert len(items) == 10
    with pytest.raises(Unreadable, match="damaged header"):
        items[3].read()


def test_a_link_in_place_of_the_classes_is_an_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / f"{NAME}.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo(f"{NAME}/{META}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="a link to /etc/passwd"):
        read_devkit(tmp_path)


def test_a_devkit_that_unpacks_to_gigabytes_is_an_error(tmp_path: Path) -> None:
    with gzip.open(tmp_path / f"{NAME}.tar.gz", "wb", compresslevel=1) as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="more than 64 MiB"):
        read_devkit(tmp_path)


def test_a_devkit_that_is_not_packed_is_read_too(tmp_path: Path) -> None:
    path = devkit(tmp_path, meta_mat(IDS, 3)) / f"{NAME}.tar.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    read = read_devkit(tmp_path)
    assert read is not None
    assert set(read.wnid_of_id.values()) == set(WNIDS)


def test_a_class_that_is_in_it_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a class is in it twice"):
        read_devkit(devkit(tmp_path, meta_mat(dict.fromkeys(WNIDS, 1), 3)))


def cells(number: int) -> bytes:
    """A MATLAB file of 200 bytes that declares an array of so many cells."""
    header = meta_mat(IDS, 3)[:128]
    flags = struct.pack("<IIII", 6, 8, 1, 0)  # a cell array
    sizes = struct.pack("<IIii", 5, 8, number, 1)
    name = struct.pack("<II", 1, 7) + b"synsets\0"
    matrix = flags + sizes + name
    return header + struct.pack("<II", 14, len(matrix)) + matrix


def packed(content: bytes) -> bytes:
    squeezed = zlib.compress(content)
    return meta_mat(IDS, 3)[:128] + struct.pack("<II", 15, len(squeezed)) + squeezed


@pytest.mark.parametrize(
    "meta", [cells(10**9), cells(-5), packed(cells(10**9)[128:]), packed(bytes(1 << 27)), b"x" * 500]
)
def test_a_matlab_file_that_claims_to_be_larger_than_it_is(meta: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no array of structs|more than 64 MiB|no MATLAB file"):
        read_devkit(devkit(tmp_path, meta))


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_are_what_scipy_reads(compressed: bool) -> None:
    table = np.array(
        [(7.0, "n1", "été", np.arange(3.0)), (300.0, "n2", "a, b", 1.0)], [(name, object) for name in "abcd"]
    )
    file = io.BytesIO()
    savemat(file, {"other": np.eye(2), "synsets": table[:, None]}, do_compression=compressed)
    rows = matlab.structs(file.getvalue(), "synsets", ("a", "b", "c"))
    expected = loadmat(io.BytesIO(file.getvalue()), squeeze_me=True)["synsets"]
    assert [tuple(row.values()) for row in rows] == [(float(one["a"]), one["b"], one["c"]) for one in expected]
    assert rows[1] == {"a": 300.0, "b": "n2", "c": "a, b"}
    assert np.isnan(matlab.structs(file.getvalue(), "synsets", ("d",))[0]["d"])  # several numbers are none


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_the_classes_is_read_or_is_an_error(data: st.DataObject, tmp_path: Path) -> None:
    meta = bytearray(meta_mat(IDS, 3))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(meta) - 1))
        meta[at : at + 1] = data.draw(st.one_of(st.binary(min_size=1, max_size=1), st.binary(max_size=9)))
    if data.draw(st.booleans()):
        meta = meta[: data.draw(st.integers(0, len(meta)))]
    write_folder(tmp_path, {f"{NAME}/{META}": bytes(meta), f"{NAME}/{TRUTH}": b"1\n2\n"})
    tracemalloc.start()
    with suppress(InputError):
        read_devkit(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
