"""A mapping, dataclass, TypedDict or msgspec Struct as the fields of an extraction. Pure."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from ...errors import ParameterError
from ...text import quoted
from .field import Checked, Field, column_of, column_value, located, plain, sentence_of, strict_schema, with_formats
from .numbers_read_as_dates import number_for_date

_REQUIRED = object()
_EXPRESSIBLE = "JSON has no such values; use str, int, float, bool, dates, Literal, Enum, lists, dicts, or classes of these"


class Declared(NamedTuple):
    """A field as it is declared: its type, and its default or ``_REQUIRED``."""

    kind: Any
    default: Any


def class_fields(given: Any) -> tuple[tuple[Field, ...], dict[str, Any]]:
    """Return the fields that a mapping or a class declares, and the definitions that their schemas refer to."""
    declared = _declared_in_mapping(given) if isinstance(given, Mapping) else _declared_in_class(given)
    try:
        schemas, definitions = msgspec.json.schema_components(
            [with_formats(one.kind) for one in declared.values()], ref_template="#/$defs/{name}"
        )
    except (TypeError, RuntimeError) as error:
        raise ParameterError(f"fields: a type can't be expressed: {_reason(declared, error)}") from None
    return tuple(_field(name, *one, schema) for (name, one), schema in zip(declared.items(), schemas, strict=True)), definitions


def class_check(given: Any, fields: tuple[Field, ...]) -> Callable[[Mapping[str, Any]], Checked]:
    """Return a function that checks an answer: each field by its type, then all of them by the class' own ``__post_init__``."""
    checks_itself = not isinstance(given, Mapping) and (
        hasattr(given, "__post_init__") or hasattr(given, "__pydantic_validator__")
    )

    def check(answer: Mapping[str, Any]) -> Checked:
        checked, values, problems = dict[str, Any](), dict[str, Any](), dict[str, str]()
        for field in fields:
            if field.name not in answer and not field.nullable:
                problems[field.name] = located("the key is missing", field.name)
                continue
            try:
                if field.name in answer:
                    checked[field.name] = field.convert(answer[field.name])
                values[field.name] = column_value(checked.get(field.name, field.default), field.dtype)
            except (ValueError, ArithmeticError) as error:
                problems[field.name] = located(str(error), field.name)
        return Checked(values, problems) if problems or not checks_itself else _built(given, checked, fields)

    return check


def _built(given: Any, checked: Mapping[str, Any], fields: tuple[Field, ...]) -> Checked:
    """Return the values of an object of the user's class, or why it refuses them."""
    try:
        made = given(**checked)
        return Checked({field.name: column_value(getattr(made, field.name), field.dtype) for field in fields})
    except Exception as error:  # noqa: BLE001 - code of the user: it must not lose the frame
        return Checked(problems={"": sentence_of(error)})


def _declared_in_mapping(given: Mapping[Any, Any]) -> dict[str, Declared]:
    found = {}
    for name, kind in given.items():
        if not (isinstance(kind, type) or get_origin(kind) is not None or hasattr(kind, "__supertype__") or kind is Any):
            raise ParameterError(f"fields[{name!r}] must be a type such as str, float or Literal['a', 'b'], got {quoted(kind)}")
        found[name] = Declared(Union[kind, None], None)  # noqa: UP007 - kind is a value
    return found


def _declared_in_class(given: Any) -> dict[str, Declared]:
    if not inspect.isclass(given):
        raise ParameterError(
            f"fields must be a mapping of name to type, a dataclass, TypedDict, msgspec Struct or pydantic model, got {quoted(given)}"
        )
    defaults = _defaults(given)
    try:
        hints = get_type_hints(given, include_extras=True)
    except NameError as error:
        raise ParameterError(f"fields: a type of {given.__name__} is not known: {error}; define it beside the class") from None
    if needed := next((name for name, kind in hints.items() if isinstance(kind, dataclasses.InitVar)), None):
        raise ParameterError(f"fields: {given.__name__} needs {needed!r} to be made, which is not a field: leave out the InitVar")
    return {name: Declared(_without_required(hints[name]), default) for name, default in defaults.items()}


def _without_required(kind: Any) -> Any:
    """Return the type of a TypedDict's key."""
    return get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind


def _defaults(given: Any) -> dict[str, Any]:
    """Return the default of each field of a class, or ``_REQUIRED``."""
    if is_typeddict(given):
        return {name: None if name in given.__optional_keys__ else _REQUIRED for name in given.__annotations__}
    if dataclasses.is_dataclass(given):
        return {one.name: _default(one, dataclasses.MISSING) for one in dataclasses.fields(given) if one.init}
    if issubclass(given, msgspec.Struct):
        return {one.name: _default(one, msgspec.NODEFAULT) for one in msgspec.structs.fields(given)}
    raise ParameterError(f"fields: {given.__name__} is not a dataclass, TypedDict, msgspec Struct or pydantic model")


def _default(field: Any, missing: Any) -> Any:
    if field.default is not missing:
        return field.default
    return _REQUIRED if field.default_factory is missing else field.default_factory()


def _field(name: str, kind: Any, default: Any, schema: dict[str, Any]) -> Field:
    dtype, categories, null = column_of(kind)

    def convert(value: Any) -> Any:
        try:
            found = msgspec.convert(value, type=kind, strict=False)
        except SystemError:  # msgspec before 0.20, for a number that no float can hold
            raise ValueError("the number is too large") from None
        except Exception as error:  # noqa: BLE001 - a class inside may run code of the user
            raise ValueError(sentence_of(error)) from None
        if complaint := number_for_date(value, plain(found)):
            raise ValueError(complaint)
        return found

    optional = default is not _REQUIRED
    return Field(name, strict_schema(schema), dtype, null, optional, default if optional else None, categories, convert)


def _reason(declared: Mapping[str, Declared], error: Exception) -> str:
    for name, (kind, _) in declared.items():
        try:
            msgspec.json.schema(kind)
        except (TypeError, RuntimeError) as found:
            sentence = str(found).partition("\n")[0]
            foreign = sentence.startswith("Generating JSON schema for custom types")
            return f"field {name!r} has {quoted(kind)}: {_EXPRESSIBLE if foreign else sentence}"
    return str(error)
