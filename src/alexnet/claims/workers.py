"""Performs many runs, each once, in this process or in several, until all are there or it is told to stop."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from alexnet.claims.keys import Folders, Task
from alexnet.claims.perform import Stopped, perform
from alexnet.claims.records import Record
from alexnet.data import prepared as prepared_sets
from alexnet.device import keep_memory
from alexnet.errors import RunFailed
from alexnet.processes import STOPPING
from alexnet.training import Status


@dataclass(frozen=True)
class Now:
    """Where the runner is, for live progress."""

    name: str
    done: int
    """Runs that are finished."""
    runs: int
    status: Status | None = None
    """Of the run that is under way, where there is one at a time."""
    record: Record | None = None
    """What was measured of the run that just ended."""


@dataclass(frozen=True)
class Work:
    """Where runs are done, how many at a time, and who is told of it."""

    folders: Folders
    jobs: int = 1
    progress: Callable[[Now], None] = lambda now: None
    stop: Callable[[], bool] = lambda: False

    def perform(self, tasks: Sequence[Task], after_each: Callable[[], Any] = lambda: None) -> None:
        """Perform each task once, with all that is wanted of it. Raises Stopped once `stop` says so; RunFailed for a process that
        was killed."""
        once: dict[str, Task] = {}
        for task in tasks:
            ending = self.folders.ending(task.run)
            first = once.get(ending, task)
            measures = tuple(dict.fromkeys((*first.measures, *task.measures)))
            once[ending] = replace(first, measures=measures, lends=first.lends or task.lends)
        left = [task for task in once.values() if not self.folders.is_done(task)]
        done = len(once) - len(left)
        performed = (
            self._in_processes(left) if self.jobs > 1 and len(left) > 1 else self._one_by_one(left, done, len(once))
        )
        for task, record in performed:
            done += 1
            self.progress(Now(task.name, done, len(once), record=record))
            after_each()

    def _one_by_one(self, left: Sequence[Task], done: int, runs: int) -> Iterator[tuple[Task, Record]]:
        for number, task in enumerate(left, done):
            if self.stop():
                raise Stopped

            def show(status: Status, task: Task = task, number: int = number) -> None:
                self.progress(Now(task.name, number, runs, status))

            yield task, perform(task, self.folders, show, self.stop)

    def _in_processes(self, left: Sequence[Task]) -> Iterator[tuple[Task, Record]]:
        # Spawned, not forked: torch's threads do not survive a fork.
        context = get_context("spawn")
        stopping = context.Event()
        threads = max(1, torch.get_num_threads() // self.jobs)
        folders, other = self.folders, self.folders.other
        where = (folders.root, folders.images.path, other.path if other else None)
        with ProcessPoolExecutor(self.jobs, context, _begin_worker, (threads, stopping)) as pool:
            waiting: dict[Future[Record], Task] = {pool.submit(_work, task, *where): task for task in left}
            try:
                while waiting:
                    ended, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        yield waiting.pop(future), future.result()
                    if self.stop():
                        raise Stopped
            except BrokenProcessPool:
                raise RunFailed(
                    "a process with a run was killed, perhaps for want of memory; the same command goes on where it was,"
                    " fewer --jobs need less"
                ) from None
            finally:
                stopping.set()  # those under way write a checkpoint and end
                pool.shutdown(cancel_futures=True)


_process: dict[str, Any] = {}
"""What a worker process was begun with."""


def _begin_worker(threads: int, stopping: Any) -> None:
    _process["stopping"] = stopping
    keep_memory()
    torch.set_num_threads(threads)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # the parent hears them and says when to stop
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent is killed: it would wait for work for ever, and hold the folder of its run."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(task: Task, root: Path, images: Path, other: Path | None) -> Record:
    folders = Folders(root, prepared_sets.open(images), prepared_sets.open(other) if other else None)
    return perform(task, folders, stop=_process["stopping"].is_set)
