"""The cache file open for writing: answers as plain bytes in diskcache's SQLite format.

diskcache creates the tables, with the eviction of old values switched off. It never reads a value, since it would unpickle foreign ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import diskcache

from ..storage.sqlite import (
    BUSY_TIMEOUT,
    OpenDatabase,
    compact,
    connect,
    make_private,
    make_private_folder,
    transaction,
)
from . import reader
from .reader import FILE, OURS, SCHEMA, Row, checksum

_SETTINGS = diskcache.core.DEFAULT_SETTINGS | {  # all of them, so that settings in the file never apply
    "eviction_policy": "none", "cull_limit": 0, "size_limit": 2**62, "disk_min_file_size": 2**62,
}  # fmt: skip
_INSERT = (
    "INSERT INTO Cache (key, raw, store_time, access_time, tag, mode, value) VALUES (?, 1, ?, ?, ?, 1, ?) ON CONFLICT (key, raw)"
    " DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, access_time = excluded.access_time, access_count = 0,"
    " tag = excluded.tag, size = 0, mode = 1, filename = NULL, value = excluded.value"
)
_WHERE_MISSING = f" WHERE NOT ({OURS.replace('typeof(', 'typeof(Cache.').replace('length(', 'length(Cache.')})"


class Store(OpenDatabase):
    """A cache that is open for writing."""

    def __init__(self, folder: Path, busy_timeout: float = BUSY_TIMEOUT) -> None:
        file, self.folder = folder / FILE, folder
        make_private_folder(folder, FILE)
        reader.check(file)
        make_private(file)
        _write_schema_marker(file, busy_timeout)  # first: diskcache would wait a minute for a lock at each of its steps
        made = diskcache.Cache(str(folder), timeout=busy_timeout, **_SETTINGS)
        super().__init__(file, made._con)  # SQL on its connection: three times as fast as .set(), and no value is unpickled

    def write(self, rows: Iterable[Row]) -> None:
        """Store answers in one commit, replacing those of the same keys."""
        self._insert(rows, "")

    def add(self, rows: Iterable[Row], *, newest: bool = False) -> int:
        """Store answers whose keys are missing (with ``newest``: or older); return how many."""
        return self._insert(rows, _WHERE_MISSING + (" OR excluded.store_time > Cache.store_time" if newest else ""))

    def delete_before(self, when: float) -> int:
        """Delete answers stored before a time; return how many."""
        with transaction(self._connection):
            return self._connection.execute("DELETE FROM Cache WHERE store_time < ?", (when,)).rowcount

    def erase(self, keys: Iterable[bytes]) -> int:
        """Delete answers and rewrite the file without them; return how many there were."""
        self._connection.execute("PRAGMA secure_delete = ON")  # also while another process reads the pages of before
        with transaction(self._connection):
            count = self._connection.executemany("DELETE FROM Cache WHERE key = ?", ((key,) for key in keys)).rowcount
        compact(self._connection)
        return max(count, 0)

    def _insert(self, rows: Iterable[Row], where: str) -> int:
        values = ((key, when, when, checksum(key, body), body) for key, body, when in rows)
        with transaction(self._connection):
            return self._connection.executemany(_INSERT + where, values).rowcount


def _write_schema_marker(file: Path, busy_timeout: float) -> None:
    """Mark a new file as a cache of tsn_frames before anything else is in it; fail if another process holds it."""
    with closing(connect(file, busy_timeout)) as connection, transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS Settings ( key TEXT NOT NULL UNIQUE, value)")
        connection.execute("INSERT OR IGNORE INTO Settings VALUES ('tsn_schema', ?)", (SCHEMA,))
