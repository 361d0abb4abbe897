"""What refusals mean: how many may be in flight, and when everybody waits. Pure: time is passed in, nothing sleeps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Literal

from .waits import Wait


class Ceiling:
    """How many requests may be in flight: doubled per round trip while in use, cut below a level that was refused.

    A level is the number in flight when a request was sent, itself included. A refusal at a level that was accepted
    lately says nothing of concurrency. A refused level is a wall: it is tried again after some successes, twice as
    many each time that it is refused again.
    """

    def __init__(self) -> None:
        self.limit = 1
        self._seen = 0
        self._wall = math.inf
        self._patience = self._successes = 0

    def accepted(self, level: int, in_flight: int) -> None:
        """Grow, if the limit was the bottleneck when this answer's request was under way."""
        self._seen = max(self._seen, level)
        if level >= self._wall:
            self._wall, self._patience = math.inf, 0
        if in_flight < self.limit:
            return
        self._successes += 1
        if self.limit + 1 < self._wall or self._successes > self._patience:
            self.limit, self._successes = self.limit + 1, 0

    def refused(self, level: int) -> bool:
        """Cut below a refused level; return whether concurrency can have been the reason."""
        if level <= self._seen:
            self._seen = max(self._seen - 1, level - 1)
            return False
        if level <= self.limit:
            again = level >= self._wall or self._patience == 0
            self._patience = max(2 * self._patience, 2 * level) if again else self._patience
        self._wall, self._successes = min(self._wall, level), 0
        self.limit = max(1, min(self.limit, level - 1))
        return level > 1

    def restart(self) -> None:
        """Start slowly again after a pause; the walls are remembered."""
        self.limit, self._successes = 1, 0


class Flow:
    """When everybody waits: a lone refusal delays its own row; a burst pauses all, then one probe, then a slow start.

    ``open`` -> a refusal that may be the first of a burst -> ``suspect``: one request goes out to see. Accepted: it was
    a lone one. Refused: ``paused`` for the wait that was asked, then one probe again, and so on.
    """

    RECENT = 8

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.state: Literal["open", "suspect", "paused"] = "open"
        self.until = -math.inf
        self.pauses = self.total_pauses = 0
        self._jitter = jitter
        self._probe: int | None = None
        self._lone = False
        self._recent: deque[bool] = deque(maxlen=self.RECENT)

    def delay(self, now: float) -> float:
        """Return the seconds until one may go; inf means: until the probe's answer comes."""
        if self.state == "open":
            return 0.0
        if self._probe is not None:
            return math.inf
        return max(0.0, self.until - now) if self.state == "paused" else 0.0

    def sent(self, seq: int) -> None:
        """Note a request that goes out; when not open it is the probe."""
        if self.state != "open":
            self._probe = seq

    def accepted(self, seq: int) -> bool:
        """Take in an answer that is no refusal; return whether it ended a pause."""
        self._recent.append(False)
        if self.state == "open" or seq != self._probe:
            return False
        was_paused, self.state, self._probe = self.state == "paused", "open", None
        self._lone = not was_paused
        self.pauses = 0
        return was_paused

    def gone(self, seq: int) -> None:
        """Forget a request that ended without telling anything, so that another can be the probe."""
        if seq == self._probe:
            self._probe = None

    def refused(self, now: float, seq: int, wait: Wait, *, sure: bool, innocent: bool) -> None:
        """Take in a refusal.

        Parameters
        ----------
        now : float
            Seconds of the monotonic clock.
        seq : int
            Number of the refused request.
        wait : Wait
            What the refusal asks for.
        sure : bool
            Whether it says itself that everybody has to wait (nothing remaining).
        innocent : bool
            Whether a cut of concurrency has already dealt with it.
        """
        self._recent.append(True)
        if self.state == "open":
            if sure:
                self._pause(now, wait)
            elif self._bursting() or not (self._lone or innocent):
                self.state, self._probe = "suspect", None
        elif seq == self._probe:
            self._pause(now, wait)

    def _bursting(self) -> bool:
        return sum(self._recent) >= self.RECENT // 2

    def _pause(self, now: float, wait: Wait) -> None:
        seconds = self._length(wait)
        self.state, self._probe, self._lone = "paused", None, False
        self.until, self.pauses, self.total_pauses = now + seconds, self.pauses + 1, self.total_pauses + 1
        self._recent.clear()

    def _length(self, wait: Wait) -> float:
        if wait.seconds is not None:
            least = 0.05 * 2**self.pauses if self.pauses else 0.0  # a server that says 0 again and again
            return max(least, wait.seconds * (1.0 if wait.exact else 1 + 0.1 * self._jitter()))
        if wait.message is not None:
            return min(wait.message, max(0.2, wait.message / 4) * 2**self.pauses)
        return min(30.0, 0.5 * 2**self.pauses) * (0.75 + 0.25 * self._jitter())
