"""Money accounts with reservations. Pure.

Before a request is sent, the most it can cost is reserved. When its response arrives, its cost is spent and the rest of
the reservation is free again. Spent and reserved money together never pass a cap, so the bill doesn't either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from ...errors import BudgetExceeded
from ...text import money


class SpentBefore(NamedTuple):
    """Spending that the ledger has on record: known costs, and the upper bound of unknown ones."""

    known: Decimal = Decimal(0)
    unknown: Decimal = Decimal(0)


class Account:
    """Money of one run, or of all runs of a ledger in a day or month.

    ``settled`` and ``unsettled`` are spent by this process (at known and at unknown cost), ``before`` by others.
    """

    def __init__(self, name: str, *, begins: float = float("-inf"), ends: float = float("inf")) -> None:
        self.name, self.begins, self.ends = name, begins, ends
        self.settled = self.unsettled = self.reserved = Decimal(0)
        self.before = SpentBefore()
        self.runs: set[str] = set()
        self.successors: list[Account] = []

    @property
    def spent(self) -> Decimal:
        """Money spent, requests of unknown cost at their upper bound included."""
        return self.before.known + self.settled + self.unknown

    @property
    def unknown(self) -> Decimal:
        """Upper bound of what requests of unknown cost have cost."""
        return self.before.unknown + self.unsettled

    def carry_over(self, successor: Account) -> None:
        """Carry reservations over to the next day or month, in which they may still be spent."""
        if successor not in self.successors:
            self.successors.append(successor)
            successor.reserved += self.reserved
            successor.runs |= self.runs

    def with_successors(self) -> Iterator[Account]:
        """Yield the account and all of its successors."""
        yield self
        for successor in self.successors:
            yield from successor.with_successors()


class Cap(NamedTuple):
    """Upper limit of an account; ``label`` names it in messages."""

    account: Account
    limit: Decimal
    label: str

    @property
    def remaining(self) -> Decimal:
        """Money neither spent nor reserved."""
        return self.limit - self.account.spent - self.account.reserved

    def can_never_fit(self, amount: Decimal) -> bool:
        """Return whether an amount doesn't fit and no reservation is left that could make room for it."""
        return amount > self.remaining and not self.account.reserved


@dataclass(slots=True)
class Reservation:
    """Money reserved for one request until its cost is known."""

    amount: Decimal
    accounts: Sequence[Account]
    closed: bool = False

    def settle(self, cost: Decimal | None) -> None:
        """Replace the reservation by the cost; if that is unknown (None), the reserved amount counts as spent."""
        if not self.closed:
            self.release()
            for account in self._all_accounts():
                account.settled += cost or 0
                account.unsettled += self.amount if cost is None else 0

    def release(self) -> None:
        """Free the reservation: the request was not sent, or not billed."""
        if not self.closed:
            self.closed = True
            for account in self._all_accounts():
                account.reserved -= self.amount

    def _all_accounts(self) -> Iterator[Account]:
        return chain.from_iterable(account.with_successors() for account in self.accounts)


def reserve(caps: Sequence[Cap], amount: Decimal) -> Reservation | None:
    """Reserve an amount under every cap; return None if it doesn't fit under one of them."""
    if any(amount > cap.remaining for cap in caps):
        return None
    accounts = [cap.account for cap in caps]
    for account in accounts:
        account.reserved += amount
    return Reservation(amount, accounts)


def budget_exceeded(cap: Cap, amount: Decimal) -> BudgetExceeded:
    """Return the error for a request that doesn't fit under a cap."""
    account, unknown = cap.account, ""
    if account.unknown:
        unknown = f" ({money(account.unknown, 3)} of it held for requests that may be billed)"
    return BudgetExceeded(
        f"{cap.label} is used up: {money(account.spent, 3)} spent{unknown}, and the next request may cost {money(amount, 3)}"
    )
