"""The simulator enforces its limits and announces them in every header style that services use."""

from __future__ import annotations

import http.client
import json
import threading
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
from support.waiting import SECONDS, wait_until

from tsn_frames.simulator import Quota, Simulator, count_tokens

pytestmark = pytest.mark.pace


class Clock:
    """The service's time, which goes on only when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return time.time()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("tsn_frames.simulator.app.time", made)
    return made


def ask(sim, text="Hi", **body):
    body = {"model": "sim-small", "messages": [{"role": "user", "content": text}], **body}
    connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=SECONDS)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = connection.getresponse()
        return reply.status, dict(reply.headers), json.loads(reply.read())
    finally:
        connection.close()


def at_once(sim, count, **body):
    """Ask from many connections, none of which is answered before all have been decided on."""
    results, jobs = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsn_frames.simulator.connection.Connection._begin", lambda self: jobs.append(self))
        threads = [threading.Thread(target=lambda i=i: results.append(ask(sim, f"{i:02}", **body))) for i in range(count)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(jobs) == count)
    sim._loop.call_soon_threadsafe(lambda: [job._begin() for job in jobs])
    for thread in threads:
        thread.join()
    return results


def test_requests_in_a_window_are_counted_and_the_window_resets(clock):
    with Simulator(0, 0.0, quota=Quota(requests=3, window=1.5)) as sim:
        assert [ask(sim)[0] for _ in range(5)] == [200, 200, 200, 429, 429]
        clock.now += 1.55
        assert [ask(sim)[0] for _ in range(4)] == [200, 200, 200, 429]
        stats = sim.stats()
    assert (stats.answers, stats.refused, stats.requests) == (6, 3, 9)


def test_the_window_opens_with_the_first_request(clock):
    with Simulator(0, 0.0, quota=Quota(requests=1, window=2.0)) as sim:
        clock.now += 1.6
        assert ask(sim)[0] == 200
        clock.now += 0.6
        assert ask(sim)[0] == 429


def test_a_refusal_is_the_documented_error_with_the_wait_in_header_and_message():
    with Simulator(0, 0.0, quota=Quota(requests=1, window=30.0)) as sim:
        ask(sim)
        status, headers, payload = ask(sim)
    assert status == 429
    assert payload["error"]["type"] == "rate_limit_error"
    assert payload["error"]["code"] == "rate_limit_exceeded"
    assert headers["retry-after"] == "30"
    assert "Retry after 30 seconds" in payload["error"]["message"]


@pytest.mark.parametrize(
    ("style", "header", "value"),
    [
        ("header", "retry-after", "90"),
        ("header-ms", "retry-after-ms", None),
        ("date", "retry-after", None),
        ("duration", "retry-after", "1m30s"),
        ("message", None, None),
        ("none", None, None),
    ],
)
def test_the_wait_is_announced_in_the_chosen_style(style, header, value):
    with Simulator(0, 0.0, quota=Quota(requests=1, window=90.0), retry_hint=style) as sim:
        ask(sim)
        _, headers, payload = ask(sim)
    given = {name: value for name, value in headers.items() if name.startswith("retry")}
    assert set(given) == ({header} if header else set())
    if value:
        assert given[header] == value
    if style == "header-ms":
        assert int(given[header]) == 90_000
    if style == "date":
        assert 60 < parsedate_to_datetime(given[header]).timestamp() - time.time() <= 92
    assert ("Retry after" in payload["error"]["message"]) == (style == "message")


def test_every_answer_has_limit_remaining_and_reset():
    with Simulator(0, 0.0, tier="free") as sim:
        connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=10)
        connection.request("GET", "/v1/models")
        before = dict(connection.getresponse().headers)
        connection.close()
        _, headers, payload = ask(sim, max_tokens=500)
        _, bad, _ = ask(sim, temperature=9)
    assert before["x-ratelimit-remaining-requests"] == "20"
    assert before["x-ratelimit-reset-requests"] == "0s"
    assert headers["x-ratelimit-limit-requests"] == "20"
    assert headers["x-ratelimit-remaining-requests"] == "19"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert headers["x-ratelimit-limit-tokens"] == "50000"
    assert headers["x-ratelimit-reset-tokens"] == "1m0s"
    assert bad["x-ratelimit-remaining-requests"] == "19"
    assert int(bad["x-ratelimit-remaining-tokens"]) == 50_000 - payload["usage"]["total_tokens"]
    assert not [name for name in headers if "concurren" in name]


def test_short_resets_are_given_in_milliseconds():
    with Simulator(0, 0.0, quota=Quota(requests=5, window=0.9)) as sim:
        reset = ask(sim)[1]["x-ratelimit-reset-requests"]
    assert reset == "900ms"


def test_tokens_are_charged_at_arrival_and_settled_at_the_end():
    prompt = count_tokens("Hi") + 4
    with Simulator(0, 0.0, quota=Quota(tokens=150)) as sim:
        assert sorted(status for status, _, _ in at_once(sim, 2, max_tokens=100)) == [200, 429]
        used = sim.stats().billed_completion_tokens + prompt
        status, headers, _ = ask(sim, "Hi", max_tokens=150 - used - prompt)
        assert status == 200
        assert "x-ratelimit-limit-requests" not in headers


def test_concurrency_is_enforced_and_never_in_a_header():
    with Simulator(0, 0.0, quota=Quota(concurrency=3)) as sim:
        results = at_once(sim, 8)
        assert sorted(status for status, _, _ in results) == [200] * 3 + [429] * 5
        assert not any(name.startswith("x-ratelimit") for _, headers, _ in results for name in headers)
        assert ask(sim)[0] == 200
        assert sim.stats().peak_concurrency == 3


def test_lying_headers_stay_full_although_requests_are_refused():
    with Simulator(0, 0.0, quota=Quota(requests=2), lying_headers=True) as sim:
        results = [ask(sim) for _ in range(3)]
    assert [status for status, _, _ in results] == [200, 200, 429]
    assert {headers["x-ratelimit-remaining-requests"] for _, headers, _ in results} == {"2"}


def test_a_refused_request_costs_nothing_and_is_not_an_attempt():
    with Simulator(0, 0.0, quota=Quota(requests=1, window=0.3)) as sim:
        ask(sim, "A")
        ask(sim, "B")
        assert sim.stats().billed_by_prompt == {"A": 1}
        assert [exchange.billed for exchange in sim.log] == [True, False]


@pytest.mark.parametrize(("tier", "concurrency"), [("free", 2), ("starter", 5), ("pro", 20)])
def test_the_tiers_are_the_documented_ones(tier, concurrency):
    with Simulator(0, 0.0, tier=tier) as sim:
        statuses = [status for status, _, _ in at_once(sim, concurrency + 2)]
    assert statuses.count(200) == concurrency
