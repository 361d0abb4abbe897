"""A pydantic model as the fields of an extraction, by what it offers: the package does not import pydantic."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .json_schema import strict_schema


def is_pydantic(given: Any) -> bool:
    """Return whether something is a class of pydantic 2 models."""
    return inspect.isclass(given) and all(
        hasattr(given, name) for name in ("model_fields", "model_json_schema", "__pydantic_validator__")
    )


def pydantic_fields(
    model: Any,
    field: Callable[..., Any],
    column_of: Callable[[Any], tuple[str, tuple[Any, ...], bool]],
    plain: Callable[[Any, str], Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the fields of a model, made by ``field``, and the definitions that their schemas refer to."""
    schema = model.model_json_schema(by_alias=False)
    found = []
    for name, info in model.model_fields.items():
        dtype, categories, nullable = column_of(info.annotation)
        required = info.is_required()
        default = None if required else plain(_dumped(info.get_default(call_default_factory=True)), dtype)
        made = strict_schema(schema["properties"][name])
        found.append(
            field(name, made, dtype, _converter(model, name, dtype, plain), nullable or not required, default, categories)
        )
    return tuple(found), schema.get("$defs", {})


def _converter(model: Any, name: str, dtype: str, plain: Callable[[Any, str], Any]) -> Callable[[Any], Any]:
    """Return a function that checks one field with the model's own validator."""

    def convert(value: Any) -> Any:
        try:
            checked = model.__pydantic_validator__.validate_assignment(model.model_construct(), name, value)
        except ValueError as error:
            raise ValueError(_sentence(error, name)) from None
        return plain(_dumped(getattr(checked, name)), dtype)

    return convert


def _sentence(error: ValueError, name: str) -> str:
    problems = error.errors() if hasattr(error, "errors") else []
    if not problems:
        return f"{error} - at `$.{name}`"
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problems[0]["loc"] or (name,))
    return f"{problems[0]['msg']} - at `${path}`"


def _dumped(value: Any) -> Any:
    if isinstance(value, list):
        return [_dumped(one) for one in value]
    return value.model_dump() if hasattr(value, "model_dump") else value
