"""One field of an extraction: its JSON schema, its column by its type, and the values of the column. Pure."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import inspect
import math
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import numpy as np
import pandas as pd

_DTYPES = {bool: "boolean", int: "Int64", float: "Float64", str: "string", dt.date: "datetime64[us]"}
_DTYPES |= {dt.datetime: "datetime64[us]", dt.timedelta: "timedelta64[us]"}
_PLAIN = (dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
_INT64 = 2**63
_LONGEST = dt.timedelta(microseconds=_INT64 - 1)
_FORMATS = {dt.datetime: "date-time", dt.time: "time"}  # msgspec names the format of dates and durations only


class Field(NamedTuple):
    """One field: what it is called, how it is asked for, and how its value is checked."""

    name: str  # the key in the answer, and the column
    schema: dict[str, Any]  # its JSON schema
    dtype: str  # the dtype of its column; ``"category"`` has ``categories``
    null: bool  # whether its type has null
    optional: bool  # whether it may be missing from the answer
    default: Any = None  # its value where it is missing
    categories: tuple[Any, ...] = ()  # the values of a Literal or an Enum
    convert: Callable[[Any], Any] = lambda value: value  # returns the value of its type for a value of JSON, or raises ValueError

    @property
    def nullable(self) -> bool:
        """Whether it may be null, or missing from the answer."""
        return self.null or self.optional


class Checked(NamedTuple):
    """The values of the fields that are valid, as their columns hold them, and why the others are not; ``""`` is all of them."""

    found: Mapping[str, Any] = {}
    problems: Mapping[str, str] = {}


def column_of(kind: Any) -> tuple[str, tuple[Any, ...], bool]:
    """Return dtype, categories and whether a type may be null.

    >>> column_of(int | None), column_of(list[str]), column_of(Literal["a", "b"])
    (('Int64', (), True), ('object', (), False), ('category', ('a', 'b'), False))
    """
    parts, nullable = _parts(kind), False
    if type(None) in parts or None in parts:
        parts, nullable = [part for part in parts if part not in (None, type(None))], True
    if set(parts) == {int, float}:
        return "Float64", (), nullable
    if len(parts) != 1:
        return "object", (), nullable
    (only,) = parts
    if get_origin(only) is Literal:
        values = tuple(value for value in get_args(only) if value is not None)
        return "category", values, nullable or None in get_args(only)
    if inspect.isclass(only) and issubclass(only, enum.Enum):
        return "category", tuple(member.value for member in only), nullable
    return _DTYPES.get(only, "object"), (), nullable


def _parts(kind: Any) -> list[Any]:
    """Return the types of a union, without what annotates them."""
    while get_origin(kind) is Annotated or hasattr(kind, "__supertype__"):
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind.__supertype__
    if get_origin(kind) in (Union, types.UnionType):
        return [part for one in get_args(kind) for part in _parts(one)]
    return [kind]


def with_formats(kind: Any) -> Any:
    """Return a type whose JSON schema says the format of times, as ``date-time``.

    >>> msgspec.json.schema(with_formats(list[dt.datetime]))["items"]["format"]
    'date-time'
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _FORMATS:
        return Annotated[kind, msgspec.Meta(extra_json_schema={"format": _FORMATS[kind]})]
    if origin is Annotated:
        return Annotated[(with_formats(inner[0]), *inner[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(with_formats, inner))]  # noqa: UP007 - the types are values
    if origin in (list, dict, tuple, set, frozenset):
        return origin[tuple(one if one is ... else with_formats(one) for one in inner)]
    return kind


def strict_schema(schema: Any) -> Any:
    """Return a schema as strict services want it: no other keys, all keys required, no defaults and titles."""
    if isinstance(schema, list):
        return [strict_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict_schema(value) for key, value in schema.items() if key not in ("default", "title")}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: strict_schema(one) for name, one in schema["properties"].items()}
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made


def column_value(value: Any, dtype: str) -> Any:
    """Return a checked value as its column holds it: without enums, classes and time zones; ValueError where it can't."""
    if value is None:
        return None
    if isinstance(value, enum.Enum):
        return value.value
    if dtype == "Int64" and not -_INT64 <= value < _INT64:
        raise ValueError(f"{value} has more than 64 bits")
    if dtype == "Float64":
        if not math.isfinite(number := float(value)):
            raise ValueError(f"{number} is not a finite number")
        return number
    if dtype == "datetime64[us]":
        aware = isinstance(value, dt.datetime) and value.tzinfo is not None
        return value.astimezone(dt.UTC).replace(tzinfo=None) if aware else value
    if dtype == "timedelta64[us]" and abs(value) > _LONGEST:
        raise ValueError(f"{value} is too long")
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    return plain(value) if dtype == "object" else value


def plain(value: Any) -> Any:
    """Return a value made of dicts, lists and scalars; what is none of these is a text."""
    return msgspec.to_builtins(value, builtin_types=_PLAIN, enc_hook=str)


def to_json(value: Any) -> Any:
    """Return a value of Python, numpy or pandas as JSON has it."""
    if isinstance(value, pd.Timedelta):
        value = value.to_pytimedelta()
    if hasattr(value, "tolist"):
        value = value.tolist()
    return msgspec.to_builtins(value, enc_hook=lambda one: one.item() if isinstance(one, np.generic) else str(one))


def sentence_of(error: Exception) -> str:
    """Return the words of an error; those of a fault in a user's validator with its type."""
    if isinstance(error, (ValueError, msgspec.ValidationError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def located(message: str, name: str) -> str:
    """Return the sentence of a validator with the path from the answer's root."""
    sentence, found, path = message.partition(" - at `$")
    return f"{sentence} - at `$.{name}{path}" if found else f"{sentence} - at `$.{name}`"
