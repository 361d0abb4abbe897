"""Request parameters: checked against the API's ranges before anything is sent, and converted to plain values."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

import numpy as np
import orjson

from ..errors import ParameterError
from ..text import quoted, warn

if TYPE_CHECKING:
    from pandas.api.typing import Expression

RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}


class Column(Protocol):
    """A Series or an array: a value for each row."""

    @property
    def dtype(self) -> Any:
        """The type of the values."""

    def __len__(self) -> int: ...


# What DataFrame.assign takes for a value in each row.
PerRow: TypeAlias = "Column | Callable[[Any], Any] | Expression"


class SamplingParameters(TypedDict, total=False):
    """How the model answers; what isn't given isn't sent."""

    temperature: float | PerRow | None
    top_p: float | PerRow | None
    max_tokens: int | PerRow | None
    stop: str | Sequence[str] | PerRow | None
    frequency_penalty: float | PerRow | None
    presence_penalty: float | PerRow | None
    response_format: Mapping[str, Any] | PerRow | None
    seed: int | PerRow | None
    extra_body: Mapping[str, Any] | PerRow | None


class _Model(TypedDict, total=False):
    model: str | PerRow | None


class ApiParameters(_Model, SamplingParameters, total=False):
    """Every parameter of a request, as a call takes it: one value for all rows, or a value for each."""


# The order is part of the cache key: it never changes.
ORDER = ("model", "temperature", "top_p", "max_tokens", "stop", "frequency_penalty", "presence_penalty")
# Named parameters that stand among the fields of extra_body, sorted with them: a request has one key, however it is written.
SORTED = ("response_format", "seed")
NAMES = (*ORDER, *SORTED, "extra_body")  # every parameter of the API that a call takes
# What extra_body doesn't take, and why.
RESERVED = {
    **{name: f", which is an argument of its own: give {name}=..." for name in ORDER},
    "messages": ": give prompt= or messages= in its place",
    "stream": ": give stream=True in its place",
    **dict.fromkeys(("stream_options", "n"), ", which is not for frames: a row takes one whole answer"),
}


def check(name: str, value: Any) -> Any:
    """Check one parameter and return it as the plain value that is sent.

    >>> check("temperature", 1)
    1.0
    """
    return _CHECKS[name](name, _item(value))


def body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked parameters in the fixed order, those not given left out, ``extra_body`` merged at the end.

    >>> body({"model": "m", "seed": 7, "extra_body": {"logprobs": True}})
    {'model': 'm', 'logprobs': True, 'seed': 7}
    """
    extra = values.get("extra_body") or {}
    named = {name: values[name] for name in SORTED if values.get(name) is not None}
    if twice := sorted(named.keys() & extra.keys()):
        raise ParameterError(f"extra_body has {twice[0]!r}, which is given as {twice[0]}= too: leave one of them out")
    out = {name: values[name] for name in ORDER if values.get(name) is not None}
    return out | (dict(sorted((extra | named).items())) if named else extra)


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


def _seed(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ParameterError(f"{name} must be a whole number of at most 64 bits, got {quoted(value)}")
    return value


def _format(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ParameterError(f'{name} must be a dict with its "type", such as {{"type": "json_object"}}, got {quoted(value)}')
    schema = value.get("json_schema")
    if value["type"] == "json_schema" and not (isinstance(schema, Mapping) and isinstance(schema.get("name"), str)):
        raise ParameterError(f'{name} of the type "json_schema" needs {{"json_schema": {{"name": ..., "schema": ...}}}}, '
                             f"got {quoted(value)}")  # fmt: skip
    return _json(name, value)


def _model(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(f"{name} must be a model's name such as 'deepseek-chat', got {quoted(value)}")
    if value != (stripped := value.strip()):
        warn(f"{name} {quoted(value)} has blanks around it: {quoted(stripped)} is sent")
    if bad := next((character for character in stripped if unicodedata.category(character) == "Cc"), None):
        raise ParameterError(f"{name} has the control character {bad!r}, which no model's name has, got {quoted(value)}")
    return _text(name, stripped)


def _stop(name: str, value: Any) -> str | list[str]:
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else None
    if not items or not all(isinstance(item, str) and item for item in items):
        raise ParameterError(f"{name} must be a string or a list of strings, none of them empty, got {quoted(value)}")
    return _text(name, value) if isinstance(value, str) else [_text(name, item) for item in items]


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"{name} has a lone surrogate at position {error.start}, which JSON can't hold") from None
    return str(value)


def _extra(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f'{name} must be a dict such as {{"logprobs": True}}, got {quoted(value)}')
    for key in value:
        if key in RESERVED:
            raise ParameterError(f"extra_body has {str(key)!r}{RESERVED[key]}")
    return _json(name, value)


def _json(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping made of plain JSON types."""
    try:
        out: dict[str, Any] = plain(name, value)
        orjson.dumps(out)
    except (TypeError, RecursionError) as error:
        raise ParameterError(f"{name} can't be written as JSON: {error}") from None
    return out


def plain(where: str, value: Any) -> Any:
    """Return a value made of plain JSON types, mappings sorted by key, all the way down."""
    value = _item(value)
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise ParameterError(f"{where} has the key {quoted(bad[0])}: keys must be strings")
        return {_text(where, key): plain(f"{where}[{key!r}]", value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(f"{where}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{where} is {value}, which JSON can't hold")
    if isinstance(value, str):
        return _text(where, value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ParameterError(f"{where} is a {type(value).__name__}, which JSON can't hold: got {quoted(value)}")


_CHECKS = dict.fromkeys(RANGES, _number) | {
    "model": _model, "max_tokens": _integer, "repeat": _integer, "stop": _stop, "response_format": _format, "seed": _seed,
    "extra_body": _extra,
}  # fmt: skip
