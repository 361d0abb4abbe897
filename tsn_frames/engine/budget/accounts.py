"""What is spent and held of a budget. Pure: money goes in, decisions come out.

Before a request goes out the most that it can cost is held. When its answer comes, what it did cost is spent and the
rest is free again. What is spent and held together never passes a cap, so the bill doesn't either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from ...errors import BudgetExceeded
from .budget import plain


class SpentBefore(NamedTuple):
    """What a ledger says was spent before: what is known, and the most that lines of unknown cost can come to."""

    known: Decimal = Decimal(0)
    unsure: Decimal = Decimal(0)


class Account:
    """Money of a run, or of all runs of a ledger in a day or month: spent before, spent by this process, and held."""

    def __init__(self, name: str, *, begins: float = float("-inf"), ends: float = float("inf")) -> None:
        self.name, self.begins, self.ends = name, begins, ends
        self.own = self.held = self.unseen = Decimal(0)
        self.before = SpentBefore()
        self.runs: set[str] = set()
        self.heirs: list[Account] = []

    @property
    def spent(self) -> Decimal:
        """What is spent, together with what requests of unknown outcome may have cost."""
        return self.before.known + self.own + self.unsure

    @property
    def unsure(self) -> Decimal:
        """What requests of unknown outcome may have cost."""
        return self.before.unsure + self.unseen

    def bequeath(self, heir: Account) -> None:
        """Hand over to the pot of the next day or month: what is held may still be spent in it."""
        if heir not in self.heirs:
            self.heirs.append(heir)
            heir.held += self.held
            heir.runs |= self.runs

    def line(self) -> Iterator[Account]:
        """Yield it and its heirs."""
        yield self
        for heir in self.heirs:
            yield from heir.line()


class Cap(NamedTuple):
    """The most that a pot may come to."""

    pot: Account
    most: Decimal
    words: str

    @property
    def left(self) -> Decimal:
        """What is neither spent nor held."""
        return self.most - self.pot.spent - self.pot.held

    def hopeless(self, worst: Decimal) -> bool:
        """Return whether a request doesn't fit, and nothing that is under way can make room for it."""
        return worst > self.left and not self.pot.held


@dataclass(slots=True)
class Reservation:
    """Money that is held for one request until its outcome is known."""

    worst: Decimal
    pots: Sequence[Account]
    over: bool = False

    def settle(self, cost: Decimal | None) -> None:
        """Spend what a request did cost; None where nobody knows, and what was held counts as spent."""
        if not self.over:
            self.release()
            for pot in self._pots():
                pot.own += cost or 0
                pot.unseen += self.worst if cost is None else 0

    def release(self) -> None:
        """Free what is held: the request was not billed, or never went out."""
        if not self.over:
            self.over = True
            for pot in self._pots():
                pot.held -= self.worst

    def _pots(self) -> Iterator[Account]:
        return chain.from_iterable(pot.line() for pot in self.pots)


def reserve(caps: Sequence[Cap], worst: Decimal) -> Reservation | None:
    """Hold the most that a request can cost; None where it doesn't fit under every cap."""
    if any(worst > cap.left for cap in caps):
        return None
    pots = [cap.pot for cap in caps]
    for pot in pots:
        pot.held += worst
    return Reservation(worst, pots)


def exceeded(cap: Cap, worst: Decimal) -> BudgetExceeded:
    """Return the end of a run whose next request doesn't fit."""
    pot, unseen = cap.pot, ""
    if pot.unsure:
        unseen = f" ({plain(pot.unsure)} of it held for requests that may be billed)"
    return BudgetExceeded(
        f"{cap.words} is used up: {plain(pot.spent)} spent{unseen}, and the next request may cost {plain(worst)}"
    )
