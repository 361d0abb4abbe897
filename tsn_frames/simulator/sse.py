"""Server-sent events of an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .http_responses import dump
from .text_generator import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .answers import Answer, Choice
    from .validation import Json

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
_PING_EVERY = 8


@dataclass(frozen=True, slots=True)
class Event:
    """Some bytes of a stream and the completion tokens that they carry."""

    data: bytes
    tokens: int = 0


def data_line(payload: object) -> bytes:
    """Write one event."""
    return b"data: " + dump(payload) + b"\n\n"


def events(answer: Answer, identity: Json, include_usage: bool) -> Iterator[Event]:
    """Return the events of a stream: each choice in turn, usage if asked for, then the end mark."""
    frame: Json = {**identity, "object": "chat.completion.chunk"}
    if include_usage:
        frame["usage"] = None
    yield Event(PING)
    for index, choice in enumerate(answer.choices):
        yield from _choice_events(frame, index, choice)
    if include_usage and answer.usage is not None:
        yield Event(data_line({**frame, "choices": [], "usage": answer.usage}))
    yield Event(DONE)


def _choice_events(frame: Json, index: int, choice: Choice) -> Iterator[Event]:
    def chunk(delta: Json, finish: str | None = None, logprobs: Json | None = None) -> bytes:
        part: Json = {"index": index, "delta": delta, "finish_reason": finish}
        if logprobs is not None:
            part["logprobs"] = {"content": [logprobs], "refusal": None}
        return data_line({**frame, "choices": [part]})

    yield Event(chunk({"role": "assistant", "content": "" if choice.content is not None else None}))
    for piece, tokens in _paid_pieces(choice.reasoning):
        yield Event(chunk({"reasoning_content": piece}), tokens)
    for place, (piece, tokens) in enumerate(_paid_pieces(choice.content or "")):
        logprobs = choice.logprobs[place] if choice.logprobs else None
        ping = PING if place % _PING_EVERY == _PING_EVERY - 1 else b""
        yield Event(ping + chunk({"content": piece}, None, logprobs), tokens)
    yield Event(chunk({}, choice.finish))


def _paid_pieces(text: str) -> Iterator[tuple[str, int]]:
    """Return the pieces of a text with their tokens, which sum up to the tokens of the whole."""
    size = 0
    for piece in pieces(text):
        before = (size + 3) // 4
        size += len(piece.encode())
        yield piece, (size + 3) // 4 - before


def rewritten(made: list[Event], change: Callable[[list[Json]], list[Json]]) -> list[Event]:
    """Rewrite the chunks of a stream in another dialect, which may leave out the last of them."""
    chunks = [event for event in made if b"data: {" in event.data]
    payloads = change([json.loads(event.data[event.data.index(b"data: ") + 6 :]) for event in chunks])
    tokens = [event.tokens for event in chunks]
    return [Event(PING), *(Event(data_line(payload), paid) for payload, paid in zip(payloads, tokens, strict=False)), Event(DONE)]


def framed(data: bytes) -> bytes:
    """Write one chunk of HTTP's chunked framing."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
