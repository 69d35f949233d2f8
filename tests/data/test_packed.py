"""A prepared dataset that went through pieces is the one that was packed; what is no piece of it is refused by name."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet import cli
from alexnet.data import pack, packed, prepared, unpack
from alexnet.data.prepare import prepare
from alexnet.data.prepared import Prepared
from alexnet.data.sources import open_source
from alexnet.data.sources.chosen import choose
from alexnet.errors import InputError, RunFailed
from tests.data.making import class_folders, jpeg, picture, write_folder

SMALL = 0.03
"""Megabytes of a piece: some for each of the sets here."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "PART", 2000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders, with an image that is cut off and a file that is none."""
    folder = class_folders(
        tmp_path_factory.mktemp("source") / "pets",
        {"train/cat": 20, "train/dog": 22, "val/cat": 6, "val/dog": 7},
        (40, 30),
    )
    return write_folder(folder, {"train/cat/0003-cut.jpg": jpeg(picture(60, 60))[:-200], "train/cat/notes.txt": b""})


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def dataset(folder: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Prepared:
    dest = tmp_path_factory.mktemp("prepared") / "pets"
    return prepare(open_source(str(folder)), dest, size=24, max_bad=0.1, workers=1, store=request.param)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("travels", ["set", "source"])
def test_what_comes_out_is_what_went_in(
    travels: Literal["set", "source"], dataset: Prepared, folder: Path, tmp_path: Path
) -> None:
    source = open_source(str(folder)) if travels == "source" else None
    pieces = pack.pack(dataset, tmp_path / "pieces", SMALL, source, workers=2)
    assert len(pieces) > 2
    assert max(path.stat().st_size for path in pieces) <= SMALL * 1e6
    dest = tmp_path / "out"
    Random(0).shuffle(pieces)
    there: list[int] = []
    for path in pieces:
        assert not (dest / "manifest.json").exists()
        # Each comes in a folder of its own, is gone afterwards, and the first comes again.
        shutil.copy(path, tmp_path / "came.tar")
        done = unpack.unpack([tmp_path / "came.tar", pieces[0]], dest, workers=2)
        (tmp_path / "came.tar").unlink()
        there += [packed.read_piece(path).number]
        assert set(done.missing) == set(range(1, len(pieces) + 1)) - set(there)
    assert done.dataset is not None
    assert done.identical
    assert contents(dest) == contents(dataset.path)
    assert set(os.listdir(tmp_path)) == {"pieces", "out"}
    again = unpack.unpack(pieces[:1], dest)
    assert (again.there_before, again.identical) == (True, True)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kilobytes=st.integers(20, 200), part=st.integers(300, 5000))
def test_no_piece_is_larger_than_asked(
    kilobytes: int, part: int, dataset: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sizes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "PART", part)
        pieces = pack.pack(dataset, folder, kilobytes / 1000, workers=1)
    assert all(path.stat().st_size <= kilobytes * 1000 for path in pieces)
    assert unpack.unpack(pieces, folder / "out", workers=1).dataset is not None
    assert contents(folder / "out") == contents(dataset.path)


def test_arrays_and_some_classes_of_a_source_travel(folder: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=random.integers(0, 256, (9, 8, 8, 3), np.uint8), labels=np.arange(9) % 3)
    arrays = open_source(str(tmp_path / "a.npz"))
    before = prepare(arrays, tmp_path / "arrays", workers=1)
    assert unpack.unpack(pack.pack(before, tmp_path / "p", 1, arrays), tmp_path / "out").identical
    assert contents(tmp_path / "out") == contents(before.path)

    whole = open_source(str(folder))
    dogs = prepare(choose(whole, ["dog"]), tmp_path / "dogs", size=8, workers=1)
    assert unpack.unpack(pack.pack(dogs, tmp_path / "p", 1, whole), tmp_path / "of-dogs").identical


def changed(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), how=st.sampled_from(["cut", "flip"]))
def test_a_damaged_piece_is_refused_or_changes_nothing(
    where: float, how: str, dataset: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = pack.pack(dataset, folder, 1, workers=1)[0]
    # The last blocks of a tar are zeros that nobody reads.
    end = path.read_bytes().rindex(b"}") + 1
    at = int(where * end)
    if how == "cut":
        changed(path, lambda data: data.__delitem__(slice(at, None)))
    else:
        changed(path, lambda data: data.__setitem__(at, data[at] ^ 0x10))
    try:
        done = unpack.unpack([path], folder / "out", workers=1)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
        assert not (folder / "out").exists()
    else:  # a header's field or padding that means nothing
        assert how == "flip"
        assert done.dataset is not None
        assert contents(folder / "out") == contents(dataset.path)


def test_pieces_of_two_packings_are_not_mixed(dataset: Prepared, tmp_path: Path) -> None:
    one = pack.pack(dataset, tmp_path / "a", SMALL)
    other = pack.pack(dataset, tmp_path / "b", SMALL + 0.002)
    with pytest.raises(InputError, match=r"-02-of-.* is a piece of pets in"):
        unpack.unpack([one[0], other[1]], tmp_path / "out")
    unpack.unpack(one[:1], tmp_path / "out")
    with pytest.raises(InputError, match=r"-02-of-.* is a piece of pets in"):
        unpack.unpack(other[1:2], tmp_path / "out")
    assert unpack.unpack(one, tmp_path / "out").dataset is not None


def test_nothing_else_is_overwritten(dataset: Prepared, folder: Path, tmp_path: Path) -> None:
    pieces = pack.pack(dataset, tmp_path / "pieces", 1)
    with pytest.raises(InputError, match="is there already"):
        pack.pack(dataset, tmp_path / "pieces", 1)
    write_folder(tmp_path, {"taken/letter.txt": b"dear"})
    with pytest.raises(InputError, match="no prepared dataset"):
        unpack.unpack(pieces, tmp_path / "taken")
    prepare(open_source(str(folder)), tmp_path / "other", size=9, max_bad=0.1, workers=1)
    with pytest.raises(InputError, match="another prepared dataset"):
        unpack.unpack(pieces, tmp_path / "other")
    (tmp_path / "empty").mkdir()
    assert unpack.unpack(pieces, tmp_path / "empty").dataset is not None


def test_another_source_and_too_small_pieces_are_refused(dataset: Prepared, tmp_path: Path) -> None:
    other = class_folders(tmp_path / "in", {"train/cat": 3, "train/dog": 3})
    with pytest.raises(InputError, match="is not what .* was prepared from"):
        pack.pack(dataset, tmp_path / "p", 1, open_source(str(other)))
    with pytest.raises(InputError, match="--megabytes 0.015"):
        pack.pack(dataset, tmp_path / "p", 0.015)
    assert not list((tmp_path / "p").iterdir())


def hostile(path: Path, piece: Path, change: Callable[[dict[str, Any]], None], link: str | None = None) -> Path:
    """A piece whose description was changed, its checksum made to fit; with a link in place of a part."""
    with tarfile.open(piece) as old, tarfile.open(path, "w") as new:
        for member in old.getmembers():
            content = old.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == packed.LAST:
                said = json.loads(content)["piece"]
                change(said)
                content = packed.as_json({"sha256": packed.sha256(packed.as_json(said)), "piece": said})
                member.size = len(content)
            elif link:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, link, 0
            new.addfile(member, io.BytesIO(content))
    return path


def test_a_hostile_piece_writes_nothing_outside(dataset: Prepared, tmp_path: Path) -> None:
    piece = pack.pack(dataset, tmp_path / "p", 1)[0]

    def named(name: str) -> Callable[[dict[str, Any]], None]:
        def change(said: dict[str, Any]) -> None:
            said["whole"]["files"][name] = said["parts"][0]["bytes"]
            said["parts"][0]["file"] = name

        return change

    def outside(said: dict[str, Any]) -> None:
        said["parts"][0]["offset"] = -8

    cases: list[tuple[Callable[[dict[str, Any]], None], str | None]] = [
        (named("../../escaped"), None),
        (named(str(tmp_path / "escaped")), None),
        (outside, None),
        (lambda said: said["whole"].update(pieces=0), None),
        (lambda said: said["whole"].update(surprise=1), None),
        (lambda said: said.update(parts=7), None),
        (lambda said: None, "../../p"),
    ]
    for number, (change, link) in enumerate(cases):
        odd = hostile(tmp_path / f"odd{number}.tar", piece, change, link)
        with pytest.raises(InputError, match=f"odd{number}.tar is damaged"):
            unpack.unpack([odd], tmp_path / "in" / "out")
    assert not (tmp_path / "in").exists()
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("travels", "file", "content"),
    [
        ("set", "manifest.json", b"[]"),
        ("set", "manifest.json", b"{}"),
        ("source", "train/items.jsonl", b'[1, 99, "a", false]\n'),
        ("source", "train/items.jsonl", b'{"a": 1}\n'),
        ("source", "val/items.jsonl", b"[-5, 0, 7, true]\n"),
    ],
)
def test_pieces_that_fit_and_say_odd_things_are_refused(
    travels: str,
    file: str,
    content: bytes,
    dataset: Prepared,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Made by hand: every checksum is right, and what it is of is not."""
    plain = pack._set_streams if travels == "set" else pack._source_streams

    def odd(*given: Any) -> Any:
        for name, contents in plain(*given):  # type: ignore[operator]
            whole = list(contents)
            yield name, [content] if name == file else whole

    monkeypatch.setattr(pack, plain.__name__, odd)
    source = open_source(str(folder)) if travels == "source" else None
    pieces = pack.pack(dataset, tmp_path / "p", 1, source)
    with pytest.raises((InputError, RunFailed), match=r"damaged: delete it|unreadable"):
        unpack.unpack(pieces, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_odd_places_and_names(dataset: Prepared, tmp_path: Path) -> None:
    pieces = pack.pack(dataset, tmp_path / "p", 1)
    with pytest.raises(InputError, match="give a folder of its own as DEST"):
        unpack.unpack(pieces, Path("/"))
    assert not unpack.would_be_committed(Path("/"))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert unpack.unpack(pieces, tmp_path / "link").dataset is not None
    assert contents(tmp_path / "real") == contents(dataset.path)
    # Pieces of pets-128 are no pieces of pets.
    shutil.copytree(dataset.path, tmp_path / "pets-128")
    pack.pack(prepared.open(tmp_path / "pets-128"), tmp_path / "q", 1)
    assert pack.pack(dataset, tmp_path / "q", 1)
    for megabytes in (float("nan"), float("inf"), -1.0, 0.0):
        with pytest.raises(InputError, match="--megabytes"):
            pack.pack(dataset, tmp_path / "r", megabytes)


def test_tars_that_are_odd_themselves(tmp_path: Path) -> None:
    def tar(name: str, headers: dict[str, str], kind: bytes = tarfile.REGTYPE) -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
            member = tarfile.TarInfo(packed.LAST)
            member.pax_headers, member.type = headers, kind
            file.addfile(member, io.BytesIO())
        return path

    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 12}
    made = [
        tar("sparse.tar", sparse),
        tar("map.tar", {"GNU.sparse.map": "1,x", "GNU.sparse.size": "7"}),
        tar("size.tar", {"size": "-3"}),
        tar("folder.tar", {}, tarfile.DIRTYPE),
        tar("empty.tar", {}),
    ]
    for path in made:
        with pytest.raises(InputError, match=path.name):
            packed.read_piece(path)


CHILD = """
import sys, time
from pathlib import Path
from alexnet.data import prepare, unpack

plain = prepare.to_square
def slow(image, size):
    time.sleep(0.02)
    return plain(image, size)
prepare.to_square, prepare.CHUNK = slow, 8
place = unpack._place
unpack._place = lambda *given: (time.sleep(0.05), place(*given))
unpack.unpack([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]), workers=1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_killed_at_any_moment_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    source = open_source(str(folder))
    before = prepare(source, tmp_path / "before", size=24, max_bad=0.1, workers=1)
    pieces = pack.pack(before, tmp_path / "p", SMALL, source)
    dest, beside = tmp_path / "out", tmp_path / "out.unpacking"
    for moment in ("whole.json", "piece-02", "set/train/images.bin"):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(dest), *map(str, pieces)])
        try:
            end = time.monotonic() + 60
            while not (beside / moment).exists():
                assert child.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < end, "it hangs"
                time.sleep(0.002)
        finally:
            child.kill()
            child.wait()
        assert not dest.exists()
    assert unpack.unpack([], dest, workers=1).identical  # all have come
    assert contents(dest) == contents(before.path)
    assert not beside.exists()


def test_other_pixels_are_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alexnet.data import prepare as prepare_module

    source, plain = open_source(str(folder)), prepare_module.to_square
    before = prepare(source, tmp_path / "before", size=24, max_bad=0.1, workers=1)
    pieces = pack.pack(before, tmp_path / "p", 1, source)
    monkeypatch.setattr(prepare_module, "to_square", lambda image, size: plain(image, size) // 2)
    done = unpack.unpack(pieces, tmp_path / "out", workers=1)
    assert not done.identical
    assert not prepared.open(tmp_path / "out").check()
    assert not unpack.unpack(pieces, tmp_path / "out").identical  # and told again


def test_a_full_disk_is_told(dataset: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    pieces = pack.pack(dataset, tmp_path / "p", 1)
    with monkeypatch.context() as patch:
        patch.setattr(pack, "sync", full)
        patch.setattr(unpack, "sync", full)
        with pytest.raises(RunFailed, match="disk is full"):
            pack.pack(dataset, tmp_path / "q", 1)
        with pytest.raises(RunFailed, match="disk is full"):
            unpack.unpack(pieces, tmp_path / "out")
    assert not list((tmp_path / "q").iterdir())
    assert unpack.unpack(pieces, tmp_path / "out").dataset is not None


def test_the_commands(dataset: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["pack", str(dataset.path), str(tmp_path / "p"), "--megabytes", str(SMALL), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    pieces = [piece["path"] for piece in document["pieces"]]
    assert cli.main(["unpack", pieces[1], str(out)]) == 0
    assert f"1 of {len(pieces)} pieces; missing: 01" in capsys.readouterr().out
    assert cli.main(["unpack", *pieces[1:], str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == [1]
    changed(Path(pieces[0]), lambda data: data.__delitem__(slice(5_000, None)))
    assert cli.main(["unpack", pieces[0], str(out)]) == 2
    assert "01-of-" in capsys.readouterr().err
    assert cli.main(["unpack", *pieces]) == 2
    assert "DEST is missing" in capsys.readouterr().err


def test_a_checkout_that_would_take_the_set_is_known(tmp_path: Path) -> None:
    if subprocess.run(["git", "init", "-q", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("no git")
    (tmp_path / ".gitignore").write_text("/data/\n")
    assert unpack.would_be_committed(tmp_path / "new" / "set")
    assert not unpack.would_be_committed(tmp_path / "data" / "set")
