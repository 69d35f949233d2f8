"""What keeps from writing a file is one line: the file, what is wrong, what mends it."""

import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors import SafetensorError

from alexnet import cli, files
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError, RunFailed
from alexnet.run import checkpoint
from alexnet.run.recipe import Recipe
from alexnet.training import train


def refuse(number: int, name: str | None = None) -> object:
    def raising(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), name)

    return raising


@pytest.mark.parametrize(
    ("number", "what", "fix", "full"),
    [
        (errno.ENOSPC, "the disk is full (No space left on device)", "make room", True),
        (errno.EDQUOT, "your share of the disk is used up (Disk quota exceeded)", "quota", True),
        (errno.EFBIG, "larger than is allowed", "ulimit -f", True),
        (errno.EACCES, "Permission denied", "get the right", False),
        (errno.EROFS, "Read-only file system", "mounted for writing", False),
        (errno.EIO, "the disk reports an error", "sound", False),
        (errno.ENOENT, "No such file or directory", "make its folder", False),
        (errno.EBUSY, os.strerror(errno.EBUSY), "mend that", False),
    ],
)
def test_each_refusal_has_its_own_fix(
    number: int, what: str, fix: str, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(files, "sync", refuse(number))
    with pytest.raises(OSError) as caught:
        files.write_text(path, "new")
    line = files.refused(caught.value)
    assert line.startswith(f"{path}: ") and what in line and fix in line and files.no_room(caught.value) is full
    assert ("make room" in line) <= full, "nobody is told to make room where that does not help"
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_libraries_make_of_a_full_disk_is_understood() -> None:
    said = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert files.why(said) == files.why(OSError(errno.ENOSPC, "")) and files.no_room(said)
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos 704 vs 598")  # noqa: B904  # as torch
    except RuntimeError as error:
        assert files.why(error) == files.why(said)
    assert files.why(RuntimeError("something\nelse")) == ("something else", "mend that")


def test_every_command_that_writes_names_the_file_on_a_full_disk(
    tiny_run: Path,
    tiny_prepared: Prepared,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, data = shutil.copytree(tiny_run, tmp_path / "run"), str(tiny_prepared.path)
    monkeypatch.setattr(files, "sync", refuse(errno.ENOSPC))
    commands = {
        ("evaluate", run, "--data", data, "--no-keep"): "evaluation-",
        ("report", run, "--data", data): "report.html",
        ("kernels", run, tmp_path / "k.png"): "k.png",
        ("curves", run, tmp_path / "c.svg"): "c.svg",
        ("figures", run, "--data", data, "--no-keep"): "fig3-kernels.png",
        ("similar", run, "--data", data, "--no-keep", "--picture", tmp_path / "s.png"): "s.png",
        ("data", data, "--sheet", tmp_path / "sheet.png"): "sheet.png",
        ("claims", "page", "--out", tmp_path / "page.md"): "page",
    }
    for words, name in commands.items():
        capsys.readouterr()
        assert cli.main([str(word) for word in words]) == 1, words
        last = capsys.readouterr().err.splitlines()[-1]
        assert re.search(rf"^alexnet {words[0]}: \S*{re.escape(name)}\S*: the disk is full .*; make room", last), last
    assert not list(tmp_path.rglob(".*.new"))


@pytest.mark.parametrize("format", ["onnx", "openvino", "caffe"])
def test_an_export_on_a_full_disk_names_its_file(
    format: str, tiny_run: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx" if format == "caffe" else {"onnx": "onnxruntime", "openvino": "openvino"}[format])
    (small_disk / "fill").write_bytes(b"\0" * (room_of(small_disk) - 8192))
    file = small_disk / f"a.{ {'onnx': 'onnx', 'openvino': 'xml', 'caffe': 'caffemodel'}[format] }"
    assert cli.main(["export", str(tiny_run), format, "--out", str(file)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{file}: the disk is full" in said and "make room" in said
    assert [path.name for path in small_disk.iterdir()] == ["fill"], "nothing is left of it"


def test_a_checkpoint_says_what_keeps_it_from_being_written(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, fix in ((errno.ENOSPC, "Make room on it, then"), (errno.EROFS, "Have it mounted for writing")):
        monkeypatch.setattr("alexnet.run.checkpoint.save_file", refuse(number))
        with pytest.raises(RunFailed) as caught:
            checkpoint.save(tmp_path, {}, {}, checkpoint.Progress(), keep=1)
        assert fix in str(caught.value) and os.strerror(number) in str(caught.value)
        assert ("Make room" in str(caught.value)) == (number == errno.ENOSPC)


def room_of(disk: Path) -> int:
    return os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize


def test_a_really_read_only_folder(
    small_disk: Path, tiny_run: Path, tiny_prepared: Prepared, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, small_disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RunFailed, match="Read-only file system.*Have it mounted for writing.*--resume"):
        train(tiny_recipe, tiny_prepared, run, resume=True)
    with pytest.raises(InputError, match="--out .*new: Read-only file system; have it mounted for writing"):
        train(tiny_recipe, tiny_prepared, small_disk / "new")
    assert cli.main(["report", str(run)]) == 2
    said = capsys.readouterr().err
    assert f"{run / 'report.html'}: Read-only file system" in said and "room" not in said and ".new" not in said


def test_a_folder_is_in_use_while_a_process_writes_it_and_looking_does_not_take_it(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    assert files.in_use(tmp_path) is False
    with files.only_writer(tmp_path, "alexnet train"):
        assert files.in_use(tmp_path) is True
    assert files.in_use(tmp_path) is False
    with files.only_writer(tmp_path, "alexnet train"):
        pass
