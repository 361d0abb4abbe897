"""Tokens and money of a row over all of its requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


class UsageTotals:
    """Sums over the requests of each row. A sum with an unknown cost in it is unknown."""

    def __init__(self, rows: int) -> None:
        self._sums = {name: np.zeros(rows) for name in (*TOKENS, "cost")}
        self._known = {name: np.zeros(rows, dtype=bool) for name in TOKENS}
        self._unpriced, self._sent, self._missed = (np.zeros(rows, dtype=bool) for _ in range(3))

    def add(self, rows: np.ndarray[Any, Any], frame: pd.DataFrame) -> None:
        """Add the requests of some rows, as ``complete`` reports them."""
        for name, sums in self._sums.items():
            values = frame[name].to_numpy(dtype=float, na_value=np.nan)
            known = ~np.isnan(values)
            sums[rows] += np.where(known, values, 0.0)
            if name == "cost":
                self._unpriced[rows] |= ~known
            else:
                self._known[name][rows] |= known
        self._sent[rows] = True
        self._missed[rows] |= ~frame["cached"].to_numpy(dtype=bool, na_value=False)

    def columns(self) -> dict[str, Any]:
        """Return ``prompt_tokens, completion_tokens, total_tokens`` (Int64), ``cost`` (Float64) and ``cached`` (boolean)."""
        tokens = {name: pd.arrays.IntegerArray(self._sums[name].astype("int64"), ~self._known[name]) for name in TOKENS}
        cached = pd.array(self._sent & ~self._missed, dtype="boolean")
        return {**tokens, "cost": pd.arrays.FloatingArray(self._sums["cost"].copy(), self._unpriced.copy()), "cached": cached}
