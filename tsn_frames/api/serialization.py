"""JSON: one serialiser for bodies and keys, and a reader that accepts what servers write beside the standard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from ..errors import TSNError

BOM = b"\xef\xbb\xbf"
dumps: Callable[[Any], bytes] = orjson.dumps  # the only serialiser of bodies and keys; it must never change


class Unreadable(TSNError):
    """A 200 whose body is not a chat completion."""


def dumps_any(value: Any) -> bytes:
    """Write JSON that was read from a service, with numbers beyond 64 bits as broken servers count."""
    try:
        return dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def load(body: bytes) -> Any:
    """Parse JSON, with lone surrogates and NaN, which some servers write and the standard forbids; else raise Unreadable."""
    try:
        return orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        pass
    try:
        return valid_text(json.loads(body.removeprefix(BOM).decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise Unreadable(f"the answer is not JSON ({len(body):,} bytes)") from None


def try_load(body: bytes) -> Any:
    """Parse JSON as :func:`load` does; None where it can't be read."""
    try:
        return load(body)
    except Unreadable:
        return None


def valid_text(value: Any) -> Any:
    """Return a parsed value with U+FFFD for each half of a surrogate pair, which no column can hold."""
    if type(value) is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is list:
        return [valid_text(item) for item in value]
    if type(value) is dict:
        return {valid_text(key): valid_text(item) for key, item in value.items()}
    return value
