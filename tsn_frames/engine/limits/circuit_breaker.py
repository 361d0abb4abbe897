"""Circuit breaker: pauses all requests of an account after a burst of refusals or server errors. Pure: time is passed in."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Literal


class Streak:
    """Whether the last requests failed one after another, in the order in which they were sent.

    Responses of requests that were sent before say nothing about now, and an answer takes longer than a refusal.
    """

    LONGEST = 5

    def __init__(self, length: int) -> None:
        self.length = length
        self._failed: deque[int] = deque(maxlen=self.LONGEST)

    def add(self, seq: int) -> bool:
        """Add a failed request; return whether it completes a streak."""
        self._failed.append(seq)
        last = list(self._failed)[-self.length :]
        return len(last) == self.length and max(last) - min(last) < self.length

    def clear(self) -> None:
        """Begin again."""
        self._failed.clear()


class CircuitBreaker:
    """Closed, so that all requests go, or paused, so that one probe goes at a time.

    A streak of failures sends a probe. If the probe is accepted, the breaker closes. If it fails, no request goes for as
    long as the service asks, else for an exponential backoff; then the next probe goes. A lone failure changes nothing;
    where they are so common that a streak was a chance, the next one has to be longer.
    """

    STREAK = 2  # failures in a row; five by chance are rare even where one request in five fails
    BACKOFF, FACTOR, BACKOFF_MAX = 0.5, 1.5, 30.0

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.paused = False  # whether requests are held back, but for a probe
        self.pauses = 0  # pauses in all
        self.pauses_in_a_row = 0  # pauses without an accepted request between them
        self._opened = self._until = -math.inf
        self._probe: int | None = None
        self._crowded = False  # the probe waits for a response, which leaves room for it
        self._streak, self._jitter = Streak(self.STREAK), jitter

    def reset(self) -> None:
        """Forget all failures, for a new run."""
        self._streak.length = self.STREAK
        self._close()

    @property
    def preferred_probe(self) -> Literal["retry", "unsent"] | None:
        """What the next probe is: a request that failed once, and every other time one that was never sent.

        Either kind alone could be at fault itself: a row that is always refused, or rows that all fail the first time.
        """
        if not self.paused:
            return None
        return "unsent" if self.pauses_in_a_row % 2 else "retry"

    def seconds_until_allowed(self, now: float, max_wait: float, in_flight: int = 0) -> float:
        """Return the seconds until a request may go, at most ``max_wait`` after the pause began; inf: when the probe is back."""
        if not self.paused:
            return 0.0
        if self._probe is not None or (self._crowded and in_flight):
            return math.inf
        return max(0.0, min(self._until, self._opened + max_wait) - now)

    def on_sent(self, seq: int) -> None:
        """Make a request that is sent in a pause the probe."""
        if self.paused:
            self._probe = seq

    def on_accepted(self, seq: int) -> bool:
        """Close if it was the probe, and return whether that ends a pause."""
        self._crowded = False
        if seq != self._probe:
            return False
        paused = self.pauses_in_a_row > 0
        if not paused:  # the streak was a chance
            self._streak.length = min(self._streak.length + 1, Streak.LONGEST)
        self._close()
        return paused

    def on_failure(self, now: float, seq: int, asked: float | None) -> None:
        """Probe after a streak of failures; open after a failed probe, for the seconds that the service asks."""
        if seq == self._probe:
            self._open(now, asked)
        elif not self.paused and self._streak.add(seq):
            self.paused, self._opened, self._until, self._crowded = True, now, now, True

    def on_cancelled(self, now: float, seq: int) -> None:
        """Let another request be the probe."""
        if seq == self._probe:
            self._probe, self._until = None, now

    def _close(self) -> None:
        self.paused, self._probe, self.pauses_in_a_row = False, None, 0
        self._streak.clear()

    def _open(self, now: float, asked: float | None) -> None:
        backoff = min(self.BACKOFF_MAX, self.BACKOFF * self.FACTOR**self.pauses_in_a_row) * (1 - self._jitter() / 4)
        pause = asked or 0.0
        if not asked or self.pauses_in_a_row:  # what the service asked for before was too short
            pause = max(pause, backoff)
        self._probe, self._opened, self._until = None, now, now + pause
        self.pauses, self.pauses_in_a_row = self.pauses + 1, self.pauses_in_a_row + 1
