"""Explanation of cache misses: what has changed since an earlier run over the same rows."""

from __future__ import annotations

import time

from ...engine.ledger import earlier_runs
from ..run.prepare import PreparedCall
from .result import Estimate


def explain_misses(call: PreparedCall, estimate: Estimate, when: str = "") -> list[str]:
    """Return a note where less than half is cached though an earlier run had the same rows.

    Of such runs the one that differs least is named, the newest of several.
    """
    if not estimate.requests or estimate.cached > estimate.requests / 2:
        return []
    hashes = call.work.about.hashes
    runs = [
        (record.changed(hashes), record)
        for record, earlier in earlier_runs.run_records(call.client.ledger)
        if earlier.get("rows") == hashes.get("rows")
    ]
    if not runs:
        return []
    changed, record = min(runs, key=lambda run: len(run[0]))
    if not changed and (record.answered or 0) + (record.cached or 0) <= estimate.cached:
        return []  # it ended early, and all of its answers were found
    names = ", ".join("`prompt`" if name == "template" else f"`{name}`" for name in changed)
    why = f"changed: {names}" if changed else "its answers are in another cache, or were deleted"
    day = time.strftime("%Y-%m-%d", time.gmtime(record.began))
    return [f"{estimate.cached:,} of {estimate.requests:,} cached{when}; the run of {day} had the same rows; {why}"]
