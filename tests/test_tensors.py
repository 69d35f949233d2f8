"""Arrays in a file come back as they were, and the file has the same bytes every time."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from alexnet import tensors
from alexnet.errors import InputError
from tests.damage import below

ARRAYS = {
    "bytes": np.arange(-5, 6, dtype=np.int8),  # eleven, so that what follows would lie askew
    "halves": np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3),
    "number": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def test_arrays_and_texts_come_back_to_the_bit(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors.write(file, ARRAYS, {"one": "eins", "two": "zwei"})
    read, texts = tensors.read(file, 1 << 20)
    assert texts == tensors.metadata(file) == {"one": "eins", "two": "zwei"}
    others = load_file(file)
    assert read.keys() == others.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name].numpy(), array)
        assert read[name].numpy().dtype == others[name].numpy().dtype == array.dtype
        assert others[name].data_ptr() % array.itemsize == 0


def test_the_same_contents_are_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    tensors.write(tmp_path / "a", ARRAYS, {"one": "eins"})
    tensors.write(tmp_path / "b", dict(reversed(ARRAYS.items())), {"one": "eins"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as safetensors"),
        (b"\x89PNG\r\n\x1a\n" * 9, "cannot be read as safetensors"),
        (b"\xff\xff\xff\xff\xff\0\0\0{", "cannot be read as safetensors"),
        (b"\x02\0\0\0\0\0\0\0{]", "cannot be read as safetensors"),
        (b"a" * 2000, "2,000 bytes, more than such a file can have"),
    ],
)
def test_what_is_no_such_file_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with below(10), pytest.raises(InputError, match=rf"a\.safetensors: {message}") as raised:
        tensors.read(file, 1000)
    assert "\n" not in str(raised.value) and tensors.metadata(file) == {}


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("absent", "No such file"), ("pipe", "no plain file"), (".", "no plain file")):
        with pytest.raises(InputError, match=message):
            tensors.read(tmp_path / name, 1000)
        assert tensors.metadata(tmp_path / name) == {}
