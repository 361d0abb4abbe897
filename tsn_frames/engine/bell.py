"""Waiting for the engine's thread, where Ctrl-C may come at any moment."""

from __future__ import annotations

import threading
import time


class Bell:
    """Rings once and says when.

    The locks of a ``Future``, an ``Event`` or a ``Condition`` are taken in Python: where Ctrl-C comes just then, they stay
    locked, and the thread that wants to tell of the end waits for ever. Here who rings waits for nobody.

    Attributes
    ----------
    rung : float
        When, on the monotonic clock; 0 before.
    """

    def __init__(self) -> None:
        self.rung = 0.0
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Let all who wait go on; one thread only rings."""
        if not self.rung:
            self.rung = time.monotonic()
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait so long at most: in short steps, since a lock without a time limit can't be interrupted everywhere."""
        if not self.rung and self._lock.acquire(timeout=seconds):
            self._lock.release()  # for the next who waits


class Rest:
    """A time in which a writer has no file open: from the moment that its files are closed until it may go on."""

    def __init__(self) -> None:
        self.begun, self.over = Bell(), Bell()
