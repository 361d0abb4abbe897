"""Adaptive concurrency: how many requests may be in flight, found by trying. Pure."""

from __future__ import annotations

import math

from .circuit_breaker import Streak


class AdaptiveConcurrency:
    """Grow while all goes well and the limit is in use, shrink on refusals.

    A level is the number of requests in flight when one is sent, itself included. The limit starts at 1 and doubles per
    round trip. A refused level becomes the ceiling: it is tried again after some successes just below it, twice as many
    each time that it is refused again. A level that went well before is not to blame for a lone refusal, only for a
    streak; where lone refusals are common, it takes a streak to blame any level.
    """

    DECREASE = 0.7
    STREAK = 3
    COMMON = 0.12  # share of lone refusals from which on they are common
    MEMORY = 32  # requests that this share is averaged over

    def __init__(self) -> None:
        self.limit = 1
        self._ceiling = math.inf
        self._held = 0  # the highest level that was accepted
        self._successes = self._patience = 0  # successes since the limit changed, and how many it takes to try the ceiling
        self._sent = self._cut_at = 0  # the last request that was sent, and the last one before a cut
        self._streak = Streak(self.STREAK)
        self._lone = 0.0  # share of requests, lately, that were refused at a level that went well before

    def restart(self) -> None:
        """Begin at 1 again after a pause; the ceiling is kept."""
        self.limit, self._successes, self._cut_at = 1, 0, self._sent
        self._streak.clear()

    def on_sent(self, seq: int) -> None:
        """Note the latest request."""
        self._sent = seq

    def on_accepted(self, level: int, in_flight: int) -> None:
        """Grow if the limit was in use when this response came."""
        self._held = max(self._held, min(level, self.limit))
        self._lone -= self._lone / self.MEMORY
        if in_flight < self.limit:
            return
        self._successes += 1
        if self.limit + 1 < self._ceiling:  # slow start: one more per response doubles it per round trip
            self.limit += 1
        elif self.limit < self._ceiling and self._successes > self._patience:  # try the ceiling
            self.limit, self._successes = self.limit + 1, 0
        elif self.limit >= self._ceiling and self._successes >= self.limit:  # a whole round trip at the ceiling went well
            self._ceiling, self._patience = math.inf, self._patience // 2

    def on_refused(self, seq: int, level: int) -> None:
        """Shrink below a level that is to blame."""
        if seq <= self._cut_at:  # sent before the last cut
            return
        streak = self._streak.add(seq)
        new = level >= self._ceiling or level > self._held
        if not new:
            self._lone += (1 - self._lone) / self.MEMORY
        if level > 1 and (streak or (new and self._lone < self.COMMON)):
            self._cut(level, level - 1 if new else int(self.DECREASE * level))

    def _cut(self, level: int, limit: int) -> None:
        level = min(level, self.limit)
        if level >= self._ceiling or self._lone < self.COMMON:
            self._patience = 2 * self._patience + 2
        self._ceiling, self.limit = max(2, level), max(1, min(limit, level - 1))
        self._held, self._successes, self._cut_at = self.limit, 0, self._sent
        self._streak.clear()
