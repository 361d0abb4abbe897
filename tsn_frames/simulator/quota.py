"""The limits of the service: requests and tokens per window, and concurrency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["free", "starter", "pro"]

ESTIMATE = 64
"""Completion tokens charged at arrival to a request that sets no `max_tokens`."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much is allowed in one window of time, and how much at the same moment.

    The window is fixed, as at most gateways: it opens with the first request, and `window` seconds later
    everything is free again (the next request opens the next one). Refused requests cost nothing. Tokens are
    charged at arrival (prompt plus `max_tokens`, or plus 64 if that is not set) and corrected to the true
    number when the answer is done, if its window is still open.

    Parameters
    ----------
    requests
        Requests in a window, or None for no limit.
    tokens
        Tokens in a window, or None for no limit.
    window
        Seconds.
    concurrency
        Requests in work at the same moment, or None for no limit.

    Raises
    ------
    ValueError
        If a limit is below 1 or the window is not positive.

    Examples
    --------
    >>> Quota(requests=60, concurrency=5)
    Quota(requests=60, tokens=None, window=60.0, concurrency=5)
    """

    requests: int | None = None
    tokens: int | None = None
    window: float = 60.0
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "tokens", "concurrency"):
            value: int | None = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or None, not {value!r}")
        if not self.window > 0:
            raise ValueError(f"window must be a positive number of seconds, not {self.window!r}")


TIERS: dict[Tier, Quota] = {
    "free": Quota(20, 50_000, 60.0, 2),
    "starter": Quota(60, 200_000, 60.0, 5),
    "pro": Quota(300, 1_000_000, 60.0, 20),
}
"""The documented tiers."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens taken from one window."""

    window: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The limit that refuses a request, and the seconds until it would not."""

    limit: Literal["requests", "tokens", "concurrency"]
    wait: float


@dataclass(frozen=True, slots=True)
class Headroom:
    """What is left in the open window, and the seconds until it ends."""

    requests: int | None
    tokens: int | None
    reset: float


class Meter:
    """The state of a quota. The clock is passed in: seconds on any scale that only goes forward."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._window = 0
        self._ends = float("-inf")
        self._requests = 0
        self._tokens = 0
        self._working = 0

    def admit(self, tokens: int, now: float) -> Charge | Refusal:
        """Admit a request, or return why it is refused."""
        self._close_old_window(now)
        refusal = self._refusal(tokens, now)
        if refusal is not None:
            return refusal
        if self._requests == 0:
            self._window += 1
            self._ends = now + self.quota.window
        self._requests += 1
        self._tokens += tokens
        self._working += 1
        return Charge(self._window, tokens)

    def settle(self, charge: Charge, tokens: int, now: float) -> None:
        """End a request: release its slot and correct its tokens."""
        self._working -= 1
        self._close_old_window(now)
        if charge.window == self._window and self._requests:
            self._tokens = max(0, self._tokens - charge.tokens + tokens)

    def room(self, now: float) -> Headroom:
        """Return what is left."""
        self._close_old_window(now)
        quota = self.quota
        return Headroom(
            None if quota.requests is None else quota.requests - self._requests,
            None if quota.tokens is None else max(0, quota.tokens - self._tokens),
            max(0.0, self._ends - now),
        )

    def _close_old_window(self, now: float) -> None:
        if now >= self._ends:
            self._requests = self._tokens = 0

    def _refusal(self, tokens: int, now: float) -> Refusal | None:
        quota = self.quota
        wait = max(0.0, self._ends - now)
        if quota.requests is not None and self._requests >= quota.requests:
            return Refusal("requests", wait)
        if quota.tokens is not None and self._tokens + tokens > quota.tokens:
            return Refusal("tokens", wait)
        if quota.concurrency is not None and self._working >= quota.concurrency:
            return Refusal("concurrency", 1.0)
        return None
