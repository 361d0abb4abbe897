"""Inject faults into the answer, the body, or the bytes on the wire."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from .api_errors import ApiError, bad_request, rate_limited, server_error
from .http_responses import HTML_TYPE, JSON_TYPE, LOGIN_PAGE, dump, head
from .rate_limit_headers import RetryHint, retry_headers, retry_message
from .response_plan import Step
from .sse import DONE, LAST_CHUNK, framed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .answers import Answer
    from .faults import Faults
    from .validation import Json

HUGE_BYTES = 30 * 1024 * 1024
BOMB_BYTES = 110 * 1024 * 1024
WIRE = frozenset(("reset_before", "hang", "half_open", "reset", "truncate", "drip"))
"""Faults that need more than an HTTP answer."""

_BAD_GATEWAY = b"<html><head><title>502</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_BROKEN = b'{"id": "chatcmpl-sim", "choices": [}'
_RESET_PAUSE = 0.02
"""Seconds before a reset, so that the bytes before it arrive."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, before it becomes steps."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    extra: str = ""
    chunked: bool = False

    def head(self, extra: str, close: bool) -> bytes:
        """Write the head; the framing fits the body."""
        length = None if self.chunked else len(self.body)
        return head(self.status, self.content_type, length, self.extra + extra, close)

    def wire(self) -> bytes:
        """Write the body as it goes over the wire."""
        return framed(self.body) + LAST_CHUNK if self.chunked else self.body


_FIXED = {
    "error_502": Reply(502, _BAD_GATEWAY, HTML_TYPE),
    "html": Reply(200, LOGIN_PAGE, HTML_TYPE),
    "empty_body": Reply(200, b""),
}


def spoil(fault: str, answer: Answer) -> Answer:
    """Apply a fault of the answer's content; others leave it alone."""
    match fault:
        case "no_choices":
            return replace(answer, choices=())
        case "null_content" | "filtered":
            finish = "content_filter" if fault == "filtered" else "stop"
            empty = (replace(choice, content=None, finish=finish, logprobs=None) for choice in answer.choices)
            return replace(answer, choices=tuple(empty))
        case "no_usage":
            return replace(answer, usage=None)
        case "absurd_usage":
            absurd: Json = {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": 1e30}
            return replace(answer, usage=absurd)
        case _:
            return answer


def refusal(fault: str, faults: Faults, style: RetryHint, wall: float, key: str) -> ApiError | None:
    """Return the error of a fault that is one."""
    match fault:
        case "error_500" | "error_503":
            return server_error(int(fault[-3:]))
        case "error_other":
            return server_error(faults.other_status)
        case "error_429":
            return rate_limited(retry_message(style, 1.0), retry_headers(style, 1.0, wall))
        case "echo_key":
            return bad_request(f"The request could not be read (Authorization: Bearer {key}).")
        case _:
            return None


def replacement(fault: str, faults: Faults) -> Reply | None:
    """Return the answer that replaces the true one."""
    match fault:
        case "error_502" | "html" | "empty_body":
            return _FIXED[fault]
        case "redirect":
            return Reply(307, b"", extra=f"location: {faults.redirect_to}\r\n")
        case "gzip_bomb":
            return Reply(200, gzip_bomb(), extra="content-encoding: gzip\r\n")
        case "huge":
            return Reply(200, huge())
        case _:
            return None


def tamper(fault: str, reply: Reply) -> Reply:
    """Apply a fault of the body; others leave it alone."""
    match fault:
        case "cut_json":
            return replace(reply, body=reply.body[: len(reply.body) // 2])
        case "malformed":
            return replace(reply, body=b"data: " + _BROKEN + b"\n\n" + DONE if reply.chunked else _BROKEN)
        case "wrong_type":
            return replace(reply, content_type="text/plain")
        case _:
            return reply


def wire_steps(fault: str, faults: Faults, start: bytes, body: bytes, tokens: int) -> Iterator[Step]:
    """Apply a fault below HTTP; `start` is the head."""
    half = start + body[: len(body) // 2]
    match fault:
        case "reset_before":
            yield Step(0.0, b"", "reset")
        case "hang":
            yield Step(0.0, b"", tokens=tokens)
            yield Step(faults.hang_seconds, b"", "reset")
        case "half_open":
            yield Step(0.0, half, tokens=tokens)
            yield Step(faults.hang_seconds, b"", "reset")
        case "reset":
            yield Step(0.0, half, tokens=tokens)
            yield Step(_RESET_PAUSE, b"", "reset")
        case "truncate":
            yield Step(0.0, half, "close", tokens)
        case _:
            yield Step(0.0, start, tokens=tokens)
            for place in range(len(body) - 1):
                yield Step(faults.drip_seconds, body[place : place + 1])
            yield Step(faults.drip_seconds, body[-1:], "done")


def _padded(padding: bytes) -> tuple[bytes, bytes]:
    """Return a good completion in two parts; any padding of JSON space fits between them."""
    message = {"role": "assistant", "content": "[simulated] large"}
    whole = dump(
        {
            "id": "chatcmpl-sim-large",
            "object": "chat.completion",
            "created": 0,
            "model": "sim-small",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )
    return whole[:1] + padding, whole[1:]


@cache
def huge() -> bytes:
    """Return a good answer of 30 MB."""
    first, last = _padded(b" " * HUGE_BYTES)
    return first + last


@cache
def gzip_bomb() -> bytes:
    """Return a small gzip body of a good answer of 110 MB; one packed megabyte is repeated."""
    block = b" " * (1024 * 1024)
    first, last = _padded(b"")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    unit = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    count = BOMB_BYTES // len(block)
    packed += unit * count + packer.compress(last) + packer.flush(zlib.Z_FINISH)
    check = zlib.crc32(first)
    for _ in range(count):
        check = zlib.crc32(block, check)
    size = len(first) + len(last) + count * len(block)
    ending = zlib.crc32(last, check).to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + packed + ending
