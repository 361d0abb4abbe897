"""Seeded choices without a random generator: a hash of what the choice depends on.

A generator gives other numbers when requests arrive in another order; a hash of the seed and of the thing
decided does not, so a run is the same whatever the order of its requests.
"""

from __future__ import annotations

from hashlib import blake2b

_SCALE = 2.0**64


def digest(*parts: object) -> bytes:
    """Hash some values to 64 bytes; their text forms are what counts."""
    return blake2b("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()


def random_integer(*parts: object) -> int:
    """Return a number from 0 to 2**64 - 1 that depends on the given values only."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def random_fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the given values only."""
    return min(random_integer(*parts) / _SCALE, 1.0 - 2.0**-53)
