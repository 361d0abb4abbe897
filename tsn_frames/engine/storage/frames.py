"""Columns that the frames of cache and ledger share. The engine knows no pandas: it is imported when a frame is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TOKEN_COLUMNS = ("prompt_tokens", "completion_tokens", "total_tokens")


def utc_times(seconds: Iterable[float]) -> pd.Series:
    """Return POSIX seconds as times; the unit is the one of the column ``answered_at``, also where there are none."""
    import pandas as pd

    return pd.to_datetime(pd.Series(seconds, dtype="float64"), unit="s", utc=True).astype("datetime64[us, UTC]")
