"""Systematic sample of rows: each with the same chance, in proportion within groups."""

from __future__ import annotations

import numpy as np

from . import Array


def systematic_sample(groups: Array, number: int, rng: np.random.Generator) -> Array:
    """Return the positions of ``number`` rows, in ascending order.

    Every row has the same chance, ``number / len(groups)``, and a group gets its exact share of the rows, rounded up or down.
    Within a group, and where all rows are of one group, it is a simple random sample.

    Notes
    -----
    W. G. Madow and L. H. Madow, "On the Theory of Systematic Sampling", Annals of Mathematical Statistics 15 (1944), 1-24:
    a systematic sample with a random start, here from the rows sorted by group and, within a group, in random order.

    Examples
    --------
    >>> groups = np.repeat([0, 1], [30, 70])
    >>> np.bincount(groups[systematic_sample(groups, 10, np.random.default_rng(0))]).tolist()
    [3, 7]
    """
    order = np.lexsort([rng.permutation(len(groups)), groups])
    start = rng.random()
    places = ((np.arange(number) + start) * len(groups) / max(number, 1)).astype(np.int64)
    return np.sort(order[places])
