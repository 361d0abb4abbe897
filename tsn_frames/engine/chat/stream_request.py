"""One streamed chat request: the cache, then attempts as a frame's rows have them, until there is an answer or a part of one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from ...api import Completion, Request
from ...api.completion import content_error
from ...api.streaming.stream_parser import StreamedReply
from ...errors import RowError, RunError, ServerError, TSNError
from ...secret import Secret
from ..budget.admission import BudgetAdmission
from ..cache.cache import CacheMode
from ..limits.limiter import CHAT
from ..outcomes import Outcome
from ..run.attempt import AttemptSender
from ..run.counts import Counts
from ..run.preflight import cached_answer
from ..run.request_queue import PendingRequest, RetryQueue
from ..run.retry_decision import ResultHandler
from ..run.streamed_answer import StreamOptions
from ..runtime.client import Client
from ..runtime.session import Session, open_session
from .chat_message import State
from .explanations import explain

log = logging.getLogger("tsn_frames")


class StreamResult(NamedTuple):
    """The result of one question."""

    state: State
    completion: Completion
    error: str | None = None
    kind: type[TSNError] | None = None  # the exception to raise where there is no whole answer
    cost: Decimal | None = Decimal(0)  # what was paid, wasted attempts included; None where that is unknown
    cached: bool = False
    explanation: str | None = None  # the error for a person, with its remedy


class StreamedRequest:
    """One question; all of it happens on the engine's loop."""

    def __init__(
        self, client: Client, key: Secret, request: Request, *, mode: CacheMode, nonce: str, run: str, tag: str | None,
        usage: bool, budget: BudgetAdmission | None,
    ) -> None:  # fmt: skip
        self.reply, self.model, self.budget = StreamedReply(), request.model, budget
        self._client, self._key, self._request, self._mode = client, key, request, client.cache.mode(mode)
        self._nonce, self._run, self._tag = nonce, run, tag
        self.on_growth: Callable[[], None] = lambda: None
        self._options = StreamOptions(usage, on_growth=self._on_growth)
        self._item = PendingRequest(0, request, fresh=True)
        self._sending: asyncio.Task[StreamResult] | None = None
        self._stopped = False

    @property
    def usage(self) -> bool:
        """Whether to ask for the usage."""
        return self._options.usage

    def stop(self) -> None:
        """Close the connection and keep what has arrived; on the loop's thread."""
        self._stopped = True
        if self._sending:
            self._sending.cancel()

    async def ask(self) -> StreamResult:
        """Send the question and return its result."""
        reads = self._mode in ("use", "only")
        if reads and (hit := await cached_answer(self._client.cache.file, self._request.key)) is not None:
            return _whole(Outcome(hit[0]), cached=True)
        if self._mode == "only":
            return self._failed(RowError("not_cached", self._client.cache.miss), RunError)
        store = self._mode != "off"
        async with open_session(self._client, self._key, store=store, run=self._run, budget=self.budget) as opened:
            self.budget = opened.budget
            result = await self._send(opened)
        for name, problem in opened.writer.problems.items():
            log.warning("the %s can't be written: %s", name, problem)
        return result

    async def _send(self, session: Session) -> StreamResult:
        """Run the attempts as a separate task: a stop cancels them, and not the writing of what was paid for."""
        if self._stopped:
            return self._stop_result()
        self._sending = asyncio.create_task(self._attempts(session))
        try:
            return await self._sending
        except RunError as end:
            return self._failed(RowError("not_sent", str(end)), type(end))
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return self._stop_result()

    async def _attempts(self, session: Session) -> StreamResult:
        """Try until there is an answer, a part of one, or no use in trying again."""
        outcomes, ends, counts, queue = list[Outcome](), list[RunError](), Counts(), RetryQueue([self._item])

        def done(_: PendingRequest, outcome: Outcome) -> None:
            outcomes.append(outcome)
            queue.done()

        sender = AttemptSender(session, self._run, counts, lambda _: self._tag,
                               stream=self._options, nonce=self._nonce, priority=CHAT)  # fmt: skip
        breaker = session.account.limiter.rules.breaker
        handler = ResultHandler(self._client, [self.model], queue, breaker, counts=counts, done=done, end=ends.append)
        kind: type[RunError] = RunError
        while (item := await queue.next()) is not None:
            attempt = await sender.send(item)
            found = attempt.classification
            if found.error is not None and self.reply.begun:  # a part has come: it is kept, and the reader decides
                return self._failed(found.error, found.end or RunError)
            kind = ServerError if found.kind == "retry" else RunError
            handler.handle(item, attempt)
        (outcome,) = outcomes
        if outcome.completion is not None:
            return _whole(outcome)
        assert outcome.error is not None
        return (
            self._failed(RowError(outcome.error.code, str(ends[0])), type(ends[0])) if ends else self._failed(outcome.error, kind)
        )

    def _on_growth(self, reply: StreamedReply) -> None:
        self.reply = reply
        self.on_growth()

    def _failed(self, error: RowError, kind: type[RunError]) -> StreamResult:
        text = explain(error, kind, own_key=self._client.has_own_credentials, part=self.reply.begun)
        return StreamResult("failed", self._partial(), str(error), kind, self._item.cost, explanation=text)

    def _stop_result(self) -> StreamResult:
        return StreamResult("stopped", self._partial(), cost=self._item.cost)

    def _partial(self) -> Completion:
        return Completion(self.reply.text or None, None, self.reply.model, reasoning=self.reply.reasoning)


def _whole(outcome: Outcome, *, cached: bool = False) -> StreamResult:
    """Return the result of a whole answer; its error says why it has no text, where it has none."""
    assert outcome.completion is not None
    error = content_error(outcome.completion)
    text, explanation = (str(error), explain(error)) if error else (None, None)
    return StreamResult("whole", outcome.completion, text, cost=outcome.cost, cached=cached, explanation=explanation)
