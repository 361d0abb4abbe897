"""Interval of a ratio of means of the same rows: an amount a row over a proportion of rows."""

from __future__ import annotations

import math

import numpy as np

from . import Array
from .proportions import LEVEL, normal_quantile, wilson


def amount_per_success(amounts: Array, successes: Array) -> tuple[float, float, float]:
    """Return the amount per success and its 95 % interval; all nan where there is no success or an amount is unknown.

    Parameters
    ----------
    amounts : array of float
        An amount of each row, such as its cost.
    successes : array of bool
        Which rows are a success.

    Notes
    -----
    Fieller's equation for a ratio of correlated means (E. C. Fieller, "Some Problems in Interval Estimation", Journal of the Royal
    Statistical Society B 16 (1954), 175-185), with Wilson's limits of the proportion in place of a normal interval, as in A. Donner
    and G. Y. Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation", Statistical Methods in
    Medical Research 21 (2012), 347-359. So it also holds where few rows are a success, or nearly all.

    Examples
    --------
    >>> [round(value, 2) for value in amount_per_success(np.array([2.0] * 50), np.arange(50) < 40)]
    [2.5, 2.25, 2.99]
    """
    rows, hits = len(amounts), int(successes.sum())
    if not hits or not np.isfinite(amounts).all():
        return math.nan, math.nan, math.nan
    mean, share = float(amounts.mean()), hits / rows
    if not mean:
        return 0.0, 0.0, 0.0
    relative = amounts / mean
    half = normal_quantile(LEVEL) * float(relative.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    least, most = wilson(hits, rows)
    correlation, below = _correlation(relative, successes), min(half, 1.0)
    product, constant = share - correlation * below * (most - share), 1 - below**2
    low = constant / (product + _root(product, share**2 - (most - share) ** 2, constant)) if constant else 0.0
    product, square = share - correlation * half * (share - least), share**2 - (share - least) ** 2
    high = (product + _root(product, square, 1 - half**2)) / square
    return mean / share, mean * low, mean * high


def _root(product: float, square: float, constant: float) -> float:
    return math.sqrt(max(product**2 - square * constant, 0.0))


def _correlation(amounts: Array, successes: Array) -> float:
    """Return Pearson's correlation, 0 where one of the two doesn't vary; the mean of the amounts is 1."""
    if np.ptp(amounts) < 1e-9 or successes.all():
        return 0.0
    return float(np.corrcoef(amounts, successes)[0, 1])
