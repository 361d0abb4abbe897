"""Services on the fake clock with quotas of any kind, announced in headers of any style."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from support.fake_time import Reply, Service, now


@dataclass
class Meter:
    """So many requests a period, counted in windows of one kind.

    ``fixed`` opens with its first request, ``aligned`` at whole periods, ``sliding`` holds the last period at every
    moment, ``bucket`` fills evenly. ``full``: a reset is when all is back, else when the next one is.
    """

    kind: str
    most: int = 60
    period: float = 2.0
    full: bool = False
    phase: float = 0.0
    log: deque[float] = field(default_factory=deque)
    used: int = 0
    ends: float = -math.inf
    level: float = math.inf
    seen: float = 0.0

    def _roll(self, at: float) -> None:
        if self.kind == "fixed" and at >= self.ends:
            self.used = 0
        elif self.kind == "aligned":
            ends = (math.floor((at + self.phase) / self.period) + 1) * self.period - self.phase
            self.used, self.ends = (self.used if ends == self.ends else 0), ends
        elif self.kind == "sliding":
            while self.log and self.log[0] + self.period <= at:
                self.log.popleft()
            self.used = len(self.log)
        elif self.kind == "bucket":
            self.level = min(self.most, self.level + (at - self.seen) * self.most / self.period)
            self.seen = at

    def left(self, at: float) -> int:
        self._roll(at)
        return math.floor(self.level) if self.kind == "bucket" else self.most - self.used

    def take(self, at: float) -> None:
        self.ends = at + self.period if self.kind == "fixed" and at >= self.ends else self.ends
        self.used, self.level = self.used + 1, self.level - 1
        self.log.append(at)

    def reset(self, at: float) -> float:
        self._roll(at)
        if self.kind == "bucket":
            return max(0.0, ((self.most if self.full else 1) - self.level) * self.period / self.most)
        if self.kind == "sliding":
            return (self.log[-1 if self.full else 0] + self.period - at) if self.log else 0.0
        return max(0.0, self.ends - at)


SPELLINGS = {
    "ms": lambda s: f"{math.ceil(s * 1000)}ms",
    "up": lambda s: f"{math.ceil(s)}s",
    "down": lambda s: f"{math.floor(s)}s",
    "nearest": lambda s: f"{round(s)}s",
}


class Metered(Service):
    """A service with a meter.

    Parameters
    ----------
    spelling : str
        How a reset is written.
    on : {"all", "answers", "refusals", "none"}
        Which replies have the headers.
    early : bool
        Whether headers are of when a request came in, not of when its answer leaves.
    hint : {"none", "seconds", "ms", "message"}
        How else a refusal says when to come again.
    """

    def __init__(self, dice, meter: Meter, *, spelling="ms", on="all", early=False, hint="none", **options):
        super().__init__(dice, **{"seconds": 0.03, **options})
        self.meter, self.spelling, self.on, self.early, self.how = meter, spelling, on, early, hint

    def _judge(self, at: float) -> Reply:
        self.arrivals.append(at)
        if self.meter.left(at) < 1:
            self.refused.append(at)
            return self._refusal(at, self.meter.reset(at) if self.meter.kind != "bucket" else -self.meter.level + 1)
        self.meter.take(at)
        self.accepted.append(at)
        return Reply(200, self._told(at, "answers") if self.early else {})

    def _refusal(self, at: float, wait: float) -> Reply:
        seconds = max(1, math.ceil(wait))
        hint = {"seconds": {"retry-after": str(seconds)}, "ms": {"retry-after-ms": str(math.ceil(wait * 1000))}}
        message = f"Retry after {seconds} seconds" if self.how == "message" else "Rate limit exceeded"
        return Reply(429, self._told(at, "refusals") | hint.get(self.how, {}), message)

    async def _work(self, reply: Reply) -> None:
        took = self.seconds * self.spread ** self.dice.uniform(-1, 1)
        self.busy += took
        await asyncio.sleep(took)
        if not self.early:
            reply.headers = self._told(now(), "answers")

    def _told(self, at: float, where: str) -> dict[str, str]:
        if self.on not in ("all", where):
            return {}
        left, meter = self.meter.left(at), self.meter
        return {
            "x-ratelimit-limit-requests": str(meter.most),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": SPELLINGS[self.spelling](meter.reset(at)),
        }
