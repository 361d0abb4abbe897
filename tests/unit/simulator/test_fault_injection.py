"""Every fault of the simulator does on the wire what its name says, and is billed as stated."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
from support.waiting import SECONDS, wait_until

from tsn_frames.simulator import Faults, Simulator

UNBILLED = ("error_500", "error_503", "error_502", "error_other", "error_429", "echo_key", "redirect", "html", "reset_before")
BILLED = (
    "hang",
    "half_open",
    "reset",
    "truncate",
    "drip",
    "cut_json",
    "malformed",
    "empty_body",
    "wrong_type",
    "huge",
    "gzip_bomb",
    "no_choices",
    "null_content",
    "filtered",
    "no_usage",
    "absurd_usage",
)


def ask(sim, text="Hi", timeout=SECONDS, **body):
    """Send one request; give status, headers and the bytes of the body."""
    body = {"model": "sim-small", "messages": [{"role": "user", "content": text}], **body}
    connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": "Bearer tsn_test_canary"})
        reply = connection.getresponse()
        return reply.status, dict(reply.headers), reply.read()
    finally:
        connection.close()


def with_fault(name, **more):
    return Simulator(0, 0.0, faults=Faults(**{name: 1.0}, **more))


@pytest.mark.parametrize("name", UNBILLED + BILLED)
@pytest.mark.parametrize("stream", [False, True])
def test_each_fault_happens_when_it_is_certain_is_counted_and_billed_as_stated(name, stream):
    with with_fault(name, hang_seconds=0.05, drip_seconds=1e-9) as sim:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(sim, stream=stream)
        stats = sim.stats()
        assert stats.faults == {name: 1}
        assert stats.answers == int(name in BILLED)
        assert (stats.billed_completion_tokens > 0) == (name in BILLED)
        (line,) = sim.bill()
        assert (line.fault, line.prompt, line.key) == (name, "Hi", "")
        assert (line.prompt_tokens, line.completion_tokens) == (stats.billed_prompt_tokens, stats.billed_completion_tokens)


@pytest.mark.parametrize(
    ("name", "status"),
    [("error_500", 500), ("error_503", 503), ("error_502", 502), ("error_other", 529), ("error_429", 429), ("echo_key", 400)],
)
def test_error_faults_have_their_status(name, status):
    with with_fault(name) as sim:
        got, headers, body = ask(sim)
    assert got == status
    if name == "error_502":
        assert body.startswith(b"<html>") and headers["content-type"].startswith("text/html")
    else:
        assert set(json.loads(body)["error"]) == {"message", "type", "code"}
    if name == "error_500":
        assert json.loads(body)["error"] | {"message": ""} == {"message": "", "type": "server_error", "code": "internal_error"}
    if name == "error_429":
        assert headers["retry-after"] == "1"
    assert (b"tsn_test_canary" in body) == (name == "echo_key")


def test_reset_before_gives_no_byte():
    with with_fault("reset_before") as sim, pytest.raises(ConnectionResetError):
        ask(sim)


@pytest.mark.parametrize("stream", [False, True])
def test_reset_comes_in_mid_body(stream):
    with with_fault("reset") as sim:
        raw = send(sim, stream)
        received = b""
        with pytest.raises(ConnectionResetError), raw:
            while True:
                received += raw.recv(100)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"chat.completion" in received


def send(sim, stream=False):
    parts = urlsplit(sim.base_url)
    raw = socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}).encode()
    raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return raw


@pytest.mark.parametrize("stream", [False, True])
def test_truncate_closes_before_the_promised_length(stream):
    with with_fault("truncate") as sim, pytest.raises(http.client.IncompleteRead):
        ask(sim, stream=stream)


def test_half_open_sends_half_and_then_nothing():
    with with_fault("half_open") as sim, send(sim) as raw:
        received = b""
        while not received.partition(b"\r\n\r\n")[2]:
            received += raw.recv(65536)
        raw.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                received += raw.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        assert 0 < len(body) < length


def test_hang_accepts_bills_and_never_answers():
    with with_fault("hang") as sim:
        with pytest.raises(TimeoutError):
            ask(sim, timeout=0.2)
        wait_until(lambda: sim.stats().disconnects)
        stats = sim.stats()
        assert (stats.answers, stats.disconnects, stats.statuses) == (1, 1, {})


def test_drip_sends_single_bytes_slowly():
    """After so many pauses of the server at most so many bytes have come: who reads late gets several at once."""
    begun = time.monotonic()
    with with_fault("drip", drip_seconds=0.02) as sim, send(sim) as raw:
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < 10:
            received += raw.recv(1)
        assert time.monotonic() - begun > 10 * 0.02 * 0.9


def test_cut_json_is_valid_http_and_broken_json():
    with with_fault("cut_json") as sim:
        status, headers, body = ask(sim)
        assert (status, headers["content-length"]) == (200, str(len(body)))
        with pytest.raises(ValueError):
            json.loads(body)
        assert not ask(sim, stream=True)[2].endswith(b"[DONE]\n\n")


def test_malformed_and_empty_bodies_are_not_json():
    with with_fault("malformed") as sim, pytest.raises(ValueError):
        json.loads(ask(sim)[2])
    with with_fault("empty_body") as sim:
        assert ask(sim)[0::2] == (200, b"")


def test_html_is_a_login_page_with_status_200():
    with with_fault("html") as sim:
        status, headers, body = ask(sim)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Sign in" in body


def test_wrong_type_is_a_good_answer_under_a_wrong_name():
    with with_fault("wrong_type") as sim:
        _, headers, body = ask(sim)
    assert headers["content-type"] == "text/plain"
    assert json.loads(body)["choices"]


def test_redirect_points_elsewhere_and_what_follows_is_seen_there():
    with Simulator(0, 0.0) as other, with_fault("redirect", redirect_to=f"{other.base_url}/chat/completions") as sim:
        status, headers, _ = ask(sim)
        assert (status, headers["location"]) == (307, f"{other.base_url}/chat/completions")
        assert other.stats().requests == 0


def test_huge_is_thirty_megabytes():
    with with_fault("huge") as sim:
        body = ask(sim)[2]
    assert len(body) > 30 * 1024 * 1024
    assert json.loads(body)["choices"]


def test_gzip_bomb_is_small_and_inflates_to_over_100_mb():
    with with_fault("gzip_bomb") as sim:
        _, headers, body = ask(sim)
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 1_000_000
    inflated = gzip.decompress(body)
    assert len(inflated) > 100_000_000
    assert json.loads(inflated)["choices"]


def test_faults_of_content_keep_the_shape():
    def choice(name):
        with with_fault(name) as sim:
            return json.loads(ask(sim)[2])

    assert choice("no_choices")["choices"] == []
    null, filtered = choice("null_content")["choices"][0], choice("filtered")["choices"][0]
    assert (null["message"]["content"], null["finish_reason"]) == (None, "stop")
    assert (filtered["message"]["content"], filtered["finish_reason"]) == (None, "content_filter")
    assert "usage" not in choice("no_usage")
    assert choice("absurd_usage")["usage"] == {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": 1e30}


def test_faults_depend_on_seed_and_prompt_and_not_on_order():
    texts = [str(number) for number in range(60)]

    def failed(seed, order):
        with Simulator(seed, 0.0, faults=Faults(error_500=0.3)) as sim:
            return {text for text in order if ask(sim, text)[0] == 500}

    first = failed(1, texts)
    assert first == failed(1, texts[::-1])
    assert first != failed(2, texts)
    assert 5 < len(first) < 35


def test_each_attempt_is_decided_again_or_only_the_first():
    with Simulator(0, 0.0, faults=Faults(error_503=0.5)) as sim:
        assert {ask(sim)[0] for _ in range(20)} == {200, 503}
    with with_fault("error_503", first_attempt_only=True) as sim:
        assert [ask(sim)[0] for _ in range(3)] == [503, 200, 200]


def test_faults_can_be_changed_while_it_runs():
    with Simulator(0, 0.0) as sim:
        assert ask(sim)[0] == 200
        sim.faults = Faults(error_500=1.0)
        assert ask(sim)[0] == 500
        sim.faults = Faults()
        assert ask(sim)[0] == 200


def test_a_billed_answer_that_was_lost_can_be_had_again_by_its_idempotency_key():
    with Simulator(0, 0.0, replay_idempotent=True, faults=Faults(truncate=1.0)) as sim:
        connection = http.client.HTTPConnection(urlsplit(sim.base_url).netloc, timeout=SECONDS)
        statuses = []
        for _ in range(2):
            body = {"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}]}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Idempotency-Key": "k"})
            reply = connection.getresponse()
            try:
                statuses.append(json.loads(reply.read())["object"])
            except http.client.IncompleteRead:
                statuses.append("cut")
            connection.close()
        assert statuses == ["cut", "chat.completion"]
        assert sim.stats().answers == 1


def test_chances_and_times_out_of_range_raise():
    for options in ({"reset": 1.1}, {"html": -0.1}, {"hang_seconds": 0}, {"drip_seconds": -1}, {"other_status": 200}):
        with pytest.raises(ValueError):
            Faults(**options)
