"""Folders of class folders: which of them are splits, and what is asked about."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.cli import main
from alexnet.data.sources import open_source
from alexnet.doctor import examine
from alexnet.errors import InputError
from tests.damage import damaged, one_line_or_success
from tests.data.making import class_folders, jpeg, picture, write_folder


def layout(root: Path, *folders: str) -> Path:
    return class_folders(root, dict.fromkeys(folders, 1))


def of_two(*splits: str) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in ("cat", "dog")]


def open_error(path: Path) -> str:
    with pytest.raises(InputError) as error:
        open_source(str(path))
    return str(error.value)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train",), {"train": "train"}),
        (("train", "Val"), {"train": "train", "val": "Val"}),
        (("training", "testing"), {"train": "training", "test": "testing"}),
        (("TRAIN", "Valid", "Test"), {"train": "TRAIN", "val": "Valid", "test": "Test"}),
        (("Training", "dev"), {"train": "Training", "val": "dev"}),
        (("train", "eval", "test"), {"train": "train", "val": "eval", "test": "test"}),
        (("train", "VALIDATION"), {"train": "train", "val": "VALIDATION"}),
    ],
)
def test_known_names_in_any_letter_case_are_splits(tmp_path: Path, folders: tuple, splits: dict[str, str]) -> None:
    source = open_source(str(layout(tmp_path, *of_two(*folders))))
    assert source.classes == ("cat", "dog")
    assert {split: [(item.name, item.label) for item in source.items(split)] for split in source.splits} == {
        split: [(f"{folder}/cat/0000.jpg", 0), (f"{folder}/dog/0000.jpg", 1)] for split, folder in splits.items()
    }


@pytest.mark.parametrize("twice", [("val", "valid"), ("Train", "train"), ("training", "train"), ("dev", "eval")])
def test_two_folders_of_one_split_are_an_error_that_names_both(tmp_path: Path, twice: tuple[str, str]) -> None:
    folder = layout(tmp_path, *of_two("train", *twice))
    if not {*twice} <= {path.name for path in folder.iterdir()}:
        pytest.skip("a file system that takes Train for train")
    message = open_error(folder)
    assert all(str(tmp_path / name) in message for name in twice) and "are both the split" in message


@pytest.mark.parametrize(
    "name", ["train2", "my_val", "images_train", "test-set", "Val.old", "2024 test", "testset", "MyTestImages"]
)
def test_what_looks_like_a_split_is_asked_about(tmp_path: Path, name: str) -> None:
    for number, others in enumerate((of_two("train"), of_two("train", "val"), ("cat", "dog"))):
        folder = layout(tmp_path / str(number), *others, *of_two(name))
        assert f"{folder / name} looks like a split: rename it to train, val or test if it is one" in open_error(folder)


def test_validation_folders_without_train_are_asked_about(tmp_path: Path) -> None:
    assert "no train/ with class folders in it" in open_error(layout(tmp_path / "a", *of_two("val", "test")))
    assert "no train/ with class folders in it" in open_error(layout(tmp_path / "b", "training", "testing"))
    assert "no train/ with class folders in it" in open_error(layout(tmp_path / "c", "train_images", "test_images"))
    assert "val looks like a split" in open_error(layout(tmp_path / "d", "cat", "dog", *of_two("val")))
    together = open_error(layout(tmp_path / "e", *of_two("trainset", "testset")))
    assert together.endswith("no train/ with class folders in it: call that of the training images train")
    flat = open_error(layout(tmp_path / "f", "train", "test"))
    assert flat.endswith("no train/ with class folders in it: put the images of train into one folder per class")


def test_a_folder_of_the_same_classes_beside_train_is_asked_about(tmp_path: Path) -> None:
    folder = layout(tmp_path, *of_two("train"), "holdout/dog")
    assert f"{folder / 'holdout'} looks like a split" in open_error(folder)


def test_flat_test_images_have_no_labels_and_are_passed_over(tmp_path: Path) -> None:
    folder = write_folder(layout(tmp_path, *of_two("train"), "test"), {"sample_submission.csv": b"id,label\n0,cat\n"})
    source = open_source(str(folder))
    assert source.splits == ("train",)
    assert str(source.passed_over) == "1 file (.csv), 1 folder (test)"  # type: ignore[attr-defined]
    assert not [finding for finding in examine(folder) if finding.level == "error"]


def test_classes_may_have_such_words_in_their_names(tmp_path: Path) -> None:
    for number, names in enumerate((("car", "train"), ("Test", "bus"), ("test_tube", "train station"), ("dev", "ops"))):
        assert open_source(str(layout(tmp_path / str(number), *names))).classes == tuple(sorted(names))
    folder = layout(tmp_path / "in", *of_two("train"), "val/cat", "val/dog")
    write_folder(folder, {"val_annotations/cat/1.xml": b"", "test notes/1.txt": b""})  # no images in them
    source = open_source(str(folder))
    assert source.splits == ("train", "val")
    assert str(source.passed_over) == "2 folders (test notes, val_annotations)"  # type: ignore[attr-defined]


def test_folders_beside_the_splits_are_said(tmp_path: Path) -> None:
    source = open_source(str(layout(tmp_path, *of_two("train"), "unlabelled")))
    assert str(source.passed_over) == "1 folder (unlabelled)"  # type: ignore[attr-defined]


# ---------------------------------------------------------------- one class


def test_one_class_is_refused_with_what_may_be_meant(tmp_path: Path) -> None:
    one = layout(tmp_path / "one", "cat")
    assert open_error(one).endswith(
        "there is only one class, cat: nothing to tell apart: add the folder of another class"
    )
    wrapped = layout(tmp_path / "wrapped", "photos/cat", "photos/dog")
    assert open_error(wrapped).endswith(f"give {wrapped / 'photos'}, if its folders are the classes")
    assert "give that folder" in open_error(layout(tmp_path / "set", *of_two("data/Training")))


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "annotations.json", "train.txt"])
@pytest.mark.parametrize("within", ["", "images/"])
def test_flat_images_beside_a_list_are_not_one_class(tmp_path: Path, name: str, within: str) -> None:
    folder = write_folder(layout(tmp_path, "images"), {f"{within}{name}": b""})
    hint = f"if {name} lists the images with their labels, give that (alexnet prepare {folder}/{within}{name} DEST)"
    assert open_error(folder).endswith(hint)


def test_loose_and_split_images_beside_a_list(tmp_path: Path) -> None:
    loose = write_folder(tmp_path / "loose", {"a.jpg": b"x", "labels.csv": b""})
    assert f"alexnet prepare {loose}/labels.csv DEST" in open_error(loose)
    flat = write_folder(layout(tmp_path / "flat", "train", "test"), {"train.csv": b""})
    assert f"alexnet prepare {flat}/train.csv DEST" in open_error(flat)
    assert "alexnet prepare" not in open_error(write_folder(tmp_path / "b", {"a.jpg": b"x", "README.txt": b""}))


def test_doctor_says_what_stops_prepare(tmp_path: Path) -> None:
    for number, folders in enumerate((("cat",), of_two("train", "val", "valid"), of_two("train", "my_val"))):
        folder = layout(tmp_path / str(number), *folders)
        errors = [finding for finding in examine(folder) if finding.level == "error"]
        assert [f"{finding.what}: {finding.fix}" for finding in errors] == [open_error(folder)]


def test_one_class_that_is_asked_for_is_prepared_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, dest = layout(tmp_path / "in", "cat", "dog"), tmp_path / "out"
    assert main(["prepare", str(folder), str(dest), "--size", "8", "--classes", "dog"]) == 0
    said = "there is only one class, dog: nothing to tell apart"
    assert f"alexnet prepare: {said}\n" in capsys.readouterr().err
    assert [finding.what for finding in examine(dest) if finding.level == "error"] == [said]


# ---------------------------------------------------------------- whatever lies in a folder


def test_a_folder_without_end_is_one_line(tmp_path: Path) -> None:
    folder = layout(tmp_path, "cat", "dog")
    write_folder(folder, {f"dog/{'a/' * 90}deep.jpg": b"x"})
    assert open_source(str(folder)).count("train") == 3
    (folder / "dog" / ("b/" * 150)).mkdir(parents=True)
    source = open_source(str(folder))
    with pytest.raises(InputError, match="lies more than 100 folders deep: move its images up"):
        source.count("train")
    assert any(finding.level == "error" and "100 folders deep" in finding.what for finding in examine(folder))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(("noext", "a.mpo", "a.jpg", "b.gif", "c.heic", "d.xyz", "e.txt", "@eaDir/f.jpg", ".g.jpg")),
        damaged(jpeg(picture(20, 30))),
        max_size=4,
    )
)
def test_a_folder_of_damaged_files_is_read_and_every_file_counted(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = class_folders(Path(place) / "in", {"cat": 2, "dog": 2})
        write_folder(folder, {f"dog/{name}": data for name, data in files.items()})

        def work() -> None:
            source = open_source(str(folder))
            items = [item.read() for item in source.items("train")]  # decoding them is to_square's, and its own test
            passed = source.passed_over.to_json().get("file", {})  # type: ignore[attr-defined]
            assert len(items) + sum(passed.values()) == 4 + len(
                [name for name in files if not name.startswith("@eaDir")]
            )

        one_line_or_success(work, 4)
