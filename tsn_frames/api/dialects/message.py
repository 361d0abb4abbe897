"""The message of an answer: its text, its reasoning, its refusal and its tool calls, in whatever form a service has them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..serialization import dumps_any
from .response_tables import REASONING

_THINKING = ("thinking", "reasoning", "reasoning.text", "reasoning.summary")


class Message(NamedTuple):
    """The parts of a message or a delta; None for a part that it doesn't have."""

    content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None


def read_message(message: dict[str, Any]) -> Message:
    """Return the parts of a message or a delta.

    >>> read_message({"content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "4"}]})
    Message(content='4', reasoning='Hm', refusal=None, tool_calls=None)
    """
    content, thought, refused = _content(message.get("content"))
    reasoning = next(filter(None, (_text(message.get(name)) for name in REASONING)), None) or thought
    refusal, calls = message.get("refusal"), message.get("tool_calls")
    if type(refusal) is not str or not refusal:
        refusal = refused
    if not calls and type(call := message.get("function_call")) is dict and call:
        calls = [{"type": "function", "function": call}]
    calls = [calls] if type(calls) is dict and calls else calls
    return Message(content, reasoning, refusal, calls if type(calls) is list and calls else None)


def _content(content: Any) -> tuple[str | None, str | None, str | None]:
    """Return text, reasoning and refusal of a content; an object or a number, as some servers' JSON modes send it, is its JSON."""
    if type(content) is str or content is None:
        return content, None, None
    if type(content) is not list:
        return dumps_any(content).decode(), None, None
    parts = [part if type(part) is dict else {"text": part} for part in content]
    said = [text for part in parts if part.get("type") not in _THINKING and (text := _part_text(part.get("text")))]
    thought = "".join(filter(None, map(_text, (part for part in parts if part.get("type") in _THINKING))))
    refused = "".join(part["refusal"] for part in parts if type(part.get("refusal")) is str)
    return "".join(said), thought or None, refused or None


def _part_text(text: Any) -> str | None:
    """Return the text of a part of a content, which may be an object with a value."""
    text = text.get("value") if type(text) is dict else text
    return text if type(text) is str else None


def _text(value: Any, depth: int = 0) -> str | None:
    """Return the text of a reasoning, which may be a text, an object, or a list of either."""
    if type(value) is str:
        return value
    if type(value) is list and depth < 4:
        return "".join(filter(None, (_text(part, depth + 1) for part in value))) or None
    if type(value) is dict and depth < 4:
        found = (
            _text(value.get(name), depth + 1) for name in ("text", "thinking", "summary", "content", "reasoning", "reasoningText")
        )
        return next(filter(None, found), None)
    return None
