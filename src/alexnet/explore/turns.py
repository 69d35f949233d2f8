"""Who computes when: what the page waits for, one after the other; slow work piece by piece, while nothing else is asked for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The explorer is ending, and slow work with it."""


class Turns:
    """Torch uses all cores for one computation, so two at once would only be slower, each of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._computing = threading.Lock()
        self._asked = 0
        self._over = False

    @contextmanager
    def next(self) -> Iterator[None]:
        """Hold the turn while the block runs; waits for those before."""
        with self._changed:
            self._asked += 1
        try:
            with self._computing:
                yield
        finally:
            with self._changed:
                self._asked -= 1
                self._changed.notify_all()

    def give_way(self) -> None:
        """What slow work calls between two of its pieces: returns when nobody waits for a turn. Raises Stopped at the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._asked or self._over)
            if self._over:
                raise Stopped

    def end(self) -> None:
        """No more slow work."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
