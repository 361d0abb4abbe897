"""How many requests may be in flight, found by trying. Pure: levels go in, a limit comes out."""

from __future__ import annotations

import math


class Ceiling:
    """How many requests may be in flight: doubled per round trip while in use, cut below a level that is refused.

    A level is the number in flight when a request was sent, itself included. A refused level is a wall: it is tried
    again after some successes just below it, twice as many each time that it is refused again, half as many each
    time that it is passed. One answer proves little, since slots come free while requests are on their way, and some
    services refuse at random: a level is refused when it is refused more often than the levels that were held so far.
    """

    ENOUGH, MEMORY = 32, 128
    OFTEN = 0.1
    REST = 0.004  # most seconds that a slot rests

    def __init__(self) -> None:
        self.limit = 1
        self.rest = 0.0  # seconds that a slot at the wall rests after an answer: some services free it late
        self._wall = math.inf
        self._patience = self._successes = 0
        self._asked = self._refused = self._top = 0  # since the limit was cut or a wall was tried; the highest accepted
        self._held = 0  # the level that was held before that,
        self._usual = [8.0, 0.0]  # and how many were asked and refused there

    @property
    def at_random(self) -> bool:
        """Whether many are refused whatever their level."""
        return self._usual[1] > self.OFTEN * self._usual[0]

    def sent(self, level: int) -> None:
        """Count a request when it goes out: refusals come back sooner than answers."""
        if level >= self._wall or self.limit < self._wall:  # while a wall is tried, lower levels don't count
            self._asked += 1
        if self._asked > max(self.ENOUGH, self.limit):
            self._learn()

    def accepted(self, level: int, in_flight: int) -> None:
        """Grow, if the limit was the bottleneck when this answer's request was under way."""
        self._top = max(self._top, min(level, self.limit))
        if in_flight < self.limit:
            return
        self._successes += 1
        if self.limit + 1 < self._wall:
            self.limit += 1 if self.limit > 1 or self._wall < math.inf else 3  # one was the probe: the first step is larger
        elif self.limit < self._wall and self._successes > min(self._patience, self.limit if self.at_random else math.inf):
            self._enter(self.limit + 1)
        elif self.limit >= self._wall and self._successes >= self.limit:
            self._patience = 0 if self.at_random else self._patience // 2
            self._wall = self.limit + 1 if self._patience else math.inf
            self._enter(self.limit)

    def refused(self, level: int) -> bool:
        """Judge a refused level, and cut below it if need be; return whether concurrency can have been the reason."""
        if level > self.limit:  # sent before the last cut, which has dealt with it
            return True
        self._refused += 1
        level = self.limit if self.limit >= self._wall else level  # two on their way can change places
        if level <= self._held and self._wall < math.inf:
            self.rest = min(self.REST, 2 * self.rest or self.REST / 4)
        doubt = 2 if level <= self._held else 1 if level <= self._top or self.at_random else 0
        if level == 1 or self._refused <= 2 * self._usual[1] / self._usual[0] * self._asked + doubt:
            return False
        again = self._wall < math.inf and not self._successes
        self._cut(level, again=again)
        return not again

    def restart(self, *, forget: bool = False) -> None:
        """Start slowly again after a pause; the walls are remembered unless what was refused was a quota."""
        if forget:
            self._wall, self._patience = math.inf, 0
        self.limit = 1
        self._reset()

    def _learn(self) -> None:
        """Take the latest answers for what is usual at this level."""
        self._held, self.rest = self._top or self._held, self.rest if self._refused else self.rest / 2
        self._usual = [self._usual[0] + self._asked, self._usual[1] + self._refused]
        if self._usual[0] > self.MEMORY:
            self._usual = [n / 2 for n in self._usual]
        self._asked = self._refused = 0

    def _enter(self, limit: int) -> None:
        self._learn()
        self._reset()
        self.limit = limit

    def _cut(self, level: int, *, again: bool) -> None:
        """Go below a level: more than one below where nothing went well since the last cut."""
        if self.limit >= self._wall:
            self._patience, self.limit = 2 * self._patience + 2, int(self._wall) - 1
        else:
            self._patience, self._wall, self._held = max(self._patience, level), level, 0
            self.limit = max(1, int(0.7 * level) if again else level - 1)
        self._reset()

    def _reset(self) -> None:
        self._asked = self._refused = self._top = self._successes = 0
