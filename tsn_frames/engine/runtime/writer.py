"""The thread that makes answers durable: the ledger's lines first, then the cache's, each group in one commit.

An answer counts only when its commit is done. Where the disk is full, or can't be written, or another process holds
the file, the run goes on: what could not be saved is kept, tried again from time to time and at the end, and told once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from ..cache.cache import Cache
from ..cache.store import Store, recover_store
from ..ledger.file import Entry, LedgerFile
from ..ledger.ledger import Ledger
from ..ledger.run_record import RunRecord, Saving
from ..storage.sqlite import BUSY_TIMEOUT, is_corrupt

GROUP = 512
# A commit costs many times what a row in it does: it waits until so many rows have come, or so many seconds are over.
DUE, APART = 16, 0.01
PAUSE = 2.0  # seconds between two tries to save what could not be saved
SHORT_BUSY_TIMEOUT = 0.2


class PendingWrite(NamedTuple):
    """One attempt to record, with its answer where it is to be cached; or a line that is about the run."""

    entry: Entry | RunRecord | Saving
    answer: tuple[bytes, bytes] | None
    done: asyncio.Future[None]


class CommitFuture(asyncio.Future[None]):
    """Done when an attempt is on disk. Who waits for it and is cancelled hears of that afterwards: it comes in any case."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        """Cancel nothing."""
        return False


class Writer:
    """Records attempts and answers from the loop's thread, on a thread of its own.

    Parameters
    ----------
    ledger : Ledger
        Where attempts are recorded.
    cache : Cache or None
        Where answers are stored; None stores none.
    """

    def __init__(self, ledger: Ledger, cache: Cache | None) -> None:
        self._entries = _PendingRows(ledger.path, ledger.open)
        self._answers = _PendingRows(cache.file, cache.open) if cache else None
        self._begun = 0.0
        self._jobs: SimpleQueue[PendingWrite | None] = SimpleQueue()
        self._due = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="tsn_frames-writer", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> dict[str, str]:
        """What keeps the ledger or the cache from being written, where something does."""
        named = {"ledger": self._entries, "cache": self._answers}
        return {name: part.problem for name, part in named.items() if part and part.problem}

    def put(self, entry: Entry, answer: tuple[bytes, bytes] | None = None) -> CommitFuture:
        """Record an attempt and its answer; the future is done when both are committed, or told as a problem."""
        done = CommitFuture(loop=self._loop)
        self._add(PendingWrite(entry, answer, done))
        return done

    def note(self, lines: Iterable[RunRecord | Saving]) -> None:
        """Record what is about the run as a whole; nobody waits for it but the end of the run."""
        for line in lines:
            self._add(PendingWrite(line, None, self._loop.create_future()))

    async def aclose(self) -> None:
        """Write what is left and end the thread."""
        self._add(None)
        await self._ended  # not a join in another thread: at the interpreter's end none can be started
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            group = self._next_group()
            jobs, last = [job for job in group if job is not None], None in group
            self._entries.save([job.entry for job in jobs], last=last)
            if self._answers:
                self._answers.save(
                    [(*job.answer, job.entry.time) for job in jobs if job.answer and type(job.entry) is Entry], last=last
                )
            self._loop.call_soon_threadsafe(_release, [job.done for job in jobs])
        for part in (self._entries, self._answers):
            if part:
                part.close()
        self._loop.call_soon_threadsafe(_release, [self._ended])

    def _add(self, job: PendingWrite | None) -> None:
        self._jobs.put(job)
        if job is None or self._jobs.qsize() == DUE:
            self._due.set()

    def _next_group(self) -> list[PendingWrite | None]:
        self._due.wait(max(0.0, self._begun + APART - time.monotonic()))  # first: then what has come meanwhile wakes nobody
        self._due.clear()
        group = [self._jobs.get()]
        self._begun = time.monotonic()
        while len(group) < GROUP and not self._jobs.empty():
            group.append(self._jobs.get())
        return group


class _PendingRows:
    """What waits to be written to one file, and what stands in its way."""

    def __init__(self, path: Path, opening: Callable[[float], LedgerFile | Store]) -> None:
        self.problem: str | None = None
        self._path, self._opening = path, opening
        self._file: Any = None
        self._busy_timeout = BUSY_TIMEOUT
        self._rows: list[Any] = []
        self._not_before = 0.0

    def save(self, rows: list[Any], *, last: bool) -> None:
        """Write rows and those that waited, or keep them all for later; never raise."""
        self._rows += rows
        if not self._rows or (self.problem and not last and time.monotonic() < self._not_before):
            return
        try:
            self._write(SHORT_BUSY_TIMEOUT if self.problem and not last else BUSY_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - a thread that dies here would hold every answer of the run back for ever
            text = str(error) or type(error).__name__
            self.problem = text if str(self._path) in text else f"{self._path}: {text}"
            self._not_before = time.monotonic() + PAUSE
        else:
            self.problem, self._rows = None, []

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, busy_timeout: float) -> None:
        if self._file and self._file.was_replaced:
            self.close()
        self._open(busy_timeout)
        try:
            self._file.write(self._rows)
        except sqlite3.DatabaseError as error:
            if not (is_corrupt(error) and isinstance(self._file, Store)):
                raise
            damaged = self._file
            self.close()
            recover_store(damaged)
            self._open(busy_timeout)
            self._file.write(self._rows)

    def _open(self, busy_timeout: float) -> None:
        if self._file is None:
            self._file = self._opening(busy_timeout)
        elif busy_timeout != self._busy_timeout:
            self._file.set_busy_timeout(busy_timeout)
        self._busy_timeout = busy_timeout


def _release(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
