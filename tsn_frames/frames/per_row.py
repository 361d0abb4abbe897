"""Parameters with one value, or one for each row: everything that ``DataFrame.assign`` takes, checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from ..api.parameters import check
from ..errors import ParameterError
from . import values


def resolve(df: pd.DataFrame, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the parameters that are the same for all rows, and those with a value for each."""
    constant: dict[str, Any] = {}
    varying: dict[str, list[Any]] = {}
    for name, value in given.items():
        if value is None:
            continue
        series = series_of(df, name, value)
        if series is None:
            constant[name] = _checked_constant(df, name, value)
        else:
            varying[name] = _checked(df, name, series)
    return constant, varying


def _checked_constant(df: pd.DataFrame, name: str, value: Any) -> Any:
    try:
        return check(name, value)
    except ParameterError as error:
        if isinstance(value, (list, tuple)) and len(value) == len(df):
            raise ParameterError(f"{error}; for a value in each row give a Series: {name}=pd.Series([...], df.index)") from None
        raise


def series_of(df: pd.DataFrame, name: str, value: Any) -> pd.Series | None:
    """Return the Series that a parameter is, or makes of the frame; None for a plain value."""
    if callable(value) or isinstance(value, getattr(pd.api.typing, "Expression", ())):  # pandas 3: pd.col("x")
        value = df.assign(tsn_value=value)["tsn_value"]
    if isinstance(value, np.ndarray) and value.ndim == 1:
        if len(value) != len(df):
            raise ParameterError(f"{name} has {len(value):,} values for {len(df):,} rows")
        value = pd.Series(value, index=df.index)
    return values.aligned(df, value, name) if isinstance(value, pd.Series) else None


def flags(df: pd.DataFrame, name: str, value: Any) -> list[bool]:
    """Return a boolean for each row."""
    series = series_of(df, name, value)
    if series is None or not pd.api.types.is_bool_dtype(series.dtype) or series.isna().any():
        raise ParameterError(f'{name} must be a boolean Series or a callable of the frame, such as {name}=out["error"].notna()')
    return [bool(flag) for flag in series]


def _checked(df: pd.DataFrame, name: str, series: pd.Series) -> list[Any]:
    gaps = series.isna().to_numpy(dtype=bool)
    if gaps.any():
        raise ParameterError(
            f"{name} is missing in {gaps.sum():,} rows, the first is {values.row_name(df.index, int(gaps.argmax()))}: fill or drop them"
        )
    out: list[Any] = []
    known: dict[Any, Any] = {}
    for position, value in enumerate(values.exact(series)):
        try:
            out.append(_checked_once(known, name, value))
        except ParameterError as error:
            raise ParameterError(f"in row {values.row_name(df.index, position)}: {error}") from None
    return out


def _checked_once(known: dict[Any, Any], name: str, value: Any) -> Any:
    """Return a checked value; one that was met before isn't checked again."""
    try:
        return known[type(value), value]
    except (KeyError, TypeError):  # new, or a list or dict, which can't be remembered
        checked = check(name, value)
    with suppress(TypeError):
        known[type(value), value] = checked
    return checked
