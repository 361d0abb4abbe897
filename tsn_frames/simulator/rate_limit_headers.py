"""The x-ratelimit headers, and Retry-After in its forms."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .quota import Meter

RetryHint = Literal["both", "header", "header-ms", "date", "message", "none", "duration"]


def duration(seconds: float) -> str:
    """Write seconds as the service does: `250ms`, `45s`, `1m30s`, `6m0s`."""
    if seconds < 1:
        milliseconds = math.ceil(seconds * 1000)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else "1s" if milliseconds else "0s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def limit_headers(meter: Meter, now: float, lying: bool) -> str:
    """Return the header lines; the concurrency limit is never among them."""
    room, quota = meter.room(now), meter.quota
    reset = duration(room.reset)
    rows = (("requests", quota.requests, room.requests), ("tokens", quota.tokens, room.tokens))
    return "".join(
        f"x-ratelimit-limit-{name}: {limit}\r\n"
        f"x-ratelimit-remaining-{name}: {limit if lying else left}\r\n"
        f"x-ratelimit-reset-{name}: {reset}\r\n"
        for name, limit, left in rows
        if limit is not None
    )


def retry_headers(style: RetryHint, wait: float, wall: float) -> str:
    """Return the header line that says when to come back, or nothing."""
    match style:
        case "both" | "header":
            return f"retry-after: {whole_seconds(wait)}\r\n"
        case "header-ms":
            return f"retry-after-ms: {max(1, math.ceil(wait * 1000))}\r\n"
        case "date":
            return f"retry-after: {formatdate(math.ceil(wall + wait), usegmt=True)}\r\n"
        case "duration":
            return f"retry-after: {duration(max(wait, 0.001))}\r\n"
        case "message" | "none":
            return ""


def retry_message(style: RetryHint, wait: float) -> str:
    """Return the message, with the seconds in it where the style says so."""
    if style in ("both", "message"):
        return f"Rate limit exceeded. Retry after {whole_seconds(wait)} seconds."
    return "Rate limit exceeded."


def whole_seconds(wait: float) -> int:
    """Round up, so that a client that waits that long is not early."""
    return max(1, math.ceil(wait))
