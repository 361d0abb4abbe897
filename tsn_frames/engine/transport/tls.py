"""TLS settings that verify certificates; one context serves all connections."""

from __future__ import annotations

import ssl

import httpx

from ...errors import ConfigError


def tls_context() -> ssl.SSLContext:
    """Return TLS settings that verify, by the certificates of the environment or certifi; one serves all connections."""
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR can't be read: {error}") from None
