"""Tables: files that rows name, labels that nobody means, names of splits, and damaged files."""

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError
from tests.damage import damaged, one_line_or_success
from tests.data.making import jpeg, picture

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def rows(*images: bytes | str, labels: list | None = None) -> Any:
    """A table of images, each its bytes or the path of a file."""
    cells = [{"bytes": None, "path": i} if isinstance(i, str) else {"bytes": i, "path": None} for i in images]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    labels = list(range(len(images))) if labels is None else labels
    return pyarrow.table({"image": pyarrow.array(cells, kind), "label": labels})


def write(path: Path, table: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
    return path


def open_error(path: object) -> str:
    with pytest.raises(InputError) as error:
        open_source(str(path))
    return str(error.value)


IMAGE = jpeg(picture(20, 30))


def test_a_row_names_files_of_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "images" / "a.jpg").write_bytes(b"inside")
    monkeypatch.chdir("/")  # paths count from the table's folder
    path = write(
        tmp_path / "set" / "a.parquet", rows("images/a.jpg", str(tmp_path / "set/images/../images/a.jpg"), IMAGE)
    )
    for source in (open_source(str(path)), open_source(str(path.parent))):
        assert [item.read() for item in source.items("train")] == [b"inside", b"inside", IMAGE]
        assert [item.read() for item in source.part("train", 0)] == [b"inside", b"inside", IMAGE]


@pytest.mark.parametrize(
    "name",
    ["/etc/hostname", "/dev/zero", "../secret.jpg", "link.jpg", "zip://a.jpg::/x.zip", "https://x.org/a", "a\0b"],
)
def test_a_row_names_no_other_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(IMAGE)
    path = write(tmp_path / "set" / "a.parquet", rows(IMAGE, name))
    (tmp_path / "set" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    message = f"row train/00000001 names the file {name!r}, outside {tmp_path / 'set'}"
    for split in ("items", "part"):
        with pytest.raises(InputError) as error:
            source = open_source(str(path))
            list(source.items("train") if split == "items" else source.part("train", 0))
        assert message in str(error.value)
    with pytest.raises(InputError, match="names the file"):
        prepare(open_source(str(path)), tmp_path / "out", size=8, max_bad=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_file_that_is_missing_or_a_pipe_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    path = write(tmp_path / "a.parquet", rows(IMAGE, "gone.jpg", "pipe.jpg"))
    result = prepare(open_source(str(path)), tmp_path / "out", size=8, max_bad=1, workers=1)
    assert [skipped["reason"] for skipped in result.manifest["splits"]["train"]["skipped"]] == [
        "cannot be read (No such file or directory)",
        "cannot be read (a pipe or a device, not a file)",
    ]


def test_the_hubs_rows_name_files_of_its_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for cache in ("datasets", "hub"):
        (tmp_path / cache).mkdir()
        (tmp_path / cache / "a.jpg").write_bytes(cache.encode())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def hub(*names: str) -> Any:
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
        cells = {"image": [{"bytes": None, "path": name} for name in names], "label": [0, 1]}
        tables = datasets.DatasetDict({"train": datasets.Dataset.from_dict(cells, features=features)})
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: tables)
        return open_source("hf:someone/animals").items("train")

    inside = [str(tmp_path / "datasets/a.jpg"), str(tmp_path / "hub/a.jpg")]
    assert [item.read() for item in hub(*inside)] == [b"datasets", b"hub"]
    with pytest.raises(InputError, match="hf:|someone/animals: row train/00000001 names the file '/etc/hostname'"):
        list(hub(inside[0], "/etc/hostname"))


@pytest.mark.parametrize("label", [10**9, 2**62])
def test_a_label_that_nobody_means_is_one_line(tmp_path: Path, label: int) -> None:
    path = write(tmp_path / "a.parquet", rows(IMAGE, IMAGE, labels=[0, label]))
    one_line_or_success(lambda: open_source(str(path)), 32)
    assert f"column label: label {label} with 2 images: labels are class numbers" in open_error(path)


def test_labels_of_a_part_of_imagenet_are_believed(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path / "a.parquet", rows(IMAGE, IMAGE, labels=[3, 999]))))
    assert len(source.classes) == 1000 and [item.label for item in source.items("train")] == [3, 999]


def test_more_rows_than_bytes_are_not_believed(tmp_path: Path) -> None:
    cells = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 1_000_000, pyarrow.int32()), pyarrow.array(["a.jpg"])
    )
    table = pyarrow.table({"image": cells, "label": pyarrow.array([0] * 1_000_000, pyarrow.int8())})
    path = write(tmp_path / "a.parquet", table)
    assert path.stat().st_size < 100_000
    assert "declares 1,000,000 rows in" in open_error(path)


@pytest.mark.parametrize("repeated", [False, True])
def test_rows_of_zeros_that_unpack_to_more_than_memory_are_not_believed(tmp_path: Path, repeated: bool) -> None:
    table = rows(*[bytes(40_000_000 + (0 if repeated else n)) for n in range(8)], labels=[0, 1] * 4)
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 1_000_000
    with pytest.raises(InputError, match=r"a\.parquet declares .* MB in .* MB: images do not pack so well"):
        list(open_source(str(tmp_path)).items("train"))


def test_large_rows_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.data.sources.tables.BATCH", 1000)
    path = write(tmp_path / "a.parquet", rows(*[os.urandom(900) for _ in range(8)], labels=[0, 1] * 4))
    read, batches = [], parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        parquet.ParquetFile, "iter_batches", lambda *a, **k: (read.append(b.num_rows) or b for b in batches(*a, **k))
    )
    source = open_source(str(path))
    read.clear()  # of the labels alone
    assert [len(item.read()) for item in source.items("train")] == [900] * 8
    assert read == [1] * 8


def test_labels_that_are_lists_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(IMAGE, IMAGE, labels=[[0], [1]]))
    assert "column label must hold class numbers from 0, or names" in open_error(path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(IMAGE, IMAGE, labels=["cat", "cat"]))
    assert "there is only one class, cat: nothing to tell apart" in open_error(path)


def test_names_of_splits(tmp_path: Path) -> None:
    for name in ("Train-0", "train-1", "Validation-0", "testing-0"):
        write(tmp_path / f"{name}.parquet", rows(IMAGE, IMAGE))
    source = open_source(str(tmp_path))
    assert source.splits == ("train", "val", "test") and source.count("train") == 4
    write(tmp_path / "my_val.parquet", rows(IMAGE))
    assert "my_val.parquet looks like the split val: begin its name with" in open_error(tmp_path)
    (tmp_path / "my_val.parquet").rename(tmp_path / "valid-1.parquet")
    message = open_error(tmp_path)
    assert "validation and valid are both the split val" in message or "valid and validation are both" in message
    assert open_source(str(write(tmp_path / "x" / "my_val.parquet", rows(IMAGE, IMAGE)))).splits == ("train",)


def test_splits_of_the_hub_that_are_not_used_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    one = datasets.Dataset.from_dict({"image": [{"bytes": IMAGE, "path": None}], "label": [1]}, features=features)
    tables = datasets.DatasetDict(dict.fromkeys(("Train", "dev", "validation", "extra"), one))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: tables)
    source = open_source("hf:someone/animals")
    assert source.splits == ("train", "val")
    assert str(source.passed_over) == "2 splits (dev, extra)"  # type: ignore[attr-defined]


def whole() -> bytes:
    file = io.BytesIO()
    parquet.write_table(rows(*(jpeg(picture(9, 9, n)) for n in range(4)), labels=[0, 1, 0, 1]), file)
    return file.getvalue()


WHOLE = whole()


@settings(max_examples=60, deadline=None)
@given(damaged(WHOLE))
def test_a_damaged_file_is_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.parquet"
        path.write_bytes(data)

        def work() -> None:
            source = open_source(str(path))
            for split in source.splits:
                for item in source.items(split):
                    assert 0 <= item.label < len(source.classes)
                for number in range(len(source.parts(split))):
                    list(source.part(split, number))

        one_line_or_success(work, 32)
