"""The budget of one graph, leased to the runs of its partitions; together they never pass it. Pure.

A run's lease counts from its grant until the run ends, and then what the run has spent. The lease of a run that is lost counts as spent:
how much of it was, only the ledger of its host knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypedDict

from ...engine.budget.reservations import extension

LOST_AFTER = 60.0  # seconds without a renewal: the run's process is dead, and its lease counts as spent


class BudgetReport(TypedDict):
    """What a run has spent, and what it needs; amounts are decimal texts."""

    run: str
    spent: str
    total: str  # spent and reserved
    waiting: Sequence[str]  # the amounts that requests wait for
    ended: bool  # whether it needs nothing more


class BudgetLease(TypedDict):
    """What a run may spend in all, and what the other runs have spent and may spend; decimal texts."""

    authorized: str
    spent: str
    committed: str


def new_budget(limit: str) -> dict[str, Any]:
    """Return the state of a budget that nothing was spent of."""
    return {"limit": limit, "runs": {}}


def renew(budget: dict[str, Any], report: BudgetReport, now: float) -> BudgetLease:
    """Renew a run's lease, and extend it for the requests that wait."""
    runs, name, total = budget["runs"], report["run"], Decimal(report["total"])
    others = [one for key, one in runs.items() if key != name]
    committed = sum((Decimal(one["authorized"]) for one in others), Decimal(0))
    spent = sum((Decimal(one["authorized" if one["until"] <= now else "spent"]) for one in others), Decimal(0))
    waiting = [Decimal(amount) for amount in report["waiting"]]
    authorized = total + (Decimal(0) if report["ended"] else extension(Decimal(budget["limit"]) - committed - total, waiting))
    until = now if report["ended"] else now + LOST_AFTER
    runs[name] = {"spent": report["spent"], "authorized": str(authorized), "until": until}
    return {"authorized": str(authorized), "spent": str(spent), "committed": str(committed)}
