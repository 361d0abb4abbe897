"""The rows of a run on their way: what each still needs, who is next, and how many have come to what."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress, count

from ...api import Request
from ..budget.accounts import Hold
from ..outcomes import Answers, Outcome


@dataclass(slots=True)
class Item:
    """One distinct request that is to be sent, and what its attempts have come to."""

    index: int
    request: Request
    fresh: bool = False
    leads: bool = False
    in_flight: bool = False
    attempts: int = 0
    refusals: int = 0
    alone: int = 0
    seen: int = 0
    answered_at: float = 0.0
    cost: Decimal | None = Decimal(0)
    hold: Hold | None = None


class Queue:
    """Who is next: rows whose wait is over, then rows that were never sent, then rows that are refused though others aren't.

    Parameters
    ----------
    items : iterable of Item
        Taken one by one, when a worker is free: a million rows are not a million objects.
    """

    def __init__(self, items: Iterable[Item], clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh, self._clock = iter(items), clock
        self._delayed: list[tuple[float, int, Item]] = []
        self._last: list[tuple[float, int, Item]] = []
        self._order = count()
        self._out = 0
        self._open = True
        self._sleepers: deque[asyncio.Future[None]] = deque()

    async def next(self) -> Item | None:
        """Return the next item, waiting for one whose wait isn't over; None when all are done."""
        while self._open:
            now = self._clock()
            item = self._due(self._delayed, now) or next(self._fresh, None) or self._due(self._last, now)
            if item is not None:
                self._out += 1
                return item
            waiting = [heap[0][0] for heap in (self._delayed, self._last) if heap]
            if not waiting and not self._out:
                self.close()
                break
            await self._sleep(min(waiting) - now if waiting else None)
        return None

    def back(self, item: Item, delay: float, *, last: bool = False) -> None:
        """Put an item back, to be tried again after ``delay`` seconds: before any that was never sent, or after all."""
        self._out -= 1
        heapq.heappush(self._last if last else self._delayed, (self._clock() + delay, next(self._order), item))
        self._wake(1)

    def done(self) -> None:
        """Note that an item is finished."""
        self._out -= 1
        if not self._out and not self._delayed and not self._last:
            self._wake(len(self._sleepers))

    def close(self) -> None:
        """Hand out nothing more."""
        self._open = False
        self._wake(len(self._sleepers))

    def left(self) -> list[Item]:
        """Take out the items that still wait for another attempt."""
        items = [item for _, _, item in (*self._delayed, *self._last)]
        self._delayed, self._last, self._out = [], [], self._out + len(items)
        return items

    @staticmethod
    def _due(heap: list[tuple[float, int, Item]], now: float) -> Item | None:
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


@dataclass(slots=True)
class Counts:
    """What a run has come to so far, by rows and by requests; read from any thread."""

    rows: int = 0
    answered: int = 0
    cached: int = 0
    copied: int = 0
    failed: int = 0
    skipped: int = 0
    not_sent: int = 0
    requests: int = 0
    refused: int = 0
    retried: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)
    cost_known: bool = True
    to_send: int = 0
    paid: int = 0

    @property
    def done(self) -> int:
        """Rows that are finished, in whatever way."""
        return self.answered + self.failed + self.skipped + self.not_sent

    @property
    def projected(self) -> Decimal | None:
        """What the run comes to if the other requests cost what those that are paid for did; None before there are ten."""
        return self.cost / self.paid * max(self.to_send, self.paid) if self.paid >= 10 else None

    def finish(self, outcome: Outcome, rows: int) -> None:
        """Count the rows of a finished request."""
        if outcome.error is None:
            self.answered += rows
        elif outcome.error.code == "not_sent":
            self.not_sent += rows
        else:
            self.failed += rows
        if outcome.completion is not None:
            self.copied += rows - 1

    def found(self, answers: Answers, copies: Sequence[int]) -> None:
        """Count the rows of all that came from the cache."""
        rows, empty = sum(compress(copies, answers.cached)), sum(copies[at] for at in answers.errors)
        self.answered += rows - empty
        self.cached += rows - empty
        self.failed += empty
