"""Shares of one account's limits: how many requests each process may have in flight, and how many it may send. Pure.

A process reports what it has and what it wants, and is granted more or less. What is granted counts until the process reports that it
was not used, and what was used counts for a minute from the report on, which is never before it was sent. So the sum over all processes
keeps the account's limits, whatever is lost on the way. The state is made of dicts and lists, so that it can be stored as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

from ...engine.limits.sliding_window import MINUTE

LEASE_SECONDS = 10.0  # a process that hasn't reported for so long is dead; until then it may use what it was granted
POLL = 0.1  # seconds between two reports of a process, where there are few
PROCESSES_A_POLL = 8  # of more processes each reports less often
UNITS = ("requests", "tokens")


class Report(TypedDict):
    """What a process reports, and what it wants."""

    process: str  # its name
    limits: Mapping[str, Any]  # those of the account: concurrency, requests, tokens; None for none
    held: int  # the most requests that it may have in flight now
    wanted: int  # how many it could have in flight
    used: Mapping[str, float]  # by unit, what it has used since its last report
    unused: Mapping[str, float]  # what it keeps of earlier grants
    units: Mapping[str, float]  # how much it could use until its next report
    least: Mapping[str, float]  # what its next request takes
    ended: bool  # whether it needs nothing more


class Grant(TypedDict):
    """What a process may do until its next report."""

    slots: int  # requests in flight
    granted: dict[str, float]  # by unit, beside what it keeps
    poll: float  # seconds until its next report


def fair_shares(wanted: Mapping[str, int], total: int) -> dict[str, int]:
    """Return how many of ``total`` slots each process gets: equal shares, and what one doesn't want goes to the others.

    Examples
    --------
    >>> fair_shares({"a": 2, "b": 30, "c": 30}, 20)
    {'a': 2, 'b': 9, 'c': 9}
    >>> fair_shares({"a": 5, "b": 5, "c": 5}, 2)
    {'a': 1, 'b': 1, 'c': 0}
    """
    shares, left = dict.fromkeys(wanted, 0), total
    for number, name in enumerate(sorted(wanted, key=lambda name: (wanted[name], name))):
        shares[name] = min(wanted[name], math.ceil(left / (len(wanted) - number)))
        left -= shares[name]
    return shares


def new_account() -> dict[str, Any]:
    """Return the state of an account that nothing was sent to."""
    return {"processes": {}, "used": {unit: [] for unit in UNITS}}


def exchange(account: dict[str, Any], report: Report, now: float) -> Grant:
    """Take a process's report and return what it may do until its next one."""
    processes, limits = account["processes"], report["limits"]
    name = report["process"]
    mine = {"held": report["held"], "wanted": report["wanted"], "granted": dict(report["unused"]), "until": now + LEASE_SECONDS}
    processes[name] = mine
    _count_used(account, report["used"], now)
    _expire(account, now)
    if report["ended"]:
        del processes[name]
        return {"slots": 0, "granted": dict.fromkeys(UNITS, 0.0), "poll": POLL}
    granted = _grant(account, mine, report, limits)
    others = sum(other["held"] for key, other in processes.items() if key != name)
    share = fair_shares({key: one["wanted"] for key, one in processes.items()}, limits["concurrency"])[name]
    slots = max(0, min(share, limits["concurrency"] - others))
    mine["held"] = max(mine["held"], slots)  # of fewer slots it hears now, and reports then how many it still uses
    return {"slots": slots, "granted": granted, "poll": POLL * max(1.0, len(processes) / PROCESSES_A_POLL)}


def _count_used(account: dict[str, Any], used: Mapping[str, float], now: float) -> None:
    for unit in UNITS:
        if used[unit]:
            account["used"][unit].append([now, used[unit]])


def _expire(account: dict[str, Any], now: float) -> None:
    """Forget what was used a minute ago; what a dead process was granted may have been used until now."""
    for name in [name for name, one in account["processes"].items() if one["until"] <= now]:
        dead = account["processes"].pop(name)
        _count_used(account, dead["granted"], now)
    for unit in UNITS:
        account["used"][unit] = [entry for entry in account["used"][unit] if entry[0] + MINUTE > now]


def _grant(account: dict[str, Any], mine: dict[str, Any], report: Report, limits: Mapping[str, Any]) -> dict[str, float]:
    """Grant units of both kinds, or of neither where they don't suffice for the next request."""
    granted = {}
    for unit in UNITS:
        limit, wanted = limits[unit], max(0.0, report["units"][unit] - report["unused"][unit])
        free = math.inf
        if limit is not None:
            held = sum(one["granted"][unit] for one in account["processes"].values())
            free = max(0.0, limit - held - sum(units for _, units in account["used"][unit]))
        granted[unit] = float(min(wanted, math.floor(free) if unit == "requests" and limit is not None else free))
    if any(report["unused"][unit] + granted[unit] < report["least"][unit] for unit in UNITS):
        return dict.fromkeys(UNITS, 0.0)
    for unit in UNITS:
        mine["granted"][unit] += granted[unit]
    return granted
