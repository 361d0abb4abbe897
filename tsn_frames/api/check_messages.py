"""Message lists in the form of the API, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ParameterError, PromptError
from ..text import quoted
from .parameters import plain

IsGap = Callable[[Any], bool]
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
ROLES = ("system", "user", "assistant", "developer", "tool")


def check_messages(given: Any, where: str, is_gap: IsGap = lambda value: value is None) -> list[dict[str, Any]]:
    """Check a message list and return it as plain values, role and content first.

    ``where`` names them in errors, ``is_gap`` says whether a content is missing.

    >>> check_messages(({"content": "Hi", "role": "user"},), "messages")
    [{'role': 'user', 'content': 'Hi'}]
    """
    if isinstance(given, str):
        raise PromptError(f"{where} are a string; parse it first: json.loads(text), or df['messages'].map(json.loads)")
    if not isinstance(given, (Sequence, np.ndarray)) or len(given) == 0:
        raise PromptError(f"{where} must be a list with at least one message, got {quoted(given)}")
    return [_message(message, f"{where}, message {number},", is_gap) for number, message in enumerate(given)]


def has_system(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a list begins with a system message."""
    return bool(messages[0]["role"] == "system")


def has_late_system(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a list has a system message after its first message."""
    return any(message["role"] == "system" for message in messages[1:])


def count_characters(messages: Sequence[Mapping[str, Any]]) -> int:
    """Count the characters of all texts of a list; images and other parts have none."""
    contents = [message.get("content") or "" for message in messages]
    parts = [[content] if isinstance(content, str) else [part.get("text") or "" for part in content] for content in contents]
    return sum(len(text) for texts in parts for text in texts)


def _message(message: Any, where: str, is_gap: IsGap) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be a dict such as {{'role': 'user', 'content': '...'}}, got {quoted(message)}")
    if not isinstance(message.get("role"), str) or message["role"] not in ROLES:
        raise PromptError(f"{where} has the role {quoted(message.get('role'))}; the roles are {', '.join(ROLES)}")
    content = message.get("content")
    if is_gap(content) and not (message["role"] == "assistant" and any(message.get(name) for name in _INSTEAD_OF_CONTENT)):
        raise PromptError(f"{where} has no content")
    if not is_gap(content) and not isinstance(content, str) and not _is_parts(content):
        raise PromptError(
            f"{where} has the content {quoted(content)}: it must be a string, or a list of parts in the form of the API"
        )
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    try:
        return {"role": str(message["role"]), "content": None if is_gap(content) else plain(where, content), **plain(where, rest)}
    except RecursionError:
        raise ParameterError(f"{where} is nested too deeply") from None


def _is_parts(content: Any) -> bool:
    return (
        isinstance(content, (list, tuple, np.ndarray)) and len(content) > 0 and all(isinstance(part, Mapping) for part in content)
    )
