"""Columns as exact Python values and as text: read a column at a time, so that no value changes its type on the way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ParameterError, PromptError


def exact(column: pd.Series) -> list[Any]:
    """Return a column's values as plain Python scalars, none of them rounded or widened.

    Examples
    --------
    >>> exact(pd.Series([2**60 + 1, 1]))
    [1152921504606846977, 1]
    """
    values = column.array
    if column.dtype == np.float32 or column.dtype == np.float16:
        return [float(str(value)) for value in values]  # 0.1 stays 0.1
    return [_scalar(value) for value in values.tolist()] if column.dtype == object else list(values.tolist())


def texts(column: pd.Series) -> list[str]:
    """Return a column's values as the texts that a prompt shows; what is missing is ''."""
    values = exact(column)
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        out = [value if type(value) is str else str(value) for value in values]
    else:
        out = list(map(str, values))
    gaps = column.isna().to_numpy()
    for position in np.flatnonzero(gaps):
        out[position] = ""
    return out


def blank(column: pd.Series) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where a column is missing or a text of white space only."""
    gaps = column.isna().to_numpy(dtype=bool)
    if column.dtype == object or isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype)):
        empty = np.fromiter((isinstance(v, str) and not v.strip() for v in column.array.tolist()), bool, len(column))
        return gaps | empty
    return gaps


def column(df: pd.DataFrame, label: Hashable) -> pd.Series:
    """Return one column.

    Raises
    ------
    PromptError
        If the label stands for several columns.
    """
    found = df[label]
    if isinstance(found, pd.DataFrame):
        raise PromptError(f"column {label!r} appears {found.shape[1]} times in the frame; rename or drop the others")
    return found


def rows(df: pd.DataFrame) -> Sequence[dict[Hashable, Any]]:
    """Return each row as a dict of exact scalars."""
    if not df.columns.is_unique:
        twice = df.columns[df.columns.duplicated()][0]
        raise PromptError(f"column {twice!r} appears more than once, so a row can't be a dict; rename or drop the others")
    lists = [exact(df[label]) for label in df.columns]
    labels = list(df.columns)
    return [dict(zip(labels, values, strict=True)) for values in zip(*lists, strict=True)] if lists else [{} for _ in range(len(df))]


def aligned(df: pd.DataFrame, given: pd.Series, what: str) -> pd.Series:
    """Return a Series brought to the frame's rows: an equal index by position, else by a unique index.

    Raises
    ------
    ParameterError
        If the indexes differ and one of them has duplicates, or rows of the frame are not in the Series.
    """
    if given.index.equals(df.index):
        return given
    if not given.index.is_unique or not df.index.is_unique:
        raise ParameterError(f"the index of {what}= differs from the frame's and has duplicates, so its rows can't be matched")
    lost = df.index.difference(given.index)
    if len(lost):
        raise ParameterError(f"{what}= has no value for {len(lost):,} rows of the frame, the first is {lost[0]!r}")
    return given.reindex(df.index)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) and not isinstance(value, np.floating) else (
        float(str(value)) if isinstance(value, np.floating) else value
    )  # fmt: skip
