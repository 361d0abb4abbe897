"""Rate limiter of one account: an async queue in front of the rules: chat, then rows."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from .combined_limits import Permit, RateRules, Signal, UserQuota
from .limits import Limits

CHAT, RETRY, FRAME, REPEATED = 0, 1, 2, 3  # priorities; RETRY: failed once, REPEATED: failed more than once
SHORTEST_TIMER = 0.001


class RateLimiter:
    """Hands out permits in order of arrival. Used on the engine's loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rules: RateRules | None = None) -> None:
        self.rules, self.clock = rules or RateRules(), clock
        self.waited: dict[str, float] = {}  # seconds by the rule that was waited for
        self._runs = 0
        self._queues: dict[tuple[int, UserQuota], deque[tuple[asyncio.Future[Permit], float, int]]] = {}
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None
        self._blocked: tuple[str, float] | None = None  # the rule that is waited for, and since when

    def known_limits(self) -> tuple[float, float]:
        """Return the requests and the tokens a minute that headers have stated in this run or the last one; inf where they have not."""
        return self.rules.requests.known_limit, self.rules.tokens.known_limit

    @contextmanager
    def run(self, limits: Limits) -> Iterator[UserQuota]:
        """Open the limiter for one run or chat; what was learned is forgotten when none is left."""
        if not self._runs:
            self.rules.reset()
        self._runs += 1
        try:
            yield self.rules.quota(limits)
        finally:
            self._runs -= 1

    async def acquire(self, quota: UserQuota, tokens: float, priority: int = FRAME) -> Permit:
        """Wait for a permit to send a request of about ``tokens`` tokens."""
        now = self.clock()
        if not self._queues and self.rules.seconds_until_allowed(now, quota, tokens)[0] <= 0:
            return self.rules.on_sent(now, quota, tokens)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._queues.setdefault((priority, quota), deque()).append((future, tokens, next(self._arrivals)))
        self.grant()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.on_end(future.result(), {}, "none")
            self.grant()
            raise

    def waiting(self, quota: UserQuota) -> list[float]:
        """Return the tokens of each request that waits under a quota, the next one first."""
        queues = [self._queues[key] for key in sorted(self._queues, key=self._turn) if key[1] is quota]
        return [tokens for queue in queues for future, tokens, _ in queue if not future.done()]

    def on_accepted(self, permit: Permit) -> None:
        """Report that the service has begun to stream its answer."""
        self.rules.on_accepted(permit)
        self.grant()

    def on_end(self, permit: Permit, headers: Mapping[str, str], signal: Signal, *,
               used: float | None = None, asked: float | None = None, lone: bool = False) -> None:  # fmt: skip
        """Report the end of a request, see :meth:`.RateRules.on_end`."""
        self.rules.on_end(self.clock(), permit, headers, signal, used=used, asked=asked, lone=lone)
        self.grant()

    def grant(self) -> None:
        """Grant all permits that the rules allow now, and set a timer for the next one; also where a quota was changed from outside."""
        if not self._queues and not self._blocked:
            return
        now = self.clock()
        while not (blocked := self._grant_one(now)):
            pass
        soonest, rule = min(blocked)
        self._add_waited(now, rule)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if soonest < math.inf:
            self._timer = asyncio.get_running_loop().call_later(soonest, self.grant)

    def _grant_one(self, now: float) -> list[tuple[float, str]]:
        """Grant the first permit that is allowed and return nothing; else the seconds and the rule that each queue waits for."""
        blocked = []
        for key in sorted(self._queues, key=self._turn) if len(self._queues) > 1 else list(self._queues):
            queue = self._queues[key]
            # A probe is the row that came last: those that came before stand beside the refused ones.
            place = -1 if self.rules.breaker.paused and key[0] > CHAT else 0
            while queue and queue[place][0].done():  # cancelled
                del queue[place]
            if not queue:
                del self._queues[key]
                continue
            seconds, rule = self.rules.seconds_until_allowed(now, key[1], queue[place][1])
            if seconds <= 0:
                future, tokens, _ = queue[place]
                del queue[place]
                future.set_result(self.rules.on_sent(now, key[1], tokens))
                return []
            blocked.append((max(seconds, SHORTEST_TIMER), rule))
        return blocked or [(math.inf, "")]

    def _turn(self, key: tuple[int, UserQuota]) -> tuple[int, int]:
        """Sort by priority, then by arrival.

        Rows are equal, whether they failed or not, until a probe is due. Then those that failed once come first or after unsent
        ones, and those that failed more than once last: the fault may be theirs.
        """
        queue, priority, breaker = self._queues[key], key[0], self.rules.breaker
        if priority > CHAT and not breaker.paused:
            priority = FRAME
        elif priority == RETRY and breaker.preferred_probe != "retry":
            priority = REPEATED
        elif priority == REPEATED:
            priority += 1
        return priority, queue[0][2] if queue else 0

    def _add_waited(self, now: float, rule: str) -> None:
        if self._blocked:
            waited_for, since = self._blocked
            self.waited[waited_for] = self.waited.get(waited_for, 0.0) + now - since
        self._blocked = (rule, now) if rule else None
