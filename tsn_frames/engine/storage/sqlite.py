"""SQLite helpers of the cache and the ledger: private files, a write-ahead log, one commit for each group of rows."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_TIMEOUT = 3.0  # seconds to wait for another process's lock; rows that can't be written by then are kept and retried
LOCKED_SECONDS = 30.0  # to wait for another program's lock, in such tries, where giving up means that answers are paid for again


def make_private(path: Path) -> None:
    """Create a missing file with mode 0600, which SQLite copies to its helper files.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process. The
    umask stays as it is, since it belongs to the whole process.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.is_file():
            _restrict_mode(path, 0o600)


def make_private_folder(folder: Path, prefix: str) -> None:
    """Create a missing folder with mode 0700; restrict an existing one only if all of its files have our prefix."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if all(path.name.startswith(prefix) for path in folder.iterdir()):
        _restrict_mode(folder, 0o700)


def _restrict_mode(path: Path, mode: int) -> None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(mode)
    except OSError:  # another owner's
        pass


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a path, which change when its file is deleted or replaced; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """Open a file for writing, with a write-ahead log; commits survive the end of the process."""
    with closed_on_error(
        sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA auto_vacuum = 1")
        _enable_write_ahead_log(connection, time.monotonic() + busy_timeout)
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _enable_write_ahead_log(connection: sqlite3.Connection, until: float) -> None:
    """Switch the log on, with retries: here SQLite ignores its busy timeout when two processes do so at once."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def read_only(path: Path) -> sqlite3.Connection:
    """Open a file for reading, also where SQLite can't create its helper files (read-only folder, full disk)."""
    uri = path.absolute().as_uri()
    try:
        return _open_uri(f"{uri}?mode=ro")
    except sqlite3.OperationalError as error:
        if is_locked(error) or not os.access(path, os.R_OK):
            raise
    return _open_uri(f"{uri}?immutable=1")


def _open_uri(uri: str) -> sqlite3.Connection:
    with closed_on_error(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        connection.execute("PRAGMA mmap_size = 268435456")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return connection


@contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Close a connection where the block that prepares it fails."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


class OpenDatabase:
    """A database that is open for writing, for one thread."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.file, self._connection, self.identity = file, connection, identity(file)

    @property
    def was_replaced(self) -> bool:
        """Whether the path now holds another file or none, so that rows written to the open one would be lost."""
        return identity(self.file) != self.identity

    def set_busy_timeout(self, seconds: float) -> None:
        """Set how long a commit waits for another process's lock."""
        self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the block in one transaction: commit it, or roll it back on an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def compact(connection: sqlite3.Connection) -> None:
    """Rewrite a file without its free pages and empty its log, so that nothing that was deleted is left in either."""
    connection.execute("VACUUM")
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("database is locked")


def is_corrupt(error: Exception) -> bool:
    """Return whether an SQLite error means a damaged file, as opposed to a busy, full or unreachable one."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "unsupported file format" in str(error)


def is_locked(error: Exception) -> bool:
    """Return whether an SQLite error means that another program held the file for longer than the busy timeout."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: Exception) -> int:
    """Return the primary result code of an SQLite error, 0 for another error."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
