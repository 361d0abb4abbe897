"""The leaves of a JSON Schema: strings, numbers, booleans within their bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .seeded_random import roll, unit
from .text_generator import topics

_FORMATS = {
    "date": "2024-02-29",
    "date-time": "2024-02-29T12:30:00Z",
    "time": "12:30:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What a value depends on beside its schema and its place."""

    root: dict[str, Any]
    seed: bytes
    text: str


def boolean(context: Context, path: str) -> bool:
    """Give true or false."""
    return bool(roll(context.seed.hex(), path) & 1)


def string(schema: dict[str, Any], context: Context, path: str) -> str:
    """Give a string of an allowed length, with words of the prompt where it is free."""
    known = _FORMATS.get(schema.get("format", ""))
    if known is not None:
        return known
    words = topics(context.text) or ["text"]
    value = f"simulated {words[roll(context.seed.hex(), path) % len(words)]}"
    return value.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def integer(schema: dict[str, Any], context: Context, path: str) -> int | None:
    """Give an integer within the bounds, or None if there is none."""
    low, high = _bounds(schema, 1)
    step: float = schema.get("multipleOf", 1)
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        return None
    return int((first + roll(context.seed.hex(), path) % (last - first + 1)) * step)


def number(schema: dict[str, Any], context: Context, path: str) -> float | None:
    """Give a number within the bounds, or None if there is none."""
    if "multipleOf" in schema:
        low, high = _bounds(schema, schema["multipleOf"])
        first, last = math.ceil(low / schema["multipleOf"]), math.floor(high / schema["multipleOf"])
        count = last - first + 1
        return None if count < 1 else (first + roll(context.seed.hex(), path) % count) * schema["multipleOf"]
    low, high = _bounds(schema, 0)
    if low > high:
        return None
    value = low + (high - low) * (0.05 + 0.9 * unit(context.seed.hex(), path))
    if not schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf):
        return None
    rounded = round(value, 2)
    return rounded if low < rounded < high else value


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """Give the least and greatest value; exclusive bounds are moved by one step."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    if low == -math.inf:
        low = min(0, high - 100) if high < math.inf else 0
    return low, high if high < math.inf else low + 100
