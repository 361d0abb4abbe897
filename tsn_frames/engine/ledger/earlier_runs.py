"""Queries on the ledger: usage of recent answers, earlier runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ...text import quoted
from .ledger import Ledger
from .ledger_file import open_for_reading
from .run_record import RunRecord

MAX_ANSWERS = 20_000
MAX_RUNS = 500


class PastUsage(NamedTuple):
    """Sizes, tokens and duration of one recorded answer."""

    model: str
    language: str
    prompt_chars: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def recent_usage(ledger: Ledger, models: Collection[str], runs: Collection[str] = ()) -> list[PastUsage]:
    """Return usage of the newest answers of some models, optionally of some runs only."""
    in_runs = f" AND run IN ({_placeholders(runs)})" if runs else ""
    query = (
        f"SELECT {', '.join(PastUsage._fields)} FROM attempts WHERE outcome = 'answered' AND model IN ({_placeholders(models)})"
        f"{in_runs} AND prompt_chars > 0 AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL ORDER BY id DESC LIMIT ?"
    )
    with open_for_reading(ledger.path) as connection:
        return [PastUsage._make(row) for row in connection.execute(query, (*models, *runs, MAX_ANSWERS))]


def piloted_keys(ledger: Ledger, frame: str) -> set[bytes]:
    """Return the keys of the requests that pilots of a frame (given by its hash) have answers to."""
    runs = _pilots(ledger, frame)
    with open_for_reading(ledger.path) as connection:
        return _bought(connection, runs)


def pilot_spending(ledger: Ledger, frame: str) -> tuple[int, Decimal, bool]:
    """Return how many attempts the pilots of a frame (given by its hash) have paid for, what is known of their cost, and whether all is."""
    runs = _pilots(ledger, frame)
    query = f"SELECT cost FROM attempts WHERE run IN ({_placeholders(runs)})"
    with open_for_reading(ledger.path) as connection:
        costs = [cost for (cost,) in connection.execute(query, runs)]
    known = [Decimal(cost) for cost in costs if cost is not None]
    return len(costs), sum(known, Decimal(0)), len(known) == len(costs)


def _pilots(ledger: Ledger, frame: str) -> list[str]:
    """Return the newest runs that were pilots of a frame."""
    found = (record.run for record, hashes in run_records(ledger) if record.verb == "estimate" and hashes.get("frame") == frame)
    return list(found)[:MAX_RUNS]


def _bought(connection: sqlite3.Connection, runs: Sequence[str]) -> set[bytes]:
    """Return the keys of the requests that some runs have bought answers to."""
    query = f"SELECT request_key FROM attempts WHERE outcome = 'answered' AND run IN ({_placeholders(runs)})"
    return {key for (key,) in connection.execute(query, runs)}


def accounted_keys(ledger: Ledger, call: str) -> set[bytes] | None:
    """Return the requests of a call (given by its hash) that its earlier runs and pilots have bought answers to.

    None stands for all of them: a run of the call has ended, and recorded its savings.
    """
    with open_for_reading(ledger.path) as connection:
        rows = connection.execute("SELECT run, ended, hashes FROM runs WHERE instr(hashes, ?)", (call,))
        found = [(run, ended, json.loads(hashes)) for run, ended, hashes in rows]
        if any(ended is not None and hashes.get("keys") == call for _, ended, hashes in found):
            return None
        runs = [run for run, _, hashes in found if call in (hashes.get("keys"), hashes.get("frame"))]
        return _bought(connection, runs[:MAX_RUNS])


def runs_of_call(ledger: Ledger, call: str) -> list[RunRecord]:
    """Return the runs of a call (given by the hash of its requests), newest first; pilots are none."""
    return [record for record, hashes in run_records(ledger) if hashes.get("keys") == call]


def unrecorded(ledger: Ledger, runs: Iterable[str]) -> str | None:
    """Return a sentence on the runs that have neither a record nor an attempt; None where all have."""
    found = {record.run for record in ledger.run_records()}
    with open_for_reading(ledger.path) as connection:
        found |= {run for (run,) in connection.execute("SELECT DISTINCT run FROM attempts")}
    missing = [run for run in runs if run not in found]
    return f"{ledger.path} has no run {quoted(missing[0])}: tsn.runs(client)['run'] lists those that it has" if missing else None


def request_keys(ledger: Ledger) -> Iterator[tuple[str, set[bytes]]]:
    """Yield runs with the keys of requests that they have bought answers to, or have found answers to in the cache."""
    with open_for_reading(ledger.path) as connection:
        query = "SELECT run, request_key FROM attempts WHERE outcome = 'answered' ORDER BY run"
        for run, rows in groupby(connection.execute(query), itemgetter(0)):
            yield run, {key for _, key in rows}
        for record in ledger.run_records():
            yield record.run, _keys_of(connection, [record])


def paid_before(ledger: Ledger, records: Sequence[RunRecord], keys: Collection[bytes] | None = None) -> Decimal:
    """Return what other runs have paid for the requests of some runs before the last of these began.

    ``keys`` are those of the requests; default: all of the runs' calls.
    """
    runs, began = {record.run for record in records}, max((record.began for record in records), default=0.0)
    with open_for_reading(ledger.path) as connection:
        if keys is None:
            keys = _keys_of(connection, records)
        query = "SELECT run, request_key, cost FROM attempts WHERE cost IS NOT NULL AND time < ?"
        found = connection.execute(query, (began,))
        return sum((Decimal(cost) for run, key, cost in found if run not in runs and key in keys), Decimal(0))


def _keys_of(connection: sqlite3.Connection, records: Iterable[RunRecord]) -> set[bytes]:
    """Return the keys of all requests of calls that took answers from the cache."""
    hashes = [json.loads(record.hashes).get("keys") for record in records]
    query = f"SELECT request_keys FROM key_sets WHERE keys IN ({_placeholders(hashes)})"
    return {blob[at : at + 32] for (blob,) in connection.execute(query, hashes) for at in range(0, len(blob), 32)}


def run_settings(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return the API's parameters of each run."""
    query = "SELECT run, settings FROM run_settings"
    with open_for_reading(ledger.path) as connection:
        return {run: json.loads(settings) for run, settings in connection.execute(query)}


def run_records(ledger: Ledger) -> Iterator[tuple[RunRecord, Mapping[str, Any]]]:
    """Yield run records with their hashes, newest first."""
    for record in reversed(list(ledger.run_records())):
        yield record, json.loads(record.hashes)


def _placeholders(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
