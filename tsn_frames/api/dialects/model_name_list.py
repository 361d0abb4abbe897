"""The models that a service lists, in each shape of ``/models``."""

from __future__ import annotations

from typing import Any

from .response_tables import MODEL_LISTS, MODEL_NAMES

_DEPTH = 3  # lists in a field of a field


def model_names(listed: Any) -> list[str]:
    """Return the names of a list of models.

    >>> model_names([{"id": "a"}, {"name": "b"}, "c"]), model_names({"data": {"a": {}, "b": {}}})
    (['a', 'b', 'c'], ['a', 'b'])
    >>> model_names({"result": {"data": [{"id": "a"}]}})
    ['a']
    """
    found = (_name(model) for model in _models(listed))
    return [*dict.fromkeys(name for name in found if name)]


def _models(listed: Any, depth: int = 0) -> list[Any]:
    """Return the list in a body, which may be in a field, or be a mapping by name."""
    if type(listed) is not dict:
        return listed if type(listed) is list else []
    name = next(filter(listed.get, MODEL_LISTS), None)
    if name is not None and depth < _DEPTH:
        return _models(listed[name], depth + 1)
    return [*listed] if depth else []


def _name(model: Any) -> str | None:
    if type(model) is str:
        return model
    if type(model) is not dict:
        return None
    return next((model[name] for name in MODEL_NAMES if type(model.get(name)) is str and model[name]), None)
