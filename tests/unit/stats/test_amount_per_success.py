"""An amount per success: its interval, and how often that holds the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.stats.amount_per_success import amount_per_success
from tsn_frames.stats.proportions import wilson


@given(st.integers(1, 100), st.integers(0, 100), st.floats(0.01, 100))
def test_equal_amounts_give_the_inverse_of_wilsons_interval(hits, misses, amount):
    rows = hits + misses
    value, low, high = amount_per_success(np.full(rows, amount), np.arange(rows) < hits)
    least, most = wilson(hits, rows)
    assert (value, low, high) == pytest.approx((amount * rows / hits, amount / most, amount / least))


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=60))
def test_the_interval_holds_its_estimate(rows):
    amounts, successes = (np.array(column) for column in zip(*rows, strict=True))
    value, low, high = amount_per_success(amounts, successes)
    if successes.any():
        assert 0 <= low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9) and np.isfinite(high)
    else:
        assert np.isnan([value, low, high]).all()


def test_an_unknown_amount_makes_it_unknown():
    assert np.isnan(amount_per_success(np.array([1.0, np.nan]), np.array([True, True]))).all()


@pytest.mark.slow
@pytest.mark.parametrize("slope", [-0.15, 0.0, 0.15])
@pytest.mark.parametrize("spread", [0.1, 0.75])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("rows", [20, 100, 400])
def test_it_covers_the_truth_where_amounts_vary_and_go_with_success(rows, share, spread, slope):
    rng, covered, draws = np.random.default_rng(rows), [], 1_000
    size = slope * min(share, 1 - share)

    def sample(*shape):
        x = rng.normal(size=shape)
        return np.exp(spread * x), rng.random(shape) < np.clip(share + size * x, 0, 1)

    amounts, successes = sample(400_000)
    truth = amounts.mean() / successes.mean()
    for one, right in zip(*sample(draws, rows), strict=True):
        _, low, high = amount_per_success(one, right)
        covered += [low <= truth <= high] if right.any() else []
    assert np.mean(covered) >= 0.91  # 0.93 less some two standard errors
