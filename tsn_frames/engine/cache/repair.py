"""Recovery of a damaged cache file: it is put aside, never deleted, and its readable answers are copied to a new file.

What opens or reads a cache as a whole recovers it first.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from ...errors import TSNWarning
from ...text import warn
from ..storage.sqlite import BUSY_TIMEOUT, identity, is_corrupt
from . import reader
from .reader import FILE, Row
from .salvage_answers import salvage
from .store import Store

T = TypeVar("T")
log = logging.getLogger("tsn_frames")
_recovery_lock = threading.Lock()


def open_store(folder: Path, busy_timeout: float = BUSY_TIMEOUT) -> Store:
    """Open a cache folder; recover a damaged file first."""
    return with_recovery(folder, lambda: Store(folder, busy_timeout))


def lookup(file: Path, index: Mapping[bytes, int], take: Callable[[Iterator[tuple[int, bytes, float]]], T]) -> T:
    """Pass position, body and time of the cached keys of an index to ``take``; recover a damaged file first."""
    return with_recovery(file.parent, lambda: take(reader.select(file, index)))


def scan(file: Path) -> Iterator[Row]:
    """Yield every answer; recover a damaged file first."""
    with_recovery(file.parent, lambda: reader.check_whole(file))
    return reader.scan(file)


def totals(file: Path) -> tuple[int, float | None, float | None]:
    """Return the number of answers and the times of the oldest and the newest; recover a damaged file first."""
    return with_recovery(file.parent, lambda: reader.totals(file))


def with_recovery(folder: Path, work: Callable[[], T]) -> T:
    """Call a function that uses a cache file; if the file is damaged, recover it and call again."""
    found = identity(folder / FILE)
    try:
        return work()
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
    recover(folder, found)
    return work()


def recover(folder: Path, damaged: tuple[int, int] | None) -> None:
    """Replace a damaged cache file by a new one with its readable answers, put the old one aside, and warn once.

    The old file stays in place until the new one is complete, so a full disk changes nothing.
    """
    with _recovery_lock:
        if identity(folder / FILE) != damaged:
            return
        new = folder / f".recovery-{uuid.uuid4().hex}"
        try:
            new.mkdir(0o700)
            before = _write_state(folder / FILE)
            count = _copy_answers(new, folder / FILE)
            if identity(folder / FILE) != damaged:  # another process was faster
                return
            aside = folder / f"{FILE}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6:06}"
            for ending in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    (folder / f"{FILE}{ending}").rename(f"{aside}{ending}")
            (new / FILE).replace(folder / FILE)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        if _write_state(aside) != before:  # other runs wrote to it during the copy; from now on they write to the new file
            count += _copy_answers(folder, aside)
    text = f"the cache file was damaged: {count:,} answers were saved into a new one, the old one is kept as {aside}"
    try:
        warn(text)
    except TSNWarning:  # warnings are errors here: on a thread of ours the run must go on
        log.warning(text)


def _write_state(file: Path) -> list[tuple[int, int]]:
    """Return sizes and times of a file and its log, which change with each write."""
    found = []
    for part in (file, file.with_name(f"{file.name}-wal")):
        with suppress(FileNotFoundError):  # SQLite deletes the log with the last connection
            stat = part.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return found


def _copy_answers(folder: Path, damaged: Path) -> int:
    with closing(Store(folder)) as store:
        return store.add(salvage(damaged), newest=True)
