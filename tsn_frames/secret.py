"""Keys that don't show: a value that hides itself, and texts with keys taken out."""

from __future__ import annotations

import re
from typing import Any

from .errors import ConfigError

_KEY_LIKE = re.compile(r"(?:tsn_(?:live|test)_|sk-)[A-Za-z0-9_\-]+|(?i:bearer)\s+[^\s\"',;]+")
# Control characters could move a terminal's cursor or set its clipboard; bidi marks could reorder what is read.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


class Secret:
    """An API key that no repr, pickle, copy into text or ``vars()`` shows.

    Parameters
    ----------
    value : str or None
        The key. Outer blanks, quotes and a leading ``Bearer`` are taken off.

    Raises
    ------
    ConfigError
        If the key has a character that can't stand in a header. The message doesn't show the key.

    Examples
    --------
    >>> Secret("tsn_test_1")
    Secret('***')
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str | None) -> None:
        cleaned = re.sub(r"^(?i:bearer)\s+", "", (value or "").strip().strip("\"'").strip())
        if not re.fullmatch(r"[!-~]*", cleaned):
            raise ConfigError("the API key has a blank or another character that can't stand in a header; copy it again")
        self._reveal = lambda: cleaned  # a closure, so that no attribute holds the text

    def reveal(self) -> str:
        """Return the key itself; only what writes the header asks for it."""
        return self._reveal()

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._reveal() == other._reveal()

    def __hash__(self) -> int:
        return hash(self._reveal())

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret(None)"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Secret, (None,))  # a pickle never carries the key: a worker reads its own


def redact(text: str, secret: Secret | None = None, *, most: int = 300) -> str:
    """Return a foreign text made fit to show: without keys or control characters, and cut.

    Examples
    --------
    >>> redact("Incorrect API key provided: tsn_live_abc")
    'Incorrect API key provided: ***'
    """
    if secret:
        text = text.replace(secret.reveal(), "***")
    text = _UNPRINTABLE.sub(" ", _KEY_LIKE.sub("***", text)).strip()
    return text if len(text) <= most else text[: most - 1] + "…"
