"""Signatures as ``help()`` and Shift+Tab show them: types without quotes, aliases by what may be written for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

F = TypeVar("F", bound=Callable[..., Any])
_ALIASES = {
    "PerRow": "Series | callable",
    "Prompt": "str | callable",
    "Column": "Series",
    "Callable": "callable",
    "FrameT": "DataFrame",
}


class ReadableType(str):
    """The text of a type, which a signature shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def readable(function: F) -> F:
    """Give a function a signature with readable types."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    function.__signature__ = readable_signature(inspect.signature(function), names)  # type: ignore[attr-defined]
    return function


def readable_signature(signature: inspect.Signature, names: Mapping[str, Any]) -> inspect.Signature:
    """Return a signature with readable types; ``names`` are those of the module that wrote the types."""
    parameters = [one.replace(annotation=readable_type(one.annotation, names)) for one in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=readable_type(signature.return_annotation, names))


def readable_type(annotation: Any, names: Mapping[str, Any]) -> Any:
    """Return the text of a type with its aliases spelled out; what is not text stays as it is.

    >>> readable_type("pd.Series | PerRow | None", {})
    Series | callable | None
    >>> readable_type("Mode | pd.Series | Mapping[str, Any] | None", {"Mode": Literal["use", "off"]})
    'use' | 'off' | Series | dict | None
    """
    if not isinstance(annotation, str) or isinstance(annotation, ReadableType):
        return annotation
    text, before = annotation.replace("pd.", ""), ""
    while text != before:
        before, text = text, re.sub(r"\bMapping\[[^\[\]]*\]", "dict", text)
    text = re.sub(r"\bCallable\[(\[[^\[\]]*\]|\.\.\.), \w+\]", "callable", text)
    spelled = re.sub(r"\b[A-Z]\w*", lambda found: _spelled(found[0], names), text)
    return ReadableType(spelled if "[" in spelled else " | ".join(dict.fromkeys(spelled.split(" | "))))


def _spelled(name: str, names: Mapping[str, Any]) -> str:
    return _ALIASES.get(name) or _choices(names.get(name)) or name


def _choices(kind: Any) -> str:
    """Return the words of a ``Literal``, also in a union; an empty text for any other type."""
    if get_origin(kind) is Literal:
        return " | ".join(map(repr, get_args(kind)))
    if get_origin(kind) in (Union, UnionType) and any(map(_choices, get_args(kind))):
        return " | ".join(_choices(one) or _name(one) for one in get_args(kind))
    return ""


def _name(kind: Any) -> str:
    name: str = getattr(get_origin(kind) or kind, "__name__", str(kind))
    return "dict" if name == "Mapping" else name
