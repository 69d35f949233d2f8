"""Work in parts: every item once, in order, whatever the number of threads; errors come out."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alexnet.fast import in_parts, loop


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("items", [0, 1, 2, 3, 7, 100])
def test_every_item_is_worked_on_once(threads: int, items: int) -> None:
    done: list[int] = []
    in_parts(lambda start, stop: done.extend(range(start, stop)), items)
    assert sorted(done) == list(range(items))


def test_small_work_stays_in_one_part(threads: int) -> None:
    parts: list[tuple[int, int]] = []
    in_parts(lambda start, stop: parts.append((start, stop)), 99, least=50)
    assert parts == [(0, 99)]


def test_an_error_comes_out_after_all_threads_have_ended(threads: int) -> None:
    working = 0

    def work(start: int, stop: int) -> None:
        nonlocal working
        working += 1
        time.sleep(0.001)
        working -= 1
        if start == 0:
            raise ValueError("the first part")

    with pytest.raises(ValueError, match="the first part"):
        in_parts(work, 100)
    assert working == 0


def test_all_threads_share_the_work(threads: int) -> None:
    names = set()

    def work(start: int, stop: int) -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.01)

    in_parts(work, 100)
    assert len(names) == threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    program = """
import os, torch
from alexnet.fast import in_parts
torch.set_num_threads(2)
in_parts(lambda start, stop: None, 10)
child = os.fork()
done = []
in_parts(lambda start, stop: done.append(stop - start), 10)
if child == 0:
    os._exit(0 if sum(done) == 10 else 1)
assert os.waitpid(child, 0)[1] == 0 and sum(done) == 10
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_numba_that_does_not_work_is_done_without(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('needs another numpy')")
    program = "from alexnet.fast import compiled; assert not compiled()"
    before = os.environ.get("PYTHONPATH")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *([before] if before else [])])}
    done = subprocess.run([sys.executable, "-c", program], env=env, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "needs another numpy" in done.stderr


def test_loops_are_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    kept = numba.njit

    def without_a_folder(*functions: object, **settings: object) -> object:  # numba itself decorates some with it
        if settings.get("cache"):

            def refuse(function: object) -> object:
                raise RuntimeError("cannot cache function: no locator available")

            return refuse
        return kept(*functions, **settings)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    assert loop(lambda x: x + 1)(2) == 3


def test_loops_are_compiled_where_there_is_no_more_room_to_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    caching = pytest.importorskip("numba.core.caching")
    asked = []

    def refuse(self: object, key: object, data: object) -> None:
        asked.append(key)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", refuse)
    assert loop(lambda x: x + 2)(2) == 4
    assert asked
