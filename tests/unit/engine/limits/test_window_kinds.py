"""Full speed right under a quota of any kind, told in any way: counts and rates on a clock that jumps."""

from __future__ import annotations

import random

import pytest
from support.fake_windows import Meter, Metered
from unit.engine.limits.test_limiter import SEEDS, drive

from tsn_frames.engine.limits.concurrency import Rest
from tsn_frames.engine.limits.limiter import RateRules
from tsn_frames.engine.limits.limits import Limits

pytestmark = pytest.mark.pace
KINDS = [("fixed", False), ("aligned", False), ("sliding", False), ("sliding", True), ("bucket", False), ("bucket", True)]


def run_of(seed, kind, full=False, *, rows=500, workers=16, period=2.0, most=60, **options):
    dice = random.Random(seed)
    meter = Meter(kind, most, period, full, phase=dice.random() * period)
    told = drive(Metered(dice, meter, **options), rows, workers)
    return told.refused, told.rate(0.13, 0.97) / (most / period)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("early", [False, True], ids=["of its answer", "of its request"])
@pytest.mark.parametrize(("kind", "full"), KINDS)
def test_a_quota_of_any_kind_that_headers_tell_is_used_up_with_few_refusals(kind, full, early, seed):
    refused, rate = run_of(seed, kind, full, early=early)
    assert refused <= 5
    assert rate >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("spelling", ["up", "down", "nearest"])
@pytest.mark.parametrize(("kind", "full"), KINDS)
def test_resets_in_whole_seconds_cost_little(kind, full, spelling, seed):
    refused, rate = run_of(seed, kind, full, spelling=spelling)
    assert refused <= 5
    assert rate >= (0.65 if kind == "aligned" or full else 0.9)  # the worst seeds; most reach 95 %


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full"), KINDS)
def test_headers_on_refusals_alone_are_enough(kind, full, seed):
    refused, rate = run_of(seed, kind, full, on="refusals")
    assert refused <= 5
    assert rate >= 0.7


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full"), [*KINDS[:1], *KINDS[2:4]])
def test_headers_on_answers_alone_are_enough(kind, full, seed):
    refused, rate = run_of(seed, kind, full, on="answers")
    assert refused <= 16
    assert rate >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hint", ["seconds", "ms", "message", "none"])
@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_a_quota_without_headers_is_inferred_in_one_window(kind, hint, seed):
    refused, rate = run_of(seed, kind, on="none", hint=hint)
    assert refused <= (5 if hint != "none" else 10)
    assert rate >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hint", ["seconds", "message"])
@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_a_quota_without_headers_is_inferred_while_slow_answers_are_on_their_way(kind, hint, seed):
    refused, rate = run_of(seed, kind, on="none", hint=hint, seconds=0.2, spread=1.7)
    assert refused <= 6
    assert rate >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "full"), [("fixed", False), ("sliding", False), ("sliding", True), ("bucket", True)])
def test_slow_answers_do_not_slow_the_quota_down(kind, full, seed):
    refused, rate = run_of(seed, kind, full, rows=1800, workers=100, most=300, period=60.0, seconds=10.0, spread=2.0)
    assert refused <= 5
    assert rate >= 0.95


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
    told = drive(service)
    assert told.refused <= 12
    assert told.rate(0.13, 0.97) >= 0.95 * 21


def test_a_rest_is_tried_long_first_and_then_shortened_to_what_is_needed():
    rest, now, needed = Rest(), 0.0, 0.012
    for _ in range(8):
        rest.freed(now, 0.04)
    for _ in range(400):
        now += 0.01
        if rest.seconds < needed and rest.refused(now, now):
            continue
        rest.freed(now, 0.04)
    assert needed <= rest.seconds <= 0.04


def test_a_rest_that_does_not_help_is_given_up():
    rest = Rest()
    for n in range(20):
        rest.freed(n / 100, 0.04)
    assert rest.refused(1.0, 1.0)
    assert not rest.refused(1.1, 1.1)
    assert rest.seconds == 0.0
    assert not rest.refused(1.2, 1.2)


def test_a_token_quota_is_charged_as_headers_show_it():
    gate = RateRules()
    pace = gate.pace(Limits())
    head = {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "900", "x-ratelimit-reset-tokens": "60s"}
    gate.answered(1.0, gate.send(0.0, 500), head, 100)
    assert gate.delay(1.0, pace, 500)[0] == 0.0  # 500 was the estimate, 100 the charge
