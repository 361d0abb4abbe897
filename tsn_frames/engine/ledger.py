"""The ledger: one line for every attempt that was or may have been billed, in one SQLite file per user.

It holds no prompt, no answer and no key, and no cache takes it along when it is deleted. A line is committed before the
answer that it bills: what is in the cache is in the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError
from .store import private_files

if TYPE_CHECKING:
    import pandas as pd

# One step for each schema number; a step that was released never changes.
MIGRATIONS = [
    """CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, time REAL NOT NULL, run TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL,
        outcome TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
        cost TEXT, request_key BLOB NOT NULL, tag TEXT, seconds REAL NOT NULL
    ) STRICT""",
]


class Entry(NamedTuple):
    """One attempt. ``outcome`` is ``answered``, or ``unknown`` where it may be billed and its usage was not seen."""

    time: float
    run: str
    host: str
    model: str
    outcome: str
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost: str | None
    request_key: bytes
    tag: str | None
    seconds: float


class Ledger:
    """The record of every attempt that was or may have been billed.

    Parameters
    ----------
    path : str or Path
        The SQLite file; made with mode 0600 when the first line is written.

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger(tempfile.mkdtemp() + "/ledger.db")
    >>> len(ledger.to_frame())
    0
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def to_frame(self) -> pd.DataFrame:
        """Return the whole record.

        Returns
        -------
        pandas.DataFrame
            A row an attempt, oldest first: ``time`` (datetime64, UTC), ``run``, ``host``, ``model``, ``outcome``,
            ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` (Int64), ``cost`` (Float64, the currency of the
            prices), ``request_key`` (hex), ``tag``, ``seconds``.
        """
        from .records import ledger_frame

        return ledger_frame(list(self.entries()))

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, oldest first."""
        if self.path.exists():
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
                yield from map(Entry._make, connection.execute(f"SELECT {', '.join(Entry._fields)} FROM attempts ORDER BY id"))

    def open(self) -> LedgerFile:
        """Open the file for appending."""
        return LedgerFile(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"


class LedgerFile:
    """An open ledger, for one thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_files():
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._migrate(path)

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries in one commit."""
        marks = ", ".join("?" * len(Entry._fields))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(f"INSERT INTO attempts ({', '.join(Entry._fields)}) VALUES ({marks})", entries)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _migrate(self, path: Path) -> None:
        self._connection.execute("BEGIN IMMEDIATE")  # two kernels may open a new ledger at once
        number = self._connection.execute("PRAGMA user_version").fetchone()[0]
        for step in MIGRATIONS[number:]:
            self._connection.execute(step)
        if number < len(MIGRATIONS):
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self._connection.execute("COMMIT")
        if number > len(MIGRATIONS):
            self._connection.close()
            raise ConfigError(f"{path} was written by a newer tsn_frames (schema {number}): upgrade, or give another ledger=")
