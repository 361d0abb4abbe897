"""One POST over HTTP, whatever engine does it: its answer or failure as a value, and how much of a body is taken in.

Two engines stand behind it: :mod:`.fast` (connections of our own), and :mod:`.stock` (httpx), which costs some times the
CPU a request, knows every kind of proxy, and is there where httptools can't be imported.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from ...api.base_url import is_loopback
from ...secret import Secret
from ..runtime.process import here

if TYPE_CHECKING:
    from .httpx_backend import StockTransport

log = logging.getLogger("tsn_frames")
BODY_CAP = 20 * 2**20
CONNECT_SECONDS = 10.0
KEEP_SECONDS = 30.0  # an idle connection is used again


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


class Transport(Protocol):
    """What sends bodies to one endpoint with one key; redirects are never followed."""

    async def post(self, body: bytes, idempotency_key: str) -> Answer | Failure:
        """Send one request and return what came of it; only cancelling raises."""

    async def aclose(self) -> None:
        """Close every connection."""


class Sink(Protocol):
    """Who takes in a streamed answer."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take in the head of an answer that is let in."""

    def feed(self, data: bytes) -> float:
        """Take in some of its bytes; return the seconds that the next ones may take, 0 where no more are wanted."""


def open_stream(base_url: str, secret: Secret, timeout: float) -> StockTransport:
    """Return what streams: a chat needs one connection, for which httpx is fast enough.

    Raises
    ------
    ConfigError
        If a proxy of the environment can't be used.
    """
    from .httpx_backend import StockTransport

    return StockTransport(f"{base_url}/chat/completions", secret, timeout)


def open_transport(base_url: str, secret: Secret, timeout: float) -> Transport:
    """Return the fastest engine that runs here.

    Parameters
    ----------
    base_url : str
        Normalised, without a trailing slash.
    secret : Secret
        The key; empty where the server wants none.
    timeout : float
        Seconds for one whole answer.

    Raises
    ------
    ConfigError
        If a proxy of the environment can't be used.
    """
    url = f"{base_url}/chat/completions"
    if not through_proxy(url):
        try:
            from .pool import FastTransport
        except ImportError:
            here.say_once(log, "httptools can't be imported: httpx does the sending, at some times the CPU a request")
        else:
            return FastTransport(url, secret, timeout)
    from .httpx_backend import StockTransport

    return StockTransport(url, secret, timeout)


def through_proxy(url: str) -> bool:
    """Return whether the environment names a proxy for a URL; what stays on this machine passes none."""
    from urllib.request import getproxies, proxy_bypass  # an eighth of the import's time

    parts, proxies = urlsplit(url), getproxies()
    host = parts.hostname or ""
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not is_loopback(host) and not proxy_bypass(host)


def unpacked(body: bytes, encoding: str) -> bytes | Failure:
    """Return a body without its content-encoding, and no more of it than ``BODY_CAP``: a bomb unpacks no further."""
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        return Failure("unreadable", f"the answer's content-encoding {encoding!r} was not asked for", sent=True)
    if body and encoding in ("gzip", "deflate"):
        inflate = zlib.decompressobj(47)
        try:
            body = inflate.decompress(body, BODY_CAP + 1)
        except zlib.error:
            return Failure("unreadable", "the answer's gzip is broken", sent=True)
        if not inflate.eof and len(body) <= BODY_CAP:
            return Failure("unreadable", "the answer's gzip is cut", sent=True)
    return body if len(body) <= BODY_CAP else too_large()


def too_large() -> Failure:
    """Return the failure of an answer that is larger than we take in."""
    return Failure("unreadable", f"the answer is larger than {BODY_CAP // 2**20} MiB", sent=True)


def timed_out(seconds: float) -> Failure:
    """Return the failure of an answer that took too long."""
    return Failure("timeout", f"no whole answer within {seconds:g} s", sent=True)
