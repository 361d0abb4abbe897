"""Quotas of every kind, stated in every way: the rate that is reached and the refusals that it costs, on a fake clock.

A header is taken literally: at its reset all is back. Where that is wrong, one burst is refused before it is known.
"""

from __future__ import annotations

import random

import pytest
from support.fake_windows import Meter, Metered
from unit.engine.limits.test_limiter import SEEDS, drive

pytestmark = pytest.mark.pace
WHOLE = [("fixed", False), ("aligned", False), ("sliding", True), ("bucket", True)]  # at a reset all is back
FIRST = [("sliding", False), ("bucket", False)]  # at a reset the next unit is back
BURST = 24  # refusals: all that go at once at the first reset, and some of the next


def run_of(seed, kind, full=False, *, rows=500, workers=16, period=2.0, most=60, **options):
    dice = random.Random(seed)
    meter = Meter(kind, most, period, full, phase=dice.random() * period)
    result = drive(Metered(dice, meter, **options), rows, workers)
    return result.refused, result.rate(0.13, 0.97) / (most / period)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("early", [False, True], ids=["of its answer", "of its request"])
@pytest.mark.parametrize(("kind", "full"), WHOLE)
def test_a_quota_whose_reset_brings_all_back_is_used_up_with_few_refusals(kind, full, early, seed):
    refused, rate = run_of(seed, kind, full, early=early)
    assert refused <= (5 if kind != "sliding" else BURST)
    assert rate >= (0.95 if kind in ("fixed", "aligned") else 0.88)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("early", [False, True], ids=["of its answer", "of its request"])
@pytest.mark.parametrize(("kind", "full"), FIRST)
def test_a_quota_whose_reset_brings_the_next_one_back_costs_one_burst(kind, full, early, seed):
    refused, rate = run_of(seed, kind, full, early=early)
    assert refused <= BURST
    assert rate >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full"), [*WHOLE, *FIRST])
def test_resets_that_are_rounded_up_to_whole_seconds_cost_little(kind, full, seed):
    refused, rate = run_of(seed, kind, full, spelling="up")
    assert refused <= (BURST if "sliding" in kind or not full else 5)
    assert rate >= 0.9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding"])
def test_resets_that_are_rounded_down_cost_a_few_refusals_each_time(kind, seed):
    refused, rate = run_of(seed, kind, spelling="down")
    assert refused <= 60
    assert rate >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full"), WHOLE)
@pytest.mark.parametrize("on", ["refusals", "answers"])
def test_headers_on_some_responses_are_enough(kind, full, on, seed):
    refused, rate = run_of(seed, kind, full, on=on)
    assert refused <= (BURST if on == "refusals" else 5)
    assert rate >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hint", ["seconds", "ms", "message", "none"])
def test_a_quota_without_headers_costs_a_few_refusals_each_time(hint, seed):
    refused, rate = run_of(seed, "fixed", on="none", hint=hint)
    assert refused <= (45 if hint != "none" else 70)
    assert rate >= (0.85 if hint != "none" else 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full", "least"), [("fixed", False, 0.95), ("aligned", False, 0.95), ("sliding", True, 0.8),
                                                      ("bucket", True, 0.95), ("bucket", False, 0.95)])  # fmt: skip
def test_slow_answers_do_not_slow_the_quota_down(kind, full, least, seed):
    refused, rate = run_of(seed, kind, full, rows=1800, workers=100, most=300, period=60.0, seconds=10.0, spread=2.0)
    assert refused <= 5
    assert rate >= least


@pytest.mark.parametrize("seed", SEEDS)
def test_others_of_the_account_are_left_their_share(seed):
    dice = random.Random(seed)
    service = Metered(dice, Meter("fixed"))
    judge, taken = service._judge, [0]

    def shared(at):
        while taken[0] < at * 9:  # nine a second of thirty
            taken[0] += 1
            if service.meter.left(at) >= 1:
                service.meter.take(at)
        return judge(at)

    service._judge = shared
    result = drive(service)
    assert result.refused <= 12
    assert result.rate(0.13, 0.97) >= 0.95 * 21
