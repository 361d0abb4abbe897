"""Message lists as the API has them, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import PromptError, quoted
from ..parameters import plain

ROLES = ("system", "user", "assistant", "developer", "tool")


def checked(given: Any, where: str) -> list[dict[str, Any]]:
    """Return a message list made of plain values, role and content first.

    Raises
    ------
    PromptError
        If it is no list, is empty, or one of its messages lacks a known role or any content.

    Examples
    --------
    >>> checked(({"content": "Hi", "role": "user"},), "messages")
    [{'role': 'user', 'content': 'Hi'}]
    """
    if isinstance(given, str):
        raise PromptError(f"{where} are a text; parse it first: df['messages'] = df['messages'].map(json.loads)")
    if not isinstance(given, (Sequence, np.ndarray)) or len(given) == 0:
        raise PromptError(f"{where} must be a list with at least one message, got {quoted(given)}")
    return [_message(message, f"{where}, message {number},") for number, message in enumerate(given)]


def has_system(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a list begins with a system message."""
    return messages[0]["role"] == "system"


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be a dict such as {{'role': 'user', 'content': '...'}}, got {quoted(message)}")
    if message.get("role") not in ROLES:
        raise PromptError(f"{where} has the role {quoted(message.get('role'))}; the roles are {', '.join(ROLES)}")
    if message.get("content") is None and not message.get("tool_calls"):
        raise PromptError(f"{where} has no content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    return plain(where, {"role": message["role"]}) | plain(where, {"content": message.get("content")}) | plain(where, rest)
