"""The types that both backends share: a response, a failure, a stream consumer, and how much of a body is read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol


class HttpResponse(NamedTuple):
    """An HTTP answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFailure(NamedTuple):
    """No answer, and whether the request may have reached the service (and may be billed)."""

    code: Literal["connection", "timeout", "unreadable"]
    message: str
    sent: bool


class Transport(Protocol):
    """What sends bodies to one endpoint with one key; redirects are never followed."""

    async def post(self, body: bytes, idempotency_key: str) -> HttpResponse | HttpFailure:
        """Send one request and return what came of it; only cancelling raises."""

    async def aclose(self) -> None:
        """Close every connection."""


class StreamConsumer(Protocol):
    """Who takes in a streamed answer."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take in the head of an answer that is let in."""

    def feed(self, data: bytes) -> float:
        """Take in some of its bytes; return the seconds that the next ones may take, 0 where no more are wanted."""


BODY_CAP = 20 * 2**20


CONNECT_SECONDS = 10.0


KEEP_SECONDS = 30.0  # an idle connection is used again


def decompress(body: bytes, encoding: str) -> bytes | HttpFailure:
    """Return a body without its content-encoding, and no more of it than ``BODY_CAP``: a bomb unpacks no further."""
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        return HttpFailure("unreadable", f"the answer's content-encoding {encoding!r} was not asked for", sent=True)
    if body and encoding in ("gzip", "deflate"):
        inflate = zlib.decompressobj(47)
        try:
            body = inflate.decompress(body, BODY_CAP + 1)
        except zlib.error:
            return HttpFailure("unreadable", "the answer's gzip is broken", sent=True)
        if not inflate.eof and len(body) <= BODY_CAP:
            return HttpFailure("unreadable", "the answer's gzip is cut", sent=True)
    return body if len(body) <= BODY_CAP else too_large()


def too_large() -> HttpFailure:
    """Return the failure of an answer that is larger than we take in."""
    return HttpFailure("unreadable", f"the answer is larger than {BODY_CAP // 2**20} MiB", sent=True)


def timed_out(seconds: float) -> HttpFailure:
    """Return the failure of an answer that took too long."""
    return HttpFailure("timeout", f"no whole answer within {seconds:g} s", sent=True)
