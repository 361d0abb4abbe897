"""Streamed responses over both backends: what the consumer gets, when reading stops, and what a failure means."""

import asyncio
import gzip
import zlib

import pytest
from support.raw_server import RawServer
from support.waiting import SECONDS, wait_until_async

from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.transport.http_types import HttpFailure, HttpResponse
from tsn_frames.engine.transport.httpx_backend import HttpxTransport
from tsn_frames.engine.transport.pool import ConnectionPool
from tsn_frames.secret import Secret

BODY = b'{"model":"m","messages":[],"stream":true}'
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[ConnectionPool, HttpxTransport], ids=["pool", "httpx"])
def backend(request):
    return request.param


class Consumer:
    """Keeps what it gets; reads on for ``patience`` seconds of silence, and no further after ``enough`` bytes."""

    def __init__(self, patience=SECONDS, enough=2**30):
        self.patience, self.enough, self.heads, self.data = patience, enough, [], b""

    def begin(self, headers):
        self.heads.append(headers)

    def feed(self, data):
        assert data, "an empty part"
        self.data += data
        return 0.0 if len(self.data) >= self.enough else self.patience


def stream(backend, url, *consumers, timeout=SECONDS):
    """Send a request for each consumer, one after another over one transport."""

    async def work():
        transport = backend(f"{url}/chat/completions", Secret("tsn_test_1"), timeout)
        try:
            return [await transport.post(BODY, f"key-{number}", consumer) for number, consumer in enumerate(consumers)]
        finally:
            await transport.aclose()

    return process_state.submit(work()).result(SECONDS)


def sends(*parts, pause=0.02, then=None):
    """Answer every request of a connection with the parts."""

    async def script(peer):
        while True:
            await peer.request()
            for part in parts:
                await peer.send(part, pause)
            if then == "close":
                return
            if then == "silence":
                await peer.gone()
                return

    return script


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


BODIES = {
    "chunked": (sends(CHUNKED, chunk(b"data: 1\n\n"), chunk(b"data: 2\n\n"), b"0\r\n\r\n"), b"data: 1\n\ndata: 2\n\n"),
    "at once": (sends(CHUNKED + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + b"0\r\n\r\n"), b"data: 1\n\ndata: 2\n\n"),
    "length": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"abc", b"def"), b"abcdef"),
    "until the end": (sends(b"HTTP/1.1 200 OK\r\n\r\n", b"abc", b"def", then="close"), b"abcdef"),
    "hints first": (sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), b"abc"),
    "no body": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), b""),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_body_goes_to_the_consumer_however_it_is_framed(backend, case):
    script, body = BODIES[case]
    consumer = Consumer()
    with RawServer(script) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpResponse) and (result.status, result.body) == (200, b"")
    assert (consumer.data, len(consumer.heads)) == (body, 1)
    assert b"\r\naccept: text/event-stream\r\n" in server.asked[0].lower()


def test_a_connection_is_reused_after_a_stream(backend):
    consumers = [Consumer(), Consumer(), None, Consumer()]
    with RawServer(BODIES["chunked"][0]) as server:
        results = stream(backend, server.url, *consumers)
    assert server.connections == 1
    assert [one.body for one in results] == [b"", b"", BODIES["chunked"][1], b""]
    assert {one.data for one in consumers if one} == {BODIES["chunked"][1]}


@pytest.mark.parametrize("status", [b"400 Bad Request", b"307 Temporary Redirect", b"500 Oops"])
def test_an_error_comes_back_whole_and_not_to_the_consumer(backend, status):
    consumer = Consumer()
    with RawServer(sends(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nwrong")) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpResponse) and (str(result.status).encode(), result.body) == (status[:3], b"wrong")
    assert (consumer.data, consumer.heads) == (b"", [])


def test_a_consumer_that_has_enough_ends_the_reading(backend):
    consumer = Consumer(enough=3)
    with RawServer(sends(CHUNKED, chunk(b"abc"), then="silence")) as server:
        (result,) = stream(backend, server.url, consumer)
        assert isinstance(result, HttpResponse) and consumer.data == b"abc"


def test_a_silence_beyond_the_consumers_patience_is_a_timeout(backend):
    consumer = Consumer(patience=0.05)
    with RawServer(sends(CHUNKED, chunk(b"abc"), then="silence")) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpFailure) and (result.code, result.sent) == ("timeout", True)
    assert consumer.data == b"abc"


def test_a_stream_may_not_take_longer_than_the_timeout(backend):
    async def endless(peer):
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(1000):
            await peer.send(chunk(b"data: more\n\n"), 0.05)

    with RawServer(endless) as server:
        (result,) = stream(backend, server.url, Consumer(), timeout=1.5)
    assert isinstance(result, HttpFailure) and (result.code, result.sent) == ("timeout", True)


def test_a_stream_that_breaks_may_be_billed(backend):
    async def script(peer):
        await peer.request()
        await peer.send(CHUNKED + chunk(b"abc"), 0.05)
        peer.reset()

    consumer = Consumer()
    with RawServer(script) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpFailure) and (result.code, result.sent) == ("connection", True)


def encoded(name, *parts):
    return sends(CHUNKED[:-2] + b"Content-Encoding: %b\r\n\r\n" % name, *map(chunk, parts), b"0\r\n\r\n")


PACKERS = {
    "gzip": gzip.compress,
    "gzip in members": lambda text: b"".join(gzip.compress(text[at : at + 9]) for at in range(0, len(text), 9)),
    "deflate": zlib.compress,
    "deflate that is raw": lambda text: zlib.compress(text, wbits=-15),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_stream_is_inflated_as_it_arrives(backend, packer):
    text = b"data: 1\n\n" * 100
    name, packed = packer.partition(" ")[0].encode(), PACKERS[packer](text)
    consumer = Consumer()
    with RawServer(encoded(name, packed[:1], packed[1:15], packed[15:20], packed[20:])) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpResponse) and consumer.data == text


def test_a_stream_in_another_charset_is_decoded_as_it_arrives(backend):
    consumer, text = Consumer(), "data: é\n\n".encode("latin-1")
    head = CHUNKED[:-2] + b"Content-Type: text/event-stream; charset=iso-8859-1\r\n\r\n"
    with RawServer(sends(head, chunk(text[:7]), chunk(text[7:]), chunk("data: ü\n\n".encode()), b"0\r\n\r\n")) as server:
        (result,) = stream(backend, server.url, consumer)
    assert isinstance(result, HttpResponse) and consumer.data.decode() == "data: é\n\ndata: ü\n\n"


def test_of_a_zip_bomb_only_what_the_consumer_wants_is_inflated(backend):
    consumer = Consumer(enough=2**20)
    with RawServer(encoded(b"gzip", gzip.compress(bytes(50 * 2**20)))) as server:
        stream(backend, server.url, consumer)
    assert len(consumer.data) == 2**20


def test_a_broken_compressed_stream_ends_and_an_unknown_encoding_is_a_failure(backend):
    consumer = Consumer()
    with RawServer(encoded(b"gzip", b"abc")) as server:
        stream(backend, server.url, consumer)
    assert consumer.data == b""
    with RawServer(encoded(b"br", b"abc")) as server:
        (result,) = stream(backend, server.url, Consumer())
    assert isinstance(result, HttpFailure) and result.code == "unreadable" and "'br'" in result.message


def test_cancelling_closes_the_connection(backend):
    with RawServer(sends(CHUNKED, chunk(b"abc"), then="silence")) as server:

        async def work():
            transport = backend(f"{server.url}/chat/completions", Secret(None), SECONDS)
            consumer = Consumer()
            task = asyncio.create_task(transport.post(BODY, "key", consumer))
            await wait_until_async(lambda: consumer.data)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await wait_until_async(lambda: server.left)
            await transport.aclose()
            return task.cancelled()

        assert process_state.submit(work()).result(SECONDS)


def test_a_second_response_on_the_same_connection_is_not_part_of_the_first():
    """Bytes that a server sends after the end of a response never reach the consumer."""
    twice = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    consumer = Consumer()
    with RawServer(sends(twice + b"abc" + twice + b"xyz")) as server:
        (result,) = stream(ConnectionPool, server.url, consumer)
    assert isinstance(result, HttpResponse) and consumer.data == b"abc"


def test_a_stream_is_sent_again_where_a_kept_connection_was_closed_before_it_arrived(far):
    async def script(peer):
        await peer.request()
        await peer.send(CHUNKED + chunk(b"abc") + b"0\r\n\r\n")
        if server.connections == 1:
            await peer.reader.read(1)  # the close crosses the second request
            return
        await peer.request()

    consumers = Consumer(), Consumer()
    with RawServer(script) as server:
        results = stream(ConnectionPool, server.url, *consumers)
    assert all(isinstance(one, HttpResponse) for one in results), results
    assert [one.data for one in consumers] == [b"abc", b"abc"]
