"""One HTTP/1.1 connection: sends one request at a time and reads the response with httptools. The only importer of that.

It returns a whole response, or a failure that says whether the request may have been billed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import httptools

from .body_decoding import decode_body, decoding_consumer
from .http_types import BODY_CAP, TOO_LARGE, HttpFailure, HttpResponse, StreamConsumer

BUFFER = 2**14
HEAD_CAP = 2**18  # bytes between two parts of a body: headers, a chunk's line, trailers, early hints
RACE_SECONDS, MOST_TRIP_SECONDS = 0.1, 0.5


class Connection(asyncio.BufferedProtocol):
    """Sends requests one after another; created on the loop that it serves."""

    def __init__(self) -> None:
        self.used = self.streaming = False  # whether a response has arrived, and whether the present body goes to a consumer
        self.next_part_due = math.inf  # of a streamed body, on the monotonic clock
        self.free_since = 0.0
        self.connect_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: Any = None  # None once it is closing
        self._waiting: asyncio.Future[HttpResponse | HttpFailure | None] | None = None
        self._consumer: StreamConsumer | None = None
        self._sent_at = 0.0
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._found: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._status = self._between = self._seen = self._size = 0
        self._result: HttpResponse | HttpFailure | None = None
        self._begun = self._keeps = False
        # httptools looks these up once; two are C functions, called for every header and piece of a body.
        self.on_header, self.on_body = self._found.__setitem__, self._parts.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True, lenient_chunked_length=True
        )  # a response that is paid for is read where its meaning is plain

    # Called by the pool

    def send(self, request: bytes, consumer: StreamConsumer | None = None) -> asyncio.Future[HttpResponse | HttpFailure | None]:
        """Send a request; the future is its response or failure, or None where it can't have arrived."""
        waiting = self._waiting = self._loop.create_future()
        self._consumer, self.streaming, self.next_part_due = consumer, False, math.inf
        self._sent_at = time.monotonic()
        if self._transport is None:  # the other side closed it at once
            self.end(None if self.used else HttpFailure("connection", "closed before the request was sent", sent=False))
        else:
            self._transport.write(request)
        return waiting

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and self._waiting is None

    def silent(self) -> bool:
        """Return whether nothing has arrived since the last response, neither its end nor bytes without a request."""
        return self._transport is not None and not self._pending()

    def abort(self) -> None:
        """Close at once; a request in flight ends as a broken connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; turn TCP keep-alive on, so that a dead peer is noticed during long waits."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        self._pending = _pending(sock.fileno())
        with contextlib.suppress(OSError):  # not every kind of socket can
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the base class asks for it
        """Return a buffer of our own; a plain protocol would get 256 KiB of fresh memory for every packet."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived."""
        if self._waiting is None:
            self.abort()  # bytes without a request
            return
        self._begun = True
        problem = ""
        try:
            self._parser.feed_data(self._view[:nbytes])
        except httptools.HttpParserUpgrade:
            problem = "it changes to another protocol"
        except httptools.HttpParserError as error:
            problem = str(error)
        if self.streaming and self._result is None and not self._feed_consumer():
            self.end(HttpResponse(self._status, self._headers, b""))
        elif self._result is not None:  # bytes after the end of a response: this connection is not used again
            self.end(self._result, keep=self._keeps and not problem)
        elif problem:
            self.end(HttpFailure("unreadable", f"the answer is no HTTP: {problem}", sent=True))
        else:
            self._count(nbytes)

    def eof_received(self) -> bool:
        """End a body that is delimited by the end of the connection."""
        if self._waiting is not None and self._status and not self._headers.keys() & {"content-length", "transfer-encoding"}:
            self.end(self._answer())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request in flight."""
        self._transport = self._parser = None  # the parser refers to this object
        if self._waiting is not None:
            why = f"{type(exc).__name__}: {exc}" if exc else "closed before the answer was whole"
            self.end(None if self._never_arrived() else HttpFailure("connection", f"the connection broke ({why})", sent=True))
        if not self.closed.done():
            self.closed.set_result(None)

    # Called by the parser

    def on_message_begin(self) -> None:
        """Don't reuse the connection where a second response to one request begins; the first one's headers follow."""
        self._keeps = False

    def on_headers_complete(self) -> None:
        """Read the status and the headers, under their names in lower case."""
        if self._result is None:
            found = {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in self._found.items()}
            framed_twice = "transfer-encoding" in found and "content-length" in found
            self._status, self._headers = self._parser.get_status_code(), found
            self._keeps = self._parser.should_keep_alive() and not framed_twice
            if self._consumer is not None and 200 <= self._status < 300:
                self._begin_stream(self._consumer, found)
        self._found.clear()

    def on_message_complete(self) -> None:
        """Keep the first whole response; interim ones (1xx) don't count."""
        if self._status < 200:
            self._status = 0
        elif self._result is None:
            if self.streaming:
                self._feed_consumer()
            self._result = self._answer()

    def _begin_stream(self, consumer: StreamConsumer, headers: dict[str, str]) -> None:
        decoding = decoding_consumer(consumer, headers)
        if isinstance(decoding, HttpFailure):
            self._result, self._keeps = decoding, False
        else:
            self.streaming, self._consumer = True, decoding
            decoding.begin(self._headers)

    def _answer(self) -> HttpResponse | HttpFailure:
        parts, headers = self._parts, self._headers
        if self.streaming:
            return HttpResponse(self._status, headers, b"")
        body: bytes | HttpFailure = parts[0] if len(parts) == 1 else b"".join(parts)
        if headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
            return HttpFailure("unreadable", "the answer's transfer-encoding was not asked for", sent=True)
        if "content-encoding" in headers or "charset" in headers.get("content-type", "").lower():
            body = decode_body(cast("bytes", body), headers)
        elif len(body) > BODY_CAP:
            body = TOO_LARGE
        return body if isinstance(body, HttpFailure) else HttpResponse(self._status, headers, body)

    def _feed_consumer(self) -> bool:
        """Give the consumer what has arrived of the body; return whether to read on."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._seen = 0
        if data:
            self._between = 0
            patience = self._consumer.feed(data) if self._consumer else 0.0
            self.next_part_due = time.monotonic() + patience
            return patience > 0
        return True

    def _count(self, nbytes: int) -> None:
        """Check the size of a response that isn't whole yet: of its body, and of what stands between its parts."""
        new = self._parts[self._seen :]
        self._between = 0 if new else self._between + nbytes
        self._seen, self._size = self._seen + len(new), self._size + sum(map(len, new))
        if self._between > HEAD_CAP:
            self.end(HttpFailure("unreadable", f"the answer's head is larger than {HEAD_CAP // 2**10} KiB", sent=True))
        elif self._size > BODY_CAP:
            self.end(TOO_LARGE)

    def _never_arrived(self) -> bool:
        """Return whether a kept connection was closed before this request can have reached the server.

        Such an end is seen within one round trip of the sending, which takes no longer than connecting did. A request that
        the server worked on takes longer, or brings a byte of a response.
        """
        trip = min(self.connect_seconds, MOST_TRIP_SECONDS) + RACE_SECONDS
        return self.used and not self._begun and time.monotonic() - self._sent_at <= trip

    def end(self, result: HttpResponse | HttpFailure | None, *, keep: bool = False) -> None:
        """End the request with its result, and close the connection unless it is kept."""
        waiting, self._waiting, self._consumer = self._waiting, None, None
        self.used = True
        if keep and self._transport is not None and not self._transport.get_write_buffer_size():
            self._begun, self._result = False, None
            self._status = self._between = self._seen = self._size = 0
            self._parts.clear()
            self.free_since = time.monotonic()
        else:
            self.abort()
        if waiting is not None and not waiting.done():
            waiting.set_result(result)


def _pending(fileno: int) -> Callable[[], object]:
    """Return a function that returns whether a socket has something to read, or has ended."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return lambda: poll.poll(0)
    return lambda: select.select([fileno], [], [], 0)[0]
