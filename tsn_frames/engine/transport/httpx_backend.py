"""The backend that runs everywhere: httpx.

httpx's pool walks all of its connections for every request, which at hundreds in flight costs more than the request
itself; so every ``SHARD`` requests in flight share a small client of their own.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, cast

import httpx

from ...errors import ConfigError
from ...secret import Secret
from .body_decoding import decode_body, decoding_consumer
from .environment import proxy_for, tls_context
from .http_types import (
    BODY_CAP,
    CONNECT_SECONDS,
    KEEP_SECONDS,
    STALLED,
    TOO_LARGE,
    HttpFailure,
    HttpResponse,
    StreamConsumer,
    timed_out,
)

SHARD = 4
_ENCODING = {"Accept-Encoding": "identity"}


class _HiddenQuery(httpx.URL):
    """A URL whose text, which httpx logs, has no query."""

    def __str__(self) -> str:
        return str(self.copy_with(query=None))

    def __repr__(self) -> str:
        return repr(str(self))


class _Auth(httpx.Auth):
    """Adds credentials inside httpx, so that no frame of ours holds them."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers.update(self._secret.request_headers())
        if self._secret.query_string():
            request.url = _HiddenQuery(request.url, query=self._secret.query_string().encode())
        yield request


class HttpxTransport:
    """Sends requests with httpx; see :class:`~.http_types.Transport`."""

    def __init__(self, url: str, secret: Secret, timeout: float) -> None:
        self._url, self._auth, self._timeout = url, _Auth(secret), timeout
        self._proxy = proxy_for(url)
        self._tls = tls_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._free, self._all = deque[httpx.AsyncClient](), list[httpx.AsyncClient]()
        self._free.append(self._grow())

    async def post(self, body: bytes, idempotency_key: str, consumer: StreamConsumer | None = None) -> HttpResponse | HttpFailure:
        """Send one request and return its response or failure; only cancelling raises."""
        client = self._free.pop() if self._free else self._grow()
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key, **_ENCODING}
        if consumer:
            headers["Accept"] = "text/event-stream"
        try:
            return await self._send(client.stream("POST", self._url, content=body, headers=headers), consumer)
        finally:
            self._free.append(client)

    async def get(self) -> HttpResponse | HttpFailure:
        """Get the page and return the response or failure; only cancelling raises."""
        return await self._send(self._all[0].stream("GET", self._url, headers=_ENCODING))

    async def _send(
        self, sending: AbstractAsyncContextManager[httpx.Response], consumer: StreamConsumer | None = None
    ) -> HttpResponse | HttpFailure:
        try:
            async with asyncio.timeout(self._timeout) as limit, sending as response:
                if consumer is not None and response.is_success:
                    return await _stream(response, consumer, limit)
                return await _whole(response)
        except TimeoutError:
            return timed_out(self._timeout) if consumer is None else STALLED
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return _failure(error)

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._all:
            await client.aclose()

    def _grow(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=SHARD, keepalive_expiry=KEEP_SECONDS)
        timeout = httpx.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout), pool=None)
        try:
            client = httpx.AsyncClient(
                auth=self._auth, verify=self._tls, limits=limits, timeout=timeout, proxy=self._proxy, trust_env=False
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:  # a proxy variable that httpx can't use
            problem = str(error).partition("://")[0]  # what follows could be a proxy's password
        else:
            self._all.append(client)
            self._free.extend([client] * (SHARD - 1))
            return client
        raise ConfigError(
            f"a proxy in the environment can't be used ({problem}): look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            " (a socks proxy needs `pip install httpx[socks]`)"
        )


async def _whole(response: httpx.Response) -> HttpResponse | HttpFailure:
    """Return a response with its body decompressed; read no more of it than ``BODY_CAP``."""
    parts, left = [], BODY_CAP
    async for part in response.aiter_raw():
        left -= len(part)
        if left < 0:
            return TOO_LARGE
        parts.append(part)
    body = decode_body(b"".join(parts), dict(response.headers))
    return body if isinstance(body, HttpFailure) else HttpResponse(response.status_code, dict(response.headers), body)


async def _stream(response: httpx.Response, consumer: StreamConsumer, limit: asyncio.Timeout) -> HttpResponse | HttpFailure:
    """Give a body to the consumer as it arrives; it says how long the stream may be silent, and when to stop."""
    headers = dict(response.headers)
    decoding = decoding_consumer(consumer, headers)
    if isinstance(decoding, HttpFailure):
        return decoding
    decoding.begin(headers)
    ends, clock = limit.when() or math.inf, asyncio.get_running_loop().time
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
        async for data in chunks:
            if not (patience := decoding.feed(data)):
                break
            limit.reschedule(min(ends, clock() + patience))
    return HttpResponse(response.status_code, headers, b"")


def _failure(error: Exception) -> HttpFailure:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return HttpFailure("connection", f"can't connect: {error or 'no answer'}", sent=False)
    if isinstance(error, httpx.ProxyError):
        return HttpFailure("connection", "the proxy of the environment refused the connection", sent=False)
    if isinstance(error, httpx.TimeoutException):
        return HttpFailure("timeout", f"no answer in time ({type(error).__name__})", sent=True)
    return HttpFailure("connection", f"the connection broke ({type(error).__name__}: {error})", sent=True)
