"""The one place with state of its own: the loop thread, an account's gate, the key asked for, the default client.

A forked child starts with a registry of its own: its parent's thread and sockets don't exist there.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ...secret import Secret
from ..budget.admission import SharedBudgets
from ..limits.limiter import RateLimiter
from ..sync import OneShotEvent, WriterPause

T = TypeVar("T")


@dataclass
class ServiceAccount:
    """What all runs of one (base_url, key) share: the gate, the answers on their way, and those that came while one lives."""

    limiter: RateLimiter = field(default_factory=RateLimiter)
    live: int = 0
    answered: set[tuple[str, bytes]] = field(default_factory=set)
    coming: dict[tuple[str, bytes], list[asyncio.Future[tuple[bytes, float] | None]]] = field(default_factory=dict)


class LoopTask(Protocol):
    """What goes on on the engine's loop until it is over: a run, or a chat's answer."""

    over: OneShotEvent

    async def run(self) -> None:
        """Do it."""

    def stop(self, grace: float = ...) -> None:
        """End it after some seconds, from any thread."""


class PausableWriter(Protocol):
    """A thread that has files open."""

    def rest(self, rest: WriterPause) -> None:
        """Close them, and open none before the rest is over."""


@dataclass
class ProcessState:
    """The state of one process."""

    key: Secret = field(default_factory=lambda: Secret(None))
    client: Any = None
    last_run: Any = None
    accounts: dict[tuple[str, Secret], ServiceAccount] = field(default_factory=dict)
    budgets: SharedBudgets = field(default_factory=SharedBudgets)
    loop: asyncio.AbstractEventLoop | None = None
    hand: ThreadPoolExecutor | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    going: dict[LoopTask, asyncio.Task[None]] = field(default_factory=dict)
    writers: set[PausableWriter] = field(default_factory=set)
    resting: list[WriterPause] = field(default_factory=list)

    def account(self, base_url: str, secret: Secret) -> ServiceAccount:
        """Return the account of a base_url and a key; only the loop's thread asks."""
        return self.accounts.setdefault((base_url, secret), ServiceAccount())

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start what is soon done on the engine's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def begin(self, work: LoopTask) -> None:
        """Begin a run or an answer on the engine's own event loop; its bell rings when it is over."""
        self.call(self._begin, work)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function on the engine's thread; what was called before it comes before it."""
        self._running().call_soon_threadsafe(function, *args)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="tsn_frames", daemon=True).start()
                self.loop = loop
        return self.loop

    def _begin(self, work: LoopTask) -> None:
        self.going[work] = task = asyncio.ensure_future(work.run())
        task.add_done_callback(lambda _: self._end(work))

    def _end(self, work: LoopTask) -> None:
        del self.going[work]
        work.over.ring()

    def _stop_all(self, told: OneShotEvent) -> None:
        for work in self.going:
            work.stop(grace=0.0)
        told.ring()

    def errand(self, work: Callable[[], object]) -> None:
        """Do what takes a while, one after the other, on one more thread: the loop's and the kernel's never wait for it."""
        with self.lock:
            if self.hand is None:
                self.hand = ThreadPoolExecutor(1, "tsn_frames_errands")
        with suppress(RuntimeError):  # the interpreter ends: nobody looks any more
            self.hand.submit(_carefully, work)


def _carefully(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:  # one mistake must not go unseen, nor end the others
        logging.getLogger("tsn_frames").exception("an errand failed")


process_state = ProcessState()
LAST_SECONDS = 5.0


def _at_exit() -> None:
    """Stop what is still going on, so that what was in flight is on record as possibly billed."""
    if process_state.loop is None:
        return
    told, ends = OneShotEvent(), time.monotonic() + LAST_SECONDS
    process_state.call(
        process_state._stop_all, told
    )  # on the loop's thread: also what was handed over just now is going on there
    while (process_state.going or not told.rung) and time.monotonic() < ends:
        time.sleep(0.01)


atexit.register(_at_exit)


def _before_fork() -> None:
    """Have no file open: SQLite in the child would take the parent's locks for its own, and lose what is written there."""
    for writer in list(process_state.writers):
        process_state.resting.append(rest := WriterPause())  # first: whatever comes while it is waited for, it is ended
        writer.rest(rest)


def _after_in_parent() -> None:
    while process_state.resting:
        process_state.resting.pop().over.ring()


def _after_in_child() -> None:
    key, client = process_state.key, process_state.client
    process_state.__init__(key=key, client=client)  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
