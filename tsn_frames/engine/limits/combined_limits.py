"""All rate-limit rules of one account, without any waiting: time goes in, waits come out. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .circuit_breaker import CircuitBreaker
from .concurrency import AdaptiveConcurrency
from .header_quota import HeaderQuota
from .limits import Limits
from .rate_headers import rate_limits
from .sliding_window import SlidingWindow

# What the end of a request says about the service: it answered; it refused, or could not be reached; it failed; nothing.
Signal: TypeAlias = Literal["accepted", "refused", "failed", "none"]
USAGE_CAP = 10  # times the estimate: a larger usage is a server's mistake, and would block the account


class UserQuota:
    """The windows and the concurrency that one user's ``Limits`` set, for all runs and chats with the same limits."""

    def __init__(self, limits: Limits, history: SlidingWindow) -> None:
        self.max_wait, self.concurrency, self.in_flight = limits.max_wait, limits.most, 0
        self.requests = SlidingWindow(limits.requests_per_minute) if limits.requests_per_minute else None
        self.tokens = SlidingWindow(limits.tokens_per_minute) if limits.tokens_per_minute else None
        for when, tokens in history.entries:
            self.on_sent(when, tokens)

    def seconds_until_allowed(self, now: float, tokens: float) -> float:
        """Return the seconds until both windows allow a request."""
        requests = self.requests.seconds_until_allowed(now, 1) if self.requests else 0.0
        return max(requests, self.tokens.seconds_until_allowed(now, tokens) if self.tokens else 0.0)

    def on_sent(self, now: float, tokens: float) -> list[tuple[SlidingWindow, list[float]]]:
        """Count a request, and return what is corrected when its usage is known."""
        if self.requests:
            self.requests.on_sent(now, 1)
        return [(self.tokens, self.tokens.on_sent(now, tokens))] if self.tokens else []


@dataclass(slots=True)
class Permit:
    """The permission to send one request; the rules count it as in flight until its end is reported."""

    seq: int
    sent_at: float
    level: int  # requests in flight when it was sent, itself included
    tokens: float  # estimated tokens of prompt and answer
    quota: UserQuota
    entries: list[tuple[SlidingWindow, list[float]]] = field(default_factory=list)


class RateRules:
    """Concurrency, circuit breaker, header quotas and user quotas of one account."""

    def __init__(self, breaker: CircuitBreaker | None = None) -> None:
        self.breaker = breaker or CircuitBreaker()
        self.concurrency = AdaptiveConcurrency()
        self.requests, self.tokens = HeaderQuota(), HeaderQuota()
        self.in_flight = self.seq = 0
        self._history = SlidingWindow(math.inf)
        self._quotas: dict[tuple[float | None, ...], UserQuota] = {}

    def reset(self) -> None:
        """Begin as in a new process, except for what counts in the user's windows."""
        self.breaker.reset()
        self.requests.reset()
        self.tokens.reset()
        self.concurrency = AdaptiveConcurrency()

    def quota(self, limits: Limits) -> UserQuota:
        """Return the quota of a user's limits; the same limits share one."""
        key = (limits.most, limits.requests_per_minute, limits.tokens_per_minute, limits.max_wait)
        if key not in self._quotas:
            self._quotas[key] = self.new_quota(limits)
        return self._quotas[key]

    def new_quota(self, limits: Limits) -> UserQuota:
        """Return a quota of a user's limits, with what was sent in the last minute."""
        return UserQuota(limits, self._history)

    def seconds_until_allowed(self, now: float, quota: UserQuota, tokens: float) -> tuple[float, str]:
        """Return the seconds until the next request may go and the rule that says so; inf: until a response comes."""
        if self.in_flight >= self.concurrency.limit or quota.in_flight >= quota.concurrency:
            return math.inf, "concurrency"
        requests, allowed = self.requests.seconds_until_allowed(now, 1), self.tokens.seconds_until_allowed(now, tokens)
        if not self.in_flight and max(requests, allowed) > quota.max_wait:  # ask: a refusal that says so ends the run
            requests = allowed = 0.0
        return max(
            (requests, "requests"),
            (allowed, "tokens"),
            (self.breaker.seconds_until_allowed(now, quota.max_wait, self.in_flight), "pause"),
            (quota.seconds_until_allowed(now, tokens), "limits"),
        )

    def on_sent(self, now: float, quota: UserQuota, tokens: float) -> Permit:
        """Count a request that is sent now."""
        self.seq, self.in_flight, quota.in_flight = self.seq + 1, self.in_flight + 1, quota.in_flight + 1
        permit = Permit(self.seq, now, self.in_flight, tokens, quota)
        self.breaker.on_sent(permit.seq)
        self.concurrency.on_sent(permit.seq)
        self.requests.in_flight += 1
        self.tokens.in_flight += tokens
        self._history.on_sent(now, tokens)
        for other in self._quotas.values():
            permit.entries += other.on_sent(now, tokens)
        return permit

    def on_accepted(self, permit: Permit) -> None:
        """Take in that the service has begun to answer."""
        if self.breaker.on_accepted(permit.seq):
            self.concurrency.restart()

    def on_end(self, now: float, permit: Permit, headers: Mapping[str, str], signal: Signal, *,
               used: float | None = None, asked: float | None = None, lone: bool = False) -> None:  # fmt: skip
        """Take in the end of a request, with the tokens that it used where known, and the seconds that it asks to wait.

        ``lone``: the row failed before, while others were answered, so that its failure says nothing about them.
        """
        if signal == "accepted":
            self.concurrency.on_accepted(permit.level, self.in_flight)
        elif signal == "refused":
            self.concurrency.on_refused(permit.seq, permit.level)
        self._count_end(now, permit, headers, signal, used)
        if signal == "accepted":
            self.on_accepted(permit)
        elif signal == "none" or lone:
            self.breaker.on_cancelled(now, permit.seq)
        else:
            self.breaker.on_failure(now, permit.seq, asked)

    def _count_end(self, now: float, permit: Permit, headers: Mapping[str, str], signal: Signal, used: float | None) -> None:
        if used is None:
            used = 0.0 if signal == "refused" else permit.tokens
        self.in_flight, permit.quota.in_flight = self.in_flight - 1, permit.quota.in_flight - 1
        for window, entry in permit.entries:
            window.correct(entry, min(used, USAGE_CAP * permit.tokens))
        self.requests.in_flight -= 1
        self.tokens.in_flight -= permit.tokens
        accepted = {"accepted": True, "refused": False}.get(signal)
        if headers or accepted is not None:
            for part, state in zip((self.requests, self.tokens), rate_limits(headers), strict=True):
                part.on_headers(now, permit.seq, permit.sent_at, state, accepted=accepted)
