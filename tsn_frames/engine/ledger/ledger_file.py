"""The ledger's SQLite file: schema migrations, appending and reading. Rows of attempts are only ever added."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from ...errors import ConfigError
from ..storage.sqlite import BUSY_TIMEOUT, OpenDatabase, closed_on_error, compact, connect, make_private, read_only, transaction
from .run_record import TABLES, KeySet, RunRecord, RunSettings, Saving

Row = TypeVar("Row", "Entry", RunRecord, Saving)
# Tables of no schema version: an older release may go on writing to the file.
UNVERSIONED = {
    "budget_leases": """CREATE TABLE IF NOT EXISTS budget_leases (
    run TEXT NOT NULL, period TEXT NOT NULL, begins REAL NOT NULL, ends REAL NOT NULL, currency TEXT,
    authorized TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (run, period)
) STRICT""",
    "run_settings": "CREATE TABLE IF NOT EXISTS run_settings (run TEXT PRIMARY KEY, settings TEXT NOT NULL) STRICT",
    "key_sets": "CREATE TABLE IF NOT EXISTS key_sets (keys TEXT PRIMARY KEY, request_keys BLOB NOT NULL) STRICT",
}

# The statements of each schema version. A released version never changes.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        """CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, time REAL NOT NULL, run TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL,
        outcome TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
        cost TEXT, request_key BLOB NOT NULL, tag TEXT, seconds REAL NOT NULL
    ) STRICT""",
    ),
    (
        "ALTER TABLE attempts ADD COLUMN cached_tokens INTEGER",
        "ALTER TABLE attempts ADD COLUMN currency TEXT",
        "ALTER TABLE attempts ADD COLUMN price_source TEXT",
        "ALTER TABLE attempts ADD COLUMN prompt_chars INTEGER",
        "ALTER TABLE attempts ADD COLUMN completion_chars INTEGER",
        "ALTER TABLE attempts ADD COLUMN language TEXT",
        *TABLES,
    ),
    ("ALTER TABLE attempts ADD COLUMN held TEXT",),
]


class Entry(NamedTuple):
    """One attempt. ``outcome`` is ``answered``, or ``unknown`` if it may be billed but its usage is not known.

    ``prompt_chars`` and ``language`` are :func:`~tsn_frames.api.prompt_length_and_script.prompt_size`; ``price_source`` is the price behind
    ``cost`` and its origin. ``held`` is the upper bound of an unknown cost, which later processes count against a budget.
    """

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
    cached_tokens: int | None = None
    currency: str | None = None
    price_source: str | None = None
    prompt_chars: int | None = None
    completion_chars: int | None = None
    language: str | None = None
    held: str | None = None


class LeaseEnd(NamedTuple):
    """The end of a run that has leases: they are deleted, in order with the attempts that the run has recorded."""

    run: str


Line: TypeAlias = Entry | RunRecord | Saving | LeaseEnd | RunSettings | KeySet


def _values_into(table: str, fields: tuple[str, ...]) -> str:
    return f"INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"


_STATEMENTS: dict[type, str] = {
    Entry: "INSERT " + _values_into("attempts", Entry._fields),
    RunRecord: "INSERT OR REPLACE " + _values_into("runs", RunRecord._fields),
    Saving: "INSERT " + _values_into("savings", Saving._fields),
    LeaseEnd: "DELETE FROM budget_leases WHERE run = ?",
    RunSettings: "INSERT OR REPLACE " + _values_into("run_settings", RunSettings._fields),
    KeySet: "INSERT OR IGNORE " + _values_into("key_sets", KeySet._fields),
}
_TABLE_AND_ORDER = {Entry: ("attempts", "id"), RunRecord: ("runs", "began, run"), Saving: ("savings", "id")}


class LedgerFile(OpenDatabase):
    """A ledger that is open for appending."""

    def __init__(self, path: Path, busy_timeout: float = BUSY_TIMEOUT) -> None:
        schema(path)
        make_private(path)
        super().__init__(path, connect(path, busy_timeout))
        with closed_on_error(self._connection):
            _migrate(self._connection)

    def write(self, rows: Iterable[Line]) -> None:
        """Append rows in one commit; a run's final record replaces the one written at its start."""
        with self.transaction() as connection:
            for kind, group in groupby(rows, type):
                connection.executemany(_STATEMENTS[kind], map(_with_valid_tag, group))

    def erase_texts(self, runs: Iterable[str]) -> None:
        """Erase the prompt texts of runs, also from the file's free pages and its log."""
        self._connection.execute("PRAGMA secure_delete = ON")
        with self.transaction() as connection:
            connection.executemany("UPDATE runs SET texts = NULL WHERE run = ?", ((run,) for run in runs))
        compact(self._connection)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a transaction, in which no other process writes."""
        return transaction(self._connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """Create the tables and columns that a ledger lacks."""
    with transaction(connection):  # two processes may open a new ledger at once
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statement in (*chain.from_iterable(MIGRATIONS[version:]), *UNVERSIONED.values()):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {max(version, len(MIGRATIONS))}")


def read_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """Yield the rows of one table in order; columns that an older file lacks are None."""
    table, order = _TABLE_AND_ORDER[kind]
    with open_for_reading(path) as connection:
        yield from map(kind._make, connection.execute(f"SELECT {', '.join(kind._fields)} FROM {table} ORDER BY {order}"))


@contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger for reading, with every table and column of today; one that doesn't exist yet is empty."""
    try:
        with closing(_with_all_tables(path)) as connection:
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{path} can't be read ({error}): see what holds or has damaged it, or give another ledger=") from None


def _with_all_tables(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading; a missing or older file as a migrated copy in memory, since reading changes no file."""
    version, tables = schema(path)
    if version == len(MIGRATIONS) and UNVERSIONED.keys() <= tables:
        return read_only(path)
    copy = sqlite3.connect(":memory:", isolation_level=None)
    if version:
        with closing(read_only(path)) as file:
            file.backup(copy)
    _migrate(copy)
    return copy


def schema(path: Path) -> tuple[int, set[str]]:
    """Return the schema version of a ledger, 0 for none yet, and its tables; refuse a file that is not a ledger or a newer one."""
    if not path.exists():
        return 0, set()
    try:
        with closing(read_only(path)) as connection:
            connection.execute("BEGIN")  # one snapshot: another process may be creating the tables right now
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise ConfigError(f"{path} is not a ledger ({error}): move it away, or give another ledger=") from None
    if version > len(MIGRATIONS):
        raise ConfigError(f"{path} was written by a newer tsn_frames (schema {version}): upgrade, or give another ledger=")
    if ("attempts" in names) != (version > 0) or (names and not version):
        raise ConfigError(f"{path} is not a ledger but another program's file: give another ledger=")
    return version, names


def _with_valid_tag(row: Line) -> tuple[Any, ...]:
    """Return a row whose tag SQLite can store: a lone surrogate in a tag must not keep spending off the record."""
    if not isinstance(row, (Entry, Saving)) or row.tag is None:
        return row
    return row._replace(tag=row.tag.encode("utf-8", "replace").decode())
