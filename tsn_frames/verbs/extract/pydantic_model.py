"""A pydantic model as the fields of an extraction, by what it offers: the package does not import pydantic."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ...api import dumps
from ...errors import ParameterError
from .field import Checked, Field, column_of, column_value, located, sentence_of, strict_schema
from .numbers_read_as_dates import number_for_date


def is_pydantic(given: Any) -> bool:
    """Return whether something is a class of pydantic 2 models."""
    return inspect.isclass(given) and all(
        hasattr(given, name) for name in ("model_fields", "model_json_schema", "__pydantic_validator__")
    )


def pydantic_fields(model: Any) -> tuple[tuple[Field, ...], dict[str, Any]]:
    """Return the fields of a model, and the definitions that their schemas refer to."""
    schema = model.model_json_schema(by_alias=False)
    definitions = model.model_json_schema().get("$defs", {})  # models inside are read by their aliases
    whole = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema  # a model that holds itself
    if not isinstance(whole.get("properties"), dict):
        raise ParameterError(f"fields: {model.__name__} has no fields: a model with one key for each is needed")
    found = []
    for name, info in model.model_fields.items():
        dtype, categories, null = column_of(info.annotation)
        properties = strict_schema(whole["properties"][name])
        found.append(Field(name, properties, dtype, null, not info.is_required(), categories=categories))
    return tuple(found), definitions


def pydantic_check(model: Any, fields: tuple[Field, ...]) -> Callable[[Mapping[str, Any]], Checked]:
    """Return a function that checks an answer by the whole model; where it fails, the fields that are valid by themselves stay."""
    whole, partial = _by_name(model), _without_model_validators(model)

    def check(answer: Mapping[str, Any]) -> Checked:
        try:
            return _values(whole, answer, fields)
        except Exception as error:  # noqa: BLE001 - validators are code of the user: they must not lose the frame
            problems = _problems(error)
        return Checked(problems=problems) if "" in problems else _each(partial, answer, problems, fields)

    return check


def _each(model: Any, answer: Mapping[str, Any], problems: Mapping[str, str], fields: tuple[Field, ...]) -> Checked:
    """Return the fields that are valid beside those before them; a validator may look at these."""
    valid, read, problems = dict[str, Any](), Checked(), dict(problems)
    for name in [field.name for field in fields if field.name in answer and field.name not in problems]:
        try:
            read = _values(model, {**valid, name: answer[name]}, fields)
            valid[name] = answer[name]
            problems |= read.problems
        except Exception as error:  # noqa: BLE001 - a validator that needs a field which is not valid
            problems[name] = next(iter(_problems(error).values()))
    return Checked({name: value for name, value in read.found.items() if name not in problems}, problems)


def _values(model: Any, answer: Mapping[str, Any], fields: tuple[Field, ...]) -> Checked:
    made = model.model_validate_json(dumps(answer))
    found, problems = dict[str, Any](), dict[str, str]()
    for field in fields:
        value = getattr(made, field.name)
        if complaint := number_for_date(answer.get(field.name), _dumped(value, by_alias=True)):
            problems[field.name] = located(complaint, field.name)
        else:
            found[field.name] = column_value(_dumped(value), field.dtype)
    return Checked(found, problems)


def _by_name(model: Any, settings: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Return a subclass that takes its fields by their names, whatever their aliases."""
    config = {"populate_by_name": True, "loc_by_alias": False, **(settings or {})}
    return type(model)(model.__name__, (model,), {"__module__": model.__module__, "model_config": config, **more})


def _without_model_validators(model: Any) -> Any:
    """Return a subclass whose fields are checked each by itself, and may be missing."""
    validators = model.__pydantic_decorators__.model_validators.items()
    made = _by_name(model, {"validate_default": False}, **{name: _pass_on(found.info.mode) for name, found in validators})
    for info in made.model_fields.values():
        if info.is_required():
            info.default = None
    made.model_rebuild(force=True)
    return made


def _pass_on(mode: str) -> Any:
    """Return a validator of a model that does nothing."""
    if mode == "after":
        return lambda self: self
    return classmethod(lambda _, data: data) if mode == "before" else classmethod(lambda _, data, handler: handler(data))


def _problems(error: Exception) -> dict[str, str]:
    """Return the first complaint about each field; the key ``""`` is the model as a whole."""
    found = dict[str, str]()
    for one in error.errors() if hasattr(error, "errors") else ():
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
        found.setdefault(str(one["loc"][0]) if one["loc"] else "", f"{one['msg']} - at `${path}`" if path else one["msg"])
    return found or {"": sentence_of(error)}


def _dumped(value: Any, *, by_alias: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _dumped(one, by_alias=by_alias) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_dumped(one, by_alias=by_alias) for one in value]
    return value.model_dump(by_alias=by_alias) if hasattr(value, "model_dump") else value
