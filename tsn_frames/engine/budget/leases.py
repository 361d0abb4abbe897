"""Leases: what a run may spend in a day or month, kept in the ledger's file, so that all processes share a budget exactly.

A run reserves money under its lease without a look at the file. To extend the lease it reads, in one transaction, what the
ledger has on record and what the leases of other runs authorize; together they never pass the cap. A lease that is not
renewed expires: a killed process keeps the others waiting no longer than that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from ...api import Usage
from ...errors import ConfigError
from ...pricing.price_table import Prices
from ..ledger.ledger import Ledger
from ..ledger.recorded_spending import Period, RecordedSpending, live_leases, write_lease
from .reservations import OtherRuns, extension, other_runs

LEASE_SECONDS = 60.0  # a lease that isn't renewed for so long expires
RENEWALS = 3  # in that time


class Demand(NamedTuple):
    """State of one capped account when its lease is to be renewed."""

    period: Period
    limit: Decimal
    total: Decimal


class Leases:
    """The leases of one run. It blocks: call it in a worker thread, one call at a time."""

    def __init__(self, ledger: Ledger, prices: Prices | None, run: str) -> None:
        self._ledger, self._prices, self._run = ledger, prices, run
        self._recorded: dict[Period, RecordedSpending] = {}
        self._identity: tuple[int, int] | None = None

    def renew(
        self, demands: Sequence[Demand], waiting: Sequence[Decimal], most: Decimal, now: float
    ) -> list[tuple[Decimal, OtherRuns]]:
        """Renew the leases; return what each authorizes, and the money of other runs.

        All are extended by the same amount for the requests that wait, by ``most`` at the most.
        """
        try:
            with closing(self._ledger.open()) as file, file.transaction() as connection:
                if file.identity != self._identity:  # the first time, or the file was replaced
                    self._recorded, self._identity = {}, file.identity
                others = [self._others(connection, demand.period, now) for demand in demands]
                free = [demand.limit - other.committed - demand.total for demand, other in zip(demands, others, strict=True)]
                more = extension(min(most, *free), waiting)
                for demand in demands:
                    authorized, expires = demand.total + more, now + LEASE_SECONDS
                    write_lease(connection, self._run, demand.period, authorized, now=now, expires=expires)
        except (sqlite3.Error, OSError, InvalidOperation) as error:
            self._recorded = {}  # an update may have ended half-way
            raise ConfigError(
                f"{self._ledger.path} can't be written ({error}), and a budget of a day or a month needs it"
            ) from None
        return [(demand.total + more, other) for demand, other in zip(demands, others, strict=True)]

    def _others(self, connection: sqlite3.Connection, period: Period, now: float) -> OtherRuns:
        recorded = self._recorded.setdefault(period, RecordedSpending(period, self._cost))
        recorded.update(connection)
        return other_runs(self._run, recorded.known, recorded.unknown, live_leases(connection, period, now))

    def _cost(self, model: str, when: float, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
        return self._prices.cost(model, Usage(prompt_tokens, completion_tokens), when) if self._prices else None
