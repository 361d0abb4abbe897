"""Read the columns that ``complete`` adds, also from a frame that was saved, loaded, filtered or concatenated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...errors import ColumnError, ParameterError

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_GROUP = (*_COUNTS, "cached")  # complete() always writes all of them; a single one may be the user's own
_TRUE = {"true", "1", "1.0"}  # as files write it


def prefix(df: pd.DataFrame, name: str | None) -> str:
    """Return the prefix of the columns of one ``complete``."""
    if name is not None:
        if absent := [field for field in _GROUP if f"{name}_{field}" not in df.columns]:
            raise _missing(f"{name}_{absent[0]}")
        return f"{name}_"
    labels = dict.fromkeys(label for label in df.columns if isinstance(label, str))
    begins = [label.removesuffix("prompt_tokens") for label in labels if label.endswith("prompt_tokens")]
    found = [one for one in begins if labels.keys() >= {one + field for field in _GROUP}]
    if "" in found:
        return ""
    if not found:
        raise _missing("prompt_tokens")
    if len(found) > 1:
        names = [one.removesuffix("_") for one in found]
        raise ColumnError(f"the frame has the answers {names}: say which one with name=, such as name={names[0]!r}")
    return found[0]


def read(df: pd.DataFrame, begins: str, *, costs: bool) -> pd.DataFrame:
    """Return usage and cost of each row, in dtypes that a CSV file may have lost.

    ``begins`` is the prefix of the columns, ``costs`` whether ``cost`` is required. What the frame doesn't have is NaN or None;
    ``answered_at`` is in POSIX seconds.
    """
    known = begins + "cost" in df.columns
    if costs and not known:
        raise _missing(begins + "cost")
    out = pd.DataFrame(index=df.index)
    for field in (*_COUNTS, "cached_tokens", "cost"):
        out[field] = _numbers(df, begins + field)
    out["cached"] = np.array([str(value).lower() in _TRUE for value in _column(df, begins + "cached")], dtype=bool)
    out["answered"] = out[list(_COUNTS)].notna().any(axis=1) | _column(df, begins.removesuffix("_") or "content").notna()
    errors = _column(df, begins + "error")
    codes = np.array([str(error).partition(":")[0] for error in errors.astype(object).where(errors.notna(), "")], dtype=str)
    out["reasoned"] = codes != ""  # there is a reason in `error`, whatever it is
    out["skipped"], out["not_sent"] = codes == "missing", codes == "not_sent"
    out["failed"] = out["reasoned"] & ~out["skipped"] & ~out["not_sent"]
    for field in ("request_key", "model", "cost_source"):
        column = _column(df, begins + field)
        out[field] = column.astype(object).where(column.notna(), None)
    times = pd.to_datetime(_column(df, begins + "answered_at"), utc=True, format="ISO8601")
    out["answered_at"] = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    out["copied"], out["lost"] = _copied(out, known=known), _lost(out, known=known)
    return out


def currency(rows: pd.DataFrame) -> str | None:
    """Return the currency of a cost column, if the column of its sources is there."""
    sources = rows.loc[rows["cost"].gt(0), "cost_source"]
    units = sources.dropna().astype(str).str.extract(r"(?:^|\s)([^\s\d]\S*) per million")[0]
    found = [*sorted(set(units.dropna())), *(["a currency that isn't named"] if units.isna().any() else [])]
    if len(found) > 1:
        raise ParameterError(f"the costs are in {' and '.join(found)}, which can't be added: take the rows of one at a time")
    return found[0] if found and units.notna().any() and sources.notna().all() else None


def _copied(rows: pd.DataFrame, *, known: bool) -> pd.Series:
    """Return which rows have the answer of an equal row's request: those that were answered at no cost.

    A row that was paid for has a cost, or NA. Where that decides nothing, since the model is free or there is no column ``cost``,
    the first of the rows with an equal key is taken for the one that was sent.
    """
    candidates = rows["answered"] & ~rows["cached"]
    at_no_cost = rows["cost"].eq(0) & candidates
    keys = rows["request_key"].where(candidates)
    by_order = keys.notna() & keys.duplicated()
    free = (at_no_cost | ~candidates).groupby(rows["model"].fillna("").to_numpy()).transform("all")
    return at_no_cost.where(~free & known, by_order)


def _lost(rows: pd.DataFrame, *, known: bool) -> pd.Series:
    """Return the rows with an attempt that may be billed but whose usage is unknown: their cost is NA, with no answer to explain it.

    A row that was answered after a retry has its usage; its cost is NA, too, though other rows of that model have one.
    """
    unknown = rows["cost"].isna() & ~rows["skipped"]
    priced = rows["cost"].gt(0).groupby(rows["model"].fillna("").to_numpy()).transform("any") | rows["cost_source"].notna()
    retried = rows["answered"] & rows[list(_COUNTS)].notna().all(axis=1) & priced & known & ~rows["cached"]
    return unknown & ((rows["reasoned"] & ~rows["answered"]) | retried)


def _column(df: pd.DataFrame, label: str) -> pd.Series:
    """Return a column; one that the frame doesn't have is NA."""
    found = df[label] if label in df.columns else pd.Series(None, df.index, dtype=object)
    if isinstance(found, pd.DataFrame):
        raise ColumnError(f"column {label!r} appears {found.shape[1]} times in the frame; rename or drop the others")
    return found


def _numbers(df: pd.DataFrame, label: str) -> Any:
    found = _column(df, label)
    try:
        numbers = pd.to_numeric(found.astype(object).where(found.notna(), np.nan)).to_numpy(dtype=float)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or (numbers < 0).any() or np.isinf(numbers).any():
        raise ParameterError(f"column {label!r} should hold numbers of 0 or more, as complete() writes them")
    return numbers


def _missing(label: str) -> ColumnError:
    return ColumnError(
        f"the frame has no column {label!r}: complete(..., usage=True) adds it. "
        "What is answered is cached, so running that again is free"
    )
