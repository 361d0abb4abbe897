"""Whole runs against a service that fails in every way it can: what is answered, what is paid twice, what is wasted.

The last part repeats the main ones against an independent server. How fast a run is right under a limit is measured by
``tests/benchmarks/test_pace.py``, and on a fake clock by ``tests/unit/engine/limits``.
"""

from __future__ import annotations

import itertools
import logging
import socket

import pandas as pd
import pytest
from support.canary import KEY
from support.independent_server import Server
from support.simulators import at_request

import tsn_frames as tsn
from tsn_frames.engine.limits.circuit_breaker import CircuitBreaker
from tsn_frames.engine.retry import Retry
from tsn_frames.simulator import Faults, Quota, Simulator

LATENCY = (0.03, 0.4)
QUICK = Retry(backoff=0.02, backoff_max=0.2)


def frame(rows: int = 500) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"row {i}" for i in range(rows)]})


@pytest.fixture
def client(tmp_path):
    def make(url, *, concurrency=16, max_wait=600, retry=QUICK, timeout=60.0, **settings):
        limits = tsn.Limits(concurrency, max_wait=max_wait)
        return tsn.Client(url, model="sim-small", api_key=KEY, limits=limits, retry=retry, timeout=timeout, **settings)

    return make


def twice(sim: Simulator) -> int:
    """Answers that were billed beyond the first of their prompt."""
    return sum(n - 1 for n in sim.stats().billed_by_prompt.values())


def summary():
    return tsn.last_run().summary


# Nothing is lost


@pytest.mark.parametrize(
    ("faults", "timeout", "paid_twice"),
    [
        (Faults(error_500=0.1), 60.0, False),
        (Faults(error_429=0.2), 60.0, False),
        (Faults(error_502=0.05, error_503=0.05, error_other=0.05, reset_before=0.03), 60.0, False),
        (Faults(reset=0.03), 60.0, True),
        (Faults(truncate=0.02), 60.0, True),
        (Faults(hang=0.02), 4.0, True),
        (Faults(half_open=0.02), 4.0, True),
        (Faults(cut_json=0.04, first_attempt_only=True), 60.0, True),
    ],
    ids=["500", "429", "gateways", "reset", "truncated", "hanging", "half open", "cut json"],
)
def test_every_row_is_answered_under_faults(client, faults, timeout, paid_twice):
    with Simulator(seed=7, latency=LATENCY, faults=faults) as sim:
        out = frame().tsn.complete("{text}", client=client(sim.base_url, timeout=timeout))
        stats = sim.stats()
    assert out["error"].isna().all()
    assert out["content"].notna().all()
    assert sum(stats.faults.values()) > 5
    lost = sum(n for name, n in stats.faults.items() if name in ("reset", "truncate", "hang", "half_open", "cut_json"))
    assert twice(sim) == (lost if paid_twice else 0)
    assert stats.requests == 500 + sum(stats.faults.values())
    assert summary().unknown >= lost


def test_a_run_again_pays_for_nothing(client):
    with Simulator(seed=1, latency=0.0, faults=Faults(error_500=0.1, reset=0.03)) as sim:
        frame(100).tsn.complete("{text}", client=client(sim.base_url))
        before = sim.stats().requests
        out = frame(100).tsn.complete("{text}", client=client(sim.base_url))
        assert sim.stats().requests == before
    assert out["cached"].all()


@pytest.mark.parametrize("status", [503, *(pytest.param(status, marks=pytest.mark.soak) for status in (500, 502))])
def test_an_outage_of_three_seconds_costs_at_most_40_requests(client, status):
    with Simulator(seed=7, latency=LATENCY) as sim:
        at_request(sim, 100, lambda: sim.outage(3.0, status))
        out = frame().tsn.complete("{text}", client=client(sim.base_url))
        stats = sim.stats()
    assert out["error"].isna().all()
    assert 0 < stats.requests - 500 <= 40


def test_a_limited_service_answers_every_row_once(client):
    with Simulator(seed=7, latency=0.01, quota=Quota(requests=40, window=1.0)) as sim:
        out = frame(100).tsn.complete("{text}", client=client(sim.base_url))
        stats = sim.stats()
    assert out["error"].isna().all()
    assert stats.requests == 100 + stats.refused
    assert twice(sim) == 0


# What ends a run


def test_a_refused_key_costs_at_most_two_requests(client):
    with Simulator(latency=0.01, keys=["another"]) as sim:
        with pytest.raises(tsn.errors.AuthenticationError, match=r"^the service answered 401: Invalid API key") as caught:
            frame().tsn.complete("{text}", client=client(sim.base_url))
        assert sim.stats().requests <= 2
    assert len(caught.value.partial) == 500
    assert caught.value.partial["error"].str.startswith("not_sent").all()


def test_an_empty_balance_keeps_what_was_paid_and_stops_at_once(client):
    with Simulator(latency=LATENCY, balance=200) as sim:
        with pytest.raises(tsn.errors.BalanceError, match=r"^the service answered 402: Insufficient balance") as caught:
            frame().tsn.complete("{text}", client=client(sim.base_url))
        stats = sim.stats()
    assert stats.requests <= 200 + 16
    assert stats.answers == 200
    assert caught.value.partial["content"].notna().sum() == 200


def test_an_unknown_model_ends_the_run_after_one_request(client):
    with Simulator(latency=0.01) as sim:
        with pytest.raises(tsn.errors.ModelError, match="404"):
            frame().tsn.complete("{text}", client=client(sim.base_url), model="no-such-model")
        assert sim.stats().requests <= 2


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_an_unknown_model_closes_only_its_own_rows(client):
    df = frame(40).assign(m=["sim-small", "gone"] * 20)
    with Simulator(latency=0.01) as sim:
        out = df.tsn.complete("{text}", client=client(sim.base_url), model=df["m"])
        assert sim.stats().requests <= 20 + 16
    assert out["content"].notna().tolist() == [True, False] * 20
    assert out["error"].dropna().str.startswith("model: ").all()


@pytest.mark.parametrize("lying", [False, True])
def test_a_wait_beyond_max_wait_ends_the_run(client, lying):
    with Simulator(latency=0.01, quota=Quota(requests=20, window=300.0), lying_headers=lying) as sim:
        with pytest.raises(tsn.errors.RateLimitError, match="max_wait=5") as caught:
            frame(100).tsn.complete("{text}", client=client(sim.base_url, max_wait=5))
        assert sim.stats().refused <= 16
    assert caught.value.partial["content"].notna().sum() == 20


def test_a_dead_server_ends_the_run_early(client):
    with Simulator(latency=0.0, faults=Faults(error_500=1.0)) as sim:
        with pytest.raises(tsn.errors.ServerError, match="failed for too long"):
            frame().tsn.complete("{text}", client=client(sim.base_url, retry=Retry(attempts=1, budget=10_000)))
        assert sim.stats().requests <= 20


def test_a_server_that_fails_too_often_uses_the_retry_budget_up(client):
    with Simulator(seed=2, latency=0.0, faults=Faults(error_500=0.5)) as sim:
        with pytest.raises(tsn.errors.ServerError, match="used up") as caught:
            frame(100).tsn.complete("{text}", client=client(sim.base_url, retry=Retry(backoff=0.001, budget=5)))
        assert sim.stats().requests <= 100
    assert caught.value.partial["content"].notna().sum() == sim.stats().answers


def test_a_request_beyond_the_tokens_of_a_minute_is_refused_before_anything_is_sent(client):
    with Simulator(latency=0.0) as sim:
        few = tsn.Client(sim.base_url, model="sim-small", api_key=KEY, limits=tsn.Limits(tokens_per_minute=1000))
        for words in ({"max_tokens": 1200}, {"system": "x" * 5000}):
            with pytest.raises(tsn.errors.ConfigError, match="tokens_per_minute=1000"):
                frame(3).tsn.complete("{text}", client=few, **words)
        assert sim.stats().requests == 0
        assert frame(1).tsn.complete("{text}", client=few, max_tokens=500)["content"].notna().all()


def test_two_runs_at_once_keep_to_one_concurrency(client):
    with Simulator(latency=0.02) as sim:
        both = client(sim.base_url, concurrency=4)
        first = frame(60).tsn.start("one {text}", client=both)
        second = frame(60).tsn.start("two {text}", client=both)
        assert first.result(progress=False)["error"].isna().all()
        assert second.result(progress=False)["error"].isna().all()
        assert sim.stats().peak_concurrency <= 4


def test_a_refused_connection_ends_the_run_early(client):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(tsn.errors.ServerError, match="can't be reached") as caught:
            frame(50).tsn.complete(
                "{text}", client=client(f"http://127.0.0.1:{closed.getsockname()[1]}", retry=Retry(attempts=2))
            )
    assert summary().requests <= 4
    assert caught.value.partial["content"].isna().all()


def test_a_name_that_does_not_resolve_ends_the_run_early(client):
    with pytest.raises(tsn.errors.ServerError, match=r"does-not-exist\.invalid can't be reached"):
        frame(50).tsn.complete("{text}", client=client("http://does-not-exist.invalid", retry=Retry(attempts=2), allow_http=True))
    assert summary().requests <= 4


def test_a_redirect_is_never_followed(client):
    with Simulator(latency=0.0) as other, Simulator(latency=0.0) as sim:
        sim.faults = Faults(redirect=1.0, redirect_to=f"{other.base_url}/chat/completions")
        with pytest.raises(tsn.errors.RedirectError):
            frame(50).tsn.complete("{text}", client=client(sim.base_url))
        assert other.stats().requests == 0
        assert sim.stats().requests <= 2


# What one row gets


@pytest.mark.parametrize(
    ("fault", "code", "requests_a_row"),
    [
        ("html", "unreadable", 2),
        ("malformed", "unreadable", 2),
        ("empty_body", "unreadable", 2),
        ("cut_json", "unreadable", 2),
        ("gzip_bomb", "unreadable", 2),
        ("huge", "unreadable", 2),
        ("no_choices", "empty", 1),
        ("null_content", "empty", 1),
        ("filtered", "filtered", 1),
        ("drip", "timeout", 3),
        ("half_open", "timeout", 3),
    ],
)
def test_a_row_without_a_usable_answer_says_why(client, fault, code, requests_a_row):
    rows = 2 if fault in ("huge", "gzip_bomb") or code == "timeout" else 12
    timeout = 1.5 if code == "timeout" else 60.0
    with Simulator(seed=3, latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        settings = client(sim.base_url, timeout=timeout, retry=Retry(attempts=3, backoff=0.01, backoff_max=0.05))
        with pytest.warns(tsn.errors.TSNWarning, match="'error' says why"):
            out = frame(rows).tsn.complete("{text}", client=settings)
        stats = sim.stats()
    assert out["content"].isna().all()
    assert out["error"].str.startswith(f"{code}: ").all()
    assert stats.requests == rows * requests_a_row
    assert twice(sim) == (0 if fault == "html" else rows * (requests_a_row - 1))


@pytest.mark.parametrize(("fault", "usage"), [("no_usage", False), ("absurd_usage", False), ("wrong_type", True)])
def test_an_odd_answer_is_still_an_answer(client, fault, usage):
    with Simulator(seed=3, latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        out = frame(12).tsn.complete("{text}", client=client(sim.base_url))
        assert sim.stats().requests == 12
    assert out["content"].notna().all()
    assert out["error"].isna().all()
    assert out["total_tokens"].notna().all() == usage


@pytest.mark.parametrize("fault", ["no_choices", "null_content", "filtered"])
def test_an_answer_without_text_is_paid_once_and_for_all(client, fault):
    with Simulator(seed=3, latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        for _ in range(2):
            with pytest.warns(tsn.errors.TSNWarning, match="'error' says why"):
                frame(5).tsn.complete("{text}", client=client(sim.base_url))
        assert sim.stats().requests == 5


@pytest.mark.parametrize(
    "options", [{"keys": ["another"], "echo_key": True}, {"faults": Faults(echo_key=1.0)}], ids=["401", "400"]
)
def test_a_key_that_the_server_repeats_is_shown_nowhere(client, options, caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    raised = ""
    with Simulator(latency=0.0, **options) as sim:
        try:
            out = frame(5).tsn.complete("{text}", client=client(sim.base_url))
        except tsn.RunError as error:
            out, raised = error.partial, f"{error!r} {error}"
    everything = " ".join(
        [*out["error"], raised, caplog.text, *(str(w.message) for w in recwarn), str(summary()), repr(tsn.last_run())]
    )
    assert "***" in everything
    assert KEY not in everything
    assert KEY[-12:] not in everything


# An independent server


@pytest.mark.parametrize(
    "plan",
    [{"failing": 0.1}, {"lone": 0.2}, {"resetting": 0.03}, {"truncated": 0.02}, {"hanging": 0.02}],
    ids=lambda plan: next(iter(plan)),
)
def test_every_row_is_answered_by_an_independent_server(client, plan):
    with Server(seed=11, **plan) as server:
        out = frame(200).tsn.complete("{text}", client=client(server.url, timeout=4.0 if "hanging" in plan else 60.0))
    assert out["error"].isna().all()
    assert server.twice == (0 if "failing" in plan or "lone" in plan else server.requests - 200)


def test_a_row_that_is_refused_alone_waits_for_what_its_refusal_asks_and_the_others_go_on(client):
    with Server(seed=11, lone=0.05) as server:
        out = frame(200).tsn.complete("{text}", client=client(server.url))
    assert out["error"].isna().all()
    again = [times for times in server.arrivals.values() if len(times) > 1]
    assert len(again) > 3
    assert all(later - earlier >= 0.99 for times in again for earlier, later in itertools.pairwise(times))
    assert sum(len(times) == 1 and times[0] > again[0][0] for times in server.arrivals.values()) > 100


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_an_empty_answer_of_an_independent_server_is_not_text(client):
    with Server(seed=11, empty=0.1) as server:
        out = frame(200).tsn.complete("{text}", client=client(server.url))
    assert server.requests == 200
    assert out["error"].notna().sum() == out["content"].isna().sum() > 5


def test_an_independent_limited_server_answers_every_row_once(client):
    with Server(seed=11, window=(40, 1.0), kind="sliding") as server:
        out = frame(100).tsn.complete("{text}", client=client(server.url))
    assert out["error"].isna().all()
    assert server.requests == 100 + server.refused
    assert server.twice == 0


def test_an_independent_outage_costs_few_requests(client):
    with Server(seed=11, down=(0.3, 2.3)) as server:
        out = frame(300).tsn.complete("{text}", client=client(server.url))
    assert out["error"].isna().all()
    assert 0 < server.requests - 300 <= 40


@pytest.mark.parametrize(
    ("plan", "kind", "most"),
    [({"key": "other"}, tsn.errors.AuthenticationError, 2), ({"balance": 200}, tsn.errors.BalanceError, 216)],
)
def test_an_independent_server_that_ends_the_run_is_asked_no_more(client, plan, kind, most):
    with Server(seed=11, **plan) as server, pytest.raises(kind) as caught:
        frame().tsn.complete("{text}", client=client(server.url))
    assert server.requests <= most
    assert caught.value.partial["content"].notna().sum() == sum(server.billed.values())
    assert KEY not in str(caught.value)


def test_rows_that_all_fail_the_first_time_are_answered_after_runs_that_ended_in_errors(client, monkeypatch):
    monkeypatch.setattr(CircuitBreaker, "BACKOFF", 0.05)  # as many pauses, each a tenth as long
    with Simulator(latency=0.005) as sim:
        sim.faults = Faults(error_500=1)
        for _ in range(3):
            with pytest.raises(tsn.errors.ServerError):
                frame(50).tsn.complete("{text}", client=client(sim.base_url), cache="off")
        sim.faults = Faults(error_500=1, first_attempt_only=True)
        out = frame(50).tsn.complete("again {text}", client=client(sim.base_url))
    assert out["error"].isna().all() and summary().requests == 100
