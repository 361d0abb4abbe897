"""The columns that ``complete`` adds, read back: also from a frame that was saved, loaded, filtered or put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..errors import ColumnError, ParameterError

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_TRUE = {"true", "1", "1.0"}  # as files write it


def prefix(df: pd.DataFrame, name: str | None) -> str:
    """Return what the columns of one ``complete`` begin with.

    Raises
    ------
    ColumnError
        If the frame has no such columns, or several sets of them and ``name`` chooses none.
    """
    if name is not None:
        if f"{name}_prompt_tokens" not in df.columns:
            raise _missing(f"{name}_prompt_tokens")
        return f"{name}_"
    if "prompt_tokens" in df.columns:
        return ""
    found = [str(label).removesuffix("prompt_tokens") for label in df.columns if str(label).endswith("_prompt_tokens")]
    if not found:
        raise _missing("prompt_tokens")
    if len(found) > 1:
        names = [one.removesuffix("_") for one in found]
        raise ColumnError(f"the frame has the answers {names}: say which one with name=, such as name={names[0]!r}")
    return found[0]


def read(df: pd.DataFrame, begins: str, *, costs: bool) -> pd.DataFrame:
    """Return what each row's answer used and cost, in dtypes that a CSV file may have lost.

    Parameters
    ----------
    df : DataFrame
        What ``complete`` returned.
    begins : str
        What the columns begin with.
    costs : bool
        Whether ``cost`` is needed.

    Returns
    -------
    DataFrame
        The same index: ``prompt_tokens``, ``completion_tokens``, ``total_tokens``, ``cached_tokens``, ``cost`` (float64),
        ``answered``, ``reasoned``, ``failed``, ``skipped``, ``not_sent``, ``cached``, ``copied`` (bool), ``request_key``, ``model``, ``cost_source`` (object),
        ``answered_at`` (POSIX seconds). What the frame doesn't have is NaN or None.

    Raises
    ------
    ColumnError
        If a column that is needed is missing.
    ParameterError
        If a column that should hold numbers doesn't.
    """
    out = pd.DataFrame(index=df.index)
    for field in (*_COUNTS, "cached_tokens", "cost"):
        needed = field in _COUNTS or (field == "cost" and costs)
        out[field] = _numbers(df, begins + field, needed=needed)
    cached = _column(df, begins + "cached", needed=True)
    assert cached is not None
    out["cached"] = np.array([str(value).lower() in _TRUE for value in cached], dtype=bool)
    out["answered"] = out[list(_COUNTS)].notna().any(axis=1).to_numpy() | _filled(df, begins.removesuffix("_") or "content")
    codes = _codes(df, begins + "error")
    out["reasoned"] = codes != ""  # there is a reason in `error`, whatever it is
    out["skipped"], out["not_sent"] = codes == "missing", codes == "not_sent"
    out["failed"] = out["reasoned"] & ~out["skipped"] & ~out["not_sent"]
    for field in ("request_key", "model", "cost_source"):
        column = _column(df, begins + field)
        out[field] = None if column is None else np.array([v if _there(v) else None for v in column], dtype=object)
    out["answered_at"] = _times(_column(df, begins + "answered_at"))
    out["copied"] = _copied(out)
    return out


def _copied(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return which rows shared an equal row's request: by their keys, else as those that were answered for nothing."""
    candidates = (rows["answered"] & ~rows["cached"]).to_numpy()
    if rows["request_key"].notna().any():
        paid = rows["request_key"].where(candidates)
        copies: np.ndarray[Any, Any] = candidates & paid.notna().to_numpy() & paid.duplicated().to_numpy()
        return copies
    for_nothing = rows["cost"].eq(0).to_numpy() & candidates
    all_free = bool((for_nothing == candidates).all())  # the model costs nothing: then a 0 tells nothing
    return np.zeros(len(rows), dtype=bool) if all_free else for_nothing


def _column(df: pd.DataFrame, label: str, *, needed: bool = False) -> pd.Series | None:
    if label in df.columns:
        found = df[label]
        if isinstance(found, pd.DataFrame):
            raise ColumnError(f"column {label!r} appears {found.shape[1]} times in the frame; rename or drop the others")
        return found
    if needed:
        raise _missing(label)
    return None


def _numbers(df: pd.DataFrame, label: str, *, needed: bool) -> Any:
    found = _column(df, label, needed=needed)
    if found is None:
        return np.nan
    try:
        return pd.to_numeric(found.astype(object).where(found.notna(), np.nan)).to_numpy(dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(f"column {label!r} should hold numbers, as complete() writes them") from None


def _filled(df: pd.DataFrame, label: str) -> Any:
    found = _column(df, label)
    return False if found is None else found.notna().to_numpy(dtype=bool)


def _codes(df: pd.DataFrame, label: str) -> np.ndarray[Any, Any]:
    """Return the code that each row's reason begins with; an empty text where there is none."""
    found = _column(df, label)
    return np.array(
        ["" if found is None or not _there(v) else str(v).partition(":")[0] for v in (found if found is not None else df.index)]
    )


def _times(found: pd.Series | None) -> Any:
    if found is None:
        return np.nan
    times = (
        found if isinstance(found.dtype, pd.DatetimeTZDtype) else pd.to_datetime(found.astype(object), utc=True, format="ISO8601")
    )
    return ((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(dtype=float)


def _there(value: Any) -> bool:
    return value is not None and value is not pd.NA and value == value  # noqa: PLR0124 - NaN isn't itself


def _missing(label: str) -> ColumnError:
    return ColumnError(
        f"the frame has no column {label!r}: complete(..., usage=True) adds it. "
        "What is answered is cached, so running that again is free"
    )
