"""A pool of kept HTTP/1.1 connections, for addresses without a proxy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from ...secret import Secret
from .connection import Connection
from .environment import tls_context
from .http_types import CONNECT_SECONDS, KEEP_SECONDS, STALLED, HttpFailure, HttpResponse, StreamConsumer, timed_out

HAPPY_EYEBALLS = 0.25  # seconds until the next address of a name is tried in parallel
TICK = 0.25  # seconds between two checks for timeouts
LATE, LAST_CHANCE = 0.5, 1.0  # a check that comes LATE means that this process slept: every request gets LAST_CHANCE more


class ConnectionPool:
    """Sends requests over kept connections; see :class:`~.http_types.Transport`."""

    def __init__(self, url: str, secret: Secret, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
        self._tls = tls_context() if parts.scheme == "https" else None  # first, since it can fail: no frame then holds the key
        if self._tls:
            self._tls.set_alpn_protocols(["http/1.1"])
        is_literal = ":" in self._host or self._host.replace(".", "").isdigit()  # an IP address: there is no other to try
        self._timeout, self._next_address = timeout, None if is_literal else HAPPY_EYEBALLS
        self._request = _requests(url, secret)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._making: set[asyncio.Task[Connection | HttpFailure]] = set()
        self._due: dict[Connection, float] = {}  # when each response has to be there, the soonest first
        self._timer: asyncio.TimerHandle | None = None

    async def post(self, body: bytes, idempotency_key: str, consumer: StreamConsumer | None = None) -> HttpResponse | HttpFailure:
        """Send one request and return its response or failure; only cancelling raises."""
        request = self._request(body, idempotency_key, stream=consumer is not None)
        kept = self._kept()
        result = await self._exchange(kept, request, consumer) if kept else None
        if result is not None:
            return result
        made = await self._connect()  # also where a kept one was closed before the request arrived there
        if isinstance(made, HttpFailure):
            return made
        result = await self._exchange(made, request, consumer)
        assert result is not None, "only a kept connection may end without a result"
        return result

    async def aclose(self) -> None:
        """Close every connection."""
        if self._timer:
            self._timer.cancel()
        for making in self._making:
            making.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)
        for connection in self._open:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in self._open))

    async def _exchange(
        self, connection: Connection, request: bytes, consumer: StreamConsumer | None
    ) -> HttpResponse | HttpFailure | None:
        self._due[connection] = time.monotonic() + self._timeout
        if self._timer is None:
            self._watch()
        coming = connection.send(request, consumer)
        try:
            return await coming
        except asyncio.CancelledError:
            if coming.cancelled():
                raise
            return coming.result()  # it arrived in the same iteration of the loop, and may be billed
        finally:
            self._due.pop(connection, None)
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.abort()  # cancelled, unless it is closed already

    def _kept(self) -> Connection | None:
        """Take the connection that was used last, so that spare ones expire and are closed."""
        oldest = time.monotonic() - KEEP_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.free_since > oldest and connection.silent():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection | HttpFailure:
        making = asyncio.create_task(self._make())  # cancelled inside, asyncio could lose an open socket
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return await asyncio.shield(making)

    async def _make(self) -> Connection | HttpFailure:
        begun, seconds = time.monotonic(), min(CONNECT_SECONDS, self._timeout)
        loop, name = asyncio.get_running_loop(), self._host if self._tls else None
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    Connection, self._host, self._port,
                    ssl=self._tls, server_hostname=name, happy_eyeballs_delay=self._next_address,
                )  # fmt: skip
        except TimeoutError:
            return HttpFailure("connection", f"can't connect: no answer within {seconds:g} s", sent=False)
        except (OSError, UnicodeError) as error:
            return HttpFailure("connection", f"can't connect: {error}", sent=False)
        connection.connect_seconds = time.monotonic() - begun
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def _watch(self) -> None:
        """Check for timeouts when the first one is due, at most ``TICK`` from now: a later check means that this process slept."""
        now, loop = time.monotonic(), asyncio.get_running_loop()
        at = min(next(iter(self._due.values())), now + TICK)
        self._timer = loop.call_later(at - now, self._check_timeouts, at)

    def _check_timeouts(self, expected: float) -> None:
        """End the requests that are overdue; after a sleep of this process read first what has arrived meanwhile."""
        now, self._timer = time.monotonic(), None
        if now - expected > LATE:
            self._due = {connection: max(ends, now + LAST_CHANCE) for connection, ends in self._due.items()}
            for connection in self._due:
                connection.next_part_due = max(connection.next_part_due, now + LAST_CHANCE)
        for connection in [one for one, ends in self._due.items() if min(ends, one.next_part_due) <= now]:
            del self._due[connection]
            connection.end(STALLED if connection.streaming else timed_out(self._timeout))
        if self._due:
            self._watch()


def _requests(url: str, secret: Secret) -> Callable[..., bytes]:
    """Return a function that writes a request: a closure, so that no attribute holds the key."""
    parts = urlsplit(url)
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    query, headers = secret.query_string(), secret.request_headers()  # nothing below can raise and show them
    lines = [
        f"POST {path}{'?' if query else ''}{query} HTTP/1.1",
        f"Host: {host}",
        *(["User-Agent: tsn_frames"] if "user-agent" not in map(str.lower, headers) else []),
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Idempotency-Key: ",
    ]
    head = "\r\n".join(lines).encode()

    def request(body: bytes, idempotency_key: str, *, stream: bool) -> bytes:
        accept = b"text/event-stream" if stream else b"application/json"
        return b"%b%b\r\nAccept: %b\r\nContent-Length: %d\r\n\r\n%b" % (head, idempotency_key.encode(), accept, len(body), body)

    return request
