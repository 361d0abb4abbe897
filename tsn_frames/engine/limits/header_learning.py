"""What is learned of a service that states its limits: what its headers mean, what others use, whether our clock agrees. Pure."""

from __future__ import annotations

import math


class Order:
    """Whether a header is of when its answer was sent, or of when its request came in.

    Answers that overtake each other tell: what is left falls in the order in which the service counts.
    """

    SURE, MOST = 2, 8

    def __init__(self) -> None:
        self._votes = 0  # above 0 for the answer, below for the request
        self._last: tuple[float, float] | None = None

    @property
    def of_answer(self) -> bool:
        """Whether headers are surely of when the answer was sent."""
        return self._votes > self.SURE

    @property
    def of_request(self) -> bool:
        """Whether headers are surely of when the request came in."""
        return self._votes < -self.SURE

    def saw(self, sent_at: float, left: float) -> None:
        """Take in what the answer to a request says is left."""
        if self._last is not None and sent_at < self._last[0]:
            self._votes = max(-self.MOST, min(self.MOST, self._votes + (1 if left <= self._last[1] else -1)))
        self._last = sent_at, left


class Trust:
    """How many requests may be out on the word of our own clock alone: twice as many after each answer, one after a refusal."""

    PROVEN, MOST = 8, 64.0

    def __init__(self) -> None:
        self.out = 0  # requests that only our clock let go
        self.proved = False
        self._most, self._good = 1.0, 0

    @property
    def has_room(self) -> bool:
        """Whether one more may go."""
        return self.out < self._most

    @property
    def well_founded(self) -> bool:
        """Whether the clock has been right so often that a refusal is a small error of it."""
        return self._good >= self.PROVEN

    def judge(self, *, refused: bool) -> None:
        """Take in the end of a request that only our clock let go."""
        self._good = 0 if refused else self._good + 1
        self.proved = self.proved or self.well_founded
        self._most = 1.0 if refused else min(2 * self._most, self.MOST)


class Others:
    """What is missing beyond our own requests, for as long as it may stay so."""

    def __init__(self) -> None:
        self._units, self._end = 0.0, -math.inf

    def saw(self, now: float, missing: float, period: float) -> None:
        """Note what is missing; it comes back after a period, as ours does."""
        if missing >= self._units or now >= self._end:
            self._units, self._end = missing, now + period

    def units(self, now: float) -> float:
        """Return what others use now."""
        return self._units if now < self._end else 0.0
