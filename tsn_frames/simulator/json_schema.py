"""Generate a JSON value that fits a JSON Schema, chosen by a seed.

Known words: type (also a list of types), enum, const, properties, required, additionalProperties, items,
prefixItems, minItems, maxItems, uniqueItems, anyOf, oneOf, allOf, $ref into the same document, and those of
booleans, strings and numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .api_errors import bad_request
from .seeded_random import random_fraction, random_integer
from .text_generator import choose, topics
from .validation import Json, is_list, is_object

Schema = Json
_DEEP = 8
"""From this depth on the smallest value is taken, so that recursive schemas end."""
_BOTTOM = 40
_LONGEST = 10_000
"""More items or characters than this are not made."""
_NO_SCHEMA = (TypeError, ValueError, AttributeError, KeyError, ArithmeticError, RecursionError)
"""What the walk ends in if this is not a schema; to check each word first would double this file."""


class _UnfitError(Exception):
    """No value can be made here; another branch may have one."""


def instance(schema: Schema, seed: bytes, text: str) -> Any:
    """Return a value that fits the schema; 400 if there is none."""
    try:
        return _make(schema, Context(schema, seed, text), "$", 0)
    except _UnfitError as error:
        raise bad_request(f"response_format.json_schema.schema cannot be satisfied: {error}") from None
    except _NO_SCHEMA as error:
        raise bad_request(f"response_format.json_schema.schema is not a JSON Schema: {error}") from None


def _make(schema: Any, context: Context, path: str, depth: int) -> Any:
    if schema is True:
        return "anything"
    if not is_object(schema) or depth > _BOTTOM:
        raise _UnfitError(f"no value at {path}")
    schema = _resolve(schema, context, path)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _from_enum(schema["enum"], context, path)
    branches: list[Any] | None = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return _first_fit(branches, context, path, depth, _outer(schema))
    return _by_type(_type(schema, context, path, depth), schema, context, path, depth)


def _resolve(schema: Schema, context: Context, path: str) -> Schema:
    for _ in range(_BOTTOM):
        if "$ref" in schema:
            target = _follow(schema["$ref"], context.root, path)
            schema = _merge(target, {name: value for name, value in schema.items() if name != "$ref"})
        elif "allOf" in schema:
            parts: list[Any] = schema["allOf"]
            schema = {name: value for name, value in schema.items() if name != "allOf"}
            for part in parts:
                schema = _merge(schema, _resolve(part, context, path))
        else:
            return schema
    raise _UnfitError(f"references without end at {path}")


def _follow(reference: Any, root: Any, path: str) -> Schema:
    node = root
    for part in str(reference).lstrip("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if is_object(node) else None
    if not is_object(node):
        raise _UnfitError(f"{reference!r} at {path} leads nowhere")
    return node


def _merge(first: Schema, second: Schema) -> Schema:
    merged = first | second
    if "properties" in first and "properties" in second:
        merged["properties"] = first["properties"] | second["properties"]
    if "required" in first and "required" in second:
        merged["required"] = [*first["required"], *second["required"]]
    return merged


def _outer(schema: Schema) -> Schema:
    """Keep what stands beside anyOf and binds every branch."""
    return {name: schema[name] for name in ("properties", "required", "type") if name in schema}


def _from_enum(values: list[Any], context: Context, path: str) -> Any:
    if not values:
        raise _UnfitError(f"empty enum at {path}")
    number = random_integer(context.seed.hex(), path)
    if all(isinstance(value, str) for value in values):
        return choose(values, context.text, number)
    return values[number % len(values)]


def _first_fit(branches: list[Any], context: Context, path: str, depth: int, outer: Schema) -> Any:
    start = 0 if depth >= _DEEP else random_integer(context.seed.hex(), path, "branch") % len(branches)
    order = branches[start:] + branches[:start]
    if depth >= _DEEP:
        order.sort(key=lambda branch: branch.get("type") != "null" if is_object(branch) else True)
    reason = _UnfitError(f"no branch at {path}")
    for branch in order:
        try:
            return _make(_merge(outer, branch) if is_object(branch) else branch, context, path, depth + 1)
        except _UnfitError as error:
            reason = error
    raise reason


def _type(schema: Schema, context: Context, path: str, depth: int) -> str:
    kind: Any = schema.get("type")
    if is_list(kind):
        if not kind:
            raise _UnfitError(f"empty type list at {path}")
        if depth >= _DEEP and "null" in kind:
            return "null"
        return str(kind[random_integer(context.seed.hex(), path, "type") % len(kind)])
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _by_type(kind: str, schema: Schema, context: Context, path: str, depth: int) -> Any:
    match kind:
        case "object":
            return _object(schema, context, path, depth)
        case "array":
            return _array(schema, context, path, depth)
        case "null":
            return None
        case "boolean":
            return boolean(context, path)
        case "string":
            if schema.get("minLength", 0) > _LONGEST:
                raise _UnfitError(f"too long a string at {path}")
            return string(schema, context, path)
        case "integer" | "number":
            value = (integer if kind == "integer" else number)(schema, context, path)
            if value is None:
                raise _UnfitError(f"no number between the bounds at {path}")
            return value
        case _:
            raise _UnfitError(f"unknown type {kind!r} at {path}")


def _object(schema: Schema, context: Context, path: str, depth: int) -> Schema:
    properties: Schema = schema.get("properties", {})
    required: list[str] = schema.get("required", [])
    made: Schema = {}
    for name in [*properties, *(name for name in required if name not in properties)]:
        extra = schema.get("additionalProperties", True)
        try:
            made[name] = _make(properties.get(name, extra), context, f"{path}.{name}", depth + 1)
        except _UnfitError:
            if name in required:
                raise
    if not properties and is_object(schema.get("additionalProperties")) and depth < _DEEP:
        made["key"] = _make(schema["additionalProperties"], context, f"{path}.key", depth + 1)
    if depth >= _DEEP:
        return {name: value for name, value in made.items() if name in required}
    return made


def _array(schema: Schema, context: Context, path: str, depth: int) -> list[Any]:
    first: list[Any] = schema.get("prefixItems", [])
    least: int = schema.get("minItems", 0)
    wanted = least if depth >= _DEEP else least + random_integer(context.seed.hex(), path, "length") % 3
    wanted = min(max(wanted, len(first)), schema.get("maxItems", _LONGEST))
    if wanted > _LONGEST:
        raise _UnfitError(f"too many items at {path}")
    made: list[Any] = []
    for index in range(wanted * 4 if schema.get("uniqueItems") else wanted):
        item = first[index] if index < len(first) else schema.get("items", True)
        value = _make(item, context, f"{path}[{index}]", depth + 1) if item is not False else None
        if not schema.get("uniqueItems") or value not in made:
            made.append(value)
        if len(made) >= wanted:
            break
    if len(made) < least:
        raise _UnfitError(f"not enough different items at {path}")
    return made


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
    """Return true or false."""
    return bool(random_integer(context.seed.hex(), path) & 1)


def string(schema: dict[str, Any], context: Context, path: str) -> str:
    """Return a string of an allowed length, with words of the prompt where it is free."""
    known = _FORMATS.get(schema.get("format", ""))
    if known is not None:
        return known
    words = topics(context.text) or ["text"]
    value = f"simulated {words[random_integer(context.seed.hex(), path) % len(words)]}"
    return value.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def integer(schema: dict[str, Any], context: Context, path: str) -> int | None:
    """Return an integer within the bounds, or None if there is none."""
    low, high = _bounds(schema, 1)
    step: float = schema.get("multipleOf", 1)
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        return None
    return int((first + random_integer(context.seed.hex(), path) % (last - first + 1)) * step)


def number(schema: dict[str, Any], context: Context, path: str) -> float | None:
    """Return a number within the bounds, or None if there is none."""
    if "multipleOf" in schema:
        low, high = _bounds(schema, schema["multipleOf"])
        first, last = math.ceil(low / schema["multipleOf"]), math.floor(high / schema["multipleOf"])
        count = last - first + 1
        return None if count < 1 else (first + random_integer(context.seed.hex(), path) % count) * schema["multipleOf"]
    low, high = _bounds(schema, 0)
    if low > high:
        return None
    value = low + (high - low) * (0.05 + 0.9 * random_fraction(context.seed.hex(), path))
    if not schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf):
        return None
    rounded = round(value, 2)
    return rounded if low < rounded < high else value


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """Return the least and greatest value; exclusive bounds are moved by one step."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    if low == -math.inf:
        low = min(0, high - 100) if high < math.inf else 0
    return low, high if high < math.inf else low + 100
