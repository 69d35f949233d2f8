from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data import prepared
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError
from tests.data.making import class_folders


@pytest.fixture
def whole(tmp_path: Path) -> prepared.Prepared:
    folder = class_folders(tmp_path / "in", {"train/cat": 5, "train/dog": 3, "test/cat": 2, "test/dog": 2})
    return prepare(open_source(str(folder)), tmp_path / "out", size=8)


def test_open_gives_what_was_written(whole: prepared.Prepared) -> None:
    again = prepared.open(str(whole.path))
    assert again.classes == ("cat", "dog")
    assert again.splits == ("train", "test")
    assert again.size == 8
    assert again.mean.dtype == np.float32
    split = again.split("train")
    assert split.images.shape == (8, 8, 8, 3)
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [0] * 5 + [1] * 3
    assert split.classes == ("cat", "dog")
    assert split.files[0] == "train/cat/0000.jpg"
    assert split.files[-1] == "train/dog/0002.jpg"
    assert list(split.files)[3:6] == ["train/cat/0003.jpg", "train/cat/0004.jpg", "train/dog/0000.jpg"]
    with pytest.raises(IndexError):
        split.files[8]


def test_images_cannot_be_written_over(whole: prepared.Prepared) -> None:
    with pytest.raises(TypeError, match="item assignment"):
        whole.split("train").images[0] = 0  # type: ignore[index]
    whole.split("train").images[0][:] = 0  # a copy
    assert whole.check() == []


def test_val_falls_back_to_test(whole: prepared.Prepared) -> None:
    assert whole.split("val").name == "test"
    assert whole.split("test").labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(InputError, match="it has train, test"):
        whole.split("holdout")


def test_open_says_what_is_missing(tmp_path: Path, whole: prepared.Prepared) -> None:
    with pytest.raises(InputError, match="alexnet prepare"):
        prepared.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="no prepared dataset"):
        prepared.open(tmp_path / "in")
    manifest = whole.path / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"version": 1', '"version": 99'))
    with pytest.raises(InputError, match="version 99"):
        prepared.open(whole.path)
    manifest.write_text(text[:50])
    with pytest.raises(InputError, match="damaged"):
        prepared.open(whole.path)
    manifest.write_text(text)
    (whole.path / "mean.npy").unlink()
    with pytest.raises(InputError, match=r"damaged.*mean\.npy"):
        prepared.open(whole.path)


@pytest.mark.parametrize(
    "file", ["train/images.bin", "train/labels.bin", "train/files.txt", "test/images.bin", "mean.npy", "colour.json"]
)
def test_check_finds_one_changed_byte(whole: prepared.Prepared, file: str) -> None:
    path = whole.path / file
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    problems = whole.check()
    assert problems
    assert all(file.split("/")[0] in problem for problem in problems)
    assert "alexnet prepare" in problems[0]


@pytest.mark.parametrize("file", ["images.bin", "labels.bin", "files.txt"])
def test_check_finds_cut_and_missing_files(whole: prepared.Prepared, file: str) -> None:
    path = whole.path / "train" / file
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert file in whole.check()[0]
    with pytest.raises(InputError, match="damaged" if file != "files.txt" else "lines, not"):
        whole.split("train")
    path.unlink()
    assert f"{file} is missing" in whole.check()[0]


def test_describe_counts_everything(whole: prepared.Prepared) -> None:
    facts = whole.describe()
    assert facts["splits"]["train"] == {"images": 8, "skipped": [], "per_class": {"cat": 5, "dog": 3}}
    assert facts["bytes"] == sum(path.stat().st_size for path in whole.path.rglob("*") if path.is_file())
    np.testing.assert_allclose(facts["mean_colour"], whole.split("train").images[:].mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.square(facts["eigenvalue_roots"]), facts["eigenvalues"])


def test_sample_is_seeded_and_by_class(whole: prepared.Prepared) -> None:
    sample = whole.sample("train", 4, seed=1)
    assert sample.labels.tolist() == [0] * 4 + [1] * 3
    train = whole.split("train")
    for image, file in zip(sample.images, sample.files, strict=True):
        np.testing.assert_array_equal(image, train.images[list(train.files).index(file)])
    assert len(set(sample.files)) == 7
    assert list(whole.sample("train", 4, seed=1).files) == list(sample.files)
    assert any(list(whole.sample("train", 4, seed=seed).files) != list(sample.files) for seed in range(2, 9))


def test_a_sample_of_very_many_classes_is_of_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = class_folders(tmp_path / "in", {f"train/{name}": 2 for name in "abcdefg"})
    result = prepare(open_source(str(folder)), tmp_path / "out", size=4)
    for most, labels in ((7, [0, 1, 2, 3, 4, 5, 6]), (6, [0, 2, 4, 6]), (2, [0, 4]), (1, [0])):
        monkeypatch.setattr(prepared, "SAMPLED_CLASSES", most)
        assert result.sample("train", 1).labels.tolist() == labels


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_hold_out_divides_every_class(labels: list[int], share: float, seed: int) -> None:
    array = np.array(labels, np.int64)
    train, held = prepared.hold_out(array, share, seed)
    assert train.dtype == held.dtype == np.int64
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    for label in set(labels):
        count, of_held = labels.count(label), int((array[held] == label).sum())
        assert abs(of_held - share * count) <= 1
        assert of_held < count
        assert of_held >= 1 or count == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 2**31))
def test_hold_out_is_what_looking_for_each_class_gives(labels: list[int], seed: int) -> None:
    # Runs that were begun before classes were found by one sort hold out the same images.
    array, random, held = np.array(labels, np.int64), np.random.default_rng(seed), []
    for label in np.unique(array):
        of_class = random.permutation(np.flatnonzero(array == label))
        held += of_class[: min(max(round(0.3 * len(of_class)), 1), len(of_class) - 1)].tolist()
    assert prepared.hold_out(array, 0.3, seed)[1].tolist() == sorted(held)


def test_hold_out_follows_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    same, other = (prepared.hold_out(labels, 0.2, seed)[1].tolist() for seed in (1, 2))
    assert prepared.hold_out(labels, 0.2, 1)[1].tolist() == same
    assert same != other


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_hold_out_needs_a_share(share: float) -> None:
    with pytest.raises(InputError, match="held out"):
        prepared.hold_out(np.zeros(4, int), share, 0)
