"""The length of a prompt in characters and its script, read from its UTF-8 bytes: token counts are estimated from both."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from . import Request

Language = Literal["latin", "cjk", "other"]
_CONTINUATION = bytes(range(0x80, 0xC0))
_CJK = bytes(range(0xE3, 0xEE))  # the first bytes of kana, Chinese characters, Hangul and their punctuation
_OTHER = bytes([*range(0xCD, 0xE2), 0xEE, 0xEF, *range(0xF0, 0xF5)])  # Greek, Cyrillic, Arabic, Indic, Thai, emoji, ...
SHARE = 0.2  # of the characters: from here on a text counts as written in another script


class Size(NamedTuple):
    """The length of a text and its script."""

    chars: int
    language: Language


class _Count(NamedTuple):
    chars: int
    cjk: int
    other: int


def prompt_size(request: Request) -> Size:
    """Return the size of a request's messages, in its JSON.

    >>> prompt_size(Request(b"", b'{"model":"m","messages":', b'[{"role":"user","content":"Hi"}]', "m"))
    Size(chars=32, language='latin')
    >>> prompt_size(Request(b"", b'{"messages":', '[{"role":"user","content":"荷物はどこですか"}]'.encode(), "m")).language
    'cjk'
    """
    first, second = _head(request.head), _count(request.messages)
    return Size(
        first.chars + second.chars, _language(first.cjk + second.cjk, first.other + second.other, first.chars + second.chars)
    )


@lru_cache(maxsize=256)
def _head(head: bytes) -> _Count:
    """Count the system message that many requests begin with."""
    _, found, start = head.rpartition(b'"messages":')
    return _count(start if found else head)


def _count(data: bytes) -> _Count:
    if data.isascii():
        return _Count(len(data), 0, 0)
    size = len(data)
    return _Count(size - _number(data, _CONTINUATION), _number(data, _CJK), _number(data, _OTHER))


def _number(data: bytes, of: bytes) -> int:
    return len(data) - len(data.translate(None, of))


def _language(cjk: int, other: int, chars: int) -> Language:
    if cjk + other < SHARE * chars:
        return "latin"
    return "cjk" if cjk >= other else "other"
