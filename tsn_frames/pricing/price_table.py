"""Prices of models: the cost of a usage as a Decimal, None where it is unknown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import Usage
from ..errors import ConfigError
from ..text import did_you_mean, plural
from . import load_prices
from .price import MILLION, WORDS, Price, checked

if TYPE_CHECKING:
    import pandas as pd


class Prices:
    """Prices of models, in currency per million tokens.

    Parameters
    ----------
    table : mapping of str to (number, number), dict, or list of dicts
        For each model the price of a million prompt tokens and of a million completion tokens. A dict has ``prompt``,
        ``completion`` and, where wanted, ``cached`` (prompt tokens that the provider had cached), ``valid_from`` and
        ``valid_to`` (dates, both included, days in UTC), ``source`` and ``currency``. A list has one dict a period; a
        period without ``valid_to`` ends where the next begins.
    currency : str, optional
        Such as ``"USD"``: one for the whole table, so that its costs can be summed.
    source : str, optional
        Where the prices are from; the ledger has it with each cost.

    Raises
    ------
    ConfigError
        If a price is negative or not a number, dates overlap, currencies are mixed, or a field is unknown.

    Examples
    --------
    >>> prices = Prices({"deepseek-chat": {"prompt": 0.27, "completion": 1.10, "cached": 0.07}}, currency="USD")
    >>> prices.cost("deepseek-chat", Usage(1000, 100, 1100))
    Decimal('0.00038')
    >>> prices.cost("deepseek-chat", Usage(1000, 100, 1100, cached_tokens=1000))
    Decimal('0.00018')
    >>> prices.cost("another", Usage(1000, 100, 1100)) is None
    True
    """

    __slots__ = ("_single", "_table", "currency")

    def __init__(self, table: Mapping[str, Any], *, currency: str | None = None, source: str | None = None) -> None:
        self._table = checked(table, currency, source)
        found = {price.currency for prices in self._table.values() for price in prices}
        self.currency: str | None = found.pop() if found else currency
        # Fast path: nearly every model has a single price without dates.
        self._single = {model: some[0] for model, some in self._table.items() if len(some) == 1 and not some[0].dated}

    @classmethod
    def from_file(cls, path: str | Path) -> Prices:
        r"""Read a table from a CSV, JSON or TOML file; the environment variable ``TSN_PRICES`` may name one.

        Parameters
        ----------
        path : str or Path
            A CSV file has the columns ``model, prompt, completion`` and, where wanted, ``cached, valid_from, valid_to,
            currency, source``. JSON and TOML have ``currency``, ``source`` and ``prices``, which is the table. The default
            source is the file's name.

        Raises
        ------
        ConfigError
            If the file can't be read, or has no such table.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "list.csv")
        >>> _ = path.write_text("model,prompt,completion,currency\nsmall,0.25,1.00,EUR\n")
        >>> Prices.from_file(path)
        Prices({'small': (0.25, 1.00)}, currency='EUR')
        """
        table, currency, source = load_prices.from_file(path)
        try:
            return cls(table, currency=currency, source=source)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def public(cls, provider: str, models: Iterable[str] | None = None) -> Prices:
        """Return a provider's list prices from the public table of the package ``genai-prices`` (extra ``prices``).

        They are list prices of the day that the installed package was made, in USD. Where a price depends on the time of
        day or on the length of a prompt, the highest is taken, and its source says so.

        Parameters
        ----------
        provider : str
            Such as ``"deepseek"`` or ``"openai"``.
        models : iterable of str, optional
            Names as you send them; default: all that the provider lists.

        Raises
        ------
        ConfigError
            If the package isn't installed, or has no such provider or model.

        Examples
        --------
        >>> Prices.public("openai", ["gpt-4o-mini"]).currency
        'USD'
        """
        return cls(load_prices.public(provider, models), currency="USD")

    @property
    def models(self) -> list[str]:
        """The models that have a price."""
        return list(self._table)

    def price(self, model: str, when: float | None = None) -> Price | None:
        """Return the price of a model that is valid at a time (POSIX seconds; default: now), or None for none."""
        found = self._single.get(model)
        if found is not None or model not in self._table:
            return found
        day = datetime.fromtimestamp(time.time() if when is None else when, UTC).date()
        return next((price for price in self._table[model] if price.covers(day)), None)

    def dated(self, model: str) -> bool:
        """Return whether a model has several prices, so that the day chooses one."""
        return len(self._table.get(model, ())) > 1

    def cost(self, model: str, usage: Usage, when: float | None = None) -> Decimal | None:
        """Return the cost of a usage at the price of its time, or None where price or usage is unknown."""
        price = self.price(model, when)
        return None if price is None else price.cost(usage)

    def worst(self, model: str, prompt_tokens: int, max_tokens: int) -> Decimal | None:
        """Return the highest cost of a request from now on: no cached tokens, the highest price; None without a price.

        Examples
        --------
        >>> Prices(
        ...     {
        ...         "m": [
        ...             {"prompt": 1, "completion": 2, "valid_to": "2099-01-01"},
        ...             {"prompt": 3, "completion": 2, "valid_from": "2099-01-02"},
        ...         ]
        ...     }
        ... ).worst("m", 1_000_000, 1_000_000)
        Decimal('5')
        """
        today = datetime.now(UTC).date()
        coming = [price for price in self._table.get(model, ()) if price.valid_to is None or price.valid_to >= today]
        if not coming:
            return None
        highest = max(max(price.prompt, price.cached or price.prompt) for price in coming)
        return (prompt_tokens * highest + max_tokens * max(price.completion for price in coming)) / MILLION

    def hint(self, models: Iterable[str]) -> str:
        """Return a sentence on the models that have no price now, or "" where all have."""
        unknown = [model for model in dict.fromkeys(models) if self.price(model) is None]
        if not unknown:
            return ""
        if unknown[0] in self._table:
            return f"the price of {unknown[0]!r} isn't valid any more, or not yet: give it a period that covers today"
        more = f" and {plural(len(unknown) - 1, 'other model')}" if len(unknown) > 1 else ""
        return f"there is no price for the model {unknown[0]!r}{more}; {did_you_mean(unknown[0], self._table, most=5)}"

    def to_frame(self) -> pd.DataFrame:
        """Return the table with a row per model and period, in the columns that :meth:`from_file` reads, as texts."""
        import pandas as pd

        rows = [[model, *(getattr(price, name) for name in WORDS)] for model, prices in self._table.items() for price in prices]
        return pd.DataFrame(rows, columns=["model", *WORDS]).astype("string")

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, model: object) -> bool:
        return model in self._table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prices) and self._table == other._table

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._table.items())))

    def __repr__(self) -> str:
        if not hasattr(self, "_table"):
            return "Prices()"  # refused: a traceback with its locals shows it half made
        shown = [f"{model!r}: ({prices[-1].prompt}, {prices[-1].completion})" for model, prices in list(self._table.items())[:5]]
        more = [f"and {len(self) - 5:,} more"] if len(self) > 5 else []
        currency = f", currency={self.currency!r}" if self.currency else ""
        return f"Prices({{{', '.join(shown + more)}}}{currency})"


def prices_of(value: Prices | Mapping[str, Any] | str | Path | None) -> Prices | None:
    """Return the price table of a user's argument: a table, a mapping, or the path of a file."""
    if value is None or isinstance(value, Prices):
        return value
    return Prices.from_file(value) if isinstance(value, (str, Path)) else Prices(value)
