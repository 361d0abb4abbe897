"""Token counts by a simple rule, so that a bill can be checked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MESSAGE_OVERHEAD = 4
"""Tokens added for every message: its role and its separators."""


def count_tokens(text: str) -> int:
    """Count the tokens of a text: its UTF-8 bytes divided by four, rounded up.

    A request costs this for the text of each message, plus 4 per message. An answer costs this for the text
    of each choice (content and, for a reasoning model, the reasoning).

    Parameters
    ----------
    text
        Any text; the empty text has 0 tokens.

    Returns
    -------
    int
        Tokens.

    Examples
    --------
    >>> count_tokens("")
    0
    >>> count_tokens("Hello")
    2
    >>> count_tokens("日本")
    2
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (size + 3) // 4


def count_prompt(texts: Iterable[str]) -> int:
    """Count the tokens of a request whose messages have these texts."""
    return sum([count_tokens(text) + MESSAGE_OVERHEAD for text in texts])


def cut_to_tokens(text: str, limit: int) -> str:
    """Return the longest start of a text that has at most `limit` tokens."""
    return text.encode("utf-8", "surrogatepass")[: limit * 4].decode("utf-8", "ignore")
