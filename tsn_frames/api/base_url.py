"""Base URLs: one normal form, the endpoint made of it, and refusal of what could leak a key or a prompt."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError
from ..text import quoted

DEFAULT = "https://api.tokensupernova.com/v1"
ENDPOINT = "/chat/completions"
_KEY_STARTS = re.compile(
    r"(sk|rk|pk|xai|nvapi|pplx|csk|key)-|(tsn_(live|test)|gsk|hf|r8|fw|tgp|ghp|github_pat)_|AIza|eyJ|AKIA|(bearer|basic)\b",
    re.IGNORECASE,
)
_LONG = 20  # characters: of a key's parts, and of few hosts'


def normalise(base_url: str, *, allow_http: bool = False) -> str:
    """Return a base URL in its normal form, which requests and cache keys use.

    Without a path it gets ``/v1``. An endpoint without one, ``https://host/chat/completions``, stays as it is.

    >>> normalise("https://API.example.com/v1/chat/completions/")
    'https://api.example.com/v1'
    """
    if problem := _problem(base_url, allow_http=allow_http):
        base_url = ""  # it may hold a key by mistake, and tracebacks may show the locals of a frame that raises
        raise ConfigError(problem)
    parts = urlsplit(base_url.strip())
    host = (parts.hostname or "").lower()
    place = f"[{host}]" if ":" in host else host
    default_port = {"https": 443, "http": 80}[parts.scheme]
    path = re.sub(r"/+", "/", parts.path).rstrip("/") or "/v1"
    path = path.removesuffix(ENDPOINT) or ENDPOINT
    return f"{parts.scheme}://{place}{f':{parts.port}' if parts.port and parts.port != default_port else ''}{path}"


def endpoint(base_url: str) -> str:
    """Return the URL that completions are requested from.

    >>> endpoint("https://api.example.com/v1"), endpoint("https://api.example.com/chat/completions")
    ('https://api.example.com/v1/chat/completions', 'https://api.example.com/chat/completions')
    """
    return base_url.removesuffix(ENDPOINT) + ENDPOINT


def models_url(base_url: str) -> str:
    """Return the URL of the list of models."""
    return base_url.removesuffix(ENDPOINT) + "/models"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("example.com")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _problem(text: object, *, allow_http: bool) -> str | None:
    """Return what is wrong with a base URL, without what could be a key or a password; raise nothing."""
    if not isinstance(text, str):
        return f"base_url must be a string such as {DEFAULT!r}, got a {type(text).__name__}"
    text = text.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return f"base_url can't be read: it must look like {DEFAULT!r}, with a port from 0 to 65535 if any"
    return _parts_problem(text, parts) or _host_problem(parts, allow_http=allow_http)


def _parts_problem(text: str, parts: SplitResult) -> str | None:
    if "@" in parts.netloc or (not parts.netloc and "@" in text):
        return "base_url has a user name or a password in it: give the key as api_key="
    if _is_key(text):
        return "base_url looks like an API key: give that as api_key=, or run tsn.set_key()"
    if parts.scheme not in ("http", "https") or not parts.netloc:
        shown = re.split(r"[?#]", text)[0]
        return f"base_url must begin with https://, got {quoted(shown)}; did you mean 'https://{shown.rpartition('://')[2]}'?"
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        return "base_url has a query or a fragment: leave it out, and give its parameters as query={...}"
    return None


def _is_key(text: str) -> bool:
    """Return whether a text is an API key: it begins as those of services do, or is a long word of letters and digits."""
    place = text.rpartition("://")[2]
    if _KEY_STARTS.match(text):
        return True
    if "://" in text:
        return bool(_KEY_STARTS.match(place)) and not re.search(r"[./:]", place)
    return any(len(part) >= _LONG and re.search(r"\d", part) for part in re.split(r"[./:?#=\s]", place))


def _host_problem(parts: SplitResult, *, allow_http: bool) -> str | None:
    host, shown = parts.hostname or "", quoted(f"{parts.scheme}://{parts.netloc}")
    if not host or re.search(r"[\s<>\"\\^`{|}]", parts.netloc + parts.path) or not _has_ascii_form(host):
        return f"base_url {shown} has no usable host or a blank in it"
    if parts.scheme == "http" and not allow_http and not is_loopback(host.lower()):
        return (
            f"base_url {shown} has no TLS: key and prompts would be readable on the way. "
            "Use https://, or allow_http=True if you trust the network"
        )
    return None


def _has_ascii_form(host: str) -> bool:
    try:
        return host.isascii() or bool(host.encode("idna"))
    except UnicodeError:
        return False
