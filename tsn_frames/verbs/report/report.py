"""Usage and cost reports, by any column, from the columns that ``complete`` added: no network, no hidden state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...api import Usage
from ...engine.ledger.earlier_runs import paid_before
from ...engine.ledger.run_id_attrs import ids_of_frame
from ...engine.ledger.run_record import RunRecord
from ...engine.runtime.client import client_or_default
from ...engine.runtime.simulator_detection import MARK, is_simulated
from ...errors import ColumnError, ConfigError, ParameterError
from ...pricing.price import Price
from ...pricing.price_table import Prices, prices_of
from ...text import check_choice, money, plural, quoted, warn
from . import usage_columns
from .grouping import Report, counted, grouped, least, statistics_text

Basis = Literal["billed", "answers"]
_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")


def usage(df: pd.DataFrame, by: Any = None, *, name: str | None = None) -> Report:
    """Report the tokens that the answers of a frame used: totals, statistics, savings and waste.

    Parameters
    ----------
    df : DataFrame
        What ``complete`` returned, now or when it was saved: no network, no hidden state.
    by : label, list of labels, Series or callable, optional
        What ``DataFrame.groupby`` takes.
    name : str, optional
        The ``name=`` that ``complete`` was given, where a frame has several.

    Returns
    -------
    Report
        Its ``.to_frame()`` has a row per group: ``rows, answered, cached, copied, failed, skipped, not_sent``; sums of
        ``prompt_tokens, completion_tokens, total_tokens`` and ``cached_tokens``; ``mean, median, q90, max`` of an answer's
        ``total_tokens``; ``billed_tokens``, ``saved_by_cache``, ``saved_by_copies`` and ``wasted`` of the total, in tokens;
        ``at_least``, whether the usage of some answers is unknown, also of those that were lost.

    Raises
    ------
    ColumnError, ParameterError
        If the frame has no usage columns, or not the column that ``by`` names.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = pd.DataFrame({"text": ["Hi", "Hello", "Hi"]}).tsn.complete("Answer politely: {text}")
    >>> out.tsn.usage().to_frame()[["rows", "answered", "copied", "prompt_tokens"]].iloc[0].to_dict()
    {'rows': 3, 'answered': 3, 'copied': 1, 'prompt_tokens': 28}
    >>> sim.close()
    """
    rows = usage_columns.read(df, usage_columns.prefix(df, name), costs=False)
    rows["value"] = rows["total_tokens"].where(rows["answered"])
    rows["unknown"] = (rows["answered"] & rows["total_tokens"].isna()) | rows["lost"]
    rows["wasted"] = rows["total_tokens"].mask(rows["lost"])
    parts = {
        "billed_tokens": (rows["answered"] & ~rows["cached"] & ~rows["copied"]) | rows["lost"],
        "saved_by_cache": rows["cached"],
        "saved_by_copies": rows["copied"],
        "wasted": (rows["reasoned"] & rows["answered"]) | rows["lost"],
    }
    group = partial(grouped, df, rows=rows, parts=parts, sums=_TOKENS)
    table, whole = group(by).astype(dict.fromkeys([*_TOKENS, *parts], "Int64")), group(None).iloc[0]
    usage_text = "no usage is known"
    if pd.notna(whole["total_tokens"]):
        sums = [whole[name] for name in ("total_tokens", "prompt_tokens", "completion_tokens")]
        counts = ["an unknown number" if pd.isna(tokens) else f"{tokens:,.0f}" for tokens in sums]
        usage_text = "{}{} tokens: {} of prompts, {} of answers".format(least(whole), *counts)
        usage_text += statistics_text(whole, "{:,.0f}".format, "an answer")
    free = [(whole["saved_by_cache"], "from the cache"), (whole["saved_by_copies"], "deduplicated")]
    shares = [f"{tokens / whole['total_tokens']:.0%} {what}" for tokens, what in free if tokens > 0]
    return Report(
        "Usage", [counted(whole), usage_text, *([f"not billed: {', '.join(shares)}"] if shares else [])], table, df, rows
    )


def cost(df: pd.DataFrame, by: Any = None, *, prices: Prices | Mapping[str, Any] | None = None, basis: Basis = "billed",
         model: Any = None, name: str | None = None) -> Report:  # fmt: skip
    """Report the cost of the answers of a frame: totals, statistics, savings and waste.

    Parameters
    ----------
    df, by, name : optional
        As for ``usage``.
    prices : Prices or mapping, optional
        Price the same usage again. Default: with ``basis="billed"`` the column ``cost`` as it is, with
        ``basis="answers"`` the default client's prices.
    basis : {"billed", "answers"}
        ``"billed"``: what the run paid; hits and copies are 0. ``"answers"``: what the answers cost when they were bought,
        whenever that was; equal rows share one price evenly. It needs the columns ``request_key`` and ``model``.
    model : str or mapping, optional
        Price all rows as this model: what would this have cost on X? A mapping does so for each model of the column
        ``model``. Default: that column.

    Returns
    -------
    Report
        Its ``.to_frame()`` has a row per group: ``rows, answered, cached, copied, failed, skipped, not_sent``; the sum of
        ``cost``; ``mean, median, q90, max`` of a row that was paid for; ``saved_by_cache`` and ``saved_by_copies`` (NaN without prices);
        ``wasted``, the cost of rows without a usable answer, NaN where none of it is known; ``at_least``, whether some cost
        is unknown, also of attempts whose answers were lost.

    Raises
    ------
    ColumnError
        If a column is missing; the message says how to get it, for free.
    ConfigError, ParameterError
        If no prices are known, currencies are mixed, or ``by`` names no column.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = pd.DataFrame({"text": ["Hi", "Hello", "Hi"]}).tsn.complete("Answer politely: {text}")
    >>> bool(out.tsn.cost().total == out["cost"].sum())
    True
    >>> large = out.tsn.cost(prices={"large": (2.5, 10)}, model="large")
    >>> round(large.total / out.tsn.cost().total, 6)
    10.0
    >>> sim.close()
    """
    check_choice("basis", basis, Basis)
    anew = prices is not None or basis == "answers" or model is not None
    begins = usage_columns.prefix(df, name)
    rows = usage_columns.read(df, begins, costs=not anew)
    table = _table(prices, needed=anew)
    absent = [field for field in ("cached_tokens", "answered_at") if begins + field not in df.columns]
    rows["answer"] = _priced(rows, table, model, strict=anew, absent=absent) if table is not None else np.nan
    if not anew:
        rows["value"] = rows["cost"]
    elif basis == "billed":
        rows["value"] = rows["answer"].where(rows["answered"] & ~rows["cached"] & ~rows["copied"], 0.0)
        rows["value"] = rows["value"].mask(rows["lost"] & ~rows["answered"])
    else:
        rows["value"] = _cost_when_bought(rows)
    rows["unknown"] = rows["value"].isna() | (rows["lost"] & (basis == "billed"))
    records = run_records(df)
    currency = (usage_columns.currency(rows) or recorded_currency(records)) if not anew else table.currency if table else None
    priced = table is not None and not table.hint(rows["model"].dropna())
    report = _cost_report(df, by, rows, basis, anew=anew, currency=currency, priced=priced)
    if basis == "billed" and not anew and rows["cached"].any():
        report.left_out = _left_out(rows, records, currency)
    report.lines[0] += f", {MARK}" if _simulated(rows, records) else ""
    return report


def _cost_report(
    df: pd.DataFrame, by: Any, rows: pd.DataFrame, basis: Basis, *, anew: bool, currency: str | None, priced: bool
) -> Report:
    rows = rows.rename(columns={"cost": "was", "value": "cost"})
    rows["value"] = rows["cost"].where(rows["cost"] != 0)
    lost = rows["lost"] & (basis == "billed")
    rows["wasted"] = rows["cost"].mask(lost)  # whatever its last answer cost, a retried row wasted another
    parts = {"wasted": rows["reasoned"] | lost}
    if basis == "billed":
        rows = rows.assign(saved_by_cache=rows["answer"], saved_by_copies=rows["answer"])
        parts |= {"saved_by_cache": rows["cached"], "saved_by_copies": rows["copied"]}
    group = partial(grouped, df, rows=rows, parts=parts, sums=("cost",), of="cost")
    whole = group(None).iloc[0]
    lines = [counted(whole), *_cost_lines(whole, basis, anew=anew, currency=currency, priced=priced)]
    report = Report("Cost", lines, group(by), df, rows)
    report.total, report.currency = float(whole["cost"]), currency
    return report


def run_records(df: pd.DataFrame) -> list[RunRecord]:
    """Return the records of the runs that have added columns to a frame; none where its attrs or the ledger lack them."""
    ids = set(ids_of_frame(df))
    try:
        return [record for record in client_or_default(None).ledger.run_records() if record.run in ids] if ids else []
    except ConfigError:  # a report of a frame needs no ledger
        return []


def _left_out(rows: pd.DataFrame, records: Sequence[RunRecord], currency: str | None) -> str:
    """Return a sentence on what other runs have paid for the cached answers; "" where the ledger has nothing of it."""
    keys = rows.loc[rows["cached"], "request_key"].dropna()
    hits = {bytes.fromhex(key) for key in keys} if len(keys) else None
    paid = paid_before(client_or_default(None).ledger, records, hits) if records else 0
    return f"{money(paid, currency=currency)} more was paid by earlier runs and pilots" if paid else ""


def recorded_currency(records: Sequence[RunRecord]) -> str | None:
    """Return the currency of some runs where they share one."""
    found = {record.currency for record in records if record.cost is not None}
    return found.pop() if len(found) == 1 else None


def _simulated(rows: pd.DataFrame, records: Sequence[RunRecord]) -> bool:
    """Return whether all answers are the simulator's: by the records of their runs, else by the column of models."""
    if records:
        return all(is_simulated(record.host, json.loads(record.models)) for record in records)
    return is_simulated(client_or_default(None).host, rows["model"].dropna())


def _cost_lines(whole: pd.Series, basis: Basis, *, anew: bool, currency: str | None, priced: bool) -> list[str]:
    shown = partial(money, currency=currency)
    what = "when the answers were bought" if basis == "answers" else "billed by this run"
    what = "would have been billed at these prices" if anew and basis == "billed" else what
    lines = [f"at least 0 {what}; no row's cost is known" if priced else "cost unknown: give prices="]
    if pd.notna(whole["cost"]):
        lines = [f"{least(whole)}{shown(whole['cost'])} {what}{statistics_text(whole, shown, 'a row that was paid for')}"]
    if basis == "billed" and whole["cost"] == 0 and whole["cached"] and not whole["at_least"]:
        hits = f"{plural(int(whole['cached']), 'answer')} came from the cache"
        lines = [f"nothing was billed: {hits}; basis='answers' says what they cost when they were bought"]
    free = [(whole.get("saved_by_cache", 0), "the cache"), (whole.get("saved_by_copies", 0), "equal rows")]
    saved = [f"{shown(amount)} by {by}" for amount, by in free if amount > 0]
    lines += [f"saved {' and '.join(saved)}, at these prices"] if saved else []
    if pd.isna(whole["wasted"]):
        lines.append("what was wasted on answers that were lost isn't known; the ledger has their attempts")
    elif whole["wasted"] > 0:
        lines.append(f"wasted {least(whole)}{shown(whole['wasted'])} on rows without a usable answer")
    return lines


def _table(prices: Any, *, needed: bool) -> Prices | None:
    found = client_or_default(None).prices if prices is None else prices_of(prices)
    if found is None and needed:
        raise ConfigError(
            "no prices are known: give prices=tsn.Prices({model: (prompt, completion)}), or set_client one that has them"
        )
    return found


def _priced(rows: pd.DataFrame, prices: Prices, model: Any, *, strict: bool, absent: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return the cost of each answer at the price of its day, or at today's if it is priced as another model."""
    models = _models(rows, model, strict=strict)
    hint = prices.hint(one for one, there in zip(models, rows["answered"]) if there and one is not None) if strict else ""
    if hint:
        warn(f"{hint}: its rows have no cost, and totals are 'at least'")
    times = rows["answered_at"].to_numpy() if model is None else np.full(len(rows), np.nan)
    counts = rows[["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"]].to_numpy()
    out, used = np.full(len(rows), np.nan), dict[tuple[str, Any], Price]()
    for at, (one, when, numbers) in enumerate(zip(models, times, counts)):
        if one is None or (price := prices.price(one, None if np.isnan(when) else when)) is None:
            continue
        found = price.cost(Usage(*[None if np.isnan(n) else int(n) for n in numbers]))
        if found is not None:
            out[at], used[one, price.valid_from] = float(found), price
    if strict:
        matters = absent if model is None else [field for field in absent if field != "answered_at"]
        _warn_of_absent_columns(prices, used, matters)
    return out


def _warn_of_absent_columns(prices: Prices, used: Mapping[tuple[str, Any], Price], absent: Sequence[str]) -> None:
    """Warn where a price depends on a column that the frame does not have."""
    found: dict[str, tuple[str, str]] = {}
    for (model, _), price in used.items():
        if price.cached is not None:
            found["cached_tokens"] = model, "is lower for cached prompt tokens, and all are taken for not cached"
        if prices.dated(model):
            found["answered_at"] = model, "depends on the day, and today's is taken"
    for field in absent:
        if field in found:
            model, why = found[field]
            warn(f"the frame has no column {field!r}: the price of {model!r} {why}. complete(..., include=({field!r},)) adds it. "
                 "What is answered is cached, so running that again is free")  # fmt: skip


def _models(rows: pd.DataFrame, model: Any, *, strict: bool) -> list[str | None]:
    if isinstance(model, str):
        return [model] * len(rows)
    if model is not None and not isinstance(model, Mapping):
        raise ParameterError(f"model must be a name, or a mapping of the column's names to others, got {quoted(model)}")
    if strict and rows["model"].isna().all() and rows["answered"].any():
        raise ColumnError(
            "the frame has no column 'model', so no price can be found: complete(..., include=('model',)) adds it, or say "
            "model='...'. What is answered is cached, so running that again is free"
        )
    renamed = model or {}
    return [None if one is None else renamed.get(one, one) for one in rows["model"]]


def _cost_when_bought(rows: pd.DataFrame) -> pd.Series:
    """Return what each row's answer cost when it was bought, divided evenly among equal rows."""
    if rows["request_key"].isna().all() and rows["answered"].any():
        raise ColumnError(
            "basis='answers' needs the column 'request_key', which says which rows share an answer: "
            "complete(..., include=('request_key', 'model')) adds it. What is answered is cached, so running that again is free"
        )
    keys = rows["request_key"].where(rows["answered"])
    number_of = keys.map(keys.value_counts()).astype(float).fillna(1.0)
    return (rows["answer"] / number_of).where(rows["answered"], 0.0)
