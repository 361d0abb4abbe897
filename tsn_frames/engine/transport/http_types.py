"""Types that both backends share (response, failure, stream consumer), size caps, and decompression."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol


class HttpResponse(NamedTuple):
    """An HTTP response that arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFailure(NamedTuple):
    """No response, and whether the request may have reached the service (and may be billed)."""

    code: Literal["connection", "timeout", "unreadable"]
    message: str
    sent: bool
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Transport(Protocol):
    """Sends request bodies to one endpoint with one key; never follows a redirect."""

    async def post(self, body: bytes, idempotency_key: str, consumer: StreamConsumer | None = None) -> HttpResponse | HttpFailure:
        """Send one request and return its response or failure; only cancelling raises.

        With a consumer an event stream is asked for: the body of a 2xx response goes to the consumer as it arrives, and the
        response that is returned has an empty body. Any other response comes back whole.
        """

    async def aclose(self) -> None:
        """Close every connection."""


class StreamConsumer(Protocol):
    """Takes in the body of a streamed response."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take in the headers of a 2xx response."""

    def feed(self, data: bytes) -> float:
        """Take in a part of the body; return the seconds until the next part is overdue, 0 to read no further."""


def decoding_consumer(consumer: StreamConsumer, encoding: str) -> StreamConsumer | HttpFailure:
    """Return a consumer for a body in an encoding; a failure where the encoding is unknown."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return consumer
    if encoding in COMPRESSED:
        return _InflatingConsumer(consumer)
    return HttpFailure("unreadable", f"the stream's content-encoding {encoding!r} was not asked for", sent=True)


class _InflatingConsumer:
    """Takes in a compressed body for a consumer of plain bytes; a broken one ends there, as a cut does."""

    def __init__(self, consumer: StreamConsumer) -> None:
        self._consumer, self._inflate, self._patience = consumer, zlib.decompressobj(47), math.inf

    def begin(self, headers: Mapping[str, str]) -> None:
        """Pass the headers on."""
        self._consumer.begin(headers)

    def feed(self, data: bytes) -> float:
        """Inflate a part of the body, a bounded piece at a time, and pass it on."""
        while data and self._patience:
            try:
                plain = self._inflate.decompress(data, INFLATED_PIECE)
            except zlib.error:
                return 0.0
            self._patience = self._consumer.feed(plain) if plain else self._patience
            data = self._inflate.unconsumed_tail
        return self._patience


INFLATED_PIECE = 2**20
COMPRESSED = ("gzip", "deflate")
BODY_CAP = 20 * 2**20
CONNECT_SECONDS = 10.0
KEEP_SECONDS = 30.0  # an idle connection is reused for that long
TOO_LARGE = HttpFailure("unreadable", f"the answer is larger than {BODY_CAP // 2**20} MiB", sent=True)
STALLED = HttpFailure("timeout", "the answer did not go on, or took too long", sent=True)


def decompress(body: bytes, encoding: str) -> bytes | HttpFailure:
    """Return a body without its content-encoding; inflate no more than ``BODY_CAP`` of it, so that a zip bomb does no harm."""
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", *COMPRESSED):
        return HttpFailure("unreadable", f"the answer's content-encoding {encoding!r} was not asked for", sent=True)
    if body and encoding in COMPRESSED:
        inflate = zlib.decompressobj(47)
        try:
            body = inflate.decompress(body, BODY_CAP + 1)
        except zlib.error:
            return HttpFailure("unreadable", "the answer's gzip is broken", sent=True)
        if not inflate.eof and len(body) <= BODY_CAP:
            return HttpFailure("unreadable", "the answer's gzip is cut", sent=True)
    return body if len(body) <= BODY_CAP else TOO_LARGE


def timed_out(seconds: float) -> HttpFailure:
    """Return the failure of a response that took too long."""
    return HttpFailure("timeout", f"no whole answer within {seconds:g} s", sent=True)
