"""The limiter against services on a fake clock: the rate that it reaches, the refusals that it costs, the rules that it keeps."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_time import Service, now, run

from tsn_frames.engine.limits.circuit_breaker import CircuitBreaker
from tsn_frames.engine.limits.combined_limits import RateRules
from tsn_frames.engine.limits.concurrency import AdaptiveConcurrency
from tsn_frames.engine.limits.header_quota import HeaderQuota
from tsn_frames.engine.limits.limiter import CHAT, FRAME, REPEATED, RateLimiter
from tsn_frames.engine.limits.limits import Limits
from tsn_frames.engine.limits.rate_headers import RateLimitState, retry_after
from tsn_frames.engine.limits.sliding_window import MINUTE, SlidingWindow
from tsn_frames.engine.retry import refusal_wait
from tsn_frames.engine.run.request_queue import PendingRequest, RetryQueue
from tsn_frames.errors import ConfigError

pytestmark = pytest.mark.pace
SEEDS = range(3)


@dataclass
class Measured:
    """The counts and times of one run."""

    service: Service
    seconds: float
    limiter: RateLimiter

    @property
    def refused(self) -> int:
        return len(self.service.refused)

    def seconds_of(self, share: float) -> float:
        """Seconds until such a share of the rows was taken in: the last ones may wait for a reason of their own."""
        return self.service.accepted[int(share * len(self.service.accepted)) - 1]

    def rate(self, begin: float = 0.25, end: float = 0.9) -> float:
        """Requests a second that were taken in between two shares of all."""
        times = self.service.accepted
        first, last = int(begin * len(times)), int(end * len(times)) - 1
        return (last - first) / (times[last] - times[first])


def drive(service: Service, rows: int = 500, workers: int = 16, limits: Limits | None = None) -> Measured:
    """Send rows as a run does: workers take them, refused ones go back to the front."""

    async def main() -> Measured:
        limiter = RateLimiter(now, RateRules(CircuitBreaker(service.dice.random)))
        queue = RetryQueue((PendingRequest(i, None) for i in range(rows)), now)
        with limiter.run(limits or Limits(workers)) as quota:
            await asyncio.gather(*(_worker(service, limiter, quota, queue) for _ in range(workers)))
        return Measured(service, now(), limiter)

    return run(main)


async def _worker(service, limiter, quota, queue):
    while (item := await queue.next()) is not None:
        permit = await limiter.acquire(quota, 1)
        reply = await service.ask()
        if reply.status == 200:
            limiter.on_end(permit, reply.headers, "accepted", used=1)
            queue.done()
            continue
        asked = retry_after(reply.headers, reply.message)
        limiter.on_end(permit, reply.headers, "refused", asked=asked)
        item.refusals += 1
        paused = limiter.rules.breaker.paused and not asked
        queue.requeue(item, 0.0 if paused else refusal_wait(item.refusals, asked))


def service(seed: int, **options) -> Service:
    return Service(random.Random(seed), **options)


# What the user sets


@given(
    limit=st.integers(1, 40), period=st.sampled_from([0.5, 2.0, 60.0]), pauses=st.lists(st.floats(0, 3), max_size=60),
    units=st.integers(1, 9),
)  # fmt: skip
def test_a_sliding_window_is_never_exceeded_and_never_idle(limit, period, pauses, units):
    window, time, sent = SlidingWindow(limit, period), 0.0, []
    for pause in pauses:
        time += pause
        while (delay := window.seconds_until_allowed(time, units)) > 0:
            inside = sum(u for t, u in sent if t > time - period)
            assert inside + min(units, limit) > limit  # it waits for a reason
            time += delay
        window.on_sent(time, units)
        sent.append((time, units))
    for begin, _ in sent:
        inside = [u for t, u in sent if begin <= t < begin + period - 1e-9]
        assert sum(inside) <= limit or len(inside) == 1  # a request larger than the limit goes alone


@settings(max_examples=25, deadline=None)
@given(rpm=st.integers(30, 3000), workers=st.integers(1, 40), seed=st.integers(0, 9))
def test_requests_per_minute_are_kept_in_every_window_and_used_up(rpm, workers, seed):
    rows = min(400, 2 * rpm)
    result = drive(service(seed, seconds=0.05), rows, workers, Limits(requests_per_minute=rpm))
    times = result.service.arrivals
    for first, last in zip(times, times[rpm:]):
        assert last - first >= MINUTE - 0.05 - result.service.trip
    full_minutes = (rows - 1) // rpm
    free = drive(service(seed, seconds=0.05), rows, workers).seconds
    assert result.seconds <= full_minutes * MINUTE + free + 1.0


def test_tokens_are_charged_by_estimate_and_corrected_by_usage():
    rules = RateRules()
    quota = rules.quota(Limits(tokens_per_minute=100))
    rules.concurrency.limit = 9
    first = rules.on_sent(0.0, quota, 80)
    assert rules.seconds_until_allowed(1.0, quota, 30) == (pytest.approx(MINUTE - 1.0), "limits")
    rules.on_end(1.0, first, {}, "accepted", used=60.0)
    assert rules.seconds_until_allowed(1.0, quota, 30)[0] == 0.0
    assert rules.seconds_until_allowed(1.0, quota, 50)[0] > 50.0


def test_a_refused_request_gives_its_tokens_back():
    rules = RateRules()
    quota = rules.quota(Limits(tokens_per_minute=100))
    rules.on_end(0.5, rules.on_sent(0.0, quota, 100), {}, "refused")
    assert quota.seconds_until_allowed(0.5, 100) == 0.0


def test_what_was_sent_before_counts_in_the_windows_of_new_limits():
    rules = RateRules()
    rules.on_end(0.0, rules.on_sent(0.0, rules.quota(Limits()), 80), {}, "accepted", used=80)
    assert rules.quota(Limits(requests_per_minute=1)).seconds_until_allowed(1.0, 1) == pytest.approx(MINUTE - 1.0)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "4", 10_001])
def test_a_concurrency_that_is_not_a_count_is_refused_at_once(bad):
    with pytest.raises(ConfigError, match="concurrency"):
        Limits(bad)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "max_wait"])
@pytest.mark.parametrize("bad", [0, -1, True, "60", float("nan")])
def test_a_rate_that_is_not_a_positive_number_is_refused_at_once(name, bad):
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: bad})


# What the service does not state


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("slots", "rows", "workers", "seconds", "most", "status"),
    [(2, 500, 16, 0.05, 16, 429), (5, 500, 16, 0.05, 16, 429), (5, 500, 16, 0.05, 16, 503), (16, 1500, 32, 0.05, 25, 429),
     (500, 20_000, 1000, 2.0, 25, 429)],
)  # fmt: skip
def test_a_hidden_concurrency_limit_is_found_and_used(slots, rows, workers, seconds, most, status, seed):
    result = drive(service(seed, slots=slots, seconds=seconds, refusal=status), rows, workers)
    ideal = slots / (result.service.busy / rows)
    assert result.refused <= most
    assert result.rate() >= 0.9 * ideal


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("lag", "most", "least"), [(0.001, 30, 0.75), (0.01, 120, 0.5)])
def test_a_slot_that_comes_free_late_costs_few_refusals(lag, most, least, seed):
    result = drive(service(seed, slots=5, lag=lag, seconds=0.05))
    assert result.refused <= most
    assert result.rate() >= least * 5 / (result.service.busy / 500 + lag / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_concurrency_limit_that_goes_away_is_noticed(seed):
    server = service(seed, slots=3, seconds=0.05)

    async def lift():
        await asyncio.sleep(5.0)
        server.slots = None

    async def main():
        task = asyncio.create_task(lift())
        limiter = RateLimiter(now, RateRules(CircuitBreaker(server.dice.random)))
        queue = RetryQueue((PendingRequest(i, None) for i in range(3000)), now)
        with limiter.run(Limits()) as quota:
            await asyncio.gather(task, *(_worker(server, limiter, quota, queue) for _ in range(16)))
        return Measured(server, now(), limiter)

    assert run(main).rate(0.75, 0.98) >= 0.8 * 16 / (server.busy / 3000)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_with_honest_headers_is_used_up_without_refusals(seed):
    result = drive(service(seed, requests=60, window=2.0, seconds=0.03))
    assert result.refused <= 5
    assert result.rate(0.12, 0.96) >= 0.95 * 30


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("headers", ["none", "lying"])
def test_a_window_that_is_stated_in_messages_only_costs_a_few_refusals_each_time(headers, seed):
    result = drive(service(seed, requests=60, window=3.0, seconds=0.03, headers=headers, hint="Retry after 3 seconds"))
    assert result.refused <= 7 * result.limiter.rules.breaker.pauses
    assert result.limiter.rules.breaker.pauses <= 8
    assert result.seconds <= 1.15 * 8 * 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_that_is_stated_nowhere_is_waited_for_by_backoff(seed):
    result = drive(service(seed, requests=60, window=3.0, seconds=0.03, headers="none"))
    assert result.refused <= 100
    assert result.seconds <= 1.4 * 8 * 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_lone_refusals_hardly_slow_a_run_down(seed):
    free = drive(service(seed, seconds=0.05), 3000).seconds_of(0.99)
    result = drive(service(seed, seconds=0.05, lone=0.2), 3000)
    assert result.seconds_of(0.99) <= 2.0 * free
    assert result.limiter.rules.breaker.pauses <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_penalty_is_waited_for_as_its_message_says_though_the_headers_show_room(seed):
    result = drive(
        service(seed, seconds=0.03, penalty=0.01, requests=10**6, window=60.0, headers="lying", hint="Retry after 3 seconds")
    )
    pauses = result.limiter.rules.breaker.pauses
    assert 2 <= pauses <= result.refused <= 7 * pauses
    assert result.seconds <= 3.0 * pauses + 4.0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_costs_few_requests_and_ends_soon(seed):
    result = drive(service(seed, seconds=0.03, outage=(0.5, 3.5)))
    assert len(result.service.failed) <= 40
    free = drive(service(seed, seconds=0.03)).seconds
    assert result.seconds <= 3.0 + free + 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cold_run_is_near_the_ideal_rate_three_seconds_after_its_first_answer(seed):
    result = drive(service(seed, slots=16, seconds=0.5), 1500, 32)
    first = result.service.accepted[0] + 0.5
    inside = [t for t in result.service.accepted if first + 3 <= t < first + 13]
    assert len(inside) / 10 >= 0.9 * 16 / (result.service.busy / 1500)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_that_all_take_the_same_time_leave_a_cold_run_near_the_ideal_rate(seed):
    result = drive(service(seed, slots=16, seconds=0.3, spread=1.0, hint="Retry after 1 seconds"), 500, 32)
    first = result.service.accepted[0] + 0.3
    inside = [
        t for t in result.service.accepted if first + 4 <= t < first + 5.5
    ]  # all answers arrive at once: each probe costs a wave
    assert len(inside) / 1.5 >= 0.9 * 16 / 0.3
    assert result.limiter.rules.breaker.pauses == 0


def test_the_first_request_goes_alone():
    rules = RateRules()
    quota = rules.quota(Limits())
    rules.on_sent(0.0, quota, 1)
    assert rules.seconds_until_allowed(0.0, quota, 1)[0] == math.inf


# Concurrency


def waves(concurrency: AdaptiveConcurrency, number: int) -> list[int]:
    """Return the limit after each wave of which every request was accepted."""
    found = []
    for _ in range(number):
        for level in range(concurrency.limit, 0, -1):
            concurrency.on_accepted(level, concurrency.limit)
        found.append(concurrency.limit)
    return found


def test_concurrency_doubles_per_round_trip_while_it_is_in_use():
    concurrency = AdaptiveConcurrency()
    assert waves(concurrency, 5) == [2, 4, 8, 16, 32]
    concurrency.on_accepted(1, 1)
    assert concurrency.limit == 32


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=200))
def test_concurrency_never_falls_below_one(responses):
    concurrency = AdaptiveConcurrency()
    for seq, (good, level) in enumerate(responses, 1):
        concurrency.on_sent(seq)
        concurrency.on_accepted(level, concurrency.limit) if good else concurrency.on_refused(seq, level)
        assert concurrency.limit >= 1


def test_a_level_that_is_refused_the_first_time_is_the_ceiling():
    concurrency = AdaptiveConcurrency()
    waves(concurrency, 3)
    concurrency.on_sent(9)
    concurrency.on_refused(9, 8)  # eight were not in flight before
    assert concurrency.limit == 7
    concurrency.on_refused(8, 8)  # sent before the cut
    assert concurrency.limit == 7


def test_a_lone_refusal_of_a_level_that_went_well_changes_nothing_and_a_streak_does():
    concurrency = AdaptiveConcurrency()
    waves(concurrency, 3)
    for seq, limit in ((9, 8), (11, 8), (12, 8), (13, 2)):
        concurrency.on_sent(seq)
        concurrency.on_refused(seq, 4)
        assert concurrency.limit == limit


def test_the_ceiling_is_tried_again_after_ever_more_successes():
    concurrency, successes, counts = AdaptiveConcurrency(), 0, []
    for seq in range(1, 400):
        level = concurrency.limit
        concurrency.on_sent(seq)
        if level <= 5:
            concurrency.on_accepted(level, level)
            successes += 1
        else:
            concurrency.on_refused(seq, level)
            counts, successes = [*counts, successes], 0
    assert counts == [5, 3, 7, 15, 31, 63, 127]


# The circuit breaker


def failures(breaker: CircuitBreaker, now: float, first: int, number: int, asked: float | None = None) -> None:
    for seq in range(first, first + number):
        breaker.on_sent(seq)
        breaker.on_failure(now, seq, asked)


def test_a_lone_failure_pauses_no_other_row_and_a_streak_sends_one_probe():
    breaker = CircuitBreaker()
    failures(breaker, 0.0, 1, 1)
    failures(breaker, 0.0, 5, 1)
    assert not breaker.paused
    failures(breaker, 0.0, 6, 1)
    assert (breaker.paused, breaker.pauses) == (True, 0)
    assert breaker.seconds_until_allowed(0.0, 600) == 0.0
    breaker.on_sent(7)
    assert breaker.seconds_until_allowed(0.0, 600) == math.inf
    assert breaker.on_accepted(7) is False
    assert not breaker.paused


def test_after_a_streak_the_probe_waits_for_a_response_which_leaves_room_for_it():
    breaker = CircuitBreaker()
    failures(breaker, 0.0, 2, 2)
    assert breaker.seconds_until_allowed(0.0, 600, in_flight=1) == math.inf
    assert breaker.seconds_until_allowed(0.0, 600, in_flight=0) == 0.0
    breaker.on_accepted(1)
    assert breaker.seconds_until_allowed(0.0, 600, in_flight=1) == 0.0


def test_a_probe_that_fails_pauses_all_for_what_the_service_asks():
    breaker = CircuitBreaker()
    failures(breaker, 0.0, 1, 3, asked=3.0)
    assert (breaker.paused, breaker.pauses) == (True, 1)
    assert breaker.seconds_until_allowed(0.0, 600) == 3.0
    assert breaker.seconds_until_allowed(3.0, 600) == 0.0
    breaker.on_sent(4)
    assert breaker.on_accepted(4) is True
    assert (breaker.paused, breaker.pauses, breaker.pauses_in_a_row) == (False, 1, 0)


def test_a_response_of_an_older_request_ends_no_pause():
    breaker = CircuitBreaker()
    failures(breaker, 0.0, 2, 3, asked=3.0)
    assert breaker.on_accepted(1) is False
    assert (breaker.paused, breaker.pauses) == (True, 1)


def test_a_pause_is_never_longer_than_max_wait():
    breaker = CircuitBreaker()
    failures(breaker, 10.0, 1, 3, asked=3600.0)
    assert breaker.seconds_until_allowed(10.0, 30) == 30.0
    assert breaker.seconds_until_allowed(40.0, 30) == 0.0


@pytest.mark.parametrize("asked", [None, 0.0])
def test_without_a_stated_wait_pauses_grow_up_to_a_cap(asked):
    breaker, waits = CircuitBreaker(lambda: 0.0), []
    failures(breaker, 0.0, 1, 2)
    for seq in range(3, 30):
        failures(breaker, 0.0, seq, 1, asked)
        waits.append(breaker.seconds_until_allowed(0.0, 600))
    assert waits[:3] == [0.5, 0.75, 1.125]
    assert sorted(waits) == waits
    assert waits[-1] == 30.0


def test_a_probe_that_is_cancelled_lets_another_one_go():
    breaker = CircuitBreaker()
    failures(breaker, 0.0, 1, 2)
    breaker.on_sent(3)
    breaker.on_cancelled(0.0, 3)
    assert breaker.seconds_until_allowed(0.0, 600) == 0.0


def test_where_streaks_happen_by_chance_it_takes_a_longer_one():
    breaker, seq, lengths = CircuitBreaker(), 0, []
    for _ in range(5):
        length = 0
        while not breaker.paused:
            seq, length = seq + 1, length + 1
            failures(breaker, 0.0, seq, 1)
        seq += 1
        breaker.on_sent(seq)
        breaker.on_accepted(seq)
        lengths.append(length)
    assert lengths == [2, 3, 4, 5, 5]


def test_a_row_that_fails_alone_never_pauses_the_others():
    rules = RateRules()
    quota = rules.quota(Limits())
    for _ in range(20):
        rules.on_end(0.0, rules.on_sent(0.0, quota, 1), {}, "failed", lone=True)
    assert rules.seconds_until_allowed(0.0, quota, 1)[0] == 0.0


def test_a_new_run_begins_as_in_a_new_process():
    async def main():
        limiter = RateLimiter(now)
        for _ in range(9):
            with limiter.run(Limits()) as quota:
                while limiter.rules.breaker.pauses_in_a_row < 7:
                    limiter.on_end(await limiter.acquire(quota, 1), {}, "failed")
        with limiter.run(Limits()) as quota:
            at, rules = now(), limiter.rules
            first = rules.seconds_until_allowed(at, quota, 1)[0]
            for _ in range(4):
                limiter.on_end(await limiter.acquire(quota, 1), {}, "refused", asked=1.0)
            await limiter.acquire(quota, 1)
            return first, now() - at

    first, took = run(main)
    assert first == 0.0
    assert took == pytest.approx(2.0, abs=0.01)


def test_two_runs_at_once_share_a_pause():
    async def main():
        limiter = RateLimiter(now)
        with limiter.run(Limits()) as quota:
            for _ in range(3):
                limiter.on_end(await limiter.acquire(quota, 1), {}, "refused", asked=7.0)
            with limiter.run(Limits()) as second:
                return limiter.rules.seconds_until_allowed(now(), second, 1)

    assert run(main) == (7.0, "pause")


# The header quota


def test_remaining_requests_are_shared_by_those_in_flight():
    quota = HeaderQuota()
    quota.in_flight += 1
    quota.in_flight += 1
    quota.in_flight -= 1
    quota.on_headers(0.0, 1, 0.0, RateLimitState(60, 3, 2.0))
    assert quota.seconds_until_allowed(0.1, 1) == 0.0
    quota.in_flight += 1
    quota.in_flight += 1
    assert quota.seconds_until_allowed(0.1, 1) == math.inf  # until a response shows whether those in flight are counted
    quota.in_flight -= 1
    quota.on_headers(0.2, 2, 0.0, RateLimitState(60, 0, 1.8))
    assert 1.6 <= quota.seconds_until_allowed(0.2, 1) <= 1.81


def test_at_the_reset_the_whole_limit_is_back():
    quota = HeaderQuota()
    quota.on_headers(0.1, 1, 0.0, RateLimitState(60, 0, 1.0))
    assert quota.seconds_until_allowed(0.9, 1) == pytest.approx(0.2, abs=0.01)
    assert quota.seconds_until_allowed(1.2, 60) == 0.0


def test_where_a_reset_did_not_bring_all_back_one_request_asks_first():
    quota = HeaderQuota()
    quota.on_headers(0.1, 1, 0.0, RateLimitState(60, 0, 1.0))
    assert quota.seconds_until_allowed(1.2, 1) == 0.0
    quota.on_headers(1.3, 2, 1.2, RateLimitState(60, 0, 0.5), accepted=False)
    assert quota.seconds_until_allowed(1.9, 1) == 0.0
    quota.in_flight += 1
    assert quota.seconds_until_allowed(1.9, 1) == math.inf
    quota.in_flight -= 1
    quota.on_headers(2.0, 3, 1.9, RateLimitState(60, 5, 0.5))
    assert quota.seconds_until_allowed(2.0, 5) == 0.0


def test_a_response_that_was_overtaken_brings_nothing_back():
    quota = HeaderQuota()
    quota.on_headers(0.2, 7, 0.1, RateLimitState(60, 1, 2.0))
    quota.on_headers(0.3, 3, 0.0, RateLimitState(60, 40, 1.9))
    assert quota.seconds_until_allowed(0.3, 2) > 1.0


def test_the_earliest_reset_of_one_window_counts_where_it_is_rounded_up():
    quota = HeaderQuota()
    for seq in range(1, 10):
        quota.on_headers(seq / 10, seq, seq / 10 - 0.05, RateLimitState(60, 0, 2.0))  # it is over at 2.1
    assert quota.seconds_until_allowed(0.9, 1) == pytest.approx(1.2, abs=0.01)


def test_a_wait_from_a_header_beyond_max_wait_is_asked_for_and_not_slept_through():
    rules = RateRules()
    patient, hasty = rules.quota(Limits()), rules.quota(Limits(max_wait=5))
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}
    rules.on_end(0.0, rules.on_sent(0.0, patient, 1), used_up, "accepted", used=1)
    assert rules.seconds_until_allowed(0.0, patient, 1)[0] == pytest.approx(60.0, abs=0.01)
    assert rules.seconds_until_allowed(0.0, hasty, 1)[0] == 0.0


def test_a_token_quota_is_charged_as_headers_show_it():
    rules = RateRules()
    quota = rules.quota(Limits())
    head = {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "900", "x-ratelimit-reset-tokens": "60s"}
    rules.on_end(1.0, rules.on_sent(0.0, quota, 500), head, "accepted", used=100)
    assert rules.seconds_until_allowed(1.0, quota, 500)[0] == 0.0  # 500 was the estimate, 100 the charge


# The queue


def _take(limiter, quota, priority=FRAME):
    return asyncio.create_task(limiter.acquire(quota, 1, priority))


def test_chat_passes_frames():
    async def main():
        limiter, order = RateLimiter(now), []
        quota = limiter.rules.quota(Limits())
        first = await limiter.acquire(quota, 1)

        async def wait(name, priority):
            permit = await limiter.acquire(quota, 1, priority)
            order.append(name)
            limiter.on_end(permit, {}, "none")

        tasks = [asyncio.create_task(wait("frame", FRAME)), asyncio.create_task(wait("chat", CHAT))]
        await asyncio.sleep(0)
        limiter.on_end(first, {}, "none")
        await asyncio.gather(*tasks)
        return order

    assert run(main) == ["chat", "frame"]


def test_the_probe_of_a_paused_account_is_the_row_that_came_last_and_no_row_that_was_refused_twice():
    """Those that came before stand beside the refused ones in the frame, and may be refused as they are."""

    async def main():
        limiter, order = RateLimiter(now), []
        quota, limiter.rules.concurrency.limit = limiter.rules.quota(Limits()), 100

        async def wait(name, priority):
            permit = await limiter.acquire(quota, 1, priority)
            order.append(name)
            limiter.on_end(permit, {}, "accepted", used=1)

        for permit in [await limiter.acquire(quota, 1) for _ in range(2)]:
            limiter.on_end(permit, {}, "refused")  # a streak: the next one is a probe
        limiter.on_end(await limiter.acquire(quota, 1), {}, "refused", asked=5.0)  # the pause
        names = ["refused twice", "first", "second", "last"]
        await asyncio.gather(*(wait(name, REPEATED if name == names[0] else FRAME) for name in names))
        return order

    assert run(main) == ["last", "refused twice", "first", "second"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_cancelling_a_waiting_request_never_leaks_a_permit(cancelled):
    async def main():
        limiter = RateLimiter(now)
        quota = limiter.rules.quota(Limits())
        first = await limiter.acquire(quota, 1)
        tasks = [_take(limiter, quota) for _ in cancelled]
        await asyncio.sleep(0)
        limiter.on_end(first, {}, "none")  # the next one is granted, and cancelled before it runs
        for task, gone in zip(tasks, cancelled, strict=True):
            if gone:
                task.cancel()
        for task, gone in zip(tasks, cancelled, strict=True):
            if not gone:
                limiter.on_end(await task, {}, "none")
        await asyncio.gather(*tasks, return_exceptions=True)
        return limiter.rules.in_flight, limiter.rules.tokens.in_flight

    assert run(main) == (0, 0)


def test_runs_with_the_same_limits_share_their_concurrency():
    async def main():
        limiter, most = RateLimiter(now), 0
        limiter.rules.concurrency.limit = 100

        async def work(quota):
            nonlocal most
            for _ in range(20):
                permit = await limiter.acquire(quota, 1)
                most = max(most, quota.in_flight)
                await asyncio.sleep(0.1)
                limiter.on_end(permit, {}, "accepted", used=1)

        both, other = limiter.rules.quota(Limits(4)), limiter.rules.quota(Limits(3))
        assert limiter.rules.quota(Limits(4)) is both
        await asyncio.gather(*(work(both) for _ in range(8)), *(work(other) for _ in range(3)))
        return most, both.in_flight, other.in_flight, now()

    most, *left, took = run(main)
    assert (most, left) == (4, [0, 0])
    assert took == pytest.approx(2 * 20 * 0.1, abs=0.2)


def test_the_end_of_a_pause_lets_one_request_through():
    async def main():
        limiter = RateLimiter(now)
        rules, quota = limiter.rules, limiter.rules.quota(Limits())
        rules.concurrency.limit = 50
        for _ in range(3):
            limiter.on_end(await limiter.acquire(quota, 1), {}, "refused", asked=1.0)
        tasks = [_take(limiter, quota) for _ in range(50)]
        await asyncio.sleep(0.9)
        early = rules.in_flight
        await asyncio.sleep(5.0)
        there = rules.in_flight
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return early, there

    assert run(main) == (0, 1)
