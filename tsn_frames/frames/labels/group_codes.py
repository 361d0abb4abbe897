"""Rows of a frame by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import ParameterError
from ...text import did_you_mean, quoted

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Groups:
    """Each row's group by its position in ``index``, which is None where the frame is one group."""

    codes: Array
    index: pd.Index[Any] | None

    def rows(self) -> list[Array]:
        """Return for each group which rows belong to it."""
        return [self.codes == code for code in range(1 if self.index is None else len(self.index))]


def groups_of(df: pd.DataFrame, by: Any) -> Groups:
    """Return the groups of a frame; missing values are a separate group."""
    if by is None:
        return Groups(np.zeros(len(df), dtype=np.int64), None)
    known = [*df.columns, *(level for level in df.index.names if level is not None)]
    for name in by if isinstance(by, list) else [by]:
        if isinstance(name, (str, int, tuple)) and name not in known:
            raise ParameterError(f"by={quoted(by)}: the frame has no column {quoted(name)}; {did_you_mean(name, known)}")
    grouped = df.groupby(by, dropna=False, observed=True)
    return Groups(grouped.ngroup().to_numpy(), grouped.size().index)
