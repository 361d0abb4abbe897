"""An event loop whose clock jumps to the next timer, and services that live on it: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any


class _Jump(selectors.SelectSelector):
    """Never sleeps: the time that the loop would wait has passed at once."""

    now = 0.0

    def select(self, timeout=None):
        found = super().select(0)
        if not found:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now += max(0.0, timeout)
        return found


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine function on its own loop that starts at 0 seconds."""
    selector = _Jump()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Reply:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""


class Service:
    """A chat service as the limiter sees it: fixed windows, slots, outages and a way there that takes time.

    Parameters
    ----------
    dice : random.Random
    seconds : float
        Median time of an answer; it varies by ``spread`` down and up.
    trip : float
        Most seconds that a request or an answer is on its way.
    window, requests : float, int
        At most so many requests in each window; None for no limit.
    slots : int
        Most requests in work at once; None for no limit. A slot is free ``lag`` seconds after the answer has left.
    lone : float
        Share of requests that are refused for no reason.
    refusal : int
        Status of a refusal.
    headers : {"honest", "lying", "none"}
    penalty : float
        Share of requests that start 3 seconds in which all are refused.
    hint : str
        A message, with ``{wait}`` for the seconds until the window ends.
    """

    def __init__(self, dice, *, seconds=0.05, trip=0.002, window=2.0, requests=None, slots=None, lag=0.0, lone=0.0,
                 headers="honest", hint="", outage=(0.0, 0.0), spread=3.0, refusal=429, penalty=0.0):  # fmt: skip
        self.dice, self.seconds, self.trip, self.window, self.most, self.slots = dice, seconds, trip, window, requests, slots
        self.lag, self.lone, self.headers, self.hint, self.outage = lag, lone, headers, hint, outage
        self.spread, self.refusal, self.penalty, self.penalty_ends = spread, refusal, penalty, 0.0
        self.ends = self.used = self.working = 0
        self.arrivals: list[float] = []
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.failed: list[float] = []
        self.busy = 0.0

    async def ask(self) -> Reply:
        await asyncio.sleep(self.trip * self.dice.random())
        reply = self._judge(now())
        if reply.status == 200:
            await self._work(reply)
        await asyncio.sleep(self.trip * self.dice.random())
        return reply

    def _judge(self, at: float) -> Reply:
        self.arrivals.append(at)
        if at >= self.ends:
            self.used = 0
        if self.outage[0] <= at < self.outage[1]:
            self.failed.append(at)
            return Reply(503, {}, "overloaded")
        if at < self.penalty_ends or (self.penalty and self.dice.random() < self.penalty):
            self.penalty_ends = max(self.penalty_ends, at + 3.0) if at >= self.penalty_ends else self.penalty_ends
            self.refused.append(at)
            return Reply(self.refusal, self._headers(at), self.hint.format(wait=3))
        full = self.most is not None and self.used >= self.most
        if full or (self.slots is not None and self.working >= self.slots) or self.dice.random() < self.lone:
            self.refused.append(at)
            wait = int(max(0.0, self.ends - at)) + 1 if full else 1
            return Reply(self.refusal, self._headers(at), self.hint.format(wait=wait))
        if at >= self.ends:
            self.ends = at + self.window
        self.used += 1
        self.working += 1
        self.accepted.append(at)
        return Reply(200)

    async def _work(self, reply: Reply) -> None:
        took = self.seconds * self.spread ** self.dice.uniform(-1, 1)
        self.busy += took
        await asyncio.sleep(took)
        reply.headers = self._headers(now())
        if self.lag:
            asyncio.get_running_loop().call_later(self.lag * self.dice.random(), self._free)
        else:
            self._free()

    def _free(self) -> None:
        self.working -= 1

    def _headers(self, at: float) -> dict[str, str]:
        if self.headers == "none" or self.most is None:
            return {}
        left = self.most - self.used if at < self.ends else self.most
        return {
            "x-ratelimit-limit-requests": str(self.most),
            "x-ratelimit-remaining-requests": str(self.most if self.headers == "lying" else left),
            "x-ratelimit-reset-requests": f"{max(0.0, self.ends - at) * 1000:.0f}ms",
        }
