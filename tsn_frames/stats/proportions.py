"""Intervals of proportions: Wilson, F1, and a mean of proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

LEVEL = 0.95


def normal_quantile(level: float) -> float:
    """Return the number of standard errors on either side of a normal interval.

    Examples
    --------
    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a proportion, (nan, nan) where there were no trials.

    Notes
    -----
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
    Statistical Association 22 (1927), 209-212. It stays between 0 and 1, and holds for few rows, too.

    Examples
    --------
    >>> [round(end, 4) for end in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if not trials:
        return math.nan, math.nan
    z = normal_quantile(level)
    share, square = successes / trials, z * z / trials
    middle, half = share + square / 2, z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return 0.0 if not successes else low, 1.0 if successes == trials else high


def f1_interval(hits: int, either: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of an F1 from its hits and the rows where gold or model, or both, have the label.

    Notes
    -----
    F1 = 2 J / (1 + J) grows with J = hits / either, which is a proportion of rows: so the ends are those of Wilson's
    interval of J. On J see D. J. Hand, P. Christen and N. Kirielle, "F*: an interpretable transformation of the F-measure",
    Machine Learning 110 (2021), 451-456.

    Examples
    --------
    >>> [round(end, 3) for end in f1_interval(40, 50)]
    [0.802, 0.94]
    """
    low, high = (2 * end / (1 + end) for end in wilson(hits, either, level))
    return low, high


def mean_of_proportions(successes: Sequence[int], trials: Sequence[int], level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of the unweighted mean of independent proportions.

    Notes
    -----
    The method of variance estimates recovery (G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008), 1693-1702): the
    distances from the estimates to the ends of their Wilson intervals are added as squares.

    Examples
    --------
    >>> [round(end, 3) for end in mean_of_proportions([45, 20], [50, 30])]
    [0.677, 0.859]
    """
    shares = [hits / all_ for hits, all_ in zip(successes, trials, strict=True)]
    ends = [wilson(hits, all_, level) for hits, all_ in zip(successes, trials, strict=True)]
    mean, many = sum(shares) / len(shares), len(shares)
    below = math.sqrt(sum((share - low) ** 2 for share, (low, _) in zip(shares, ends, strict=True))) / many
    above = math.sqrt(sum((high - share) ** 2 for share, (_, high) in zip(shares, ends, strict=True))) / many
    return max(0.0, mean - below), min(1.0, mean + above)
