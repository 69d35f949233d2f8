"""Damage in tar archives is told from their end, wherever it is and whatever it says."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.data.image import Unreadable
from alexnet.data.sources import open_source
from alexnet.data.sources.tar import LONGEST, Member, members, read_member
from alexnet.errors import InputError
from tests.data.making import add_bytes, jpeg, picture

IMAGES = 10
LENGTH = 3000
STEP = 512 + 3072  # of a header and the whole blocks of its file


def archive(images: int = IMAGES, **options: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:  # type: ignore[call-overload]
        for number in range(images):
            add_bytes(tar, f"{number}.jpg", bytes([65 + number]) * LENGTH)
    return file.getvalue()


def changed(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def flipped(content: bytes, bit: int) -> bytes:
    return changed(content, bit // 8, bytes([content[bit // 8] ^ (1 << bit % 8)]))


def walk(path: Path, content: bytes) -> list[Member]:
    path.write_bytes(content)
    return list(members(path))


def readable(listing: list[Member]) -> list[str]:
    return [member.name for member in listing if not member.problem]


def names(*lost: int) -> list[str]:
    return [f"{number}.jpg" for number in range(IMAGES) if number not in lost]


def test_what_a_whole_archive_holds_is_what_tarfile_says(tmp_path: Path) -> None:
    long = io.BytesIO()
    with tarfile.open(fileobj=long, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add_bytes(tar, "folder/" + "ü" * 300 + ".jpg", b"pax")
    for number, content in enumerate((archive(), archive(format=tarfile.USTAR_FORMAT), long.getvalue())):
        path = tmp_path / f"{number}.tar"
        listing = walk(path, content)
        with tarfile.open(path) as tar:
            assert [(m.name, m.offset, m.size) for m in listing] == [(m.name, m.offset_data, m.size) for m in tar]
        assert all(member.problem is None for member in listing)
    assert read_member(str(path), listing[0]) == b"pax"


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_whole(format: int, tmp_path: Path) -> None:
    file, name = io.BytesIO(), "a/" + "long" * 100 + ".jpg"
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        add_bytes(tar, name, b"x" * LENGTH)
        add_bytes(tar, "short.jpg", b"y")
    assert readable(walk(tmp_path / "a.tar", file.getvalue())) == [name, "short.jpg"]


@pytest.mark.parametrize("number", range(IMAGES))
def test_one_flipped_bit_in_a_header_loses_one_image_and_says_so(number: int, tmp_path: Path) -> None:
    for bit in (3, 8 * 125 + 1, 8 * 150 + 2, 8 * 300):  # name, size, checksum, owner
        listing = walk(tmp_path / "a.tar", flipped(archive(), 8 * number * STEP + bit))
        assert readable(listing) == names(number)
        assert len(listing) == IMAGES
        problem = listing[number].problem
        assert problem and f"damaged header at byte {number * STEP:,}" in problem
        with pytest.raises(Unreadable, match="damaged header"):
            read_member(str(tmp_path / "a.tar"), listing[number])


def test_zeros_in_place_of_a_header_are_no_end(tmp_path: Path) -> None:
    for zeros in (512, 1024, STEP):
        listing = walk(tmp_path / "a.tar", changed(archive(), 3 * STEP, bytes(zeros)))
        assert (readable(listing), len(listing)) == (names(3), IMAGES)
    last = walk(tmp_path / "a.tar", changed(archive(), 9 * STEP, bytes(512)))
    assert (readable(last), len(last)) == (names(9), IMAGES)


def test_the_end_is_two_blocks_of_zeros_or_that_of_the_file(tmp_path: Path) -> None:
    content = archive()
    long_record = content.ljust(2048 * 512, b"\0")  # as tar -b 2048 writes it
    for whole in (content, content[: IMAGES * STEP], content[: IMAGES * STEP + 1024], long_record):
        assert [member.problem for member in walk(tmp_path / "a.tar", whole)] == [None] * IMAGES


def test_zeros_over_the_last_files_are_damage(tmp_path: Path) -> None:
    content = archive()
    cut = content[: 4 * STEP].ljust(len(content), b"\0")  # as an unfinished download leaves it
    listing = walk(tmp_path / "a.tar", cut)
    assert readable(listing) == names(*range(4, IMAGES))
    assert [member.problem for member in listing[4:]] == [
        f"damaged archive (zeros in place of a header at byte {4 * STEP:,}; {len(cut) - 4 * STEP:,} bytes passed over)"
    ]


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_archive_is_said_to_be_one(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.tar is compressed by .*: unpack it to a plain \.tar"):
        walk(tmp_path / "a.tar", packed(archive()))


def test_images_in_folders_of_a_class_may_have_the_same_name(tmp_path: Path) -> None:
    for name in "ab":
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for path in (f"{name}/0.jpg", f"{name}/more/0.jpg", "./1.jpg", f"{name}/notes.txt", f"{name}/unnamed"):
                add_bytes(tar, path, jpeg(picture(8, 8)))
    assert [item.name for item in open_source(str(tmp_path)).items("train")] == [
        f"{name}/{image}" for name in "ab" for image in ("0.jpg", "more/0.jpg", "1.jpg", "unnamed")
    ]


def test_a_shift_of_some_bytes_is_walked_over(tmp_path: Path) -> None:
    content = archive()
    for shifted in (content[: 2 * STEP] + b"zz" + content[2 * STEP :], content[: 2 * STEP - 5] + content[2 * STEP :]):
        listing = walk(tmp_path / "a.tar", shifted)
        assert set(names(2)) <= set(readable(listing))
        assert any(member.problem for member in listing)


@pytest.mark.parametrize(
    "content",
    [archive()[: 5 * STEP + 100], archive()[: 5 * STEP + 1000], b"noise" * 2000, b"x", archive()[:512]],
    ids=["half a header", "half a file", "noise", "a byte", "a header alone"],
)
def test_what_is_cut_off_or_no_archive_is_an_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.tar is damaged or cut off at byte"):
        walk(tmp_path / "a.tar", content)


def test_a_download_into_a_file_made_large_beforehand_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(archive()[: 5 * STEP])
    os.truncate(path, 1 << 26)
    with pytest.raises(InputError, match="cut off"):
        list(members(path))


def header(name: str, size: int, type: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, type
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "hostile",
    [
        header("a.jpg", 10 << 40),
        header("././@LongLink", 10**12, tarfile.GNUTYPE_LONGNAME),
        header("././@LongLink", LONGEST + 1, tarfile.GNUTYPE_LONGNAME),
        (header("././@LongLink", 5, tarfile.GNUTYPE_LONGNAME) + b"name\0".ljust(512, b"\0")) * 5000,
        header("././@PaxHeader", 20, tarfile.XHDTYPE) + b"20 size=-1000000000\n".ljust(512, b"\0"),
        header("././@PaxHeader", 512, tarfile.XHDTYPE) + b"9 size=x\n".ljust(512, b"9"),
    ],
    ids=["10 TB", "a name of 1 TB", "a long name", "5,000 long names", "a negative size", "a size that is none"],
)
def test_hostile_headers_are_walked_over_without_their_memory(hostile: bytes, tmp_path: Path) -> None:
    tracemalloc.start()
    listing = walk(tmp_path / "a.tar", hostile + archive())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert readable(listing)[-IMAGES + 1 :] == names(0)
    assert listing[0].problem or listing[1].problem
    assert peak < 32 << 20


def test_links_and_sparse_files_are_named_not_dropped(tmp_path: Path) -> None:
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    listing = walk(tmp_path / "a.tar", link.tobuf() + archive())
    assert listing[0].problem == "a link to /etc/passwd, not a file"
    assert readable(listing) == names()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flip_cut_or_growth_is_named_or_harmless(data: st.DataObject, tmp_path: Path) -> None:
    content = archive(4)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, len(content)), st.integers(0, 4).map(lambda n: n * STEP)))
        new = data.draw(st.one_of(st.binary(max_size=600), st.just(bytes(1024)), st.just(archive(1))))
        rest = at if data.draw(st.booleans()) else min(at + len(new), len(content))
        content = content[:at] + new + content[rest:]
        if data.draw(st.integers(0, 5)) == 0:
            content = content[: data.draw(st.integers(0, len(content)))]
    tracemalloc.start()
    try:
        listing = walk(tmp_path / "a.tar", content)
        # No image of the four vanishes without a word: those that are read, and something that says why others are not.
        assert all(0 <= member.offset <= member.offset + member.size <= len(content) for member in listing)
    except InputError:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


# ---------------------------------------------------------------- as sources


def outer(tmp_path: Path, tars: dict[str, bytes]) -> Path:
    path = tmp_path / "classes.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in tars.items():
            add_bytes(tar, name, content)
    return path


def test_a_damaged_header_between_the_classes_is_an_error(tmp_path: Path) -> None:
    path = outer(tmp_path, {f"{name}.tar": archive() for name in "abc"})
    content = path.read_bytes()
    second = content.index(b"b.tar")
    path.write_bytes(flipped(content, 8 * second + 3))
    with pytest.raises(InputError, match=rf"classes\.tar: byte {second}: damaged archive .*download it again"):
        open_source(str(path))


def test_two_classes_of_one_name_are_an_error(tmp_path: Path) -> None:
    path = outer(tmp_path, {"a.tar": archive()})
    with tarfile.open(path, "a") as tar:
        add_bytes(tar, "a.tar", archive())
    with pytest.raises(InputError, match=r"holds a\.tar twice"):
        open_source(str(path))


@pytest.mark.parametrize("content", [bytes(10240), b"", b"noise" * 1000])
def test_a_class_without_images_is_an_error(content: bytes, tmp_path: Path) -> None:
    source = open_source(str(outer(tmp_path, {"a.tar": archive(), "b.tar": content})))
    with pytest.raises(InputError, match=r"b\.tar has no images|is damaged"):
        list(source.items("train"))


def test_two_images_of_one_name_are_an_error(tmp_path: Path) -> None:
    twice = archive(2)[: 2 * STEP] + archive(1)
    source = open_source(str(outer(tmp_path, {"a.tar": archive(), "b.tar": twice})))
    with pytest.raises(InputError, match=r"holds 0\.jpg twice"):
        list(source.items("train"))


def test_an_image_without_an_images_ending_is_told_by_its_bytes(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (("noext", jpeg(picture(8, 8))), ("notes", b"text"), ("b.txt", jpeg(picture(8, 8)))):
            add_bytes(tar, name, content)
    source = open_source(str(outer(tmp_path, {"a.tar": archive(), "b.tar": file.getvalue()})))
    assert [item.name for item in source.items("train")][IMAGES:] == ["b/noext"]
