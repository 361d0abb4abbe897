"""The tokens of an answer, wherever and however a service writes them; what it doesn't say is unknown, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .tables import CACHED, COMPLETION, PROMPT, USAGE

ABSURD = 2**40


class Usage(NamedTuple):
    """Tokens of one answer as the service counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's tokens those that the provider had cached: cheaper with most."""


def find_usage(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the usage of an answer or of a chunk, unread.

    Examples
    --------
    >>> find_usage({"x_groq": {"usage": {"total_tokens": 5}}})
    {'total_tokens': 5}
    """
    found = (at(data, path) for path in USAGE)
    return next((usage for usage in found if type(usage) is dict and usage), None)


def read_usage(value: Any, *, has_text: bool = False) -> Usage:
    """Return the counts of a usage.

    A prompt has at least one token, and so has a text: zeros there come from a server that doesn't count.

    Examples
    --------
    >>> read_usage({"prompt_tokens": "9", "total_tokens": 12.0})
    Usage(prompt_tokens=9, completion_tokens=3, total_tokens=12, cached_tokens=None)
    """
    if type(value) is not dict:
        return Usage()
    prompt, completion, total = _first(value, PROMPT), _first(value, COMPLETION), count(value.get("total_tokens"))
    if not prompt:
        return Usage(None, completion or None, None)
    if total is not None and total >= prompt and all(value.get(name) is None for name in COMPLETION):
        completion = total - prompt
    if not completion and has_text:
        return Usage(prompt, None, None, _cached(value, prompt))
    if completion is not None and not total:
        total = prompt + completion
    return Usage(prompt, completion, total, _cached(value, prompt))


def counted(value: Any) -> bool:
    """Return whether a usage has a count above 0, so that its request was billed."""
    return type(value) is dict and any(count(value.get(name)) for name in (*PROMPT, *COMPLETION, "total_tokens"))


def count(value: Any) -> int | None:
    """Return a count, also where it is written as ``100.0`` or ``"100"``; an absurd one is none.

    Examples
    --------
    >>> count("100"), count(100.0), count(True), count(-1)
    (100, 100, None, None)
    """
    written = type(value) is str and value.isascii() and value.isdigit() and len(value) < 16
    if written or (type(value) is float and value.is_integer()):
        value = int(value)
    return value if type(value) is int and 0 <= value < ABSURD else None


def at(value: Any, path: Iterable[str | int]) -> Any:
    """Return what stands at a path into parsed JSON, None where nothing does."""
    for step in path:
        if type(value) is dict:
            value = value.get(step)
        elif type(value) is list and type(step) is int and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _first(usage: dict[str, Any], names: Iterable[str]) -> int | None:
    return next((found for name in names if (found := count(usage.get(name))) is not None), None)


def _cached(usage: dict[str, Any], prompt: int) -> int | None:
    """Return how much of a prompt was cached; more than all of it can't be, it would make a price negative."""
    found = [cached for path in CACHED if (cached := count(at(usage, path))) is not None and cached <= prompt]
    return next(filter(None, found), found[0] if found else None)
