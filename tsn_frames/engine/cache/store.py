"""The cache's file while it is open for writing: paid answers in one SQLite file, by diskcache, as plain bytes.

diskcache on its own evicts what was paid for and unpickles what others planted; here it may do neither.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import diskcache

from ..storage.sqlite import (
    BUSY_TIMEOUT,
    connect,
    identity,
    is_corrupt,
    make_private,
    make_private_folder,
    set_busy_timeout,
    transaction,
)
from . import reader
from .reader import FILE, OURS, SCHEMA, Row, checksum
from .repair import mend
from .salvage import carve

T = TypeVar("T")
_SETTINGS = diskcache.core.DEFAULT_SETTINGS | {  # all of them, so that what stands in the file is never applied
    "eviction_policy": "none", "cull_limit": 0, "size_limit": 2**62, "disk_min_file_size": 2**62,
}  # fmt: skip
_INSERT = (
    "INSERT INTO Cache (key, raw, store_time, access_time, tag, mode, value) VALUES (?, 1, ?, ?, ?, 1, ?) ON CONFLICT (key, raw)"
    " DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, access_time = excluded.access_time, access_count = 0,"
    " tag = excluded.tag, size = 0, mode = 1, filename = NULL, value = excluded.value"
)
_WHERE_NONE = f" WHERE NOT ({OURS.replace('typeof(', 'typeof(Cache.').replace('length(', 'length(Cache.')})"


class ForeignRow(ValueError):
    """A row that we did not write."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """A diskcache disk that knows bytes only, inline only: no pickle, no text, no other file."""

    def put(self, key: Any) -> Any:
        """Take a key of bytes."""
        if type(key) is not bytes:
            raise TypeError("a cache key is bytes")
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: Any) -> bytes:
        """Return a stored key, if it is bytes."""
        if raw != 1 or type(key) is not bytes:
            raise ForeignRow("a key that tsn_frames did not write")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> Any:  # noqa: ARG002 - diskcache's signature
        """Take a value of bytes."""
        if type(value) is not bytes or read:
            raise TypeError("a cache value is bytes")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """Return a stored value, if it is inline bytes."""
        if mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes or read:
            raise ForeignRow("a value that tsn_frames did not write")
        return value

    def remove(self, file_path: Any) -> None:
        """Remove nothing: we have no files, so a name in a row is not ours."""


class Store:
    """An open cache folder, for one thread.

    Parameters
    ----------
    folder : Path
        Made with mode 0700 where it is missing.
    busy_timeout : float
        Seconds to wait for another process that holds the file.

    Raises
    ------
    CacheError
        If the file was made by a newer version or is no cache of ours; nothing is changed then.
    sqlite3.Error, OSError
        If it can't be opened or is corrupt; :func:`open_store` deals with that.
    """

    def __init__(self, folder: Path, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.folder, self.file = folder, folder / FILE
        make_private_folder(folder, FILE)
        reader.check(self.file)
        make_private(self.file)
        _claim(self.file, busy_timeout)  # so that diskcache, which waits a minute at each of its many steps, finds no lock
        self._cache = diskcache.Cache(str(folder), timeout=busy_timeout, disk=BytesDisk, **_SETTINGS)
        self._connection: sqlite3.Connection = self._cache._con  # one statement for a group is 3 times as fast as .set()
        self.identity = identity(self.file)
        if not self._connection.execute("SELECT 1 FROM Settings WHERE key = 'tsn_schema'").fetchone():
            _claim(self.file, busy_timeout)  # somebody has deleted it in between, and diskcache has made another

    @property
    def was_replaced(self) -> bool:
        """Whether another file, or none, lies in the place of the one that is open: what is written would be lost."""
        return identity(self.file) != self.identity

    def set_busy_timeout(self, seconds: float) -> None:
        """Say how long a commit waits for another process's lock."""
        set_busy_timeout(self._connection, seconds)

    def write(self, rows: Iterable[Row]) -> None:
        """Store answers in one commit, replacing what is there under the same keys."""
        self._insert(rows, "")

    def add(self, rows: Iterable[Row], *, newest: bool = False) -> int:
        """Store answers that aren't there yet (or, with ``newest``, aren't there as new); return how many."""
        return self._insert(rows, _WHERE_NONE + (" OR excluded.store_time > Cache.store_time" if newest else ""))

    def delete_before(self, when: float) -> int:
        """Delete answers stored before a time; return how many."""
        with transaction(self._connection):
            return self._connection.execute("DELETE FROM Cache WHERE store_time < ?", (when,)).rowcount

    def close(self) -> None:
        """Close the file."""
        self._cache.close()

    def _insert(self, rows: Iterable[Row], where: str) -> int:
        values = ((key, when, when, checksum(key, body), body) for key, body, when in rows)
        with transaction(self._connection):
            return self._connection.executemany(_INSERT + where, values).rowcount


def open_store(folder: Path, busy_timeout: float = BUSY_TIMEOUT) -> Store:
    """Open a cache folder, after mending a damaged file where there is one."""
    return mended(folder, lambda: Store(folder, busy_timeout))


def lookup(file: Path, index: Mapping[bytes, int], take: Callable[[Iterator[tuple[int, bytes, float]]], T]) -> T:
    """Give ``take`` the position, body and time of those keys of an index that are there; a damaged file is mended first."""
    return mended(file.parent, lambda: take(reader.select(file, index)))


def scan(file: Path) -> Iterator[Row]:
    """Yield every answer; a damaged file is mended first."""
    mended(file.parent, lambda: reader.check_whole(file))
    return reader.scan(file)


def totals(file: Path) -> tuple[int, float | None, float | None]:
    """Return the number of answers and the times of the oldest and the newest; a damaged file is mended first."""
    return mended(file.parent, lambda: reader.totals(file))


def mended(folder: Path, work: Callable[[], T]) -> T:
    """Do something with a cache's file; where that finds it damaged, mend it and do it again."""
    found = identity(folder / FILE)
    try:
        return work()
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
    mend(folder, found, _fill)
    return work()


def replace(damaged: Store) -> None:
    """Mend the file of a store that was found damaged while it was open, and is closed now."""
    mend(damaged.folder, damaged.identity, _fill)


def _fill(new: Path, damaged: Path) -> int:
    with closing(Store(new)) as store:
        return store.add(carve(damaged), newest=True)


def _claim(file: Path, busy_timeout: float) -> None:
    """Write down that a new file is ours, before anything else is in it; fail where another process holds it."""
    with closing(connect(file, busy_timeout)) as connection, transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS Settings ( key TEXT NOT NULL UNIQUE, value)")
        connection.execute("INSERT OR IGNORE INTO Settings VALUES ('tsn_schema', ?)", (SCHEMA,))


def age(seconds: float) -> float:
    """Return the time that lies so many seconds back."""
    return time.time() - seconds
