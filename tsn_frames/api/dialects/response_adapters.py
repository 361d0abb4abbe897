"""Answers that are chat completions in another shape: inside of a field, or as Ollama's own API writes them."""

from __future__ import annotations

from typing import Any

from .response_tables import WRAPPED


def as_completion(data: dict[str, Any], *, part: str = "message") -> dict[str, Any]:
    """Return an answer or a chunk in the shape of the API, or as it is where it has that shape, or none that is known.

    ``part`` holds the text: ``message`` in an answer, ``delta`` in a chunk.

    >>> as_completion({"message": {"content": "Hi"}, "done": True})["choices"]
    [{'message': {'content': 'Hi'}, 'finish_reason': 'stop'}]
    """
    if data.get("choices") is not None:
        return data
    for name in WRAPPED:
        if type(inner := data.get(name)) is dict and type(inner.get("choices")) is list:
            return {outer: value for outer, value in data.items() if outer != name} | inner
    if type(data.get("message")) is dict and type(data.get("done")) is bool:
        reason = data.get("done_reason") or "stop"
        return data | {"choices": [{part: data["message"], "finish_reason": reason if data["done"] else None}]}
    return data


def finish_reason(choice: dict[str, Any]) -> str | None:
    """Return the finish_reason of a choice, which some services write as an object or in camel case.

    >>> finish_reason({"finish_reason": {"type": "length", "length": 20}}), finish_reason({"finishReason": "STOP"})
    ('length', 'STOP')
    """
    reason = choice.get("finish_reason")
    if reason is None:
        reason = choice.get("finishReason")
    if type(reason) is dict:
        reason = reason.get("type")
    return reason if type(reason) is str and reason else None
