"""The cache file while it is open: paid answers in one SQLite file, by diskcache, as bytes that nothing unpickles.

A row is a key (32 bytes) and the raw body of a 200. Whatever else stands in the file was not written by us: it is
refused, on the single read and on the bulk read alike.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache

from ..errors import CacheError

SCHEMA = 1
FILE = "cache.db"
CHUNK = 500
_NEVER_EVICT = {"eviction_policy": "none", "cull_limit": 0, "size_limit": 2**62, "statistics": 0, "tag_index": 0}
_SETTINGS = frozenset({
    *diskcache.core.DEFAULT_SETTINGS, *diskcache.core.METADATA,
    "disk_min_file_size", "disk_pickle_protocol", "tsn_schema",
})  # fmt: skip
_OURS = "raw = 1 AND mode = 1 AND filename IS NULL AND typeof(key) = 'blob' AND length(key) = 32 AND typeof(value) = 'blob'"


class Refused(ValueError):
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
            raise Refused("a key that tsn_frames did not write")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> Any:
        """Take a value of bytes."""
        if type(value) is not bytes or read:
            raise TypeError("a cache value is bytes")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """Return a stored value, if it is inline bytes."""
        if mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes or read:
            raise Refused("a value that tsn_frames did not write")
        return value

    def remove(self, file_path: Any) -> None:
        """Remove nothing: we have no files, so a name in a row is not ours."""


class Store:
    """An open cache folder: bulk reads from any thread, writes from the writer's.

    Parameters
    ----------
    folder : Path
        Made with mode 0700 where it is missing.

    Raises
    ------
    CacheError
        If the file was made by a newer version or is no cache of ours.
    sqlite3.Error, OSError
        If it can't be opened or is corrupt; :mod:`.repair` deals with that.
    """

    def __init__(self, folder: Path, *, timeout: float = 30.0) -> None:
        self.folder, self.file = folder, folder / FILE
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_settings(self.file)
        with private_files():
            self._cache = diskcache.Cache(
                str(folder), timeout=timeout, disk=BytesDisk, disk_min_file_size=2**62,
                sqlite_journal_mode="wal", sqlite_synchronous=1, **_NEVER_EVICT,
            )  # fmt: skip
            self._cache._sql("INSERT OR IGNORE INTO Settings VALUES ('tsn_schema', ?)", (SCHEMA,))
        _make_private(folder)

    def write(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Store answers in one commit, replacing what is there under the same keys."""
        with self._cache.transact():
            for key, body in rows:
                self._cache.set(key, body)

    def write_dated(self, rows: Iterable[tuple[bytes, bytes, float]]) -> int:
        """Store answers that have a time of their own and aren't there yet; return how many were new."""
        new = 0
        with self._cache.transact():
            for key, body, when in rows:
                if self._cache.add(key, body):
                    self._cache._sql("UPDATE Cache SET store_time = ? WHERE key = ? AND raw = 1", (when, sqlite3.Binary(key)))
                    new += 1
        return new

    def delete_before(self, when: float) -> int:
        """Delete answers stored before a time; return how many."""
        with self._cache.transact():
            before = self.count()
            self._cache._sql("DELETE FROM Cache WHERE store_time < ?", (when,))
            return before - self.count()

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._cache._sql("SELECT COUNT(*) FROM Cache").fetchone()[0])

    def close(self) -> None:
        """Close this thread's connection."""
        self._cache.close()


def lookup(file: Path, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, float]]:
    """Return the stored ``(body, time)`` of those keys that are there, read in bulk on a read-only connection."""
    if not keys or not file.exists():
        return {}
    with closing(read_only(file)) as connection:
        rows = connection.execute("SELECT MAX(rowid) FROM Cache").fetchone()[0] or 0
        if len(keys) * 3 >= rows:  # one pass over the table beats many probes of its index
            return {row[0]: (row[1], row[2]) for row in _select_wanted(connection, set(keys))}
        return {row[0]: (row[1], row[2]) for row in _select_in(connection, sorted(keys))}


def scan(file: Path) -> Iterator[tuple[bytes, bytes, float]]:
    """Yield ``(key, body, time)`` of every row of ours."""
    if file.exists():
        with closing(read_only(file)) as connection:
            yield from connection.execute(f"SELECT key, value, store_time FROM Cache WHERE {_OURS}")


def read_only(file: Path) -> sqlite3.Connection:
    """Open a cache file for reading only."""
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        connection.execute("PRAGMA mmap_size = 268435456")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if os.access(file.parent, os.W_OK):
            raise
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)  # a folder that we can't write
    return connection


def _select_wanted(connection: sqlite3.Connection, wanted: set[bytes]) -> Iterator[tuple[bytes, bytes, float]]:
    every = connection.execute(f"SELECT key, value, store_time FROM Cache WHERE {_OURS}")
    return (row for row in every if row[0] in wanted)


def _select_in(connection: sqlite3.Connection, keys: list[bytes]) -> Iterator[tuple[bytes, bytes, float]]:
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        yield from connection.execute(f"SELECT key, value, store_time FROM Cache WHERE key IN ({marks}) AND {_OURS}", part)


def _check_settings(file: Path) -> None:
    """Refuse a file whose settings would make diskcache do what we never asked for."""
    if not file.exists() or not file.stat().st_size:
        return
    with closing(read_only(file)) as connection:
        try:
            settings = dict(connection.execute("SELECT key, value FROM Settings"))
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            settings = {}
        triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    strange = [str(k) for k in settings if k not in _SETTINGS] + [t for t in triggers if not re.match(r"Settings_(count|size)_\w+$", t)]
    if strange:
        raise CacheError(f"{file} is no cache of tsn_frames: it holds {strange[0]!r}; give another folder as cache=")
    if isinstance(schema := settings.get("tsn_schema"), int) and schema > SCHEMA:
        raise CacheError(f"{file} was made by a newer tsn_frames (schema {schema}, known: {SCHEMA}): upgrade, or give another cache=")


@contextmanager
def private_files() -> Iterator[None]:
    """Make new files readable by their owner only."""
    old = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(old)


def _make_private(folder: Path) -> None:
    for path in (folder, *folder.glob(f"{FILE}*")):
        try:
            if path.stat().st_mode & 0o077:
                path.chmod(0o700 if path == folder else 0o600)
        except OSError:  # another owner's folder: not ours to change
            pass


def age(seconds: float) -> float:
    """Return the time that lies so many seconds back."""
    return time.time() - seconds
