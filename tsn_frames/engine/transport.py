"""One POST over HTTP. The only importer of httpx: foreign exceptions end here, and with them the frames that hold keys.

httpx's pool walks all of its connections for every request, which at hundreds in flight costs more than the request
itself; so each few requests in flight share a small client of their own.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, NamedTuple

import httpx

from ..errors import ConfigError
from ..secret import Secret

BODY_CAP = 20 * 2**20
CONNECT_SECONDS = 10.0
SHARD = 4


class Answer(NamedTuple):
    """An HTTP answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failure(NamedTuple):
    """No answer, and whether the request may have reached the service (and may be billed)."""

    code: Literal["connection", "timeout", "unreadable"]
    message: str
    sent: bool


class _Bearer(httpx.Auth):
    """Writes the key where httpx hides it; no frame of ours holds the header."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Any:
        if self._secret:
            request.headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        yield request


class Transport:
    """Sends bodies to one base_url with one key.

    Parameters
    ----------
    base_url : str
        Normalised, without a trailing slash.
    secret : Secret
        The key; empty where the server wants none.
    timeout : float
        Seconds for one whole answer.
    """

    def __init__(self, base_url: str, secret: Secret, timeout: float) -> None:
        self._url, self._auth, self._timeout = f"{base_url}/chat/completions", _Bearer(secret), timeout
        self._tls: ssl.SSLContext | None = None
        self._free: deque[httpx.AsyncClient] = deque()
        self._all: list[httpx.AsyncClient] = []

    async def post(self, body: bytes, idempotency_key: str) -> Answer | Failure:
        """Send one request and return what came of it; only cancelling raises."""
        client = self._free.pop() if self._free else self._grow()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "Idempotency-Key": idempotency_key}
        try:
            async with asyncio.timeout(self._timeout):
                async with client.stream("POST", self._url, content=body, headers=headers) as response:
                    return await _read(response)
        except TimeoutError:
            return Failure("timeout", f"no whole answer within {self._timeout:g} s", sent=True)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ssl.SSLError) as error:
            return _failure(error)
        finally:
            self._free.append(client)

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._all:
            await client.aclose()

    def _grow(self) -> httpx.AsyncClient:
        self._tls = self._tls or ssl_context(self._url)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=SHARD, keepalive_expiry=30.0)
        timeout = httpx.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout), pool=None)
        try:
            client = httpx.AsyncClient(auth=self._auth, verify=self._tls, limits=limits, timeout=timeout, follow_redirects=False)
        except (ValueError, ImportError) as error:  # a proxy variable that httpx can't use
            problem = str(error).split("://")[0]  # what follows could be a proxy's password
        else:
            self._all.append(client)
            self._free.extend([client] * (SHARD - 1))
            return client
        raise ConfigError(
            f"a proxy in the environment can't be used ({problem}): look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            " (a socks proxy needs `pip install httpx[socks]`)"
        )


def ssl_context(url: str) -> ssl.SSLContext:
    """Return the TLS settings that all small clients share; a context costs tens of milliseconds."""
    return httpx.create_ssl_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _read(response: httpx.Response) -> Answer | Failure:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "deflate"):
        return Failure("unreadable", f"the answer's content-encoding {encoding!r} was not asked for", sent=True)
    body = await _whole(response.aiter_raw(), zlib.decompressobj(47) if encoding in ("gzip", "deflate") else None)
    if isinstance(body, Failure):
        return body
    return Answer(response.status_code, dict(response.headers), body)


async def _whole(chunks: AsyncIterator[bytes], inflate: Any) -> bytes | Failure:
    parts, left = [], BODY_CAP
    async for chunk in chunks:
        try:
            part = inflate.decompress(chunk, left + 1) if inflate else chunk
        except zlib.error:
            return Failure("unreadable", "the answer's gzip is broken", sent=True)
        left -= len(part)
        if left < 0:
            return Failure("unreadable", f"the answer is larger than {BODY_CAP // 2**20} MiB", sent=True)
        parts.append(part)
    return b"".join(parts)


def _failure(error: Exception) -> Failure:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return Failure("connection", f"can't connect: {error or 'no answer'}", sent=False)
    if isinstance(error, httpx.ProxyError):
        return Failure("connection", "the proxy of the environment refused the connection", sent=False)
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", f"no answer in time ({type(error).__name__})", sent=True)
    return Failure("connection", f"the connection broke ({type(error).__name__}: {error})", sent=True)
