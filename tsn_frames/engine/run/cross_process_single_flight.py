"""Single flight over processes: a request that another process sends is waited for, and its answer is read from the cache."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ...api import Completion, Unreadable, decode
from ..cache import in_flight_requests
from ..cache.cache import Cache
from ..cache.in_flight_requests import Flights
from .cache_lookup import cached_answer

log = logging.getLogger("tsn_frames")
T = TypeVar("T")
POLL = 0.25  # seconds between two looks for other processes
TAKEN_DELAY = 0.5  # seconds until a request that another process sends is looked at again
Shared = tuple[Completion, float]


class ProcessFlights:
    """One run's flights among those of other processes. It is made in any thread, and used on the loop's.

    While no other process uses the cache, it costs a look at a file four times a second, and nothing a request. Where the file can't be
    used, the run goes on alone.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache_file = cache.file
        self._file: Flights | None = None
        with suppress(sqlite3.Error, OSError):  # the writer reports a cache that can't be used
            self._file = Flights(cache.folder)
        self._announces = self._file is not None and self._file.announces
        self._thread = ThreadPoolExecutor(1, "tsn_frames-flights")  # one call at a time, also after a task was cancelled
        self._in_flight, self._ended = set[bytes](), set[bytes]()
        self._renewed, self._alone_until = time.monotonic(), 0.0
        self._watching: asyncio.Task[None] | None = None

    async def start(self, goes_on: Callable[[], bool]) -> None:
        """Wait until the other processes announce their flights, or have ended; then look for further ones."""
        if self._announces:
            until = time.monotonic() + in_flight_requests.LEASE_SECONDS
            while goes_on() and time.monotonic() < until:
                if all((await self._others()).values()):
                    break
                await asyncio.sleep(POLL / 5)
        self._watching = asyncio.create_task(self._watch())

    async def claim(self, key: bytes) -> Shared | bool:
        """Return another process's answer to a request, else whether this run may send it now."""
        self._in_flight.add(key)
        if not self._announces:
            return True
        self._ended.discard(key)
        found = await self._call(partial(Flights.claim, key=key), None)
        if found is None:  # the others may have its answer, although their flights can't be read
            return await cached_answer(self._cache_file, key) or True
        if isinstance(found, bool):
            return found
        try:
            return decode(found[0]), found[1]
        except Unreadable:
            return True

    def end(self, key: bytes) -> None:
        """Count a flight as ended; others may send the request, if its answer isn't cached by then."""
        self._in_flight.discard(key)
        if self._announces:
            self._ended.add(key)

    async def close(self) -> None:
        """Remove the run from the file."""
        if self._watching is not None:
            self._watching.cancel()
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(sqlite3.Error, OSError):  # its lease ends by itself
                self._file.close()
            self._file = None

    async def _others(self) -> dict[str, bool]:
        return await self._call(Flights.others, {})

    async def _watch(self) -> None:
        while self._file is not None:
            await asyncio.sleep(POLL)
            if not self._announces:
                self._announces = bool(await self._others())
                if self._announces:  # from here on each flight is claimed before it begins; those of before are announced
                    await self._call(partial(Flights.announce, keys=list(self._in_flight)), None)
            if self._ended or time.monotonic() > self._renewed + in_flight_requests.LEASE_SECONDS / 4:
                self._renewed = time.monotonic()
                await self._call(partial(self._renew, in_flight=list(self._in_flight)), None)

    def _renew(self, file: Flights, in_flight: list[bytes]) -> None:
        ended = list(self._ended)
        file.renew(ended, in_flight)
        self._ended.difference_update(ended)  # after an error the next call removes them

    async def _call(self, work: Callable[[Flights], T], without: T) -> T:
        """Call a function of the file; return ``without`` where there is no file, or it can't be used."""

        def called() -> T:
            if self._file is None or time.monotonic() < self._alone_until:
                return without
            try:
                return work(self._file)
            except (sqlite3.Error, OSError) as error:
                log.info("flights of other processes are not known: %s", type(error).__name__)
                # A suspended process may hold the file's lock.
                self._alone_until = time.monotonic() + in_flight_requests.LEASE_SECONDS
                return without

        return await self._in_thread(called)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:  # at the interpreter's end no thread is started
            return work()
