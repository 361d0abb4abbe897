"""Budget admission: a request waits on the event loop until its worst-case cost fits under every cap."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from ...api import Request, Usage
from ...errors import BudgetExceeded, ConfigError
from ...pricing.prices import Prices
from ...text import money
from ..ledger.ledger import Ledger
from ..ledger.queries import LedgerScope, spent
from .accounts import Account, Cap, Reservation, SpentBefore, budget_exceeded, reserve
from .budget import PERIODS, Budget, period
from .worst_case import check_bounded, worst_case


@dataclass
class SharedBudgets:
    """Accounts of days and months that all runs of this process share, and the requests that wait for money."""

    clock: Callable[[], float] = time.time
    accounts: dict[tuple[LedgerScope, float, float], Account] = field(default_factory=dict)
    waiting: deque[tuple[asyncio.Future[Reservation], BudgetAdmission, Decimal]] = field(default_factory=deque)
    read_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def admission(self, budget: Budget, ledger: Ledger, prices: Prices | None, run: str) -> BudgetAdmission | None:
        """Return the admission control of a run, with earlier spending read from the ledger; None without a budget.

        Raises
        ------
        ConfigError
            If the ledger can't be read or written.
        """
        if not budget:
            return None
        caps = (
            [] if budget.run is None else [Cap(Account("run"), budget.run, f"the budget of {money(budget.run, 3)} for this run")]
        )
        scope = LedgerScope(ledger.path.resolve(), prices.currency if prices else None)  # links to one file share its accounts
        for name in PERIODS:
            if (limit := getattr(budget, name)) is not None:
                account = await self._read_account(name, budget.timezone, scope, prices, run)
                caps.append(Cap(account, limit, f"the budget of {money(limit, 3)} a {name} ({budget.timezone})"))
        return BudgetAdmission(caps, prices, self, scope, budget.timezone)

    def account(self, name: str, timezone: str, scope: LedgerScope) -> Account:
        """Return the account of the current day or month; time zones in which it is the same period share it."""
        begins, ends = period(name, self.clock(), timezone)
        return self.accounts.setdefault((scope, begins, ends), Account(name, begins=begins, ends=ends))

    def admit_waiting(self) -> None:
        """Admit each waiting request that fits now, in order of arrival; reject those that can never fit."""
        for _ in range(len(self.waiting)):
            future, admission, amount = self.waiting.popleft()
            if not future.done() and not admission.try_admit(future, amount):
                self.waiting.append((future, admission, amount))

    async def _read_account(self, name: str, timezone: str, scope: LedgerScope, prices: Prices | None, run: str) -> Account:
        """Return an account with earlier spending read from the ledger.

        Reads are serialised, and a run spends only after its own: otherwise a slow read would find in the ledger what
        another run of this process has spent meanwhile, and count it twice.
        """
        async with self.read_lock:
            account = self.account(name, timezone, scope)
            account.runs.add(run)  # before the read, which leaves these runs out: their spending is counted as it happens
            await asyncio.to_thread(_check_writable, scope)
            account.before = await asyncio.to_thread(_spent_before, scope, prices, account.begins, frozenset(account.runs))
        return account


class BudgetAdmission:
    """Admission control of one run or conversation, under all of its caps.

    Parameters
    ----------
    caps : list of Cap
        The run's own cap, and those it shares with other runs.
    prices : Prices or None
        Prices for the worst-case cost.
    shared : SharedBudgets
        Shared accounts and the waiting queue.
    scope : LedgerScope
        Ledger and currency of the shared accounts.
    timezone : str
        Time zone of days and months.
    """

    def __init__(
        self, caps: list[Cap], prices: Prices | None, shared: SharedBudgets, scope: LedgerScope, timezone: str = "UTC"
    ) -> None:
        self.caps, self._scope, self._timezone, self._prices, self._shared = caps, scope, timezone, prices, shared
        self._rejected: tuple[Cap, Decimal] | None = None

    @property
    def run_spent(self) -> Decimal:
        """Money spent under the run's own cap, unknown costs at their upper bound; 0 without such a cap."""
        return sum((cap.account.spent for cap in self.caps if cap.account.name == "run"), Decimal(0))

    def worst_case(self, request: Request) -> Decimal:
        """Return the most that a request can cost.

        Raises
        ------
        ConfigError
            If nothing bounds it.
        """
        amount = worst_case(self._prices, request)
        if amount is None:
            check_bounded(self._prices, [request])
        assert amount is not None
        return amount

    def is_exhausted(self, smallest: Decimal) -> bool:
        """Return whether not even the smallest request will ever fit again."""
        return any(cap.can_never_fit(smallest) for cap in self.caps)

    def rejection(self) -> BudgetExceeded | None:
        """Return the error of the last rejected request, with current spending; None if every request was admitted."""
        return budget_exceeded(*self._rejected) if self._rejected else None

    async def reserve(self, request: Request) -> Reservation:
        """Reserve the worst-case cost of a request as soon as it fits; end it with :meth:`settle` or :meth:`release`.

        Raises
        ------
        BudgetExceeded
            If it doesn't fit, and no open reservation can make room for it.
        ConfigError
            If nothing bounds the cost.
        """
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        amount = self.worst_case(request)
        if not self.try_admit(future, amount):
            self._shared.waiting.append((future, self, amount))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def try_admit(self, future: asyncio.Future[Reservation], amount: Decimal) -> bool:
        """Resolve the future with a reservation or a rejection; return False if the request has to wait."""
        self._roll_over_periods()
        reservation = reserve(self.caps, amount)
        full = next((cap for cap in self.caps if cap.can_never_fit(amount)), None) if reservation is None else None
        if reservation is not None:
            future.set_result(reservation)
        elif full is not None:
            self._rejected = full, amount
            future.set_exception(budget_exceeded(full, amount))
        return future.done()

    def settle(self, reservation: Reservation, cost: Decimal | None) -> None:
        """Replace a reservation by its cost; if that is unknown (None), the reserved amount counts as spent."""
        if not reservation.closed:
            self._roll_over_periods()
            reservation.settle(cost)
            self._shared.admit_waiting()

    def release(self, reservation: Reservation) -> None:
        """Free a reservation unless it is settled: its request was not billed."""
        if not reservation.closed:
            reservation.release()
            self._shared.admit_waiting()

    def _roll_over_periods(self) -> None:
        now = self._shared.clock()
        for at, cap in enumerate(self.caps):
            if now >= cap.account.ends:
                account = self._shared.account(cap.account.name, self._timezone, self._scope)
                cap.account.carry_over(account)
                self.caps[at] = cap._replace(account=account)


def _spent_before(scope: LedgerScope, prices: Prices | None, since: float, without_runs: frozenset[str]) -> SpentBefore:
    """Return the spending on record since a time; what was bought without prices is priced now, or counts as nothing."""
    recorded = spent(scope, since, without_runs)
    costs = (prices.cost(model, Usage(*usage), when) for model, when, *usage in recorded.unpriced) if prices else ()
    return SpentBefore(recorded.known + sum((cost for cost in costs if cost is not None), Decimal(0)), recorded.held)


def _check_writable(scope: LedgerScope) -> None:
    """Refuse a ledger that can't be written: the budgets of later runs would miss this run's spending.

    Raises
    ------
    ConfigError
        If the file is no ledger, or can't be written.
    """
    try:
        Ledger(scope.path).open().close()
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{scope.path} can't be written ({error}), and a budget of a day or a month needs it") from None
