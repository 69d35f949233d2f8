"""Submission files: lines, ids and errors by hand, what is no such file, and images without labels from anywhere."""

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.sources.devkit import read_devkit
from alexnet.errors import InputError
from alexnet.evaluation import submission
from alexnet.evaluation.judged import order_of, unlabelled
from alexnet.evaluation.submission import Submission
from tests.data.making import make_mini_ilsvrc

CLASSES = tuple("abcdefg")
IDS = np.array([3, 1, 2, 7, 5, 6, 4])
"""Numbers of seven classes."""


def test_a_file_has_five_ids_a_line_in_the_order_of_the_names(tmp_path: Path) -> None:
    probabilities = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]], np.float32)
    written = Submission(tmp_path / "s.txt", CLASSES, IDS).write(probabilities, ["b_2.png", "a_1.png"])
    assert (tmp_path / "s.txt").read_text() == "3 1 2 7 5\n4 6 5 7 2\n"
    assert submission.read(tmp_path / "s.txt", 2, IDS).tolist() == [[3, 1, 2, 7, 5], [4, 6, 5, 7, 2]]
    listed = tmp_path / "s.txt.classes.txt"
    assert listed.read_text().splitlines() == ["1 b", "2 c", "3 a", "4 g", "5 e", "6 f", "7 d"]
    paths = {"submission": str(tmp_path / "s.txt"), "submission_classes": str(listed)}
    assert written.to_dict() == {**paths, "lines": 2}


def test_folders_do_not_matter_to_the_order(tmp_path: Path) -> None:
    files = ["a/t_2.png", "z/t_1.png", "b/t_3.png", "c/t_1.png"]
    assert order_of(files) == [3, 1, 0, 2]
    Submission(tmp_path / "s.txt", CLASSES, IDS).write(np.eye(4, 7, dtype=np.float32), files)
    assert [line[0] for line in (tmp_path / "s.txt").read_text().splitlines()] == ["7", "1", "3", "2"]


def test_fewer_than_five_classes_give_fewer_labels(tmp_path: Path) -> None:
    three = Submission(tmp_path / "s.txt", CLASSES[:3], np.array([1, 2, 3]))
    three.write(np.array([[0.2, 0.5, 0.3]], np.float32), ["a"])
    assert (tmp_path / "s.txt").read_text() == "2 3 1\n"


def test_where_no_file_can_be_written_is_said_before(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "s.txt"):
        with pytest.raises(InputError, match="no file can be written there"):
            submission.planned(path, CLASSES)
    assert submission.planned(tmp_path / "s.txt", CLASSES).ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert not list(tmp_path.iterdir())


def test_the_score_of_a_file_by_hand() -> None:
    labels = np.array([[1, 2, 3, 4, 5], [2, 1, 3, 4, 5], [3, 4, 5, 6, 7], [6, 1, 2, 3, 4]])
    assert submission.score(labels, np.array([1, 1, 1, 1])) == (75.0, 25.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3 4 5\n", r"1 lines, but there are 2 images"),
        ("1 2 3 4 5\n1 2 3 4\n", r"line 2: '1 2 3 4'; it has to be 5 different numbers"),
        ("1 2 3 4 5\n1 2 3 4 4\n", r"line 2"),
        ("1 2 3 4 5 6\n1 2 3 4 5\n", r"line 1"),
        ("1 2 3 4 5\n1 2 3 4 8\n", r"line 2: label 8 is no class; they are 1 to 7"),
        ("0 2 3 4 5\n1 2 3 4 5\n", r"line 1: label 0 is no class"),
        ("1 2 3 4 tench\n1 2 3 4 5\n", r"line 1"),
        ("1 2 3 4 -5\n1 2 3 4 5\n", r"line 1"),
        pytest.param(f"1 2 3 4 {'9' * 5000}\n1 2 3 4 5\n", r"line 1: '1 2 3 4 9+'; it has to be", id="5000 digits"),
        ("1 2 3 4 5\n1 2 3 4 é\n", r"cannot be read as a submission"),
    ],
)
def test_what_is_no_submission_is_said_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        submission.read(tmp_path / "s.txt", 2, IDS)


def test_the_ids_are_the_devkits_and_not_the_order_of_wordnet_ids(tmp_path: Path) -> None:
    make_mini_ilsvrc(tmp_path)
    devkit = read_devkit(tmp_path)
    assert devkit is not None
    wnids = sorted(devkit.wnid_of_id.values())
    wanted = [next(id for id, wnid in devkit.wnid_of_id.items() if wnid == own) for own in wnids]
    assert wanted != list(range(1, len(wnids) + 1)), "else this test would show nothing"
    names = devkit.class_names(wnids)
    for where in (tmp_path, tmp_path / "ILSVRC2012_devkit_t12.tar.gz"):
        assert submission.ids_of(names, where).tolist() == wanted == submission.ids_of(wnids, where).tolist()
    assert submission.ids_of(names).tolist() == list(range(1, len(wnids) + 1))
    with pytest.raises(InputError, match=r"no class 'cat' in it"):
        submission.ids_of(["cat", *names], tmp_path)
    with pytest.raises(InputError, match=r"--devkit .*no ILSVRC2012_devkit_t12"):
        submission.ids_of(names, tmp_path / "absent")


def test_the_thousand_classes_need_the_devkit(tmp_path: Path) -> None:
    thousand = [f"n{number:08} thing" for number in range(1000)]
    with pytest.raises(InputError, match="--devkit is missing"):
        submission.ids_of(thousand)
    make_mini_ilsvrc(tmp_path)
    with pytest.raises(InputError, match=r"no class .* has no label for it$"):  # leaving it out again would not help
        submission.ids_of(thousand, tmp_path)
    with pytest.raises(InputError, match=r"leave out --devkit, and labels are 1 to 1000"):
        submission.ids_of([f"thing {number}" for number in range(1000)], tmp_path)
    assert submission.ids_of([f"thing {number}" for number in range(1000)])[-1] == 1000


# images without labels -----------------------------------------------------------------------------------------------


def pictures(folder: Path) -> Path:
    """Three pictures of one colour each, the last name first on disk, and a file that is none."""
    folder.mkdir()
    for name, value in (("t_3.png", 30), ("t_1.png", 10), ("t_2.png", 20)):
        Image.new("RGB", (20, 16), (value, value, value)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_a_glob_and_a_tar_give_the_same_images_by_name(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "test")
    with tarfile.open(tmp_path / "test.tar", "w") as tar:
        tar.add(folder, "test")
    for where in (str(folder), f"{folder}/*.png", str(tmp_path / "test.tar")):
        judged = unlabelled(where, 8, CLASSES)
        assert [Path(name).name for name in judged.files] == [
            "t_1.png",
            "t_2.png",
            "t_3.png",
        ] and judged.labels.tolist() == [-1, -1, -1]
        assert judged.images.shape == (3, 8, 8, 3)
        pixels = judged.images[np.array([2, 0])]
        assert pixels.shape == (2, 8, 8, 3) and pixels[:, 4, 4, 0].tolist() == [30, 10]
        assert not judged.bad


def test_what_is_no_image_is_grey_and_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "test")
    (folder / "t_2.png").write_bytes(b"nothing")
    judged = unlabelled(str(folder), 8, CLASSES)
    assert judged.images[np.arange(3)][1].tolist() == np.full((8, 8, 3), 128).tolist()
    [(name, reason)] = judged.bad.items()
    assert name.endswith("t_2.png") and reason


def test_other_files_are_another_fingerprint(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "test")
    before = unlabelled(str(folder), 8, CLASSES).fingerprint
    assert before != unlabelled(str(folder), 16, CLASSES).fingerprint
    assert before == unlabelled(f"{folder}/*.png", 8, CLASSES).fingerprint
    os.utime(folder / "t_2.png", (1, 1))  # rewritten, as long as before
    assert before != unlabelled(str(folder), 8, CLASSES).fingerprint
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere" / "test")
    assert unlabelled(str(folder), 8, CLASSES).fingerprint != unlabelled(str(elsewhere), 8, CLASSES).fingerprint
    tars = [tmp_path / "one" / "test.tar", tmp_path / "two" / "test.tar"]
    for path in tars:
        path.parent.mkdir()
        with tarfile.open(path, "w") as tar:
            tar.add(folder, "test")
    first, second = (unlabelled(str(path), 8, CLASSES).fingerprint for path in tars)
    assert first != second
    os.utime(tars[0], (1, 1))
    assert first != unlabelled(str(tars[0]), 8, CLASSES).fingerprint


@pytest.mark.parametrize("where", ["absent", "{tmp}", "{tmp}/empty.tar", "{tmp}/absent/*.png"])
def test_no_images_are_said(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(b"not a tar")
    with pytest.raises(InputError, match=r"--images|empty\.tar is damaged"):
        unlabelled(where.format(tmp=tmp_path), 8, CLASSES)
