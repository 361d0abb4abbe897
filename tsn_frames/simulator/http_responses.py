"""Serialise responses: HTTP heads, completions, model lists."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from .answers import ENCODE, Answer, Choice

if TYPE_CHECKING:
    from .validation import Json

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title><body>Sign in to the network.</body></html>"


@lru_cache(maxsize=256)
def _first_lines(status: int, content_type: str) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {content_type}\r\nx-simulated: tsn_frames\r\n"


def head(status: int, content_type: str, length: int | None, extra: str = "", close: bool = False) -> bytes:
    """Write the head of an answer; without a length it is sent in chunks."""
    framing = "transfer-encoding: chunked\r\n" if length is None else f"content-length: {length}\r\n"
    last = "connection: close\r\n\r\n" if close else "\r\n"
    return f"{_first_lines(status, content_type)}{framing}{extra}{last}".encode("latin-1")


def dump(payload: object) -> bytes:
    """Write JSON as UTF-8."""
    return ENCODE(payload).encode()


def completion(answer: Answer, identity: Json) -> bytes:
    """Write the body of a whole answer; `identity` has id, created and model.

    Filled in by hand where the shape never changes: that is quicker than to build dicts for a JSON encoder.
    """
    choices = ",".join([_choice(index, choice) for index, choice in enumerate(answer.choices)])
    usage = "" if answer.usage is None else f',"usage":{ENCODE(answer.usage)}'
    text = (
        f'{{"id":"{identity["id"]}","object":"chat.completion","created":{identity["created"]},'
        f'"model":{encode_basestring(identity["model"])},"choices":[{choices}]{usage}}}'
    )
    return text.encode()


def _choice(index: int, choice: Choice) -> str:
    content = "null" if choice.content is None else encode_basestring(choice.content)
    reasoning = f',"reasoning_content":{encode_basestring(choice.reasoning)}' if choice.reasoning else ""
    logprobs = ""
    if choice.logprobs is not None:
        logprobs = f',"logprobs":{{"content":{ENCODE(choice.logprobs)},"refusal":null}}'
    return (
        f'{{"index":{index},"message":{{"role":"assistant","content":{content}{reasoning}}}{logprobs},'
        f'"finish_reason":"{choice.finish}"}}'
    )


def model_list(models: tuple[str, ...]) -> Json:
    """Return the body of GET /models."""
    shape: Json = {"object": "model", "created": 0, "owned_by": "tsn_frames simulator"}
    return {"object": "list", "data": [{"id": model, **shape} for model in models]}
