"""Balanced accuracy, macro F1 and Cohen's kappa from the distinct pairs of gold and label.

The counts of the pairs may have leading axes: then each metric is an array, as the bootstrap needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import Array


@dataclass(frozen=True)
class LabelCounts:
    """Rows by gold label, by predicted label and by label where both agree (last axis: labels), and all rows."""

    gold: Array
    predicted: Array
    hits: Array
    rows: Array


@dataclass(frozen=True)
class ConfusionCounts:
    """The distinct pairs of gold and label of some rows; a label is a code from 0, a missing one is -1.

    Examples
    --------
    >>> pairs = ConfusionCounts.of(np.array([0, 0, 1, 1]), np.array([0, 1, 1, -1]), 2)
    >>> balanced_accuracy(pairs.by_label(pairs.counts)).item()
    0.5
    """

    gold: Array
    predicted: Array
    counts: Array
    labels: int

    @classmethod
    def of(cls, gold: Array, predicted: Array, labels: int) -> ConfusionCounts:
        """Count the pairs of two arrays of codes; gold has no gaps."""
        cells, counts = np.unique(gold.astype(np.int64) * (labels + 1) + predicted + 1, return_counts=True)
        return cls(cells // (labels + 1), cells % (labels + 1) - 1, counts, labels)

    def by_label(self, counts: Array) -> LabelCounts:
        """Return the rows of each label for counts of the pairs."""
        gold, predicted = _indicators(self.gold, self.labels), _indicators(self.predicted, self.labels)
        return LabelCounts(counts @ gold, counts @ predicted, counts @ (gold * predicted), np.asarray(counts.sum(axis=-1)))


def balanced_accuracy(counted: LabelCounts) -> Array:
    """Return the mean recall of the labels that gold has."""
    return _over(_over(counted.hits, counted.gold, empty=0.0).sum(axis=-1), (counted.gold > 0).sum(axis=-1))


def macro_f1(counted: LabelCounts) -> Array:
    """Return the mean F1 of the labels that gold or the model has."""
    both = counted.gold + counted.predicted
    return _over(_over(2 * counted.hits, both, empty=0.0).sum(axis=-1), (both > 0).sum(axis=-1))


def kappa(pairs: ConfusionCounts, counts: Array, *, ordered: bool) -> Array:
    """Return Cohen's kappa of pairs without gaps, nan where it is undefined; with quadratic weights for ordered labels.

    Notes
    -----
    J. Cohen, Educational and Psychological Measurement 20 (1960), 37-46, and Psychological Bulletin 70 (1968), 213-220: one
    less the ratio of the observed disagreement to that expected from the margins.

    Examples
    --------
    >>> pairs = ConfusionCounts.of(np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15]), 2)
    >>> round(kappa(pairs, pairs.counts, ordered=False).item(), 3)
    0.4
    """
    places = np.arange(pairs.labels)
    apart = np.subtract.outer(places, places).astype(float)
    weights = apart**2 if ordered else (apart != 0).astype(float)
    counted = pairs.by_label(counts)
    observed = (counts * weights[pairs.gold, pairs.predicted]).sum(axis=-1) * counted.rows
    expected = ((counted.gold @ weights) * counted.predicted).sum(axis=-1)
    return np.asarray(1 - _over(observed, expected))


def _indicators(codes: Array, labels: int) -> Array:
    return np.asarray(codes[:, None] == np.arange(labels), dtype=float)


def _over(value: Any, by: Any, empty: float = np.nan) -> Array:
    """Return a quotient, ``empty`` where the divisor is 0."""
    value, by = np.broadcast_arrays(np.asarray(value, dtype=float), np.asarray(by, dtype=float))
    quotient: Array = np.divide(value, by, out=np.full(value.shape, empty), where=by != 0)
    return quotient
