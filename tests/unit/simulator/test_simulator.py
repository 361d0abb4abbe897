"""The simulator's answers, rules and books, seen over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.waiting import SECONDS, wait_until, wait_until_async

from tsn_frames.simulator import Quota, Simulator, chat_handler, count_tokens
from tsn_frames.simulator.options import wait_of


def ask(sim, text="Is tea good?", *, path="/v1/chat/completions", method="POST", headers=None, raw=None, **body):
    """Send one request on its own connection; give status, headers and the parsed body."""
    body = {"model": "sim-small", "messages": [{"role": "user", "content": text}], **body}
    connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=SECONDS)
    try:
        connection.request(method, path, raw if raw is not None else json.dumps(body), headers or {})
        reply = connection.getresponse()
        data = reply.read()
    finally:
        connection.close()
    kind = reply.headers.get("content-type", "")
    return reply.status, dict(reply.headers), json.loads(data) if kind == "application/json" and data else data


def say(sim, text="Is tea good?", **body):
    status, _, payload = ask(sim, text, **body)
    assert status == 200, payload
    return payload["choices"][0]["message"]["content"]


@pytest.fixture(scope="module")
def shared():
    with Simulator(seed=0, latency=0.0) as sim:
        yield sim


# Answers


def test_an_answer_has_the_documented_shape(shared):
    status, headers, payload = ask(shared)
    assert (status, headers["x-simulated"]) == (200, "tsn_frames")
    assert payload["object"] == "chat.completion"
    assert payload["model"] == "sim-small"
    assert payload["id"] and payload["created"] > 0
    assert payload["choices"][0]["message"]["role"] == "assistant"
    assert payload["choices"][0]["finish_reason"] == "stop"
    usage = payload["usage"]
    content = payload["choices"][0]["message"]["content"]
    assert usage["prompt_tokens"] == count_tokens("Is tea good?") + 4
    assert usage["completion_tokens"] == count_tokens(content)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_free_text_is_visibly_simulated_short_and_mentions_the_input(shared):
    for number in range(40):
        content = say(shared, f"Tell me something about marmalade, please, {number}")
        assert content.startswith("[simulated] ")
        assert 5 <= len(content.split()) <= 40
        assert "marmalade" in content


def test_answers_depend_on_seed_model_messages_and_request_seed_only():
    texts = [f"Question {number}" for number in range(20)]
    with Simulator(3, 0.0) as one, Simulator(3, 0.001) as same, Simulator(4, 0.0) as other:
        first = [say(one, text) for text in texts]
        assert first == [say(same, text, temperature=0.7, max_tokens=500) for text in reversed(texts)][::-1]
        assert first != [say(other, text) for text in texts]
        assert first != [say(one, text, seed=7) for text in texts]
        assert first != [say(one, text, model="sim-large") for text in texts]
        assert first == [say(one, text) for text in texts]
    assert len(set(first)) == 20


@pytest.mark.parametrize(
    ("system", "user", "expected"),
    [
        (None, "The food was bad. Answer with one of: good, bad, neutral.", {"bad"}),
        ("Choose ONE OF: good, bad, neutral", "This is good, not bad", {"good"}),
        (None, "The badger sleeps. one of: good, bad", {"good", "bad"}),
        (None, "Answer with exactly one of these labels: 'very good', 'very bad'\nIt is Very Bad", {"very bad"}),
        (None, "Which version? Use one of: v1.5, v2.0. We run v2.0 now", {"v2.0"}),
        (None, "Pick one of: yes, no, or maybe. Well, maybe", {"maybe"}),
    ],
)
def test_a_closed_choice_is_answered_with_one_option(shared, system, user, expected):
    messages = [{"role": "user", "content": user}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    assert say(shared, messages=messages) in expected


def test_a_choice_without_a_hint_is_spread_by_hash(shared):
    answers = {say(shared, f"Row {number}: one of: red, green, blue") for number in range(60)}
    assert answers == {"red", "green", "blue"}


def test_n_gives_so_many_different_choices_and_bills_them(shared):
    payload = ask(shared, n=3)[2]
    texts = [choice["message"]["content"] for choice in payload["choices"]]
    assert [choice["index"] for choice in payload["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert payload["usage"]["completion_tokens"] == sum(map(count_tokens, texts))


def test_stop_sequences_cut(shared):
    whole = say(shared)
    stop = whole.split()[3]
    assert say(shared, stop=stop) == whole[: whole.index(stop)]
    assert say(shared, stop=["never there", stop]) == whole[: whole.index(stop)]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_cuts_with_finish_reason_length(shared, field):
    choice = ask(shared, "Ein Gruß aus Köln", **{field: 4})[2]["choices"][0]
    assert choice["finish_reason"] == "length"
    assert count_tokens(choice["message"]["content"]) == 4


def test_the_reasoner_thinks_and_thinking_is_paid_first(shared):
    payload = ask(shared, model="sim-reasoner")[2]
    message = payload["choices"][0]["message"]
    thought = count_tokens(message["reasoning_content"])
    assert payload["usage"]["completion_tokens_details"] == {"reasoning_tokens": thought}
    assert payload["usage"]["completion_tokens"] == thought + count_tokens(message["content"])
    cut = ask(shared, model="sim-reasoner", max_tokens=3)[2]["choices"][0]
    assert cut["finish_reason"] == "length"
    assert cut["message"]["content"] == ""


def test_logprobs_have_the_usual_shape(shared):
    choice = ask(shared, "one of: red, green", logprobs=True, top_logprobs=3)[2]["choices"][0]
    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    for entry in entries:
        tops = entry["top_logprobs"]
        assert len(tops) == 3 and tops[0]["token"] == entry["token"]
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert all(top["logprob"] <= 0 for top in tops)
        assert [top["logprob"] for top in tops] == sorted((top["logprob"] for top in tops), reverse=True)
    assert {top["token"] for top in entries[0]["top_logprobs"]} >= {"red", "green"}
    assert "logprobs" not in ask(shared)[2]["choices"][0]


def test_cached_tokens_are_reported_on_request():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    with Simulator(0, 0.0, cached_tokens=True) as sim:
        reported = [ask(sim, messages=messages)[2]["usage"]["prompt_tokens_details"] for _ in range(2)]
    assert reported == [{"cached_tokens": 0}, {"cached_tokens": count_tokens("Be brief.") + 4}]


def test_texts_in_every_script_come_back_whole(shared):
    text = "Привет 日本語 🎉 العربية say marmeláda"
    assert "marmeláda" in say(shared, text)


def test_parts_are_read_and_unknown_fields_accepted(shared):
    parts = [{"type": "text", "text": "About marmalade"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": parts},
    ]
    assert "marmalade" in say(shared, messages=messages, user="u1", tools=[], metadata={"a": 1})


# Rules


@pytest.mark.parametrize(
    ("body", "fragments"),
    [
        ({"temperature": 2.1}, ("temperature", "0 to 2")),
        ({"temperature": "hot"}, ("temperature", "0 to 2")),
        ({"temperature": True}, ("temperature", "0 to 2")),
        ({"temperature": None}, ("temperature", "0 to 2")),
        ({"top_p": -0.1}, ("top_p", "0 to 1")),
        ({"frequency_penalty": 3}, ("frequency_penalty", "-2 to 2")),
        ({"presence_penalty": -3}, ("presence_penalty", "-2 to 2")),
        ({"max_tokens": 0}, ("max_tokens", "at least 1")),
        ({"max_tokens": 1.0}, ("max_tokens", "at least 1")),
        ({"max_completion_tokens": True}, ("max_completion_tokens", "at least 1")),
        ({"n": 0}, ("n ", "1 to 128")),
        ({"stream": "yes"}, ("stream", "true or false")),
        ({"stop": ""}, ("stop", "string")),
        ({"stop": [1]}, ("stop", "string")),
        ({"top_logprobs": 21}, ("top_logprobs", "0 to 20")),
        ({"model": ""}, ("model", "string")),
        ({"messages": []}, ("messages", "at least one")),
        ({"messages": [{"role": "bot", "content": "x"}]}, ("messages[0].role", "system, user, assistant")),
        ({"messages": [{"role": "user"}]}, ("messages[0].content", "string")),
        ({"messages": [{"role": "user", "content": None}]}, ("messages[0].content", "string")),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, ("messages[0].content", "type")),
        ({"messages": ["Hi"]}, ("messages[0]", "object")),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, ("messages[1]", "first")),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, ("messages[0]", "surrogate")),
        ({"response_format": {"type": "yaml"}}, ("response_format", "json_schema")),
        ({"response_format": {"type": "json_schema"}}, ("json_schema", "schema")),
        ({"stream_options": {"include_usage": True}}, ("stream_options", "stream")),
    ],
)
def test_a_broken_rule_is_a_400_that_names_field_and_range(shared, body, fragments):
    status, _, payload = ask(shared, **body)
    assert status == 400
    assert set(payload["error"]) == {"message", "type", "code"}
    assert payload["error"]["type"] == "invalid_request_error"
    for words in fragments:
        assert words in payload["error"]["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"model": "sim-small"}'])
def test_a_body_that_is_not_a_request_is_a_400(shared, raw):
    status, _, payload = ask(shared, raw=raw)
    assert (status, payload["error"]["type"]) == (400, "invalid_request_error")


def test_unknown_models_paths_and_methods_are_refused_in_json(shared):
    status, _, payload = ask(shared, model="gpt-9")
    assert (status, payload["error"]["code"]) == (404, "model_not_found")
    status, _, payload = ask(shared, path="/v1/nothing")
    assert status == 404 and "/v1/nothing" in payload["error"]["message"]
    status, headers, payload = ask(shared, method="GET")
    assert (status, headers["allow"]) == (405, "POST") and payload["error"]
    assert ask(shared, path="/v1/models", method="DELETE")[0] == 405


def test_the_model_list_is_there_or_not():
    with Simulator(0, 0.0, models=("sim-a", "sim-b")) as sim:
        status, _, payload = ask(sim, path="/v1/models", method="GET")
        assert status == 200 and payload["object"] == "list"
        assert [model["id"] for model in payload["data"]] == ["sim-a", "sim-b"]
        assert ask(sim, model="sim-a")[0] == 200
    with Simulator(0, 0.0, list_models=False) as sim:
        assert ask(sim, path="/v1/models", method="GET")[0] == 404


def test_only_known_keys_are_let_in_when_keys_are_given():
    with Simulator(0, 0.0, keys=("tsn_test_x",)) as sim:
        assert ask(sim, headers={"Authorization": "Bearer tsn_test_x"})[0] == 200
        for headers in ({}, {"Authorization": "Bearer tsn_test_y"}, {"Authorization": "Basic tsn_test_x"}):
            status, _, payload = ask(sim, headers=headers)
            assert (status, payload["error"]["type"], payload["error"]["code"]) == (401, "auth_error", "invalid_api_key")
            assert "tsn_test" not in json.dumps(payload)
        assert ask(sim, path="/v1/models", method="GET")[0] == 401
        assert sim.stats().answers == 1
    with Simulator(0, 0.0, keys=("tsn_test_x",), echo_key=True) as sim:
        assert "tsn_test_y" in ask(sim, headers={"Authorization": "Bearer tsn_test_y"})[2]["error"]["message"]


def test_the_balance_pays_exactly_so_many_answers_even_at_once():
    with Simulator(0, 0.02, balance=5) as sim:
        statuses = []
        threads = [threading.Thread(target=lambda i=i: statuses.append(ask(sim, f"Row {i}")[0])) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 5 + [402] * 7
        error = ask(sim)[2]["error"]
        assert (error["type"], error["code"]) == ("billing_error", "insufficient_balance")
        sim.balance = 1
        assert ask(sim)[0] == 200
        assert sim.stats().answers == 6


# Books


def test_stats_and_log_record_requests():
    with Simulator(0, 0.0) as sim:
        ask(sim, "A", headers={"Authorization": "Bearer tsn_test_secret", "X-Extra": "1", "Idempotency-Key": "k"})
        ask(sim, "A")
        ask(sim, "B", temperature=9)
        stats, log = sim.stats(), sim.log
        assert (stats.requests, stats.answers, stats.refused) == (3, 2, 0)
        assert stats.billed_by_prompt == {"A": 2}
        assert stats.statuses == {200: 2, 400: 1}
        assert stats.idempotency_keys == {"k": 1}
        assert stats.connections == 3
        assert stats.billed_prompt_tokens == 2 * 5
        assert [(e.status, e.billed, e.key_sent) for e in log] == [(200, True, True), (200, True, False), (400, False, False)]
        assert log[0].body["messages"][0]["content"] == "A"
        assert log[0].headers["x-extra"] == "1"
        assert "tsn_test_secret" not in repr(log)
        assert str(stats).startswith("3 requests, 2 billed (10 + ")
        sim.reset_stats()
        assert sim.stats().requests == 0 and sim.log == []


def test_the_log_is_bounded():
    with Simulator(0, 0.0, keep_log=3) as sim:
        for number in range(5):
            ask(sim, str(number))
        assert [exchange.body["messages"][0]["content"] for exchange in sim.log] == ["2", "3", "4"]


def test_a_repeated_idempotency_key_is_answered_again_for_free():
    with Simulator(0, 0.0, replay_idempotent=True) as sim:
        first, again = (ask(sim, headers={"Idempotency-Key": "k"})[2] for _ in range(2))
        assert first["choices"] == again["choices"]
        assert (sim.stats().answers, sim.stats().idempotency_keys) == (1, {"k": 2})
        ask(sim, headers={"Idempotency-Key": "other"})
        assert sim.stats().answers == 2
    with Simulator(0, 0.0) as sim:
        ask(sim, headers={"Idempotency-Key": "k"})
        ask(sim, headers={"Idempotency-Key": "k"})
        assert sim.stats().answers == 2


@pytest.mark.parametrize("abandoned", [False, True])
def test_a_client_that_leaves_is_noticed_at_once_and_billed_as_stated(abandoned):
    with Simulator(0, 60.0, bill_abandoned=abandoned) as sim:
        leave(sim)
        wait_until(lambda: sim.stats().disconnects == 1)
        assert sim.stats().answers == int(abandoned)
        assert (sim.log[0].status, sim.log[0].billed) == (0, abandoned)


def leave(sim):
    """Send a request, and close the connection when it has arrived."""
    with socket.create_connection(("127.0.0.1", urlsplit(sim.base_url).port), timeout=SECONDS) as raw:
        raw.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        wait_until(lambda: sim.stats().requests == 1)


# The server


def talk(sim, data, size=65536):
    """Send raw bytes and return the response until the server closes."""
    parts = urlsplit(sim.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as raw:
        for piece in data if isinstance(data, list) else [data]:
            raw.sendall(piece)
            time.sleep(0.02)
        received = b""
        while more := raw.recv(size):
            received += more
    return received


BODY = b'{"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


def test_chunked_bodies_keep_alive_and_pieces_are_understood(shared):
    chunked = (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    )
    plain = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    last = plain.replace(b"Host: x", b"Host: x\r\nConnection: close")
    reply = talk(shared, [chunked + b"0\r\n\r\n", plain[:30], plain[30:200], plain[200:] + last])
    assert reply.count(b"HTTP/1.1 200 OK") == 3


def test_expect_continue_and_connection_close_are_honoured(shared):
    head = POST + b"Content-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n" % len(BODY)
    with socket.create_connection(("127.0.0.1", urlsplit(shared.base_url).port), timeout=SECONDS) as raw:
        raw.sendall(head)  # the body only when it is asked for: one that is there already is not
        reader = raw.makefile("rb")
        assert reader.readline() + reader.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(BODY)
        reply = reader.read()
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n") and b"connection: close" in reply


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (POST + b"Content-Length: x\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 70_000, 431),
    ],
)
def test_bytes_that_are_not_a_request_end_the_connection_with_an_error(shared, data, status):
    assert talk(shared, data).startswith(b"HTTP/1.1 %d " % status)


def test_a_body_above_the_cap_is_refused():
    with Simulator(0, 0.0, max_body=100) as sim:
        assert ask(sim, "x" * 200)[0] == 413


def test_it_starts_and_closes_as_often_as_asked_and_leaves_nothing_behind():
    before = set(threading.enumerate())
    sim = Simulator(0, 0.0)
    assert "closed" in repr(sim)
    with pytest.raises(RuntimeError, match="does not run"):
        _ = sim.base_url
    for _ in range(2):
        assert sim.start() is sim.start()
        assert ask(sim)[0] == 200
        sim.close()
        sim.close()
    assert set(threading.enumerate()) <= before
    assert sim.stats().answers == 2


def test_it_listens_on_ipv6_and_on_a_given_port():
    with Simulator(0, 0.0, host="::1") as sim:
        assert sim.base_url.startswith("http://[::1]:")
        assert ask(sim)[0] == 200
    with Simulator(0, 0.0) as sim:
        port = urlsplit(sim.base_url).port  # one that is free on ::1 may be in use on 127.0.0.1
    with Simulator(0, 0.0, port=port) as sim:
        assert urlsplit(sim.base_url).port == port
        with pytest.raises(OSError, match="in use"):
            Simulator(port=port).start()


def test_it_can_vanish_and_come_back():
    with Simulator(0, 0.0) as sim:
        sim.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            ask(sim)
        sim.resume_listening()
        assert ask(sim)[0] == 200


@pytest.mark.parametrize("turns", range(4))
def test_a_connection_that_comes_in_the_moment_of_the_end_holds_it_up_for_no_longer(turns):
    """The loop had accepted it and made no transport yet, which a closed server refuses: the close waited for it forever."""

    async def come_and_go(address):
        with socket.create_connection(address):
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.wait_for(sim._hang_up(), 10)

    with Simulator() as sim:
        address = ("127.0.0.1", urlsplit(sim.base_url).port)
        with socket.create_connection(address):
            wait_until(lambda: sim._connections)
            sim._run(come_and_go(address))
            assert not sim._connections


def test_an_outage_fails_everything_for_its_time():
    with Simulator(0, 0.0) as sim:
        sim.outage(60, status=502)
        assert ask(sim)[0] == 502
        assert ask(sim, path="/v1/models", method="GET")[0] == 502
        sim.outage(0.1, status=502)
        time.sleep(0.15)
        assert ask(sim)[0] == 200
        sim.outage(60)
        assert ask(sim)[0] == 503
        sim.outage(0)
        assert ask(sim)[0] == 200
        assert sim.stats().answers == 2


def test_latency_is_waited_and_can_be_spread(monkeypatch):
    with Simulator(0, 0.1) as sim:
        ask(sim)
        assert sim.log[0].seconds >= 0.1
    waits = []
    monkeypatch.setattr(chat_handler, "wait_of", lambda *given: waits.append(wait_of(*given)) or waits[-1])
    with Simulator(0, (0.1, 1.0)) as sim, ThreadPoolExecutor(12) as pool:  # all at once
        list(pool.map(lambda number: ask(sim, str(number)), range(12)))
        seconds = sorted(exchange.seconds for exchange in sim.log)
    waits.sort()
    assert waits[0] < 0.1 < waits[-1] and all(took >= wait for took, wait in zip(seconds, waits, strict=True))


def test_a_thousand_connections_are_served_at_once(monkeypatch):
    """No request is answered before all have arrived, however long that takes."""
    waits = []
    monkeypatch.setattr("tsn_frames.simulator.connection.Connection._begin", lambda self: waits.append(self))

    async def one(port, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = BODY.replace(b"Hi", b"%d" % number)
        writer.write(POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        reply = await reader.read()
        writer.close()
        return reply[:15]

    async def answer(sim):
        await wait_until_async(lambda: len(waits) == 1000)
        monkeypatch.undo()
        sim._loop.call_soon_threadsafe(lambda: [connection._begin() for connection in waits])

    async def everybody(sim):
        port = urlsplit(sim.base_url).port
        *replies, _ = await asyncio.gather(*(one(port, number) for number in range(1000)), answer(sim))
        return replies

    with Simulator(0, 0.0, keep_log=0) as sim:
        replies = asyncio.run(everybody(sim))
        stats = sim.stats()
    assert replies == [b"HTTP/1.1 200 OK"] * 1000
    assert (stats.connections, stats.answers, stats.disconnects) == (1000, 1000, 0)
    assert stats.peak_concurrency == 1000


def test_options_out_of_range_raise_before_anything_starts():
    for options in ({"latency": -1}, {"token_rate": 0}, {"balance": -1}, {"tier": "pro", "quota": Quota(requests=1)}):
        with pytest.raises(ValueError):
            Simulator(**options)
    for options in ({"keys": "tsn_test_x"}, {"models": "sim-small"}):
        with pytest.raises(TypeError):
            Simulator(**options)
    for limits in ({"requests": 0}, {"tokens": -1}, {"concurrency": 0}, {"window": 0}):
        with pytest.raises(ValueError):
            Quota(**limits)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_the_command_line_serves_until_interrupted():
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tsn_frames", "simulate", "--latency", "0", "--key", "tsn_test_x", "--fault", "error_500=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            line = process.stdout.readline()
            assert "Simulated" in line
            url = line.split(" at ")[1].split(": ")[0]
            host = urlsplit(url).netloc
            connection = http.client.HTTPConnection(host, timeout=SECONDS)
            connection.request("GET", "/v1/models", headers={"Authorization": "Bearer tsn_test_x"})
            assert connection.getresponse().status == 200
            connection.close()
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "0 requests" in rest


def test_it_imports_only_the_standard_library_and_itself():
    code = (
        "import sys, importlib.util as u, pathlib\n"
        "before = set(sys.modules)\n"
        f"path = pathlib.Path({str(Path(__file__).parents[3] / 'tsn_frames' / 'simulator' / '__init__.py')!r})\n"
        "spec = u.spec_from_file_location('alone', path, submodule_search_locations=[str(path.parent)])\n"
        "module = u.module_from_spec(spec); sys.modules['alone'] = module; spec.loader.exec_module(module)\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'alone'}\n"
        "strange = new - set(sys.stdlib_module_names)\n"
        "assert not strange, strange\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_function_can_give_the_text_of_an_answer():
    def answer(body):
        question = body["messages"][-1]["content"]
        return question.upper() if question.startswith("say ") else None

    with Simulator(latency=0.0, answer=answer) as sim:
        given, simulated = (ask(sim, text, max_tokens=5)[2]["choices"][0] for text in ("say one two three four five", "hello"))
    assert given["message"]["content"].startswith("SAY ONE") and given["finish_reason"] == "length"
    assert simulated["message"]["content"].startswith("[simulated]")
