"""The cache key: a canonical hash of a request."""

from __future__ import annotations

import hashlib

SCHEME = b"tsn-frames:1"


def base_hash(base_url: str, repeat: int, head: bytes) -> hashlib._Hash:
    """Hash the part that many requests share; each copies the hash and adds its messages.

    The key is a contract: sha256 over the scheme's tag, the normalised base_url, ``repeat``, and the body. Neither the
    API key nor time-outs nor headers are in it.
    """
    return hashlib.sha256(b"\n".join((SCHEME, base_url.encode(), str(repeat).encode(), head)))


def request_key(base_url: str, repeat: int, head: bytes, messages: bytes) -> bytes:
    """Return the key of one request, 32 bytes.

    >>> request_key("https://api.example.com/v1", 0, b'{"model":"m","messages":', b"[]").hex()[:16]
    '12ee224406cffb58'
    """
    made = base_hash(base_url, repeat, head)
    made.update(messages + b"}")
    return made.digest()
