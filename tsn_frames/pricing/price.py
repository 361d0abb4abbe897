"""Price table: a price with its period, and validation of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from ..api import Usage
from ..errors import ConfigError
from ..text import did_you_mean, quoted

MILLION = Decimal(1_000_000)
MAX_PRICE = Decimal(10) ** 15  # beyond it, costs would be infinite as floats
WORDS = ("prompt", "completion", "cached", "valid_from", "valid_to", "currency", "source")
_SHAPE = "(prompt, completion) per million tokens, or a dict with " + ", ".join(WORDS)


@dataclass(frozen=True, slots=True)
class Price:
    """Price per million tokens of one model in one period; ``cached`` applies to prompt tokens that the provider had cached."""

    prompt: Decimal
    completion: Decimal
    cached: Decimal | None = None
    currency: str | None = None
    source: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    note: str = ""
    """The price in words, as in the column ``cost_source``."""

    @property
    def dated(self) -> bool:
        """Whether its validity is limited."""
        return self.valid_from is not None or self.valid_to is not None

    def covers(self, day: date) -> bool:
        """Return whether it is valid on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)

    def cost(self, usage: Usage) -> Decimal | None:
        """Return the cost of a usage, or None where a count is unknown; an unknown number of cached tokens counts as 0.

        Some services count reasoning tokens in the total only, and bill them as completion.
        """
        prompt, completion, total = usage[:3]
        if prompt is None or completion is None:
            return None
        if total is not None and total > prompt + completion:
            completion = total - prompt
        if self.cached is not None and usage.cached_tokens:
            less = usage.cached_tokens * (self.prompt - self.cached)
            return (prompt * self.prompt - less + completion * self.completion) / MILLION
        return (prompt * self.prompt + completion * self.completion) / MILLION


def checked(table: object, currency: str | None, source: str | None) -> dict[str, tuple[Price, ...]]:
    """Return the prices of each model, oldest first."""
    if not isinstance(table, Mapping):
        raise ConfigError(f'prices must be a dict such as {{"deepseek-chat": (0.27, 1.10)}}, got {quoted(table)}')
    for name, word in (("currency", currency), ("source", source)):
        if word is not None and (not isinstance(word, str) or not word.strip()):
            raise ConfigError(f"the {name} of prices must be a string such as 'USD', got {quoted(word)}")
    for model in table:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"prices are given by the name of a model, got {quoted(model)}")
    found = {model: _periods(model, given, currency, source) for model, given in table.items()}
    units = {price.currency: model for model, prices in found.items() for price in prices}
    if len(units) > 1:
        listed = ", ".join(f"{unit or 'no currency'} ({model!r})" for unit, model in units.items())
        raise ConfigError(f"one table has one currency, so that its costs can be added; this has {listed}: make a table of each")
    return found


def _periods(model: str, given: object, currency: str | None, source: str | None) -> tuple[Price, ...]:
    some = given if isinstance(given, list) and given and isinstance(given[0], Mapping) else [given]
    prices = sorted((_price(model, one, currency, source) for one in some), key=lambda price: price.valid_from or date.min)
    for at, (first, second) in enumerate(pairwise(prices)):
        begins = second.valid_from
        if begins is None or begins == first.valid_from or (first.valid_to is not None and first.valid_to >= begins):
            raise ConfigError(f"the prices of {model!r} overlap: {_period(first)}, and {_period(second)}. Each day has one price")
        if first.valid_to is None:  # it ends where the next one begins
            prices[at] = replace(first, valid_to=begins - timedelta(days=1))
    return tuple(replace(price, note=_note(price)) for price in prices)


def _price(model: str, given: object, currency: str | None, source: str | None) -> Price:
    if isinstance(given, (tuple, list)) and len(given) == 2:
        given = dict(zip(("prompt", "completion"), given, strict=True))
    if not isinstance(given, Mapping):
        raise ConfigError(f"the price of {model!r} must be {_SHAPE}; got {quoted(given)}")
    for word in given:
        if word not in WORDS:
            raise ConfigError(f"the price of {model!r} has {quoted(word)}; {did_you_mean(word, WORDS)}")
    for word in ("prompt", "completion"):
        if given.get(word) is None:
            raise ConfigError(f"the price of {model!r} has no {word!r}: it must be {_SHAPE}")
    cached = given.get("cached")
    price = Price(
        _number(model, given["prompt"]), _number(model, given["completion"]),
        None if cached is None else _number(model, cached), _text(model, given.get("currency")) or currency,
        _text(model, given.get("source")) or source, _day(model, given.get("valid_from")), _day(model, given.get("valid_to")),
    )  # fmt: skip
    if price.valid_from and price.valid_to and price.valid_to < price.valid_from:
        raise ConfigError(f"the price of {model!r} ends ({price.valid_to}) before it begins ({price.valid_from})")
    return price


def _number(model: str, value: object) -> Decimal:
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        price = Decimal("NaN")
    if isinstance(value, bool) or not price.is_finite() or not 0 <= price < MAX_PRICE:
        raise ConfigError(f"the price of {model!r} must be a number of 0 or more, got {quoted(value)}")
    return price


def _text(model: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"currency and source of {model!r} must be strings, got {quoted(value)}")
    return value.strip() or None if value else None


def _day(model: str, value: object) -> date | None:
    if isinstance(value, datetime):  # a Timestamp of pandas too
        value = value.isoformat().removesuffix("T00:00:00")
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise ConfigError(
            f"valid_from and valid_to of {model!r} must be days such as '2026-01-31', got {quoted(value)}"
        ) from None


def _period(price: Price) -> str:
    if not price.dated:
        return "always"
    ends = f"to {price.valid_to}" if price.valid_to else ""
    return f"from {price.valid_from} {ends}".strip() if price.valid_from else ends


def _note(price: Price) -> str:
    cached = f", cached {price.cached}" if price.cached is not None else ""
    unit = f" {price.currency}" if price.currency else ""
    parts = (f"{price.prompt} / {price.completion}{cached}{unit} per million", price.source, price.dated and _period(price))
    return "; ".join(part for part in parts if part)
