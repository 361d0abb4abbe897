"""The tokens of an answer, wherever and however a service writes them; what it doesn't say is unknown, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .response_tables import BESIDE_PROMPT, CACHED, COMPLETION, PROMPT, THOUGHTS, TOTAL, USAGE, plain

ABSURD = 2**40
_PROMPT, _COMPLETION, _TOTAL, _THOUGHTS = (tuple(map(plain, table)) for table in (PROMPT, COMPLETION, TOTAL, THOUGHTS))
_CACHED = tuple(tuple(map(plain, path)) for path in CACHED)
_BESIDE, _ANTHROPIC = tuple(map(plain, BESIDE_PROMPT)), plain("input_tokens")
_OLLAMA = ("prompt_eval_count", "eval_count")  # which stand beside the answer, not in a usage


class Usage(NamedTuple):
    """Tokens of one answer as the service counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's tokens those that the provider had cached: cheaper with most."""


def find_usage(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the usage of an answer or of a chunk, unread.

    >>> find_usage({"x_groq": {"usage": {"total_tokens": 5}}}), find_usage({"done": True, "eval_count": 5})
    ({'total_tokens': 5}, {'eval_count': 5})
    """
    found = [usage for path in USAGE if path[0] in data and type(usage := at(data, path)) is dict and usage]
    if found:
        return found[0] if len(found) == 1 else next(filter(counted, found), found[0])
    return {name: data[name] for name in _OLLAMA if data.get(name) is not None} or None


def merge_usage(known: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Merge a usage with that of a later chunk: some services count the prompt first and the completion last.

    A later count replaces an earlier one, but a later 0 says nothing.

    >>> merge_usage({"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}, {"input_tokens": 0, "output_tokens": 7})
    {'input_tokens': 9, 'output_tokens': 7}
    """
    if known is None or not counted(known):
        return more
    said = {name: value for name, value in more.items() if count(value) or type(value) is dict}
    counts = {plain(name) for name in said}
    stale = {name for group in (_PROMPT, _COMPLETION, _TOTAL) if not counts.isdisjoint(group) for name in group}
    if not counts.isdisjoint((*_PROMPT, *_COMPLETION)):
        stale.update(_TOTAL)
    return {name: value for name, value in known.items() if plain(name) not in stale} | said


def read_usage(value: Any, *, has_text: bool = False) -> Usage:
    """Return the counts of a usage.

    A prompt has at least one token, and so has a text: zeros there come from a server that doesn't count.

    >>> read_usage({"prompt_tokens": "9", "total_tokens": 12.0})
    Usage(prompt_tokens=9, completion_tokens=3, total_tokens=12, cached_tokens=None)
    >>> read_usage({"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 100})
    Usage(prompt_tokens=109, completion_tokens=3, total_tokens=112, cached_tokens=100)
    """
    if type(value) is not dict:
        return Usage()
    counts = _plain_names(value)
    prompt, completion, total = (_first(map(counts.get, names)) for names in (_PROMPT, _COMPLETION, _TOTAL))
    thought = _first(map(counts.get, _THOUGHTS))
    if thought and _COMPLETION[0] not in counts and total != (prompt or 0) + (completion or 0):
        completion = (completion or 0) + thought
    if not prompt and completion and total:
        prompt = total - completion
    beside = _beside_prompt(counts, prompt or 0, completion, total)
    if (prompt or 0) + beside <= 0:
        return Usage(None, completion or None, None if completion else total or None)
    prompt = (prompt or 0) + beside
    absent = completion is None and all(counts.get(name) is None for name in _COMPLETION)
    if total is not None and total >= prompt and (absent or (has_text and completion == 0)):
        completion = total - prompt
    if not completion and has_text:
        return Usage(prompt, None, None, _cached(counts, prompt))
    if completion is not None and (not total or beside):
        total = max(total or 0, prompt + completion)
    return Usage(prompt, completion, total, _cached(counts, prompt))


def counted(value: Any) -> bool:
    """Return whether a usage has a count above 0, so that its request was billed."""
    return any(_stated_counts(value))


def counts_nothing(value: Any) -> bool:
    """Return whether a usage says that no token was read or written.

    >>> counts_nothing({"prompt_tokens": 0, "completion_tokens": 0}), counts_nothing({}), counts_nothing({"cost": 0})
    (True, False, False)
    """
    stated = _stated_counts(value)
    return bool(stated) and not any(stated)


def _stated_counts(value: Any) -> list[int]:
    """Return the counts of prompt, completion and total that a usage states."""
    names, usage = {*_PROMPT, *_COMPLETION, *_TOTAL}, value if type(value) is dict else {}
    return [number for name, given in usage.items() if plain(name) in names and (number := count(given)) is not None]


def count(value: Any) -> int | None:
    """Return a count, also where it is written as ``100.0`` or ``"100"``; an absurd one is none.

    >>> count("100"), count(100.0), count(True), count(-1)
    (100, 100, None, None)
    """
    written = type(value) is str and value.isascii() and value.isdigit() and len(value) < 16
    if written or (type(value) is float and value.is_integer()):
        value = int(value)
    return value if type(value) is int and 0 <= value < ABSURD else None


def at(value: Any, path: Iterable[str | int]) -> Any:
    """Return the value at a path into parsed JSON, or None."""
    for step in path:
        if type(value) is dict:
            value = value.get(step)
        elif type(value) is list and type(step) is int and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _plain_names(value: Any, levels: int = 2) -> Any:
    """Return a usage, and the objects in it, under names without case and punctuation."""
    if type(value) is not dict or not levels:
        return value
    return {plain(name): _plain_names(inner, levels - 1) for name, inner in value.items()}


def _first(values: Iterable[Any], most: int = ABSURD) -> int | None:
    """Return the first count among some values, one above 0 where there is one."""
    found = [number for value in values if (number := count(value)) is not None and number <= most]
    return next(filter(None, found), found[0] if found else None)


def _beside_prompt(counts: dict[str, Any], prompt: int, completion: int | None, total: int | None) -> int:
    """Return the tokens that were cached and are not in the count of the prompt, as Anthropic counts.

    It is certain where the total is the sum of all, or where more was cached than there is prompt. Where no total is
    given, the names decide.
    """
    beside = sum(count(counts.get(name)) or 0 for name in _BESIDE)
    if not beside or total == prompt + (completion or 0) + beside or beside > prompt:
        return beside
    return beside if total is None and _ANTHROPIC in counts and not count(counts.get(_PROMPT[0])) else 0


def _cached(counts: dict[str, Any], prompt: int) -> int | None:
    """Return how much of a prompt was cached; more than all of it can't be, it would make a price negative."""
    return _first((at(counts, path) for path in _CACHED), prompt)
