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

from ..errors import ConfigError, quoted
from .files import PATIENCE, connect, identity, make_private, read_only, transaction

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
        if not isinstance(path, (str, Path)) or not str(path).strip():
            raise ConfigError(f"ledger must be the path of a file, got {quoted(path)}")
        self.path = Path(path).expanduser().absolute()

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
        """Yield every entry, oldest first.

        Raises
        ------
        ConfigError
            If the file is no ledger, or a newer version's.
        """
        if _schema(self.path):
            with closing(read_only(self.path)) as connection:
                yield from map(Entry._make, connection.execute(f"SELECT {', '.join(Entry._fields)} FROM attempts ORDER BY id"))

    def open(self, patience: float = PATIENCE) -> LedgerFile:
        """Open the file for appending."""
        return LedgerFile(self.path, patience)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"


class LedgerFile:
    """An open ledger, for one thread.

    Raises
    ------
    ConfigError
        If the file is no ledger, or a newer version's; nothing is changed then.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        _schema(path)
        make_private(path)
        self._path, self._connection = path, connect(path, patience)
        self._identity = identity(path)
        try:
            self._migrate(patience)
        except BaseException:
            self._connection.close()
            raise

    @property
    def moved(self) -> bool:
        """Whether another file, or none, lies in the place of the one that is open: what is written would be lost."""
        return identity(self._path) != self._identity

    def write(self, entries: Iterable[Entry], patience: float = PATIENCE) -> None:
        """Add entries in one commit."""
        marks = ", ".join("?" * len(Entry._fields))
        with transaction(self._connection, patience):
            self._connection.executemany(
                f"INSERT INTO attempts ({', '.join(Entry._fields)}) VALUES ({marks})", map(_storable, entries)
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _migrate(self, patience: float) -> None:
        with transaction(self._connection, patience):  # two kernels may open a new ledger at once
            number = self._connection.execute("PRAGMA user_version").fetchone()[0]
            for step in MIGRATIONS[number:]:
                self._connection.execute(step)
            self._connection.execute(f"PRAGMA user_version = {max(number, len(MIGRATIONS))}")


def _schema(path: Path) -> int:
    """Return the schema number of a ledger, 0 for none yet; refuse what we can't append to."""
    if not path.exists():
        return 0
    try:
        with closing(read_only(path)) as connection:
            number = int(connection.execute("PRAGMA user_version").fetchone()[0])
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise ConfigError(f"{path} is no ledger ({error}): move it away, or give another ledger=") from None
    if number > len(MIGRATIONS):
        raise ConfigError(f"{path} was written by a newer tsn_frames (schema {number}): upgrade, or give another ledger=")
    if ("attempts" in names) != (number > 0) or (names and not number):
        raise ConfigError(f"{path} is no ledger but another program's file: give another ledger=")
    return number


def _storable(entry: Entry) -> Entry:
    """Return an entry whose tag is valid text: one odd character must not keep spending off the record."""
    return entry if entry.tag is None else entry._replace(tag=entry.tag.encode("utf-8", "replace").decode())
