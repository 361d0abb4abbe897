"""Two proportions of the same rows: the interval of their difference, and McNemar's test."""

from __future__ import annotations

import math
from itertools import accumulate

from . import Array
from .proportions import LEVEL, normal_quantile


def discordant(left: Array, right: Array) -> tuple[int, int]:
    """Return how many rows only the left one has right, and only the right one.

    Examples
    --------
    >>> import numpy as np
    >>> discordant(np.array([True, True, False]), np.array([True, False, False]))
    (1, 0)
    """
    return int((left & ~right).sum()), int((right & ~left).sum())


def paired_difference(only_left: int, only_right: int, rows: int, level: float = LEVEL) -> tuple[float, float, float]:
    """Return the difference of two proportions of the same rows, and its interval.

    Notes
    -----
    D. G. Bonett and R. M. Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
    Data", Journal of Educational and Behavioral Statistics 37 (2012), 479-488: one row is added to either count.

    Examples
    --------
    >>> [round(value, 4) for value in paired_difference(26, 4, 48)]
    [0.4583, 0.2548, 0.6252]
    """
    left, right = (only_left + 1) / (rows + 2), (only_right + 1) / (rows + 2)
    half = normal_quantile(level) * math.sqrt((left + right - (left - right) ** 2) / (rows + 2))
    return (only_left - only_right) / rows, max(-1.0, left - right - half), min(1.0, left - right + half)


def paired_score_interval(only_left: int, only_right: int, rows: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of the difference of two proportions of the same rows, (nan, nan) without rows.

    The left one is not inferior to the right one by a margin, at a one-sided error of ``(1 - level) / 2``, where the lower end is
    above ``-margin``.

    Notes
    -----
    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", Statistics
    in Medicine 17 (1998), 891-908. It holds for few rows where only one of the two is right, and for none, too.

    Examples
    --------
    >>> [round(end, 4) for end in paired_score_interval(12, 2, 50)]
    [0.0611, 0.3447]
    >>> [round(end, 4) for end in paired_score_interval(0, 0, 100)]
    [-0.037, 0.037]
    """
    if not rows:
        return math.nan, math.nan
    z = normal_quantile(level)
    return -_upper_end(only_right, only_left, rows, z), _upper_end(only_left, only_right, rows, z)


def _upper_end(only_left: int, only_right: int, rows: int, z: float) -> float:
    """Return the greatest difference whose score statistic is at least ``-z``, by bisection."""
    low, high = (only_left - only_right) / rows, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(only_left, only_right, rows, middle) >= -z else (low, middle)
    return high


def _score(only_left: int, only_right: int, rows: int, difference: float) -> float:
    """Return Tango's statistic; its nuisance parameter is the likeliest chance that only the right one is right."""
    linear = (2 * rows - only_left + only_right) * difference - only_left - only_right
    constant = -only_right * difference * (1 - difference)
    chance = (math.sqrt(max(linear**2 - 8 * rows * constant, 0.0)) - linear) / (4 * rows)
    variance = rows * (2 * chance + difference * (1 - difference))
    distance = only_left - only_right - rows * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def mcnemar(only_left: int, only_right: int) -> float:
    """Return the two-sided exact p value of McNemar's test from the numbers of rows where only one of the two is right.

    Notes
    -----
    Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution in place of its approximation.

    Examples
    --------
    >>> mcnemar(1, 9)
    0.021484375
    """
    trials = only_left + only_right
    ways = accumulate(range(min(only_left, only_right)), lambda n, k: n * (trials - k) // (k + 1), initial=1)
    return min(1.0, float(2 * sum(ways) / 2**trials))
