"""Read price tables from a file, or from the public table of genai-prices."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text import did_you_mean, quoted
from .price import WORDS


def from_file(given: object) -> tuple[dict[str, Any], str | None, str]:
    """Return the table, the currency and the source of a file."""
    import tomllib

    readers: dict[str, Callable[[str], Any]] = {
        ".csv": _csv,
        ".json": partial(json.loads, parse_float=Decimal, object_pairs_hook=_once),
        ".toml": partial(tomllib.loads, parse_float=Decimal),
    }
    path = Path(given).expanduser() if isinstance(given, (str, Path)) else Path()
    if path.suffix.lower() not in readers:
        raise ConfigError(f"a price file is a .csv, .json or .toml file, got {quoted(given)}")
    try:
        found = readers[path.suffix.lower()](path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise ConfigError(f"the price file {path} can't be read: {error}") from None
    table = found.get("prices") if isinstance(found, dict) else None
    if not isinstance(table, dict) or set(found) - {"prices", "currency", "source"}:
        raise ConfigError(f"the price file {path} must have 'prices' and may have 'currency' and 'source', and nothing else")
    return table, found.get("currency"), found.get("source") or path.name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of a JSON file; refuse a repeated name, of which json would keep the last value only."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has {twice!r} twice; several prices of a model are a list of periods")
    return dict(pairs)


def _csv(text: str) -> dict[str, Any]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    names = list(rows.fieldnames or ())
    for name in names:
        if name not in ("model", *WORDS):
            raise ValueError(f"it has a column {name!r}; {did_you_mean(name, ('model', *WORDS))}")
    if "model" not in names:
        raise ValueError("it has no column 'model'")
    table: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(rows, 2):
        if None in row or not row.get("model"):
            raise ValueError(f"line {number} has no model, or more fields than the first line")
        table.setdefault(row.pop("model"), []).append({name: value for name, value in row.items() if value})
    return {"prices": table}


def public(provider: str, models: Iterable[str] | None) -> dict[str, list[dict[str, Any]]]:
    """Return the table of one provider in the package genai-prices."""
    try:
        from importlib import metadata

        from genai_prices.data import providers
    except ImportError:
        raise ConfigError("Prices.public needs the package genai-prices: pip install 'tsn-frames[prices]'") from None
    known = {one.id: one for one in providers}
    if provider not in known:
        raise ConfigError(f"genai-prices has no provider {quoted(provider)}; {did_you_mean(provider, known, most=60)}")
    source = f"genai-prices {metadata.version('genai-prices')}, {provider}"
    listed = {name: model for model in known[provider].models for name in (model.id, *_equals(model.match))}
    if models is not None:
        asked = [models] if isinstance(models, str) else list(models)
        listed = {name: _matching(known[provider], name) for name in asked}
    table = {name: list(_public_periods(model.prices, source)) for name, model in listed.items()}
    if models is not None and (unpriced := [name for name, periods in table.items() if not periods]):
        raise ConfigError(f"genai-prices has no price by tokens for {unpriced[0]!r} of {provider}")
    return {name: periods for name, periods in table.items() if periods}


def _matching(provider: Any, name: str) -> Any:
    found = next((model for model in provider.models if model.is_match(name)), None)
    if found is None:
        ids = [model.id for model in provider.models]
        raise ConfigError(f"genai-prices has no model {quoted(name)} of {provider.id}; {did_you_mean(name, ids)}")
    return found


def _equals(clause: Any) -> Iterator[str]:
    """Yield the exact names in a matching rule of genai-prices."""
    if hasattr(clause, "equals"):
        yield clause.equals
    for inner in getattr(clause, "or_", ()):
        yield from _equals(inner)


def _public_periods(prices: Any, source: str) -> Iterator[dict[str, Any]]:
    """Yield a price for each period: the highest where it depends on the hour or the length of a prompt."""
    every = prices if isinstance(prices, list) else [prices]
    periods: dict[date | None, list[Any]] = {}
    hourly = [one.prices for one in every if hasattr(getattr(one, "constraint", None), "start_time")]
    for one in every:
        begins = getattr(getattr(one, "constraint", None), "start_date", None)
        if getattr(one, "prices", None) not in hourly or begins:
            periods.setdefault(begins, []).append(getattr(one, "prices", one))
    last = max(periods, key=lambda day: day or date.min, default=None)
    for begins, some in periods.items():
        choice = some + (hourly if begins == last else [])  # hours are listed for the newest period
        found = {word: _highest(choice, name) for word, name in _PUBLIC.items()}
        if found["prompt"] is not None and found["completion"] is not None:
            varies = len(choice) > 1 or any(hasattr(getattr(p, name, None), "tiers") for p in choice for name in _PUBLIC.values())
            yield {**found, "valid_from": begins, "source": source + (", the highest of several" if varies else "")}


_PUBLIC = {"prompt": "input_mtok", "completion": "output_mtok", "cached": "cache_read_mtok"}


def _highest(prices: Iterable[Any], name: str) -> Decimal | None:
    amounts: list[Decimal] = []
    for price in prices:
        amount: Any = getattr(price, name, None)
        if hasattr(amount, "tiers"):
            amounts += [amount.base, *(tier.price for tier in amount.tiers)]
        elif amount is not None:
            amounts.append(amount)
    return max(amounts, default=None)
