"""How many in a stretch of time: what was sent lately, what the service says is left, what its refusals tell."""

from __future__ import annotations

import math
from collections import deque

MINUTE = 60.05  # a little over a minute: what left us a minute apart can arrive closer together


class SlidingWindow:
    """At most ``limit`` units in any ``period`` seconds, by our own clock."""

    def __init__(self, limit: float, period: float = MINUTE) -> None:
        self.limit, self.period = limit, period
        self._sent: deque[list[float]] = deque()  # [time, units], oldest first; units are corrected in place
        self._total = 0.0

    @property
    def entries(self) -> list[tuple[float, float]]:
        """When, and how many units, in the period that ended at the last question."""
        return [(when, units) for when, units in self._sent]

    @property
    def used(self) -> float:
        """The units sent in the period that ended at the last question."""
        return self._total

    def delay(self, now: float, units: float) -> float:
        """Return the seconds until ``units`` more fit; a request larger than the limit goes alone."""
        self._forget(now)
        free = self.limit - self._total - min(units, self.limit)
        if free >= 0:
            return 0.0
        for when, amount in self._sent:
            free += amount
            if free >= 0:
                return max(0.0, when + self.period - now)
        return self.period

    def sent(self, now: float, units: float) -> list[float]:
        """Book ``units`` and return the entry, for :meth:`settle`."""
        self._sent.append(entry := [now, units])
        self._total += units
        return entry

    def settle(self, entry: list[float], units: float) -> None:
        """Correct an entry to what its answer says was used; one that has left the window no longer counts."""
        if self._sent and entry[0] >= self._sent[0][0]:
            self._total += units - entry[1]
        entry[1] = units

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0][0] + self.period <= now:
            self._total -= self._sent.popleft()[1]
        if not self._sent:
            self._total = 0.0  # no drift of floats over a long run


class Inferred:
    """A quota that no header tells, inferred from where refusals began and when they ended.

    After a pause for which concurrency is not to blame, as many requests as went through are allowed in the time that
    passed until the next one did; windows are round numbers, so the roundest time that fits is taken. Each later pause
    measures again. Windows that stay clean widen the quota, faster and faster, so that one bad minute is forgotten.
    """

    CLEAN = 4
    LEAST = 8
    ROUND = (3600, 1800, 900, 600, 300, 120, 60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
    MARGIN = 1.005

    def __init__(self) -> None:
        self.window: SlidingWindow | None = None
        self._since, self._closed, self._accepted = math.inf, 0.0, 0
        self._clean, self._patience, self._step, self._held = 0, self.CLEAN, 0.05, 0.0

    def accepted(self, now: float, sent_at: float) -> None:
        """Count an answer, and widen the quota after enough clean windows."""
        self._since = min(self._since, sent_at)
        self._accepted += 1
        if self.window is None or now - self._since < self.window.period:
            return
        used = self._accepted >= 0.9 * self.window.limit
        self._since, self._accepted, self._clean = now, 0, self._clean + used
        if self._clean >= self._patience:
            self._clean, self._patience, self._held = 0, 1, self.window.limit
            self.window.limit, self._step = math.ceil(self.window.limit * (1 + self._step)), self._step * 2

    def refused(self) -> bool:
        """Take back the last widening; return whether it was the reason of a refusal."""
        tried = self.window is not None and self._held > 0 and self.window.used > self._held
        if self.window is not None and tried:
            self.window.limit, self._held = self._held, 0.0
            self._clean, self._patience, self._step = 0, 2 * self.CLEAN, 0.05
        return tried

    def closed(self, until: float) -> None:
        """Note that nothing more goes through before this time, as far as one knows."""
        self._closed = until

    def resumed(self, sent_at: float, *, explained: bool) -> None:
        """Draw the quota when the first answer after a pause comes, unless something else explains the pause."""
        count, took = self._accepted, sent_at - self._since
        if not explained and took > 0 and count >= (self.LEAST if self.window is None else 1):
            fits = (n for n in self.ROUND if self._closed - self._since < n <= took)
            period = next(fits, took) * self.MARGIN
            if self.window is None:
                self.window = SlidingWindow(count, period)
                self.window.sent(sent_at, 1)
            elif count / period < 0.95 * self.window.limit / self.window.period:
                self.window.limit, self.window.period = count, period
            else:
                self.window.limit = self._held or max(1.0, self.window.limit * 0.95)
            self._clean, self._patience, self._step, self._held = 0, 2 * self.CLEAN, 0.05, 0.0
        self._since, self._accepted = sent_at, 0
