"""Answers as they are read: fast where they are what nearly every answer is, carefully where they aren't."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from ..errors import RowError
from .serialization import Unreadable, load

ABSURD = 2**40


class Usage(NamedTuple):
    """Tokens of one answer as the service counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's tokens those that the provider had cached: cheaper with most."""


class Completion(NamedTuple):
    """One answer, read. Flat, since a million of them are made at once."""

    content: str | None
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning: str | None = None
    logprobs: Any = None

    @property
    def usage(self) -> Usage:
        """The tokens that the service counted."""
        return Usage(self.prompt_tokens, self.completion_tokens, self.total_tokens, self.cached_tokens)


_completion = partial(tuple.__new__, Completion)  # a NamedTuple's own way to be made takes twice as long


_Count = Annotated[int, msgspec.Meta(ge=0, lt=ABSURD)]


# What nearly every answer is, and no more of it than is kept: a million are read at once, and a parser that knows the shape
# makes nothing of the rest. What is otherwise is no error; it is read carefully. No rings can be made of these, so gc=False.


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    content: str
    reasoning_content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str
    logprobs: None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage
    model: str


_usual = msgspec.json.Decoder(_Answer).decode


def decode(body: bytes) -> Completion:
    """Read the body of a 200.

    Raises
    ------
    Unreadable
        If it is not JSON, or not a chat completion.

    Examples
    --------
    >>> decode(b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}').content
    'Hi'
    """
    try:
        answer = _usual(body)
        choice = answer.choices[0]
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):  # msgspec's are ValueErrors from 0.21 on
        return _carefully(load(body))
    usage, message = answer.usage, choice.message
    prompt, details = usage.prompt_tokens, usage.prompt_tokens_details
    cached = usage.prompt_cache_hit_tokens if details is None else details.cached_tokens
    if cached is not None and not 0 <= cached <= prompt:
        cached = None
    return _completion((
        message.content,
        choice.finish_reason,
        answer.model,
        prompt,
        usage.completion_tokens,
        usage.total_tokens,
        cached,
        message.reasoning_content,
        None,
    ))  # fmt: skip


def _carefully(data: Any) -> Completion:
    """Read an answer of which nothing is taken for granted."""
    if type(data) is not dict or type(choices := data.get("choices")) is not list:
        raise Unreadable(_error_message(data) or "the answer is JSON but not a chat completion")
    prompt, completion, total, cached = _usage(data.get("usage"))
    choice = choices[0] if choices else {}
    message = choice.get("message") if type(choice) is dict else None
    if type(message) is not dict:
        if choices or total is None:
            raise Unreadable("the answer has no message" if choices else "the answer has neither choices nor usage")
        message = {}
    content, reason, model = message.get("content"), choice.get("finish_reason"), data.get("model")
    reasoning = message.get("reasoning_content")
    return _completion((
        content if type(content) is str else _joined(content),
        reason if type(reason) is str else None,
        model if type(model) is str else None,
        prompt,
        completion,
        total,
        cached,
        reasoning if type(reasoning) is str else None,
        choice.get("logprobs"),
    ))  # fmt: skip


def error_of(body: bytes) -> tuple[str, str]:
    """Return ``(message, code)`` of an error body; empty texts where it says nothing readable."""
    try:
        error = load(body).get("error")
    except (Unreadable, AttributeError):
        return body[:2000].decode("utf-8", "replace"), ""  # it is cut when keys are taken out of it, not before
    if not isinstance(error, dict):
        return str(error or ""), ""
    return str(error.get("message") or ""), str(error.get("code") or error.get("type") or "")


def _error_message(data: Any) -> str:
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f"the answer is an error: {message}" if message else ""


def _joined(content: Any) -> str | None:
    """Return the text of a content in parts; None where there is none."""
    if type(content) is not list:
        return None
    return "".join(part["text"] for part in content if type(part) is dict and type(part.get("text")) is str)


def _usage(value: Any) -> tuple[int | None, int | None, int | None, int | None]:
    if type(value) is not dict:
        return None, None, None, None
    prompt, completion, total = value.get("prompt_tokens"), value.get("completion_tokens"), value.get("total_tokens")
    # An absurd count is no count; a count that is no plain int is none either.
    prompt = prompt if type(prompt) is int and 0 <= prompt < ABSURD else None
    completion = completion if type(completion) is int and 0 <= completion < ABSURD else None
    total = total if type(total) is int and 0 <= total < ABSURD else None
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    return prompt, completion, total, _cached(value, prompt)


def _cached(usage: dict[str, Any], prompt: int | None) -> int | None:
    """Return how much of a prompt was cached; more than all of it can't be, it would make a price negative."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if type(details) is dict else usage.get("prompt_cache_hit_tokens")  # DeepSeek's name
    return cached if type(cached) is int and 0 <= cached <= (prompt or 0) else None


def content_error(completion: Completion) -> RowError | None:
    """Return why an answer that can be read has no content, or None where it has."""
    if completion.content:
        return None
    if completion.finish_reason == "content_filter":
        return RowError("filtered", "the service's content filter withheld the answer")
    return RowError("empty", f"the answer has no text (finish_reason {completion.finish_reason or 'not given'})")
