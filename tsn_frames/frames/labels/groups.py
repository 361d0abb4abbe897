"""Rows of a frame by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...text import did_you_mean, quoted

Array = np.ndarray[Any, Any]


def groups_of(df: pd.DataFrame, by: Any) -> tuple[Array, pd.Index[Any] | None]:
    """Return each row's group by its position in an index of the groups, and the index, which is None where the frame is one group.

    Missing values are a separate group.
    """
    if by is None:
        return np.zeros(len(df), dtype=np.int64), None
    known = [*df.columns, *(level for level in df.index.names if level is not None)]
    for name in by if isinstance(by, list) else [by]:
        if isinstance(name, (str, int, tuple)) and name not in known:
            raise ParameterError(f"by={quoted(by)}: the frame has no column {quoted(name)}; {did_you_mean(name, known)}")
    grouped = df.groupby(by, dropna=False, observed=True)
    return grouped.ngroup().to_numpy(), grouped.size().index
