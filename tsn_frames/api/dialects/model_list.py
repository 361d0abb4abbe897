"""The models that a service lists, in each shape of ``/models``."""

from __future__ import annotations

from typing import Any

from .tables import MODEL_LISTS, MODEL_NAMES


def model_names(listed: Any) -> list[str]:
    """Return the names of a list of models.

    Examples
    --------
    >>> model_names([{"id": "a"}, {"name": "b"}, "c"]), model_names({"data": {"a": {}, "b": {}}})
    (['a', 'b', 'c'], ['a', 'b'])
    """
    if type(listed) is dict:
        listed = next((listed[name] for name in MODEL_LISTS if listed.get(name)), [])
    if type(listed) is dict:
        listed = [*listed]
    found = (_name(model) for model in listed) if type(listed) is list else ()
    return [*dict.fromkeys(name for name in found if name)]


def _name(model: Any) -> str | None:
    if type(model) is str:
        return model
    if type(model) is not dict:
        return None
    return next((model[name] for name in MODEL_NAMES if type(model.get(name)) is str and model[name]), None)
