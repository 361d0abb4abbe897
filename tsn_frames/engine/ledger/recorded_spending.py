"""Spending on record and the leases of budgets: what the runs of all processes have spent, and may spend, in a period."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

# Amounts in another currency don't count; amounts without a currency do.
_UNIT = "(:currency IS NULL OR currency IS NULL OR currency = :currency)"
_NEW = f"FROM attempts WHERE id > :after AND time >= :begins AND {_UNIT}"
_AMOUNTS = f"""SELECT run, cost IS NOT NULL, coalesce(cost, held), COUNT(*) {_NEW}
    AND coalesce(cost, held) IS NOT NULL GROUP BY 1, 2, 3"""
# Grouped by day, since a price may change from one day to the next.
_UNPRICED_USAGE = f"""SELECT run, model, MIN(time), SUM(prompt_tokens),
    SUM(max(completion_tokens, coalesce(total_tokens - prompt_tokens, 0))) {_NEW}
    AND cost IS NULL AND held IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL
    GROUP BY run, model, date(time, 'unixepoch')"""
# Until a run that goes on past the end of a period has renewed its lease, it counts in the next one.
_LEASES = f"""SELECT run, authorized FROM budget_leases WHERE expires > :now AND period = :period
    AND (begins = :begins AND ends = :ends OR ends = :begins) AND {_UNIT}"""


class Period(NamedTuple):
    """A day or month, and the currency of the spending that counts in it."""

    period: str
    begins: float
    ends: float
    currency: str | None


class RecordedSpending:
    """Spending of each run in a period: known costs, and upper bounds of unknown ones.

    ``price`` returns the cost of what was bought without prices, by model, time, prompt and completion tokens.
    """

    def __init__(self, period: Period, price: Callable[[str, float, int, int], Decimal | None]) -> None:
        self.period, self.known, self.unknown = period, defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
        self._price, self._after = price, 0

    def update(self, connection: sqlite3.Connection) -> None:
        """Add the lines since the last update, in a transaction of the caller."""
        values = {**self.period._asdict(), "after": self._after}
        for run, known, amount, number in connection.execute(_AMOUNTS, values):
            (self.known if known else self.unknown)[run] += Decimal(amount) * number
        for run, *usage in connection.execute(_UNPRICED_USAGE, values):
            self.known[run] += self._price(*usage) or 0
        (self._after,) = connection.execute("SELECT coalesce(max(id), 0) FROM attempts").fetchone()


def live_leases(connection: sqlite3.Connection, period: Period, now: float) -> dict[str, Decimal]:
    """Return what the live leases of a period authorize, by run."""
    return {run: Decimal(money) for run, money in connection.execute(_LEASES, {**period._asdict(), "now": now})}


def write_lease(
    connection: sqlite3.Connection, run: str, period: Period, authorized: Decimal, *, now: float, expires: float
) -> None:
    """Write a run's lease in place of its last one; delete those of processes that ended without giving them back."""
    connection.execute("DELETE FROM budget_leases WHERE expires <= ?", (now,))
    values = {**period._asdict(), "run": run, "authorized": str(authorized), "expires": expires}
    connection.execute(
        "INSERT OR REPLACE INTO budget_leases (run, period, begins, ends, currency, authorized, expires) "
        "VALUES (:run, :period, :begins, :ends, :currency, :authorized, :expires)",
        values,
    )
