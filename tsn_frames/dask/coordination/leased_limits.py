"""The share that this process has of an account's limits, renewed while its tasks run."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...engine.limits.combined_limits import UserQuota
from ...engine.limits.limiter import RateLimiter
from ...engine.limits.sliding_window import SlidingWindow
from ...engine.runtime.client import Client
from ...engine.runtime.process import process_state
from .account_shares import LEASE_SECONDS, POLL, UNITS
from .channels import Channel

log = logging.getLogger("tsn_frames")
IDLE_SECONDS = 1.0  # between the end of the last task and the return of the lease: the next task may begin meanwhile


class LeasedWindow(SlidingWindow):
    """Units that the coordinator has granted: it keeps the account's window, this process counts what is left of its grants."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self.unused = self.sent = 0.0

    def seconds_until_allowed(self, now: float, units: float) -> float:  # noqa: ARG002 - the base class has a clock
        """Return 0 if the units are there, or nothing limits them; inf: until they are granted."""
        return 0.0 if self.limit == math.inf or self.unused >= min(units, self.limit) else math.inf

    def on_sent(self, now: float, units: float) -> list[float]:
        """Count units and return the entry, for :meth:`correct`."""
        entry = [now, min(units, self.limit)]
        self.unused -= entry[1]
        self.sent += entry[1]
        return entry

    def correct(self, entry: list[float], units: float) -> None:
        """Change an entry to what was really used."""
        self.unused += entry[1] - units
        self.sent -= entry[1] - units
        entry[1] = units


class AccountLease:
    """The lease of this process for one account and its limits. It lives on the engine's loop."""

    task: asyncio.Task[None] | None = None

    def __init__(self, client: Client, channel: Channel) -> None:
        self._limits, self._channel, self._key = client.limits, channel, client.key()
        self._base_url, self._process, self.users = client.base_url, uuid.uuid4().hex, 0
        self._name = f"{client.keyed_url} {client.limits}"  # without the key, whose hash would be in the scheduler's memory, too
        self.account = self._name, self._key
        self._windows = {unit: LeasedWindow(getattr(client.limits, f"{unit}_per_minute") or math.inf) for unit in UNITS}

    async def run(self) -> None:
        """Renew the lease until no task has used it for a moment, and nothing is in flight."""
        limiter = process_state.account(self._base_url, self._key).limiter
        quota = limiter.rules.quota(self._limits)
        quota.concurrency = 0
        quota.requests, quota.tokens = (self._windows[unit] for unit in UNITS)
        renewed, lost, ended_at = -math.inf, False, math.inf
        while self.users or quota.in_flight or time.monotonic() < ended_at + IDLE_SECONDS:
            begun, poll = time.monotonic(), POLL
            try:
                report, sent = self._report(limiter, quota), {unit: window.sent for unit, window in self._windows.items()}
                poll = self._apply(quota, await asyncio.to_thread(self._channel.ask, report), sent)
                renewed, lost = begun, False
            except Exception as error:  # noqa: BLE001 - the scheduler may be back in a moment
                if not self.users:  # the cluster is closing
                    break
                quiet = lost or isinstance(error, ConnectionError)  # warned of already, or the worker is closing
                log.log(logging.INFO if quiet else logging.WARNING, "the share of the limits can't be renewed: %s", error)
                lost = True
            if time.monotonic() > renewed + LEASE_SECONDS / 2:  # before others may be granted it
                self._drop(quota)
            limiter.grant()
            ended_at = math.inf if self.users else min(ended_at, time.monotonic())
            await asyncio.sleep(poll)
        await self._end(limiter, quota)

    async def _end(self, limiter: RateLimiter, quota: UserQuota) -> None:
        """Give the lease back; runs that are no tasks have the whole limits again."""
        leases.pop(self.account, None)
        own = limiter.rules.new_quota(self._limits)
        quota.concurrency, quota.requests, quota.tokens = own.concurrency, own.requests, own.tokens
        report = {**self._message(held=0, wanted=0), "ended": True}
        try:
            await asyncio.to_thread(self._channel.ask, report)
        except Exception as error:  # noqa: BLE001 - it expires by itself
            log.info("the share of the account's limits can't be given back: %s", error)

    def _report(self, limiter: RateLimiter, quota: UserQuota) -> dict[str, Any]:
        waiting = limiter.waiting(quota)
        idle = not waiting and not quota.in_flight
        stuck = bool(waiting) and not self._windows["requests"].sent
        ahead = 0 if idle else 2 * self._windows["requests"].sent + max(1, quota.concurrency)
        least = {"requests": 1.0, "tokens": waiting[0]} if waiting else dict.fromkeys(UNITS, 0.0)
        mean = sum(waiting) / len(waiting) if waiting else 0.0
        units = {"requests": float(ahead), "tokens": max(least["tokens"], mean * ahead)}
        for unit, window in self._windows.items():
            least[unit] = min(least[unit], window.limit) if math.isfinite(window.limit) else 0.0
            units[unit] = min(units[unit], window.limit) if math.isfinite(window.limit) else 0.0
            # What isn't wanted goes back; so does all of it where it doesn't suffice, as another process may need just that.
            window.unused = 0.0 if stuck and window.unused > 0 else min(window.unused, units[unit])
        message = self._message(held=max(quota.concurrency, quota.in_flight), wanted=quota.in_flight + len(waiting))
        return {**message, "units": units, "least": least}

    def _message(self, *, held: int, wanted: int) -> dict[str, Any]:
        limits = {
            "concurrency": self._limits.most,
            "requests": self._limits.requests_per_minute,
            "tokens": self._limits.tokens_per_minute,
        }
        limited = {unit: window for unit, window in self._windows.items() if math.isfinite(window.limit)}
        used = {unit: limited[unit].sent if unit in limited else 0.0 for unit in UNITS}
        unused = {unit: limited[unit].unused if unit in limited else 0.0 for unit in UNITS}
        nothing = dict.fromkeys(UNITS, 0.0)
        return {"kind": "account", "name": self._name, "process": self._process, "limits": limits, "held": held, "wanted": wanted,
                "used": used, "unused": unused, "units": nothing, "least": nothing, "ended": False}  # fmt: skip

    def _apply(self, quota: UserQuota, answer: Mapping[str, Any], sent: Mapping[str, float]) -> float:
        quota.concurrency = answer["slots"]
        for unit, window in self._windows.items():
            window.unused += answer["granted"][unit]
            window.sent -= sent[unit]
        return float(answer["poll"])

    def _drop(self, quota: UserQuota) -> None:
        quota.concurrency = 0
        for window in self._windows.values():
            window.unused = min(window.unused, 0.0)


leases: dict[tuple[str, Any], AccountLease] = {}


@contextmanager
def leased_limits(client: Client, channel: Channel) -> Iterator[None]:
    """Keep the requests of this process within its share of the account's limits."""
    made = AccountLease(client, channel)

    async def enter() -> AccountLease:
        lease = leases.get(made.account)
        if lease is None:
            lease = leases[made.account] = made
            lease.task = asyncio.create_task(lease.run())
        lease.users += 1
        return lease

    async def leave(lease: AccountLease) -> None:
        lease.users -= 1

    lease = process_state.submit(enter()).result()
    try:
        yield
    finally:
        process_state.submit(leave(lease)).result()
