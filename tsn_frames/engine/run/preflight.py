"""What a run does before it sends: it takes the cached answers, and checks the other requests before money is spent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from ..._gc_pause import gc_paused
from ...api import Completion, Request
from ...errors import CacheError, ConfigError
from ...secret import Secret
from ..budget.worst_case import check_bounded, worst_case
from ..cache.reader import check
from ..cache.store import lookup
from ..limits.limits import Limits
from ..outcomes import Outcomes
from ..runtime.client import Client
from .attempt import least_tokens
from .spec import RunSpec

log = logging.getLogger("tsn_frames")


def look_up(client: Client, work: RunSpec, answers: Outcomes) -> None:
    """Take the cached answers of a run."""
    if work.mode == "refresh":
        check(client.cache.file)
    if work.mode in ("use", "only"):
        index = work.requests.index
        with gc_paused():
            add_cached(
                client.cache.file,
                {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index,
                answers,
            )


def add_cached(file: Path, index: Mapping[bytes, int], answers: Outcomes) -> None:
    """Take those answers of an index of keys that are cached."""
    try:
        lookup(file, index, answers.add_cached)
    except CacheError:
        raise  # another program's file, or a newer version's: the run ends before money is spent
    except Exception as error:  # noqa: BLE001 - an unreadable cache costs money, not the run; the writer recovers it
        log.warning("the cache can't be read: %s", type(error).__name__)


async def cached_answer(file: Path, key: bytes) -> tuple[Completion, float] | None:
    """Return the cached answer to one request, and its time."""
    one = Outcomes(1)
    await asyncio.to_thread(add_cached, file, {key: 0}, one)
    answer = one.completions[0]
    return None if answer is None else (answer, one.times[0])


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
