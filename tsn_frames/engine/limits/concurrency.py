"""How many requests may be in flight, found by trying. Pure: levels go in, a limit comes out."""

from __future__ import annotations

import math
from collections import deque


class AdaptiveConcurrency:
    """How many requests may be in flight: doubled per round trip while in use, cut below a level that is refused.

    A level is the number in flight when a request was sent, itself included. A refused level is a wall: it is tried
    again after some successes just below it, twice as many each time that it is refused again, half as many each
    time that it is passed. One answer proves little, since slots come free while requests are on their way, and some
    services refuse at random: a level is refused when it is refused more often than the levels that were held so far.
    """

    ENOUGH, MEMORY = 32, 128
    OFTEN = 0.1
    MANY = 32  # slots, which is what a run has where nobody asks for more: growth is faster from here on
    FEW = 8  # slots: of more, one comes free all the time
    MOMENT = 0.004  # most seconds that one of many slots rests

    def __init__(self) -> None:
        self.limit = 1
        self._wall = math.inf
        self._patience = self._successes = 0
        self.moment = 0.0  # seconds that the last of many slots rests after an answer
        self.best = 0  # the highest that was ever accepted
        self._asked = self._refused = self._top = 0  # since the limit was cut or a wall was tried; the highest accepted
        self._held = 0  # the level that was held before that,
        self._usual = [8.0, 0.0]  # and how many were asked and refused there

    @property
    def at_random(self) -> bool:
        """Whether many are refused whatever their level."""
        return self._usual[1] > self.OFTEN * self._usual[0]

    def held(self, level: int) -> bool:
        """Return whether a level below the wall went well before."""
        return level <= self.best <= self.FEW and self.limit < self._wall < math.inf and not self.at_random

    def sent(self, level: int) -> None:
        """Count a request when it goes out: refusals come back sooner than answers."""
        if level >= self._wall or self.limit < self._wall:  # while a wall is tried, lower levels don't count
            self._asked += 1
        if self._asked > max(self.ENOUGH, self.limit):
            self._learn()

    def accepted(self, level: int, in_flight: int) -> None:
        """Grow, if the limit was the bottleneck when this answer's request was under way."""
        self._top = max(self._top, min(level, self.limit))
        self.best = max(self.best, level)
        if in_flight < self.limit:
            return
        self._successes += 1
        if self.limit + 1 < self._wall:
            self.limit += self._step()
        elif self.limit < self._wall and self._successes > min(self._patience, self.limit if self.at_random else math.inf):
            self._enter(self.limit + 1)
        elif self.limit >= self._wall and self._successes >= self.limit:
            self._patience = 0 if self.at_random else self._patience // 2
            self._wall = self.limit + 1 if self._patience else math.inf
            self._enter(self.limit)

    def _step(self) -> int:
        """Return what an answer adds: one, which doubles; three after the probe, and while many go and none was ever refused.

        Who asks for more than 32 says that the service takes them. Where it doesn't, refusals come back before answers do.
        """
        many = self.limit >= self.MANY and not self._refused and not self._usual[1]
        return 3 if self._wall == math.inf and (self.limit == 1 or many) else 1

    def refused(self, level: int) -> bool:
        """Judge a refused level, and cut below it if need be; return whether concurrency can have been the reason."""
        if level > self.limit:  # sent before the last cut, which has dealt with it
            return True
        self._refused += 1
        level = self.limit if self.limit >= self._wall else level  # two on their way can change places
        if level <= self._held and self._wall < math.inf and self.best > self.FEW:
            self.moment = min(self.MOMENT, 2 * self.moment or self.MOMENT / 4)
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
        self._held, self.moment = self._top or self._held, self.moment if self._refused else self.moment / 2
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


class Rest:
    """How long a slot stays taken after its answer has left: some services free it late.

    Where a level is refused that went well before, a long rest is tried. If the refusals end with it, ever shorter ones
    follow, and the shortest that held stays; if not, something else refuses, and rests are left alone for a while.
    """

    MOST = 1.5  # of an answer's usual time
    LEAST = 0.001
    CLEAN = 16  # answers without a refusal that prove a rest
    SHRINK = 0.6

    def __init__(self) -> None:
        self.seconds = 0.0
        self._freed: deque[float] = deque()  # when slots came free, the latest last
        self._usual = 0.0  # seconds of an answer
        self._proved = math.inf  # the shortest rest that held
        self._clean, self._until = 0, 0  # answers since the last change, and until the next one
        self._off, self._pause, self._hold = 0, 256, 4 * self.CLEAN
        self._changed = -math.inf  # when; what went out before tells nothing of it

    def delay(self, now: float, free: int) -> float:
        """Return the seconds until another slot has rested, of so many that nobody holds."""
        if not self.seconds or len(self._freed) < free:
            return 0.0
        return max(0.0, self._freed[-free] + self.seconds - now)

    def freed(self, now: float, took: float) -> None:
        """Note an answer, and the seconds that it took; after enough of them try a shorter rest."""
        self._usual += (took - self._usual) / (8 if self._usual else 1)
        self._off = max(0, self._off - 1)
        self._clean += 1
        self._freed.append(now)
        while self._freed[0] < now - self.MOST * self._usual:
            self._freed.popleft()
        if self.seconds and self._clean >= self._until:
            self._proved, self._clean, self._until, self._changed = self.seconds, 0, self.CLEAN, now
            self.seconds = self.SHRINK * self.seconds if self.seconds > self.LEAST else 0.0

    def refused(self, now: float, sent_at: float) -> bool:
        """Take in a refusal of a level that went well before; return whether a rest may end such."""
        if self._off or sent_at < self._changed:
            return self.seconds > 0
        self._changed = now
        if not self.seconds and self._proved == math.inf:
            self.seconds, self._until = self.MOST * self._usual, self.CLEAN
        elif self.seconds < self._proved < math.inf:
            self.seconds, self._until, self._hold = self._proved, self._hold, 2 * self._hold
        else:  # it did not help
            self.seconds, self._proved, self._off, self._pause = 0.0, math.inf, self._pause, 2 * self._pause
        self._clean = 0
        return self.seconds > 0
