"""Lists of images and labels: their forms, what rows may not say, and files that are no lists."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.cli import main
from alexnet.data.image import to_square
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source, rows
from alexnet.data.sources import source as of_source
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.source import Source
from alexnet.doctor import examine
from alexnet.errors import InputError
from tests.damage import damaged, one_line_or_success
from tests.data.making import jpeg, picture, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """images/0.jpg to images/5.jpg, and one with a space in its name."""
    images = {f"images/{number}.jpg": jpeg(picture(20, 30, number)) for number in range(6)}
    return write_folder(tmp_path, images | {"images/a b.jpg": jpeg(picture(20, 30, 6))})


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def listing(source: Source, split: str = "train") -> list[tuple[str, str]]:
    return [(item.name, source.classes[item.label]) for item in source.items(split)]


def open_error(path: Path) -> str:
    with pytest.raises(InputError) as error:
        open_source(str(path))
    return str(error.value)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".png", ".webp"])
def test_names_without_an_ending_in_the_folder_of_the_split(tmp_path: Path, ending: str) -> None:
    for split in ("train", "test"):
        write_folder(tmp_path, {f"{split}/{number}{ending}": b"" for number in range(2)})
    path = write(tmp_path, "id,breed\n0,pug\n1,boxer\n")  # as Kaggle's dog breeds come
    assert listing(open_source(str(path))) == [(f"train/0{ending}", "pug"), (f"train/1{ending}", "boxer")]


def test_a_column_for_each_class_is_no_label(folder: Path) -> None:
    path = write(folder, "image_id,healthy,rust\n0.jpg,1,0\n1.jpg,0,1\n")
    message = "has no column called label; it has image_id, healthy, rust: rename the one it is"
    assert message in open_error(path)


PAIRS = [("images/0.jpg", "dog"), ("images/a b.jpg", "cat"), ("images/1.jpg", "dog")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,label\nimages/0.jpg,dog\nimages/a b.jpg,cat\nimages/1.jpg,dog\n"),
        ("a.csv", "images/0.jpg,dog\nimages/a b.jpg,cat\nimages/1.jpg,dog"),  # no names of columns
        (
            "a.csv",
            "\ufeffwidth,Class,Image\r\n9,dog,images/0.jpg\r\n9,cat,images/a b.jpg\r\n\r\n9,dog,images/1.jpg\r\n",
        ),
        ("a.csv", "filename;category;x\nimages/0.jpg;dog;1\nimages/a b.jpg;cat;2\nimages/1.jpg;dog;3\n"),
        ("a.csv", 'id,breed\n"images/0.jpg",dog\n"images/a b.jpg", "cat"\nimages/1.jpg,dog\n'),
        (
            "a.csv",
            "what,kind\nimages/0.jpg,dog\nimages/a b.jpg,cat\nimages/1.jpg,dog\n",
        ),  # unknown names: the first two
        ("a.CSV", "path,label\n./images/0.jpg,dog\nimages/../images/a b.jpg,cat\nimages//1.jpg,dog\n"),
        ("a.csv", "path,label\nimages\\0.jpg,dog\nimages\\a b.jpg,cat\nimages\\1.jpg,dog\n"),
        ("a.csv", "path,label\n0.jpg,dog\na b.jpg,cat\n1.jpg,dog\n"),  # from the folder of images on
        ("a.tsv", "image_path\tlabel\nimages/0.jpg\tdog\nimages/a b.jpg\tcat\nimages/1.jpg\tdog\n"),
        ("a.txt", "images/0.jpg\tdog\nimages/a b.jpg\tcat\nimages/1.jpg\tdog\n"),
        ("a.txt", "images/0.jpg dog\nimages/a b.jpg cat\nimages/1.jpg dog\n"),  # Caffe's form
        ("a.txt", "path label\nimages/0.jpg dog\nimages/a b.jpg cat\nimages/1.jpg dog\n"),
        ("a.tsv", "a,b,c,d\tlabel\nimages/0.jpg\tdog\nimages/a b.jpg\tcat\nimages/1.jpg\tdog\n"),
        ("a.txt", "images/0.jpg, dog\nimages/a b.jpg, cat\nimages/1.jpg, dog\n"),
        ("a.json", json.dumps(dict(PAIRS))),
        ("a.json", json.dumps(PAIRS)),
        ("a.json", json.dumps([{"path": path, "label": label, "more": [1]} for path, label in PAIRS])),
        ("a.json", json.dumps([{"File_Name": path, "class": label} for path, label in PAIRS])),
    ],
)
def test_forms_of_one_list(folder: Path, name: str, text: str) -> None:
    source = open_source(str(write(folder, text, name)))
    assert source.classes == ("cat", "dog") and source.splits == ("train",) and source.count("train") == 3
    assert listing(source) == PAIRS
    assert [item.read() for item in source.items("train")] == [jpeg(picture(20, 30, seed)) for seed in (0, 6, 1)]


def test_a_list_prepares(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "path,label\nimages/0.jpg,dog\nimages/5.jpg,cat\nimages/gone.jpg,cat\n"
    assert main(["prepare", str(write(folder, text)), str(tmp_path / "out"), "--size", "8", "--max-bad", "0.5"]) == 0
    assert "skipped images/gone.jpg: cannot be read (No such file or directory)" in capsys.readouterr().out
    split = prepare(open_source(str(folder / "labels.csv")), tmp_path / "out", size=8, max_bad=0.5).split("train")
    assert split.labels.tolist() == [1, 0] and list(split.files) == ["images/0.jpg", "images/5.jpg"]
    np.testing.assert_array_equal(split.images[1], to_square(jpeg(picture(20, 30, 5)), 8))
    assert "list of images, labels.csv, 2 classes" in examine(folder / "labels.csv")[0].what


def test_a_list_of_nothing_but_missing_files_fails(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="2 of the 2 images of train are unreadable .all of them.: x.jpg: cannot be read"
    ):
        prepare(open_source(str(write(folder, "x.jpg,a\ny.jpg,b\n"))), tmp_path / "out", size=8, max_bad=1)


def test_a_column_of_splits(folder: Path) -> None:
    text = "path,label,Split\n" + "".join(
        f"images/{n}.jpg,{'ab'[n % 2]},{split}\n"
        for n, split in enumerate(("train", "Training", "VALID", "dev", "test", "testing"))
    )
    source = open_source(str(write(folder, text)))
    assert {split: [name for name, _ in listing(source, split)] for split in source.splits} == {
        "train": ["images/0.jpg", "images/1.jpg"],
        "val": ["images/2.jpg", "images/3.jpg"],
        "test": ["images/4.jpg", "images/5.jpg"],
    }
    assert "row 4: 'extra' is no split" in open_error(write(folder, text.replace("VALID", "extra")))
    assert "has no rows of the split train" in open_error(write(folder, "path,label,split\nimages/0.jpg,a,val\n"))


def test_caffes_three_lists_and_the_names_of_its_classes(folder: Path) -> None:
    write(folder, "images/0.jpg 0\nimages/1.jpg 2\n", "train.txt")
    write(folder, "2.jpg 2\n3.jpg 0\n", "val.txt")  # its paths begin in a folder
    write(folder, "images/4.jpg 0\nimages/5.jpg 0\n", "test.txt")  # as ILSVRC's, whose labels are not public
    plain = open_source(str(folder / "train.txt"))
    assert plain.classes == ("0", "2") and listing(plain) == [("images/0.jpg", "0"), ("images/1.jpg", "2")]
    assert listing(plain, "val") == [("images/2.jpg", "2"), ("images/3.jpg", "0")]
    assert plain.splits == ("train", "val")
    assert str(plain.passed_over) == "1 split (test, its labels kept back)"  # type: ignore[attr-defined]
    write(folder, "n01 cat, tabby\nn02 dog\nn03 eel\n", "synset_words.txt")
    for name in ("train.txt", "val.txt"):  # any of them stands for all
        named = open_source(str(folder / name))
        assert named.classes == ("n01 cat", "n02 dog", "n03 eel")
        assert [item.label for item in named.items("train")] == [0, 2]  # the numbers stay what they are
        assert [item.label for item in named.items("val")] == [2, 0]
        assert named.fingerprint() != plain.fingerprint()


def test_a_class_map_gives_names_their_order(folder: Path) -> None:
    path = write(folder, "images/0.jpg cat\nimages/1.jpg dog\n", "all.txt")
    assert open_source(str(path)).classes == ("cat", "dog")
    write(folder, "dog\ncat\n", "class_map.txt")
    assert open_source(str(path)).classes == ("dog", "cat")
    write(folder, "images/0.jpg dog\nimages/1.jpg cat\n", "labels.txt")  # another list, and no names
    (folder / "class_map.txt").unlink()
    assert open_source(str(path)).classes == ("cat", "dog")


def test_class_numbers_are_sorted_as_numbers(folder: Path) -> None:
    source = open_source(str(write(folder, "images/0.jpg,10\nimages/1.jpg,2\nimages/2.jpg,1\n")))
    assert source.classes == ("1", "2", "10") and [item.label for item in source.items("train")] == [2, 1, 0]


def test_test_images_without_labels_are_passed_over(folder: Path) -> None:
    write(folder, "id,breed\nimages/0.jpg,a\nimages/1.jpg,b\n", "train.csv")
    for text in ("id\nimages/2.jpg\n", "id,width\nimages/2.jpg,50\n"):
        write(folder, text, "test.csv")
        source = open_source(str(folder / "train.csv"))
        assert source.splits == ("train",)
        assert str(source.passed_over) == "1 split (test, without labels)"  # type: ignore[attr-defined]
    write(folder, "id,breed\nimages/2.jpg,a\nimages/3.jpg,b\n", "test.csv")
    assert open_source(str(folder / "train.csv")).splits == ("train", "test")
    write(folder, "id\nimages/4.jpg\n", "val.csv")
    assert "val.csv needs two columns" in open_error(folder / "train.csv")


def test_two_lists_of_one_split_are_an_error_that_names_both(folder: Path) -> None:
    for name in ("train.txt", "val.txt", "valid.txt"):
        write(folder, "images/0.jpg 0\nimages/1.jpg 1\n", name)
    message = open_error(folder / "train.txt")
    assert "val.txt and" in message and "valid.txt are both the split val" in message


def test_links_are_followed_as_in_class_folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write_folder(tmp_path_factory.mktemp("elsewhere"), {"x.jpg": b"linked"})
    (folder / "linked").symlink_to(elsewhere)
    (folder.parent / "by-link").unlink(missing_ok=True)
    path = write(folder, "linked/x.jpg,a\nimages/0.jpg,b\n")
    assert next(open_source(str(path)).items("train")).read() == b"linked"
    absolute = write(folder, f"{folder}/images/0.jpg,a\n{os.path.realpath(folder)}/images/1.jpg,b\n")
    assert [name for name, _ in listing(open_source(str(absolute)))] == ["images/0.jpg", "images/1.jpg"]


@pytest.mark.parametrize("path", ["/etc/hostname", "../x.jpg", "images/../../x.jpg", "/dev/zero", "..", "."])
def test_no_row_leads_out_of_the_lists_folder(folder: Path, path: str) -> None:
    for name, text in (
        ("a.csv", f"path,label\nimages/0.jpg,a\n{path},b\n"),
        ("a.txt", f"images/0.jpg 0\n{path} 1\n"),
        ("a.json", json.dumps({"images/0.jpg": "a", path: "b"})),
    ):
        message = open_error(write(folder, text, name))
        assert f"{path!r} lies outside {folder}, the list's folder" in message and f"{name}, row " in message


def test_a_device_or_a_pipe_inside_the_folder_is_skipped(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    path = write(folder, "images/0.jpg,a\nimages/1.jpg,b\npipe.jpg,a\nzero.jpg,b\nimages,a\n")
    result = prepare(open_source(str(path)), tmp_path / "out", size=8, max_bad=0.9, workers=1)
    reasons = {skipped["file"]: skipped["reason"] for skipped in result.manifest["splits"]["train"]["skipped"]}
    assert reasons == {
        **dict.fromkeys(("pipe.jpg", "zero.jpg"), "cannot be read (a pipe or a device, not a file)"),
        "images": "cannot be read (a folder)",
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "has no rows: list images there"),
        ("a.csv", "path,label\n", "has no rows"),
        ("a.csv", "images/0.jpg\n", "needs two columns, paths and labels"),
        ("a.csv", "path,label\nimages/0.jpg,a\nimages/1.jpg\n", "row 3: 1 columns, not 2"),
        ("a.csv", "path,label\nimages/0.jpg,a\nimages/1.jpg,\n", "row 3: the label is missing"),
        ("a.csv", "path,label\n,a\n", "row 2: the path is missing"),
        ("a.csv", "images/0.jpg,a\nimages/0.jpg,b\n", "row 2: 'images/0.jpg' is in row 1 already"),
        ("a.csv", "\n\nimages/0.jpg,a\n./images/0.jpg,b\n", "row 4: './images/0.jpg' is in row 3 already"),
        ("a.csv", "images/0.jpg,a\nimages/1.jpg,a\n", "there is only one class, a: nothing to tell apart"),
        ("a.csv", "images/0.jpg,0\nimages/1.jpg,1000000000\n", "label 1000000000 with 2 images"),
        ("a.csv", "images/0.jpg,0\nimages/1.jpg,100000\n", "label 100000 with 2 images"),
        ("a.csv", "images/0.jpg,0\nimages/1.jpg,-1\n", "label -1: labels are class numbers from 0 on, or names"),
        ("a.csv", "images/0.jpg,a\nimages/1.jpg," + "b" * 2000 + "\n", "a class name has 2,000 letters"),
        ("a.csv", b"images/0.jpg,a\nimages/1.jpg,\xe9\n", "must be UTF-8"),
        ("a.csv", "images/0.jpg,a\nimages/1\0.jpg,b\n", "line 2: zero bytes: save it as UTF-8"),
        ("a.csv", "images/0.jpg,a\n".encode("utf-16"), "zero bytes"),
        ("a.csv", "x" * 3_000_000, "line 1: over 65,536 letters"),
        ("a.csv", 'images/0.jpg,"a\n' + "b\n" * 200_000, "field larger than field limit"),
        ("a.txt", "images/0.jpg\n", "row 1: 'images/0.jpg' is no path and label"),
        ("a.txt", "\n\nimages/0.jpg 0\n1\n", "row 4: '1' is no path and label"),
        ("a.json", "[" * 200_000, "lists within lists without end"),
        ("a.json", '{"a.jpg": ' + "9" * 5000 + "}", "thousands of digits"),
        ("a.json", '{"a.jpg": 0, "a.jpg": 1}', "a.jpg is in the list twice"),
        ("a.json", '{"a.jpg": [0, 1]}', "row 1: ('a.jpg', [0, 1]) is no path with its label"),
        ("a.json", '{"a.jpg": 0.5}', "is no path with its label"),
        ("a.json", '{"a.jpg": NaN, "b.jpg": true}', "is no path with its label"),
        ("a.json", "3", "holds one int, not {path: label}"),
        ("a.json", '[{"path": "a.jpg"}]', "row 1: the label is missing"),
    ],
)
def test_what_is_no_list_is_one_line(folder: Path, name: str, text: str | bytes, message: str) -> None:
    path = write(folder, text, name)

    def work() -> None:
        with pytest.raises(InputError) as error:
            open_source(str(path))
        assert str(path) in str(error.value) and message in str(error.value) and len(str(error.value)) < 500

    one_line_or_success(work, 32)


def test_a_list_larger_than_any_is_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("a.csv", "1.1 GB"), ("a.json", "134.2 MB"), ("train.txt", "1.1 GB")):
        with (folder / name).open("wb") as file:
            file.truncate(3 << 30)
        assert f"has 3.2 GB, more than the {most} that a list may have" in open_error(folder / name)
    monkeypatch.setattr(rows, "MOST_ROWS", 3)
    path = write(folder, "".join(f"images/{number}.jpg,{number}\n" for number in range(4)), "b.csv")
    assert "has more than 3 rows" in open_error(path)


def test_fingerprint_follows_the_list_and_the_sizes_of_the_files(folder: Path) -> None:
    path = write(folder, "images/0.jpg,a\nimages/1.jpg,b\n")
    prints = [open_source(str(path)).fingerprint()]
    os.utime(folder / "images/0.jpg", (1, 1))
    assert open_source(str(path)).fingerprint() == prints[0]
    (folder / "images/0.jpg").write_bytes(b"other")
    prints.append(open_source(str(path)).fingerprint())
    prints.append(open_source(str(write(folder, "images/0.jpg,b\nimages/1.jpg,a\n"))).fingerprint())
    assert len(set(prints)) == 3


def test_parts_and_some_of_the_classes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_source, "ROWS", 2)
    source = open_source(str(write(folder, "".join(f"images/{n}.jpg,{'abc'[n % 3]}\n" for n in range(6)))))
    assert [part.items for part in source.parts("train")] == [2, 2, 2]
    assert [item.name for item in source.part("train", 1)] == ["images/2.jpg", "images/3.jpg"]
    chosen = choose(source, ["c", "a"])
    assert listing(chosen) == [(f"images/{n}.jpg", "abc"[n % 3]) for n in (0, 2, 3, 5)]


paths = st.sampled_from([f"images/{number}.jpg" for number in range(6)])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(paths, st.text("ab é", min_size=1).map(str.strip).filter(bool), min_size=2))
def test_any_list_comes_back_from_its_csv_and_json(pairs: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        rows = "".join(f"{path},{label}\n" for path, label in pairs.items())
        written = [
            write(Path(place), "path,label\n" + rows),
            write(Path(place), json.dumps(pairs), "labels.json"),
            write(Path(place), "path\tlabel\n" + rows.replace(",", "\t"), "labels.tsv"),
        ]
        for path in written:
            if len(set(pairs.values())) == 1:
                assert "only one class" in open_error(path)
            else:
                assert listing(open_source(str(path))) == list(pairs.items())


CSV = "path,label,split\n" + "".join(f"images/{n}.jpg,{'ab'[n % 2]},{'train' if n < 4 else 'val'}\n" for n in range(6))
CAFFE = "".join(f"images/{n}.jpg {n % 2}\n" for n in range(6))
JSON = json.dumps([{"path": f"images/{n}.jpg", "label": n % 2} for n in range(6)])


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just("a.csv"), damaged(CSV.encode())),
        st.tuples(st.just("a.tsv"), damaged(CSV.replace(",", "\t").encode())),
        st.tuples(st.just("a.txt"), damaged(CAFFE.encode())),
        st.tuples(st.just("a.json"), damaged(JSON.encode())),
    )
)
def test_a_damaged_list_is_read_or_refused(named: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = write(Path(place), named[1], named[0])

        def work() -> None:
            source = open_source(str(path))
            for split in source.splits:
                for item in source.items(split):
                    assert 0 <= item.label < len(source.classes)
                    with pytest.raises(OSError):  # there are no images
                        item.read()

        one_line_or_success(work, 8)
