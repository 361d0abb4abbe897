"""The fast engine: aiohttp, for connections without a proxy. It follows no redirect and unpacks nothing by itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp

from ..secret import Secret
from .transport import CONNECT_SECONDS, Answer, Failure, timed_out, whole

CHUNK = 2**16


class FastTransport:
    """Sends bodies with aiohttp; see :class:`.transport.Transport`."""

    def __init__(self, url: str, secret: Secret, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._session = _session(url, secret, timeout)

    async def post(self, body: bytes, idempotency_key: str) -> Answer | Failure:
        """Send one request and return what came of it; only cancelling raises."""
        headers = {"Idempotency-Key": idempotency_key}
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                found = {name.lower(): value for name, value in response.headers.items()}
                read = await whole(_chunks(response), found.get("content-encoding", "").strip().lower())
                return read if isinstance(read, Failure) else Answer(response.status, found, read)
        except aiohttp.ClientResponseError as error:  # its head is no HTTP: paid for, perhaps, and no better the next time
            return Failure("unreadable", f"the answer is no HTTP: {error.message}", sent=True)
        except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
            return _failure(error, self._timeout)
        except ValueError as error:  # what a broken server's headers come to
            return Failure("unreadable", f"the answer is no HTTP: {error}", sent=True)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()


def _session(url: str, secret: Secret, timeout: float) -> aiohttp.ClientSession:
    tls = _tls() if url.startswith("https:") else True  # it can fail, and comes before the key is anywhere
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=30.0),
        timeout=aiohttp.ClientTimeout(total=timeout, connect=None, sock_connect=min(CONNECT_SECONDS, timeout)),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=CHUNK,
        max_line_size=CHUNK,
        max_field_size=CHUNK,
        headers=_headers(secret),
    )


def _tls() -> ssl.SSLContext:
    from .stock import tls_context  # httpx, too, is only imported where it is needed

    return tls_context()


def _headers(secret: Secret) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "tsn_frames"}
    return headers | ({"Authorization": f"Bearer {secret.reveal()}"} if secret else {})


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while chunk := await response.content.readany():
        yield chunk


def _failure(error: Exception, timeout: float) -> Failure:
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Failure("connection", f"can't connect: {_why(error)}", sent=False)
    if isinstance(error, asyncio.TimeoutError):
        return timed_out(timeout)
    return Failure("connection", f"the connection broke ({type(error).__name__}: {_why(error)})", sent=True)


def _why(error: Exception) -> str:
    return str(getattr(error, "os_error", None) or error or "no answer")
