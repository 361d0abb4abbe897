"""What refusals mean for everybody: a lone one, or a pause. Pure: time is passed in, nothing sleeps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Literal

from .rate_headers import RetryAfter


class CircuitBreaker:
    """When everybody waits: a lone refusal delays its own row; a burst pauses all, then one probe, then a slow start.

    ``open`` -> a refusal that may be the first of a burst -> ``suspect``: one request goes out to see. Accepted: it was
    a lone one. Refused, and a second one too: ``paused`` for the wait that was asked, then one probe again, and so on.
    """

    BURST = 4
    MOMENT = 0.05

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.state: Literal["open", "suspect", "paused"] = "open"
        self.until = -math.inf
        self.pauses = self.total_pauses = 0
        self._jitter = jitter
        self._probe: int | None = None
        self._lone = self._doubted = self._looking = self._stated = False
        self._troubles: deque[int] = deque([-self.BURST] * self.BURST, self.BURST)  # the last ones that failed
        self._recent: deque[int] = deque([-self.BURST] * self.BURST, self.BURST)  # the last ones that were refused

    def delay(self, now: float) -> float:
        """Return the seconds until one may go; inf means: until the probe's answer comes."""
        if self.state == "open":
            return 0.0
        if self._probe is not None:
            return math.inf
        return max(0.0, self.until - now)

    def sent(self, seq: int) -> None:
        """Note a request that goes out; when not open it is the probe."""
        if self.state != "open":
            self._probe = seq

    def accepted(self, seq: int) -> bool:
        """Take in an answer that is no refusal; return whether it ended a pause."""
        if self.state == "open" or seq != self._probe:
            return False
        was_paused, self.state, self._probe = self.state == "paused", "open", None
        self._lone, self._looking = not was_paused and not self._looking, False
        self.pauses = 0
        return was_paused

    def look(self, now: float, *, stated: bool) -> None:
        """Let one request go ahead of all others; against a wait that the service itself stated only if so told."""
        if self.state == "open" or stated or not self._stated:
            self.state, self._probe, self._doubted, self._looking, self.until = "suspect", None, False, True, now

    def troubled(self, now: float, seq: int) -> None:
        """Take in a failure of the server that is no refusal; a burst of them pauses everybody, as refusals do."""
        self._troubles.append(seq)
        probing = self.state != "open" and seq == self._probe
        if probing or (self.state == "open" and self._troubles[-1] - self._troubles[0] <= self.BURST):
            self._pause(now, RetryAfter())

    def gone(self, seq: int) -> None:
        """Forget a request that ended without telling anything, so that another can be the probe."""
        if seq == self._probe:
            self._probe = None

    def refused(self, now: float, seq: int, wait: RetryAfter, *, sure: bool, innocent: bool) -> None:
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
        if not innocent:
            self._recent.append(seq)
        if self.state == "open":
            if sure:
                self._pause(now, wait)
            elif not innocent and (self._bursting() or not self._lone):
                self.state, self._probe, self._doubted, self.until = "suspect", None, False, now
        elif seq != self._probe:
            return
        elif self.state == "suspect" and not self._doubted:
            self._probe, self._doubted, self.until = None, True, now + self.MOMENT
        else:
            self._pause(now, wait)

    def _bursting(self) -> bool:
        """Return whether of those sent lately nearly all were refused, in the order of sending: answers take longer."""
        return self._recent[-1] - self._recent[0] <= self.BURST

    def _pause(self, now: float, wait: RetryAfter) -> None:
        seconds = self._length(wait)
        self.state, self._probe, self._lone, self._stated = "paused", None, False, wait.seconds is not None
        self.until, self.pauses, self.total_pauses = now + seconds, self.pauses + 1, self.total_pauses + 1

    def _length(self, wait: RetryAfter) -> float:
        if wait.seconds is not None:
            least = 0.05 * 2.0**self.pauses if self.pauses else 0.0  # a server that says 0 again and again
            return max(least, wait.seconds * (1.0 if wait.exact else 1 + 0.1 * self._jitter()))
        if wait.message is not None:
            return min(wait.message, max(3.0, wait.message / 4) * 2.0**self.pauses)
        return min(30.0, 0.5 * 1.5**self.pauses) * (0.75 + 0.25 * self._jitter())
