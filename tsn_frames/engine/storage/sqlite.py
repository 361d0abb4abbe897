"""What the cache's file and the ledger's have in common: only their owner reads them, and a group is one commit."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 3.0  # seconds to wait for another process's lock; what could not be saved then is kept and tried again


def make_private(path: Path) -> None:
    """Make a missing file, for its owner only; SQLite gives its helper files the same mode.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process. Nor
    is the umask changed, which belongs to the whole process.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.is_file():
            _close_to_others(path, 0o600)


def make_private_folder(folder: Path, ours: str) -> None:
    """Make a missing folder, for its owner only; one that holds more than files of ours is not ours to close."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if all(path.name.startswith(ours) for path in folder.iterdir()):
        _close_to_others(folder, 0o700)


def _close_to_others(path: Path, mode: int) -> None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(mode)
    except OSError:  # another owner's
        pass


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file lies at a path now, so that one that was deleted or put aside is noticed; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open a file for writing, with a write-ahead log and commits that outlive the process."""
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = 1")
        _write_ahead(connection, time.monotonic() + patience)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, until: float) -> None:
    """Turn the log on; SQLite doesn't wait by itself where two processes do so at once."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def read_only(path: Path) -> sqlite3.Connection:
    """Open a file for reading only, also where SQLite can't make its helper files: a read-only folder, a full disk."""
    address = path.absolute().as_uri()
    try:
        return _opened(f"{address}?mode=ro")
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or not os.access(path, os.R_OK):
            raise
    return _opened(f"{address}?immutable=1")


def _opened(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA mmap_size = 268435456")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
    """Say how long a commit waits for another process's lock."""
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make one commit of what is done inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def is_corrupt(error: Exception) -> bool:
    """Return whether an error of SQLite says that the file is damaged, as opposed to busy, full or out of reach."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "unsupported file format" in str(error)
