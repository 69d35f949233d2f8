"""Work that takes longer than a page waits: done in the background, one job after the other, and asked for until it is there."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alexnet.explore.turns import Stopped, Turns

Key = tuple[Hashable, ...]
"""Kind of the work, run, checkpoint, and what else it is of."""

Work = Callable[[Callable[[int, int], None]], Any]
"""Computes something, and calls what it is given with (done, total) now and then."""


class Job:
    """A piece of work: how far it is, and what came of it."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self.ready = False
        self.result: Any = None
        self.error: Exception | None = None

    def state(self) -> dict[str, Any]:
        """What a page is told meanwhile."""
        return {"state": "computing", "done": self.done, "total": self.total}


class Jobs:
    """The jobs of a session, by key; each is done once, and gives way to what the page waits for. Threads may call it."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._jobs: dict[Key, Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "explore")

    def ask(self, key: Key, work: Work) -> Job:
        """The job of that key, begun if it is new. Raises what a failed one raised; it is begun again the next time.

        With a new job of a kind and run, finished ones of other checkpoints are forgotten.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                past = (
                    old for old, one in self._jobs.items() if one.ready and old[:2] == key[:2] and old[2:3] != key[2:3]
                )
                for old in list(past):
                    del self._jobs[old]
                job = self._jobs[key] = Job()
                self._worker.submit(self._do, job, work)
            elif job.error is not None:
                del self._jobs[key]
                raise job.error
        return job

    def _do(self, job: Job, work: Work) -> None:
        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            self._turns.give_way()

        try:
            self._turns.give_way()
            job.result = work(progress)
            job.ready = True
        except Stopped:
            pass
        except Exception as error:  # whatever it is, it is whoever asks who hears of it
            job.error = error

    def close(self) -> None:
        """Begin no more of them; the one that is under way ends by itself (`Turns.end`)."""
        self._worker.shutdown(wait=False, cancel_futures=True)
