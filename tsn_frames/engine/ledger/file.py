"""The ledger's file: its tables, step by step, how lines get into it and out of it. Lines are only added."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ...errors import ConfigError
from ..storage.sqlite import PATIENCE, connect, identity, make_private, read_only, transaction, wait_at_most
from .run_record import TABLES, RunRecord, Saving

Line = TypeVar("Line", "Entry", RunRecord, Saving)

# One step for each schema number, each some statements; a step that was released never changes.
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
    """One attempt. ``outcome`` is ``answered``, or ``unknown`` where it may be billed and its usage was not seen.

    ``prompt_chars`` and ``language`` are :func:`~tsn_frames.api.prompt_size.prompt_size`; ``price_source`` says at which price
    ``cost`` was worked out, and whose price that is. ``held`` is the most that an attempt of unknown cost can have cost: a
    later process counts it against its budget.
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


def _into(table: str, fields: tuple[str, ...]) -> str:
    return f"INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"


_INTO: dict[type, str] = {
    Entry: "INSERT " + _into("attempts", Entry._fields),
    RunRecord: "INSERT OR REPLACE " + _into("runs", RunRecord._fields),
    Saving: "INSERT " + _into("savings", Saving._fields),
}
_FROM = {Entry: ("attempts", "id"), RunRecord: ("runs", "began, run"), Saving: ("savings", "id")}


class LedgerFile:
    """An open ledger, for one thread.

    Raises
    ------
    ConfigError
        If the file is no ledger, or a newer version's; nothing is changed then.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        schema(path)
        make_private(path)
        self._path, self._connection = path, connect(path, patience)
        self._identity = identity(path)
        try:
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    @property
    def moved(self) -> bool:
        """Whether another file, or none, lies in the place of the one that is open: what is written would be lost."""
        return identity(self._path) != self._identity

    def wait_at_most(self, seconds: float) -> None:
        """Say how long a commit waits for another process's lock."""
        wait_at_most(self._connection, seconds)

    def write(self, lines: Iterable[Entry | RunRecord | Saving]) -> None:
        """Add lines in one commit; a run's card takes the place of the one that it began with."""
        with transaction(self._connection):
            for kind, some in groupby(lines, type):
                self._connection.executemany(_INTO[kind], map(_storable, some))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _migrate(self) -> None:
        with transaction(self._connection):  # two kernels may open a new ledger at once
            number = self._connection.execute("PRAGMA user_version").fetchone()[0]
            for step in MIGRATIONS[number:]:
                for statement in step:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {max(number, len(MIGRATIONS))}")


def read(path: Path, kind: type[Line]) -> Iterator[Line]:
    """Yield the lines of one kind in their order; what an older file doesn't have yet is None, or no line."""
    with opened(path) as connection:
        if connection is None:
            return
        table, order = _FROM[kind]
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if there:
            fields = ", ".join(name if name in there else f"NULL AS {name}" for name in kind._fields)
            yield from map(kind._make, connection.execute(f"SELECT {fields} FROM {table} ORDER BY {order}"))


@contextmanager
def opened(path: Path, least: int = 1) -> Iterator[sqlite3.Connection | None]:
    """Open a ledger for reading; None where there is none, or its schema number is less.

    Raises
    ------
    ConfigError
        If the file is no ledger, a newer version's, or can't be read.
    """
    try:
        if schema(path) < least:
            yield None
            return
        with closing(read_only(path)) as connection:
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{path} can't be read ({error}): see what holds or has damaged it, or give another ledger=") from None


def schema(path: Path) -> int:
    """Return the schema number of a ledger, 0 for none yet; refuse what we can't append to."""
    if not path.exists():
        return 0
    try:
        with closing(read_only(path)) as connection:
            connection.execute("BEGIN")  # one view of the file: another process may be making its tables just now
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


def _storable(line: Entry | RunRecord | Saving) -> tuple[Any, ...]:
    """Return a line whose tag is valid text: one odd character must not keep spending off the record."""
    if isinstance(line, RunRecord) or line.tag is None:
        return line
    return line._replace(tag=line.tag.encode("utf-8", "replace").decode())
