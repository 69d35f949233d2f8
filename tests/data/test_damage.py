"""Whatever the files of a prepared dataset or of a piece hold: one line, or exactly what was written; no more memory for it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.data import prepared
from alexnet.errors import InputError
from tests.damage import below, damaged, set_bytes

STATISTICS = ("manifest.json", "mean.npy", "colour.json")
FILES = {
    "raw": (*STATISTICS, "train/images.bin", "train/labels.bin", "train/files.txt"),
    "jpeg": (*STATISTICS, "train/jpegs.bin", "train/offsets.bin", "train/labels.bin", "train/files.txt"),
}


def all_of(path: Path) -> tuple[Any, ...]:
    """Everything that a dataset gives, in values that can be compared."""
    opened = prepared.open(path)
    split = opened.split("train")
    statistics = opened.mean, opened.covariance, opened.eigenvalues, opened.eigenvectors
    arrays = split.images[:], split.labels, *statistics
    return [array.tobytes() for array in arrays], opened.classes, opened.splits, opened.size, list(split.files)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_set_is_one_line_or_what_was_written(data: st.DataObject, chunked: Path) -> None:
    whole = all_of(chunked)
    name = data.draw(st.sampled_from(FILES[prepared.open(chunked).store]))
    file = chunked / name
    with set_bytes(file, data.draw(damaged(file.read_bytes()))), below(20):
        try:
            result = all_of(chunked)
        except InputError as error:
            assert str(chunked) in str(error) and "\n" not in str(error)
            return
        same = result == whole
        prepared.open(chunked).describe()
    # Names of classes are in the manifest alone; all else is compared with a checksum in it.
    assert same or name == "manifest.json"


Change = Callable[[dict[str, Any]], Any]


def at(place: str, value: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        *above, last = place.split(".")
        for part in above:
            manifest = manifest[int(part)] if isinstance(manifest, list) else manifest[part]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        at("size", -8),
        at("size", 10**12),
        at("size", True),
        at("size", 16),
        at("store", "tape"),
        at("store", ["raw"]),
        at("version", [1]),
        at("classes", "catdog"),
        at("classes", []),
        at("classes", [1, 2]),
        at("classes", ["cat", "dog", "eel"]),
        at("splits", []),
        at("splits", {}),
        at("splits", {"../train": {}}),
        at("splits.train", [1]),
        at("splits.train.images", -12),
        at("splits.train.images", 10**15),
        at("splits.train.images", 12.0),
        at("splits.train.images", None),
        at("splits.train.per_class", [13, -1]),
        at("splits.train.per_class", [7, 5]),
        at("splits.train.per_class", {"cat": 6, "dog": 6}),
        at("splits.train.skipped", 7),
        at("splits.train.skipped", [["a", "b"]]),
        at("splits.train.checksums", []),
        at("splits.train.checksums", [{"images": 12}]),
        at("splits.train.checksums", [{"images": 10**30, "sha256": ""}]),
        at("splits.train.checksums", [{"images": 12, "sha256": "0" * 64}]),
        at("statistics", {"../../secret": "0" * 64}),
        at("statistics", None),
        at("passed_over", ["file"]),
        at("passed_over", {"file": 3}),
        at("passed_over", {"file": {".txt": "many"}}),
        at("source", {"description": ["a"], "fingerprint": ""}),
        lambda manifest: manifest["splits"]["train"].update(images=10**11, per_class=[10**11, 0], checksums=[]),
    ],
)
def test_meaningless_manifests_are_one_line(change: Change, chunked: Path) -> None:
    manifest = json.loads((chunked / "manifest.json").read_text())
    changed = copy.deepcopy(manifest)
    change(changed)
    content = json.dumps(changed).encode()
    with (
        set_bytes(chunked / "manifest.json", content),
        below(20),
        pytest.raises(InputError, match=str(chunked)) as raised,
    ):
        all_of(chunked)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[" * 200_000, b'{"version": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"7"]
)
def test_a_manifest_that_is_no_object_is_one_line(content: bytes, chunked: Path) -> None:
    with (
        set_bytes(chunked / "manifest.json", content),
        pytest.raises(InputError, match=r"is damaged \(.*alexnet prepare SOURCE .*again"),
    ):
        prepared.open(chunked)


@pytest.mark.parametrize("name", ["manifest.json", "mean.npy", "colour.json", "train/labels.bin"])
def test_a_sparse_file_of_8_gb_is_not_read(name: str, chunked: Path) -> None:
    file = chunked / name
    with set_bytes(file, b""):
        with file.open("r+b") as opened:
            opened.truncate(8 << 30)
        with below(20), pytest.raises(InputError, match=r"8,589,934,592 bytes, more than such a file can have"):
            all_of(chunked)
