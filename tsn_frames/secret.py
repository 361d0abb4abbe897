"""Secrets that no repr shows, and texts with keys masked."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from .errors import ConfigError
from .text import warn

# Keys of other services begin with "sk-"; "risk-free" doesn't look like one.
_KEY_LIKE = re.compile(r"tsn_(?:live|test)_[A-Za-z0-9_\-]+|\bsk-[A-Za-z0-9_\-]{8,}|\b(?i:bearer)\s+[^\s\"',;]+")
# Control characters can move a terminal's cursor or set its clipboard, bidi marks reorder text, and a lone surrogate
# can't be encoded.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_AROUND = re.compile(r"^[\s\"']*(?:bearer\s+)?[\s\"']*|[\s\"']+$", re.IGNORECASE)
_TRIMMED = "the API key had blanks, quotes or 'Bearer' around it, which were taken off: correct it where it is stored"


class Hidden:
    """A value that shows in no repr, so that a traceback with local variables can't show it either."""

    __slots__ = ("reveal",)

    def __init__(self, value: Any) -> None:
        self.reveal: Callable[[], Any] = lambda: value

    def __repr__(self) -> str:
        return "'***'"


class Secret:
    """An API key that shows in no repr, text, pickle or ``vars()``.

    >>> Secret("tsn_test_1")
    Secret('***')
    """

    __slots__ = ("_reveal", "left_out")

    def __init__(self, value: str | None) -> None:
        self.left_out = False  # whether a pickle has left the key out
        self._reveal, hidden = Hidden("").reveal, Hidden(_AROUND.sub("", value or ""))
        trimmed = hidden.reveal() != (value or "")
        value = None  # tracebacks may show the locals of a frame that raises
        if not re.fullmatch(r"[!-~]*", hidden.reveal()):
            raise ConfigError("the API key has a blank or another character that can't stand in a header; copy it again")
        self._reveal = hidden.reveal
        if trimmed and self:
            warn(_TRIMMED)

    def reveal(self) -> str:
        """Return the key itself, for the request's header."""
        return str(self._reveal())

    def request_headers(self) -> dict[str, str]:
        """Return the headers that authorise a request."""
        return {"Authorization": f"Bearer {self._reveal()}"} if self else {}

    def query_string(self) -> str:
        """Return the query that goes with each request; an API key has none."""
        return ""

    def masked(self, text: str) -> str:
        """Return a text with the key replaced by asterisks, also where it is percent-encoded."""
        if not self:
            return text
        key = self._reveal()
        for form in (key, quote(key, safe=""), quote(key), quote_plus(key)):
            text = text.replace(form, "***")
        return text

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._reveal(), other._reveal())

    def __hash__(self) -> int:
        return hash(self._reveal())

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret(None)"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self  # in this process a copy keeps the key

    def __reduce__(self) -> tuple[Any, ...]:
        return (_pickled, (bool(self) or self.left_out,))  # a pickle never carries the key: a worker process reads its own


def _pickled(left_out: bool) -> Secret:
    secret = Secret(None)
    secret.left_out = left_out
    return secret


def masked(value: Any, secret: Secret | None) -> Any:
    """Return a JSON-like value with the keys in its texts replaced by asterisks; values that JSON lacks become texts."""
    if isinstance(value, Mapping):
        return {masked(str(name), secret): masked(inner, secret) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner, secret) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return _KEY_LIKE.sub("***", secret.masked(text) if secret is not None else text)


def redact(text: str, secret: Secret | None = None, *, most: int = 300) -> str:
    """Return a service's text fit to show: keys masked, control characters removed, shortened.

    >>> redact("Incorrect API key provided: tsn_live_abc")
    'Incorrect API key provided: ***'
    """
    text = _UNPRINTABLE.sub(" ", masked(text, secret)).strip()
    return text if len(text) <= most else text[: most - 1] + "…"
