"""How fast a run is right under a service's limit, in real time, against the simulator and an independent server.

Only ``make pace`` runs these. The same limits on a fake clock, with tighter bounds, are in ``tests/unit/engine/limits``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest
from support.independent_server import Server

import tsn_frames as tsn
from tsn_frames.engine.retry import Retry
from tsn_frames.simulator import Quota, Simulator

LATENCY = (0.03, 0.4)


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"row {i}" for i in range(rows)]})


def client(url: str, concurrency: int = 16) -> tsn.Client:
    retry = Retry(backoff=0.02, backoff_max=0.2)
    return tsn.Client(url, model="sim-small", limits=tsn.Limits(concurrency), retry=retry, timeout=3.0)


def one_of_three(most: int, server: Callable[[], Simulator | Server], rows: int, seconds: float = math.inf):
    """Run against a fresh server until one run has so few refusals, three times at most: all of them answer every row.

    Where a machine is loaded, all that may be in flight are sent before the first refusal comes back.
    """
    seen = []
    while not seen or (len(seen) < 3 and (seen[-1][0] > most or seen[-1][1] > seconds)):
        with server() as running:
            url = running.base_url if isinstance(running, Simulator) else running.url
            out = frame(rows).tsn.complete("{text}", client=client(url))
            refused = running.stats().refused if isinstance(running, Simulator) else running.refused
        assert out["error"].isna().all()
        seen.append((refused, tsn.last_run().summary.seconds))
    assert seen[-1][0] <= most and seen[-1][1] <= seconds, f"refused, seconds: {seen}; at most {most}, {seconds}"
    return running


def test_a_window_of_requests_is_used_to_95_percent_with_at_most_5_refusals():
    quota = Quota(requests=60, window=2.0)
    # four whole windows, and the start of the fifth
    one_of_three(5, lambda: Simulator(seed=7, latency=LATENCY, quota=quota), 260, seconds=8.0 / 0.95 + 0.5)


@pytest.mark.parametrize("hint", ["both", "none"])
def test_five_slots_are_found_with_at_most_25_refusals(hint):
    quota = Quota(concurrency=5)
    sim = one_of_three(25, lambda: Simulator(seed=7, latency=LATENCY, quota=quota, retry_hint=hint), 500)
    assert sim.stats().peak_concurrency == 5


def test_a_wait_that_stands_only_in_the_message_costs_at_most_10_refusals():
    words = {"quota": Quota(requests=60, window=3.0), "retry_hint": "message", "lying_headers": True}
    one_of_three(10, lambda: Simulator(seed=7, latency=LATENCY, **words), 130)


@pytest.mark.parametrize("hints", [{}, {"whole": True}, {"headers": False}], ids=["ms", "seconds", "retry-after"])
@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_an_independent_window_is_used_up_with_few_refusals(kind, hints):
    # Four seconds at best, and fewer refusals: test_window_kinds.py asserts both on a clock that no load disturbs. In a
    # sliding window each request has its own moment to come back, and a loaded machine misses it.
    most = 10 if "headers" in hints or kind == "sliding" else 5
    one_of_three(most, lambda: Server(seed=11, window=(60, 2.0), kind=kind, **hints), 130, seconds=8.0)


def test_an_independent_bucket_is_used_up_with_few_refusals():
    one_of_three(5, lambda: Server(seed=11, window=(60, 2.0), kind="bucket"), 130, seconds=5.0)  # 2.3 at best


@pytest.mark.parametrize(("late", "most"), [(0.0, 25), (0.01, 75)])  # a tighter law is in test_limiter.py
def test_independent_slots_that_come_free_late_are_found(late, most):
    one_of_three(most, lambda: Server(seed=11, slots=5, late=late), 500)


def test_an_independent_wait_in_the_message_costs_few_refusals():
    one_of_three(10, lambda: Server(seed=11, window=(60, 3.0), headers=False, wait="message"), 130)


def test_a_cold_run_keeps_sixteen_slots_busy_within_three_seconds():
    busy: list[float] = []  # slots, not seconds: a loaded machine is slow at both ends
    while len(busy) < 3 and (not busy or busy[-1] < 0.9 * 16):
        with Server(seed=11, slots=16, latency=0.3) as server:
            frame(250).tsn.complete("{text}", client=client(server.url, concurrency=32))
        first = server.served[0]
        busy.append(server.busy(first + 3, first + 4))
    assert busy[-1] >= 0.9 * 16, busy
