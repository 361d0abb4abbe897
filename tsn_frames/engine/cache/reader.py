"""Bulk reads of the cache file, which isn't trusted: rows that tsn_frames did not write are skipped.

Its rows are a key (32 bytes), the raw body of a 200 as inline bytes, and a checksum of both.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

from ...errors import CacheError
from ..storage.sqlite import read_only

Row = tuple[bytes, bytes, float]
SCHEMA = 1
FILE = "cache.db"
# Conditions of a valid row except for its key, which needs no check when it is compared with known keys.
_VALID_VALUE = "raw = 1 AND mode = 1 AND filename IS NULL AND typeof(value) = 'blob' AND store_time BETWEEN 0 AND 1e11"
OURS = f"{_VALID_VALUE} AND typeof(key) = 'blob' AND length(key) = 32"
CHUNK, GROUP = 500, 50
_COLUMNS = "key, value, store_time, tag"
# diskcache's own settings. It would make attributes of others, or pass them to SQLite as PRAGMAs.
_SETTINGS = frozenset({
    "count", "size", "hits", "misses", "statistics", "tag_index", "eviction_policy", "size_limit", "cull_limit",
    "sqlite_auto_vacuum", "sqlite_cache_size", "sqlite_journal_mode", "sqlite_mmap_size", "sqlite_synchronous",
    "disk_min_file_size", "disk_pickle_protocol", "tsn_schema",
})  # fmt: skip
# The schema that diskcache creates: no view, no expression, no other trigger.
_PLAIN = {
    "table": re.compile(r"CREATE TABLE \w+ ?\([\w, ]+\)"),
    "index": re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON \w+ ?\([\w, ]+\)"),
    "trigger": re.compile(
        r"CREATE TRIGGER \w+ AFTER \w+ ON Cache FOR EACH ROW BEGIN UPDATE Settings"
        r' SET value = value( [-+] (1|NEW\.size|OLD\.size))+ WHERE key = "(count|size)"; END'
    ),
}


def checksum(key: bytes, body: bytes) -> int:
    """Return the checksum that detects a changed body."""
    return crc32(body, crc32(key))


def check(file: Path) -> None:
    """Refuse a foreign file before it is changed or read."""
    with _opened(file):
        pass


def select(file: Path, index: Mapping[bytes, int]) -> Iterator[tuple[int, bytes, float]]:
    """Yield ``(position, body, time)`` of the cached keys of an index."""
    with _opened(file) as connection:
        if not index or not connection:
            return
        rows = connection.execute("SELECT MAX(rowid) FROM Cache").fetchone()[0] or 0
        # for many keys, one pass over the table is faster than probes of its index
        groups = _all(connection, _VALID_VALUE) if len(index) * 3 >= rows else _some(connection, sorted(index))
        position = index.get
        yield from chain.from_iterable(
            [
                (at, body, when)
                for key, body, when, tag in group
                if (at := position(key)) is not None and (tag is None or tag == crc32(body, crc32(key)))
            ]
            for group in groups
        )


def scan(file: Path) -> Iterator[Row]:
    """Yield every answer."""
    with _opened(file) as connection:
        if connection:
            rows = chain.from_iterable(_all(connection, OURS))
            yield from ((key, body, when) for key, body, when, tag in rows if tag is None or tag == checksum(key, body))


def check_whole(file: Path) -> None:
    """Read every page, so that damage is found before a scan starts."""
    with _opened(file) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if connection else "ok"
    if found != "ok":
        problem = sqlite3.DatabaseError(found)
        problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise problem


def totals(file: Path) -> tuple[int, float | None, float | None]:
    """Return the number of answers and the times of the oldest and the newest."""
    with _opened(file) as connection:
        if not connection:
            return 0, None, None
        query = f"SELECT COUNT(*), MIN(store_time), MAX(store_time) FROM Cache WHERE {OURS}"
        number, oldest, newest = connection.execute(query).fetchone()
        return number, oldest, newest


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a file of ours; yield None if it has no answers yet."""
    if file.is_symlink():
        raise CacheError(f"{file} is a symbolic link: give the folder of the file itself as cache=")
    if not file.exists() or not file.stat().st_size:
        yield None
        return
    with closing(read_only(file)) as connection:
        yield connection if _has_answers(connection, file) else None


def _all(connection: sqlite3.Connection, where: str) -> Iterator[list[Any]]:
    return _groups(connection.execute(f"SELECT {_COLUMNS} FROM Cache NOT INDEXED WHERE {where}"))


def _some(connection: sqlite3.Connection, keys: list[bytes]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        yield from _groups(connection.execute(f"SELECT {_COLUMNS} FROM Cache WHERE key IN ({marks}) AND {_VALID_VALUE}", part))


def _groups(found: sqlite3.Cursor) -> Iterator[list[Any]]:
    """Yield rows in groups: faster than one by one, and little memory even with large bodies."""
    return iter(lambda: found.fetchmany(GROUP), [])


def _has_answers(connection: sqlite3.Connection, file: Path) -> bool:
    """Check schema and settings of a file; return whether it has the table of answers yet."""
    made = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in made:
        if sql is not None and not (kind in _PLAIN and _PLAIN[kind].fullmatch(sql)):
            raise _foreign(file, name)
    names = {name for kind, name, _ in made if kind == "table"}
    if names:
        _check_settings(dict(connection.execute("SELECT key, value FROM Settings")) if "Settings" in names else {}, file)
    return "Cache" in names


def _check_settings(settings: dict[object, object], file: Path) -> None:
    for name in settings:
        if name not in _SETTINGS:
            raise _foreign(file, name)
    schema = settings.get("tsn_schema")
    if not isinstance(schema, int):
        raise CacheError(f"{file} is not a cache of tsn_frames but another program's file: give another folder as cache=")
    if schema > SCHEMA:
        raise CacheError(
            f"{file} was made by a newer tsn_frames (schema {schema}, known: {SCHEMA}): upgrade, or give another cache="
        )


def _foreign(file: Path, name: object) -> CacheError:
    return CacheError(f"{file} is not a cache of tsn_frames: it holds {str(name)[:40]!r}; give another folder as cache=")
