"""One account's gate: asks every rule when the next request may go, and lets the waiting ones through in order."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from .circuit_breaker import CircuitBreaker
from .concurrency import AdaptiveConcurrency, Rest
from .header_quota import Mark, Remaining
from .limits import Limits
from .rate_headers import RetryAfter, allowances
from .sliding_window import Inferred, SlidingWindow

CHAT, FRAME = 0, 1
NEWS = 10.0
CROWDED = 0.85  # of the most that were ever accepted at once
BELIEVED = 10  # times the estimate: a usage beyond that is a server's mistake, and would stall the account


@dataclass(slots=True)
class Permit:
    """Leave to send one request, until :meth:`Gate.settle` takes it back."""

    seq: int
    sent_at: float
    level: int
    tokens: float
    marks: tuple[Mark, Mark]  # among requests, and among tokens
    pace: UserQuota | None = None  # of the run that sent it
    booked: list[tuple[SlidingWindow, list[float]]] = field(default_factory=list)


class UserQuota:
    """What one user's ``Limits`` set, for all runs and chats that go by them.

    All of the account's requests count in the windows, the latest ones too. ``most`` of those that go by the same limits
    may be in flight.

    Parameters
    ----------
    limits : Limits
        What the user sets.
    history : SlidingWindow
        What the account sent in the last minute, as tokens.
    """

    def __init__(self, limits: Limits, history: SlidingWindow) -> None:
        self.max_wait, self.most, self.in_flight = limits.max_wait, limits.most, 0
        self.requests = SlidingWindow(limits.requests_per_minute) if limits.requests_per_minute else None
        self.tokens = SlidingWindow(limits.tokens_per_minute) if limits.tokens_per_minute else None
        for when, tokens in history.entries:
            self.book(when, tokens)

    def delay(self, now: float, tokens: float) -> float:
        """Return the seconds until both windows have room."""
        return max(self.requests.delay(now, 1) if self.requests else 0.0, self.tokens.delay(now, tokens) if self.tokens else 0.0)

    def book(self, now: float, tokens: float) -> list[tuple[SlidingWindow, list[float]]]:
        """Count a request that goes out, and return what is corrected when its usage is known."""
        if self.requests:
            self.requests.sent(now, 1)
        return [(self.tokens, self.tokens.sent(now, tokens))] if self.tokens else []


class RateRules:
    """All rules of one account without any waiting: time goes in, delays come out."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.ceiling, self.rest, self.flow, self.inferred = AdaptiveConcurrency(), Rest(), CircuitBreaker(jitter), Inferred()
        self.requests, self.tokens, self.history = Remaining(), Remaining(), SlidingWindow(math.inf)
        self.paces: dict[tuple[float | None, ...], UserQuota] = {}
        self.in_flight, self.tokens_in_flight, self.seq = 0, 0.0, 0
        self.last_success, self._freed, self._explained = -math.inf, -math.inf, True

    def pace(self, limits: Limits) -> UserQuota:
        """Return the windows for a user's limits; the same limits share them."""
        key = (limits.most, limits.requests_per_minute, limits.tokens_per_minute, limits.max_wait)
        return self.paces.setdefault(key, UserQuota(limits, self.history))

    def begin(self, now: float, pace: UserQuota) -> None:
        """Let a new run's first request go alone where the last success is no news: key, server or limits may be others.

        One goes, too, where a pause is longer than the run may wait: its refusal says so, and ends the run.
        """
        if not self.in_flight and now - self.last_success > NEWS:
            self.flow.look(now, stated=False)
        if not self.in_flight and self.flow.until - now > pace.max_wait:
            self.flow.look(now, stated=True)

    def delay(self, now: float, pace: UserQuota, tokens: float) -> tuple[float, str]:
        """Return the seconds until the next request may go and the rule that says so; inf: until an answer comes."""
        if self.in_flight >= self.ceiling.limit or pace.in_flight >= pace.most:
            return math.inf, "concurrency"
        told = [
            (self.requests.delay(now, 1, self.in_flight), "requests"),
            (self.tokens.delay(now, tokens, self.tokens_in_flight), "tokens"),
        ]
        if not self.in_flight and max(told)[0] > pace.max_wait:  # too long to take from a header: let a refusal say so
            told = []
        free = self.ceiling.limit - self.in_flight
        rested = max(self.rest.delay(now, free), self._freed + self.ceiling.moment - now if free == 1 else 0.0)
        rules = [*told, (rested, "concurrency"), (self.flow.delay(now), "pause"), (pace.delay(now, tokens), "pace")]
        if self.inferred.window:
            rules.append((self.inferred.window.delay(now, 1), "inferred"))
        return max(rules)

    def send(self, now: float, tokens: float, by: UserQuota | None = None) -> Permit:
        """Book a request that goes out now, by whose limits."""
        self.seq, self.in_flight, self.tokens_in_flight = self.seq + 1, self.in_flight + 1, self.tokens_in_flight + tokens
        marks = self.requests.sent(now, 1), self.tokens.sent(now, tokens)
        grant = Permit(self.seq, now, self.in_flight, tokens, marks, by)
        if by is not None:
            by.in_flight += 1
        self.flow.sent(grant.seq)
        self.ceiling.sent(grant.level)
        self.history.delay(now, 0)
        self.history.sent(now, tokens)
        for pace in self.paces.values():
            grant.booked += pace.book(now, tokens)
        if self.inferred.window:
            self.inferred.window.sent(now, 1)
        return grant

    def answered(self, now: float, grant: Permit, headers: Mapping[str, str], used: float | None) -> None:
        """Take in an answer that is no refusal, with the tokens that it used where known."""
        self.ceiling.accepted(grant.level, self.in_flight)
        self.rest.freed(now, now - grant.sent_at)
        self._done(now, grant, headers, grant.tokens if used is None else min(used, BELIEVED * grant.tokens))
        self.begun(now, grant)
        self.inferred.accepted(now, grant.sent_at)

    def begun(self, now: float, grant: Permit) -> None:
        """Take in that an answer has begun to stream: nobody waits for its end to learn that requests are let in."""
        self.last_success = now
        if self.flow.accepted(grant.seq):
            self.ceiling.restart(forget=not self._explained)
            explained = self._explained or self.ceiling.at_random or self.requests.works or self.tokens.works
            self.inferred.resumed(grant.sent_at, explained=explained)

    def refused(self, now: float, grant: Permit, headers: Mapping[str, str], wait: RetryAfter, *, quota: bool) -> None:
        """Take in a 429 (``quota``), a 503 or a connection that could not be made."""
        foreseen = quota and any(part.foresaw(mark) for part, mark in self._parts(grant))
        innocent = foreseen or (self.flow.state == "open" and self._innocent(now, grant))
        self._done(now, grant, headers, 0.0, refused=True)
        sure = quota and not foreseen and any(a.remaining is not None and a.remaining <= 0 for a in allowances(headers))
        self.flow.refused(now, grant.seq, wait, sure=sure, innocent=innocent)
        # With others in flight it may have been their number: then nothing is inferred of a quota.
        stated = wait.message if wait.seconds is None else wait.seconds
        crowded = self.in_flight > (0 if stated is None else CROWDED * self.ceiling.best)
        self._explained = not quota or crowded
        self.inferred.closed(now + (0.0 if stated is None else max(0.0, stated - 1.0)))

    def _innocent(self, now: float, grant: Permit) -> bool:
        """Return whether something deals with a refusal that asks nobody else to wait."""
        late = self.ceiling.held(grant.level) and self.rest.refused(now, grant.sent_at)
        return late or self.inferred.refused() or self.ceiling.refused(grant.level)

    def failed(self, now: float, grant: Permit, headers: Mapping[str, str], *, trouble: bool = False) -> None:
        """Take back a request whose end says nothing of limits: a server's ``trouble``, or a cancel."""
        self._done(now, grant, headers, grant.tokens)
        if trouble:
            self.flow.troubled(now, grant.seq)
            self._explained = True
        else:
            self.flow.gone(grant.seq)

    def _done(self, now: float, grant: Permit, headers: Mapping[str, str], used: float, *, refused: bool = False) -> None:
        self._freed = now
        self.in_flight, self.tokens_in_flight = self.in_flight - 1, self.tokens_in_flight - grant.tokens
        if grant.pace is not None:
            grant.pace.in_flight -= 1
        for window, entry in grant.booked:
            window.settle(entry, used)
        self.tokens.settle(grant.marks[1], used)
        self.requests.settle(grant.marks[0], 0.0 if refused else 1.0)
        if headers or refused:
            counts = (self.in_flight, self.tokens_in_flight)
            for (part, mark), told, in_flight in zip(self._parts(grant), allowances(headers), counts, strict=True):
                part.told(now, mark, told, in_flight, refused=refused)

    def _parts(self, grant: Permit) -> tuple[tuple[Remaining, Mark], tuple[Remaining, Mark]]:
        return (self.requests, grant.marks[0]), (self.tokens, grant.marks[1])


class RateLimiter:
    """The gate of one account on the engine's loop: whoever wants to send waits here, chat before frames."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, gate: RateRules | None = None) -> None:
        self.gate, self.clock = gate or RateRules(), clock
        self.waited: dict[str, float] = {}
        self._queues: dict[tuple[int, UserQuota], deque[tuple[asyncio.Future[Permit], float, int]]] = {}
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None
        self._blocked: tuple[str, float] | None = None

    async def acquire(self, pace: UserQuota, tokens: float, priority: int = FRAME) -> Permit:
        """Wait for leave to send a request of about ``tokens`` tokens."""
        now = self.clock()
        if not self._queues and self.gate.delay(now, pace, tokens)[0] <= 0:
            return self.gate.send(now, tokens, pace)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._queues.setdefault((priority, pace), deque()).append((future, tokens, next(self._arrivals)))
        self.pump()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.gate.failed(self.clock(), future.result(), {})
            self.pump()  # which books the time that was waited, too
            raise

    def pump(self) -> None:
        """Let through whoever may go now, in order of arrival, and wake up when the next one may."""
        if not self._queues and not self._blocked:
            return
        now = self.clock()
        while not (blocked := self._blocks(now)):
            pass
        soonest, rule = min(blocked)
        self._book_waiting(now, rule)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if soonest < math.inf:
            self._timer = asyncio.get_running_loop().call_later(soonest, self.pump)

    def _blocks(self, now: float) -> list[tuple[float, str]]:
        """Let the first one through that may go and return nothing; else what each queue waits for."""
        blocked = []
        for key in sorted(self._queues, key=self._turn) if len(self._queues) > 1 else list(self._queues):
            queue = self._queues[key]
            while queue and queue[0][0].done():  # cancelled
                queue.popleft()
            if not queue:
                del self._queues[key]
                continue
            delay, why = self.gate.delay(now, key[1], queue[0][1])
            if delay <= 0:
                future, tokens, _ = queue.popleft()
                future.set_result(self.gate.send(now, tokens, key[1]))
                return []
            blocked.append((max(delay, 0.001), why))
        return blocked or [(math.inf, "")]

    def _turn(self, key: tuple[int, UserQuota]) -> tuple[int, int]:
        queue = self._queues[key]
        return key[0], queue[0][2] if queue else 0

    def _book_waiting(self, now: float, rule: str) -> None:
        if self._blocked:
            why, since = self._blocked
            self.waited[why] = self.waited.get(why, 0.0) + now - since
        self._blocked = (rule, now) if rule else None
