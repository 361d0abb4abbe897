"""One attempt at a request: budget, permit, POST, report to the limiter, ledger and cache. Rows and chats send through it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from ...api import Request, Usage
from ...api.prompt_length_and_script import prompt_size
from ..budget.worst_case import worst_case
from ..ledger.ledger_file import Entry
from ..limits.combined_limits import Permit, Signal
from ..limits.limiter import FRAME, REPEATED, RETRY
from ..progress.counts import Counts
from ..retry import Classification, classify
from ..runtime.session import Session
from ..runtime.writer import CommitFuture
from .request_queue import PendingRequest
from .streamed_answer import StreamedAnswer, StreamOptions

GUESS_TOKENS = 256


def least_tokens(request: Request) -> float:
    """Estimate the tokens of a request and its ``max_tokens``: a token is about four bytes."""
    return (len(request.head) + len(request.messages)) / 4 + (request.max_tokens or 0)


class AttemptSender:
    """Sends the requests of one run, or of one chat, over one session."""

    def __init__(self, session: Session, run: str, counts: Counts, tag: Callable[[int], str | None], *,
                 stream: StreamOptions | None = None, nonce: str = "", priority: int = FRAME) -> None:  # fmt: skip
        self.session, self.stream, self.sending = session, stream, set[asyncio.Task[Any] | None]()
        self._run, self._counts, self._tag, self._host = run, counts, tag, session.client.host
        self._nonce, self._priority, self._answers = nonce or run, priority, 0

    async def send(self, item: PendingRequest) -> Classification:
        """Send one request when budget and limiter allow it; return what its end means, once the attempt is on disk."""
        send = self._send if self.stream is None else self._send_stream
        if self.session.budget is None:
            return await send(item)
        item.reservation = await self.session.budget.reserve(item.request)
        try:
            return await send(item)
        finally:
            self.session.budget.release(item.reservation)  # does nothing where it was billed

    async def _send_stream(self, item: PendingRequest) -> Classification:
        """Send once more without the option that asks for the usage, where the service may have refused that."""
        stream = self.stream
        assert stream is not None
        usage, tried = stream.usage, stream.tried  # as this request is sent; others may change them meanwhile
        found = await self._send(item)
        if usage and stream.may_be_refused(found, tried=tried):
            stream.usage = False
            found = await self._send(item)
            stream.usage = found.kind == "row_error"  # then it was something else
        stream.tried |= found.kind in ("answer", "row_error")
        return found

    async def _send(self, item: PendingRequest) -> Classification:
        priority = self._priority
        if priority == FRAME and (failures := item.attempts + item.refusals):
            priority = RETRY if failures == 1 else REPEATED
        permit = await self.session.account.limiter.acquire(self.session.quota, self.tokens(item.request), priority)
        task = asyncio.current_task()
        self.sending.add(task)
        self._counts.requests += 1
        try:
            return await self._exchange(item, permit)
        finally:
            self.sending.discard(task)
            del task  # a cancelled task refers to this frame

    async def _exchange(self, item: PendingRequest, permit: Permit) -> Classification:
        begun, item.in_flight = time.monotonic(), True
        # The headers of a stream are reported: the limiter need not wait for its end to learn that requests are let in.
        limiter = self.session.account.limiter
        stream = StreamedAnswer(self.stream, lambda: limiter.on_accepted(permit)) if self.stream else None
        body = self.stream.body(item.request) if self.stream else item.request.body
        try:
            result = await self.session.transport.post(body, self._idempotency_key(item), stream)
        except BaseException:
            unknown = Classification("retry", billed="unknown")
            self._report_to_limiter(item, permit, stream.headers if stream else {}, unknown)
            self._record(item, unknown, time.monotonic() - begun, None)
            raise
        found = stream.classify(result, self.session.secret) if stream else classify(result, self.session.secret)
        self._report_to_limiter(item, permit, result.headers or (stream.headers if stream else {}), found)
        answer = (stream.reply.body if stream else result.body) if found.kind == "answer" else None
        if found.billed != "no":
            with suppress(asyncio.CancelledError):  # a run that is cut off waits for its commits, so the row has its answer
                await self._record(item, found, time.monotonic() - begun, answer)
        item.in_flight = False  # an answer counts only after its commit
        return found

    def _report_to_limiter(self, item: PendingRequest, permit: Permit, headers: Mapping[str, str], found: Classification) -> None:
        signal: Signal = "none"
        if found.kind == "refused":
            signal = "refused"
        elif found.kind in ("answer", "row_error"):
            signal = "accepted"
        elif found.error is not None and found.error.code in ("server", "connection"):
            signal = "failed"
        used = found.completion.total_tokens if found.completion else None
        lone = item.alone > 0 if signal == "refused" else item.fails_alone
        self.session.account.limiter.on_end(permit, headers, signal, used=used, asked=found.wait, lone=lone)

    def _record(self, item: PendingRequest, found: Classification, seconds: float, body: bytes | None) -> CommitFuture:
        """Write an attempt that was or may have been billed to the ledger, and its answer to the cache; count what it cost."""
        client, model, answer, usage = self.session.client, item.request.model, found.completion, found.usage
        item.answered_at = now = time.time()  # one time for the ledger, the cache, the frame and the price
        price = client.prices.price(model, now) if client.prices else None
        cost = price.cost(usage) if price else None
        item.cost = None if item.cost is None or cost is None else item.cost + cost
        self._count(usage, cost, unknown=found.billed == "unknown")
        if item.reservation is not None and self.session.budget is not None:
            self.session.budget.settle(item.reservation, cost)
        size = prompt_size(item.request)
        entry = Entry(
            time=now,
            run=self._run,
            host=self._host,
            model=model,
            outcome="answered" if found.kind == "answer" else "unknown",
            **usage._asdict(),
            cost=None if cost is None else str(cost),
            request_key=item.request.key,
            tag=self._tag(item.index),
            seconds=seconds,
            currency=price.currency if price else None,
            price_source=price.note if price else None,
            prompt_chars=size.chars,
            completion_chars=None if answer is None else len(answer.content or "") + len(answer.reasoning or ""),
            language=size.language,
            held=self._held(item) if cost is None else None,
        )
        return self.session.writer.put(entry, None if body is None else (item.request.key, body))

    def _held(self, item: PendingRequest) -> str | None:
        """Return the worst-case cost of a request whose cost is unknown, for the budgets of later processes."""
        worst = item.reservation.amount if item.reservation is not None else worst_case(self.session.client.prices, item.request)
        return None if worst is None else str(worst)

    def _count(self, usage: Usage, cost: Decimal | None, *, unknown: bool) -> None:
        counts = self._counts
        counts.unknown += unknown
        counts.prompt_tokens += usage.prompt_tokens or 0
        counts.completion_tokens += usage.completion_tokens or 0
        counts.cost += cost or 0
        counts.cost_known = counts.cost_known and cost is not None
        counts.paid += cost is not None
        self._answers += usage.completion_tokens is not None

    def usual_tokens(self) -> float:
        """Return the average tokens of an exchange so far."""
        counts = self._counts
        return max(1.0, (counts.prompt_tokens + counts.completion_tokens) / self._answers) if self._answers else 1.0

    def tokens(self, request: Request) -> int:
        """Estimate the tokens of a request; without ``max_tokens`` its answer is about as long as the earlier ones.

        An integer, so that sums of them return to exactly 0.
        """
        usual = self._counts.completion_tokens / self._answers if self._answers else GUESS_TOKENS
        return math.ceil(least_tokens(request) + (0.0 if request.max_tokens else usual))

    def _idempotency_key(self, item: PendingRequest) -> str:
        """Return a key that all attempts at the same body share, with the nonce where an earlier answer must not be replayed."""
        stream = "" if self.stream is None else "-stream" if self.stream.usage else "-stream-plain"
        return f"{item.request.key.hex()}{f'-{self._nonce}' if item.fresh else ''}{stream}"
