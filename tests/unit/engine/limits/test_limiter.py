"""The limiter against services that live on a clock of their own: what it finds, what it wastes, what it never does."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_time import Service, now, run

from tsn_frames.engine.limits.circuit_breaker import CircuitBreaker
from tsn_frames.engine.limits.concurrency import AdaptiveConcurrency
from tsn_frames.engine.limits.header_quota import Remaining
from tsn_frames.engine.limits.limiter import CHAT, FRAME, RateLimiter, RateRules
from tsn_frames.engine.limits.limits import Limits
from tsn_frames.engine.limits.rate_headers import RateLimitState, RetryAfter, retry_after
from tsn_frames.engine.limits.sliding_window import MINUTE, Inferred, SlidingWindow
from tsn_frames.engine.retry import lone_wait
from tsn_frames.engine.run.retry_queue import PendingRequest, RetryQueue
from tsn_frames.errors import ConfigError

pytestmark = pytest.mark.pace
SEEDS = range(3)


@dataclass
class Told:
    """What a run came to."""

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


def drive(service: Service, rows: int = 500, workers: int = 16, limits: Limits | None = None) -> Told:
    """Send rows as a run does: workers take them, refused ones go back to the front."""

    async def main() -> Told:
        limiter = RateLimiter(now, RateRules(service.dice.random))
        pace = limiter.gate.pace(limits or Limits(workers))
        queue = RetryQueue((PendingRequest(i, None) for i in range(rows)), now)
        await asyncio.gather(*(_worker(service, limiter, pace, queue) for _ in range(workers)))
        return Told(service, now(), limiter)

    return run(main)


async def _worker(service, limiter, pace, queue):
    gate = limiter.gate
    while (item := await queue.next()) is not None:
        grant = await limiter.acquire(pace, 1)
        reply = await service.ask()
        if reply.status == 200:
            gate.answered(now(), grant, reply.headers, 1)
            limiter.pump()
            queue.done()
            continue
        wait = retry_after(reply.headers, reply.message)
        gate.refused(now(), grant, reply.headers, wait, quota=reply.status == 429)
        limiter.pump()
        item.refusals += 1
        queue.requeue(item, 0.0 if gate.flow.state != "open" else lone_wait(item.refusals, wait))


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
        while (delay := window.delay(time, units)) > 0:
            inside = sum(u for t, u in sent if t > time - period)
            assert inside + min(units, limit) > limit  # it waits for a reason
            time += delay
        window.sent(time, units)
        sent.append((time, units))
    for begin, _ in sent:
        inside = [u for t, u in sent if begin <= t < begin + period - 1e-9]
        assert sum(inside) <= limit or len(inside) == 1  # a request larger than the limit goes alone


@settings(max_examples=25, deadline=None)
@given(rpm=st.integers(30, 3000), workers=st.integers(1, 40), seed=st.integers(0, 9))
def test_requests_per_minute_are_kept_in_every_window_and_used_up(rpm, workers, seed):
    rows = min(400, 2 * rpm)
    told = drive(service(seed, seconds=0.05), rows, workers, Limits(requests_per_minute=rpm))
    times = told.service.arrivals
    for first, last in zip(times, times[rpm:]):
        assert last - first >= MINUTE - 0.05 - told.service.trip
    full_minutes = (rows - 1) // rpm
    free = drive(service(seed, seconds=0.05), rows, workers).seconds
    assert told.seconds <= full_minutes * MINUTE + free + 1.0


def test_tokens_are_charged_by_estimate_and_corrected_by_usage():
    gate = RateRules()
    pace = gate.pace(Limits(tokens_per_minute=100))
    gate.ceiling.limit = 9
    first = gate.send(0.0, 80)
    assert gate.delay(1.0, pace, 30) == (pytest.approx(MINUTE - 1.0), "pace")
    gate.answered(1.0, first, {}, 60.0)
    assert gate.delay(1.0, pace, 30)[0] == 0.0
    assert gate.delay(1.0, pace, 50)[0] > 50.0


def test_a_refused_request_gives_its_tokens_back():
    gate = RateRules()
    pace = gate.pace(Limits(tokens_per_minute=100))
    gate.refused(0.5, gate.send(0.0, 100), {}, RetryAfter(0.0), quota=True)
    assert pace.delay(0.5, 100) == 0.0


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "4", 10_001])
def test_a_concurrency_that_is_no_count_is_refused_at_once(bad):
    with pytest.raises(ConfigError, match="concurrency"):
        Limits(bad)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "max_wait"])
@pytest.mark.parametrize("bad", [0, -1, True, "60", float("nan")])
def test_a_rate_that_is_no_positive_number_is_refused_at_once(name, bad):
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: bad})


# What the service hides


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("slots", "rows", "workers", "seconds", "most", "status"),
    [(2, 500, 16, 0.05, 16, 429), (5, 500, 16, 0.05, 16, 429), (5, 500, 16, 0.05, 16, 503), (16, 1500, 32, 0.05, 16, 429),
     (500, 20_000, 1000, 2.0, 25, 429)],
)  # fmt: skip
def test_a_hidden_concurrency_limit_is_found_and_used(slots, rows, workers, seconds, most, status, seed):
    told = drive(service(seed, slots=slots, seconds=seconds, refusal=status), rows, workers)
    ideal = slots / (told.service.busy / rows)
    assert told.refused <= most
    assert told.rate() >= 0.9 * ideal


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("lag", "most", "least"), [(0.001, 25, 0.75), (0.01, 60, 0.5)])
def test_a_slot_that_comes_free_late_costs_few_refusals(lag, most, least, seed):
    told = drive(service(seed, slots=5, lag=lag, seconds=0.05))
    assert told.refused <= most
    assert told.rate() >= least * 5 / (told.service.busy / 500 + lag / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_concurrency_limit_that_goes_away_is_noticed(seed):
    server = service(seed, slots=3, seconds=0.05)

    async def lift():
        await asyncio.sleep(5.0)
        server.slots = None

    async def main():
        task = asyncio.create_task(lift())
        limiter = RateLimiter(now, RateRules(server.dice.random))
        pace, queue = limiter.gate.pace(Limits()), RetryQueue((PendingRequest(i, None) for i in range(3000)), now)
        await asyncio.gather(task, *(_worker(server, limiter, pace, queue) for _ in range(16)))
        return Told(server, now(), limiter)

    assert run(main).rate(0.75, 0.98) >= 0.8 * 16 / (server.busy / 3000)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_with_honest_headers_is_used_up_without_refusals(seed):
    told = drive(service(seed, requests=60, window=2.0, seconds=0.03))
    assert told.refused <= 5
    assert told.rate(0.12, 0.96) >= 0.95 * 30


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("headers", ["none", "lying"])
def test_a_window_that_only_messages_tell_of_costs_few_refusals(headers, seed):
    told = drive(service(seed, requests=60, window=3.0, seconds=0.03, headers=headers, hint="Retry after 3 seconds"))
    assert told.refused <= 10
    assert told.seconds <= 1.4 * 8 * 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_that_nothing_tells_of_is_inferred(seed):
    told = drive(service(seed, requests=60, window=3.0, seconds=0.03, headers="none"))
    assert told.refused <= 16


@pytest.mark.parametrize("seed", SEEDS)
def test_lone_refusals_hardly_slow_a_run_down(seed):
    free = drive(service(seed, seconds=0.05), 3000).seconds_of(0.99)
    told = drive(service(seed, seconds=0.05, lone=0.2), 3000)
    assert told.seconds_of(0.99) <= 2.0 * free
    assert told.limiter.gate.flow.total_pauses <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_costs_few_requests_and_ends_soon(seed):
    told = drive(service(seed, seconds=0.03, outage=(0.5, 3.5)))
    assert len(told.service.failed) <= 40
    free = drive(service(seed, seconds=0.03)).seconds
    assert told.seconds <= 3.0 + free + 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cold_run_is_near_the_ideal_rate_three_seconds_after_its_first_answer(seed):
    told = drive(service(seed, slots=16, seconds=0.5), 1500, 32)
    first = told.service.accepted[0] + 0.5
    inside = [t for t in told.service.accepted if first + 3 <= t < first + 13]
    assert len(inside) / 10 >= 0.9 * 16 / (told.service.busy / 1500)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_that_all_take_the_same_time_leave_a_cold_run_near_the_ideal_rate(seed):
    told = drive(service(seed, slots=16, seconds=0.3, spread=1.0, hint="Retry after 1 seconds"), 500, 32)
    first = told.service.accepted[0] + 0.3
    inside = [t for t in told.service.accepted if first + 2 <= t < first + 3.5]
    assert len(inside) / 1.5 >= 0.9 * 16 / 0.3
    assert told.refused <= 40


def test_the_first_request_goes_alone():
    gate = RateRules()
    pace = gate.pace(Limits())
    gate.send(0.0, 1)
    assert gate.delay(0.0, pace, 1)[0] == float("inf")


# The parts


def test_the_ceiling_doubles_per_round_trip_only_while_it_is_in_use():
    ceiling = AdaptiveConcurrency()
    for _ in range(3):
        for level in range(ceiling.limit, 0, -1):
            ceiling.accepted(level, ceiling.limit)
    assert ceiling.limit >= 8
    before = ceiling.limit
    ceiling.accepted(1, 1)
    assert ceiling.limit == before


def waves(ceiling: AdaptiveConcurrency, number: int) -> list[int]:
    """The limit after each wave of which every request came back well."""
    found = []
    for _ in range(number):
        for level in range(1, ceiling.limit + 1):
            ceiling.sent(level)
        for level in range(ceiling.limit, 0, -1):
            ceiling.accepted(level, ceiling.limit)
        found.append(ceiling.limit)
    return found


def test_where_many_went_well_the_ceiling_grows_fourfold_until_the_first_refusal():
    assert waves(AdaptiveConcurrency(), 6) == [4, 8, 16, 32, 128, 512]
    ceiling = AdaptiveConcurrency()
    assert waves(ceiling, 4) == [4, 8, 16, 32]
    ceiling.refused(3)  # one of many: no wall, and a reason for care
    assert waves(ceiling, 3) == [64, 128, 256]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=200))
def test_the_ceiling_never_falls_below_one(answers):
    ceiling = AdaptiveConcurrency()
    for good, level in answers:
        ceiling.sent(level)
        ceiling.accepted(level, ceiling.limit) if good else ceiling.refused(level)
        assert ceiling.limit >= 1


def test_one_request_that_is_refused_alone_is_never_blamed_on_concurrency():
    assert AdaptiveConcurrency().refused(1) is False


def test_remaining_requests_are_shared_by_those_in_flight():
    left = Remaining()
    first, second = left.sent(0.0, 1), left.sent(0.0, 1)
    left.told(0.0, first, RateLimitState(60, 3, 2.0), 1)
    assert left.delay(0.1, 1, 1) == 0.0
    left.sent(0.1, 1)
    left.sent(0.1, 1)
    assert left.delay(0.1, 1, 3) > 0.0  # until one of them says more
    left.told(0.2, second, RateLimitState(60, 0, 1.8), 0)
    assert 1.6 <= left.delay(0.2, 1, 0) <= 1.81


def test_after_a_used_up_window_one_request_asks_for_the_next():
    left = Remaining()
    mark = left.sent(0.0, 1)
    left.settle(mark, 1)
    left.told(0.0, mark, RateLimitState(60, 0, 1.0), 0)
    assert left.delay(0.9, 1, 0) > 0.0
    assert left.delay(1.1, 1, 0) == 0.0
    left.sent(1.1, 1)
    assert left.delay(1.1, 1, 1) == float("inf")


def test_the_clock_lets_through_what_was_sent_a_period_ago():
    left = Remaining()
    marks = [left.sent(at / 10, 1) for at in range(4)]
    for mark in marks:
        left.settle(mark, 1)
        left.told(0.5, mark, RateLimitState(4, 0, 1.55), 0)
    assert left.works
    assert left.delay(0.5, 1, 0) == pytest.approx(1.55, abs=0.05)
    assert left.delay(2.1, 1, 0) == 0.0


def test_a_wait_from_a_header_beyond_max_wait_is_asked_for_and_not_slept_through():
    gate = RateRules()
    patient, hasty = gate.pace(Limits()), gate.pace(Limits(max_wait=5))
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}
    gate.answered(0.0, gate.send(0.0, 1), used_up, 1)
    assert gate.delay(0.0, patient, 1)[0] == pytest.approx(60.0, abs=0.01)
    assert gate.delay(0.0, hasty, 1)[0] == 0.0


def test_a_lone_refusal_stops_nobody_for_long_and_two_refused_probes_do():
    flow, wait = CircuitBreaker(lambda: 1.0), RetryAfter(2.0, exact=True)
    flow.refused(0.0, 1, wait, sure=False, innocent=False)
    assert flow.delay(0.0) == 0.0
    flow.sent(2)
    assert flow.delay(0.0) == float("inf")
    flow.refused(0.1, 2, wait, sure=False, innocent=False)
    assert 0 < flow.delay(0.1) < 0.1
    flow.sent(3)
    flow.refused(0.2, 3, wait, sure=False, innocent=False)
    assert flow.delay(0.2) == pytest.approx(2.0)


def test_a_refusal_that_a_cut_has_dealt_with_stops_nobody():
    flow = CircuitBreaker(lambda: 1.0)
    flow.refused(0.0, 1, RetryAfter(2.0), sure=False, innocent=True)
    assert flow.state == "open"


def test_a_wait_to_the_millisecond_gets_no_jitter():
    flow = CircuitBreaker(lambda: 1.0)
    flow.refused(10.0, 1, RetryAfter(0.25, exact=True), sure=True, innocent=False)
    assert flow.delay(10.0) == pytest.approx(0.25)


def test_refused_probes_double_the_wait_up_to_what_the_message_says():
    flow, waits = CircuitBreaker(lambda: 1.0), []
    for seq in range(1, 6):
        flow.refused(0.0, seq, RetryAfter(None, 60.0), sure=True, innocent=False)
        waits.append(flow.until)
        flow.sent(seq + 1)
    assert waits == [15.0, 30.0, 60.0, 60.0, 60.0]


def test_a_server_that_says_zero_again_and_again_is_not_hammered():
    flow, waits = CircuitBreaker(lambda: 0.0), []
    for seq in range(1, 8):
        flow.refused(0.0, seq, RetryAfter(0.0), sure=True, innocent=False)
        waits.append(flow.until)
        flow.sent(seq + 1)
    assert waits[-1] > 1.0
    assert sorted(waits) == waits


def test_a_quota_is_inferred_from_a_pause_that_nothing_explained():
    inferred = Inferred()
    for at in range(20):
        inferred.accepted(at / 10, at / 10)
    inferred.closed(4.2)
    inferred.resumed(5.1, explained=False)
    assert inferred.window is not None
    assert (inferred.window.limit, inferred.window.period) == (20, pytest.approx(5.0, rel=0.01))  # the roundest that fits


# Who waits


def _take(limiter, pace, priority=FRAME):
    return asyncio.create_task(limiter.acquire(pace, 1, priority))


def test_chat_passes_frames():
    async def main():
        limiter, order = RateLimiter(now), []
        pace = limiter.gate.pace(Limits())
        first = await limiter.acquire(pace, 1)

        async def wait(name, priority):
            grant = await limiter.acquire(pace, 1, priority)
            order.append(name)
            limiter.gate.failed(now(), grant, {})
            limiter.pump()

        tasks = [asyncio.create_task(wait("frame", FRAME)), asyncio.create_task(wait("chat", CHAT))]
        await asyncio.sleep(0)
        limiter.gate.failed(now(), first, {})
        limiter.pump()
        await asyncio.gather(*tasks)
        return order

    assert run(main) == ["chat", "frame"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_cancelling_a_waiter_never_leaks_a_slot(cancelled):
    async def main():
        limiter = RateLimiter(now)
        pace = limiter.gate.pace(Limits())
        first = await limiter.acquire(pace, 1)
        tasks = [_take(limiter, pace) for _ in cancelled]
        await asyncio.sleep(0)
        limiter.gate.failed(now(), first, {})  # the next is let through and cancelled before it knows
        limiter.pump()
        for task, gone in zip(tasks, cancelled, strict=True):
            if gone:
                task.cancel()
        for task, gone in zip(tasks, cancelled, strict=True):
            if not gone:
                limiter.gate.failed(now(), await task, {})
                limiter.pump()
        await asyncio.gather(*tasks, return_exceptions=True)
        return limiter.gate.in_flight, limiter.gate.tokens_in_flight

    assert run(main) == (0, 0)


def test_runs_that_go_by_the_same_limits_share_their_concurrency():
    async def main():
        limiter, most = RateLimiter(now), 0
        limiter.gate.ceiling.limit = 100

        async def work(pace):
            nonlocal most
            for _ in range(20):
                grant = await limiter.acquire(pace, 1)
                most = max(most, pace.in_flight)
                await asyncio.sleep(0.1)
                limiter.gate.answered(now(), grant, {}, 1)
                limiter.pump()

        both, other = limiter.gate.pace(Limits(4)), limiter.gate.pace(Limits(3))
        assert limiter.gate.pace(Limits(4)) is both
        await asyncio.gather(*(work(both) for _ in range(8)), *(work(other) for _ in range(3)))
        return most, both.in_flight, other.in_flight, now()

    most, *left, took = run(main)
    assert (most, left) == (4, [0, 0])
    assert took == pytest.approx(2 * 20 * 0.1, abs=0.2)


def test_the_end_of_a_pause_lets_one_through_and_not_the_herd():
    async def main():
        limiter = RateLimiter(now)
        gate, pace = limiter.gate, limiter.gate.pace(Limits())
        gate.ceiling.limit = 50
        gate.refused(
            now(),
            await limiter.acquire(pace, 1),
            {"x-ratelimit-remaining-requests": "0"},
            RetryAfter(1.0, exact=True),
            quota=True,
        )
        tasks = [_take(limiter, pace) for _ in range(50)]
        await asyncio.sleep(0.9)
        early = gate.in_flight
        await asyncio.sleep(5.0)
        there = gate.in_flight
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return early, there

    assert run(main) == (0, 1)


def test_a_probe_that_is_lost_makes_room_for_another():
    async def main():
        limiter = RateLimiter(now)
        gate, pace = limiter.gate, limiter.gate.pace(Limits())
        gate.refused(now(), await limiter.acquire(pace, 1), {}, RetryAfter(1.0), quota=False)
        probe = await limiter.acquire(pace, 1)
        gate.failed(now(), probe, {})
        limiter.pump()
        return await asyncio.wait_for(limiter.acquire(pace, 1), 60)

    assert run(main).seq == 3
