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


def prompt_size(request: Request) -> Size:
    """Return the size of a request's messages, in its JSON.

    >>> prompt_size(Request(b"", b'{"model":"m","messages":', b'[{"role":"user","content":"Hi"}]', "m"))
    Size(chars=32, language='latin')
    >>> prompt_size(Request(b"", b'{"messages":', '[{"role":"user","content":"荷物はどこですか"}]'.encode(), "m")).language
    'cjk'
    """
    first, second = _count_head(request.head), _count(request.messages)
    chars, cjk, other = first[0] + second[0], first[1] + second[1], first[2] + second[2]
    if cjk + other < SHARE * chars:
        return Size(chars, "latin")
    return Size(chars, "cjk" if cjk >= other else "other")


@lru_cache(maxsize=256)
def _count_head(head: bytes) -> tuple[int, int, int]:
    """Count the system message that many requests begin with."""
    _, found, start = head.rpartition(b'"messages":')
    return _count(start if found else head)


def _count(data: bytes) -> tuple[int, int, int]:
    """Return the characters of a text, those of them that are Chinese, Japanese or Korean, and those of other scripts."""
    if data.isascii():
        return len(data), 0, 0
    cjk = len(data) - len(data.translate(None, _CJK))
    other = len(data) - len(data.translate(None, _OTHER))
    return len(data.translate(None, _CONTINUATION)), cjk, other
