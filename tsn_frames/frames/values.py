"""Read columns as exact Python values and as text, a column at a time so that no value changes its type."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ColumnError, ParameterError, PromptError


def exact(column: pd.Series) -> list[Any]:
    """Return a column's values as plain Python scalars, none of them rounded or widened.

    >>> exact(pd.Series([2**60 + 1, 1]))
    [1152921504606846977, 1]
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        known = [*exact(pd.Series(column.cat.categories)), np.nan]  # code -1 (missing) is the last item
        return [known[code] for code in column.cat.codes.tolist()]
    if isinstance(dtype, pd.SparseDtype):
        return exact(pd.Series(column.array.to_dense()))
    plain = isinstance(dtype, np.dtype) and dtype.kind not in "mM"  # numpy's dates would come out as numbers
    values: list[Any] = column.to_numpy().tolist() if plain else column.array.tolist()
    if pd.api.types.is_object_dtype(dtype):
        return [value if type(value) is str else _scalar(value) for value in values]
    return values if (short := _short_float(dtype)) is None else [v if v is pd.NA else float(str(short(v))) for v in values]


def texts(column: pd.Series) -> list[str]:
    """Return a column's values as texts for a prompt; missing values are ''.

    >>> texts(pd.Series([0.1, None], dtype="float32"))
    ['0.1', '']
    """
    values = exact(column)
    if _holds_any(column):
        out = [value if type(value) is str else str(_bare(value, column.name)) for value in values]
    else:
        out = list(map(str, values))
    for position in np.flatnonzero(column.isna().to_numpy(dtype=bool)):
        out[position] = ""
    return out


def is_blank(shown: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which texts are empty or white space only."""
    empty = np.fromiter(map(len, shown), np.int64, len(shown)) == 0
    spaces = np.fromiter(map(str.isspace, shown), bool, len(shown))
    found: np.ndarray[Any, np.dtype[np.bool_]] = empty | spaces
    return found


def column(df: pd.DataFrame, label: Hashable) -> pd.Series:
    """Return one column."""
    found: pd.Series | pd.DataFrame = df[label]
    if isinstance(found, pd.DataFrame):
        raise PromptError(f"column {label!r} appears {found.shape[1]} times in the frame; rename or drop the others")
    return found


def check_distinct(names: pd.Index, where: str) -> None:
    """Raise where two columns have one name."""
    if len(twice := names[names.duplicated()]):
        raise ColumnError(f"column {twice[0]!r} appears more than once in {where}: rename or drop the others")


def rows(df: pd.DataFrame) -> Sequence[dict[Hashable, Any]]:
    """Return each row as a dict of exact scalars."""
    if not df.columns.is_unique:
        twice = df.columns[df.columns.duplicated()][0]
        raise PromptError(f"column {twice!r} appears more than once, so a row can't be a dict; rename or drop the others")
    lists = [exact(df[label]) for label in df.columns]
    labels = list(df.columns)
    return (
        [dict(zip(labels, values, strict=True)) for values in zip(*lists, strict=True)] if lists else [{} for _ in range(len(df))]
    )


def aligned(df: pd.DataFrame, given: pd.Series, what: str) -> pd.Series:
    """Align a Series with the frame's rows: by position if the indexes are equal, else by a unique index."""
    if given.index.equals(df.index):
        return given
    if not given.index.is_unique or not df.index.is_unique:
        raise ParameterError(f"the index of {what}= differs from the frame's and has duplicates, so its rows can't be matched")
    lost = df.index.difference(given.index, sort=False)
    if len(lost):
        raise ParameterError(f"{what}= has no value for {len(lost):,} rows of the frame, the first is {lost[0]!r}")
    return given.reindex(df.index)


def row_name(index: pd.Index, position: int) -> str:
    """Return the label of a row for a message.

    >>> row_name(pd.Index([7, 8]), 1)
    '8'
    """
    return repr(index[position : position + 1].tolist()[0])


def is_missing(value: Any) -> bool:
    """Return whether a single value of any type is missing."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _short_float(dtype: Any) -> Any:
    """Return the numpy type of floats other than 64 bits: they are shown with their own digits, so 0.1 stays 0.1."""
    inner = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
    return inner.type if isinstance(inner, np.dtype) and inner.kind == "f" and inner.itemsize != 8 else None


def _holds_any(column: pd.Series) -> bool:
    """Return whether a column may hold texts or nested values; for numbers and times ``str`` is enough."""
    numpys = isinstance(column.dtype, np.dtype) and not pd.api.types.is_object_dtype(column.dtype)
    return not numpys and not pd.api.types.is_numeric_dtype(column.dtype)


def _scalar(value: Any) -> Any:
    if not isinstance(value, np.generic):
        return value
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value)
    if isinstance(value, np.timedelta64):
        return pd.Timedelta(value)
    return float(str(value)) if isinstance(value, np.floating) else value.item()


def _bare(value: Any, column: Hashable) -> Any:
    """Return a nested value without numpy's wrappers, which show as ``np.float64(1.5)`` and cut long arrays short."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise PromptError(
            f"column {column!r} holds {type(value).__name__}, which are not text: decode them first, "
            f"for example df[{column!r}].str.decode('utf-8')"
        )
    if isinstance(value, np.ndarray):
        return _bare(value.tolist(), column)
    if type(value) in (list, tuple):
        return type(value)(_bare(item, column) for item in value)
    if isinstance(value, Mapping):
        return {_scalar(key): _bare(item, column) for key, item in value.items()}
    return _scalar(value)
