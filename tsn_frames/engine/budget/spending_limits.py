"""Spending limits of runs, days and months. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from ...errors import ConfigError
from ...text import did_you_mean, quoted
from .reservations import OtherRuns

PERIODS = ("day", "month")
_NAMES = ("run", *PERIODS, "timezone")


class SharedBudget(Protocol):
    """A budget that the runs of several processes share, such as that of one graph. Its methods block."""

    @property
    def limit(self) -> Decimal:
        """The most that they may cost together."""

    @property
    def label(self) -> str:
        """What messages call it."""

    def renew(self, run: str, spent: Decimal, total: Decimal, waiting: Sequence[Decimal]) -> tuple[Decimal, OtherRuns]:
        """Return what a run may spend in all, and what the others have spent and may spend."""

    def end(self, run: str, spent: Decimal) -> None:
        """Give back what a run has not spent."""


@dataclass(frozen=True)
class Budget:
    """Limits of spending, in the currency of the prices."""

    run: Decimal | None = None  # limit of each run
    day: Decimal | None = None  # limit of all runs of a ledger in a calendar day
    month: Decimal | None = None  # limit of all runs of a ledger in a calendar month
    timezone: str = "UTC"  # time zone of days and months
    shared: SharedBudget | None = field(default=None, repr=False)  # limit of all runs of which this is one

    @classmethod
    def of(cls, given: object) -> Budget:
        """Return the budget given by a mapping.

        >>> Budget.of({"day": 20, "timezone": "Europe/Berlin"})
        Budget(run=None, day=Decimal('20'), month=None, timezone='Europe/Berlin')
        """
        if given is None or isinstance(given, Budget):
            return given or cls()
        if not isinstance(given, Mapping):
            raise ConfigError(f'budget must be a dict such as {{"run": 25, "day": 20, "month": 200}}, got {quoted(given)}')
        for name in given:
            if name not in _NAMES:
                raise ConfigError(f"budget has {quoted(name)}; {did_you_mean(name, _NAMES)}")
        amounts = {name: amount(f"budget[{name!r}]", value) for name, value in given.items() if name != "timezone"}
        return cls(amounts.get("run"), amounts.get("day"), amounts.get("month"), _zone(given.get("timezone", "UTC")))

    def with_run(self, most: Decimal | None) -> Budget:
        """Return the budget with the limit of a run lowered to ``most``."""
        least = min((cap for cap in (self.run, most) if cap is not None), default=None)
        return replace(self, run=least)

    def __bool__(self) -> bool:
        return not (self.run is self.day is self.month is None and self.shared is None)


def amount(name: str, value: object) -> Decimal | None:
    """Return an amount of money as a Decimal; None for None.

    >>> amount("max_cost", 2.5)
    Decimal('2.5')
    """
    if value is None:
        return None
    try:
        money = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        money = Decimal("NaN")
    if not money.is_finite() or not 0 < money < 10**15:
        raise ConfigError(f"{name} must be an amount of money above 0, in the currency of the prices, got {quoted(value)}")
    return money


def calendar_period(name: str, now: float, timezone: str) -> tuple[float, float]:
    """Return start and end of the calendar day or month that holds a time, in POSIX seconds.

    >>> calendar_period("day", 1.7e9, "UTC")
    (1699920000.0, 1700006400.0)
    """
    zone = ZoneInfo(timezone)
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)  # of two the first
    start = today.replace(day=1) if name == "month" else today
    after = start + timedelta(days=32 if name == "month" else 1)  # wall-clock arithmetic: a day can have 23 hours
    end = after.replace(day=1) if name == "month" else after
    return start.timestamp(), end.timestamp()


def _zone(name: Any) -> str:
    try:
        return ZoneInfo(name).key
    except (TypeError, ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(
            f"budget['timezone'] must be a time zone such as 'UTC' or 'Europe/Berlin', got {quoted(name)}"
        ) from None
