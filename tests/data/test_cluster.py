"""Whoever makes the shards, and whatever dies meanwhile: the bytes of one machine."""

import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from alexnet.cli import main
from alexnet.data import cluster, prepared, writer
from alexnet.data import prepare as prepare_module
from alexnet.data.cluster import Crew
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.source import Source
from alexnet.errors import InputError, RunFailed
from tests.data.making import class_folders, jpeg, make_mini_ilsvrc, parquet_files, picture, write_folder

Store = Literal["raw", "jpeg"]


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Threads of this process, so that a test can reach what they do."""
    with ThreadPoolExecutor(2) as pool:
        yield Crew(pool.submit, slots=2)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "CHUNK", 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 images for training, three of them cut off, and 12 for validation, one cut off."""
    folder = class_folders(tmp_path / "in", {"train/cat": 26, "train/dog": 31, "val/cat": 6, "val/dog": 5})
    cut = jpeg(picture(60, 60))[:-200]
    names = ("train/cat/0003-cut.jpg", "train/dog/0007-cut.jpg", "train/dog/0030-cut.jpg", "val/dog/0001-cut.jpg")
    return write_folder(folder, dict.fromkeys(names, cut))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def whole_class_skipped(folder: Path) -> Path:
    for path in (folder / "train/cat").iterdir():
        path.write_bytes(b"nothing")
    return folder


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("store", ["raw", "jpeg"])
@pytest.mark.parametrize("longest", [1, 2, 16])
def test_the_bytes_of_one_machine(store: Store, longest: int, folder: Path, tmp_path: Path, crew: Crew) -> None:
    source = open_source(str(folder))
    prepare(source, tmp_path / "one", size=8, max_bad=0.2, store=store)
    told: list[prepare_module.Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "LONGEST", longest)
        result = cluster.prepare(
            source, tmp_path / "many", replace(crew, slots=1), size=8, max_bad=0.2, store=store, progress=told.append
        )
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert result.check() == [] and len(result.manifest["splits"]["train"]["skipped"]) == 3
    assert (told[-1].split, told[-1].done, told[-1].total) == ("val", 12, 12)


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_without_a_single_good_image(folder: Path, tmp_path: Path, crew: Crew) -> None:
    source = open_source(str(whole_class_skipped(folder)))
    for store in ("raw", "jpeg"):
        prepare(source, tmp_path / f"one-{store}", size=8, max_bad=0.9, store=store)
        cluster.prepare(source, tmp_path / f"many-{store}", crew, size=8, max_bad=0.9, store=store)
        assert contents(tmp_path / f"many-{store}") == contents(tmp_path / f"one-{store}")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", ["archives", "tars", "npz", "chosen", "parquet", "builtin"])
def test_sources_of_every_kind(kind: str, tmp_path: Path, crew: Crew) -> None:
    if kind in ("archives", "tars", "chosen"):
        mini = make_mini_ilsvrc(tmp_path / "mini", per_class=6, val_per_class=2).folder
        if kind == "tars":
            mini = (mini / "ILSVRC2012_img_train.tar").rename(tmp_path / "fall11_whole.tar")
        source: Source = open_source(str(mini))
        source = choose(source, (source.classes[3], source.classes[1])) if kind == "chosen" else source
    elif kind == "npz":
        np.savez(
            tmp_path / "a.npz", images=np.stack([picture(9, 9, n) for n in range(11)]), labels=[*range(5), *range(6)]
        )
        source = open_source(str(tmp_path / "a.npz"))
    elif kind == "parquet":
        source = open_source(str(parquet_files(tmp_path / "parquet")))
        assert [part.items for part in source.parts("train")] == [5, 5, 3, 5, 5, 3]
    else:
        from alexnet.data.builtin import Photographs

        source = Photographs(train_patches=3, test_patches=2)
    prepare(source, tmp_path / "one", size=8, max_bad=0.2)
    cluster.prepare(source, tmp_path / "many", crew, size=8, max_bad=0.2)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@pytest.mark.usefixtures("small_chunks")
def test_too_many_bad_images_are_as_bad_as_on_one_machine(folder: Path, tmp_path: Path, crew: Crew) -> None:
    source = open_source(str(folder))
    messages = []
    for name, prepare_it in (("one", prepare), ("many", lambda *given, **more: cluster.prepare(*given, crew, **more))):
        with pytest.raises(InputError, match="--max-bad") as error:
            prepare_it(source, tmp_path / name, size=8)  # type: ignore[operator]
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    cluster.prepare(source, tmp_path / "many", crew, size=8, max_bad=0.2)  # nothing of train is done again
    prepare(source, tmp_path / "one", size=8, max_bad=0.2)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


# ---------------------------------------------------------------- what dies


class Death(BaseException):
    """Stands in for a kill at one exact place."""


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_death_of_the_command_at_every_single_step(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(class_folders(tmp_path / "in", {"train/cat": 9, "train/dog": 8, "val/dog": 3})))
    prepare(source, tmp_path / "one", size=4, store=store)
    steps, fatal = 0, -1

    def at_once(function: Callable, *arguments: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments))
        return future

    def counted(plain: Callable) -> Callable:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal:
                raise Death
            return plain(*arguments, **named)

        return step

    from alexnet import files

    for module in (writer, files):
        monkeypatch.setattr(module, "sync", counted(module.sync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    cluster.prepare(source, tmp_path / "counting", Crew(at_once, 1), size=4, store=store)
    assert contents(tmp_path / "counting") == contents(tmp_path / "one")
    assert steps > 60
    for fatal in range(1, steps + 1):
        dest, steps = tmp_path / f"{fatal}", 0
        with pytest.raises(Death):
            cluster.prepare(source, dest, Crew(at_once, 1), size=4, store=store)
        steps = -10000
        # One machine goes on with what many left, and the other way round.
        if fatal % 2:
            prepare(source, dest, size=4, store=store)
        else:
            cluster.prepare(source, dest, Crew(at_once, 1), size=4, store=store)
        steps = 0
        assert contents(dest) == contents(tmp_path / "one"), f"died at step {fatal}"


@pytest.mark.usefixtures("small_chunks")
def test_whole_shards_are_kept_and_halves_are_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, dest = open_source(str(folder)), tmp_path / "many"
    prepare(source, tmp_path / "one", size=8, max_bad=0.2)
    starts: list[int] = []

    def dies_before(at: int) -> Callable[..., Future]:
        def submit(function: Callable, *arguments: Any) -> Future:
            if function is cluster.make_shard:
                _, job, _, start, stop = arguments
                if start == at:
                    half = job.folder / f".{cluster._name(start, stop)}.abc"
                    half.mkdir()
                    (half / "images.bin").write_bytes(b"half")
                    raise Death
                starts.append(start)
            future: Future = Future()
            future.set_result(function(*arguments))
            return future

        return submit

    def dies(*_: object) -> None:
        raise Death

    monkeypatch.setattr(cluster.Writer, "take_over", dies)
    with pytest.raises(Death):  # the first shards are made, none is taken over
        cluster.prepare(source, dest, Crew(dies_before(12), 8), size=8, max_bad=0.2)
    monkeypatch.undo()
    monkeypatch.setattr(prepare_module, "CHUNK", 4)
    assert starts == [0, 4, 8] and len(list((dest / "train/shards").glob("0*"))) == 3
    with pytest.raises(InputError, match="not finished"):
        prepared.open(dest)
    told: list[prepare_module.Progress] = []
    cluster.prepare(source, dest, Crew(dies_before(-1), 2), size=8, max_bad=0.2, progress=told.append)
    of_train = [now for now in told if now.split == "train"]
    assert (of_train[-1].earlier, of_train[-1].done) == (12, 60)
    assert starts[3:] == [*range(12, 60, 4), 0, 4, 8]  # the last ones are val's
    assert contents(dest) == contents(tmp_path / "one")


CHILD = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from alexnet.data import cluster, prepare
from alexnet.data.sources import open_source

plain = prepare.to_square
def slow(image, size):
    time.sleep(0.01)
    return plain(image, size)
prepare.to_square, prepare.CHUNK = slow, 4
with ThreadPoolExecutor(2) as pool:
    cluster.prepare(open_source(sys.argv[1]), Path(sys.argv[2]), cluster.Crew(pool.submit, 2), size=8, max_bad=0.2)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.usefixtures("small_chunks")
def test_kill_nine_with_shards_half_written(folder: Path, tmp_path: Path, crew: Crew) -> None:
    source, dest = open_source(str(folder)), tmp_path / "many"
    prepare(source, tmp_path / "one", size=8, max_bad=0.2)
    for lines in (1, 6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(dest)])
        try:
            end, journal, halves = time.monotonic() + 60, dest / "train/progress.jsonl", []
            while not (halves and journal.exists() and journal.read_bytes().count(b"\n") >= lines):
                assert child.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < end, "it hangs"
                halves = list((dest / "train/shards").glob(".*/images.bin"))
                time.sleep(0.002)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
    cluster.prepare(source, dest, crew, size=8, max_bad=0.2)
    assert contents(dest) == contents(tmp_path / "one")


# ---------------------------------------------------------------- what workers do not see


def elsewhere(change: Callable[[Path], None], folder: Path) -> Callable[..., Future]:
    """Tasks run on a machine where something is different."""

    def submit(function: Callable, *arguments: Any) -> Future:
        future: Future = Future()
        if function is cluster.make_shard:
            change(folder)
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    return submit


@pytest.mark.usefixtures("small_chunks")
def test_a_worker_that_does_not_see_the_source_or_dest(folder: Path, tmp_path: Path) -> None:
    dest = tmp_path / "many"
    lost_source = elsewhere(lambda at: shutil.rmtree(at, ignore_errors=True), folder / "train/dog")
    with pytest.raises(InputError, match=r"worker \d+ on .* sees 0 images in part 1 .* same path"):
        cluster.prepare(open_source(str(folder)), dest, Crew(lost_source, 1), size=8, max_bad=1)
    other = class_folders(tmp_path / "other", {"cat": 5, "dog": 1})
    lost_dest = elsewhere(lambda at: (at / "begun.json").unlink(missing_ok=True), tmp_path / "many2")
    with pytest.raises(InputError, match=r"worker .* does not see .*many2 as the command's machine does"):
        cluster.prepare(open_source(str(other)), tmp_path / "many2", Crew(lost_dest, 1), size=8)
    away = elsewhere(lambda _: None, tmp_path)
    with pytest.raises(InputError, match="was made by a worker, and is not here"):
        cluster.prepare(open_source(str(other)), tmp_path / "many3", Crew(lambda f, *a: away(lambda: None), 1), size=8)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("store", "file"),
    [
        ("raw", "images.bin"),
        ("jpeg", "jpegs.bin"),
        ("jpeg", "offsets.bin"),
        ("raw", "labels.bin"),
        ("raw", "files.txt"),
    ],
)
def test_a_shard_that_the_storage_does_not_give_back(
    store: Store, file: str, folder: Path, tmp_path: Path, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(function: Callable, *arguments: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments))
        _, job, _, start, stop = arguments
        if start == 4:  # the second shard of both splits
            with (job.folder / cluster._name(4, stop) / file).open("r+b") as opened:
                opened.write(b"\7")
        return future

    source = open_source(str(folder))
    monkeypatch.setattr(cluster, "LONGEST", 1)
    with pytest.raises(RunFailed, match="did not hold what was written"):
        cluster.prepare(source, tmp_path / "many", Crew(spoil, 1), size=8, max_bad=1, store=store)
    cluster.prepare(source, tmp_path / "many", crew, size=8, max_bad=1, store=store)
    prepare(source, tmp_path / "one", size=8, max_bad=1, store=store)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@pytest.mark.usefixtures("small_chunks")
def test_a_worker_with_another_version_of_the_package(folder: Path, tmp_path: Path, crew: Crew) -> None:
    source = open_source(str(folder))

    def earlier(function: Callable, *arguments: Any) -> Future:
        shared, job, *others = arguments
        return crew.submit(function, shared, replace(job, package="alexnet 0.0.1, form 1"), *others)

    with pytest.raises(RunFailed, match=r"worker \d+ on .* has alexnet .* install the same on every machine"):
        cluster.prepare(source, tmp_path / "many", replace(crew, submit=earlier), size=8)

    def lacking(error: Exception) -> Callable[..., Future]:
        def submit(*_: Any) -> Future:
            future: Future = Future()
            future.set_exception(error)
            return future

        return submit

    of_ray = RuntimeError("The remote function failed to import on the worker.")
    for error in (ModuleNotFoundError("No module named 'alexnet'"), of_ray, TypeError("takes 10 positional arguments")):
        with pytest.raises(RunFailed, match="a worker lacks a package, or has not alexnet .*install the same"):
            cluster.prepare(source, tmp_path / "many", replace(crew, submit=lacking(error)), size=8)
    with pytest.raises(ZeroDivisionError):
        cluster.prepare(source, tmp_path / "many", replace(crew, submit=lacking(ZeroDivisionError())), size=8)


def test_threads_are_checked_before_a_cluster_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="--workers -1: must be at least 1"), cluster.ray_crew("local", -1):
        pass


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "alexnet\[cluster\]"'), cluster.ray_crew("local"):
        pass


# ---------------------------------------------------------------- other processes


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,100 images: three chunks of 512."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("thousand") / "a.npz"
    np.savez(path, images=random.integers(0, 256, (1100, 12, 12, 3), np.uint8), labels=np.arange(1100) % 7)
    return path


def test_processes(thousand: Path, tmp_path: Path) -> None:
    source = open_source(str(thousand))
    prepare(source, tmp_path / "one", size=8)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        cluster.prepare(source, tmp_path / "many", Crew(pool.submit, 2), size=8)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def dies_first(mark: Path, function: Callable, *arguments: Any) -> Any:
    """`function`, in a process that dies over its first commit; the first time."""
    if not mark.exists():
        mark.write_text("")
        cluster.Writer.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    return function(*arguments)


def test_ray_starts_a_shard_anew_where_a_worker_dies(thousand: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install "alexnet[cluster]"')
    source = open_source(str(thousand))
    prepare(source, tmp_path / "one", size=8)
    with cluster.ray_crew("local", 1) as crew:
        mark = tmp_path / "mark"
        deadly = replace(crew, submit=lambda function, *given: crew.submit(dies_first, mark, function, *given))
        cluster.prepare(source, tmp_path / "many", deadly, size=8)
        nowhere = tmp_path / "nowhere/train/shards"
        job = cluster.Job("train", nowhere, b"", 1, cluster.package())
        lost = crew.submit(cluster.count_parts, source, job, [0])
        with pytest.raises(InputError, match="does not see"):  # as itself, whatever Ray wraps it in
            cluster._result(lost)
        only_here = tmp_path / "only_here"
        only_here.mkdir()
        (only_here / "lonely_source.py").write_text("class Source:\n    pass\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(only_here)
            lonely = importlib.import_module("lonely_source").Source()
            with pytest.raises(RunFailed, match="No module named 'lonely_source'.*install the same"):
                cluster._result(crew.submit(cluster.count_parts, crew.share(lonely), job, []))
    assert mark.exists()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_the_command(
    folder: Path, crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    @contextmanager
    def ray_crew(address: str, threads: int | None = None) -> Iterator[Crew]:
        asked.append((address, threads))
        yield crew

    monkeypatch.setattr(cluster, "ray_crew", ray_crew)
    monkeypatch.chdir(tmp_path)  # workers would not find a relative path
    options = ["--size", "8", "--max-bad", "0.2", "--classes", "dog", "--json"]
    assert main(["prepare", "in", "many", "--cluster", "auto", "--workers", "3", *options]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 31 + 5
    assert asked == [("auto", 3)]
    assert main(["prepare", "in", "one", *options]) == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    capsys.readouterr()
    assert main(["prepare", "in", "one", *options, "--classes", "cat"]) == 2
    assert "1 of its 2 classes" in capsys.readouterr().err
