"""Two proportions of the same rows: held equal to statsmodels, a published example and brute force, and the error of the test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.stats.paired_proportions import mcnemar, paired_difference, paired_score_interval


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_equals_statsmodels(left, right):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    assert mcnemar(left, right) == pytest.approx(tables.mcnemar([[5, left], [right, 7]], exact=True).pvalue, abs=1e-12)


def test_the_paired_difference_equals_a_published_example():
    """The example of ci.prop.ps in the R package statpsych, by the authors of the method."""
    assert paired_difference(26, 4, 48)[1:] == pytest.approx((0.2548067, 0.6251933), abs=1e-6)


def statistic(only_left, only_right, rows, difference):
    """Tango's score statistic, with the nuisance parameter that makes the counts likeliest found by search."""
    optimize = pytest.importorskip("scipy.optimize")
    least, most = max(0.0, -difference), (1 - difference) / 2

    def unlikely(chance):
        chances = np.array([chance + difference, chance, 1 - 2 * chance - difference])
        counts = np.array([only_left, only_right, rows - only_left - only_right])
        return -(counts[counts > 0] * np.log(np.maximum(chances[counts > 0], 1e-300))).sum()

    chance = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * chance + difference - difference**2) / rows
    return ((only_left - only_right) / rows - difference) / np.sqrt(variance)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 60))
def test_the_score_intervals_ends_are_where_the_likelihood_says(only_left, only_right, others):
    rows = only_left + only_right + others
    low, high = paired_score_interval(only_left, only_right, rows)
    assert -1 < low <= (only_left - only_right) / rows <= high < 1
    assert statistic(only_left, only_right, rows, low) == pytest.approx(1.96, abs=0.01)
    assert statistic(only_left, only_right, rows, high) == pytest.approx(-1.96, abs=0.01)


def test_the_score_interval_of_equal_answers_still_allows_for_a_difference():
    low, high = paired_score_interval(0, 0, 100)
    assert (low, high) == pytest.approx((-0.037, 0.037), abs=1e-3)
    assert paired_score_interval(5, 0, 5)[1] == pytest.approx(1.0) and np.isnan(paired_score_interval(0, 0, 0)).all()


@pytest.mark.slow
@pytest.mark.parametrize("differ", [0.03, 0.1, 0.3])
@pytest.mark.parametrize("rows", [100, 400, 2_000])
def test_a_model_that_is_worse_by_the_margin_passes_in_about_1_of_40_samples(rows, differ):
    rng, margin = np.random.default_rng(rows), 0.02
    both = rng.multinomial(rows, [(differ + margin) / 2, (differ - margin) / 2, 1 - differ], 4_000)
    passed = np.mean([paired_score_interval(int(left), int(right), rows)[1] < margin for left, right, _ in both])
    assert passed <= 0.025 + 0.01  # and three standard errors
