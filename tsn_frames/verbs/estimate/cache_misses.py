"""Why a frame's answers are not in the cache: in what its requests differ from those of an earlier run over the same rows."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ...engine.ledger import queries
from ...engine.ledger.run_record import RunRecord
from ..run.prepare import PreparedCall
from .result import Estimate

_NAMES = {"template": "prompt"}  # as the user calls them
_SAME = "its answers are in another cache, or were deleted"


def explained(asked: PreparedCall, estimate: Estimate, when: str = "") -> list[str]:
    """Return a sentence where an earlier run had the same rows and little of it was found ``when`` it was looked up."""
    if not estimate.to_send or estimate.cached > estimate.requests / 2:
        return []
    found = _nearest(asked)
    if found is None:
        return []
    card, changed = found
    if not changed and (card.answered or 0) + (card.cached or 0) <= estimate.cached:
        return []  # it was broken off: there is nothing to wonder about
    day = time.strftime("%Y-%m-%d", time.gmtime(card.began))
    said = f"changed: {', '.join(f'`{_NAMES.get(name, name)}`' for name in changed)}" if changed else _SAME
    return [f"{estimate.cached:,} of {estimate.requests:,} cached{when}; the run of {day} had the same rows; {said}"]


def _nearest(asked: PreparedCall) -> tuple[RunRecord, list[str]] | None:
    """Return the run over the same rows that differs least, the newest of several, and in what it differs."""
    mine: Mapping[str, str] = asked.work.about.hashes
    best: tuple[RunRecord, list[str]] | None = None
    for card, hashes in queries.run_records(asked.client.ledger):
        if hashes.get("rows") != mine.get("rows"):
            continue
        changed = card.changed(mine)
        if best is None or len(changed) < len(best[1]):
            best = card, changed
    return best
