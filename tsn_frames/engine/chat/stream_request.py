"""One streamed answer: leave from the limiter, the stream, what the limiter learns of it, the ledger and the cache.

The rules are those of a frame's row, except that nothing is tried again once a token of the answer has come: what came
is kept, and the reader decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ...api import Completion, Request, error_of
from ...api.completion import content_error
from ...api.stream_parser import StreamedReply
from ...errors import BudgetExceeded, RateLimitError, RowError, RunError, ServerError, TSNError
from ...secret import Secret, redact
from .. import retry as policy
from ..budget.admission import BudgetAdmission
from ..cache.mode import CacheMode
from ..cache.store import lookup
from ..limits.limiter import CHAT, Permit
from ..outcomes import Outcomes
from ..retry import Classification, classify
from ..run.attempt import AttemptSender
from ..run.counts import Counts
from ..run.retry_queue import PendingRequest
from ..runtime.client import Client
from ..runtime.session import Session, open_session
from ..transport.http_types import HttpFailure, HttpResponse
from ..transport.select_backend import open_stream
from .turn import State

if TYPE_CHECKING:
    from ..transport.httpx_backend import HttpxTransport

T = TypeVar("T")
log = logging.getLogger("tsn_frames")
_NOT_CACHED = "not_cached: no answer is cached for this request, and cache='only' sends none"
_BROKEN = "the stream ended before the answer did"


class StreamResult(NamedTuple):
    """What came of one question.

    ``kind`` is the exception for those who wait for an answer and get none; ``cost`` is what was visibly paid, wasted
    attempts included, None where that is unknown.
    """

    state: State
    completion: Completion
    error: str | None = None
    kind: type[TSNError] | None = None
    cost: Decimal | None = Decimal(0)
    cached: bool = False


class StreamedRequest:
    """One question on its way to its answer; all of it happens on the engine's loop.

    Parameters
    ----------
    client : Client
        Where it is asked.
    key : Secret
        The key.
    request : Request
        What is asked: the very request that ``complete`` would send, so that both share an answer.
    mode : {"use", "refresh", "off", "only"}
        What the cache is for.
    name : str
        A name that no other question has: an old answer is never replayed for a new question.
    run, tag : str
        What the ledger notes.
    usage : bool
        Whether to ask for the usage; False once the server has refused that.
    budget : BudgetAdmission or None
        The money of the conversation, where it has asked before.
    grew : callable
        Called when a part of the answer has come.
    """

    def __init__(
        self, client: Client, key: Secret, request: Request, *, mode: CacheMode, name: str, run: str, tag: str | None,
        usage: bool, budget: BudgetAdmission | None, grew: Callable[[], None],
    ) -> None:  # fmt: skip
        self.reply, self.usage, self.model = StreamedReply(), usage, request.model
        self._client, self._key, self._request, self._mode = client, key, request, mode
        self._name, self._run, self._tag, self._grew = name, run, tag, grew
        self.budget, self._item = budget, PendingRequest(0, request, fresh=True)
        self._unreachable, self._since = 0, time.monotonic()
        self._waiting: asyncio.Task[object] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End it; what came is kept. On the loop's thread."""
        self._stopped = True
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    async def ask(self) -> StreamResult:
        """Return what came of it."""
        hit = await self._cached()
        if hit is not None:
            return StreamResult("whole", hit, _about(hit), cached=True)
        if self._mode == "only":
            return StreamResult("failed", Completion(None), _NOT_CACHED, RunError)
        streams = open_stream(self._client.base_url, self._key, self._client.timeout)
        async with open_session(self._client, self._key, store=self._mode != "off", transport=streams, run=self._run) as opened:
            self.budget = self.budget or opened.budget
            session = replace(opened, budget=self.budget)
            sender, limiter = AttemptSender(session, self._run, Counts(), lambda _: self._tag), session.account.limiter
            limiter.gate.begin(limiter.clock(), session.pace)
            try:
                ending = await self._try_on(sender, streams)
            except BudgetExceeded as end:
                ending = self._failed(RowError("not_sent", str(end)), BudgetExceeded)
            except asyncio.CancelledError:
                if not self._stopped:
                    raise
                ending = StreamResult("stopped", self._partial(), cost=self._item.cost)
        for name, problem in session.writer.problems.items():
            log.warning("the %s can't be written: %s", name, problem)
        return ending

    async def _cached(self) -> Completion | None:
        if self._mode not in ("use", "only"):
            return None
        one = Outcomes(1)
        await asyncio.to_thread(lookup, self._client.cache.file, {self._request.key: 0}, one.add_cached)
        return one.completions[0]

    async def _try_on(self, sender: AttemptSender, streams: HttpxTransport) -> StreamResult:
        """Ask until there is an answer, a part of one, or no use in asking again."""
        while True:
            verdict, result = await self._paid(sender, streams)
            if verdict.completion is not None:
                return StreamResult("whole", verdict.completion, _about(verdict.completion), cost=self._item.cost)
            assert verdict.error is not None
            if self.usage and isinstance(result, HttpResponse) and verdict.kind == "row_error" and _names_usage(result.body):
                self.usage = False
                continue
            if self.reply.begun or verdict.kind in ("row_error", "end_run"):
                return self._failed(verdict.error, verdict.end)
            delay = self._refused(sender, verdict, result) if verdict.kind == "refused" else self._again(verdict)
            if isinstance(delay, StreamResult):
                return delay
            await self._stoppable(asyncio.sleep(delay))

    async def _paid(self, sender: AttemptSender, streams: HttpxTransport) -> tuple[Classification, HttpResponse | HttpFailure]:
        """Hold the most that it can cost while it is asked."""
        if self.budget is None:
            return await self._attempt(sender, streams)
        self._item.reservation = await self._stoppable(self.budget.reserve(self._request))
        try:
            return await self._attempt(sender, streams)
        finally:
            self.budget.release(self._item.reservation)  # if it is still held, it was not billed

    async def _attempt(self, sender: AttemptSender, streams: HttpxTransport) -> tuple[Classification, HttpResponse | HttpFailure]:
        session = sender.session
        grant = await self._stoppable(session.account.limiter.acquire(session.pace, sender.tokens(self._request), CHAT))
        self.reply, begun = StreamedReply(), time.monotonic()
        sink = _ResponseConsumer(session, grant, self.reply, self._grew)
        try:
            result = await self._stoppable(streams.stream(self._body(), self._idempotency_key(), sink))
        except BaseException:
            self._settle(sender, grant, Classification("retry", billed="unknown"), sink.headers, time.monotonic() - begun)
            raise
        verdict = self._judge(result, sink.headers)
        headers = policy.headers_of(result) or sink.headers
        written = self._settle(sender, grant, verdict, headers, time.monotonic() - begun)
        if written is not None:
            await written
        return verdict, result

    async def _stoppable(self, work: Awaitable[T]) -> T:
        """Await what a stop may cut short; nothing else is: what is written down is written to its end."""
        task = asyncio.current_task()
        if self._stopped:
            asyncio.ensure_future(work).cancel()
            raise asyncio.CancelledError
        self._waiting = task
        try:
            return await work
        finally:
            self._waiting = None

    def _judge(self, result: HttpResponse | HttpFailure, headers: Mapping[str, str]) -> Classification:
        """Return what the end of a stream means: the answer is whole, or why it isn't."""
        reply = self.reply
        if isinstance(result, HttpResponse) and not 200 <= result.status < 300:
            return classify(result, self._key)
        if isinstance(result, HttpResponse):
            reply.close()
        if reply.whole:
            return classify(HttpResponse(200, headers, reply.body), self._key)
        if reply.error is not None:
            return self._broken_off(reply.error, headers)
        if reply.problem:
            return Classification("retry", RowError("unreadable", reply.problem), billed="unknown")
        if isinstance(result, HttpFailure):
            return classify(result, self._key)
        return Classification("retry", RowError("connection", _BROKEN), billed="unknown")

    def _broken_off(self, error: bytes, headers: Mapping[str, str]) -> Classification:
        """Return what an error in the stream means: in place of an answer it is one with a status, else the answer's end."""
        verdict = classify(HttpResponse(200, headers, error), self._key)
        if verdict.kind != "retry" and not self.reply.begun:
            return verdict
        said = redact(error_of(error)[0], self._key) or "no reason given"
        return Classification("retry", RowError("server", f"the service broke the answer off: {said}"), billed="unknown")

    def _settle(
        self, sender: AttemptSender, grant: Permit, verdict: Classification, headers: Mapping[str, str], seconds: float
    ) -> asyncio.Future[None] | None:
        """Tell the limiter and the ledger, and the cache where the answer is whole."""
        sender.report_to_limiter(grant, headers, verdict)
        if verdict.billed == "no":
            return None
        keep = verdict.kind == "answer" and self.reply.storable
        return sender.record(self._item, verdict, seconds, (self._request.key, self.reply.body) if keep else None)

    def _refused(
        self, sender: AttemptSender, verdict: Classification, result: HttpResponse | HttpFailure
    ) -> float | StreamResult:
        """Return the seconds to wait where the service asks for that, or the end where it asks for too many."""
        assert verdict.error is not None
        item, limits, gate = self._item, self._client.limits, sender.session.account.limiter.gate
        item.refusals += 1
        self._unreachable = self._unreachable + 1 if isinstance(result, HttpFailure) else 0
        kind = RateLimitError if verdict.quota else ServerError
        asked, waited = verdict.wait.seconds or verdict.wait.message or 0.0, time.monotonic() - self._since
        if self._unreachable >= self._client.retry.attempts:
            return self._failed(RowError("connection", f"{self._client.host} can't be reached: {verdict.error.message}"), kind)
        if max(asked, waited) > limits.max_wait:
            many = f"{max(asked, waited):,.0f} s of waiting are more than max_wait={limits.max_wait:g}"
            return self._failed(RowError("not_sent", f"{many}: {verdict.error}"), kind)
        return 0.0 if gate.flow.state != "open" else policy.lone_wait(item.refusals, verdict.wait)

    def _again(self, verdict: Classification) -> float | StreamResult:
        """Return the seconds before the next attempt, or the end where there have been enough."""
        assert verdict.error is not None
        self._item.attempts += 1
        if policy.out_of_attempts(self._client.retry, verdict.error, self._item.attempts):
            return self._failed(verdict.error, ServerError)
        asked = min(verdict.wait.seconds or 0.0, self._client.limits.max_wait)
        return max(self._client.retry.delay(self._item.attempts), asked)

    def _failed(self, error: RowError, kind: type[RunError] | None) -> StreamResult:
        return StreamResult("failed", self._partial(), str(error), kind or RunError, self._item.cost)

    def _partial(self) -> Completion:
        return Completion(self.reply.text or None, None, self.reply.model, reasoning=self.reply.reasoning)

    def _body(self) -> bytes:
        """Return the request's body as a stream is asked for; its key is the one of the plain request."""
        options = b',"stream_options":{"include_usage":true}' if self.usage else b""
        return self._request.body[:-1] + b',"stream":true' + options + b"}"

    def _idempotency_key(self) -> str:
        """Return a key that is the same for each attempt at the same body."""
        return f"{self._request.key.hex()}-{self._name}{'' if self.usage else '-plain'}"


class _ResponseConsumer:
    """Takes in a stream: the limiter hears that it has begun, the reader that it has grown."""

    def __init__(self, session: Session, grant: Permit, reply: StreamedReply, grew: Callable[[], None]) -> None:
        self.headers: Mapping[str, str] = {}
        self._session, self._grant, self._reply, self._grew = session, grant, reply, grew

    def begin(self, headers: Mapping[str, str]) -> None:
        """Let the limiter know that requests are let in."""
        self.headers, limiter = headers, self._session.account.limiter
        limiter.gate.begun(limiter.clock(), self._grant)
        limiter.pump()

    def feed(self, data: bytes) -> float:
        """Take in some bytes and return the seconds that the next ones may take."""
        patience = self._reply.feed(data)
        if self._reply.begun:
            self._grew()
        return patience


def _about(completion: Completion) -> str | None:
    """Return why an answer has no text, where it has none."""
    error = content_error(completion)
    return str(error) if error else None


def _names_usage(body: bytes) -> bool:
    return b"stream_options" in body or b"include_usage" in body
