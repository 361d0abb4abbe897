"""Price tables: what a usage costs, in Decimal, with unknown never taken for 0."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from .errors import ConfigError, quoted
from .wire import Usage

MILLION = Decimal(1_000_000)


class Prices:
    """Prices of models, in currency per million tokens.

    Parameters
    ----------
    table : mapping of str to (number, number)
        For each model the price of a million prompt tokens and of a million completion tokens.

    Raises
    ------
    ConfigError
        If it is no mapping, or a price is negative, not a number, or not a pair.

    Examples
    --------
    >>> prices = Prices({"deepseek-chat": (0.27, 1.10)})
    >>> prices.cost("deepseek-chat", Usage(1000, 100, 1100))
    Decimal('0.00038')
    >>> prices.cost("another", Usage(1000, 100, 1100)) is None
    True
    """

    __slots__ = ("_table",)

    def __init__(self, table: Mapping[str, tuple[float | Decimal | str, float | Decimal | str]]) -> None:
        if not isinstance(table, Mapping):
            raise ConfigError(f'prices must be a dict such as {{"deepseek-chat": (0.27, 1.10)}}, got {quoted(table)}')
        self._table = {model: _pair(model, pair) for model, pair in table.items()}

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """Return the cost of a usage in the table's currency, or None where price or usage is unknown."""
        pair = self._table.get(model)
        if pair is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        return (usage.prompt_tokens * pair[0] + usage.completion_tokens * pair[1]) / MILLION

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prices) and self._table == other._table

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._table.items())))

    def __repr__(self) -> str:
        return f"Prices({{{', '.join(f'{m!r}: ({p}, {c})' for m, (p, c) in getattr(self, '_table', {}).items())}}})"


def _pair(model: str, pair: object) -> tuple[Decimal, Decimal]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ConfigError(f"the price of {model!r} must be (prompt, completion) per million tokens, got {quoted(pair)}")
    return _price(model, pair[0]), _price(model, pair[1])


def _price(model: str, value: object) -> Decimal:
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if isinstance(value, bool) or not price.is_finite() or price < 0:
        raise ConfigError(f"the price of {model!r} must be a number of 0 or more, got {quoted(value)}")
    return price
