"""Estimate of a label's share in a frame, or in a population, from gold rows drawn at random and the predicted label of every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import Array

DRAWS = 10_000


@dataclass(frozen=True)
class Stratum:
    """Rows with, or without, a predicted label: how many there are, how many of them have gold, and how many of these are it."""

    rows: int
    read: int
    hits: int

    @property
    def rate(self) -> float:
        """The estimated chance that a row is it; a half where no row was read."""
        return self.hits / self.read if self.read else 0.5


def frame_share(strata: tuple[Stratum, Stratum], known: tuple[int, int], level: float) -> tuple[float, float, float]:
    """Return the share of a label in a finite frame, and its interval.

    Parameters
    ----------
    strata : two of Stratum
        The rows that the model gave the label, and all others.
    known : two of int
        Rows beside them whose gold is known without a draw, and how many of these are it.
    level : float
        Such as 0.95.

    Notes
    -----
    In each stratum the unread rows that are it are drawn from a binomial distribution, whose chance is drawn from
    Beta(hits, misses + 1) or Beta(hits + 1, misses), each half of the time: the mid-p confidence distribution of a
    proportion. The strata are added, and the quantiles of the sums are the interval.
    M. P. Fay, M. A. Proschan and E. Brittain, "Combining One-Sample Confidence Procedures for Inference in the Two-Sample
    Case", Biometrics 71 (2015), 146-156, describe the melding of such distributions.

    Examples
    --------
    >>> [round(value, 3) for value in frame_share((Stratum(120, 20, 18), Stratum(880, 80, 2)), (0, 0), 0.95)]
    [0.13, 0.103, 0.176]
    """
    rows = sum(stratum.rows for stratum in strata) + known[0]
    estimate = known[1] + sum(stratum.hits + (stratum.rows - stratum.read) * stratum.rate for stratum in strata)
    rng = np.random.default_rng(0)
    totals = known[1] + sum(s.hits + rng.binomial(s.rows - s.read, _chances(s.hits, s.read, rng)) for s in strata)
    low, high = np.quantile(totals, [(1 - level) / 2, (1 + level) / 2]) / rows
    return estimate / rows, float(low), float(high)


def population_share(strata: tuple[Stratum, Stratum], level: float) -> tuple[float, float, float]:
    """Return the share of a label in the population of which the frame is a random sample, and its interval.

    The share of the rows that the model gives the label is drawn, too.

    Examples
    --------
    >>> [round(value, 3) for value in population_share((Stratum(120, 20, 18), Stratum(880, 80, 2)), 0.95)]
    [0.13, 0.097, 0.181]
    """
    said, other = strata
    rows = said.rows + other.rows
    rng = np.random.default_rng(0)
    weight = _chances(said.rows, rows, rng)
    shares = weight * _chances(said.hits, said.read, rng) + (1 - weight) * _chances(other.hits, other.read, rng)
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return (said.rows * said.rate + other.rows * other.rate) / rows, float(low), float(high)


def _chances(hits: int, read: int, rng: np.random.Generator) -> Array:
    """Return draws from the mid-p confidence distribution of a proportion: all 0 to all 1 where nothing was read."""
    coin = rng.integers(0, 2, DRAWS)
    one, other = rng.standard_gamma(hits + coin), rng.standard_gamma(read - hits + 1 - coin)  # a quotient of them is a Beta
    return one / (one + other)
