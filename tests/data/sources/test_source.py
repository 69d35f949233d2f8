"""What all sources share: reading files, and what no classes may be."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.data.sources.source import LARGEST_FILE, Item, Source, check_classes, check_numbers, read_file, split_word
from alexnet.errors import InputError
from tests.data.making import class_folders


class Shades(Source):
    """The least that a source of one's own needs."""

    def part(self, split: str, number: int) -> Iterator[Item]:
        for index in range(6):
            yield Item(f"{index}.png", index % 2, partial(np.full, (9, 9, 3), 40 * index, np.uint8))

    def fingerprint(self) -> str:
        return "shades of grey"


def test_a_source_of_one_s_own_takes_two_methods(tmp_path: Path) -> None:
    source = Shades("shades", ("even", "odd"), ("train",))
    prepared = prepare(source, tmp_path, size=4)
    assert (source.count("train"), source.folders, bool(source.passed_over)) == (None, {}, False)
    split = prepared.split("train")
    assert split.labels.tolist() == [0, 1, 0, 1, 0, 1] and split.images[3].tolist() == [[[120] * 3] * 4] * 4


def test_a_file_is_read_whole_and_in_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    path = str(tmp_path / "a")
    assert read_file(path) == b"0123456789"
    assert read_file(path, 3, 4) == b"3456"
    assert read_file(path, 8, 10**8) == b"89"  # nothing is set aside for what is not there
    assert read_file(path, 20, 4) == b""


def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "zz.jpg"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(OSError, match=r"8\.6 GB, more than the 600\.0 MB"):
        read_file(str(path))
    with pytest.raises(OSError, match=r"10\.0 TB, more than"):
        read_file(str(path), 0, 10**13)
    assert len(read_file(str(path), 7, 100)) == 100
    os.mkfifo(tmp_path / "pipe")
    for name in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path)):
        with pytest.raises(OSError, match="a folder|a pipe or a device"):
            read_file(name)
    assert LARGEST_FILE > 178_956_970 * 3  # an uncompressed image of the most pixels


def test_a_sparse_file_is_one_skipped_image(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "in", {"cat": 2, "dog": 2})
    with (folder / "dog" / "zz.jpg").open("wb") as file:
        file.truncate(8 << 30)
    result = prepare(open_source(str(folder)), tmp_path / "out", size=8, max_bad=0.5, workers=1)
    assert result.manifest["splits"]["train"]["skipped"] == [
        {
            "file": "dog/zz.jpg",
            "reason": "cannot be read (8.6 GB, more than the 600.0 MB that an image file may have)",
        }
    ]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "here: there is only one class, cat: nothing to tell apart: add"),
        (["cat", "cat"], "two classes are called cat"),
        (["cat", "x" * 1001], r"1,001 letters \(x{80}\.\.\.\)"),
        (["cat", "\udce9"], "must be UTF-8"),
    ],
)
def test_classes_that_make_no_set(classes: list[str], message: str) -> None:
    check_classes("here", ["cat", "dog"])
    with pytest.raises(InputError, match=message):
        check_classes("here", classes)


def test_class_numbers_that_nobody_means() -> None:
    check_numbers("here", 99_999, 2)
    check_numbers("here", 199_999, 200_000)
    with pytest.raises(InputError, match="here: label 1000000000 with 5 images"):
        check_numbers("here", 10**9, 5)
    with pytest.raises(InputError, match="below 200,000 here"):
        check_numbers("here", 200_000, 200_000)


def test_words_of_splits_inside_names() -> None:
    assert [split_word(name) for name in ("train2", "my_val", "Test-Set", "images_training", "EVAL")] == [
        "train",
        "val",
        "test",
        "training",
        "eval",
    ]
    assert not any(split_word(name) for name in ("trained", "valley", "contest", "device", "cat", "2"))


def test_some_classes_of_a_source(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "in", {"cat": 2, "dog": 3, "emu": 1})
    source = open_source(str(folder), ["emu", "dog"])
    assert (source.classes, source.count("train")) == (("dog", "emu"), 4)
    assert [item.label for item in source.items("train")] == [0, 0, 0, 1]
    with pytest.raises(InputError, match="no class of .* is called that"):
        open_source(str(folder), ["cow"])
