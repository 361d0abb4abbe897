"""How long the service asks us to wait, and what it says of its limits: headers and messages, read without I/O."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_IN_MESSAGE = re.compile(
    r"(?:retry|try again|wait)\D{0,20}?(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE
)


class RetryAfter(NamedTuple):
    """A wait that an answer asks for.

    ``seconds`` is what a header states, ``message`` what only the text says: a text often names a round number whatever
    the true window is, so it bounds a wait rather than setting it.
    """

    seconds: float | None = None
    message: float | None = None
    exact: bool = False


class RateLimitState(NamedTuple):
    """One dimension of ``x-ratelimit-*`` as an answer stated it; ``reset`` in seconds."""

    limit: float | None
    remaining: float | None
    reset: float | None


_UNTOLD = RateLimitState(None, None, None)
_REQUESTS = ("x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", "x-ratelimit-reset-requests")
_TOKENS = ("x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens")


def duration(text: str) -> float | None:
    """Return the seconds of ``250ms``, ``45s``, ``1m30s``, ``6m0s`` or a bare number.

    Examples
    --------
    >>> duration("1m30s"), duration("250ms"), duration("7"), duration("soon")
    (90.0, 0.25, 7.0, None)
    """
    text = text.strip().lower()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def allowances(headers: Mapping[str, str]) -> tuple[RateLimitState, RateLimitState]:
    """Return what the headers say of requests and of tokens."""
    return _allowance(headers, _REQUESTS), _allowance(headers, _TOKENS)


def retry_after(headers: Mapping[str, str], message: str, *, wall: Callable[[], float] = time.time) -> RetryAfter:
    """Return the wait that a refusal asks for: the first header that can be read, and what the message says."""
    said = _IN_MESSAGE.search(message)
    spoken = float(said[1]) * _UNITS[_unit(said[2])] if said else None
    if (text := headers.get("retry-after-ms")) and (ms := duration(text)) is not None:
        return RetryAfter(ms / 1000, spoken, exact=True)
    resets = [a.reset for a in allowances(headers) if a.remaining is not None and a.remaining <= 0 and a.reset is not None]
    if (text := headers.get("retry-after")) and (seconds := _retry_after(text, wall)) is not None:
        if resets and max(resets) % 1 and max(1, math.ceil(max(resets))) == seconds:
            return RetryAfter(max(resets), spoken, exact=True)  # both say the same, and the reset says it without rounding
        return RetryAfter(seconds, spoken)
    return RetryAfter(max(resets), spoken, exact=True) if resets else RetryAfter(None, spoken)


def _allowance(headers: Mapping[str, str], names: tuple[str, str, str]) -> RateLimitState:
    remaining = headers.get(names[0])
    if remaining is None:  # without it the others say nothing
        return _UNTOLD
    limit, reset = headers.get(names[1]), headers.get(names[2])
    if _number(limit) == 0:  # how some gateways write "no limit"
        return _UNTOLD
    return RateLimitState(_number(limit), _number(remaining), duration(reset) if reset else None)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text.strip()) else None


def _retry_after(text: str, wall: Callable[[], float]) -> float | None:
    if (seconds := duration(text)) is not None:
        return seconds
    from email.utils import parsedate_to_datetime  # imported where it is needed, which is hardly ever

    try:  # an HTTP date: the one place where the wall clock is asked
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall())
    except (ValueError, TypeError, OverflowError):
        return None


def _unit(word: str) -> str:
    word = word.lower()
    return "ms" if word.startswith(("ms", "mil")) else "m" if word.startswith("m") else "s"
