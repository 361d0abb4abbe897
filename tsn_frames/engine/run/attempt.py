"""One attempt of one row: leave from the limiter, the POST, what the limiter learns of it, the ledger and the cache."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal

from ...api import Completion, Request, Usage
from ...api.prompt_size import prompt_size
from ...errors import ConfigError
from .. import retry as policy
from ..budget.worst_case import worst_case
from ..ledger.file import Entry
from ..limits.limiter import Permit
from ..limits.limits import Limits
from ..retry import Classification, classify
from ..runtime.session import Session
from ..runtime.writer import CommitFuture
from ..transport.http_types import HttpFailure, HttpResponse
from .counts import Counts
from .retry_queue import PendingRequest

GUESS_TOKENS = 256


def least_tokens(request: Request) -> float:
    """Estimate what a request uses, its answer only as far as ``max_tokens`` says: a token is about four bytes."""
    return (len(request.head) + len(request.messages)) / 4 + (request.max_tokens or 0)


def check_within_limits(limits: Limits, requests: Iterable[Request]) -> None:
    """Refuse a run that the user's own limit can't let through, before anything is sent.

    Raises
    ------
    ConfigError
        If one request is longer than a whole minute's tokens.
    """
    most = limits.tokens_per_minute
    if most is not None and (longest := max(map(least_tokens, requests), default=0.0)) > most:
        raise ConfigError(
            f"the longest request is about {longest:,.0f} tokens with its max_tokens, and Limits(tokens_per_minute={most:g}) "
            "lets fewer through in a whole minute: raise that limit, lower max_tokens=, or shorten the text"
        )


class AttemptSender:
    """Sends the rows of one run over one session.

    Parameters
    ----------
    session : Session
        The live parts.
    run : str
        The run's own name: in the ledger, and a nonce where a replay of an old answer isn't wanted.
    counts : Counts
        What is counted as it happens.
    tag : callable
        Position of a request -> its tag in the ledger.
    """

    def __init__(self, session: Session, run: str, counts: Counts, tag: Callable[[int], str | None]) -> None:
        self.session, self.sending = session, set[asyncio.Task[None]]()
        self._run, self._counts, self._tag, self._host = run, counts, tag, session.client.host
        self._answers = 0

    async def send(self, item: PendingRequest) -> tuple[Classification, HttpResponse | HttpFailure]:
        """Send one request when budget and limiter let it, and return what came of it once that is on disk.

        Raises
        ------
        BudgetExceeded
            If the budget has no room for it; it was not sent.
        asyncio.CancelledError
            If the run was stopped. A request that was in flight then is in the ledger as one that may be billed.
        """
        if self.session.budget is None:
            return await self._sent(item)
        item.reservation = await self.session.budget.reserve(item.request)
        try:
            return await self._sent(item)
        finally:
            self.session.budget.release(item.reservation)  # if it is still held, it was not billed

    async def _sent(self, item: PendingRequest) -> tuple[Classification, HttpResponse | HttpFailure]:
        grant = await self.session.account.limiter.acquire(self.session.pace, self.tokens(item.request))
        task = asyncio.current_task()
        assert task is not None
        self.sending.add(task)
        self._counts.requests += 1
        try:
            return await self._exchange(item, grant)
        finally:
            self.sending.discard(task)

    async def _exchange(self, item: PendingRequest, grant: Permit) -> tuple[Classification, HttpResponse | HttpFailure]:
        begun, item.in_flight = time.monotonic(), True
        try:
            result = await self.session.transport.post(item.request.body, self._idempotency_key(item))
        except BaseException:
            verdict = Classification("retry", billed="unknown")
            self.report_to_limiter(grant, {}, verdict)
            self._counts.unknown += 1
            self.record(item, verdict, time.monotonic() - begun, None)
            raise
        verdict = classify(result, self.session.secret)
        self.report_to_limiter(grant, policy.headers_of(result), verdict)
        self._counts.unknown += verdict.billed == "unknown"
        if verdict.billed != "no":
            answer = (item.request.key, result.body) if verdict.kind == "answer" and isinstance(result, HttpResponse) else None
            with suppress(asyncio.CancelledError):  # a run that is cut off waits for its commits, so the row has its answer
                await self.record(item, verdict, time.monotonic() - begun, answer)
        item.in_flight = False  # until its commit is done an answer isn't there
        return verdict, result

    def report_to_limiter(self, grant: Permit, headers: Mapping[str, str], verdict: Classification) -> None:
        """Let the limiter know how a request ended."""
        limiter = self.session.account.limiter
        gate, now = limiter.gate, limiter.clock()
        if verdict.kind == "refused":
            gate.refused(now, grant, headers, verdict.wait, quota=verdict.quota)
        elif verdict.kind in ("answer", "row_error"):
            gate.answered(now, grant, headers, verdict.completion.total_tokens if verdict.completion else None)
        else:
            trouble = verdict.error is not None and verdict.error.code in ("server", "connection")
            gate.failed(now, grant, headers, trouble=trouble)
        limiter.pump()

    def record(
        self, item: PendingRequest, verdict: Classification, seconds: float, answer: tuple[bytes, bytes] | None
    ) -> CommitFuture:
        """Write one attempt that was or may have been billed down, with its answer, and add up what it cost."""
        usage = verdict.completion.usage if verdict.completion else Usage()
        client, model = self.session.client, item.request.model
        item.answered_at = now = time.time()  # one time for the ledger, the cache, the frame and the price
        price = client.prices.price(model, now) if client.prices else None
        cost = price.cost(usage) if price else None
        item.cost = None if item.cost is None or cost is None else item.cost + cost
        self._add_up(usage, cost)
        if item.reservation is not None and self.session.budget is not None:
            self.session.budget.settle(item.reservation, cost)
        size = prompt_size(item.request)
        entry = Entry(
            now, self._run, self._host, model, "answered" if verdict.kind == "answer" else "unknown",
            usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, None if cost is None else str(cost),
            item.request.key, self._tag(item.index), seconds, usage.cached_tokens,
            price.currency if price else None, price.note if price else None, size.chars,
            _chars(verdict.completion), size.language, self._held(item) if cost is None else None,
        )  # fmt: skip
        return self.session.writer.put(entry, answer)

    def _held(self, item: PendingRequest) -> str | None:
        """Return the most that a request of unknown cost can have cost, for the budgets of later processes."""
        worst = item.reservation.amount if item.reservation is not None else worst_case(self.session.client.prices, item.request)
        return None if worst is None else str(worst)

    def _add_up(self, usage: Usage, cost: Decimal | None) -> None:
        counts = self._counts
        counts.prompt_tokens += usage.prompt_tokens or 0
        counts.completion_tokens += usage.completion_tokens or 0
        counts.cost += cost or 0
        counts.cost_known = counts.cost_known and cost is not None
        counts.paid += cost is not None
        self._answers += usage.completion_tokens is not None

    def usual_tokens(self) -> float:
        """Return what an exchange has used on average so far."""
        counts = self._counts
        return max(1.0, (counts.prompt_tokens + counts.completion_tokens) / self._answers) if self._answers else 1.0

    def tokens(self, request: Request) -> int:
        """Estimate what a request will use: an answer without ``max_tokens`` is about as long as those before.

        A whole number, so that sums of them come back to 0 exactly.
        """
        usual = self._counts.completion_tokens / self._answers if self._answers else GUESS_TOKENS
        return math.ceil(least_tokens(request) + (0.0 if request.max_tokens else usual))

    def _idempotency_key(self, item: PendingRequest) -> str:
        """Return the request's own key; one of this run where a replay of the old answer isn't wanted."""
        return item.request.key.hex() + (f"-{self._run}" if item.fresh else "")


def _chars(answer: Completion | None) -> int | None:
    """Return how much a model has written, its thoughts included: they are billed as the answer is."""
    return None if answer is None else len(answer.content or "") + len(answer.reasoning or "")
