"""Who waits for money: a request that doesn't fit into the budget waits until others have settled, on the engine's loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from ...api import Request, Usage
from ...errors import BudgetExceeded, ConfigError
from ...pricing.prices import Prices
from ..ledger.file import schema
from ..ledger.ledger import Ledger
from ..storage.sqlite import read_only
from .accounts import Account, Cap, Reservation, SpentBefore, exceeded, reserve
from .budget import PERIODS, Budget, period, plain
from .worst_case import check_bounded, worst_case


class LedgerScope(NamedTuple):
    """Where spending is on record: a ledger, and the currency that a budget is in."""

    ledger: Ledger
    currency: str | None


@dataclass
class SharedBudgets:
    """What all runs of this process share: the pots of days and months, by ledger, and who waits for money."""

    clock: Callable[[], float] = time.time
    pots: dict[tuple[LedgerScope, float, float], Account] = field(default_factory=dict)
    waiting: deque[tuple[asyncio.Future[Reservation], BudgetAdmission, Decimal]] = field(default_factory=deque)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def purse(self, budget: Budget, ledger: Ledger, prices: Prices | None, run: str) -> BudgetAdmission | None:
        """Return the purse of a run, with what the ledger says was spent in this day and month; None without a budget.

        Raises
        ------
        ConfigError
            If the ledger can't be read or written.
        """
        if not budget:
            return None
        caps = [] if budget.run is None else [Cap(Account("run"), budget.run, f"the budget of {plain(budget.run)} for this run")]
        place = LedgerScope(Ledger(ledger.path.resolve()), prices.currency if prices else None)  # by whatever path it is opened
        for name in PERIODS:
            if (most := getattr(budget, name)) is not None:
                pot = await self._read(name, budget.timezone, place, prices, run)
                caps.append(Cap(pot, most, f"the budget of {plain(most)} a {name} ({budget.timezone})"))
        return BudgetAdmission(caps, prices, self, place, budget.timezone)

    def pot(self, name: str, timezone: str, place: LedgerScope) -> Account:
        """Return the pot of this day or month: time zones with the same day share it."""
        begins, ends = period(name, self.clock(), timezone)
        return self.pots.setdefault((place, begins, ends), Account(name, begins=begins, ends=ends))

    def pump(self) -> None:
        """Let through whoever fits now, first come first, and tell those for whom there is no hope."""
        for _ in range(len(self.waiting)):
            future, purse, worst = self.waiting.popleft()
            if not future.done() and not purse.answer(future, worst):
                self.waiting.append((future, purse, worst))

    async def _read(self, name: str, timezone: str, place: LedgerScope, prices: Prices | None, run: str) -> Account:
        """Return a pot with what the ledger says; one reads after the other, and a run spends only when it has read.

        Else a slow reader would see what another run of this process has spent meanwhile, and count it twice.
        """
        async with self.reading:
            pot = self.pot(name, timezone, place)
            pot.runs.add(run)  # before the ledger is read: what this process spends is counted as it happens
            await asyncio.to_thread(_check_open, place.ledger)
            pot.before = await asyncio.to_thread(spent, place, prices, pot.begins, frozenset(pot.runs))
        return pot


class BudgetAdmission:
    """The money of one run or conversation, under all of its caps.

    Parameters
    ----------
    caps : list of Cap
        Its own, and those that it shares with other runs.
    prices : Prices or None
        What requests can cost.
    treasury : Treasury
        Who waits.
    place : Place
        Where spending is on record.
    timezone : str
        Where a day begins.
    """

    def __init__(
        self, caps: list[Cap], prices: Prices | None, treasury: SharedBudgets, place: LedgerScope, timezone: str = "UTC"
    ) -> None:
        self.caps, self._place, self._timezone, self._prices, self._treasury = caps, place, timezone, prices, treasury
        self._refused: tuple[Cap, Decimal] | None = None

    def worst(self, request: Request) -> Decimal:
        """Return the most that a request can cost.

        Raises
        ------
        ConfigError
            If nothing bounds it.
        """
        worst = worst_case(self._prices, request)
        if worst is None:
            check_bounded(self._prices, [request])
        assert worst is not None
        return worst

    def is_empty(self, least: Decimal) -> bool:
        """Return whether not even a request of at most ``least`` will ever fit again."""
        return any(cap.hopeless(least) for cap in self.caps)

    def end(self) -> BudgetExceeded | None:
        """Return why there was no room for a request, with what is spent by now; None if there was room for all."""
        return exceeded(*self._refused) if self._refused else None

    async def hold(self, request: Request) -> Reservation:
        """Hold the most that a request can cost, as soon as that fits; end it with :meth:`settle` or :meth:`release`.

        Raises
        ------
        BudgetExceeded
            If it doesn't fit, and nothing that is in flight can make room for it.
        ConfigError
            If nothing bounds what it can cost.
        """
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        worst = self.worst(request)
        if not self.answer(future, worst):
            self._treasury.waiting.append((future, self, worst))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def answer(self, future: asyncio.Future[Reservation], worst: Decimal) -> bool:
        """Give a request its money, or tell it that there will be none; False: it has to wait."""
        self._turn_the_page()
        held = reserve(self.caps, worst)
        hopeless = next((cap for cap in self.caps if cap.hopeless(worst)), None) if held is None else None
        if held is not None:
            future.set_result(held)
        elif hopeless is not None:
            self._refused = hopeless, worst
            future.set_exception(exceeded(hopeless, worst))
        return future.done()

    def settle(self, held: Reservation, cost: Decimal | None) -> None:
        """Spend what a request did cost; None: nobody knows, and what was held counts as spent."""
        if not held.over:
            self._turn_the_page()
            held.settle(cost)
            self._treasury.pump()

    def release(self, held: Reservation) -> None:
        """Free what is held, if it is still held: the request was not billed."""
        if not held.over:
            held.release()
            self._treasury.pump()

    def _turn_the_page(self) -> None:
        now = self._treasury.clock()
        for at, cap in enumerate(self.caps):
            if now >= cap.pot.ends:
                pot = self._treasury.pot(cap.pot.name, self._timezone, self._place)
                cap.pot.bequeath(pot)
                self.caps[at] = cap._replace(pot=pot)


def spent(place: LedgerScope, prices: Prices | None, since: float, without: Collection[str]) -> SpentBefore:
    """Return what a ledger's lines since a time come to, without those of some runs.

    Lines in another currency don't count, those that name none do. A line of unknown cost counts as the most that it can
    have cost; one that was bought without prices at ``prices``. Where that is unknown too, it counts as nothing.

    Raises
    ------
    ConfigError
        If the file is no ledger, or can't be read: what was spent must be known where it is limited.
    """
    ledger, currency = place
    values = {"since": since, "unit": currency}
    try:
        if not (number := schema(ledger.path)):
            return SpentBefore()
        held = "held" if number > 2 else "NULL"  # older files have no such column
        unit = "coalesce(currency, :unit)" if currency is not None and number > 1 else ":unit"
        with closing(read_only(ledger.path)) as connection:
            known, unsure, tokens = (
                [line for line in connection.execute(query.format(held=held, unit=unit), values) if line[0] not in without]
                for query in (_KNOWN, _UNSURE, _TOKENS)
            )
        priced = [prices.cost(model, Usage(*usage), when) if prices else None for _, model, when, *usage in tokens]
        return SpentBefore(_sum(known) + sum((cost for cost in priced if cost is not None), Decimal(0)), _sum(unsure))
    except (sqlite3.Error, InvalidOperation) as error:
        raise ConfigError(f"{ledger.path} can't be read ({error}), so nobody knows what the budget has left") from None


def _check_open(ledger: Ledger) -> None:
    """Refuse a ledger that takes no lines: the budgets of later runs would know nothing of this one.

    Raises
    ------
    ConfigError
        If it is none, or can't be written.
    """
    try:
        ledger.open().close()
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{ledger.path} can't be written ({error}), and a budget of a day or a month needs it") from None


_SINCE = "FROM attempts WHERE time >= :since AND {unit} IS :unit"
_KNOWN = f"SELECT run, cost, COUNT(*) {_SINCE} AND cost IS NOT NULL GROUP BY run, cost"
_UNSURE = f"SELECT run, {{held}}, COUNT(*) {_SINCE} AND cost IS NULL AND {{held}} IS NOT NULL GROUP BY run, {{held}}"
_TOKENS = f"""SELECT run, model, MIN(time), SUM(prompt_tokens),
    SUM(max(completion_tokens, coalesce(total_tokens - prompt_tokens, 0))) {_SINCE}
    AND cost IS NULL AND {{held}} IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL
    GROUP BY run, model, date(time, 'unixepoch')"""  # a price is of a day


def _sum(lines: Iterable[tuple[str, str, int]]) -> Decimal:
    return sum((Decimal(amount) * number for _, amount, number in lines), Decimal(0))
