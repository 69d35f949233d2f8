"""A process of its own for what checks and measures kernels: what goes wrong on a GPU takes the whole process along.

After an illegal address every later call of that process fails, and a kernel that never ends cannot be stopped from
inside. So the process is killed and another one begun; what it does next is not touched by what went wrong before.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from alexnet.errors import RunFailed
from alexnet.processes import STOPPING

GRACE = 60.0
"""Seconds between asking a piece to stop and killing its process: torch.compile does not listen."""

Say = Callable[[str], None]
Work = Callable[[str, Callable[[], bool], Say], dict[str, Any]]
"""(name, stop, say) -> the document of a piece. A function of a module: the other process finds it by its name."""


class PieceFailed(RunFailed):
    """What went wrong in the other process: one line, and the traceback from there."""

    def __init__(self, line: str, trace: str = "") -> None:
        super().__init__(line)
        self.trace = trace or line


class Apart:
    """The other process, begun when there is something to do, and kept for the next piece as long as none fails."""

    def __init__(self, work: Work, interpreted: bool = False) -> None:
        self.work, self.interpreted = work, interpreted
        """Whether Triton's kernels run in its interpreter, on the CPU."""
        self.process: Any = None

    def do(self, name: str, stop: Callable[[], bool], most: float, say: Say) -> dict[str, Any]:
        """What `work` returns for this piece; it is asked to stop once `stop` says so, or after `most` seconds.

        Raises PieceFailed, also for a process that died, or did not stop and was killed.
        """
        if self.process is None:
            self._begin()
        try:
            return self._ask(name, stop, most, say)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        context = get_context("spawn")  # a forked process cannot use CUDA
        self.pipe, theirs = context.Pipe()
        self.stopping = context.Event()
        self.process = context.Process(target=_serve, args=(theirs, self.stopping, self.work, self.interpreted))
        self.process.start()
        theirs.close()  # so that its death ends our reading

    def _ask(self, name: str, stop: Callable[[], bool], most: float, say: Say) -> dict[str, Any]:
        begun, asked = time.monotonic(), 0.0
        self.stopping.clear()
        try:
            self.pipe.send(name)
            while True:
                if self.pipe.poll(0.1):
                    kind, *content = self.pipe.recv()
                    if kind == "done":
                        return dict(content[0])
                    if kind == "failed":
                        raise PieceFailed(*content)
                    say(*content)
                now = time.monotonic()
                if not asked and (stop() or now - begun > most):
                    self.stopping.set()
                    asked = now
                elif asked and now - asked > GRACE:
                    raise PieceFailed(f"did not stop when it was asked to; killed after {now - begun:.0f} s")
        except (EOFError, OSError):
            self.process.join(5)
            raise PieceFailed(f"its process died, exit code {self.process.exitcode}") from None

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def _serve(pipe: Any, stopping: Any, work: Work, interpreted: bool) -> None:
    if interpreted:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # the parent hears them and says when to stop
    Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            name = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", work(name, stopping.is_set, lambda text: pipe.send(("said", text)))))
        except Exception as error:
            pipe.send(("failed", f"{type(error).__name__}: {error}", traceback.format_exc()))
            return  # who knows what of this process still works


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
