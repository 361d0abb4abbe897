"""Queries on the ledger: spending since a time, usage of recent answers, earlier runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ConfigError
from ..storage.sqlite import read_only
from .file import open_for_reading, schema_version
from .ledger import Ledger
from .run_record import RunRecord

MAX_ANSWERS = 20_000
MAX_RUNS = 500
SCHEMA_WITH_PROMPT_CHARS = 2


class PastUsage(NamedTuple):
    """Sizes, tokens and duration of one recorded answer."""

    model: str
    language: str
    prompt_chars: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def recent_usage(ledger: Ledger, models: Collection[str], runs: Collection[str] = ()) -> list[PastUsage]:
    """Return usage of the newest answers of some models, optionally of some runs only.

    Raises
    ------
    ConfigError
        If the file is no ledger, a newer version's, or can't be read.
    """
    in_runs = f" AND run IN ({_placeholders(runs)})" if runs else ""
    query = (
        f"SELECT {', '.join(PastUsage._fields)} FROM attempts WHERE outcome = 'answered' AND model IN ({_placeholders(models)})"
        f"{in_runs} AND prompt_chars > 0 AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL ORDER BY id DESC LIMIT ?"
    )
    with open_for_reading(ledger.path, SCHEMA_WITH_PROMPT_CHARS) as connection:
        rows = connection.execute(query, (*models, *runs, MAX_ANSWERS)) if connection else ()
        return [PastUsage._make(row) for row in rows]


def piloted_keys(ledger: Ledger, frame: str | None) -> set[bytes]:
    """Return the keys of the requests that pilots of a frame (given by its hash) have answers to."""
    if frame is None:
        return set()
    found = (record.run for record, hashes in run_records(ledger) if record.verb == "estimate" and hashes.get("frame") == frame)
    runs = list(found)[:MAX_RUNS]
    if not runs:
        return set()
    query = f"SELECT request_key FROM attempts WHERE outcome = 'answered' AND run IN ({_placeholders(runs)})"
    with open_for_reading(ledger.path) as connection:
        return {bytes(key) for (key,) in connection.execute(query, runs)} if connection else set()


def run_records(ledger: Ledger) -> Iterator[tuple[RunRecord, Mapping[str, Any]]]:
    """Yield run records with their hashes, newest first."""
    for record in reversed(list(ledger.run_records())):
        yield record, json.loads(record.hashes)


def _placeholders(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


class LedgerScope(NamedTuple):
    """A ledger's file and the currency of the spending that counts."""

    path: Path
    currency: str | None


class UnpricedUsage(NamedTuple):
    """Tokens of one run, model and day that were bought without a price."""

    model: str
    time: float
    prompt_tokens: int
    completion_tokens: int


class RecordedSpending(NamedTuple):
    """Spending on record: known costs, the upper bound of unknown ones, and usage without any price."""

    known: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    unpriced: tuple[UnpricedUsage, ...] = ()


def spent(scope: LedgerScope, since: float, without_runs: Collection[str]) -> RecordedSpending:
    """Return the spending on record since a time, without some runs.

    Lines in another currency don't count; lines without a currency do.

    Raises
    ------
    ConfigError
        If the file is no ledger, or can't be read: a budget needs to know earlier spending.
    """
    path, currency = scope
    values = {"since": since, "currency": currency}
    try:
        if not (version := schema_version(path)):
            return RecordedSpending()
        held = "held" if version > 2 else "NULL"  # older files have no such column
        unit = "coalesce(currency, :currency)" if currency is not None and version > 1 else ":currency"
        with closing(read_only(path)) as connection:
            known, unknown, unpriced = (
                [row[1:] for row in connection.execute(query.format(held=held, unit=unit), values) if row[0] not in without_runs]
                for query in (_KNOWN_COSTS, _HELD_AMOUNTS, _UNPRICED_USAGE)
            )
        return RecordedSpending(_total(known), _total(unknown), tuple(map(UnpricedUsage._make, unpriced)))
    except (sqlite3.Error, InvalidOperation) as error:
        raise ConfigError(
            f"{path} can't be read ({error}), so what the budget has left is unknown: see what holds or has damaged the file, "
            "or give another ledger="
        ) from None


_SINCE = "FROM attempts WHERE time >= :since AND {unit} IS :currency"
_KNOWN_COSTS = f"SELECT run, cost, COUNT(*) {_SINCE} AND cost IS NOT NULL GROUP BY run, cost"
_HELD_AMOUNTS = f"SELECT run, {{held}}, COUNT(*) {_SINCE} AND cost IS NULL AND {{held}} IS NOT NULL GROUP BY run, {{held}}"
# Grouped by day, since a price may change from one day to the next.
_UNPRICED_USAGE = f"""SELECT run, model, MIN(time), SUM(prompt_tokens),
    SUM(max(completion_tokens, coalesce(total_tokens - prompt_tokens, 0))) {_SINCE}
    AND cost IS NULL AND {{held}} IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL
    GROUP BY run, model, date(time, 'unixepoch')"""


def _total(rows: Iterable[tuple[str, int]]) -> Decimal:
    return sum((Decimal(amount) * count for amount, count in rows), Decimal(0))
