"""Base URLs: one normal form, the endpoint made of it, and refusal of what could leak a key or a prompt."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError
from ..text import quoted

DEFAULT = "https://api.tokensupernova.com/v1"
ENDPOINT = "/chat/completions"


def normalise(base_url: str, *, allow_http: bool = False) -> str:
    """Return a base URL in its normal form, which requests and cache keys use.

    Without a path it gets ``/v1``. An endpoint without one, ``https://host/chat/completions``, stays as it is.

    Parameters
    ----------
    base_url : str
        With or without a trailing slash, ``/v1`` or the full endpoint.
    allow_http : bool
        Whether a host other than this machine may be used without TLS.

    Raises
    ------
    ConfigError
        If it has no scheme, or a query, a fragment, a user name or a password, or would send a key in the clear.

    Examples
    --------
    >>> normalise("https://API.example.com/v1/chat/completions/")
    'https://api.example.com/v1'
    """
    if not isinstance(base_url, str):
        raise ConfigError(f"base_url must be a text such as {DEFAULT!r}, got {quoted(base_url)}")
    parts = _split(base_url.strip())
    host, port = _host(parts), parts.port
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(
            f"base_url {_shown(parts)} has no TLS: key and prompts would be readable on the way. "
            "Use https://, or allow_http=True if you trust the network"
        )
    place = f"[{host}]" if ":" in host else host
    default_port = {"https": 443, "http": 80}[parts.scheme]
    path = re.sub(r"/+", "/", parts.path).rstrip("/") or "/v1"
    path = path.removesuffix(ENDPOINT) or ENDPOINT
    return f"{parts.scheme}://{place}{f':{port}' if port and port != default_port else ''}{path}"


def endpoint(base_url: str) -> str:
    """Return the URL that completions are requested from.

    Examples
    --------
    >>> endpoint("https://api.example.com/v1"), endpoint("https://api.example.com/chat/completions")
    ('https://api.example.com/v1/chat/completions', 'https://api.example.com/chat/completions')
    """
    return base_url.removesuffix(ENDPOINT) + ENDPOINT


def models_url(base_url: str) -> str:
    """Return the URL of the list of models."""
    return base_url.removesuffix(ENDPOINT) + "/models"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("example.com")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def host_of(base_url: str) -> str:
    """Return the host, and the port where it has one."""
    return urlsplit(base_url).netloc


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # the error's text could hold a password
        raise ConfigError(f"base_url can't be read: it must look like {DEFAULT!r}, with a port from 0 to 65535 if any") from None
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigError("base_url has a user name or a password in it: give the key as api_key=")
    if re.match(r"(sk-|tsn_(live|test)_|bearer\b)", text, re.IGNORECASE):
        raise ConfigError("base_url looks like an API key: give that as api_key=, or run tsn.set_key()")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        hint = f"; did you mean 'https://{text.rpartition('://')[2]}'?" if "@" not in text else ""
        raise ConfigError(f"base_url must begin with https://, got {quoted(text)}{hint}")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ConfigError("base_url has a query or a fragment: leave it out, and give its parameters as query={...}")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host or re.search(r"[\s<>\"\\^`{|}]", parts.netloc + parts.path) or not _has_ascii_form(host):
        raise ConfigError(f"base_url {_shown(parts)} has no usable host or a blank in it")
    return host.lower()


def _has_ascii_form(host: str) -> bool:
    try:
        return host.isascii() or bool(host.encode("idna"))
    except UnicodeError:
        return False


def _shown(parts: SplitResult) -> str:
    return quoted(f"{parts.scheme}://{parts.netloc}{parts.path}")
