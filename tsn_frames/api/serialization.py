"""JSON to bytes and back: one serialiser for bodies and keys, one reader that loses nothing that was paid for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from ..errors import TSNError

BOM = b"\xef\xbb\xbf"
dumps: Callable[[Any], bytes] = orjson.dumps  # the one serialiser of bodies and keys, for ever


class Unreadable(TSNError):
    """A 200 whose body is no chat completion."""


def load(body: bytes) -> Any:
    """Parse JSON, with what some servers write and JSON forbids: lone surrogates and NaN.

    Raises
    ------
    Unreadable
        If it is not JSON.
    """
    try:
        return orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        pass
    try:  # lone surrogates and NaN, which some servers write, are no reason to lose a paid answer
        return _valid(json.loads(body.removeprefix(BOM).decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise Unreadable(f"the answer is not JSON ({len(body):,} bytes)") from None


def _valid(value: Any) -> Any:
    """Return a parsed value with U+FFFD for each half of a surrogate pair, which no column can hold."""
    if type(value) is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is list:
        return [_valid(item) for item in value]
    if type(value) is dict:
        return {_valid(key): _valid(item) for key, item in value.items()}
    return value
