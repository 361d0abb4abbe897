"""What the ``x-ratelimit-*`` headers of one dimension leave us, whatever kind of window the service keeps."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from .header_learning import Order, Others, Trust
from .rate_headers import RateLimitState
from .sliding_window import SlidingWindow


@dataclass(slots=True)
class Mark:
    """Where a request stands among all that were sent: the state just after it went out."""

    at: float
    units: float
    first: float  # when the oldest of the last ``limit`` units went out
    used: float  # units in the window of our own clock
    clocked: bool  # whether only our own clock let it go
    booked: list[float] | None


class Remaining:
    """What one dimension of the headers leaves us.

    Two bounds, and the wider one counts. What the latest answer left, less what was sent since: certain, and late by an
    answer's time. And our own clock: no kind of window keeps a unit for longer than its period, so what was sent a
    period ago has come back. The period is learned where a window is used up: from the time at which the service
    promises something back, and from when that was sent. What headers miss beyond our own requests is others' use.
    """

    MARGIN = 0.002  # a reset is often rounded to the nearest millisecond
    NEAR = 0.02  # seconds that two times of one event may differ
    TRIP = 0.25  # no way to a service is longer
    SNAPS = (0.0, 0.5, 0.999)  # whole seconds are rounded up, to the nearest, or down

    def __init__(self) -> None:
        self._limit = self._left = math.inf
        self._recent: deque[Mark] = deque()  # of the last ``limit`` units
        self._held = 0.0
        # The promise: when something comes back, at the latest and at the earliest; who goes first then to ask.
        self._promise = self._low = self._asked = -math.inf
        self._asking = False
        # What kind of service it is.
        self._full = False  # a reset is when all is back, not when the first is
        self._soon = False  # a reset is 0 while something is left
        self._whole = True  # resets are whole seconds
        self._order = Order()
        self._seen: list[tuple[float, float]] = []
        self._trip = self.TRIP
        # Our own clock: how far it can be trusted, what others use of its window, and what it was set by.
        self._trust, self._others = Trust(), Others()
        self._window: SlidingWindow | None = None
        self._snap, self._margin = 0, self.MARGIN
        self._learned = self._bumped = self._not_before = -math.inf

    @property
    def limit(self) -> float:
        """Units a window, as the service states them; inf where it doesn't."""
        return self._limit

    @property
    def works(self) -> bool:
        """Whether the headers have told of a window that was used up."""
        return self._window is not None or self._soon

    def delay(self, now: float, units: float, in_flight: float) -> float:
        """Return the seconds until ``units`` more fit; inf means: until an answer comes."""
        if self._left >= min(units, self._limit):
            return 0.0
        if self._window:
            self._window.limit = max(1.0, self._limit - self._others.units(now))
            wait = max(self._window.delay(now, units), self._not_before - now)
            return wait if wait > 0 else 0.0 if self._trust.has_room else math.inf
        if now < self._promise:
            return math.inf if in_flight and self._left > 0 else self._promise - now
        return math.inf if self._asking and in_flight else 0.0

    def sent(self, now: float, units: float) -> Mark:
        """Note a request that goes out; after the end of a window it is the one that asks."""
        if not self._asking and now >= self._promise:
            self._asking, self._asked = True, now
        clocked = self._left < units and self._window is not None
        self._trust.out += clocked
        self._left -= units
        self._held += units
        booked = self._window.sent(now, units) if self._window else None
        self._recent.append(mark := Mark(now, units, now, self._window.used if self._window else 0.0, clocked, booked))
        while self._held - self._recent[0].units >= self._limit:
            self._held -= self._recent.popleft().units
        mark.first = self._recent[0].at
        return mark

    def settle(self, mark: Mark, units: float) -> None:
        """Correct a request that has ended to what it really used."""
        self._trust.out -= mark.clocked
        if self._recent and mark.at >= self._recent[0].at:
            self._held += units - mark.units
        mark.units = units
        if self._window and mark.booked is not None:
            self._window.settle(mark.booked, units)

    def foresaw(self, mark: Mark) -> bool:
        """Return whether a refusal is a small error of a clock that has been right so far."""
        return mark.clocked and self._trust.well_founded

    def told(self, now: float, mark: Mark, told: RateLimitState, in_flight: float, *, refused: bool = False) -> None:
        """Take in what the answer to a request says."""
        self._trip = self._trip if refused else min(self._trip, now - mark.at)
        if mark.clocked:
            self._trust.judge(refused=refused)
        if told.remaining is None or told.reset is None:
            if refused and mark.clocked and self._window and mark.at > self._bumped:
                self._bumped, self._window.period = now, self._window.period * 1.02
            if self._limit is math.inf:
                self._forget(mark)
            return
        self._limit = told.limit or (max(told.remaining, 1.0) if self._limit is math.inf else self._limit)
        self._order.saw(mark.at, told.remaining)
        self._left = self._leaves(now, mark, told.remaining, in_flight)
        self._whole = self._whole and told.reset % 1 == 0
        low, ends = self._due(now, mark, told.reset)
        self._soon = self._soon or (told.reset == 0 and 0 < told.remaining < self._limit)
        if now < self._low - self.NEAR and self._earliest(now, mark) + told.reset - self._whole > self._promise + self.NEAR / 2:
            self._full = True  # the promise moved away before it was due
        if told.remaining < 1:
            self._used_up(now, mark, low, ends, refused=refused)
        self._see_others(now, mark, told.remaining)
        idle = told.reset == 0 < told.remaining  # nothing is promised then
        self._promised(now, mark, low - self._whole, ends + self.MARGIN + idle + (self._whole and self._snap > 0))

    def _forget(self, mark: Mark) -> None:
        """Keep nothing of what was sent up to a request whose answer states no limit: it may never be stated."""
        while self._recent and self._recent[0].at <= mark.at:
            self._held -= self._recent.popleft().units

    # Where we stand

    def _leaves(self, now: float, mark: Mark, left: float, in_flight: float) -> float:
        """Return what an answer leaves, less those in flight that it can't have counted."""
        if self._order.of_answer:
            return left - min(in_flight, self._since(now - self.TRIP))
        self._seen.append((mark.at, left))  # of those that went out latest the lowest counts: they can change places
        newest = max(at for at, _ in self._seen)
        self._seen = [(at, left) for at, left in self._seen if at >= newest - self._trip]
        lowest = min(left for _, left in self._seen)
        return lowest - (min(in_flight, self._since(newest - self.TRIP)) if self._order.of_request else in_flight)

    def _since(self, time: float) -> float:
        """Return the units that were sent since."""
        return sum(mark.units for mark in takewhile(lambda mark: mark.at > time, reversed(self._recent)))

    def _see_others(self, now: float, mark: Mark, left: float) -> None:
        """Note what is missing beyond our own requests; it comes back after a period, as ours does."""
        if self._window is None:
            return
        missing = max(0.0, self._limit - left - (mark.used if self._order.of_request else self._window.used))
        self._others.saw(now, missing, self._window.period)

    # What is promised

    def _earliest(self, now: float, mark: Mark) -> float:
        """Return when a header was written, at the earliest."""
        return now - self._trip if self._order.of_answer else mark.at

    def _due(self, now: float, mark: Mark, reset: float) -> tuple[float, float]:
        """Return the earliest and the latest time that a reset can mean."""
        low, ends = mark.at + reset + min(self._trip, self.NEAR), now + reset
        return (ends if self._order.of_answer else low), (low if self._order.of_request else ends)

    def _promised(self, now: float, mark: Mark, low: float, ends: float) -> None:
        """Keep the earliest end that was named in this window."""
        self._asking = self._asking and mark.at < self._asked
        if mark.at >= self._promise or (now >= self._promise and not self._asking) or self._full:
            self._low, self._promise = low, ends
        else:
            self._low, self._promise = min(self._low, low), min(self._promise, ends)

    # The period

    def _used_up(self, now: float, mark: Mark, low: float, ends: float, *, refused: bool) -> None:
        """Learn the period where nothing is left."""
        self._not_before = -math.inf if self._full else low - self._whole
        if refused and self._whole and not self._snap and mark.at >= self._asked > -math.inf:
            self._snap = 1  # who asked when the service said so was too early
        if refused and self._window and mark.clocked and mark.at > self._bumped:
            self._bumped = now
            self._correct(self._window, now, ends)
        if not self._soon:
            self._learn(now, ends - self._base(now, mark))

    def _correct(self, window: SlidingWindow, now: float, ends: float) -> None:
        """Find out why our clock was wrong: by a moment, in its period, or because others used the rest."""
        if 0 < ends - now < 0.05 * window.period or self._full:
            before, self._margin = self._margin, min(2 * self._margin, 0.01 * window.period)
            window.period += max(0.0, self._margin - before)
        elif self._whole or not any(abs(mark.at + window.period - ends) < self.NEAR for mark in self._recent):
            self._snap = min(self._snap + 1, len(self.SNAPS) - 1) if self._whole and not self._trust.proved else self._snap
            self._learned = -math.inf

    def _base(self, now: float, mark: Mark) -> float:
        """Return when that was sent which comes back when the service says, or a little before."""
        fresh = self._order.of_answer
        if self._full:
            return self._recent[-1].at if fresh and self._recent else mark.at
        known = (other.first for other in reversed(self._recent) if other.at <= now - self.TRIP)
        return max(mark.first, next(known, mark.first)) if fresh else mark.first

    def _learn(self, now: float, period: float) -> None:
        """Take a period that was seen: the shortest one, until it is contradicted."""
        if self._whole:  # then the period is a whole number, too
            period = max(1.0, math.floor(period + self.SNAPS[self._snap])) + min(self._trip, self.NEAR)
        period += self._margin
        if self._window is None and period > 0:
            self._window = SlidingWindow(self._limit, period)
            for mark in self._recent:
                mark.booked = self._window.sent(mark.at, mark.units)
            self._learned = now + period
        elif self._window and self._learned == -math.inf:
            self._window.period, self._learned = max(self._window.period, period), now
        elif self._window and 0 < period < self._window.period * (1.0 if now < self._learned else 0.97):
            self._window.period = period
