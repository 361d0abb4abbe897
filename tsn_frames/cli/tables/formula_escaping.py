"""Cells that a spreadsheet would run as a formula: written with an apostrophe in front, and read without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")


def escape(text: str) -> str:
    """Return a text that a spreadsheet shows and doesn't run; a number stays a number.

    >>> escape("=1+1"), escape("- yes"), escape("-5"), escape("'=1")
    ("'=1+1", "'- yes", '-5', "''=1")
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def unescape(text: str) -> str:
    """Undo :func:`escape`.

    >>> unescape("'=1+1"), unescape("''=1"), unescape("-5"), unescape("'tis")
    ('=1+1', "'=1", '-5', "'tis")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def mapped(df: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a frame with every text changed: headers, and the cells of columns that can hold texts."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    columns = {at: df.iloc[:, at] for at in range(df.shape[1])}
    out = {at: column.map(changed).astype(object) if _holds_texts(column) else column for at, column in columns.items()}
    frame = pd.DataFrame(out, index=df.index)
    frame.columns = pd.Index([changed(name) for name in df.columns], dtype=object)
    return frame


def _holds_texts(column: pd.Series) -> bool:
    kind = column.cat.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
    return pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind)
