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
from .file import open_for_reading
from .ledger import Ledger
from .run_record import RunRecord

MAX_ANSWERS = 20_000
MAX_RUNS = 500
SCHEMA_WITH_PROMPT_CHARS = SCHEMA_WITH_RUNS = 2


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
    with open_for_reading(ledger.path, SCHEMA_WITH_PROMPT_CHARS) as connection:
        rows = connection.execute(query, (*models, *runs, MAX_ANSWERS)) if connection else ()
        return [PastUsage._make(row) for row in rows]


def piloted_keys(ledger: Ledger, frame: str | None) -> set[bytes]:
    """Return the keys of the requests that pilots of a frame (given by its hash) have answers to."""
    runs = _pilots(ledger, frame)
    with open_for_reading(ledger.path) as connection:
        return _bought(connection, runs) if connection else set()


def pilot_spending(ledger: Ledger, frame: str | None) -> tuple[int, Decimal, bool]:
    """Return how many attempts the pilots of a frame (given by its hash) have paid for, what is known of their cost, and whether all is."""
    runs = _pilots(ledger, frame)
    query = f"SELECT cost FROM attempts WHERE run IN ({_placeholders(runs)})"
    with open_for_reading(ledger.path) as connection:
        costs = [cost for (cost,) in connection.execute(query, runs)] if connection else []
    known = [Decimal(cost) for cost in costs if cost is not None]
    return len(costs), sum(known, Decimal(0)), len(known) == len(costs)


def _pilots(ledger: Ledger, frame: str | None) -> list[str]:
    """Return the newest runs that were pilots of a frame."""
    if frame is None:
        return []
    found = (record.run for record, hashes in run_records(ledger) if record.verb == "estimate" and hashes.get("frame") == frame)
    return list(found)[:MAX_RUNS]


def _bought(connection: sqlite3.Connection, runs: Sequence[str]) -> set[bytes]:
    """Return the keys of the requests that some runs have bought answers to."""
    if not runs:
        return set()
    query = f"SELECT request_key FROM attempts WHERE outcome = 'answered' AND run IN ({_placeholders(runs)})"
    return {bytes(key) for (key,) in connection.execute(query, runs)}


def accounted_keys(ledger: Ledger, call: str) -> set[bytes] | None:
    """Return the requests of a call (given by its hash) that its earlier runs and pilots have bought answers to.

    None stands for all of them: a run of the call has ended, and recorded its savings.
    """
    with open_for_reading(ledger.path, SCHEMA_WITH_RUNS) as connection:
        if connection is None:
            return set()
        found = connection.execute("SELECT run, ended, hashes FROM runs WHERE instr(hashes, ?)", (call,))
        hashes = {(run, ended): json.loads(text) for run, ended, text in found}
        if any(ended is not None and of_run.get("keys") == call for (_, ended), of_run in hashes.items()):
            return None
        runs = [run for (run, _), of_run in hashes.items() if call in (of_run.get("keys"), of_run.get("frame"))][:MAX_RUNS]
        return _bought(connection, runs)


def runs_of_call(ledger: Ledger, call: str | None) -> list[RunRecord]:
    """Return the runs of a call (given by the hash of its requests), newest first; pilots are none."""
    return [record for record, hashes in run_records(ledger) if call is not None and hashes.get("keys") == call]


def unrecorded(ledger: Ledger, runs: Iterable[str]) -> str | None:
    """Return a sentence on the runs that have neither a record nor an attempt; None where all have."""
    found = {record.run for record in ledger.run_records()}
    with open_for_reading(ledger.path) as connection:
        found |= {run for (run,) in connection.execute("SELECT DISTINCT run FROM attempts")} if connection else set()
    missing = [run for run in runs if run not in found]
    return f"{ledger.path} has no run {quoted(missing[0])}: tsn.runs(client)['run'] lists those that it has" if missing else None


def request_keys(ledger: Ledger) -> Iterator[tuple[str, set[bytes]]]:
    """Yield runs with the keys of requests that they have bought answers to, or have found answers to in the cache."""
    with open_for_reading(ledger.path) as connection:
        if connection is None:
            return
        query = "SELECT run, request_key FROM attempts WHERE outcome = 'answered' ORDER BY run"
        for run, rows in groupby(connection.execute(query), itemgetter(0)):
            yield run, {bytes(key) for _, key in rows}
        if not _has_table(connection, "key_sets"):
            return
        for record in ledger.run_records():
            keys = json.loads(record.hashes).get("keys")
            for (blob,) in connection.execute("SELECT request_keys FROM key_sets WHERE keys = ?", (keys,)):
                yield record.run, {blob[at : at + 32] for at in range(0, len(blob), 32)}


def paid_before(ledger: Ledger, records: Sequence[RunRecord], keys: Collection[bytes] | None = None) -> Decimal:
    """Return what other runs have paid for the requests of some runs before the last of these began.

    ``keys`` are those of the requests; default: all of the runs' calls.
    """
    runs, began = {record.run for record in records}, max((record.began for record in records), default=0.0)
    with open_for_reading(ledger.path) as connection:
        if connection is None:
            return Decimal(0)
        if keys is None:
            keys = _keys_of(connection, records)
        query = "SELECT run, request_key, cost FROM attempts WHERE cost IS NOT NULL AND time < ?"
        found = connection.execute(query, (began,))
        return sum((Decimal(cost) for run, key, cost in found if run not in runs and bytes(key) in keys), Decimal(0))


def _keys_of(connection: sqlite3.Connection, records: Iterable[RunRecord]) -> set[bytes]:
    """Return the keys of all requests of calls that took answers from the cache."""
    if not _has_table(connection, "key_sets"):
        return set()
    hashes = [json.loads(record.hashes).get("keys") for record in records]
    query = f"SELECT request_keys FROM key_sets WHERE keys IN ({_placeholders(hashes)})"
    return {blob[at : at + 32] for (blob,) in connection.execute(query, hashes) for at in range(0, len(blob), 32)}


def run_settings(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return the API's parameters of each run."""
    with open_for_reading(ledger.path) as connection:
        if connection is None or not _has_table(connection, "run_settings"):
            return {}
        return {run: json.loads(settings) for run, settings in connection.execute("SELECT run, settings FROM run_settings")}


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether an older release has left a table out."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def run_records(ledger: Ledger) -> Iterator[tuple[RunRecord, Mapping[str, Any]]]:
    """Yield run records with their hashes, newest first."""
    for record in reversed(list(ledger.run_records())):
        yield record, json.loads(record.hashes)


def _placeholders(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
