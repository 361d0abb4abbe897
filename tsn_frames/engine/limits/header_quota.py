"""Header quota: what one dimension of the ``x-ratelimit-*`` headers leaves, taken literally. Pure."""

from __future__ import annotations

import math

from .rate_headers import RateLimitState


class HeaderQuota:
    """What the service says remains, less what is in flight; at the reset the whole limit is back.

    A header may or may not count the requests that are in flight, so all of them are counted here. Where a request was
    refused right after a reset, a reset does not mean that all is back: from then on one request goes first, and its
    response says what remains.
    """

    MARGIN = 0.002  # seconds: a reset is often rounded to the nearest millisecond
    GROWTH = 2  # requests that go for each answer without headers, after the one that went first

    def __init__(self) -> None:
        self.limit = math.inf  # units a window, as the service states it
        self.in_flight = 0.0  # units, which :class:`.combined_limits.RateRules` counts
        self._newest = 0  # the latest request whose response had headers
        self._remaining = math.inf
        self._earliest, self._reset_at = -math.inf, math.inf  # the time of the reset lies between them
        self._full = True  # whether all is back at a reset
        self._asking = False  # whether there was no header since the last reset

    @property
    def known_limit(self) -> float:
        """The limit as the service has stated it since the last reset; inf where it has not: it may have changed."""
        return self.limit if self._remaining < math.inf else math.inf

    def reset(self) -> None:
        """Forget the window, for a new run; the limit stays, for a service that only states what remains."""
        self._remaining, self._earliest, self._reset_at, self._asking = math.inf, -math.inf, math.inf, False

    def seconds_until_allowed(self, now: float, units: float) -> float:
        """Return the seconds until ``units`` more fit; inf: until a response comes.

        A request larger than the limit goes when all of it is there.
        """
        if now >= self._reset_at:
            self._remaining = self.limit if self._full else self.in_flight + 1
            self._reset_at, self._asking = math.inf, True
        needed = min(units, self.limit)
        if self._remaining - self.in_flight >= needed:
            return 0.0
        if self._remaining >= needed:  # a response will show whether those in flight are counted
            return math.inf
        return self._reset_at - now

    def on_headers(self, now: float, seq: int, sent_at: float, state: RateLimitState, *, accepted: bool | None = True) -> None:
        """Take in what a response states: the request that was sent last knows best, an older one can only show that less is left."""
        if self._asking and accepted is False and not state.remaining:
            self._full = False
        if state.remaining is None or state.reset is None:
            if self._asking and accepted:
                self._remaining, self._asking = self.limit if self._full else self.in_flight + self.GROWTH, not self._full
            return
        self._asking = False
        self.limit = state.limit or (max(1.0, state.remaining) if self.limit == math.inf else self.limit)
        if seq < self._newest:
            self._remaining = min(self._remaining, state.remaining)
            return
        self._newest, self._remaining = seq, state.remaining
        rounded = 1.0 if state.reset % 1 == 0 else 0.0  # whole seconds may be rounded up
        earliest, latest = sent_at + state.reset - rounded, now + state.reset + self.MARGIN
        if earliest <= self._reset_at and latest >= self._earliest:  # the same reset again
            self._earliest, self._reset_at = max(earliest, self._earliest), min(latest, self._reset_at)
        else:
            self._earliest, self._reset_at = earliest, latest
