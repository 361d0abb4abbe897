"""Parse Retry-After and the ``x-ratelimit-*`` headers: how long the service asks to wait, and what it says is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "mil": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]+)?")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|µs|ms|s|m|h|d)")
_WORDS = r"ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?"
_MESSAGE_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|[smh])", re.IGNORECASE)  # the start of a word names its unit
_MESSAGE = re.compile(rf"(?:retry|try again|wait)\D{{0,20}}?((?:\d+(?:\.\d+)?\s*(?:{_WORDS})(?![a-z])\s*)+)", re.IGNORECASE)
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e12  # larger numbers are points in time: no service asks for a wait of 30 years


class RateLimitState(NamedTuple):
    """One dimension of ``x-ratelimit-*`` as a response states it; ``reset`` in seconds from now."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


_UNSTATED = RateLimitState()


def duration(text: str) -> float | None:
    """Parse ``250ms``, ``45s``, ``1m30s``, ``6m0s`` or a bare number of seconds.

    >>> duration("1m30s"), duration("250ms"), duration("7"), duration("soon")
    (90.0, 0.25, 7.0, None)
    """
    text = text.strip().lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def seconds_until(text: str, *, wall: Callable[[], float] = time.time) -> float | None:
    """Parse a wait in any form: a duration, seconds or milliseconds since the epoch, an HTTP date, an ISO date.

    Only points in time need the wall clock; one that is over is a wait of 0 seconds.

    >>> seconds_until("1.5s"), seconds_until("2026-01-01T00:00:30Z", wall=lambda: 1767225600.0)
    (1.5, 30.0)
    """
    seconds = duration(text)
    if seconds is not None and seconds < _EPOCH_SECONDS:
        return seconds
    moment = _date(text.strip()) if seconds is None else seconds / (1000 if seconds >= _EPOCH_MILLISECONDS else 1)
    return None if moment is None else max(0.0, moment - wall())


def rate_limits(headers: Mapping[str, str], *, wall: Callable[[], float] = time.time) -> tuple[RateLimitState, RateLimitState]:
    """Return what the headers state about requests and about tokens; headers that name no dimension are about requests."""
    requests = _rate_limit(headers, "-requests", wall)
    return requests if requests.remaining is not None else _rate_limit(headers, "", wall), _rate_limit(headers, "-tokens", wall)


def retry_after(headers: Mapping[str, str], message: str, *, wall: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a refusal asks to wait, or None where it states none.

    The first that can be parsed: ``retry-after-ms``, ``retry-after``, the reset of a dimension with nothing remaining
    under any name (``ratelimit-reset``, ``x-ratelimit-reset-tokens-minute``, ``anthropic-ratelimit-requests-reset``), the
    message ("Retry after 3 seconds"). A ``retry-after`` that is a reset rounded up to whole seconds is that reset.
    """
    milliseconds = duration(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    states = rate_limits(headers, wall=wall)
    reset = max((s.reset for s in states if s.remaining == 0 and s.reset is not None), default=None)
    seconds = seconds_until(headers.get("retry-after", ""), wall=wall)
    if seconds is not None:
        return reset if reset and reset <= seconds < reset + 1 else seconds
    if reset is None:
        reset = max(_other_resets(headers, wall), default=None)
    return _in_message(message) if reset is None else reset


def _other_resets(headers: Mapping[str, str], wall: Callable[[], float]) -> list[float]:
    """Return the resets of what is used up, from headers that only name what they are about."""
    names = [name for name in headers if "ratelimit" in name.replace("-", "") and "reset" in name]
    used_up = [name for name in names if _number(headers.get(name.replace("reset", "remaining"))) == 0]
    return [seconds for name in used_up if (seconds := seconds_until(headers[name], wall=wall)) is not None]


def _rate_limit(headers: Mapping[str, str], dimension: str, wall: Callable[[], float]) -> RateLimitState:
    remaining = _number(headers.get(f"x-ratelimit-remaining{dimension}"))
    if remaining is None:
        return _UNSTATED
    limit = _number(headers.get(f"x-ratelimit-limit{dimension}"))
    if limit == 0:  # how some gateways write "no limit"
        return _UNSTATED
    return RateLimitState(limit, remaining, seconds_until(headers.get(f"x-ratelimit-reset{dimension}", ""), wall=wall))


def _number(text: str | None) -> float | None:
    return float(text) if text and _NUMBER.fullmatch(text.strip()) else None


def _date(text: str) -> float | None:
    """Parse an HTTP or an ISO date to seconds since the epoch; one without a zone is UTC."""
    from datetime import UTC, datetime  # imported where they are needed, which is rare
    from email.utils import parsedate_to_datetime

    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _in_message(message: str) -> float | None:
    found = _MESSAGE.search(message)
    if found is None:
        return None
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _MESSAGE_PART.findall(found[1]))
