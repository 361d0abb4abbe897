"""Requests in flight of all processes that share a cache, in a file beside it, so that none is sent twice.

Each run is a holder, with a lease that it renews. It announces its flights only while another process has a holder, since each is a
transaction; later holders wait for one that doesn't announce them yet.
"""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from ..storage.sqlite import OpenDatabase, closed_on_error, connect, make_private, transaction
from .reader import FILE, select

FLIGHTS = f"{FILE}.flights"
LEASE_SECONDS = 15.0  # a holder that hasn't renewed its lease for so long is dead, or its machine was suspended
BUSY_TIMEOUT, CLOSING_TIMEOUT = 3.0, 0.1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS holders (
        holder TEXT PRIMARY KEY, process TEXT NOT NULL, expires REAL NOT NULL, announces INTEGER NOT NULL
    ) STRICT""",
    "CREATE TABLE IF NOT EXISTS flights (key BLOB PRIMARY KEY, holder TEXT NOT NULL) STRICT",
)
# A lease that ends later than any can is of a clock that was set back, or foreign.
_OTHERS = "SELECT holder, process, announces FROM holders WHERE expires BETWEEN :now AND :now + :lease AND process != :process"
Answer = tuple[bytes, float]  # a body, and the time of its response


class Flights(OpenDatabase):
    """One run's flights. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._cache, self._holder = folder / FILE, uuid.uuid4().hex
        self._process = f"{platform.node()} {os.getpid()}"
        make_private(folder / FLIGHTS)
        super().__init__(folder / FLIGHTS, connect(folder / FLIGHTS, BUSY_TIMEOUT))
        with closed_on_error(self._connection), transaction(self._connection):
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute("DELETE FROM holders WHERE expires <= ?", (time.time(),))
            self._connection.execute("DELETE FROM flights WHERE holder NOT IN (SELECT holder FROM holders)")
            self.announces = bool(self.others())
            self._add_holder()

    def _add_holder(self) -> None:
        values = (self._holder, self._process, _expiry(), self.announces)
        self._connection.execute("INSERT INTO holders VALUES (?, ?, ?, ?)", values)

    def _add_flights(self, keys: Iterable[bytes]) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO flights VALUES (?, ?)", ((key, self._holder) for key in keys))

    def others(self) -> dict[str, bool]:
        """Return the live holders of other processes, and whether each announces its flights."""
        values = {"now": time.time(), "lease": LEASE_SECONDS + 1, "process": self._process}
        found = self._connection.execute(_OTHERS, values).fetchall()
        return {holder: bool(announces) for holder, process, announces in found if not _is_dead(process)}

    def announce(self, keys: Iterable[bytes]) -> None:
        """Announce flights that have begun, and that each further one is claimed before it begins."""
        self.announces = True
        with transaction(self._connection):
            self._add_flights(keys)
            self._connection.execute("UPDATE holders SET announces = 1 WHERE holder = ?", (self._holder,))

    def claim(self, key: bytes) -> Answer | bool:
        """Return the answer to a request if it is cached, else whether this run sends it: another process may."""
        with transaction(self._connection):
            if found := list(select(self._cache, {key: 0})):  # inside: an answer is cached before its flight is removed
                return found[0][1:]
            row = self._connection.execute("SELECT holder FROM flights WHERE key = ?", (key,)).fetchone()
            if row is not None and row[0] in self.others():
                return False
            self._connection.execute("INSERT OR REPLACE INTO flights VALUES (?, ?)", (key, self._holder))
        return True

    def renew(self, ended: Iterable[bytes], in_flight: Iterable[bytes] = ()) -> None:
        """Renew the lease, and remove flights that have ended; announce all again where the lease had expired and was removed."""
        with transaction(self._connection):
            rows = ((key, self._holder) for key in ended)
            self._connection.executemany("DELETE FROM flights WHERE key = ? AND holder = ?", rows)
            values = (_expiry(), self._holder)
            if not self._connection.execute("UPDATE holders SET expires = ? WHERE holder = ?", values).rowcount:
                self._add_holder()
                self._add_flights(in_flight)

    def close(self) -> None:
        """Remove the holder and its flights, and close the file."""
        try:
            self.set_busy_timeout(CLOSING_TIMEOUT)
            with transaction(self._connection):
                self._connection.execute("DELETE FROM flights WHERE holder = ?", (self._holder,))
                self._connection.execute("DELETE FROM holders WHERE holder = ?", (self._holder,))
        finally:
            super().close()


def _expiry() -> float:
    return time.time() + LEASE_SECONDS


def _is_dead(process: str) -> bool:
    """Return whether a process of this machine has ended; where that can't be known, its lease decides."""
    node, _, number = process.rpartition(" ")
    if os.name != "posix" or node != platform.node():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False
