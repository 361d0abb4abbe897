"""Options of a function as a ``TypedDict``: the names, types and defaults are declared once and checked at each call.

The function is declared with ``**options: Unpack[Options]``, which type checkers understand. :func:`spelled_out` gives it the
signature that ``help()``, Tab and Shift+Tab show.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, ForwardRef, TypeVar, cast

from .errors import ArgumentError
from .notebook.readable_signatures import ReadableType, readable, readable_type
from .text import did_you_mean, nearest

F = TypeVar("F", bound=Callable[..., Any])
_UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
REPLACED = {
    "background": "tsn.start(verb, ...) returns a Run, such as tsn.start(df.tsn.complete, ...); df.tsn.start(...) is short for it",
    "dry_run": "tsn.estimate(verb, ...) returns an Estimate, such as tsn.estimate(df.tsn.complete, ...); "
    "df.tsn.estimate(...) is short for it",
    "rehearse": "tsn.simulate() starts a service on this machine that answers for free, and calls go to it until its .close()",
}


def spelled_out(options: Any, defaults: Mapping[str, Any] = MappingProxyType({}), *, per_row: bool = True) -> Callable[[F], F]:
    """Return a decorator that puts the keys of a ``TypedDict`` into a function's signature, in place of its ``**options``.

    With ``per_row=False`` the types lose what gives each row a value of its own, a Series or a callable.

    Examples
    --------
    >>> from typing import TypedDict, Unpack
    >>> Options = TypedDict("Options", {"usage": "bool", "tag": "str | None"}, total=False)
    >>> @spelled_out(Options, {"usage": True})
    ... def verb(df, **options: Unpack[Options]): ...
    >>> inspect.signature(verb)
    <Signature (df, *, usage: bool = True, tag: str | None = None)>
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(readable(function))
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        listed = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=_text(kind, options.__module__, per_row=per_row),
            )
            for name, kind in options.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
        return function

    return decorate


def check_call(function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Raise where a function can't be called like this by its signature."""
    check_names(function, kwargs)
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(
            f"{_name(function)}(): {error}; its parameters: {', '.join(_parameter_names(function)[:8])}, ..."
        ) from None


def check_names(function: Callable[..., Any], given: Iterable[str]) -> None:
    """Raise where a function is given a name that its signature doesn't have."""
    known = _parameter_names(function)
    for name in given:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close!r}?" if close else f"{did_you_mean(name, known, most=40)}."
            fields = " Other fields of a request go into extra_body=" if "extra_body" in known else ""
            raise ArgumentError(f"{_name(function)}() has no parameter {name!r}; {REPLACED.get(name, hint + fields)}")


def _name(function: Callable[..., Any]) -> str:
    return function.__qualname__.removesuffix(".__init__").rpartition(".")[2]


def checked(function: F) -> F:
    """Return a function that explains a call which its signature doesn't allow."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        check_call(function, args, kwargs)
        return function(*args, **kwargs)

    return cast("F", call)


def with_self(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature of a verb as that of a method: ``self`` stands in place of the frame."""
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[own, *list(signature.parameters.values())[1:]])


@cache
def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(one.name for one in parameters if one.name not in ("df", "self") and one.kind not in _UNNAMED)


def _text(kind: Any, module: str, *, per_row: bool) -> Any:
    """Return the readable type of an option, by the names of the module that declares it."""
    if not isinstance(kind, ForwardRef):
        return kind
    names = vars(sys.modules[kind.__forward_module__ or module])
    text = readable_type(kind.__forward_arg__, names)
    return text if per_row else ReadableType(text.replace(" | Series | callable", ""))
