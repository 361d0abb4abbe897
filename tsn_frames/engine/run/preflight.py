"""Check a run's requests before money is spent: the key, the user's limits and the budget."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ...api import Request
from ...errors import ConfigError
from ...secret import Secret
from ..budget.worst_case import check_bounded, worst_case
from ..limits.limits import Limits
from ..runtime.client import Client
from .attempt import least_tokens
from .spec import RunSpec


def key_or_reason(client: Client) -> Secret | ConfigError:
    """Return the key, or why there is none, which only matters where something has to be sent."""
    try:
        return client.key()
    except ConfigError as reason:
        return reason.with_traceback(None)


def check_sendable(client: Client, key: Secret | ConfigError, work: RunSpec, pending: list[int]) -> Decimal:
    """Check the key, and requests against the user's limits and budget; return the least worst-case cost, 0 without a budget."""
    if isinstance(key, ConfigError):
        raise key
    check_within_limits(client.limits, (work.requests[i] for i in pending))
    if not client.budget.with_run(work.max_cost):
        return Decimal(0)
    check_bounded(client.prices, (work.requests[i] for i in pending))
    return min((worst_case(client.prices, work.requests[i]) or Decimal(0) for i in pending), default=Decimal(0))


def check_within_limits(limits: Limits, requests: Iterable[Request]) -> None:
    """Refuse a run of which one request is longer than the tokens of a whole minute, so that it could never be sent."""
    most = limits.tokens_per_minute
    if most is not None and (longest := max(map(least_tokens, requests), default=0.0)) > most:
        raise ConfigError(
            f"the longest request is about {longest:,.0f} tokens with its max_tokens, and Limits(tokens_per_minute={most:g}) "
            "lets fewer through in a whole minute: raise that limit, lower max_tokens=, or shorten the text"
        )
