"""Types that both backends share: response, failure and stream consumer, and size caps."""

from __future__ import annotations

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


BODY_CAP = 20 * 2**20
CONNECT_SECONDS = 10.0
KEEP_SECONDS = 30.0  # an idle connection is reused for that long
TOO_LARGE = HttpFailure("unreadable", f"the answer is larger than {BODY_CAP // 2**20} MiB", sent=True)
STALLED = HttpFailure("timeout", "the answer did not go on, or took too long", sent=True)


def timed_out(seconds: float) -> HttpFailure:
    """Return the failure of a response that took too long."""
    return HttpFailure("timeout", f"no whole answer within {seconds:g} s", sent=True)
