"""The thread that makes answers durable: the ledger's lines first, then the cache's, each group in one commit.

An answer counts only when its commit is done. Where the disk is full or can't be written the run goes on: what could
not be saved is kept, tried again with the next group, and told once.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import NamedTuple

import diskcache

from ..errors import TSNError
from .cache import Cache
from .ledger import Entry, Ledger, LedgerFile
from .repair import is_corrupt, put_aside
from .store import Store

GROUP = 512
_TROUBLE = (OSError, sqlite3.Error, diskcache.Timeout, TSNError)


class Job(NamedTuple):
    """One attempt to record, with its answer where it is to be cached."""

    entry: Entry | None
    answer: tuple[bytes, bytes] | None
    done: asyncio.Future[None]


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
        self.problems: dict[str, str] = {}
        self._ledger, self._cache = ledger, cache
        self._book: LedgerFile | None = None
        self._store: Store | None = None
        self._entries: list[Entry] = []
        self._answers: list[tuple[bytes, bytes]] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="tsn_frames-writer", daemon=True)
        self._thread.start()

    def put(self, entry: Entry | None, answer: tuple[bytes, bytes] | None = None) -> asyncio.Future[None]:
        """Record an attempt and its answer; the future is done when both are committed, or told as a problem."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put(Job(entry, answer, done))
        return done

    async def aclose(self) -> None:
        """Write what is left and end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            while group := self._next_group():
                jobs = [job for job in group if job]
                self._entries += [job.entry for job in jobs if job.entry]
                self._answers += [job.answer for job in jobs if job.answer]
                self._commit()
                self._loop.call_soon_threadsafe(_release, [job.done for job in jobs])
                if None in group:
                    return
        finally:
            for part in (self._book, self._store):
                if part:
                    part.close()

    def _next_group(self) -> list[Job | None]:
        group = [self._jobs.get()]
        while group[-1] is not None and len(group) < GROUP:
            try:
                group.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return group

    def _commit(self) -> None:
        if self._entries and self._try("ledger", self._append):
            self._entries = []
        if self._answers and self._cache and self._try("cache", self._save):
            self._answers = []

    def _append(self) -> None:
        self._book = self._book or self._ledger.open()
        self._book.append(self._entries)

    def _save(self) -> None:
        assert self._cache is not None
        if self._store and not self._store.file.exists():  # deleted under us: what we wrote would go nowhere
            self._store.close()
            self._store = None
        self._store = self._store or self._cache.open()
        try:
            self._store.write(self._answers)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._store.close()
            self._store = put_aside(self._cache.folder)
            self._store.write(self._answers)

    def _try(self, what: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except _TROUBLE as error:
            self.problems[what] = f"{type(error).__name__}: {error}"
            return False
        self.problems.pop(what, None)
        return True


def _release(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
