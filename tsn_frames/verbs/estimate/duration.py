"""Minutes that a call takes at the known limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from ...engine.ledger.queries import PastUsage
from ...engine.runtime.client import Client
from ...engine.runtime.process import process_state
from ...errors import ConfigError


def minutes(client: Client, requests: int, tokens: float, history: Sequence[PastUsage]) -> tuple[float | None, str]:
    """Return the minutes that requests with so many tokens take, and what limits them; None where nothing is known."""
    if not requests:
        return 0.0, ""
    limits = list(_by_limits(client, requests, tokens))
    if history:
        seconds = median(one.seconds for one in history)
        reason = f"{min(client.concurrency, requests)} at once, {seconds:.2g} s each as the ledger has it"
        reason += "" if limits else "; no limit is known"
        limits.append((requests * seconds / client.concurrency / 60, reason))
    return max(limits, default=(None, "no limit and no earlier answer is known"))


def _by_limits(client: Client, requests: int, tokens: float) -> Iterator[tuple[float, str]]:
    """Yield minutes by each limit that the user has set, or that the service has stated to this process."""
    known = [(client.limits.requests_per_minute, client.limits.tokens_per_minute, "as Limits says")]
    try:
        account = process_state.accounts.get((client.base_url, client.key()))
    except ConfigError:  # no key yet
        account = None
    if account is not None:
        known.append((account.limiter.rules.requests.limit, account.limiter.rules.tokens.limit, "as the service has said"))
    for per_minute, tokens_per_minute, source in known:
        for needed, limit, unit in ((requests, per_minute, "requests"), (tokens, tokens_per_minute, "tokens")):
            if limit and limit < float("inf"):
                yield needed / limit, f"{limit:,.10g} {unit} a minute, {source}"
