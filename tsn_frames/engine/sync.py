"""Waiting for the engine's thread, where Ctrl-C may come at any moment."""

from __future__ import annotations

import math
import threading
import time

STEP = 0.1  # seconds


class OneShotEvent:
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

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until it rings, so long at most: in short steps, since a lock without a time limit can't be interrupted everywhere."""
        ends = time.monotonic() + seconds
        while not self.rung and (left := ends - time.monotonic()) > 0:
            if self._lock.acquire(timeout=min(STEP, left)):
                self._lock.release()  # for the next who waits


class WriterPause:
    """A time in which a writer has no file open: from the moment that its files are closed until it may go on."""

    def __init__(self) -> None:
        self.begun, self.over = OneShotEvent(), OneShotEvent()
