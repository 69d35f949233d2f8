"""Whenever `prepare` dies, running it again gives the bytes of a run that never did."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from alexnet import files
from alexnet.data import prepare as prepare_module
from alexnet.data import prepared, writer
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError
from tests.data.making import class_folders, jpeg, picture, write_folder

CHILD = """
import sys, time
from pathlib import Path
from alexnet.data import prepare
from alexnet.data.sources import open_source

plain = prepare.to_square
def slow(image, size):
    time.sleep(0.01)
    return plain(image, size)
prepare.to_square, prepare.CHUNK = slow, 8
prepare.prepare(open_source(sys.argv[1]), Path(sys.argv[2]), size=16, max_bad=0.1, workers=2, store=sys.argv[3])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = class_folders(tmp_path / "in", {"train/cat": 50, "train/dog": 45, "val/cat": 15, "val/dog": 15})
    cut = jpeg(picture(60, 60))[:-200]
    return write_folder(
        folder, {"train/cat/0003-cut.jpg": cut, "train/dog/0017-cut.jpg": cut, "val/dog/0001-cut.jpg": cut}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def kill_when(folder: Path, dest: Path, store: str, journal: str, lines: int) -> None:
    """Runs prepare in a process of its own and kills it (-9) once the journal has so many lines."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(dest), store])
    try:
        end = time.monotonic() + 60
        while not ((dest / journal).exists() and (dest / journal).read_bytes().count(b"\n") >= lines):
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "it hangs"
            time.sleep(0.002)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_kill_nine_again_and_again(
    store: Literal["raw", "jpeg"], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "CHUNK", 8)
    prepare(open_source(str(folder)), tmp_path / "unbroken", size=16, max_bad=0.1, store=store)
    dest = tmp_path / "out"
    for journal, lines in (("train/progress.jsonl", 1), ("train/progress.jsonl", 4), ("val/progress.jsonl", 2)):
        kill_when(folder, dest, store, journal, lines)
        with pytest.raises(InputError, match="not finished"):
            prepared.open(dest)
    told = []
    prepare(open_source(str(folder)), dest, size=16, max_bad=0.1, store=store, progress=told.append)
    assert (told[0].split, told[0].earlier) == ("train", 97)  # of train, nothing was done again
    assert contents(dest) == contents(tmp_path / "unbroken")


class Death(BaseException):
    """Stands in for a kill at one exact place."""


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_death_at_every_single_step(
    store: Literal["raw", "jpeg"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(class_folders(tmp_path / "in", {"train/cat": 6, "train/dog": 5, "val/dog": 3})))
    monkeypatch.setattr(prepare_module, "CHUNK", 4)
    prepare(source, tmp_path / "unbroken", size=4, store=store)
    steps, fatal = 0, -1

    def counted(plain):
        def step(*arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps == fatal:
                raise Death
            return plain(*arguments)

        return step

    for module in (writer, files):
        monkeypatch.setattr(module, "sync", counted(module.sync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(
        Path, "unlink", lambda self, missing_ok=False: counted(os.unlink)(self) if self.exists() else None
    )
    prepare(source, tmp_path / "counting", size=4, store=store)
    assert steps > 25
    for fatal in range(1, steps + 1):
        dest = tmp_path / f"{fatal}"
        steps = 0
        with pytest.raises(Death):
            prepare(source, dest, size=4, store=store)
        if (dest / "train/progress.jsonl").exists() and not (dest / "manifest.json").exists():
            # What a real kill may leave besides: writes that nobody vouched for, half a line of the journal.
            pixels = ["images.bin"] if store == "raw" else ["jpegs.bin", "offsets.bin"]
            for name in (*pixels, "labels.bin", "files.txt", "progress.jsonl"):
                with (dest / "train" / name).open("ab") as file:
                    file.write(b'{"items": 4, "na')
        steps = -1000
        prepare(source, dest, size=4, store=store)
        steps = 0
        assert contents(dest) == contents(tmp_path / "unbroken"), f"died at step {fatal}"


def test_what_an_earlier_run_wrote_has_gone_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "CHUNK", 8)

    def broken(store: Literal["raw", "jpeg"]) -> Path:
        dest = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        with pytest.raises(InputError, match="--max-bad"):
            prepare(open_source(str(folder)), dest, size=8, max_bad=0, store=store)
        return dest

    lost: list[tuple[Literal["raw", "jpeg"], str]] = [
        *(("raw", name) for name in ("images.bin", "labels.bin", "files.txt", "sums-000000013.npy")),
        *(("jpeg", name) for name in ("jpegs.bin", "offsets.bin")),
    ]
    for store, lose in lost:
        dest = broken(store)
        (dest / "train" / lose).unlink()
        with pytest.raises(InputError, match="has lost what an earlier run wrote: delete"):
            prepare(open_source(str(folder)), dest, size=8, max_bad=0.1, store=store)


def test_a_journal_of_another_version_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "CHUNK", 8)
    with pytest.raises(InputError, match="--max-bad"):
        prepare(open_source(str(folder)), tmp_path / "out", size=16, max_bad=0)
    journal = tmp_path / "out/train/progress.jsonl"
    journal.write_text(journal.read_text().replace("checksums", "checksum"))
    with pytest.raises(InputError, match="has lost what an earlier run wrote: delete"):
        prepare(open_source(str(folder)), tmp_path / "out", size=16, max_bad=0.1)
