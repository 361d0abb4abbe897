"""Krippendorff's alpha of any number of raters, with gaps, for nominal or ordinal labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import Array


@dataclass(frozen=True)
class Ratings:
    """The distinct patterns of ratings of a row: how often each label was given to it, and how many rows are like that."""

    patterns: Array
    counts: Array

    @classmethod
    def of(cls, codes: Array, labels: int) -> Ratings:
        """Count ratings: a row per text, a column per rater, -1 for a gap; rows with fewer than two ratings are left out."""
        given = (codes[:, :, None] == np.arange(labels)).sum(axis=1)
        patterns, counts = np.unique(given[given.sum(axis=1) > 1], axis=0, return_counts=True)
        return cls(patterns.reshape(-1, labels), counts)


def alpha(ratings: Ratings, counts: Array, *, ordered: bool) -> Array:
    """Return alpha, nan where it is undefined; ``counts`` of the patterns may have leading axes.

    Notes
    -----
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): one less the ratio of the observed disagreement
    within rows to that expected from all ratings. The ordinal distance of two labels is the distance of their mid-ranks.

    Examples
    --------
    >>> ratings = Ratings.of(np.array([[0, 0], [1, 1], [0, 1], [1, 1]]), 2)
    >>> round(alpha(ratings, ratings.counts, ordered=False).item(), 3)
    0.533
    """
    given = ratings.patterns.astype(float)
    margins = counts @ given
    if ordered:
        ranks = np.cumsum(margins, axis=-1) - margins / 2
        within, overall = _square_distances(given, ranks[..., None, :]), _square_distances(margins, ranks)
    else:
        within, overall = _unequal(given), _unequal(margins)
    observed = (counts * within / (given.sum(axis=-1) - 1)).sum(axis=-1)
    expected = np.asarray(overall / np.maximum(margins.sum(axis=-1) - 1, 1))
    ratio: Array = np.divide(observed, expected, out=np.full(expected.shape, np.nan), where=expected > 0)
    return np.asarray(1 - ratio)


def _unequal(given: Array) -> Array:
    """Return the ordered pairs of unequal ratings."""
    pairs: Array = given.sum(axis=-1) ** 2 - (given**2).sum(axis=-1)
    return pairs


def _square_distances(given: Array, ranks: Array) -> Array:
    """Return the sum of the squared distances of all ordered pairs of ratings."""
    number, linear, square = given.sum(axis=-1), (given * ranks).sum(axis=-1), (given * ranks**2).sum(axis=-1)
    distances: Array = 2 * (number * square - linear**2)
    return distances
