"""The requests of a run that are still to be sent, and their order."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice

from ...api import Request
from ..budget.reservations import Reservation


@dataclass(slots=True)
class PendingRequest:
    """One distinct request that is to be sent, and its attempts so far."""

    index: int
    request: Request
    fresh: bool = False  # whether an earlier answer must not be replayed
    leads: bool = False  # whether other runs may wait for its answer (single flight)
    in_flight: bool = False  # whether it was sent, and its answer isn't on disk yet
    attempts: int = 0  # failed attempts; a refusal is none
    refusals: int = 0
    alone: int = 0  # refusals that came while others were answered
    fails_alone: bool = False  # whether it failed while others were answered
    seen: int = 0  # requests of the run that had been answered at its last failure
    answered_at: float = 0.0
    cost: Decimal | None = Decimal(0)  # cost of its attempts so far; None where that is unknown
    reservation: Reservation | None = None


class RetryQueue:
    """Order: due retries, then unsent requests, then requests that fail or are refused alone.

    While the circuit breaker prefers retries as probes, unsent requests are held back as long as one waits that failed
    once. While it prefers unsent requests, one from further on comes before due retries: else rows that are always refused
    could occupy every worker, and each probe would be one of them or of their neighbours.
    """

    SKIPPED = 100  # unsent requests that are passed over for one that is a probe

    def __init__(self, items: Iterable[PendingRequest], clock: Callable[[], float] = time.monotonic,
                 preferred_probe: Callable[[], str | None] = lambda: None) -> None:  # fmt: skip
        # Items are taken one by one, so that a million rows aren't a million objects at once.
        self._items, self._ahead, self._clock = iter(items), deque[PendingRequest](), clock
        self._preferred_probe = preferred_probe
        self._delayed: list[tuple[float, int, PendingRequest]] = []
        self._last: list[tuple[float, int, PendingRequest]] = []
        self._order = count()
        self._out = 0
        self._open = True
        self._held_back = False  # whether a worker sleeps although there are unsent requests
        self._sleepers: deque[asyncio.Future[None]] = deque()

    async def next(self) -> PendingRequest | None:
        """Return the next item, as soon as one is due; None when all are finished."""
        while self._open:
            now = self._clock()
            probe = self._preferred_probe()
            held_back = probe == "retry" and any(item.attempts + item.refusals == 1 for _, _, item in self._delayed)
            item = self._unsent_further_on() if probe == "unsent" else None
            item = item or self._due(self._delayed, now)
            if item is None and not held_back:
                item = self._next_unsent() or self._due(self._last, now)
            if item is not None:
                self._out += 1
                return item
            waiting = [heap[0][0] for heap in (self._delayed, [] if held_back else self._last) if heap]
            if not waiting and not self._out:
                self.close()
                break
            self._held_back |= held_back
            await self._sleep(min(waiting) - now if waiting else None)
        return None

    def requeue(self, item: PendingRequest, delay: float, *, last: bool = False) -> None:
        """Put an item back, due in ``delay`` seconds: before unsent items, or with ``last`` after all."""
        self._out -= 1
        heapq.heappush(self._last if last else self._delayed, (self._clock() + delay, next(self._order), item))
        self._wake(1)

    def done(self) -> None:
        """Count an item as finished."""
        self._out -= 1
        is_last = not self._out and not self._delayed and not self._last
        if is_last or (self._held_back and self._preferred_probe() != "retry"):
            self._held_back = False
            self._wake(len(self._sleepers))

    def close(self) -> None:
        """Return no item any more."""
        self._open = False
        self._wake(len(self._sleepers))

    def drain(self) -> list[PendingRequest]:
        """Remove and return the items that wait for another attempt."""
        items = [item for _, _, item in (*self._delayed, *self._last)]
        self._delayed, self._last, self._out = [], [], self._out + len(items)
        return items

    def _next_unsent(self) -> PendingRequest | None:
        return self._ahead.popleft() if self._ahead else next(self._items, None)

    def _unsent_further_on(self) -> PendingRequest | None:
        self._ahead.extend(islice(self._items, self.SKIPPED))
        return self._ahead.pop() if self._ahead else None

    @staticmethod
    def _due(heap: list[tuple[float, int, PendingRequest]], now: float) -> PendingRequest | None:
        return heapq.heappop(heap)[2] if heap and heap[0][0] <= now else None

    async def _sleep(self, seconds: float | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append(future)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(future, seconds)

    def _wake(self, number: int) -> None:
        while number > 0 and self._sleepers:
            future = self._sleepers.popleft()
            if not future.done():
                future.set_result(None)
                number -= 1
