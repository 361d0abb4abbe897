"""Accuracy, balanced accuracy, macro F1 and Cohen's kappa from the distinct pairs of gold and label.

The counts of the pairs may have leading axes: then each metric is an array, as the bootstrap needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tallies:
    """Rows by gold label, by predicted label and by label where both agree (last axis: labels), and all rows."""

    gold: Array
    said: Array
    hits: Array
    rows: Array


@dataclass(frozen=True)
class Pairs:
    """The distinct pairs of gold and label of some rows; a label is a code from 0, a missing one is -1.

    Examples
    --------
    >>> pairs = Pairs.of(np.array([0, 0, 1, 1]), np.array([0, 1, 1, -1]), 2)
    >>> accuracy(pairs.tallies(pairs.counts)).item()
    0.5
    """

    gold: Array
    said: Array
    counts: Array
    labels: int

    @classmethod
    def of(cls, gold: Array, said: Array, labels: int) -> Pairs:
        """Count the pairs of two arrays of codes; gold has no gaps."""
        cells, counts = np.unique(gold.astype(np.int64) * (labels + 1) + said + 1, return_counts=True)
        return cls(cells // (labels + 1), cells % (labels + 1) - 1, counts, labels)

    def tallies(self, counts: Array) -> Tallies:
        """Return the tallies for counts of the pairs."""
        gold, said = _indicators(self.gold, self.labels), _indicators(self.said, self.labels)
        return Tallies(counts @ gold, counts @ said, counts @ (gold * said), np.asarray(counts.sum(axis=-1)))


def accuracy(tallies: Tallies) -> Array:
    """Return the share of rows whose label is right; a row without one is wrong."""
    return _over(tallies.hits.sum(axis=-1), tallies.rows)


def balanced_accuracy(tallies: Tallies) -> Array:
    """Return the mean recall of the labels that gold has."""
    return _over(_over(tallies.hits, tallies.gold, empty=0.0).sum(axis=-1), (tallies.gold > 0).sum(axis=-1))


def macro_f1(tallies: Tallies) -> Array:
    """Return the mean F1 of the labels that gold or the model has."""
    both = tallies.gold + tallies.said
    return _over(_over(2 * tallies.hits, both, empty=0.0).sum(axis=-1), (both > 0).sum(axis=-1))


def kappa(pairs: Pairs, counts: Array, *, ordered: bool) -> Array:
    """Return Cohen's kappa of pairs without gaps, nan where it is undefined; with quadratic weights for ordered labels.

    Notes
    -----
    J. Cohen, Educational and Psychological Measurement 20 (1960), 37-46, and Psychological Bulletin 70 (1968), 213-220: one
    less the ratio of the observed disagreement to that expected from the margins.

    Examples
    --------
    >>> pairs = Pairs.of(np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15]), 2)
    >>> round(kappa(pairs, pairs.counts, ordered=False).item(), 3)
    0.4
    """
    places = np.arange(pairs.labels)
    apart = np.subtract.outer(places, places).astype(float)
    weights = apart**2 if ordered else (apart != 0).astype(float)
    tallies = pairs.tallies(counts)
    observed = (counts * weights[pairs.gold, pairs.said]).sum(axis=-1) * tallies.rows
    expected = ((tallies.gold @ weights) * tallies.said).sum(axis=-1)
    return np.asarray(1 - _over(observed, expected))


def _indicators(codes: Array, labels: int) -> Array:
    return np.asarray(codes[:, None] == np.arange(labels), dtype=float)


def _over(value: Any, by: Any, empty: float = np.nan) -> Array:
    """Return a quotient, ``empty`` where the divisor is 0."""
    value, by = np.broadcast_arrays(np.asarray(value, dtype=float), np.asarray(by, dtype=float))
    quotient: Array = np.divide(value, by, out=np.full(value.shape, empty), where=by != 0)
    return quotient
