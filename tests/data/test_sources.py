import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.builtin import Photographs
from alexnet.data.image import to_square
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.data.sources import source as of_source
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.devkit import read_devkit
from alexnet.data.sources.passed import IMAGE_SUFFIXES
from alexnet.data.sources.source import Source
from alexnet.errors import InputError
from tests.data.making import (
    WNIDS,
    MiniIlsvrc,
    add_bytes,
    class_folders,
    jpeg,
    make_mini_ilsvrc,
    picture,
    unpack_mini_ilsvrc,
    write_folder,
)


def listing(source: Source, split: str = "train") -> list[tuple[str, int]]:
    return [(item.name, item.label) for item in source.items(split)]


def open_error(path: object) -> str:
    with pytest.raises(InputError) as error:
        open_source(str(path))
    return str(error.value)


# ---------------------------------------------------------------- a folder of class folders


def test_folder_without_splits(tmp_path: Path) -> None:
    source = open_source(str(class_folders(tmp_path, {"dog": 1, "cat": 2})))
    assert source.splits == ("train",)
    assert source.classes == ("cat", "dog")
    assert listing(source) == [("cat/0000.jpg", 0), ("cat/0001.jpg", 0), ("dog/0000.jpg", 1)]
    assert source.count("train") == 3
    assert next(source.items("train")).read() == (tmp_path / "cat/0000.jpg").read_bytes()


def test_a_class_that_only_train_has_keeps_its_label(tmp_path: Path) -> None:
    source = open_source(str(class_folders(tmp_path, {"train/a": 1, "train/b": 1, "train/c": 1, "val/c": 1})))
    assert listing(source, "val") == [("val/c/0000.jpg", 2)]


def test_linked_folders_and_loops(tmp_path: Path) -> None:
    class_folders(tmp_path / "elsewhere", {"dog": 2})
    class_folders(tmp_path / "in", {"cat": 1})
    (tmp_path / "in/dog").symlink_to(tmp_path / "elsewhere/dog")
    (tmp_path / "in/cat/loop").symlink_to(tmp_path / "in/cat")
    assert listing(open_source(str(tmp_path / "in"))) == [("cat/0000.jpg", 0), ("dog/0000.jpg", 1), ("dog/0001.jpg", 1)]


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "in", {"train/cat": 1, "train/dog": 1})
    monkeypatch.chdir(tmp_path / "in")
    source = open_source(".")
    assert listing(source) == [("train/cat/0000.jpg", 0), ("train/dog/0000.jpg", 1)]
    assert source.description == "folder of class folders, in/"
    assert source.fingerprint() == open_source(str(tmp_path / "in")).fingerprint()


def test_fingerprint_follows_names_sizes_and_labels(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 2})
    prints = [open_source(str(tmp_path)).fingerprint()]
    os.utime(tmp_path / "a/0000.jpg", (1, 1))
    assert open_source(str(tmp_path)).fingerprint() == prints[0]
    (tmp_path / "a/0000.jpg").write_bytes(b"other")
    prints.append(open_source(str(tmp_path)).fingerprint())
    (tmp_path / "a/0000.jpg").rename(tmp_path / "a/0001.jpg")
    prints.append(open_source(str(tmp_path)).fingerprint())
    (tmp_path / "b").rename(tmp_path / "c")
    prints.append(open_source(str(tmp_path)).fingerprint())
    assert len(set(prints)) == 4


names = st.text("abAB0_ é", min_size=1, max_size=5).filter(lambda name: name.strip() == name)
file_names = st.builds(str.__add__, names, st.sampled_from([*sorted(IMAGE_SUFFIXES), ".txt", ".JPG"]))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.sets(st.one_of(file_names, st.builds("{}/{}".format, names, file_names)), min_size=1)))
def test_any_tree_has_one_order_and_the_labels_of_its_folders(tree: dict[str, set[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        written = set()
        for class_name, files in tree.items():
            for file in files:
                try:
                    write_folder(root, {f"{class_name}/{file}": b"x"})
                except (IsADirectoryError, NotADirectoryError, FileExistsError):
                    continue
                written.add(f"{class_name}/{file}")
        images = {name for name in written if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES}
        class_names = sorted({name.split("/")[0] for name in written})
        if not images or {name.split("/")[0] for name in images} != set(class_names):
            assert "no images" in open_error(root)
            return
        if len(class_names) == 1:
            assert "only one class" in open_error(root)
            return
        source = open_source(folder)
        assert source.classes == tuple(class_names)
        expected = sorted(images, key=lambda name: name.split("/"))
        assert listing(source) == [(name, class_names.index(name.split("/")[0])) for name in expected]
        assert listing(source) == listing(open_source(folder))
        assert source.count("train") == len(images)


@pytest.mark.skipif(sys.platform == "darwin", reason="file names there are UTF-8")
def test_a_class_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, {os.fsdecode(b"caf\xe9"): 1})
    assert "must be UTF-8: rename it" in open_error(tmp_path)


def test_errors_name_the_folder_and_the_fix(tmp_path: Path) -> None:
    assert "does not exist" in open_error(tmp_path / "nothing")
    assert "alexnet prepare --help" in open_error(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "no images" in open_error(tmp_path / "empty")
    assert "class folders" in open_error(write_folder(tmp_path / "loose", {"a.jpg": b"x"}))
    class_folders(tmp_path / "gap", {"cat": 1})
    (tmp_path / "gap/dog").mkdir()
    assert "gap/dog, a class folder, has no images" in open_error(tmp_path / "gap")
    class_folders(tmp_path / "extra", {"train/cat": 1, "val/cat": 1, "val/dog": 1})
    assert "extra/val/dog is a class folder that" in open_error(tmp_path / "extra")
    class_folders(tmp_path / "flat", {"train/cat": 1, "val": 1})
    assert "ILSVRC2012_devkit_t12.tar.gz" in open_error(tmp_path / "flat")
    class_folders(tmp_path / "hollow", {"train/cat": 1})
    (tmp_path / "hollow/val").mkdir()
    assert "hollow/val has no images" in open_error(tmp_path / "hollow")
    class_folders(tmp_path / "hollow2", {"train/cat": 1, "val/cat": 0})
    (tmp_path / "hollow2/val/cat").mkdir(parents=True)
    assert "hollow2/val has no images" in open_error(tmp_path / "hollow2")
    class_folders(tmp_path / "notrain", {"val/cat": 1, "test/cat": 1})
    assert "no train/" in open_error(tmp_path / "notrain")
    class_folders(tmp_path / "outer", {"set/train/cat": 1, "set/val/cat": 1})
    assert "give that folder" in open_error(tmp_path / "outer")
    assert "known kind" in open_error(tmp_path / "loose/a.jpg")
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"")
    assert "give the folder that holds it" in open_error(tmp_path / "ILSVRC2012_img_val.tar")
    (tmp_path / "x.tar.gz").write_bytes(b"")
    assert "give the folder that holds it" in open_error(tmp_path / "x.tar.gz")


# ---------------------------------------------------------------- ILSVRC-2012


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniIlsvrc:
    return make_mini_ilsvrc(tmp_path_factory.mktemp("mini"))


def test_the_miniatures_ids_are_not_in_sorted_order(mini: MiniIlsvrc) -> None:
    devkit = read_devkit(mini.folder)
    assert devkit is not None
    assert [devkit.wnid_of_id[id] for id in range(1, 6)] != sorted(WNIDS)
    assert len(devkit.wnid_of_id) == 5  # and the synsets above the classes are none


def test_archives_in_the_order_of_wordnet_ids(mini: MiniIlsvrc) -> None:
    source = open_source(str(mini.folder))
    assert source.splits == ("train", "val")
    assert source.classes == mini.classes
    assert source.classes[0] == "n01440764 tench"
    train = listing(source)
    assert {name: label for name, label in train if name != mini.truncated} == mini.train
    assert [label for _, label in train] == sorted(label for _, label in train)
    assert source.count("train") == len(train) == 120


def test_val_labels_go_through_the_devkits_ids(mini: MiniIlsvrc) -> None:
    source = open_source(str(mini.folder))
    assert dict(listing(source, "val")) == mini.val
    assert source.count("val") == len(mini.val)


def test_images_come_out_of_the_archives_whole(mini: MiniIlsvrc) -> None:
    items = {
        item.name: item.read() for split in ("train", "val") for item in open_source(str(mini.folder)).items(split)
    }
    with tarfile.open(mini.folder / "ILSVRC2012_img_train.tar") as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                for image in inner:
                    file = inner.extractfile(image)
                    assert file is not None
                    assert items.pop(f"{member.name.removesuffix('.tar')}/{image.name}") == file.read()
    with tarfile.open(mini.folder / "ILSVRC2012_img_val.tar") as tar:
        for image in tar:
            file = tar.extractfile(image)
            assert file is not None
            assert items.pop(image.name) == file.read()
    assert not items


def test_a_shuffled_val_archive_has_the_same_labels(mini: MiniIlsvrc, tmp_path: Path) -> None:
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        (tmp_path / name).symlink_to(mini.folder / name)
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as tar:
        for name in sorted(mini.val, reverse=True):
            add_bytes(tar, f"val/{name}", b"x")
    assert dict(listing(open_source(str(tmp_path)), "val")) == mini.val


def test_odd_files_of_the_miniature_are_prepared(mini: MiniIlsvrc, tmp_path: Path) -> None:
    result = prepare(open_source(str(mini.folder)), tmp_path, size=24)
    train = result.manifest["splits"]["train"]
    assert [skipped["file"] for skipped in train["skipped"]] == [mini.truncated]
    assert train["skipped"][0]["reason"].startswith("truncated")
    assert {mini.cmyk, mini.png} <= set(result.split("train").files)
    assert result.check() == []


def test_unpacked_layout_is_the_same_source(mini: MiniIlsvrc, tmp_path: Path) -> None:
    source = open_source(str(unpack_mini_ilsvrc(mini.folder, tmp_path)))
    assert source.classes == mini.classes
    assert source.splits == ("train", "val")
    assert {f"val/{name}": label for name, label in mini.val.items()} == dict(listing(source, "val"))
    train = dict(listing(source))
    assert train.pop(f"train/{mini.truncated}") == 2
    assert train == {f"train/{name}": label for name, label in mini.train.items()}
    packed = {os.path.basename(item.name): item.read() for item in open_source(str(mini.folder)).items("train")}
    assert {os.path.basename(item.name): item.read() for item in source.items("train")} == packed


def test_unpacked_layout_with_the_devkit_still_packed(mini: MiniIlsvrc, tmp_path: Path) -> None:
    unpack_mini_ilsvrc(mini.folder, tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12").rename(tmp_path / "devkit-elsewhere")
    assert "devkit" in open_error(tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").symlink_to(mini.folder / "ILSVRC2012_devkit_t12.tar.gz")
    write_folder(tmp_path, {"test/ILSVRC2012_test_00000001.JPEG": b"x"})  # its labels are not public
    source = open_source(str(tmp_path))
    assert source.splits == ("train", "val")
    assert sorted(dict(listing(source, "val")).values()) == sorted(mini.val.values())


def test_missing_archives_are_named(mini: MiniIlsvrc, tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_val.tar").symlink_to(mini.folder / "ILSVRC2012_img_val.tar")
    assert "no ILSVRC2012_img_train.tar" in open_error(tmp_path)
    (tmp_path / "ILSVRC2012_img_train.tar").symlink_to(mini.folder / "ILSVRC2012_img_train.tar")
    assert "but no ILSVRC2012_devkit_t12.tar.gz, which has its labels: put it beside" in open_error(tmp_path)
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    source = open_source(str(tmp_path))
    assert source.splits == ("train",)
    assert source.classes == WNIDS  # bare: only the devkit knows words
    assert source.count("train") is None


def copy_mini(mini: MiniIlsvrc, folder: Path, **replaced: bytes) -> Path:
    files = {
        "train": "ILSVRC2012_img_train.tar",
        "val": "ILSVRC2012_img_val.tar",
        "devkit": "ILSVRC2012_devkit_t12.tar.gz",
    }
    data = {name: replaced.get(key, (mini.folder / name).read_bytes()) for key, name in files.items()}
    return write_folder(folder, data)


def test_cut_off_archives_are_noticed(mini: MiniIlsvrc, tmp_path: Path) -> None:
    train = (mini.folder / "ILSVRC2012_img_train.tar").read_bytes()
    assert "cut off" in open_error(copy_mini(mini, tmp_path / "a", train=train[: len(train) // 2]))
    assert "empty" in open_error(copy_mini(mini, tmp_path / "b", train=train[-1024:]))
    assert "download it again" in open_error(copy_mini(mini, tmp_path / "c", train=b"<html>not found</html>" * 100))
    assert "download it again" in open_error(copy_mini(mini, tmp_path / "d", devkit=b"x" * 100))
    val = (mini.folder / "ILSVRC2012_img_val.tar").read_bytes()
    assert "cut off" in open_error(copy_mini(mini, tmp_path / "e", val=val[: len(val) // 2 + 100]))


def test_a_train_archive_that_lacks_a_class_is_noticed(mini: MiniIlsvrc, tmp_path: Path) -> None:
    short = io.BytesIO()
    with tarfile.open(mini.folder / "ILSVRC2012_img_train.tar") as tar, tarfile.open(fileobj=short, mode="w") as out:
        for member in tar:
            if WNIDS[3] not in member.name:
                out.addfile(member, tar.extractfile(member))
    assert f"lack class {WNIDS[3]}" in open_error(copy_mini(mini, tmp_path, train=short.getvalue()))


def test_the_wrong_tar_under_the_right_name(mini: MiniIlsvrc, tmp_path: Path) -> None:
    val = (mini.folder / "ILSVRC2012_img_val.tar").read_bytes()
    assert "one .tar per class" in open_error(copy_mini(mini, tmp_path, train=val))


def test_a_val_image_without_a_number_is_an_error(mini: MiniIlsvrc, tmp_path: Path) -> None:
    for number, name in enumerate(("holiday.JPEG", "ILSVRC2012_val_00099999.JPEG", "ILSVRC2012_val_00000000.JPEG")):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            add_bytes(tar, name, b"x")
        assert name in open_error(copy_mini(mini, tmp_path / str(number), val=file.getvalue()))


def test_archive_fingerprint_follows_their_beginnings_and_sizes(mini: MiniIlsvrc, tmp_path: Path) -> None:
    val = (mini.folder / "ILSVRC2012_img_val.tar").read_bytes()
    changed = val[:600] + bytes([val[600] ^ 1]) + val[601:]
    prints = [
        open_source(str(copy_mini(mini, tmp_path / name, val=data))).fingerprint()
        for name, data in (("a", val), ("b", val), ("c", changed), ("d", val + b"\0" * 512))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


# ---------------------------------------------------------------- one tar per class


@pytest.fixture
def fall(mini: MiniIlsvrc, tmp_path: Path) -> tuple[Path, Path]:
    """Fall 2011 in miniature: the tar of tars, and a folder of the same tars."""
    whole = tmp_path / "fall11_whole.tar"
    whole.write_bytes((mini.folder / "ILSVRC2012_img_train.tar").read_bytes())
    with tarfile.open(whole) as tar:
        tar.extractall(tmp_path / "tars", filter="data")
    return whole, tmp_path / "tars"


def test_tars_by_class_are_the_training_images_of_the_same_archive(mini: MiniIlsvrc, fall: tuple[Path, Path]) -> None:
    expected = listing(open_source(str(mini.folder)))
    for path in fall:
        source = open_source(str(path))
        assert (source.classes, source.splits, source.count("train")) == (WNIDS, ("train",), None)
        assert listing(source) == expected
    images = [[item.read() for item in open_source(str(path)).items("train")] for path in (mini.folder, *fall)]
    assert images[0] == images[1] == images[2]


def test_tars_by_class_have_a_fingerprint_of_names_sizes_and_beginnings(fall: tuple[Path, Path]) -> None:
    for path in fall:
        before = open_source(str(path)).fingerprint()
        assert open_source(str(path)).fingerprint() == before
        changed = path if path.is_file() else sorted(path.iterdir())[3]
        with changed.open("r+b") as file:
            file.seek(600)
            file.write(b"changed")
        assert open_source(str(path)).fingerprint() != before


def test_a_folder_that_holds_only_the_tar_of_tars(fall: tuple[Path, Path], tmp_path: Path) -> None:
    whole = next(path for path in fall if path.is_file())
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / whole.name).symlink_to(whole.absolute())
    alone, source = open_source(str(tmp_path / "alone")), open_source(str(whole))
    assert alone.classes == WNIDS and listing(alone) == listing(source)
    assert alone.fingerprint() == source.fingerprint()


# ---------------------------------------------------------------- Hugging Face


def rows(labels: list[object]) -> dict[str, list]:
    return {"image": [{"bytes": jpeg(picture(20, 30, n)), "path": None} for n in range(len(labels))], "label": labels}


def class_labels(names: list[str], image: str = "image", label: str = "label"):
    datasets = pytest.importorskip("datasets")
    return datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=names)})


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    features = class_labels(["zebra", "ant"])
    for name, labels in (
        ("train-00000-of-00002", [0, 1, 0]),
        ("train-00001-of-00002", [1, 1]),
        ("validation-00000-of-00001", [1, 0]),
        ("test-00000-of-00001", [-1, -1]),  # as the hub's ImageNet has it
    ):
        datasets.Dataset.from_dict(rows(list(labels)), features=features).to_parquet(str(tmp_path / f"{name}.parquet"))
    return tmp_path


def test_a_folder_of_parquet_files(parquet: Path) -> None:
    source = open_source(str(parquet))
    assert source.classes == ("zebra", "ant")  # their own order
    assert source.splits == ("train", "val")
    assert [label for _, label in listing(source)] == [0, 1, 0, 1, 1]
    assert [label for _, label in listing(source, "val")] == [1, 0]
    assert len({name for name, _ in listing(source)}) == 5
    assert (source.count("train"), source.count("val")) == (5, 2)
    assert [item.read() for item in source.items("val")] == [jpeg(picture(20, 30, n)) for n in range(2)]


def test_one_parquet_file_is_train_and_prepares(parquet: Path, tmp_path: Path) -> None:
    source = open_source(str(parquet / "train-00000-of-00002.parquet"))
    assert source.splits == ("train",)
    split = prepare(source, tmp_path / "out", size=12).split("train")
    assert split.labels.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(split.images[2], to_square(jpeg(picture(20, 30, 2)), 12))


def test_parquet_fingerprint(parquet: Path) -> None:
    before = open_source(str(parquet)).fingerprint()
    assert open_source(str(parquet)).fingerprint() == before
    (parquet / "train-00001-of-00002.parquet").rename(parquet / "train-extra.parquet")
    assert open_source(str(parquet)).fingerprint() != before


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [([2, 0, 1], ("0", "1", "2"), [2, 0, 1]), (["fox", "ant", "fox"], ("ant", "fox"), [1, 0, 1])],
)
def test_labels_without_names_and_names_without_labels(
    tmp_path: Path, labels: list, classes: tuple, expected: list
) -> None:
    pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    images = [jpeg(picture(20, 30, n)) for n in range(3)]
    parquet.write_table(pyarrow.table({"img": images, "fine_label": labels}), tmp_path / "plain.parquet")
    source = open_source(str(tmp_path / "plain.parquet"))
    assert source.classes == classes
    assert [item.label for item in source.items("train")] == expected
    assert [item.read() for item in source.items("train")] == images


def test_parquet_errors(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    (tmp_path / "rubbish.parquet").write_bytes(b"x" * 100)
    assert "cannot be read as parquet" in open_error(tmp_path / "rubbish.parquet")
    parquet.write_table(pyarrow.table({"image": [b"x"], "price": [1.5]}), tmp_path / "prices.parquet")
    assert "no column for the label" in open_error(tmp_path / "prices.parquet")
    parquet.write_table(pyarrow.table({"image": [b"x"], "label": [1.5]}), tmp_path / "floats.parquet")
    assert "column label must hold" in open_error(tmp_path / "floats.parquet")


def test_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "on-disk.jpg").write_bytes(jpeg(picture(20, 30)))
    features = class_labels(["ant", "fox"], image="img", label="fine_label")
    images = [{"bytes": jpeg(picture(20, 30, 1)), "path": None}, {"bytes": None, "path": str(tmp_path / "on-disk.jpg")}]
    tables = datasets.DatasetDict(
        {
            "test": datasets.Dataset.from_dict({"img": images[:1], "fine_label": [0]}, features=features),
            "train": datasets.Dataset.from_dict({"img": images, "fine_label": [1, 0]}, features=features),
            "unsupervised": datasets.Dataset.from_dict({"img": images, "fine_label": [-1, -1]}, features=features),
        }
    )
    asked = []
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **_: asked.append(names) or tables)
    source = open_source("hf:someone/animals")
    assert asked == [("someone/animals",)]
    assert source.description == "Hugging Face dataset someone/animals"
    assert source.splits == ("train", "test")
    assert source.classes == ("ant", "fox")
    assert [item.read() for item in source.items("train")] == [jpeg(picture(20, 30, 1)), jpeg(picture(20, 30))]
    assert [label for _, label in listing(source)] == [1, 0]
    assert source.fingerprint() == open_source("hf:someone/animals").fingerprint()
    open_source("hf:someone/animals:160px")
    assert asked[-1] == ("someone/animals", "160px")


def test_a_name_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def fail(name: str) -> None:
        raise FileNotFoundError(f"{name} is not there")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    assert open_error("hf:no/such").startswith("hf:no/such cannot be loaded (no/such is not there): check the name")
    assert "lacks the NAME" in open_error("hf:")


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "x.parquet").write_bytes(b"")
    for text in ("hf:someone/animals", str(tmp_path / "x.parquet"), str(tmp_path)):
        assert 'pip install "alexnet[hub]"' in open_error(text)


# ---------------------------------------------------------------- single arrays


def uint8(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_arrays_with_names_and_splits(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        train_images=uint8(3, 9, 12, 3),
        train_labels=np.array([1, 0, 1], np.uint8),
        test_images=uint8(2, 9, 12),
        test_labels=np.array([0, 1]),
        classes=np.array(["cat", "dog"]),
    )
    source = open_source(str(tmp_path / "a.npz"))
    assert source.splits == ("train", "test")
    assert source.classes == ("cat", "dog")
    assert listing(source) == [("train/0", 1), ("train/1", 0), ("train/2", 1)]
    assert source.count("test") == 2
    result = prepare(source, tmp_path / "out", size=6)
    np.testing.assert_array_equal(result.split("train").images[2], to_square(uint8(3, 9, 12, 3)[2], 6))
    np.testing.assert_array_equal(result.split("test").images[1], to_square(uint8(2, 9, 12)[1], 6))


def test_arrays_without_names_or_splits(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=uint8(3, 5, 5), labels=[2, 0, 1])
    source = open_source(str(tmp_path / "a.npz"))
    assert source.splits == ("train",)
    assert source.classes == ("0", "1", "2")


def test_array_fingerprint_reads_all_of_the_file(tmp_path: Path) -> None:
    images = np.zeros((400, 64, 64, 3), np.uint8)  # 5 MB
    labels = np.arange(400) % 2
    prints = []
    for last in (0, 0, 1):
        images[-1, -1, -1, -1] = last
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        prints.append(open_source(str(tmp_path / "a.npz")).fingerprint())
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": uint8(2)}, "needs arrays images and labels"),
        ({"images": uint8(2, 5, 5)}, "labels are"),
        ({"images": uint8(2, 5, 5).astype(float), "labels": [0, 1]}, "must be uint8"),
        ({"images": uint8(2, 3, 5, 5), "labels": [0, 1]}, r"must be \[N, H, W, 3\]"),
        ({"images": uint8(2, 5, 5), "labels": [0]}, "one per image"),
        ({"images": uint8(2, 5, 5), "labels": [0.0, 1.0]}, "must be integers"),
        ({"images": uint8(2, 5, 5), "labels": [0, -1]}, "labels go from -1 to 0"),
        ({"images": uint8(2, 5, 5), "labels": [1, 2]}, "labels begin at 0"),
        ({"images": uint8(2, 5, 5), "labels": [0, 1], "classes": ["a"]}, "labels go from 0 to 1"),
        ({"images": uint8(0, 5, 5), "labels": np.zeros(0, int)}, "no images"),
        ({"images": np.array([{"a": 1}], object), "labels": [0]}, r"cannot be read as \.npz"),
    ],
)
def test_array_errors(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / "a.npz"))


def test_an_npz_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    message = open_error(tmp_path / "a.npz")
    assert "cannot be read as .npz" in message and "pickle" not in message


# ---------------------------------------------------------------- every source: parts, some of the classes


@pytest.fixture(
    params=["folder", "folder without splits", "archives", "unpacked", "tar", "tars", "parquet", "npz", "builtin"]
)
def any_source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """One of every kind, with several parts to each split."""
    monkeypatch.setattr(of_source, "ROWS", 2)
    if request.param == "builtin":
        return Photographs(train_patches=3, test_patches=2)
    if request.param.startswith("folder"):
        within = ("train/", "val/") if request.param == "folder" else ("",)
        return open_source(str(class_folders(tmp_path / "in", {f"{w}{name}": 3 for w in within for name in "abc"})))
    if request.param == "npz":
        np.savez(tmp_path / "a.npz", images=uint8(5, 5, 5), labels=[2, 0, 1, 1, 0])
        return open_source(str(tmp_path / "a.npz"))
    if request.param == "parquet":
        return open_source(str(request.getfixturevalue("parquet")))
    if request.param in ("tar", "tars"):
        return open_source(str(request.getfixturevalue("fall")[request.param == "tars"]))
    folder = request.getfixturevalue("mini").folder
    return open_source(str(folder if request.param == "archives" else unpack_mini_ilsvrc(folder, tmp_path / "in")))


def test_the_parts_in_turn_are_the_items(any_source: Source) -> None:
    for split in any_source.splits:
        parts, together = any_source.parts(split), []
        for number, part in enumerate(parts):
            items = [(item.name, item.label) for item in any_source.part(split, number)]
            assert part.items in (None, len(items))
            assert part.label is None or {label for _, label in items} <= {part.label}
            together += items
        assert together == listing(any_source, split)
        assert len(parts) > 1 or split != "train"


def test_chosen_classes_are_those_of_the_source_and_no_others(any_source: Source) -> None:
    names = any_source.classes
    chosen = choose(any_source, (names[-1], names[0]))  # in whatever order
    assert chosen.classes == (names[0], names[-1])
    for split in chosen.splits:
        new = {0: 0, len(names) - 1: 1}
        expected = [(name, new[label]) for name, label in listing(any_source, split) if label in new]
        assert expected and listing(chosen, split) == expected
        assert chosen.count(split) in (None, len(expected))
        numbers = range(len(chosen.parts(split)))
        assert [(i.name, i.label) for n in numbers for i in chosen.part(split, n)] == expected
        assert all(part.label in (None, 0, 1) for part in chosen.parts(split))
    assert len({s.fingerprint() for s in (any_source, chosen, choose(any_source, names[:1]))}) == 3
    assert chosen.fingerprint() == choose(any_source, (names[0], names[-1], names[0])).fingerprint()


def test_classes_by_wordnet_id_and_errors(mini: MiniIlsvrc, tmp_path: Path) -> None:
    source = open_source(str(mini.folder))
    assert choose(source, (WNIDS[3], "n01440764 tench")).classes == ("n01440764 tench", "n01491361 tiger shark")
    with pytest.raises(InputError, match=f"--classes n01440765: no class of .*{WNIDS[0]}"):
        choose(source, ("n01440765",))
    two = open_source(str(class_folders(tmp_path, {"polar bear": 1, "polar fox": 1})))
    with pytest.raises(InputError, match="--classes polar: several classes .* polar bear, polar fox"):
        choose(two, ("polar",))


def test_chosen_classes_prepared(any_source: Source, tmp_path: Path) -> None:
    names = any_source.classes
    result = prepare(choose(any_source, names[1:2]), tmp_path / "out", size=8, max_bad=0.1)
    assert result.classes == names[1:2] and result.check() == []
    whole = prepare(any_source, tmp_path / "whole", size=8, max_bad=0.1).split("train")
    np.testing.assert_array_equal(result.split("train").images[:], whole.images[np.flatnonzero(whole.labels == 1)])
    with pytest.raises(InputError, match="1 of its .* classes.*give another DEST"):
        prepare(choose(any_source, names[:1]), tmp_path / "out", size=8, max_bad=0.1)
