"""What is no image of a source is counted and said; what is one, whatever its name, is taken."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data import prepared
from alexnet.data.image import to_square
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.passed import KINDS, PassedOver
from alexnet.doctor import examine
from tests.data.making import class_folders, jpeg, picture, write_folder

IMAGE = jpeg(picture(20, 30))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of two images, and what lies about in folders that people have used."""
    write_folder(
        tmp_path,
        {
            **dict.fromkeys(
                ("__MACOSX/cat/._0000.jpg", "cat/@eaDir/0000.jpg/thumb.jpg", "cat/.ipynb_checkpoints/0000.jpg"), IMAGE
            ),
            **dict.fromkeys(
                ("$RECYCLE.BIN/a.jpg", "dog/deep/System Volume Information/b.jpg", "lost+found/c.jpg"), IMAGE
            ),
            **dict.fromkeys(("cat/.hidden.jpg", "beside.jpg", "cat/0000.jpg.bak", "cat/0001.jpg~"), IMAGE),
            **dict.fromkeys(("cat/.DS_Store", "cat/notes.txt", "labels.csv", "dog/Thumbs.db", "dog/empty"), b""),
            "dog/IMG_2.HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
            "dog/IMG_3": b"\0\0\0\x18ftypmif1\0\0\0\0",
            "dog/song.aac": b"not an image, and no known ending",
        },
    )
    return class_folders(tmp_path, {"cat": 2, "dog": 2})


SAID = (
    "11 files (2 .heic, 1 .aac, 1 .bak, 1 .csv, 1 .db, 1 .txt, 1 hidden, 1 others, 1 outside the class folders, "
    "1 without ending), 6 folders ($RECYCLE.BIN, .ipynb_checkpoints, @eaDir, System Volume Information, __MACOSX, "
    "lost+found)"
)


def test_nothing_of_it_is_read_and_all_of_it_is_counted(folder: Path) -> None:
    source = open_source(str(folder))
    assert [item.name for item in source.items("train")] == [f"{c}/000{n}.jpg" for c in ("cat", "dog") for n in (0, 1)]
    assert source.classes == ("cat", "dog")
    assert source.passed_over.to_json() == {  # type: ignore[attr-defined]
        "file": {
            **{".heic": 2, ".aac": 1, ".bak": 1, ".csv": 1, ".db": 1, ".txt": 1, "hidden": 1},
            **{"outside the class folders": 1, "others": 1, "without ending": 1},
        },
        "folder": dict.fromkeys(
            ("$RECYCLE.BIN", ".ipynb_checkpoints", "@eaDir", "System Volume Information", "__MACOSX", "lost+found"), 1
        ),
    }


def test_prepare_its_json_the_manifest_and_doctor_say_the_same(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path_factory.mktemp("out") / "data"
    assert main(["prepare", str(folder), str(dest), "--size", "8"]) == 0
    printed = capsys.readouterr()
    passed = PassedOver(prepared.open(dest).manifest["passed_over"])
    assert str(passed) == SAID and f"passed over: {SAID}\n" in printed.out
    assert ".heic cannot be read: convert them to JPEG or PNG" in printed.err
    assert main(["prepare", str(folder), str(dest), "--size", "8", "--json"]) == 0  # finished already
    assert json.loads(capsys.readouterr().out)["passed_over"] == passed.to_json()
    lines_told = [finding for finding in examine(folder) if finding.what == f"passed over: {passed}"]
    assert [(finding.level, finding.fix) for finding in lines_told] == [("warning", passed.fix)]


def test_a_tidy_folder_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "in", {"cat": 1, "dog": 1})
    assert main(["prepare", str(folder), str(tmp_path / "out"), "--size", "8"]) == 0
    assert "passed over" not in "".join(capsys.readouterr())
    assert "passed_over" not in prepared.open(tmp_path / "out").manifest


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(20, 30)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF"])
def test_an_image_by_its_bytes_is_an_image(tmp_path: Path, kind: str) -> None:
    if kind not in Image.SAVE:
        pytest.skip("not in this Pillow")
    several = {"save_all": True, "append_images": [Image.fromarray(picture(20, 30, 1))]} if kind == "MPO" else {}
    data, names = encoded(kind, **several), ("photo", "photo.dat", "photo.jpg_large", "photo.mpo")
    folder = write_folder(class_folders(tmp_path / "in", {"cat": 1}), {f"dog/{name}": data for name in names})
    source = open_source(str(folder))
    assert [item.name for item in source.items("train")][1:] == [f"dog/{name}" for name in names]
    result = prepare(source, tmp_path / "out", size=8, max_bad=0, workers=1).split("train")
    np.testing.assert_array_equal(result.images[1:], np.stack([to_square(data, 8)] * 4))


def test_text_that_begins_like_an_image_is_none(tmp_path: Path) -> None:
    texts = {"a": b"BM is short for so many things, and this is a text", "b": b"P1 priority", "c": b"GIF87", "d": b""}
    folder = class_folders(
        write_folder(tmp_path, {f"dog/{name}": text for name, text in texts.items()}), {"cat": 1, "dog": 1}
    )
    assert str(open_source(str(folder)).passed_over) == "4 files (without ending)"  # type: ignore[attr-defined]


def test_links_that_lead_nowhere_and_pipes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, {"cat": 1, "dog": 1})
    for name in ("loop", "loop.jpg"):
        os.symlink(name, folder / "dog" / name)
    os.mkfifo(folder / "dog" / "pipe")
    os.mkfifo(folder / "dog" / "pipe.jpg")
    source = open_source(str(folder))
    assert [item.name for item in source.items("train")] == ["cat/0000.jpg", "dog/0000.jpg", "dog/loop.jpg"]
    assert str(source.passed_over) == "3 files (no file)"  # type: ignore[attr-defined]


def test_a_folder_with_an_ending_for_each_file_is_counted_in_bounded_space() -> None:
    passed = PassedOver()
    for number in range(10_000):
        passed.add("file", f".e{number}")
    assert len(passed.to_json()["file"]) == KINDS + 1
    assert str(passed).startswith("10,000 files (9,970 others, ")


def test_chosen_classes_keep_the_count(folder: Path) -> None:
    source = open_source(str(folder))
    assert choose(source, ["cat", "dog"]).passed_over == source.passed_over  # type: ignore[attr-defined]


def test_it_does_not_follow_the_order_of_the_file_system() -> None:
    one, two = PassedOver(), PassedOver()
    for kind in (".a", ".b", ".c"):
        one.add("file", kind)
    for kind in (".c", ".a", ".b"):
        two.add("file", kind)
    assert json.dumps(one.to_json()) == json.dumps(two.to_json()) and str(one) == str(two)
