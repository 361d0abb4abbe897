"""Request parameters: each checked against the API's range before anything is sent, and made plain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from ..errors import ParameterError
from ..text import quoted

RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}
# The order is part of the cache key: it never changes, and new names join at the end.
ORDER = ("model", "temperature", "top_p", "max_tokens", "stop", "frequency_penalty", "presence_penalty")
RESERVED = (*ORDER, "messages", "stream", "stream_options", "n")


def check(name: str, value: Any) -> Any:
    """Return one parameter as the plain value that is sent.

    Parameters
    ----------
    name : str
        A parameter of the API, or ``"repeat"`` or ``"extra_body"``.
    value : object
        What the user gave for it; numpy scalars are made plain.

    Raises
    ------
    ParameterError
        If the value is of the wrong type or out of its range.

    Examples
    --------
    >>> check("temperature", 1)
    1.0
    """
    return _CHECKS[name](name, _item(value))


def body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked parameters in the fixed order, those not given left out, ``extra_body`` merged at the end."""
    out = {name: values[name] for name in ORDER if values.get(name) is not None}
    return out | (values.get("extra_body") or {})


def _item(value: Any) -> Any:
    if isinstance(value, (np.float16, np.float32)):
        return float(str(value))  # 32 bits' 0.1 is the 0.1 that was meant, and one request with it
    shape = getattr(value, "shape", None)
    return value.item() if shape == () and hasattr(value, "item") else value


def _number(name: str, value: Any) -> float:
    low, high = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParameterError(f"{name} must be a number from {low:g} to {high:g}, got {quoted(value)}")
    if not low <= value <= high:  # false for NaN, too
        raise ParameterError(f"{name} must be from {low:g} to {high:g}, got {value}")
    return float(value) + 0.0  # -0.0 and 0.0 are one request


def _integer(name: str, value: Any) -> int:
    least = 1 if name == "max_tokens" else 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(f"{name} must be a whole number of at least {least}, got {quoted(value)}")
    if not least <= value < 2**63:
        raise ParameterError(f"{name} must be at least {least}, got {value}")
    return value


def _model(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(f"{name} must be a model's name such as 'deepseek-chat', got {quoted(value)}")
    return _text(name, value.strip())


def _stop(name: str, value: Any) -> str | list[str]:
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else None
    if not items or not all(isinstance(item, str) and item for item in items):
        raise ParameterError(f"{name} must be a text or a list of texts, none of them empty, got {quoted(value)}")
    if len(items) > 4:
        raise ParameterError(f"{name} takes at most 4 texts, got {len(items)}")
    return _text(name, value) if isinstance(value, str) else [_text(name, item) for item in items]


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"{name} has half a surrogate pair at position {error.start}, which no JSON can carry") from None
    return str(value)


def _extra(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f'{name} must be a dict such as {{"seed": 7}}, got {quoted(value)}')
    for key in value:
        if key in RESERVED:
            raise ParameterError(_reserved(str(key)))
    try:
        out: dict[str, Any] = plain(name, value)
        orjson.dumps(out)
    except (TypeError, RecursionError) as error:
        raise ParameterError(f"{name} can't be written as JSON: {error}") from None
    return out


def _reserved(key: str) -> str:
    if key in ORDER:
        return f"extra_body has {key!r}, which is an argument of its own: give {key}=..."
    if key == "messages":
        return "extra_body has 'messages': give prompt= or messages= in its place"
    return f"extra_body has {key!r}, which is not for frames: a row takes one whole answer"


def plain(where: str, value: Any) -> Any:
    """Return a value made of plain JSON types, mappings sorted by key, all the way down.

    Raises
    ------
    ParameterError
        If it holds NaN, infinity, a key that isn't text, or a type that JSON doesn't have.
    """
    value = _item(value)
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise ParameterError(f"{where} has the key {quoted(bad[0])}: keys must be texts")
        return {_text(where, key): plain(f"{where}[{key!r}]", value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(f"{where}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{where} is {value}, which JSON can't carry")
    if isinstance(value, str):
        return _text(where, value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ParameterError(f"{where} is a {type(value).__name__}, which JSON can't carry: got {quoted(value)}")


_CHECKS = dict.fromkeys(RANGES, _number) | {
    "model": _model, "max_tokens": _integer, "repeat": _integer, "stop": _stop, "extra_body": _extra,
}  # fmt: skip
