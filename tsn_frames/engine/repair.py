"""A corrupt cache file: put aside, never deleted, and every answer that can still be read brought over."""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..errors import TSNWarning
from .store import FILE, Store, read_only

_CORRUPT = ("file is not a database", "malformed", "disk image", "not an error", "unsupported file format")


def is_corrupt(error: Exception) -> bool:
    """Return whether an error of SQLite says that the file is damaged, as opposed to busy, full or out of reach."""
    return isinstance(error, sqlite3.DatabaseError) and any(text in str(error) for text in _CORRUPT)


def open_store(folder: Path) -> Store:
    """Open a cache folder, after putting a damaged file aside where there is one."""
    try:
        return Store(folder)
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
    return put_aside(folder)


def put_aside(folder: Path) -> Store:
    """Rename the damaged file, start a new one with what can be read, and say so in one warning."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = folder / f"{FILE}.corrupt-{stamp}-{time.time_ns() % 10**6}"
    for ending in ("", "-wal", "-shm"):
        if (part := folder / f"{FILE}{ending}").exists():
            part.rename(f"{aside}{ending}")
    store = Store(folder)
    saved = store.write_dated(_readable(aside, store.file))
    warnings.warn(
        f"the cache file was damaged: {saved:,} answers were saved into a new one, the old one is kept as {aside}",
        TSNWarning,
        stacklevel=2,
    )
    return store


def _readable(file: Path, model: Path) -> Iterator[tuple[bytes, bytes, float]]:
    try:
        yield from _rows(file)
    except sqlite3.DatabaseError:  # the header is gone: read a copy that has a good one
        copy = file.with_name(file.name + ".header")
        copy.write_bytes(_header(model) + file.read_bytes()[100:])
        try:
            yield from _rows(copy)
        except sqlite3.DatabaseError:
            pass
        finally:
            copy.unlink()


def _header(model: Path) -> bytes:
    with model.open("rb") as file:
        return file.read(100)


def _rows(file: Path) -> Iterator[tuple[bytes, bytes, float]]:
    """Yield the rows that can be read, going around damaged pages by ever smaller steps."""
    with closing(read_only(file)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        last = _last_rowid(connection)
        start, step = 1, 1000
        while start <= last:
            try:
                rows = connection.execute(
                    "SELECT key, value, store_time FROM Cache NOT INDEXED WHERE rowid BETWEEN ? AND ?"
                    " AND raw = 1 AND mode = 1 AND filename IS NULL",
                    (start, start + step - 1),
                ).fetchall()
            except sqlite3.DatabaseError:
                start, step = (start, step // 10) if step > 1 else (start + 1, 1)
                continue
            yield from (row for row in rows if type(row[0]) is bytes and len(row[0]) == 32 and type(row[1]) is bytes)
            start, step = start + step, min(1000, step * 10)


def _last_rowid(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute("SELECT MAX(rowid) FROM Cache").fetchone()[0] or 0)
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error) or "not a database" in str(error):
            raise
        return int(connection.execute("SELECT value FROM Settings WHERE key = 'count'").fetchone()[0]) * 2
