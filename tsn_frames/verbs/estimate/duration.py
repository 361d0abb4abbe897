"""How many minutes a call takes at the limits that are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from ...engine.ledger.queries import PastUsage
from ...engine.runtime.client import Client
from ...engine.runtime.process import process_state
from ...errors import ConfigError


def minutes(client: Client, requests: int, tokens: float, history: Sequence[PastUsage]) -> tuple[float | None, str]:
    """Return the minutes that requests with so many tokens take, and what limits them; None where nothing is known.

    The limits are those that the user has set, and those that the service's headers have told this process.
    """
    if not requests:
        return 0.0, ""
    rules = [(needed / limit, words) for needed, limit, words in _limits(client, requests, tokens) if limit < math.inf]
    if history:
        seconds = median(one.seconds for one in history)
        words = f"{min(client.concurrency, requests)} at once, {seconds:.2g} s each as the ledger has it"
        rules.append((requests * seconds / client.concurrency / 60, words))
    longest, why = max(rules, default=(None, "no limit and no earlier answer is known"))
    limited = any(limit < math.inf for _, limit, _ in _limits(client, requests, tokens))
    return longest, why if limited or longest is None else f"{why}; no limit is known"


def _limits(client: Client, requests: int, tokens: float) -> list[tuple[float, float, str]]:
    """Return what is needed, what a minute allows, and who says so."""
    limits = client.limits
    rules = [
        (requests, limits.requests_per_minute or math.inf, f"{limits.requests_per_minute} requests a minute, as Limits says"),
        (tokens, limits.tokens_per_minute or math.inf, f"{limits.tokens_per_minute} tokens a minute, as Limits says"),
    ]
    try:
        account = process_state.accounts.get((client.base_url, client.key()))
    except ConfigError:  # no key yet: nothing is known of its account
        account = None
    if account is not None:
        known = account.limiter.rules
        said = "as the service has said"
        rules.append((requests, known.requests.limit, f"{known.requests.limit:,.0f} requests a minute, {said}"))
        rules.append((tokens, known.tokens.limit, f"{known.tokens.limit:,.0f} tokens a minute, {said}"))
    return rules
