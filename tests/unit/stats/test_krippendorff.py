"""Krippendorff's alpha, held to its author's example and to a plain computation of its definition."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.stats.krippendorff import Ratings, alpha

# Four observers and twelve units: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C. 0 is a gap.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


@pytest.mark.parametrize(("ordered", "published"), [(False, 0.743), (True, 0.815)])
def test_alpha_of_the_published_example(ordered, published):
    ratings = Ratings.of(np.array(OBSERVERS).T - 1, 5)
    assert round(float(alpha(ratings, ratings.counts, ordered=ordered)), 3) == published


def by_definition(codes, labels, *, ordered):
    """Alpha from the matrix of coincidences, pair by pair."""
    together = np.zeros((labels, labels))
    for row in codes:
        there = [code for code in row if code >= 0]
        for left, right in permutations(range(len(there)), 2):
            together[there[left], there[right]] += 1 / (len(there) - 1)
    margins = together.sum(axis=1)
    total = margins.sum()
    apart = np.ones((labels, labels)) - np.eye(labels)
    if ordered:
        for c in range(labels):
            for k in range(labels):
                low, high = min(c, k), max(c, k)
                apart[c, k] = (margins[low : high + 1].sum() - (margins[c] + margins[k]) / 2) ** 2 if c != k else 0
    expected = (np.outer(margins, margins) * apart).sum() / (total - 1) if total > 1 else 0
    return 1 - (together * apart).sum() / expected if expected else np.nan


@pytest.mark.parametrize("ordered", [False, True])
@given(codes=st.lists(st.lists(st.integers(-1, 3), min_size=4, max_size=4), min_size=1, max_size=30))
def test_alpha_equals_its_definition(codes, ordered):
    ratings = Ratings.of(np.array(codes), 4)
    found, wanted = float(alpha(ratings, ratings.counts, ordered=ordered)), by_definition(codes, 4, ordered=ordered)
    assert found == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_alpha_of_a_batch():
    ratings = Ratings.of(np.array(OBSERVERS).T - 1, 5)
    for ordered in (False, True):
        one = float(alpha(ratings, ratings.counts, ordered=ordered))
        double = float(alpha(ratings, 2 * ratings.counts, ordered=ordered))
        assert alpha(ratings, np.stack([ratings.counts, 2 * ratings.counts]), ordered=ordered) == pytest.approx([one, double])
