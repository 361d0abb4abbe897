"""How much a run, a day and a month may cost, and what is spent and held of it. Pure: money goes in, decisions come out.

Before a request goes out the most that it can cost is held. When its answer comes, what it did cost is spent and the
rest is free again. What is spent and held together never passes a cap, so the bill doesn't either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ..errors import BudgetExceeded, ConfigError, did_you_mean, quoted
from ..prices import Prices
from ..wire import Request, load

TEMPLATE_TOKENS = 64  # what a model's chat template may add to a request, beside the JSON that is counted with its texts
PERIODS = ("day", "month")
_ODD = re.compile(rb'"content":\[|"(?!(?:role|content|name)":)[^"\\]*":')  # in a text the quotes are escaped
_TEXTS = {
    "role", "content", "name", "prefix", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning", "reasoning_content"
}  # fmt: skip
_PART = {"type", "text", "cache_control"}
_MULTIPLIES = ("best_of", "models", "fallbacks", "plugins", "web_search_options", "audio")  # in extra_body


@dataclass(frozen=True)
class Budget:
    """The most that may be spent, in the currency of the prices.

    Parameters
    ----------
    run, day, month : Decimal, optional
        For each run, and for all runs of a ledger in a calendar day or month.
    timezone : str
        Where a day begins.
    """

    run: Decimal | None = None
    day: Decimal | None = None
    month: Decimal | None = None
    timezone: str = "UTC"

    @classmethod
    def of(cls, given: object) -> Budget:
        """Return the budget that a mapping means.

        Raises
        ------
        ConfigError
            If a word is unknown, an amount is no positive number, or the time zone is unknown.

        Examples
        --------
        >>> Budget.of({"day": 20, "timezone": "Europe/Berlin"})
        Budget(run=None, day=Decimal('20'), month=None, timezone='Europe/Berlin')
        """
        if given is None or isinstance(given, Budget):
            return given or cls()
        if not isinstance(given, Mapping):
            raise ConfigError(f'budget must be a dict such as {{"run": 25, "day": 20, "month": 200}}, got {quoted(given)}')
        for name in given:
            if name not in cls.__dataclass_fields__:
                raise ConfigError(f"budget has {quoted(name)}; {did_you_mean(name, cls.__dataclass_fields__)}")
        amounts = {name: amount(f"budget[{name!r}]", value) for name, value in given.items() if name != "timezone"}
        return cls(**amounts, timezone=_zone(given.get("timezone", "UTC")))

    def with_run(self, most: Decimal | None) -> Budget:
        """Return the budget of one run that may cost no more than ``most``."""
        least = min((cap for cap in (self.run, most) if cap is not None), default=None)
        return Budget(least, self.day, self.month, self.timezone)

    def __bool__(self) -> bool:
        return not self.run is self.day is self.month is None


def amount(name: str, value: object) -> Decimal | None:
    """Return an amount of money; None for None.

    Raises
    ------
    ConfigError
        If it is no number above 0.

    Examples
    --------
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


def period(name: str, now: float, timezone: str) -> tuple[float, float]:
    """Return when the calendar day or month of a time began and when it ends, in POSIX seconds.

    Examples
    --------
    >>> period("day", 1.7e9, "UTC")
    (1699920000.0, 1700006400.0)
    """
    zone = ZoneInfo(timezone)
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today.replace(day=1) if name == "month" else today
    after = start + timedelta(days=32 if name == "month" else 1)  # by the clock on the wall: a day can have 23 hours
    end = after.replace(day=1) if name == "month" else after
    return start.timestamp(), end.timestamp()


class Before(NamedTuple):
    """What a ledger says was spent before: what is known, and the most that lines of unknown cost can come to."""

    known: Decimal = Decimal(0)
    unsure: Decimal = Decimal(0)


class Pot:
    """Money of a run, or of all runs of a ledger in a day or month: spent before, spent by this process, and held."""

    def __init__(self, name: str, *, begins: float = float("-inf"), ends: float = float("inf")) -> None:
        self.name, self.begins, self.ends = name, begins, ends
        self.own = self.held = self.unseen = Decimal(0)
        self.before = Before()
        self.runs: set[str] = set()
        self.heirs: list[Pot] = []

    @property
    def spent(self) -> Decimal:
        """What is spent, together with what requests of unknown outcome may have cost."""
        return self.before.known + self.own + self.unsure

    @property
    def unsure(self) -> Decimal:
        """What requests of unknown outcome may have cost."""
        return self.before.unsure + self.unseen

    def bequeath(self, heir: Pot) -> None:
        """Hand over to the pot of the next day or month: what is held may still be spent in it."""
        if heir not in self.heirs:
            self.heirs.append(heir)
            heir.held += self.held
            heir.runs |= self.runs

    def line(self) -> Iterator[Pot]:
        """Yield it and its heirs."""
        yield self
        for heir in self.heirs:
            yield from heir.line()


class Cap(NamedTuple):
    """The most that a pot may come to."""

    pot: Pot
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
class Hold:
    """Money that is held for one request until its outcome is known."""

    worst: Decimal
    pots: Sequence[Pot]
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

    def _pots(self) -> Iterator[Pot]:
        return chain.from_iterable(pot.line() for pot in self.pots)


def hold(caps: Sequence[Cap], worst: Decimal) -> Hold | None:
    """Hold the most that a request can cost; None where it doesn't fit under every cap."""
    if any(worst > cap.left for cap in caps):
        return None
    pots = [cap.pot for cap in caps]
    for pot in pots:
        pot.held += worst
    return Hold(worst, pots)


def worst_case(prices: Prices | None, request: Request) -> Decimal | None:
    """Return the most that a request can cost; None without a price or a bound of its answer.

    A token of a byte-level tokenizer is at least one byte, so the bytes of the body bound the tokens of its texts; its
    JSON and ``TEMPLATE_TOKENS`` stand for what the model's template adds. Every answer is taken to be ``max_tokens`` long.
    """
    most = longest(request)
    if most is None or prices is None:
        return None
    size = len(request.head) + len(request.messages) + TEMPLATE_TOKENS
    return prices.worst(request.model, size, most)


def longest(request: Request) -> int | None:
    """Return the most tokens that an answer can have; None where nothing bounds it.

    Examples
    --------
    >>> longest(Request(b"", b'{"model":"m","max_completion_tokens":200,"messages":', b"[]", "m"))
    200
    """
    named = _named(request.head)
    return max(named or 0, request.max_tokens or 0) or None


def check_bounded(prices: Prices | None, requests: Iterable[Request]) -> None:
    """Refuse a run whose cost has no bound, before anything is sent.

    Raises
    ------
    ConfigError
        With what is missing: a price, ``max_tokens``, or a way to count an image's tokens; or with what multiplies the cost.
    """
    limitless, models = False, dict[str, None]()
    for request in requests:
        limitless = limitless or longest(request) is None
        models[request.model] = None
        if _ODD.search(request.messages) and not _only_text(load(request.body)["messages"]):
            raise ConfigError(
                "a budget can't hold where a message has an image, a sound, a file or anything but text: nothing bounds its tokens"
            )
        given = _parameters(request.head)
        if many := next((name for name in _MULTIPLIES if given.get(name) not in _NOTHING), None):
            raise ConfigError(
                f"a budget can't hold with {many!r} in extra_body=: a request may then cost more than one answer of its model"
            )
    unpriced = [model for model in models if prices is None or prices.worst(model, 1, 1) is None]
    missing = ["max_tokens=, which bounds every answer"] * limitless
    missing += [f"a price of {', '.join(map(repr, unpriced[:5]))} in the client's prices="] * bool(unpriced)
    if missing:
        raise ConfigError(f"max_cost= and budget= need {' and '.join(missing)}: without it nothing bounds what a request costs")


def exceeded(cap: Cap, worst: Decimal) -> BudgetExceeded:
    """Return the end of a run whose next request doesn't fit."""
    pot, unseen = cap.pot, ""
    if pot.unsure:
        unseen = f" ({plain(pot.unsure)} of it held for requests that may be billed)"
    return BudgetExceeded(
        f"{cap.words} is used up: {plain(pot.spent)} spent{unseen}, and the next request may cost {plain(worst)}"
    )


def plain(money: Decimal) -> str:
    """Return an amount with at least three digits that say something.

    Examples
    --------
    >>> plain(Decimal("12.3456")), plain(Decimal("0.000456789"))
    ('12.35', '0.000457')
    """
    return f"{money.quantize(Decimal(1).scaleb(min(-2, money.adjusted() - 2))):,f}" if money else "0"


_NOTHING: tuple[Any, ...] = (None, 1, False, [], {})  # best_of=1 is one answer


def _only_text(messages: list[dict[str, Any]]) -> bool:
    """Return whether the bytes of messages bound their tokens: whatever isn't known to be text may stand for more."""
    return all(message.keys() <= _TEXTS and all(map(_is_text, _parts(message.get("content")))) for message in messages)


def _parts(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else []


def _is_text(part: dict[str, Any]) -> bool:
    return part.get("type") == "text" and part.keys() <= _PART and isinstance(part.get("text"), str)


@lru_cache(maxsize=256)
def _parameters(head: bytes) -> dict[str, Any]:
    """Return the parameters that a request's first bytes hold; its messages come last."""
    found: dict[str, Any] = load(head[: head.rfind(b'"messages":')].rstrip(b",") + b"}") if head else {}
    return found


def _named(head: bytes) -> int | None:
    """Return the bound that ``extra_body`` may give in place of ``max_tokens``, as newer models want it."""
    found = _parameters(head).get("max_completion_tokens")
    return found if type(found) is int and found > 0 else None


def _zone(name: Any) -> str:
    try:
        return ZoneInfo(name).key
    except (TypeError, ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(
            f"budget['timezone'] must be a time zone such as 'UTC' or 'Europe/Berlin', got {quoted(name)}"
        ) from None
