"""How many in a stretch of time: what was sent lately, what the service says is left, what its refusals tell."""

from __future__ import annotations

import math
from collections import deque

from .waits import Allowance

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


class Remaining:
    """What the ``x-ratelimit-*`` headers of one dimension leave us.

    Answers overtake each other, so the lowest remaining value of a window counts, and everything in flight may or may
    not be in it: it is taken off in full. When a window that was used up ends, one request asks what the next one
    allows; once that was the whole limit, later windows are trusted to open in full.
    """

    MARGIN = 0.002  # a reset is often rounded to the nearest millisecond

    def __init__(self) -> None:
        self._lowest = math.inf
        self._limit = math.inf
        self._ends = -math.inf
        self._asking = self._trusted = False
        self._early = False  # whether the service's windows end later than it says

    @property
    def limit(self) -> float:
        """Units a window, as the service states them; inf where it doesn't."""
        return self._limit

    def delay(self, now: float, units: float, in_flight: float) -> float:
        """Return the seconds until ``units`` more fit; inf means: until an answer comes."""
        if self._lowest - in_flight >= min(units, self._limit):
            return 0.0
        if now < self._ends:
            return math.inf if in_flight and self._lowest > 0 else self._ends - now
        if self._trusted:
            self._lowest, self._ends = self._limit, math.inf
            return self.delay(now, units, in_flight)
        return math.inf if self._asking and in_flight else 0.0

    def sent(self, now: float) -> None:
        """Note that a request goes out; after the end of a window it is the one that asks."""
        self._asking = self._asking or now >= self._ends

    def told(self, now: float, sent_at: float, told: Allowance, in_flight: float, *, refused: bool = False) -> None:
        """Take in what an answer to a request of ``sent_at`` says.

        Most services round a reset up, so the answer that names the earliest end is the best; where one was refused
        though a window seemed open, they round it down, and the latest is.
        """
        if told.remaining is None or told.reset is None:
            return
        ends = now + told.reset + (1.0 if self._early and told.reset % 1 == 0 else self.MARGIN)
        self._limit = self._limit if told.limit is None else told.limit
        self._early = self._early or (refused and told.remaining <= 0)
        if sent_at >= self._ends or self._lowest is math.inf or self._ends is math.inf:
            if self._asking:
                self._trusted = told.remaining >= self._limit - in_flight - 1
            self._lowest, self._ends, self._asking = told.remaining, ends, False
        elif now < self._ends:
            self._lowest = min(self._lowest, told.remaining)
            self._ends = max(self._ends, ends) if self._early and told.remaining <= 0 else min(self._ends, ends)

    def refused(self) -> None:
        """Trust no window to open in full after a refusal."""
        self._trusted = False


class Inferred:
    """A quota that no header tells, inferred from where refusals began and when they ended.

    After a pause that no header explained, as many requests as went through are allowed in the time that passed until
    the next one did. Windows that stay clean widen it again, faster and faster, so that one bad minute is forgotten.
    """

    CLEAN = 4
    LEAST = 8

    def __init__(self) -> None:
        self.window: SlidingWindow | None = None
        self._since, self._accepted = -math.inf, 0
        self._clean, self._patience, self._step, self._held = 0, self.CLEAN, 0.05, 0.0

    def accepted(self, now: float) -> None:
        """Count an answer, and widen the quota after enough clean windows."""
        self._since = now if self._since == -math.inf else self._since
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

    def resumed(self, now: float, *, explained: bool) -> None:
        """Draw the quota when the first answer after a pause comes, unless a header explained the pause."""
        if explained:
            pass
        elif self.window is not None:
            self.window.limit = self._held or max(1.0, self.window.limit * 0.9)
            self._clean, self._patience, self._step = 0, 2 * self.CLEAN, 0.05
        elif self._accepted >= self.LEAST and now > self._since:
            self.window = SlidingWindow(self._accepted, now - self._since)
            self.window.sent(now, 1)
        self._since, self._accepted = now, 0
