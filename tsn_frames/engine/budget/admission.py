"""Budget admission: a request waits on the event loop until its worst-case cost fits under every cap."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial

from ...api import Request
from ...errors import RunError
from ...pricing.price_table import Prices
from ...text import money
from ..ledger.ledger import Ledger
from ..ledger.ledger_file import LeaseEnd
from ..ledger.recorded_spending import Period
from . import leases
from .leases import Demand, Leases
from .reservations import FOREVER, Account, Cap, OtherRuns, Reservation, budget_exceeded, reserve
from .spending_limits import PERIODS, Budget, calendar_period
from .worst_case import check_bounded, worst_case

RETURN_INTERVAL = 1.0  # seconds until unused money of a shared budget is returned: other runs may wait for just that
POLL_INTERVAL = 0.1  # seconds between two looks at money that other runs have leased


class BudgetAdmission:
    """Admission control of one run or conversation, under all of its caps."""

    def __init__(
        self, budget: Budget, ledger: Ledger, prices: Prices | None, run: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._prices, self._run, self._timezone, self._clock = prices, run, budget.timezone, clock
        self._currency = prices.currency if prices else None
        self._shared = budget.shared
        self._run_caps, self._period_caps, self._shared_caps = _caps(budget, self._currency)
        self._leased = [cap.account for cap in (*self._shared_caps, *self._period_caps)]
        self.caps = [*self._run_caps, *self._period_caps, *self._shared_caps]
        self._accounts = [cap.account for cap in self.caps]
        self._leases = Leases(ledger, prices, run)
        self._waiting: deque[tuple[asyncio.Future[Reservation], Decimal]] = deque()
        self._wake = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._rejected: tuple[Cap, Decimal] | None = None
        self._failure: str | None = None

    @property
    def run_spent(self) -> Decimal:
        """Money spent under the run's own cap, unknown costs at their upper bound; 0 without such a cap."""
        return sum((cap.account.spent for cap in self._run_caps), Decimal(0))

    async def open(self) -> None:
        """Lease money of days, months and a shared budget from here on, until :meth:`close`."""
        if self._leased:
            self._failure = None
            await self._renew()
            self._renewing = asyncio.create_task(self._keep_renewing())

    async def close(self) -> list[LeaseEnd]:
        """Stop renewing leases; return what ends them, to be written after the run's last attempt."""
        if self._renewing is None:
            return []
        renewing, self._renewing = self._renewing, None
        self._wake.set()
        await renewing  # a transaction that has begun would write a lease after its end
        for account in self._leased:
            account.expires = -FOREVER
        if self._shared is not None:
            with suppress(Exception):  # its lease counts as spent
                await asyncio.to_thread(self._shared.end, self._run, self._shared_caps[0].account.total)
        return [LeaseEnd(self._run)] if self._period_caps else []

    def is_exhausted(self, smallest: Decimal) -> bool:
        """Return whether not even the smallest request will ever fit again."""
        return any(cap.can_never_fit(smallest) for cap in self.caps)

    def rejection(self) -> RunError | None:
        """Return the error of the last rejected request, with current spending; None if every request was admitted."""
        if self._failure is not None:
            return RunError(self._failure)
        return budget_exceeded(*self._rejected) if self._rejected else None

    async def reserve(self, request: Request) -> Reservation:
        """Reserve the worst-case cost of a request as soon as it fits; end it with :meth:`settle` or :meth:`release`."""
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        amount = worst_case(self._prices, request)
        if amount is None:
            check_bounded(self._prices, [request])  # raises why
        assert amount is not None
        if not self._try_admit(future, amount):
            if not self._waiting:  # else an extension is due already
                self._wake.set()
            self._waiting.append((future, amount))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def settle(self, reservation: Reservation, cost: Decimal | None) -> None:
        """Replace a reservation by its cost; if that is unknown (None), the reserved amount counts as spent."""
        if not reservation.closed:
            self._begin_periods()
            reservation.settle(cost)
            self._admit_waiting()

    def release(self, reservation: Reservation) -> None:
        """Free a reservation unless it is settled: its request was not billed."""
        self.settle(reservation, Decimal(0))

    def _try_admit(self, future: asyncio.Future[Reservation], amount: Decimal) -> bool:
        """Resolve the future with a reservation or a rejection; return False if the request has to wait."""
        self._begin_periods()
        if self._failure is not None:
            future.set_exception(RunError(self._failure))
        elif (reservation := reserve(self._accounts, amount, self._clock())) is not None:
            future.set_result(reservation)
        elif (full := next((cap for cap in self.caps if cap.can_never_fit(amount)), None)) is not None:
            self._rejected = full, amount
            future.set_exception(budget_exceeded(full, amount))
        return future.done()

    def _admit_waiting(self) -> None:
        """Admit each waiting request that fits now, in order of arrival; reject those that can never fit."""
        self._waiting = deque(one for one in self._waiting if not (one[0].done() or self._try_admit(*one)))

    def _begin_periods(self) -> None:
        """Begin the day or month in which it is now, where the last one is over."""
        now = self._clock()
        for account in self._accounts:
            if now >= account.ends:
                account.begin(*calendar_period(account.name, now, self._timezone))

    async def _keep_renewing(self) -> None:
        """Renew the leases in time, extend them when a request waits, and give back what isn't in use.

        A ledger that can't be written until they expire ends the run.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._renewal_interval())
            self._wake.clear()
            if self._renewing is None:
                return
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - a request that waits would wait forever
                if self._clock() >= min(account.expires for account in self._leased):
                    self._failure = f"the budget can't be kept any longer: {error}"
            self._admit_waiting()

    def _renewal_interval(self) -> float:
        """Return the seconds until the next renewal; money of a shared budget that isn't in use goes back soon."""
        if self._waiting:
            return POLL_INTERVAL
        unused = any(cap.account.authorized > cap.account.total for cap in self._shared_caps)
        return RETURN_INTERVAL if unused else leases.LEASE_SECONDS / leases.RENEWALS

    async def _renew(self) -> None:
        self._begin_periods()
        now, begins = self._clock(), [account.begins for account in self._leased]
        most = min((cap.account.authorized - cap.account.total for cap in self._run_caps), default=Decimal("inf"))
        waiting = [amount for future, amount in self._waiting if not future.done()]
        periods = [Period(cap.account.name, cap.account.begins, cap.account.ends, self._currency) for cap in self._period_caps]
        demands = [Demand(at, cap.limit, cap.account.total) for at, cap in zip(periods, self._period_caps, strict=True)]
        for account in self._leased:  # until the transaction is over, only what is freed meanwhile may be reserved again
            account.authorized = min(account.authorized, account.total)
        renewed: list[tuple[Decimal, OtherRuns]] = []
        if self._shared is not None:
            account = self._shared_caps[0].account
            spent = account.settled + account.unsettled
            renewed.append(await asyncio.to_thread(self._shared.renew, self._run, spent, account.total, waiting))
        if demands:
            renewed += await asyncio.to_thread(self._leases.renew, demands, waiting, most, now)
        for account, begun, (authorized, others) in zip(self._leased, begins, renewed, strict=True):
            if account.begins == begun:  # else the period has ended meanwhile
                account.authorized, account.others, account.expires = authorized, others, now + leases.LEASE_SECONDS


def _caps(budget: Budget, currency: str | None) -> tuple[list[Cap], list[Cap], list[Cap]]:
    """Return the caps of the run, of its day and month, and of the shared budget."""
    shown, run, shared = partial(money, digits=3, currency=currency), budget.run, budget.shared
    limits = [(name, limit) for name in PERIODS if (limit := getattr(budget, name)) is not None]
    return (
        [] if run is None else [Cap(Account("run", run), run, f"the budget of {shown(run)} for this run", currency)],
        [
            Cap(Account(name, ends=-FOREVER), limit, f"the budget of {shown(limit)} a {name} ({budget.timezone})", currency)
            for name, limit in limits
        ],
        [] if shared is None else [Cap(Account(shared.label), shared.limit, shared.label, currency)],
    )
