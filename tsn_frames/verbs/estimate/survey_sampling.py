"""The statistics of a pilot: which requests are tried, and what all of them come to, judging by those. Pure.

Long prompts carry most of a frame's cost and are rare, so a plain random sample misses them now and then, and its t
interval is too short on the side that hurts. Three known remedies are put together:

- *A stratified sample with probability proportional to size.* The requests are sorted by size and cut into as many zones
  of equal size as there are to be tried; one is drawn from each, in proportion to its size. (W. G. Cochran, "Sampling
  Techniques", 3rd ed. 1977, chapters 5A and 9A.) A request that is as large as a zone is always tried. Sizes are
  ``DEFENCE`` parts constant, so that costs that have nothing to do with length do no harm.
- *The regression estimator.* What is known of all requests, their length, corrects the sample. (C. E. Särndal, B. Swensson
  and J. Wretman, "Model Assisted Survey Sampling", 1992, chapter 6.) Its residuals are divided by one less their
  leverage, as in the jackknife.
- *Hall's transformation*, which takes the skewness out of a t interval and leaves it longer on its upper side. (P. Hall,
  "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54, 1992, 221 to 228.) A small
  sample understates the skewness of a long tail, the more the longer that is (D. N. Joanes and C. A. Gill, "Comparing
  measures of sample skewness and kurtosis", The Statistician 47, 1998, 183 to 189). So the upper end is also that for a
  skewness that is ``1 + TAIL * skew ** 2`` times as large, if that is higher. ``TAIL`` was found by trial: it hardly changes
  the interval where lengths decide, and lets it hold more often where answers have a long tail of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
DEFENCE = 0.5  # so much of the mean size is added to each
TAIL = 2.0
LEAST = 10  # answers: from fewer no interval is drawn
CONFIDENCE = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


class Range(NamedTuple):
    """A number that isn't known exactly; None where there is no such bound."""

    low: float | None
    expected: float | None
    high: float | None


@dataclass(frozen=True)
class Sample:
    """The requests that are tried.

    Attributes
    ----------
    positions : integer array
        Which they are.
    weights : array of float
        How many of those that are still to be sent each stands for, itself not among them.
    chances : array of float
        How likely it was that each is tried.
    """

    positions: Array
    weights: Array
    chances: Array


def draw(lengths: Array, keys: Array, number: int, seed: int) -> Sample:
    """Return a random sample of requests, those of long prompts more often.

    Parameters
    ----------
    lengths : array of float
        What is known of each request's cost: its prompt's.
    keys : array of uint64
        A number of each request that is random and its own. The same keys and seed draw the same sample, in every process,
        so that a pilot that is run again finds its answers in the cache.
    number : int
        How many to try.
    seed : int
        Another seed draws another sample.

    Examples
    --------
    >>> sample = draw(np.array([1.0, 1, 1, 1, 50]), np.arange(5, dtype="u8"), 3, seed=0)
    >>> 4 in sample.positions, len(sample.positions)
    (True, 3)
    """
    if number >= len(lengths):
        return Sample(np.arange(len(lengths)), np.zeros(len(lengths)), np.ones(len(lengths)))
    sizes = lengths + DEFENCE * lengths.mean()
    order = np.lexsort((keys, sizes))
    rest = number
    while (large := sizes[order] >= sizes[order].sum() / rest).any() and not large.all():  # tried in any case
        rest -= int(large.sum())
        order = order[~large]
    zone = _zones(sizes[order], rest)
    turns = -np.log(_uniform(keys[order], seed)) / sizes[order]  # the first of exponentials: each wins by its size
    winners = order[_firsts(zone, turns)]
    chances = np.ones(len(lengths))
    chances[order] = sizes[order] / np.bincount(zone, sizes[order], rest)[zone]
    always = np.setdiff1d(np.arange(len(lengths)), order)
    positions = np.concatenate([always, winners])
    return Sample(positions, 1 / chances[positions] - 1, chances[positions])


def total(known: Array, values: Array, sample: tuple[Array, Array], rest: Array) -> Range:
    """Return what the requests that weren't tried come to, with a 95 % interval.

    Parameters
    ----------
    known, values : array of float
        Of each that was tried: its length, and what it came to.
    sample : (weights, chances)
        Of each that was tried, as in :class:`Sample`.
    rest : array of float
        The lengths of those that weren't.

    Examples
    --------
    >>> x = np.arange(1.0, 21)
    >>> found = total(x, 3 * x + 5, (np.full(20, 2.0), np.full(20, 1 / 3)), np.arange(1.0, 41))
    >>> round(found.low, 6), round(found.expected, 6), round(found.high, 6)
    (2660.0, 2660.0, 2660.0)
    """
    weights, chances = sample
    x, sums = np.column_stack([np.ones_like(known), known]), np.array([len(rest), rest.sum()])
    fitted = (x / (chances * (known + DEFENCE * known.mean()))[:, None]).T  # weighted least squares
    inverse = np.linalg.pinv(fitted @ x)
    left = values - x @ (inverse @ fitted @ values)
    calibrated = weights + (sums - weights @ x) @ inverse @ fitted
    expected = float(calibrated @ values)
    leverage = np.minimum(np.einsum("ij,jk,ki->i", x, inverse, fitted), 0.9)
    spread = np.sqrt(np.abs(calibrated) * (np.abs(calibrated) + 1)) * left / (1 - leverage)
    low, high = _interval(expected, spread)
    return Range(max(0.0, low), max(0.0, expected), max(0.0, high))


def _interval(estimate: float, spread: Array) -> tuple[float, float]:
    """Return an interval around a sum of independent parts, by Hall's transformation."""
    error = math.sqrt(float((spread**2).sum()))
    if error <= 1e-12 * abs(estimate):
        return estimate, estimate
    skew, width = float((spread**3).sum()) / error**3, student(len(spread) - 2)
    longer = skew * (1 + TAIL * skew**2)
    return estimate - error * _back(width, skew), estimate - error * min(_back(-width, skew), _back(-width, longer))


def _back(value: float, skew: float) -> float:
    """Return where Hall's function of a skewed statistic has a value."""
    if abs(skew) < 1e-9:
        return value
    return 3 / skew * (math.cbrt(1 + skew * (value - skew / 6)) - 1)


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, by Cornish and Fisher's expansion: within 0.001 from 8 degrees on.

    Examples
    --------
    >>> round(student(8), 3), round(student(28), 3)
    (2.306, 2.048)
    """
    z, n = CONFIDENCE, freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    shift: float = sum(term / n**power for power, term in enumerate(terms, 1))
    return z + shift


def _zones(sizes: Array, number: int) -> Array:
    """Return the zone of each of sorted sizes: zones of equal total size."""
    ends = np.cumsum(sizes)
    zone: Array = np.minimum((ends - sizes / 2) / ends[-1] * number, number - 1).astype(np.int64)
    return zone


def _firsts(zone: Array, turns: Array) -> Array:
    """Return the position of the smallest turn of each zone."""
    order = np.lexsort((turns, zone))
    return order[np.flatnonzero(np.diff(zone[order], prepend=-1))]


def _uniform(keys: Array, seed: int) -> Array:
    """Return a number between 0 and 1 for each key: SplitMix64's mix of the key and the seed."""
    with np.errstate(over="ignore"):
        mixed = keys + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53 + 2.0**-54
