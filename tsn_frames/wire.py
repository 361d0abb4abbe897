"""The shape of the API's JSON: requests as they are sent and keyed, answers as they are read.

Nothing else in the package knows this shape. A request's body is written once, in one fixed field order with
``messages`` last: the part before it is the same for many rows, so it is serialised and hashed once and shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson

from .errors import TSNError

ABSURD = 2**40
BOM = b"\xef\xbb\xbf"


class Request(NamedTuple):
    """One chat completion to ask for: its key, and its body in two parts."""

    key: bytes
    head: bytes
    messages: bytes
    model: str
    max_tokens: int | None = None

    @property
    def body(self) -> bytes:
        """The JSON that is sent."""
        return self.head + self.messages + b"}"


class Shape(NamedTuple):
    """What many requests have in common: their body up to what differs, and what is read off it."""

    head: bytes
    model: str
    max_tokens: int | None = None


class Requests:
    """Distinct requests, kept as lists: each is made when it is to be sent, since most of a million may be cached.

    Parameters
    ----------
    index : dict of bytes to int
        The key of each request and its position, in order.
    tails : sequence of bytes
        What each adds to the head of its shape.
    shapes : sequence of Shape
        The few shapes there are.
    numbers : sequence of int
        The shape of each; empty where all have the only one.
    """

    def __init__(
        self, index: dict[bytes, int], tails: Sequence[bytes], shapes: Sequence[Shape], numbers: Sequence[int] = ()
    ) -> None:
        self.index, self._tails, self._shapes, self._numbers = index, tails, shapes, numbers

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, at: int) -> Request:
        head, model, most = self._shapes[self._numbers[at] if self._numbers else 0]
        return Request(self.keys[at], head, self._tails[at], model, most)

    def __iter__(self) -> Iterator[Request]:
        return map(self.__getitem__, range(len(self)))

    def some(self, positions: Sequence[int]) -> Requests:
        """Return those at some positions, in that order."""
        keys, numbers = self.keys, self._numbers
        tails = [self._tails[at] for at in positions]
        index = {keys[at]: number for number, at in enumerate(positions)}
        return Requests(index, tails, self._shapes, [numbers[at] for at in positions] if numbers else ())

    @cached_property
    def keys(self) -> list[bytes]:
        """The key of each request."""
        return list(self.index)

    @property
    def models(self) -> list[str]:
        """The model of each request."""
        names = [shape.model for shape in self._shapes]
        return [names[number] for number in self._numbers] if self._numbers else names * len(self)


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


class Unreadable(TSNError):
    """A 200 whose body is no chat completion."""


dumps: Callable[[Any], bytes] = orjson.dumps  # the one serialiser of bodies and keys, for ever


def body_head(parameters: Mapping[str, Any]) -> bytes:
    """Return the body up to and including ``"messages":`` for parameters that are checked and in order.

    Examples
    --------
    >>> body_head({"model": "m", "temperature": 0.0})
    b'{"model":"m","temperature":0.0,"messages":'
    """
    return dumps(dict(parameters))[:-1] + (b"," if parameters else b"") + b'"messages":'


def messages_around(system: str | None) -> tuple[bytes, bytes]:
    """Return what stands before and after the user's text in a serialised message list."""
    first = b'{"role":"system","content":' + dumps(system) + b"}," if system is not None else b""
    return b"[" + first + b'{"role":"user","content":', b"}]"


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


def load(body: bytes) -> Any:
    """Parse JSON, with what some servers write and JSON forbids: lone surrogates and NaN.

    Raises
    ------
    Unreadable
        If it is not JSON.
    """
    try:
        return orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        pass
    try:  # lone surrogates and NaN, which some servers write, are no reason to lose a paid answer
        return _valid(json.loads(body.removeprefix(BOM).decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise Unreadable(f"the answer is not JSON ({len(body):,} bytes)") from None


def _error_message(data: Any) -> str:
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f"the answer is an error: {message}" if message else ""


def _valid(value: Any) -> Any:
    """Return a parsed value with U+FFFD for each half of a surrogate pair, which no column can hold."""
    if type(value) is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is list:
        return [_valid(item) for item in value]
    if type(value) is dict:
        return {_valid(key): _valid(item) for key, item in value.items()}
    return value


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
