"""Ctrl-C while a call waits for a run or an answer, handled as ``asyncio.Runner`` handles it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TypeVar

from ...errors import Interrupted


class Stoppable(Protocol):
    """Work in another thread that sets an event at its end: a run, a chat's answer."""

    finished: threading.Event

    def stop(self, grace: float = ...) -> None:
        """Stop, from any thread; what is in flight has ``grace`` seconds."""


Task = TypeVar("Task", bound=Stoppable)

POLL = 0.1
LAST_WAIT = 2.0  # seconds for the bookkeeping of what a second Ctrl-C cancels


@contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """Collect SIGINTs in a list, which the block may poll, and raise a ``KeyboardInterrupt`` at its end.

    So none is raised between two arbitrary instructions of the block; only the third one is, should the block be stuck. Only
    the main thread receives signals, and a handler that is not Python's default one stays in place.
    """
    received: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 2:
            signal.default_int_handler(number, frame)

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    try:
        yield received
    finally:
        if signal.getsignal(signal.SIGINT) is handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise Interrupted


def wait_for(start: Callable[[], Task], timeout: float | None = None, on_poll: Callable[[], object] = lambda: None) -> Task:
    """Start a task, or take one that runs, wait until it has finished, and return it.

    After Ctrl-C the task stops, and what is in flight has its grace period; a second Ctrl-C ends that, too. ``start`` is
    called here, so that a Ctrl-C at any moment stops the task.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with deferred_interrupts() as received:
        task = start()
        try:
            while not received and (left := deadline - time.monotonic()) > 0 and not task.finished.wait(min(POLL, left)):
                on_poll()
        except BaseException:  # a user's signal handler, or a warning made an error: without a caller nothing more is spent
            task.stop()
            raise
        if received:
            task.stop()
            while len(received) < 2 and not task.finished.wait(POLL):
                pass
            if not task.finished.is_set():
                task.stop(grace=0.0)
                task.finished.wait(LAST_WAIT)
    return task
