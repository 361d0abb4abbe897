"""The simulator's streams: events, usage, pace, errors, and clients that leave."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import httpx
import pytest
from support.waiting import SECONDS, wait_until

from tsn_frames.simulator import Faults, Simulator, count_tokens


def ask(sim, text="Is tea good?", **body):
    body = {"model": "sim-small", "messages": [{"role": "user", "content": text}], **body}
    connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=SECONDS)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = connection.getresponse()
        return reply.status, dict(reply.headers), reply.read()
    finally:
        connection.close()


def stream(sim, **body):
    status, headers, data = ask(sim, stream=True, **body)
    assert status == 200, data
    assert headers["content-type"].startswith("text/event-stream")
    lines = data.decode().split("\n\n")
    assert lines.pop() == ""
    return [line for line in lines if not line.startswith(": ping")], lines


def chunks(lines):
    return [json.loads(line.rpartition("data: ")[2]) for line in lines if not line.endswith("[DONE]")]


@pytest.fixture(scope="module")
def shared():
    with Simulator(0, 0.0) as sim:
        yield sim


def joined(parsed, field="content", index=0):
    deltas = [part["delta"] for chunk in parsed for part in chunk["choices"] if part["index"] == index]
    return "".join(delta.get(field) or "" for delta in deltas)


def test_a_stream_is_role_contents_finish_and_done(shared):
    lines, everything = stream(shared)
    assert lines[-1] == "data: [DONE]"
    assert any(line.startswith(": ping") for line in everything)
    parsed = chunks(lines)
    assert {chunk["object"] for chunk in parsed} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in parsed}) == 1
    assert parsed[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in parsed]
    assert finishes == [None] * (len(parsed) - 1) + ["stop"]
    assert all("usage" not in chunk for chunk in parsed)


def test_a_stream_says_what_the_whole_answer_says(shared):
    for body in (
        {},
        {"max_tokens": 5},
        {"stop": "good"},
        {"model": "sim-reasoner"},
        {"n": 2},
        {"response_format": {"type": "json_object"}},
    ):
        whole = json.loads(ask(shared, **body)[2])["choices"]
        parsed = chunks(stream(shared, **body)[0])
        for index, choice in enumerate(whole):
            assert joined(parsed, index=index) == choice["message"]["content"]
            assert joined(parsed, "reasoning_content", index) == choice["message"].get("reasoning_content", "")


def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(shared):
    parsed = chunks(stream(shared, stream_options={"include_usage": True})[0])
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"] == json.loads(ask(shared)[2])["usage"]
    assert all(chunk["usage"] is None for chunk in parsed[:-1])


def test_stream_options_can_be_rejected_or_ignored():
    options = {"stream_options": {"include_usage": True}, "stream": True}
    with Simulator(0, 0.0, stream_usage="reject") as sim:
        status, _, data = ask(sim, **options)
        assert status == 400
        assert "stream_options" in json.loads(data)["error"]["message"]
        assert ask(sim, stream=True)[0] == 200
    with Simulator(0, 0.0, stream_usage="ignore") as sim:
        assert b"usage" not in ask(sim, **options)[2]


def test_logprobs_come_piece_by_piece(shared):
    parsed = chunks(stream(shared, logprobs=True)[0])
    parts = [chunk["choices"][0] for chunk in parsed if chunk["choices"][0]["delta"].get("content")]
    assert all(part["logprobs"]["content"][0]["token"] == part["delta"]["content"] for part in parts)


def test_the_pace_is_tokens_a_second_and_the_bill_is_the_whole():
    with Simulator(0, 0.0, token_rate=100.0) as sim:
        text = joined(chunks(stream(sim)[0]))
        seconds = sim.log[0].seconds
        stats = sim.stats()
    tokens = count_tokens(text)
    assert seconds >= tokens / 100 * 0.9
    assert stats.billed_completion_tokens == tokens


def test_a_client_that_leaves_a_stream_is_noticed_and_pays_only_what_was_sent(endless):
    with Simulator(0, 0.0, token_rate=20.0) as sim:
        body = {"model": "sim-large", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        with (
            httpx.Client(trust_env=False, timeout=SECONDS) as client,
            client.stream("POST", f"{sim.base_url}/chat/completions", json=body) as reply,
        ):
            for line in reply.iter_lines():
                if '"content":" ' in line:
                    break
        wait_until(lambda: sim.stats().disconnects)
        stats, exchange = sim.stats(), sim.log[0]
        assert (stats.disconnects, stats.answers) == (1, 1)
        whole = json.loads(ask(sim, "Hi", model="sim-large")[2])["usage"]["completion_tokens"]
    assert 0 < stats.billed_completion_tokens < whole
    assert (exchange.status, exchange.billed) == (200, True)


def test_an_error_can_come_in_mid_stream_and_only_there():
    with Simulator(0, 0.0, faults=Faults(stream_error=1.0)) as sim:
        assert ask(sim)[0] == 200
        lines, _ = stream(sim, stream_options={"include_usage": True})
        parsed = chunks(lines)
        assert parsed[-1]["error"]["type"] == "server_error"
        assert parsed[0]["choices"]
        assert not lines[-1].endswith("[DONE]")
        assert sim.stats().faults == {"stream_error": 1}


def test_faults_of_content_reach_streams():
    def parsed(name):
        with Simulator(0, 0.0, faults=Faults(**{name: 1.0})) as sim:
            return chunks(stream(sim, stream_options={"include_usage": True})[0])

    assert all(not chunk["choices"] for chunk in parsed("no_choices"))
    assert joined(parsed("null_content")) == ""
    assert parsed("filtered")[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert parsed("no_usage")[-1]["choices"]
    assert parsed("absurd_usage")[-1]["usage"]["prompt_tokens"] == -5
