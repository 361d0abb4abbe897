"""Answers as they are read: a fast path for well-formed ones, a tolerant one for the dialects of services."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from ..errors import RowError
from .dialects.errors import EmptyAnswer, ErrorAnswer, ServiceError, error_of, holds_error, is_error, read_error
from .dialects.message import read_message
from .dialects.response_adapters import as_completion, finish_reason
from .dialects.response_tables import ending, ends_an_answer
from .dialects.usage import ABSURD, Usage, counted, counts_nothing, find_usage, read_usage
from .serialization import Unreadable, dumps_any, load
from .streaming.stream_parser import BOM_AND_BLANKS, StreamedReply, has_lines

_PAGE = 4000  # bytes: longer pages are not errors, whatever words they have
_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Completion(NamedTuple):
    """One parsed answer. Flat, since a million of them are made at once."""

    content: str | None
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning: str | None = None
    logprobs: Any = None
    refusal: str | None = None
    tool_calls: Any = None

    @property
    def usage(self) -> Usage:
        """The tokens that the service counted."""
        return Usage(self.prompt_tokens, self.completion_tokens, self.total_tokens, self.cached_tokens)


_completion = partial(tuple.__new__, Completion)  # a NamedTuple's own constructor takes twice as long
_Count = Annotated[int, msgspec.Meta(ge=1, lt=ABSURD)]


# The fast path: well-formed answers, and only the fields that are kept. A field that is typed None, and a word or a count
# that isn't allowed here, sends an answer to the tolerant path. These structs form no reference cycles, so gc=False.


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: None = None
    input_tokens_details: None = None
    num_cached_tokens: None = None
    cache_read_input_tokens: None = None
    cache_creation_input_tokens: None = None
    cached_content_token_count: None = None


class _Message(msgspec.Struct, gc=False):
    content: str
    role: Literal["assistant"] | None = None
    error: None = None
    reasoning_content: str | None = None
    reasoning: None = None
    thinking: None = None
    reasoning_details: None = None
    thinking_blocks: None = None
    reasoning_text: None = None
    refusal: None = None
    tool_calls: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    native_finish_reason: None = None
    error: None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage
    model: str
    error: None = None
    base_resp: None = None
    success: None = None
    status: None = None
    status_code: None = None
    code: None = None


_decode_usual = msgspec.json.Decoder(_Answer).decode


def decode(body: bytes) -> Completion:
    """Read the body of a 200.

    Raises
    ------
    ErrorAnswer
        If it holds an error of the service, also beside a part of an answer.
    EmptyAnswer
        If it has no text, and no finish_reason that may end an answer without one, or a usage without a token.
    Unreadable
        If it is not JSON, or not a chat completion.

    >>> decode(b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}').content
    'Hi'
    """
    try:
        answer = _decode_usual(body)
        choice = answer.choices[0]
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):  # msgspec's are ValueErrors from 0.21 on
        return decode_tolerantly(_load(body))
    usage, message = answer.usage, choice.message
    prompt, cached = usage.prompt_tokens, usage.prompt_cache_hit_tokens
    if (details := usage.prompt_tokens_details) is not None and (details.cached_tokens or cached is None):
        cached = details.cached_tokens
    if cached is not None and not 0 <= cached <= prompt:
        return decode_tolerantly(load(body))
    return _completion((
        message.content, choice.finish_reason, answer.model, prompt, usage.completion_tokens, usage.total_tokens, cached,
        message.reasoning_content, None, None, None,
    ))  # fmt: skip


def decode_tolerantly(data: Any) -> Completion:
    """Read an answer of which nothing is taken for granted."""
    if type(data) is list and len(data) == 1:
        data = data[0]
    if type(data) is not dict:
        raise Unreadable("the answer is JSON but not a chat completion")
    data = as_completion(data)
    usage, choices = find_usage(data), data.get("choices")
    first = choices[0] if type(choices) is list and choices else None
    choice = first if type(first) is dict else {}
    found, reason = _message(choice), _reason(choice)
    message = read_message(found or {})
    content, has_text = message.content, bool(message.content or message.reasoning)
    if error := _error(data, choice, found or {}, reason):
        raise ErrorAnswer(
            error, read_usage(usage), "yes" if counted(usage) else "unknown" if has_text and usage is None else "no"
        )
    counts = read_usage(usage, has_text=has_text)
    if type(choices) is not list and ("choices" not in data or choices is not None or counts.total_tokens is None):
        raise Unreadable("the answer is JSON but not a chat completion")
    if found is None and reason is None and (choices or counts.total_tokens is None):
        raise Unreadable("the answer has no message" if choices else "the answer has neither choices nor usage")
    made_nothing = not has_text and counts_nothing(usage)
    given = content or message.refusal or message.tool_calls
    if choice and not given and (made_nothing or not ends_an_answer(reason)):
        words = f"the answer has no text (finish_reason {reason or 'not given'}{', and no tokens' if made_nothing else ''})"
        raise EmptyAnswer(words, counts, "yes" if counted(usage) else "no" if made_nothing else "unknown")
    if not content and (given or ending(reason) == "filtered"):
        content = None
    model = data.get("model")
    return _completion((
        content, reason, model if type(model) is str and model else None, *counts, message.reasoning, choice.get("logprobs"),
        message.refusal, message.tool_calls,
    ))  # fmt: skip


def _message(choice: dict[str, Any]) -> dict[str, Any] | None:
    """Return the message of a choice, which some servers call a delta, or give as a bare text."""
    for name in ("message", "delta"):
        if type(found := choice.get(name)) is dict:
            return found
    text = next((choice[name] for name in ("message", "text") if type(choice.get(name)) is str), None)
    return None if text is None else {"content": text}


def _reason(choice: dict[str, Any]) -> str | None:
    """Return the finish_reason of a choice: the provider's own where only that names a bad end."""
    reason, native = finish_reason(choice), choice.get("native_finish_reason")
    return native if type(native) is str and ending(native) and not ending(reason) else reason


def _error(data: dict[str, Any], choice: dict[str, Any], message: dict[str, Any], reason: str | None) -> ServiceError | None:
    """Return the error in an answer, wherever it stands."""
    if holds_error(data):
        return read_error({name: value for name, value in data.items() if name not in ("choices", "usage", "object", "model")})
    for error in (choice.get("error"), message.get("error")):
        if is_error(error):
            return read_error({"error": error})
    if message.get("role") == "error":
        return ServiceError(str(message.get("content")))
    if ending(reason) == "failed":
        return ServiceError(f"the service ended the answer with finish_reason {reason!r}", (str(reason),))
    return None


def _load(body: bytes) -> Any:
    """Parse the body of an answer; one that is sent as a stream, though none was asked for, is put together."""
    if not body[:64].lstrip(BOM_AND_BLANKS).startswith(_STREAM_STARTS):
        try:
            return load(body)
        except Unreadable:
            if not has_lines(body):
                if (error := _error_page(body)) is not None:
                    raise ErrorAnswer(error, Usage(), "no") from None
                raise
    reply = StreamedReply()
    reply.feed(body)
    reply.close()
    if reply.error is None and not reply.whole:
        raise Unreadable(reply.problem or "the event stream ended before the answer did")
    return load(reply.body)


def _error_page(body: bytes) -> ServiceError | None:
    """Return the error that a short text or page describes in place of an answer; None where it describes none."""
    if len(body) > _PAGE or body.lstrip(BOM_AND_BLANKS)[:1] in (b"{", b"[", b'"'):
        return None
    error = error_of(body)
    return error if error.worded else None


def content_error(completion: Completion) -> RowError | None:
    """Return why an answer that can be read has no content, or None where it has; an empty text is content."""
    if completion.content is not None:
        return None
    if completion.refusal:
        return RowError("filtered", f"the model refused: {completion.refusal}")
    if completion.tool_calls:
        calls = dumps_any(completion.tool_calls).decode()
        return RowError("empty", f"the answer has no text but tool calls, which include=['tool_calls'] gives: {calls[:300]}")
    if ending(completion.finish_reason) == "filtered":
        return RowError("filtered", "the service's content filter withheld the answer")
    return RowError("empty", f"the answer has no text (finish_reason {completion.finish_reason or 'not given'})")
