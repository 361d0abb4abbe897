"""Sliding window log: at most so many units in any stretch of time, by our own clock."""

from __future__ import annotations

from collections import deque

MINUTE = 60.05  # a little over a minute: requests sent a minute apart can arrive closer together


class SlidingWindow:
    """At most ``limit`` units in any ``period`` seconds."""

    def __init__(self, limit: float, period: float = MINUTE) -> None:
        self.limit, self.period = limit, period
        self._sent: deque[list[float]] = deque()  # [time, units], oldest first; units are corrected in place
        self._total = 0.0

    @property
    def entries(self) -> list[tuple[float, float]]:
        """Time and units of each request in the period that ended at the last call."""
        return [(when, units) for when, units in self._sent]

    def seconds_until_allowed(self, now: float, units: float) -> float:
        """Return the seconds until ``units`` more fit; a request larger than the limit goes alone."""
        self._expire(now)
        free = self.limit - self._total - min(units, self.limit)
        if free >= 0:
            return 0.0
        for when, amount in self._sent:
            free += amount
            if free >= 0:
                return max(0.0, when + self.period - now)
        return self.period

    def on_sent(self, now: float, units: float) -> list[float]:
        """Count ``units`` and return the entry, for :meth:`correct`."""
        self._expire(now)
        self._sent.append(entry := [now, units])
        self._total += units
        return entry

    def correct(self, entry: list[float], units: float) -> None:
        """Change an entry to what was really used; one that has left the window no longer counts."""
        if self._sent and entry[0] >= self._sent[0][0]:
            self._total += units - entry[1]
        entry[1] = units

    def _expire(self, now: float) -> None:
        while self._sent and self._sent[0][0] + self.period <= now:
            self._total -= self._sent.popleft()[1]
        if not self._sent:
            self._total = 0.0  # sums of floats drift over a long run
