"""Responses on the wire: framed, cut, delayed or malformed in every way, and the error of each.

Both backends are asked the same, so that the pool can't drift from what httpx makes of the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import zlib

import psutil
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw_server import RawServer, http
from support.waiting import SECONDS, wait_until, wait_until_async

from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.transport.connection import Connection
from tsn_frames.engine.transport.http_types import HttpFailure, HttpResponse
from tsn_frames.engine.transport.httpx_backend import HttpxTransport
from tsn_frames.engine.transport.pool import ConnectionPool
from tsn_frames.secret import Secret

BODY = b'{"model":"m","messages":[]}'


@pytest.fixture(params=[ConnectionPool, HttpxTransport], ids=["pool", "httpx"])
def backend(request):
    return request.param


def post(backend, url, times=1, *, timeout=SECONDS, pause=0.0, key="tsn_test_1", ready=lambda number: True):
    """Post one after another over one transport, each when the connection is ready, and return the results."""

    async def work():
        transport = backend(f"{url}/chat/completions", Secret(key), timeout)
        found = []
        try:
            for number in range(times):
                await wait_until_async(lambda number=number: ready(number))
                found.append(await transport.post(BODY, f"key-{number}"))
                await asyncio.sleep(pause)
        finally:
            await transport.aclose()
        return found

    found = process_state.submit(work()).result(SECONDS)
    return found[0] if times == 1 else found


def says(*pieces, end="hold", pause=0.0):
    """Return a script that answers every request of a connection with the pieces, and then ends it or holds it open."""

    async def script(peer):
        while True:
            await peer.request()
            for piece in pieces:
                await peer.send(piece, pause)
            if end == "reset":
                await asyncio.sleep(0.02)
                peer.reset()
                return
            if end == "close":
                return

    return script


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
PACKED = gzip.compress(b'{"a": 1}')
MEMBERS = gzip.compress(b'{"a"') + gzip.compress(b"") + gzip.compress(b": 1}")
RAW = zlib.compress(b'{"a": 1}', wbits=-15)


def in_charset(text, charset, *headers):
    return says(http(text, b"Content-Type: application/json; charset=" + charset, *headers))


READ = {
    "length": (says(http(b'{"a": 1}')), b'{"a": 1}'),
    "in pieces": (says(http(b'{"a": 1}')[:20], http(b'{"a": 1}')[20:], pause=0.02), b'{"a": 1}'),
    "no body": (says(http(b"")), b""),
    "204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), b""),
    "chunked": (says(CHUNKED + b"3\r\n{}x\r\n2\r\nyz\r\n0\r\n\r\n"), b"{}xyz"),
    "chunks with words and trailers": (says(CHUNKED + b"2;a=b\r\n{}\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"), b"{}"),
    "chunked and a length": (says(CHUNKED[:-2] + b"Content-Length: 9\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), b"{}"),
    "until the end": (says(OPEN + b'{"a": 1}', end="close"), b'{"a": 1}'),
    "http 1.0": (says(b"HTTP/1.0 200 OK\r\n\r\n{}", end="close"), b"{}"),
    "100 first": (says(b"HTTP/1.1 100 Continue\r\n\r\n" + http(b"{}")), b"{}"),
    "hints first": (says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n", http(b"{}"), pause=0.02), b"{}"),
    "an offer to upgrade": (says(http(b"{}", b"Upgrade: h2,h2c", b"Connection: Upgrade")), b"{}"),
    "bare line feeds": (says(http(b"{}").replace(b"\r\n", b"\n")), b"{}"),
    "no reason": (says(http(b"{}", status=b"200")), b"{}"),
    "letters beyond ascii": (says(http(b"{}", b"X-Name: caf\xe9")), b"{}"),
    "gzip": (says(http(PACKED, b"Content-Encoding: gzip")), b'{"a": 1}'),
    "gzip in chunks": (says(CHUNKED[:-2] + b"Content-Encoding: GZIP\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(PACKED), PACKED)), b'{"a": 1}'),
    "gzip in two members": (says(http(MEMBERS, b"Content-Encoding: gzip")), b'{"a": 1}'),
    "gzip and padding": (says(http(PACKED + bytes(9), b"Content-Encoding: x-gzip")), b'{"a": 1}'),
    "deflate": (says(http(zlib.compress(b'{"a": 1}'), b"Content-Encoding: deflate")), b'{"a": 1}'),
    "raw deflate": (says(http(RAW, b"Content-Encoding: deflate")), b'{"a": 1}'),
    "gzip that is none": (says(http(b' {"a": 1}', b"Content-Encoding: gzip")), b' {"a": 1}'),
    "latin 1": (in_charset(b'{"a": "\xe9\xfc"}', b"ISO-8859-1"), '{"a": "éü"}'.encode()),
    "latin 1 at the end": (in_charset(b"d\xe9sol\xe9", b"iso-8859-1"), "désolé".encode()),
    "latin 1 that is utf-8": (in_charset('{"a": "éß"}'.encode(), b'"iso-8859-1"'), '{"a": "éß"}'.encode()),
    "windows": (in_charset(gzip.compress(b'{"a": "\x80"}'), b"windows-1252", b"Content-Encoding: gzip"), '{"a": "€"}'.encode()),
    "utf-16": (in_charset('{"a": "é"}'.encode("utf-16"), b"utf-16"), '{"a": "é"}'.encode()),
    "gbk": (in_charset('{"a": "余额不足"}'.encode("gbk"), b"gbk"), '{"a": "余额不足"}'.encode()),
    "an unknown charset": (in_charset('{"a": "é"}'.encode(), b"x-none"), '{"a": "é"}'.encode()),
    "a charset that is none": (in_charset('{"a": "é"}'.encode(), b"rot13"), '{"a": "é"}'.encode()),
    "early, then closed": (says(http(b"{}", b"Connection: close"), end="close"), b"{}"),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_an_answer_is_read_however_it_is_framed(backend, case):
    script, body = READ[case]
    with RawServer(script) as server:
        found = post(backend, server.url)
    assert isinstance(found, HttpResponse), found
    assert found.body == body


FAILED = {
    "closed at once": (says(end="close"), "connection"),
    "reset at once": (says(end="reset"), "connection"),
    "closed in the head": (says(b"HTTP/1.1 200 OK\r\nConte", end="close"), "connection"),
    "reset in the head": (says(b"HTTP/1.1 200 OK\r\nConte", end="reset"), "connection"),
    "closed in the body": (says(http(b'{"a": 1}')[:-3], end="close"), "connection"),
    "reset in the body": (says(http(b'{"a": 1}')[:-3], end="reset"), "connection"),
    "closed in a chunk": (says(CHUNKED + b"9\r\n{}", end="close"), "connection"),
    "closed before the last chunk": (says(CHUNKED + b"2\r\n{}\r\n", end="close"), "connection"),
    "an open end is reset": (says(OPEN + b'{"a":', end="reset"), "connection"),
    "closed after a hint": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n", end="close"), "connection"),
    "hangs": (says(), "timeout"),
    "hangs in the head": (says(b"HTTP/1.1 200 OK\r\n"), "timeout"),
    "hangs in the body": (says(http(b'{"a": 1}')[:-3]), "timeout"),
    "drips": (says(*(b"%c" % byte for byte in http(b"{}" * 20)), pause=0.03), "timeout"),
    "drips hints": (says(*[b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 30, pause=0.05), "timeout"),
    "no http": (says(b"hello\r\n\r\n", end="close"), None),
    "two lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", end="close"), None),
    "a length of letters": (says(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", end="close"), None),
    "a negative length": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", end="close"), None),
    "a bad chunk": (says(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", end="close"), None),
    "another protocol": (says(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", end="close"), None),
    "another word": (says(b"HTTQ/1.1 200 OK\r\n\r\n", end="close"), None),
    "cut gzip": (says(http(PACKED[:-9], b"Content-Encoding: gzip")), "unreadable"),
    "no gzip": (says(http(b"plain", b"Content-Encoding: gzip")), "unreadable"),
    "a coding nobody asked for": (says(http(b"{}", b"Content-Encoding: br")), "unreadable"),
    "many headers": (says(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 200_000), None),
    "a long header": (says(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 2_000_000), None),
    "a long chunk line": (says(CHUNKED + b"2;" + b"a" * 2_000_000), None),
    "long trailers": (says(CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X-A: 1\r\n" * 200_000), None),
    "hints without end": (says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50_000), None),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILED)
def test_an_incomplete_answer_may_be_billed(backend, case):
    script, code = FAILED[case]
    with RawServer(script) as server:
        found = post(backend, server.url, timeout=1.5 if code in ("timeout", None) else SECONDS)
    assert isinstance(found, HttpFailure), found
    assert found.sent
    assert code is None or found.code == code, found


@pytest.mark.parametrize(
    "bomb", ["many headers", "a long header", "a long chunk line", "long trailers", "hints without end"]
)  # fmt: skip
def test_bytes_that_are_not_a_body_are_limited(bomb):
    with RawServer(FAILED[bomb][0]) as server:
        found = post(ConnectionPool, server.url)
    assert found == HttpFailure("unreadable", "the answer's head is larger than 256 KiB", sent=True)


def test_headers_come_with_names_in_lower_case(backend):
    with RawServer(says(http(b"{}", b"X-RateLimit-Remaining-Requests: 5", b"Retry-After:7  "))) as server:
        headers = post(backend, server.url).headers
    assert headers["x-ratelimit-remaining-requests"] == "5"
    assert headers["retry-after"] == "7"


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=8), chunked=st.booleans())
def test_an_answer_is_the_same_however_it_is_cut_into_packets(cuts, chunked):
    body = b'{"choices": "' + b"x" * 300 + b'"}'
    wire = (
        CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body[:60]) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 60, body[60:])
    )
    wire = b"HTTP/1.1 100 Continue\r\n\r\n" + (wire if chunked else http(body))

    async def work():
        ours, theirs = socket.socketpair()
        _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)
        try:
            for _ in range(2):
                waiting = connection.send(b"request")
                places = [0, *sorted({cut for cut in cuts if cut < len(wire)}), len(wire)]
                for start, end in itertools.pairwise(places):
                    assert not waiting.done()
                    theirs.sendall(wire[start:end])
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                assert (await asyncio.wait_for(waiting, SECONDS)).body == body
                assert connection.reusable
        finally:
            connection.abort()
            theirs.close()
            await connection.closed

    asyncio.run(work())


# Connections that are kept


@pytest.mark.parametrize(
    ("answer", "end", "kept"),
    [
        (http(), "hold", True),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", "hold", True),
        (http(b"{}", b"Connection: close"), "hold", False),
        (http().replace(b"1.1", b"1.0"), "hold", False),
        (http() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "hold", False),
        (http() + b"junk", "hold", False),
        (http() + b"H", "hold", False),
        (CHUNKED[:-2] + b"Content-Length: 9\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "hold", False),
    ],
    ids=["length", "chunked", "close", "1.0", "two answers", "junk", "the start of an answer", "two lengths"],
)
def test_a_connection_is_used_again_only_where_nothing_of_it_is_left(answer, end, kept):
    with RawServer(says(answer, end=end)) as server:
        found = post(ConnectionPool, server.url, 3)
    assert [one.body for one in found] == [b"{}"] * 3
    assert server.connections == (1 if kept else 3)


def test_unsolicited_bytes_are_not_an_answer_to_the_next_request(backend):
    evil = []

    async def script(peer):
        await peer.request()
        await peer.send(http(b"first"), 0.05)
        await peer.send(http(b"evil"))
        evil.append(peer)
        await peer.gone()

    with RawServer(script) as server:
        found = post(backend, server.url, 3, ready=lambda number: len(evil) == number, pause=0.1)
    assert isinstance(found[0], HttpResponse)
    assert {one.body for one in found if isinstance(one, HttpResponse)} == {b"first"}


def test_unsolicited_bytes_are_detected_even_when_the_loop_was_busy(backend):
    evil = []

    async def script(peer):
        await peer.request()
        await peer.send(http(b"first"), 0.05)
        await peer.send(http(b"evil"))
        evil.append(peer)
        await peer.gone()

    async def work():
        transport = backend(f"{server.url}/chat/completions", Secret(None), SECONDS)
        first = await transport.post(BODY, "1")
        wait_until(lambda: evil)  # the loop is busy: the junk waits in the socket
        second = await transport.post(BODY, "2")
        await transport.aclose()
        return [first.body, second.body]

    with RawServer(script) as server:
        assert process_state.submit(work()).result(SECONDS) == [b"first"] * 2


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_was_closed_while_idle_is_replaced(backend, end):
    read = [0]  # answers that the client has

    async def script(peer):
        number = server.connections
        await peer.request()
        await peer.send(http())
        await wait_until_async(lambda: read[-1] >= number)  # a reset would throw away what is not read yet
        if end == "reset":
            peer.reset()

    def ready(number):
        read.append(number)
        return server.ended == number

    with RawServer(script) as server:
        found = post(backend, server.url, 4, ready=ready)
    assert all(isinstance(one, HttpResponse) for one in found), found
    assert len(server.asked) == 4


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_request_that_met_the_close_of_a_kept_connection_is_sent_again_under_its_own_key(end, far):
    async def script(peer):
        await peer.request()
        await peer.send(http())
        if server.connections == 1:
            await peer.reader.read(1)  # the close crosses the second request
            if end == "reset":
                peer.reset()
            return
        await peer.request()

    with RawServer(script) as server:
        found = post(ConnectionPool, server.url, 2)
    assert all(isinstance(one, HttpResponse) for one in found), found
    assert server.connections == 2
    assert b"Idempotency-Key: key-1\r\n" in server.asked[1]


def test_a_second_close_without_an_answer_is_a_failure(far):
    async def script(peer):
        await peer.request()
        if server.connections == 1:
            await peer.send(http())
            await peer.reader.read(1)

    with RawServer(script) as server:
        found = post(ConnectionPool, server.url, 2)
    assert isinstance(found[0], HttpResponse)
    assert isinstance(found[1], HttpFailure) and found[1].sent
    assert server.connections == 2


@pytest.mark.parametrize("begun", [b"", b"H"], ids=["late", "begun"])
def test_a_kept_connection_that_breaks_during_the_work_may_be_billed(begun, monkeypatch):
    monkeypatch.setattr("tsn_frames.engine.transport.connection.MOST_TRIP_SECONDS", 0.0)  # however long connecting took

    async def script(peer):
        await peer.request()
        await peer.send(http())
        await peer.request()
        await peer.send(begun, 0.0 if begun else 0.4)

    with RawServer(script) as server:
        found = post(ConnectionPool, server.url, 2)
    assert isinstance(found[1], HttpFailure) and (found[1].code, found[1].sent) == ("connection", True)
    assert len(server.asked) == 2


def test_a_server_that_closes_what_it_accepts_is_a_failure():
    async def script(peer):
        peer.reset()

    with RawServer(script) as server:
        found = post(ConnectionPool, server.url, 30)
    assert {one.code for one in found} == {"connection"}


def test_an_idle_connection_is_closed_after_a_while(monkeypatch):
    monkeypatch.setattr("tsn_frames.engine.transport.pool.KEEP_SECONDS", 0.05)

    async def script(peer):
        await peer.request()
        await peer.send(http())
        await peer.gone()

    with RawServer(script) as server:
        post(ConnectionPool, server.url, 3, pause=0.15)
        assert server.connections == 3


def test_an_answer_before_the_request_is_read_is_taken():
    read = threading.Event()

    async def script(peer):
        await peer.reader.read(10)
        await peer.send(http(b"too much", status=b"413 Too Large"))
        await wait_until_async(read.is_set)  # a close would reset the answer away

    async def work():
        transport = ConnectionPool(f"{server.url}/chat/completions", Secret(None), SECONDS)
        found = await transport.post(b"x" * 20_000_000, "key")
        read.set()
        await transport.aclose()
        return found

    with RawServer(script) as server:
        found = process_state.submit(work()).result(SECONDS)
    assert isinstance(found, HttpResponse) and found.status == 413, found


# Time


def test_each_request_has_its_own_time():
    """Requests are ended in the order in which their time is over, and the others go on."""

    async def script(peer):
        head = await peer.request()
        if b"quick" not in head:
            await asyncio.sleep(3600)
        await peer.send(http())

    async def work():
        transport = ConnectionPool(f"{server.url}/chat/completions", Secret(None), 4.0)

        async def one(number):
            await asyncio.sleep(number * 0.02)
            begun = time.monotonic()
            result = await transport.post(BODY, "quick" if number % 2 else "slow")
            ended.append(number)
            return result, time.monotonic() - begun

        found = await asyncio.gather(*(one(number) for number in range(8)))
        await transport.aclose()
        return found

    ended = []
    with RawServer(script) as server:
        found = process_state.submit(work()).result(SECONDS)
    for number, (result, seconds) in enumerate(found):
        assert isinstance(result, HttpResponse if number % 2 else HttpFailure)
        assert number % 2 or seconds >= 4.0, "ended too early"
    assert [number for number in ended if number % 2 == 0] == [0, 2, 4, 6]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_answers_that_came_while_the_process_was_stopped_are_read(tmp_path):
    program = tmp_path / "client.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, sys
        from tsn_frames.engine.transport.pool import ConnectionPool
        from tsn_frames.secret import Secret

        async def main():
            transport = ConnectionPool(sys.argv[1] + "/chat/completions", Secret(None), 5.0)
            found = await asyncio.gather(*(transport.post(b"{}", str(number)) for number in range(20)))
            print(sum(hasattr(one, "body") and len(one.body) == 100_000 for one in found))
            await transport.aclose()

        asyncio.run(main())
        """)
    )

    stopped = threading.Event()

    async def script(peer):
        await peer.request()
        await wait_until_async(stopped.is_set)
        await peer.send(http(b"x" * 100_000))
        await peer.gone()

    with RawServer(script) as server:
        client = subprocess.Popen([sys.executable, program, server.url], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: len(server.asked) == 20)
        client.send_signal(signal.SIGSTOP)
        stopped.set()
        time.sleep(6.0)  # its requests' time is over long since when it goes on
        client.send_signal(signal.SIGCONT)
        assert client.communicate()[0].strip() == "20"


def test_a_sleep_of_this_process_at_whose_end_a_requests_time_is_over_costs_no_answer():
    """The server slept as well: its answer comes a moment after both are awake."""
    awake = threading.Event()

    async def script(peer):
        await peer.request()
        await wait_until_async(awake.is_set)
        await peer.send(http())

    async def work():
        transport = ConnectionPool(f"{server.url}/chat/completions", Secret(None), 3.0)
        posting = asyncio.create_task(transport.post(BODY, "key"))
        await wait_until_async(lambda: server.asked)
        time.sleep(3.2)  # a fifth of a second too late is not a sign of a sleep by itself
        asyncio.get_running_loop().call_later(0.1, awake.set)
        found = await posting
        await transport.aclose()
        return found

    with RawServer(script) as server:
        assert isinstance(process_state.submit(work()).result(SECONDS), HttpResponse)


# Nothing is left behind


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"], ids=["no byte", "in the body"])
def test_cancelling_closes_the_connection(backend, begun):
    async def script(peer):
        await peer.request()
        await peer.send(begun)
        await peer.gone()

    async def work():
        transport = backend(f"{server.url}/chat/completions", Secret(None), SECONDS)
        tasks = [asyncio.create_task(transport.post(BODY, "key")) for _ in range(5)]
        await wait_until_async(lambda: len(server.asked) == 5)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until_async(lambda: server.left == 5)
        left = server.left
        await transport.aclose()
        return left, {type(end) for end in ends}

    with RawServer(script) as server:
        assert process_state.submit(work()).result(SECONDS) == (5, {asyncio.CancelledError})


def test_cancelling_while_connecting_leaves_nothing(backend, monkeypatch):
    for module in ("pool", "httpx_backend"):
        monkeypatch.setattr(f"tsn_frames.engine.transport.{module}.CONNECT_SECONDS", 1.0)

    async def work():
        with socket.socket() as deaf:  # a full backlog: no connection is accepted
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(deaf.getsockname())
                fillers.append(filler)
            transport = backend(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", Secret(None), SECONDS)
            task = asyncio.create_task(transport.post(BODY, "key"))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            late = await transport.post(BODY, "key")
            await transport.aclose()
            for filler in fillers:
                filler.close()
            return late

    late = process_state.submit(work()).result(SECONDS)
    assert isinstance(late, HttpFailure) and (late.code, late.sent) == ("connection", False)


def test_a_thousand_mixed_failures_leave_no_socket_and_no_task():
    faults = [*(script for script, _ in list(FAILED.values())[:11]), says(http(), end="close"), says(http() + b"junk")]

    async def script(peer):
        await faults[server.connections % len(faults)](peer)

    async def work():
        transport = ConnectionPool(f"{server.url}/chat/completions", Secret(None), 0.2)
        before = len(asyncio.all_tasks())

        async def worker(number):
            for turn in range(25):
                posting = asyncio.create_task(transport.post(BODY, f"{number}-{turn}"))
                if turn % 5 == 0:
                    await asyncio.sleep(0.005)
                    posting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    assert isinstance(await posting, (HttpResponse, HttpFailure))

        await asyncio.gather(*(worker(number) for number in range(40)))
        due = len(transport._due)
        await transport.aclose()
        return len(asyncio.all_tasks()) - before, due, len(transport._open)

    process = psutil.Process()
    with RawServer(script) as server:
        post(ConnectionPool, server.url, timeout=0.2)  # what the loop opens once
        wait_until(lambda: server.ended == server.connections)
        gc.collect()
        before = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        assert process_state.submit(work()).result(SECONDS) == (0, 0, 0)
        assert server.connections > 500
        wait_until(lambda: server.ended == server.connections)
        gc.collect()  # a ResourceWarning would be an error
        after = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    assert after <= before + 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone():
    async def work():
        transport = ConnectionPool(f"{server.url}/chat/completions", Secret(None), SECONDS)
        first = await transport.post(BODY, "parent-1")
        child = os.fork()
        if not child:
            own = post(ConnectionPool, server.url)
            os._exit(0 if isinstance(own, HttpResponse) else 1)
        while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
            await asyncio.sleep(0.02)
        second = await transport.post(BODY, "parent-2")
        await transport.aclose()
        return first.body, second.body, found[1]

    with RawServer(says(http())) as server:
        assert process_state.submit(work()).result(SECONDS) == (b"{}", b"{}", 0)
        assert server.connections == 2


# Reaching the other side


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "does-not-exist.invalid", "..", "127.0.0.1:1"])
def test_an_address_that_leads_nowhere_costs_nothing(backend, host):
    found = post(backend, f"http://{host}/v1")
    assert isinstance(found, HttpFailure) and (found.code, found.sent) == ("connection", False), found


def authority(tmp_path, monkeypatch, *names):
    """Return a server's TLS settings that the environment trusts."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return context


def test_connections_are_kept_and_cut_under_tls(backend, tmp_path, monkeypatch):
    context = authority(tmp_path, monkeypatch, "localhost")
    big = b"x" * 300_000
    with RawServer(says(http(big)), tls=context) as server:
        assert [one.body for one in post(backend, server.url, 3)] == [big] * 3
        assert server.connections == 1
    with RawServer(says(http(big)[:-5], end="close"), tls=context) as server:
        found = post(backend, server.url)
        assert isinstance(found, HttpFailure) and (found.code, found.sent) == ("connection", True)


def test_a_certificate_of_another_name_or_of_yesterday_is_refused(backend, tmp_path, monkeypatch):
    context = authority(tmp_path, monkeypatch, "other.example")
    with RawServer(says(http()), tls=context) as server:
        found = post(backend, server.url)
        assert isinstance(found, HttpFailure) and not found.sent and "certificate" in found.message.lower()
        assert not server.asked


def test_a_server_without_tls_gets_no_byte_of_a_request(backend):
    async def script(peer):
        server.asked.append(await peer.reader.read(2**16))
        await peer.send(http())

    with RawServer(script) as server:
        found = post(backend, server.url.replace("http://", "https://"), key="tsn_test_secretword")
    assert isinstance(found, HttpFailure) and (found.code, found.sent) == ("connection", False), found
    assert b"secretword" not in server.asked[0]
