"""Forget runs: delete their answers so that no byte of them is left in the file, and erase the prompt texts on record."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from ...errors import CacheError
from ...text import plural, warn
from ..ledger.earlier_runs import request_keys, unrecorded
from ..ledger.ledger import Ledger, default_ledger
from ..ledger.run_id_attrs import run_ids
from .reader import FILE
from .repair import open_store

BUSY_TIMEOUT = 30.0  # seconds: another process's commits take milliseconds, its long readers some seconds


def forget(folder: Path, runs: Sequence[object], ledger: Ledger | str | Path | None) -> int:
    """Forget runs; see :meth:`~tsn_frames.engine.cache.cache.Cache.forget`."""
    records, ids = _ledger_of(folder, runs, ledger), {name for run in runs for name in run_ids(run)}
    if (unknown := unrecorded(records, ids)) is not None:
        raise CacheError(f"{unknown}; give ledger=client.ledger where it is another ledger")
    own, shared = _keys_of(records, ids)
    try:
        count = 0
        if (folder / FILE).exists():
            with closing(open_store(folder, BUSY_TIMEOUT)) as store:
                count = store.erase(own)
        if any(record.texts is not None and record.run in ids for record in records.run_records()):
            with closing(records.open(BUSY_TIMEOUT)) as file:
                file.erase_texts(ids)
    except sqlite3.Error as error:
        raise CacheError(
            f"{folder} could not be cleaned of all bytes ({error}): another process uses the file, or the disk is full. "
            "What was deleted is no longer used; call forget again when no run is going"
        ) from None
    _warn_of_remaining(folder, shared, records, ids)
    return count


def _ledger_of(folder: Path, runs: Sequence[object], ledger: Ledger | str | Path | None) -> Ledger:
    """Return the ledger that has the runs on record; refuse runs that go on, or belong to another cache."""
    found = ledger if isinstance(ledger, Ledger) or ledger is None else Ledger(ledger)
    for run in runs:
        client = getattr(run, "client", None)
        if client is None:
            continue
        if not getattr(run, "done", True):
            raise CacheError("the run is still going: run.stop() or run.wait() first, then forget it")
        if client.cache.folder != folder:
            raise CacheError(f"the run's answers are in {client.cache.folder}: use run.client.cache.forget(run)")
        found = found or client.ledger
    return found or default_ledger()


def _keys_of(ledger: Ledger, ids: Collection[str]) -> tuple[set[bytes], dict[bytes, str]]:
    """Return the keys of answers that no other run has bought or used, and those that another run has, with that run."""
    own: set[bytes] = set()
    for run, keys in request_keys(ledger):
        if run in ids:
            own |= keys
    shared: dict[bytes, str] = {}
    for run, keys in request_keys(ledger):
        if run not in ids:
            shared |= dict.fromkeys(own & keys, run)
    return own - shared.keys(), shared


def _warn_of_remaining(folder: Path, shared: dict[bytes, str], ledger: Ledger, ids: Collection[str]) -> None:
    if shared:
        others = sorted(set(shared.values()))
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        warn(f"{plural(len(shared), 'answer')} stay: the run {others[0]}{more} has bought or used them, too; forget that as well")
    if unfinished := [record.run for record in ledger.run_records() if record.run in ids and record.ended is None]:
        warn(
            f"the run {unfinished[0]} has no end on record: if another process goes on with it, what it buys from now on is kept"
        )
    if damaged := sorted(folder.glob(f"{FILE}.corrupt-*")):
        warn(f"{damaged[0]} was put aside as damaged and may hold the same answers: delete it by hand")
