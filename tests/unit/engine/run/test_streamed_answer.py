"""Rows whose answers are asked for as event streams: the same answers, the same cache, the same ledger."""

import contextlib
import json
import warnings
from decimal import Decimal

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.cache.repair import scan
from tsn_frames.simulator import Faults, Simulator

PROMPT = "One of: yes, no. {t}"


def rows(number):
    return pd.DataFrame({"t": [f"row {i}" for i in range(number)]})


def streamed(df, client, **words):
    """Complete a frame by streams and return the run's executor."""
    with warnings.catch_warnings(), contextlib.suppress(tsn.errors.BudgetExceeded):
        warnings.simplefilter("ignore")
        df.tsn.complete(PROMPT, client=client, tag="streams", stream=True, progress=False, **words)
    return tsn.last_run()._engine


def client_of(sim, tmp_path, **words):
    words = {"retry": tsn.Retry(backoff=0.01), "prices": {"sim-small": (1, 2)}} | words
    return tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", **words)


def entries(client):
    return [(entry.outcome, entry.total_tokens, entry.tag) for entry in client.ledger.entries()]


@pytest.fixture(params=["pool", "httpx"])
def any_backend(request, monkeypatch):
    if request.param == "httpx":
        monkeypatch.setattr("tsn_frames.engine.transport.select_backend.proxy_for", lambda _url: "http://127.0.0.1:9")


def test_a_streamed_row_has_the_answer_of_a_plain_one(sim, tmp_path, any_backend):
    client = client_of(sim, tmp_path)
    plain = rows(40).tsn.complete(PROMPT, client=client, cache="off", progress=False)
    executor = streamed(rows(40), client)
    assert [answer.content for answer in executor.answers.completions] == plain["content"].tolist()
    assert executor.counts.prompt_tokens == plain["prompt_tokens"].sum()
    assert executor.counts.completion_tokens == plain["completion_tokens"].sum()
    assert executor.counts.cost == sum(map(Decimal, map(str, plain["cost"])))
    assert [exchange.body.get("stream") for exchange in sim.log] == [None] * 40 + [True] * 40
    assert len(entries(client)) == 80 and {outcome for outcome, _, _ in entries(client)} == {"answered"}


def test_a_streamed_answer_is_found_by_a_plain_call_and_the_other_way_round(sim, tmp_path):
    client = client_of(sim, tmp_path)
    streamed(rows(5), client)
    out = rows(8).tsn.complete(PROMPT, client=client, progress=False)
    assert out["cached"].tolist() == [True] * 5 + [False] * 3
    executor = streamed(rows(8), client)
    assert (executor.counts.cached, sim.stats().requests) == (8, 8)
    bodies = [json.loads(body) for _, body, _ in scan(client.cache.file)]
    assert len(bodies) == 8 and {body["object"] for body in bodies} == {"chat.completion"}


@pytest.mark.parametrize("fault", ["reset", "truncate", "stream_error"])
def test_a_stream_that_breaks_off_is_not_kept_and_tried_again(fault, tmp_path):
    with Simulator(seed=0, latency=0.0, faults=Faults(**{fault: 1.0}, first_attempt_only=True)) as sim:
        client = client_of(sim, tmp_path)
        executor = streamed(rows(3), client)
        assert all(answer.content for answer in executor.answers.completions)
        assert (sim.stats().requests, client.cache.stats().answers) == (6, 3)
        assert sorted(outcome for outcome, _, _ in entries(client)) == ["answered"] * 3 + ["unknown"] * 3
        assert not executor.counts.cost_known


@pytest.mark.parametrize(("usage", "requests"), [("reject", 9), ("ignore", 8)])
def test_an_answer_without_usage_is_stored_all_the_same(usage, requests, tmp_path):
    """A service that can't count a stream is asked without its option; an answer that is paid for is kept."""
    with Simulator(seed=0, latency=0.0, stream_usage=usage) as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(1))
        executor = streamed(rows(8), client)
        assert all(answer.content for answer in executor.answers.completions)
        assert (sim.stats().requests, client.cache.stats().answers) == (requests, 8)
        assert not executor.counts.cost_known
        assert streamed(rows(8), client).counts.cached == 8


def test_a_streamed_row_reserves_and_spends_its_budget(sim, tmp_path):
    executor = streamed(rows(60), client_of(sim, tmp_path), max_tokens=5, max_cost=0.0005)
    assert isinstance(executor.end, tsn.errors.BudgetExceeded)
    assert 0 < executor.counts.answered < 60 and executor.counts.cost <= Decimal("0.0005")


def test_a_plain_answer_to_a_request_for_a_stream_is_an_answer(tmp_path):
    from support.raw_server import RawServer

    body = b'{"model":"m","choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'

    async def script(peer):
        while True:
            await peer.request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    with RawServer(script) as server:
        client = tsn.Client(server.url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
        executor = streamed(rows(3), client)
    assert [answer.content for answer in executor.answers.completions] == ["yes"] * 3
    assert client.cache.stats().answers == 3


def test_a_stream_that_has_finished_and_stays_open_is_an_answer(tmp_path, monkeypatch):
    from support.raw_server import RawServer

    monkeypatch.setattr("tsn_frames.api.streaming.stream_parser.AFTER_FINISH", 0.05)
    event = b'data: {"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n'

    async def script(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event)
        await peer.gone()

    with RawServer(script) as server:
        client = tsn.Client(server.url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
        executor = streamed(rows(1), client)
    assert [answer.content for answer in executor.answers.completions] == ["yes"]
    assert (len(server.asked), client.cache.stats().answers) == (1, 1)


def test_rows_in_flight_together_are_all_asked_again_where_the_usage_is_refused(tmp_path):
    with Simulator(seed=0, latency=0.02, stream_usage="reject") as sim:
        client = client_of(sim, tmp_path, limits=tsn.Limits(8))
        executor = streamed(rows(40), client)
        assert not executor.answers.errors and client.cache.stats().answers == 40
        assert 41 <= sim.stats().requests < 60
