"""The coordinator of all processes: shares of accounts, budgets of graphs, counts of partitions. Pure but for its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from . import account_shares, budget_shares

REMEMBERED = 24 * 3600.0  # seconds that budgets and counts are kept after the last message about them


class Coordinator:
    """Answers the messages of all processes, one at a time."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state = state or {"accounts": {}, "budgets": {}, "counts": {}, "seen": {}}

    def answer(self, message: Mapping[str, Any], now: float) -> Mapping[str, Any]:
        """Return the answer to a message: ``kind`` and ``name`` of what it is about, and the report of a process.

        ``now`` is in seconds, on any clock that goes forward.
        """
        kind, name, state = message["kind"], message["name"], self.state
        if kind == "account":
            account = state["accounts"].setdefault(name, account_shares.new_account())
            return account_shares.exchange(account, cast("account_shares.Report", message), now)
        if kind == "counts":
            return {"now": now, "counts": [one for one in state["counts"].values() if one["began"] >= message["since"]]}
        self._forget(f"{kind} {name}", now)
        if kind == "budget":
            budget = state["budgets"].setdefault(name, budget_shares.new_budget(message["limit"]))
            return budget_shares.renew(budget, cast("budget_shares.BudgetReport", message), now)
        return self._count(name, message["counts"], now)

    def _count(self, name: str, counts: dict[str, Any], now: float) -> dict[str, Any]:
        known = self.state["counts"].get(name)
        same = known is not None and known["run"] == counts["run"]
        self.state["counts"][name] = {**counts, "began": known["began"] if same else now}
        return {}

    def _forget(self, about: str, now: float) -> None:
        seen = self.state["seen"]
        seen[about] = now
        for name in [name for name, when in seen.items() if when + REMEMBERED < now]:
            del seen[name]
            kind, _, rest = name.partition(" ")
            self.state["budgets" if kind == "budget" else "counts"].pop(rest, None)
