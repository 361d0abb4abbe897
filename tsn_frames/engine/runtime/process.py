"""The state of this process: the event loop's thread, its tasks, the accounts, the API key and the default client."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ...api import Completion
from ...errors import RunError
from ...secret import Secret
from ..limits.limiter import RateLimiter
from .interrupts import Stoppable

T = TypeVar("T")
log = logging.getLogger("tsn_frames")
EXIT_TIMEOUT = 5.0


@dataclass
class ServiceAccount:
    """What all runs of one (base_url, key) share."""

    limiter: RateLimiter = field(default_factory=RateLimiter)
    active_runs: int = 0
    # Keys are pairs of a cache folder and a request key.
    answered_keys: set[tuple[str, bytes]] = field(default_factory=set)  # while several runs go on
    # The futures of runs that need an answer, by the request that another run sends.
    waiters: dict[tuple[str, bytes], list[asyncio.Future[tuple[Completion, float] | None]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        """Count a run that is about to look its requests up; from any thread."""
        with self.lock:
            self.active_runs += 1

    def leave(self) -> None:
        """Count a run that is over; without runs the keys answered meanwhile serve no purpose."""
        with self.lock:
            self.active_runs -= 1
            if not self.active_runs:
                self.answered_keys.clear()


class LoopTask(Stoppable, Protocol):
    """A task of the engine's loop: a run, or a chat's answer."""

    async def run(self) -> None:
        """Do the work."""


@dataclass
class ProcessState:
    """The state of one process. Only the loop's thread touches ``tasks``."""

    key: Secret = field(default_factory=lambda: Secret(None))
    client: Any = None
    forked_during_run: bool = False
    last_run: Any = None
    accounts: dict[tuple[str, Secret], ServiceAccount] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None
    background: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "tsn_frames-background"))
    lock: threading.Lock = field(default_factory=threading.Lock)
    tasks: dict[LoopTask, asyncio.Task[None]] = field(default_factory=dict)

    def account(self, base_url: str, secret: Secret) -> ServiceAccount:
        """Return the account of a base_url and a key, from any thread."""
        return self.accounts.setdefault((base_url, secret), ServiceAccount())

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.start_loop())

    def start_task(self, task: LoopTask) -> None:
        """Run a task on the loop and set its ``finished`` at the end."""
        self.call(self._start_task, task)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function on the loop's thread; calls keep their order."""
        self.start_loop().call_soon_threadsafe(function, *args)

    def run_in_background(self, work: Callable[[], object]) -> None:
        """Call a slow function on a separate thread, one at a time, so that it blocks neither the loop nor the kernel."""
        with suppress(RuntimeError):  # the interpreter is shutting down
            self.background.submit(_logged, work)

    def start_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, whose thread is started by the first call."""
        if self.forked_during_run:
            raise RunError("this process was forked while a run of its parent went on, so it can't send anything: fork before "
                           "the run starts or after it is over, or use multiprocessing's 'spawn' start method")  # fmt: skip
        with self.lock:
            if self.loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="tsn_frames", daemon=True).start()
                self.loop = loop
        return self.loop

    def _start_task(self, task: LoopTask) -> None:
        self.tasks[task] = running = asyncio.ensure_future(task.run())
        running.add_done_callback(lambda _: self._finish_task(task))

    def _finish_task(self, task: LoopTask) -> None:
        del self.tasks[task]
        task.finished.set()

    async def _stop_all(self) -> None:
        for task in self.tasks:
            task.stop(grace=0.0)
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


def _logged(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        log.exception("background work failed")


process_state = ProcessState()


def _stop_at_exit() -> None:
    """Stop all tasks, so that requests in flight are recorded as possibly billed."""
    if process_state.loop is not None:
        with suppress(TimeoutError):
            process_state.submit(process_state._stop_all()).result(EXIT_TIMEOUT)


def _reset_in_child() -> None:
    """Give a forked child its own state: its parent's threads, sockets and locks don't exist there."""
    old = process_state
    busy = old.forked_during_run or bool(old.tasks)
    old.__init__(key=old.key, client=old.client, forked_during_run=busy)  # type: ignore[misc]


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
