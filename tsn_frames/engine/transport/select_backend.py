"""Choose the HTTP backend: the connection pool, or httpx through a proxy and where httptools can't be imported.

httpx costs several times the CPU per request, and knows every kind of proxy.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...api.base_url import endpoint
from ...secret import Secret
from .environment import proxy_for
from .http_types import Transport

if TYPE_CHECKING:
    from .httpx_backend import HttpxTransport

log = logging.getLogger("tsn_frames")


def open_httpx(base_url: str, secret: Secret, timeout: float) -> HttpxTransport:
    """Return the httpx backend, which also sends GET requests."""
    from .httpx_backend import HttpxTransport

    return HttpxTransport(endpoint(base_url), secret, timeout)


def open_transport(base_url: str, secret: Secret, timeout: float) -> Transport:
    """Return the fastest backend that works here."""
    url = endpoint(base_url)
    if proxy_for(url) is None:
        try:
            from .pool import ConnectionPool
        except ImportError:
            log.info("httptools can't be imported: httpx sends the requests, at several times the CPU a request")
        else:
            return ConnectionPool(url, secret, timeout)
    return open_httpx(base_url, secret, timeout)
