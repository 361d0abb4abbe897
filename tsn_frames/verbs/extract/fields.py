"""The fields of an extraction: types to a JSON schema, and the values of an answer to the values of typed columns. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import math
import types
import uuid
from collections.abc import Callable, Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from ...errors import ParameterError
from ...text import quoted
from .json_schema import strict_schema
from .pydantic_model import is_pydantic, pydantic_fields

_DTYPES = {bool: "boolean", int: "Int64", float: "Float64", str: "string", dt.date: "datetime64[us]"}
_DTYPES |= {dt.datetime: "datetime64[us]"}
_PLAIN = (dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
_INT64 = 2**63


class Field(NamedTuple):
    """One field: what it is called, how it is asked for, and how its value is checked.

    Attributes
    ----------
    name : str
        The key in the answer, and the column.
    schema : dict
        Its JSON schema.
    dtype : str
        The dtype of its column; ``"category"`` has ``categories``.
    convert : callable
        Returns the value of the column for a value of JSON; raises ValueError with the reason.
    nullable : bool
        Whether it may be null, or missing from the answer.
    default : object
        Its value where it is missing.
    categories : tuple
        The values of a Literal or an Enum.
    """

    name: str
    schema: dict[str, Any]
    dtype: str
    convert: Callable[[Any], Any]
    nullable: bool
    default: Any = None
    categories: tuple[Any, ...] = ()


class Fields(NamedTuple):
    """The fields of an extraction, and the definitions that their schemas refer to."""

    fields: tuple[Field, ...]
    definitions: dict[str, Any]

    @classmethod
    def of(cls, given: object) -> Fields:
        """Return the fields that a mapping or a class declares.

        Parameters
        ----------
        given : mapping of name to type, or class
            In a mapping every field may be null. A class is a dataclass, TypedDict, msgspec Struct or pydantic model.

        Raises
        ------
        ParameterError
            If it is neither, has no fields, or a type can't be expressed.

        Examples
        --------
        >>> found = Fields.of({"amount": float, "party": Literal["Con", "Lab"]})
        >>> [(field.name, field.dtype, field.nullable) for field in found.fields]
        [('amount', 'Float64', True), ('party', 'category', True)]
        """
        if is_pydantic(given):
            return cls(*_checked(pydantic_fields(given, Field, column_of, _plain)))
        declared = _declared(given)
        try:
            schemas, definitions = msgspec.json.schema_components(
                [kind for kind, _ in declared.values()], ref_template="#/$defs/{name}"
            )
        except (TypeError, RuntimeError) as error:
            raise ParameterError(f"fields: a type can't be expressed: {_reason(declared, error)}") from None
        fields = [
            _field(name, kind, default, schema) for (name, (kind, default)), schema in zip(declared.items(), schemas, strict=True)
        ]
        return cls(*_checked((tuple(fields), definitions)))


_REQUIRED = object()


def column_of(kind: Any) -> tuple[str, tuple[Any, ...], bool]:
    """Return dtype, categories and whether a type may be null.

    Examples
    --------
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


def _declared(given: Any) -> dict[str, tuple[Any, Any]]:
    """Return each field's type, and its default or ``_REQUIRED``."""
    if isinstance(given, Mapping):
        found = {}
        for name, kind in given.items():
            if not (isinstance(kind, type) or get_origin(kind) is not None or hasattr(kind, "__supertype__") or kind is Any):
                raise ParameterError(
                    f"fields[{name!r}] must be a type such as str, float or Literal['a', 'b'], got {quoted(kind)}"
                )
            found[name] = (Union[kind, None], None)  # noqa: UP007 - kind is a value
        return found
    if not inspect.isclass(given):
        raise ParameterError(
            f"fields must be a mapping of name to type, a dataclass, TypedDict, msgspec Struct or pydantic model, got {quoted(given)}"
        )
    defaults = _defaults(given)
    hints = get_type_hints(given, include_extras=True)
    return {name: (_without_required(kind), defaults.get(name, _REQUIRED)) for name, kind in hints.items()}


def _without_required(kind: Any) -> Any:
    """Return the type of a TypedDict's key."""
    return get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind


def _defaults(given: Any) -> dict[str, Any]:
    if is_typeddict(given):
        return dict.fromkeys(given.__optional_keys__)
    if dataclasses.is_dataclass(given):
        found = {one.name: one.default for one in dataclasses.fields(given) if one.default is not dataclasses.MISSING}
        factories = {one.name: one.default_factory for one in dataclasses.fields(given)}
        return found | {name: make() for name, make in factories.items() if make is not dataclasses.MISSING}
    if issubclass(given, msgspec.Struct):
        optional = [one for one in msgspec.structs.fields(given) if not one.required]
        return {one.name: one.default_factory() if one.default is msgspec.NODEFAULT else one.default for one in optional}
    raise ParameterError(f"fields: {given.__name__} is no dataclass, TypedDict, msgspec Struct or pydantic model")


def _field(name: str, kind: Any, default: Any, schema: dict[str, Any]) -> Field:
    dtype, categories, nullable = column_of(kind)

    def convert(value: Any) -> Any:
        try:
            return _plain(msgspec.convert(value, type=kind, strict=False), dtype)
        except msgspec.ValidationError as error:
            raise ValueError(_located(str(error), name)) from None
        except SystemError:  # msgspec before 0.20, for a number that no float can hold
            raise ValueError(_located("the number is too large", name)) from None

    return Field(name, strict_schema(schema), dtype, convert, nullable or default is not _REQUIRED,
                 None if default is _REQUIRED else _plain(default, dtype), categories)  # fmt: skip


def _located(message: str, name: str) -> str:
    """Return the sentence of a validator with the path from the answer's root."""
    sentence, found, path = message.partition(" - at `$")
    return f"{sentence} - at `$.{name}{path}" if found else f"{sentence} - at `$.{name}`"


def _plain(value: Any, dtype: str) -> Any:
    """Return a checked value as the column holds it: without enums, classes and time zones."""
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
    return msgspec.to_builtins(value, builtin_types=_PLAIN) if dtype == "object" else value


def _checked(found: tuple[tuple[Field, ...], dict[str, Any]]) -> tuple[tuple[Field, ...], dict[str, Any]]:
    fields, definitions = found
    if not fields:
        raise ParameterError("fields is empty: name at least one")
    for field in fields:
        if not isinstance(field.name, str) or not field.name.strip():
            raise ParameterError(f"fields: a name must be a text, got {quoted(field.name)}")
    return fields, strict_schema(definitions)


def _reason(declared: Mapping[str, tuple[Any, Any]], error: Exception) -> str:
    for name, (kind, _) in declared.items():
        try:
            msgspec.json.schema(kind)
        except (TypeError, RuntimeError) as found:
            return f"field {name!r} has {quoted(kind)}: {str(found).partition(chr(10))[0]}"
    return str(error)
