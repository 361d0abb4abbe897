"""Pilot statistics: draw a sample of requests, and estimate a total from it with a 95 % interval. Pure.

Long prompts carry most of a frame's cost and are rare, so a simple random sample often misses them, and its t interval is
too short. Three textbook methods are combined:

- *Systematic sampling with probability proportional to size* from the requests sorted by size. (W. G. Madow, "On the theory
  of systematic sampling, II", Annals of Mathematical Statistics 20, 1949; W. G. Cochran, "Sampling Techniques", 3rd ed. 1977,
  section 9A.10.) A size is the length plus the mean length, so that costs that don't depend on the length are covered, too.
- *The generalised regression estimator*: the known lengths of all requests correct the sample; residuals are divided by one
  minus their leverage. (C. E. Särndal, B. Swensson and J. Wretman, "Model Assisted Survey Sampling", 1992, chapter 6.)
- *Hall's transformation* with Student's t, which corrects the interval for skewness. (P. Hall, "On the removal of skewness by
  transformation", Journal of the Royal Statistical Society B 54, 1992, 221-228; R. Willink, "A confidence interval and test
  for the mean of an asymmetric distribution", Communications in Statistics 34, 2005, 753-766.) The degrees of freedom are
  Satterthwaite's, by the kurtosis of the residuals: few, where a few requests make up most of the variance. (F. E.
  Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946, 110-114.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
MIN_SAMPLE = 10  # answers; fewer give no interval


class Range(NamedTuple):
    """A quantity that isn't known exactly; None where there is no such bound."""

    low: float | None
    expected: float | None
    high: float | None


@dataclass(frozen=True)
class Sample:
    """Drawn requests, and how many of the others each represents: the inverse of its inclusion probability, less one."""

    positions: Array
    weights: Array


def draw(lengths: Array, number: int, seed: int) -> Sample:
    """Return a systematic sample of requests with probability proportional to size.

    The same lengths and seed give the same sample in every process, so that a pilot that is run again finds its answers cached.
    """
    if number >= len(lengths):
        return Sample(np.arange(len(lengths)), np.zeros(len(lengths)))
    sizes = lengths + lengths.mean()
    chances = _inclusion_probabilities(sizes, number)
    order = np.argsort(sizes, kind="stable")
    ends = np.cumsum(chances[order])
    start = Random(seed).random()  # noqa: S311 - Python keeps its sequence across versions, numpy does not
    points = (start + np.arange(number)) / number * ends[-1]
    positions = order[np.searchsorted(ends, points, side="right")]
    return Sample(positions, 1 / chances[positions] - 1)


def _inclusion_probabilities(sizes: Array, number: int) -> Array:
    """Return probabilities in proportion to size that add up to ``number``, none above 1."""
    certain = np.zeros(len(sizes), dtype=bool)
    while True:
        chances = np.where(certain, 1.0, (number - certain.sum()) * sizes / sizes[~certain].sum())
        if (chances <= 1).all():
            return chances
        certain |= chances > 1


def total(known: Array, values: Array, weights: Array, rest: Array) -> Range:
    """Return the total of the requests that weren't drawn, with a 95 % interval.

    ``known``, ``values`` and ``weights`` are lengths, values and weights of the drawn requests, ``rest`` the lengths of the others.
    """
    x, sums = np.column_stack([np.ones_like(known), known]), np.array([len(rest), rest.sum()])
    weighted = (x * (weights + 1)[:, None]).T
    fit = np.linalg.pinv(weighted @ x) @ weighted  # weighted least squares
    calibrated = weights + (sums - weights @ x) @ fit
    leverage = np.minimum(np.einsum("ij,ji->i", x, fit), 0.9)
    residuals = (values - x @ (fit @ values)) / (1 - leverage)
    spread = np.sqrt(np.abs(calibrated) * (np.abs(calibrated) + 1)) * residuals
    expected = float(calibrated @ values)
    low, high = _interval(expected, spread)
    return Range(max(0.0, low), max(0.0, expected), max(0.0, high))


def _interval(estimate: float, spread: Array) -> tuple[float, float]:
    """Return a 95 % interval around a sum of independent terms, by Hall's transformation."""
    n, p = len(spread), 2  # terms, and coefficients of the regression: a constant and the length
    error = math.sqrt(float((spread**2).sum()))
    if error <= 1e-12 * abs(estimate):
        return estimate, estimate
    skewness = float((spread**3).sum()) / error**3 * math.sqrt(n * (n - p)) / (n - 2 * p)  # as G1, for a regression's residuals
    kurtosis = max(3.0, n * float((spread**4).sum()) / error**4)
    width = student(min(n - p, 2 * n / (kurtosis - 1)))  # a variance's coefficient of variation is that of this chi-squared
    return estimate - error * _inverse_hall(width, skewness), estimate - error * _inverse_hall(-width, skewness)


def _inverse_hall(value: float, skewness: float) -> float:
    """Return the statistic whose Hall transform is ``value``."""
    if abs(skewness) < 1e-9:
        return value
    return 3 / skewness * (math.cbrt(1 + skewness * (value - skewness / 6)) - 1)


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, by Cornish and Fisher's expansion: within 0.001 from 8 degrees on, 4 % from 2."""
    z, n = NormalDist().inv_cdf(0.975), freedom
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum(term / n**power for power, term in enumerate(terms, 1))
