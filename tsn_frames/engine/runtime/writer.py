"""Group commit on a thread: a group's ledger lines in one transaction, then its answers in the cache.

An answer counts only after its commit. Where the disk is full or another process holds the file, the run goes on: unsaved
rows are kept, tried again every ``RETRY_INTERVAL`` seconds and at the end, and reported once. At the end a lock is waited for as long as
before a run: the next run would pay again for answers that are not in the cache.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from ..cache.cache import Cache
from ..cache.repair import recover
from ..cache.store import Store
from ..ledger.ledger import Ledger
from ..ledger.ledger_file import Entry, LedgerFile, Line
from ..storage.sqlite import BUSY_TIMEOUT, LOCKED_SECONDS, is_corrupt, is_locked

MAX_GROUP = 512
BATCH, MIN_INTERVAL = 16, 0.01  # commit after 16 rows or 10 ms: a commit costs about ten row inserts
RETRY_INTERVAL = 2.0  # seconds between two attempts to save what could not be saved
SHORT_BUSY_TIMEOUT = 0.2


class PendingWrite(NamedTuple):
    """One attempt to record, with its answer where it is to be cached; or a line about the run, without a future."""

    entry: Line
    answer: tuple[bytes, bytes] | None = None
    done: CommitFuture | None = None


class CommitFuture(asyncio.Future[None]):
    """Done when an attempt is on disk. It can't be cancelled: a task that awaits it is cancelled after the commit."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        """Return False: a commit can't be cancelled."""
        return False


class Writer:
    """Writes attempts and answers that the loop's thread puts, on its own thread."""

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
        """Why the ledger or the cache can't be written, by name; empty where both can."""
        named = {"ledger": self._entries, "cache": self._answers}
        return {name: part.problem for name, part in named.items() if part and part.problem}

    def put(self, entry: Entry, answer: tuple[bytes, bytes] | None = None) -> CommitFuture:
        """Record an attempt and its answer; the future is done when both are committed, or kept as a problem."""
        done = CommitFuture(loop=self._loop)
        self._add(PendingWrite(entry, answer, done))
        return done

    def note(self, lines: Iterable[Line]) -> None:
        """Record lines about the run as a whole; they are on disk when :meth:`aclose` returns."""
        for line in lines:
            self._add(PendingWrite(line))

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
                rows = [(*job.answer, job.entry.time) for job in jobs if job.answer and type(job.entry) is Entry]
                self._answers.save(rows, last=last)
            if done := [job.done for job in jobs if job.done is not None]:
                self._loop.call_soon_threadsafe(_resolve, done)
        for part in (self._entries, self._answers):
            if part:
                part.close()
        self._loop.call_soon_threadsafe(_resolve, [self._ended])

    def _add(self, job: PendingWrite | None) -> None:
        self._jobs.put(job)
        if job is None or self._jobs.qsize() == BATCH:
            self._due.set()

    def _next_group(self) -> list[PendingWrite | None]:
        # Before get(), since rows that arrive meanwhile need no wake-up.
        self._due.wait(max(0.0, self._begun + MIN_INTERVAL - time.monotonic()))
        self._due.clear()
        group = [self._jobs.get()]
        self._begun = time.monotonic()
        while len(group) < MAX_GROUP and not self._jobs.empty():
            group.append(self._jobs.get())
        return group


class _PendingRows:
    """Rows to write to one file, and the problem that keeps them from being written."""

    def __init__(self, path: Path, opening: Callable[[float], LedgerFile | Store]) -> None:
        self.problem: str | None = None
        self._path, self._opening = path, opening
        self._file: LedgerFile | Store | None = None
        self._busy_timeout = BUSY_TIMEOUT
        self._rows: list[Any] = []
        self._not_before = 0.0

    def save(self, rows: list[Any], *, last: bool) -> None:
        """Write rows and earlier unsaved ones, or keep them all for later; never raise."""
        self._rows += rows
        if not self._rows or (self.problem and not last and time.monotonic() < self._not_before):
            return
        until = time.monotonic() + LOCKED_SECONDS
        while not self._saved(SHORT_BUSY_TIMEOUT if self.problem and not last else BUSY_TIMEOUT):
            if not last or time.monotonic() >= until:
                break

    def _saved(self, busy_timeout: float) -> bool:
        """Write the rows, or keep the problem; return False where another program has the file locked."""
        try:
            self._write(busy_timeout)
        except Exception as error:  # noqa: BLE001 - a dead thread would block every answer of the run
            text = str(error) or type(error).__name__
            self.problem = text if str(self._path) in text else f"{self._path}: {text}"
            self._not_before = time.monotonic() + RETRY_INTERVAL
            return not is_locked(error)
        self.problem, self._rows = None, []
        return True

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, busy_timeout: float) -> None:
        if self._file and self._file.was_replaced:
            self.close()
        try:
            self._opened(busy_timeout).write(self._rows)
        except sqlite3.DatabaseError as error:
            damaged = self._file
            if not (is_corrupt(error) and isinstance(damaged, Store)):
                raise
            self.close()
            recover(damaged.folder, damaged.identity)
            self._opened(busy_timeout).write(self._rows)

    def _opened(self, busy_timeout: float) -> LedgerFile | Store:
        if self._file is None:
            self._file = self._opening(busy_timeout)
        elif busy_timeout != self._busy_timeout:
            self._file.set_busy_timeout(busy_timeout)
        self._busy_timeout = busy_timeout
        return self._file


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
