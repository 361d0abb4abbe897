"""Money accounts with reservations. Pure.

Before a request is sent, the most it can cost is reserved. When its response arrives, its cost is spent and the rest of
the reservation is free again. Spent and reserved money together never pass what is authorized, so the bill doesn't either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from ...errors import BudgetExceeded
from ...text import money

FOREVER = float("inf")
_ZERO = Decimal(0)
CHUNK = 8  # a lease is extended by an eighth of the free money: few transactions, and enough left for other runs


class OtherRuns(NamedTuple):
    """Money of all other runs in a period.

    ``known`` and ``unknown`` are on record: costs, and upper bounds of unknown ones. ``committed`` also has what their
    leases authorize beyond that.
    """

    known: Decimal = Decimal(0)
    unknown: Decimal = Decimal(0)
    committed: Decimal = Decimal(0)


def other_runs(
    run: str, known: Mapping[str, Decimal], unknown: Mapping[str, Decimal], leases: Mapping[str, Decimal]
) -> OtherRuns:
    """Return the money of all runs but one, given each run's recorded spending and live lease.

    >>> other_runs("a", {"a": Decimal(7), "b": Decimal(2)}, {"c": Decimal(1)}, {"a": Decimal(9), "b": Decimal(5)})
    OtherRuns(known=Decimal('2'), unknown=Decimal('1'), committed=Decimal('6'))
    """
    runs = (known.keys() | unknown.keys() | leases.keys()) - {run}
    spent = [(known.get(one, _ZERO), unknown.get(one, _ZERO), leases.get(one, _ZERO)) for one in runs]
    committed = sum((max(cost + bound, lease) for cost, bound, lease in spent), _ZERO)
    return OtherRuns(sum((cost for cost, _, _ in spent), _ZERO), sum((bound for _, bound, _ in spent), _ZERO), committed)


def extension(free: Decimal, waiting: Sequence[Decimal]) -> Decimal:
    """Return how much of the free money a lease takes: what its requests wait for, and a part of the rest.

    Nothing where nothing waits or fits: other runs may then use what this run does not.

    >>> extension(Decimal(100), [Decimal(10), Decimal(10)]), extension(Decimal(15), [Decimal(20), Decimal(10)])
    (Decimal('30'), Decimal('15'))
    >>> extension(Decimal(5), [Decimal(10)])
    Decimal('0')
    """
    if not waiting or min(waiting) > free:
        return Decimal(0)
    wanted = min(sum(waiting, Decimal(0)), free)
    return wanted + (free - wanted) / CHUNK


class Account:
    """Money of one run, of all that it spends or of what it spends in one day or month.

    ``settled`` and ``unsettled`` are spent at known and at unknown cost. ``authorized`` bounds spent and reserved money
    until ``expires``; in a day or month it is the lease's.
    """

    def __init__(self, name: str, authorized: Decimal = Decimal(0), ends: float = FOREVER) -> None:
        self.name, self.authorized, self.expires = name, authorized, FOREVER
        self.begins, self.ends = -FOREVER, ends
        self.settled = self.unsettled = self.reserved = Decimal(0)
        self.others = OtherRuns()

    @property
    def total(self) -> Decimal:
        """Money that this run has spent or reserved."""
        return self.settled + self.unsettled + self.reserved

    @property
    def spent(self) -> Decimal:
        """Money spent by all runs, requests of unknown cost at their upper bound included."""
        return self.settled + self.others.known + self.unknown

    @property
    def unknown(self) -> Decimal:
        """Upper bound of what requests of unknown cost have cost."""
        return self.unsettled + self.others.unknown

    def begin(self, begins: float, ends: float) -> None:
        """Begin the next day or month, in which open reservations may still be spent."""
        self.begins, self.ends = begins, ends
        self.settled = self.unsettled = self.authorized = Decimal(0)
        self.others = OtherRuns()


class Cap(NamedTuple):
    """Upper limit of an account; ``label`` and ``currency`` are for messages."""

    account: Account
    limit: Decimal
    label: str
    currency: str | None = None

    def can_never_fit(self, amount: Decimal) -> bool:
        """Return whether an amount doesn't fit, even if all that is reserved or leased is given back."""
        return amount > self.limit - self.account.spent


@dataclass(slots=True)
class Reservation:
    """Money reserved for one request until its cost is known."""

    amount: Decimal
    accounts: Sequence[Account]
    closed: bool = False

    def settle(self, cost: Decimal | None) -> None:
        """Replace the reservation by the cost; if that is unknown (None), the reserved amount counts as spent."""
        if not self.closed:
            self.closed = True
            for account in self.accounts:
                account.reserved -= self.amount
                account.settled += cost or 0
                account.unsettled += self.amount if cost is None else 0


def reserve(accounts: Sequence[Account], amount: Decimal, now: float) -> Reservation | None:
    """Reserve an amount in every account; return None if one of them has not so much left, or its lease has expired."""
    if any(now >= account.expires or amount > account.authorized - account.total for account in accounts):
        return None
    for account in accounts:
        account.reserved += amount
    return Reservation(amount, accounts)


def budget_exceeded(cap: Cap, amount: Decimal) -> BudgetExceeded:
    """Return the error for a request that doesn't fit under a cap."""
    account, unknown = cap.account, ""
    shown = partial(money, digits=3, currency=cap.currency)
    if account.unknown:
        unknown = f" ({shown(account.unknown)} of it held for requests that may be billed)"
    return BudgetExceeded(
        f"{cap.label} is used up: {shown(account.spent)} spent{unknown}, and the next request may cost {shown(amount)}"
    )
