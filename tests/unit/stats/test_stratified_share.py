"""The corrected share's interval: coverage and width over frames whose true share is known."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from benchmarks.shares_coverage import SETTINGS, SIZES, Setting, experiment
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.stats.stratified_share import Stratum, frame_share, population_share

strata = st.integers(0, 40).flatmap(
    lambda rows: st.integers(0, rows).flatmap(lambda read: st.builds(Stratum, st.just(rows), st.just(read), st.integers(0, read)))
)


@given(strata, strata)
def test_the_interval_holds_the_estimate_and_lies_within_what_is_possible(said, other):
    rows = said.rows + other.rows
    if not rows:
        return
    share, low, high = frame_share((said, other), (0, 0), 0.95)
    least = (said.hits + other.hits) / rows
    most = 1 - (said.read - said.hits + other.read - other.hits) / rows
    assert least - 1e-12 <= low <= high <= most + 1e-12
    assert low - 0.5 / rows <= share <= high + 0.5 / rows  # the ends are whole rows


@given(strata, strata)
def test_a_frame_that_is_read_whole_has_no_uncertainty(said, other):
    if said.read + other.read:
        whole = Stratum(said.read, said.read, said.hits), Stratum(other.read, other.read, other.hits)
        share = (said.hits + other.hits) / (said.read + other.read)
        assert frame_share(whole, (0, 0), 0.95) == pytest.approx((share,) * 3)


def test_known_rows_count_as_they_are():
    share, low, high = frame_share((Stratum(0, 0, 0), Stratum(90, 90, 9)), (10, 6), 0.95)
    assert (share, low, high) == pytest.approx((0.15,) * 3)


def test_a_population_is_less_certain_than_a_frame():
    some = Stratum(120, 20, 18), Stratum(880, 80, 2)
    frame, population = frame_share(some, (0, 0), 0.95), population_share(some, 0.95)
    assert frame[0] == population[0] and population[1] < frame[1] and frame[2] < population[2]


def test_nothing_read_says_nothing():
    assert frame_share((Stratum(50, 0, 0), Stratum(50, 0, 0)), (0, 0), 0.95)[1:] == pytest.approx((0, 1))


SOME = [
    Setting(share, *size, model) for share, size, model in zip((0.005, 0.02, 0.10, 0.50), SIZES, ("good", "fair", "poor", "good"))
]


@pytest.mark.slow
@pytest.mark.parametrize("setting", SOME, ids=str)
def test_the_interval_covers_the_frames_share(setting):
    found = experiment(setting, 300)
    assert found.covered >= 0.905  # 0.925 less some standard errors of 300 seeds


@pytest.mark.slow
@pytest.mark.parametrize("setting", SOME[1:], ids=str)
def test_the_interval_covers_the_populations_share(setting):
    assert experiment(setting, 300, population=True).covered >= 0.905


@pytest.mark.soak
@pytest.mark.first
@pytest.mark.timeout(3600)
def test_coverage_and_width_in_105_settings():
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        found = dict(zip(SETTINGS, pool.map(partial(experiment, seeds=2_000), SETTINGS), strict=True))
    covers = {setting: one.covered for setting, one in found.items()}
    assert len(covers) == 105 and min(covers.values()) >= 0.925, min(covers, key=covers.__getitem__)
    assert 0.95 <= np.mean(list(covers.values())) <= 0.975
    for gold, widest in ((100, 0.75), (400, 0.65)):
        assert np.median([one.width for setting, one in found.items() if setting.gold == gold]) <= widest
