"""Percentile bootstrap of a statistic of counted rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import Array

DRAWS = 2_000
_AT_ONCE = 2_000_000  # numbers of one chunk of draws


def bootstrap_interval(statistic: Callable[[Array], Array], counts: Array, level: float, seed: int = 0) -> tuple[float, float]:
    """Return the percentile interval of a statistic, (nan, nan) where all or many draws are equal or undefined.

    Parameters
    ----------
    statistic : callable
        From counts of kinds of rows, with a leading axis of draws, to a value for each draw.
    counts : array
        How many rows of each kind there are. A draw is as many rows, drawn from them with replacement.
    level : float
        Such as 0.95.
    seed : int, default 0
        Equal counts give equal intervals.

    Notes
    -----
    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Examples
    --------
    >>> low, high = bootstrap_interval(lambda drawn: drawn[..., 0] / 100, np.array([30, 70]), 0.95)
    >>> 0.20 < low < 0.23 and 0.37 < high < 0.40
    True
    """
    rng, rows = np.random.default_rng(seed), int(counts.sum())
    chunk = max(1, min(DRAWS, _AT_ONCE // len(counts)))
    sizes = [min(chunk, DRAWS - done) for done in range(0, DRAWS, chunk)]
    values = np.concatenate([statistic(rng.multinomial(rows, counts / rows, size)) for size in sizes])
    values = values[np.isfinite(values)]
    if len(values) < 0.95 * DRAWS or np.ptp(values) < 1e-12:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
