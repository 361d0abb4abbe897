"""What the environment sets: the proxy, the hosts that NO_PROXY excepts, in each form that curl takes, and the certificates."""

from __future__ import annotations

import ipaddress
import re
import ssl
from urllib.parse import urlsplit

from ...api.base_url import is_loopback
from ...errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """Return the proxy of the environment for a URL; loopback addresses have none."""
    from urllib.request import getproxies, proxy_bypass  # an eighth of the import's time

    parts, proxies = urlsplit(url), getproxies()
    host = (parts.hostname or "").rstrip(".")
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host):
        return None
    if "no" in proxies:
        bypassed = is_excepted(host, parts.port or _DEFAULT_PORTS[parts.scheme], proxies["no"])
    else:  # the settings of macOS or Windows
        bypassed = bool(proxy_bypass(host))
    if bypassed:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def through_proxy(url: str) -> str:
    """Describe the proxy of a URL for an error message, without user and password; return an empty text without a proxy."""
    parts = urlsplit(proxy_for(url) or "")
    port = f":{parts.port}" if parts.port else ""
    return f" through the proxy {parts.hostname}{port} of the environment" if parts.hostname else ""


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY names a host: ``*``, a domain, an address with or without brackets, or a network.

    >>> is_excepted("api.example.com", 443, "localhost, .example.com"), is_excepted("fd00::5", 443, "[::1],fd00::/8")
    (True, True)
    """
    entries = re.split(r"[\s,]+", no_proxy.strip())
    named = [_names(entry, host.lower(), port) for entry in entries if entry]  # all are read, so that a bad one is found
    return any(named)


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    with_port = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*):(\d+)", entry)  # colons of an IPv6 address don't separate a port
    name = with_port[1] if with_port else entry
    if with_port and int(with_port[2]) != port:
        return False
    if any(mark in name for mark in "/:[]"):
        return _contains(entry, re.sub(r"^\[([^\[\]]*)\]", r"\1", name), host)
    name = name.strip(".").lower()
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _contains(entry: str, network: str, host: str) -> bool:
    try:
        known = ipaddress.ip_network(network, strict=False)
    except ValueError:
        raise ConfigError(
            f"NO_PROXY has {entry!r}, which is not a host, an address or a network: write it as example.com, 10.0.0.1, 10.0.0.0/8 or ::1"
        ) from None
    try:
        return ipaddress.ip_address(host) in known
    except ValueError:  # a name
        return False


def tls_context() -> ssl.SSLContext:
    """Return TLS settings that verify, by the certificates of the environment or certifi; one serves all connections."""
    import httpx  # slow, so only for https

    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR can't be read: {error}") from None
