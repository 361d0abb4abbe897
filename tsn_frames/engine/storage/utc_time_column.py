"""Times of the frames of cache and ledger. pandas is imported only when a frame is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def utc_times(seconds: Iterable[float]) -> pd.Series:
    """Return POSIX seconds as times of UTC in microseconds, as in the column ``answered_at``.

    They have no zone: Excel has none, and pandas' ``to_excel`` refuses times that have one.
    """
    import numpy as np
    import pandas as pd

    return pd.Series(np.rint(pd.Series(seconds, dtype="float64").to_numpy() * 1e6).astype("datetime64[us]"))
