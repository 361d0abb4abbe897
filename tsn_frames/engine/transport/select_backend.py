"""Choose the HTTP backend: the connection pool, or httpx through a proxy and where httptools can't be imported.

httpx costs several times the CPU per request, and knows every kind of proxy.
"""

from __future__ import annotations

import logging

from ...api.base_url import endpoint, models_url
from ...secret import Secret
from .environment import proxy_for
from .http_types import HttpFailure, HttpResponse, Transport

log = logging.getLogger("tsn_frames")


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
    from .httpx_backend import HttpxTransport

    return HttpxTransport(url, secret, timeout)


async def get_models(base_url: str, secret: Secret, seconds: float) -> HttpResponse | HttpFailure:
    """Get the list of models over a separate connection, within so many seconds; only cancelling raises."""
    from .httpx_backend import HttpxTransport

    transport = HttpxTransport(models_url(base_url), secret, seconds)
    try:
        return await transport.get()
    finally:
        await transport.aclose()
