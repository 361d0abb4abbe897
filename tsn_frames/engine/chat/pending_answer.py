"""A question on its way: the cache, then attempts as a frame's rows have them, until there is the turn of an answer or a part of one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from decimal import Decimal
from typing import NamedTuple

from ...api import Completion, Request
from ...api.completion import content_error
from ...api.streaming.stream_parser import StreamedReply
from ...errors import RowError, RunError, ServerError, TSNError
from ...secret import Secret, redact
from ..budget.admission import BudgetAdmission
from ..cache.cache import CacheMode
from ..limits.limiter import CHAT
from ..outcomes import Outcome
from ..progress.counts import Counts
from ..run.attempt import AttemptSender
from ..run.cache_lookup import cached_answer
from ..run.request_queue import PendingRequest, RetryQueue
from ..run.result_handler import ResultHandler
from ..run.streamed_answer import StreamOptions
from ..runtime.client import Client
from ..runtime.process import process_state
from ..runtime.session import Session, open_session
from .explanations import explain
from .turn import State, Turn

log = logging.getLogger("tsn_frames")
NOTIFY_INTERVAL = 0.04  # seconds between two notifications of a growing answer, for a page that stays responsive


class PartialAnswer(NamedTuple):
    """The part of an answer that has arrived, and the seconds since its question."""

    text: str
    reasoning: str
    seconds: float


class PendingAnswer:
    """One question from its sending to the turn of its answer; a task of the engine's loop."""

    def __init__(
        self, client: Client, key: Secret, request: Request, *, mode: CacheMode, nonce: str, run: str, tag: str,
        options: StreamOptions, budget: BudgetAdmission | None,
        notify: Callable[..., None], finish: Callable[[PendingAnswer, Turn], None],
    ) -> None:  # fmt: skip
        self.future: Future[Turn] = Future()
        self.future.set_running_or_notify_cancel()  # not cancellable: stop() ends it and keeps what has arrived
        self.finished = threading.Event()
        self.budget, self.text, self._reasoning = budget, "", ""
        self._client, self._key, self._request, self._mode = client, key, request, client.cache.mode(mode)
        self._nonce, self._run, self._tag, self._options = nonce, run, tag, options
        self._notify, self._finish, self._started = notify, finish, time.monotonic()
        self._item, self._reply = PendingRequest(0, request, fresh=True), StreamedReply()
        self._thought: float | None = None  # seconds until the text began, where the model's reasoning came before it
        self._kind: type[TSNError] = RunError  # the exception to raise where there is no answer
        self._sending: asyncio.Task[Turn] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped, self._notified_size = False, 0
        options.on_growth = self._on_growth

    @property
    def partial(self) -> PartialAnswer:
        """The answer so far."""
        return PartialAnswer(self.text, self._reasoning, time.monotonic() - self._started)

    def stop(self, grace: float = 0.0) -> None:  # noqa: ARG002 - a task's signature; a stream is closed at once
        """Close the connection and keep what has arrived, from any thread."""
        process_state.call(self._stop)

    def answer(self) -> str:
        """Return the text of the finished answer."""
        turn = self.future.result()
        if turn.state == "failed":
            raise self._kind(turn.explanation or turn.error)
        return turn.content if isinstance(turn.content, str) else ""

    async def run(self) -> None:
        """Send the request and make the turn of its result; every error becomes a failed turn."""
        try:
            turn = await self._ask()
        except TSNError as error:  # a setting that can't work
            turn = self._unsent(redact(str(error)), type(error))
        except Exception as error:
            log.exception("a chat's question failed")
            turn = self._unsent(redact(f"{type(error).__name__}: {error}"), RunError)
        if self._timer:
            self._timer.cancel()
        self._finish(self, turn)
        self._notify("on_end", turn)
        self.future.set_result(turn)

    async def _ask(self) -> Turn:
        reads = self._mode in ("use", "only")
        if reads and (hit := await cached_answer(self._client.cache.file, self._request.key)) is not None:
            return self._whole(Outcome(hit[0]), cached=True)
        if self._mode == "only":
            return self._failed(RowError("not_cached", self._client.cache.miss), RunError)
        store = self._mode != "off"
        async with open_session(self._client, self._key, store=store, run=self._run, budget=self.budget) as opened:
            self.budget = opened.budget
            turn = await self._send(opened)
        for name, problem in opened.writer.problems.items():
            log.warning("the %s can't be written: %s", name, problem)
        return turn

    def _stop(self) -> None:
        self._stopped = True
        if self._sending:
            self._sending.cancel()

    async def _send(self, session: Session) -> Turn:
        """Run the attempts as a separate task: a stop cancels them, and not the writing of what was paid for."""
        if self._stopped:
            return self._part("stopped")
        self._sending = asyncio.create_task(self._attempts(session))
        try:
            return await self._sending
        except RunError as end:
            return self._failed(RowError("not_sent", str(end)), type(end))
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return self._part("stopped")

    async def _attempts(self, session: Session) -> Turn:
        """Try until there is an answer, a part of one, or no use in trying again."""
        outcomes, ends, counts, queue = list[Outcome](), list[RunError](), Counts(), RetryQueue([self._item])

        sender = AttemptSender(session, self._run, counts, lambda _: self._tag,
                               stream=self._options, nonce=self._nonce, priority=CHAT)  # fmt: skip
        breaker = session.account.limiter.rules.breaker
        handler = ResultHandler(
            self._client, [self._request.model], queue, breaker,
            counts=counts, finish=lambda _, outcome: outcomes.append(outcome), end=ends.append,
        )  # fmt: skip
        kind: type[RunError] = RunError
        while (item := await queue.next()) is not None:
            found = await sender.send(item)
            if found.error is not None and self._reply.begun:  # a part has come: it is kept, and the reader decides
                return self._failed(found.error, found.end or RunError)
            kind = ServerError if found.kind == "retry" else RunError
            handler.handle(item, found)
        (outcome,) = outcomes
        if outcome.completion is not None:
            return self._whole(outcome)
        assert outcome.error is not None
        end = ends[0] if ends else None
        return self._failed(RowError(outcome.error.code, str(end)), type(end)) if end else self._failed(outcome.error, kind)

    def _whole(self, outcome: Outcome, *, cached: bool = False) -> Turn:
        """Return the turn of a whole answer; its error says why it has no text, where it has none."""
        assert outcome.completion is not None
        error = content_error(outcome.completion)
        text, explanation = (str(error), explain(error)) if error else (None, None)
        return self._turn("whole", outcome.completion, text, explanation, cost=outcome.cost, cached=cached)

    def _failed(self, error: RowError, kind: type[RunError]) -> Turn:
        self._kind = kind
        own_key, part = self._client.has_own_credentials, self._reply.begun
        return self._part("failed", str(error), explain(error, kind, own_key=own_key, part=part))

    def _part(self, state: State, error: str | None = None, explanation: str | None = None) -> Turn:
        answer = Completion(self._reply.text or None, None, self._reply.model, reasoning=self._reply.reasoning)
        return self._turn(state, answer, error, explanation, cost=self._item.cost)

    def _unsent(self, message: str, kind: type[TSNError]) -> Turn:
        self._kind = kind
        return self._turn("failed", Completion(self._reply.text or None), message, cost=None)

    def _turn(self, state: State, answer: Completion, error: str | None = None, explanation: str | None = None, *,
              cost: Decimal | None, cached: bool = False) -> Turn:  # fmt: skip
        same = ("prompt_tokens", "completion_tokens", "total_tokens", "finish_reason", "reasoning")
        return Turn(
            "assistant", answer.content or "", answer.model or self._request.model, cost=cost, time=time.time(),
            seconds=time.monotonic() - self._started, error=error, state=state, cached=cached, explanation=explanation,
            thought_seconds=self._thought, **{name: getattr(answer, name) for name in same},
        )  # fmt: skip

    def _on_growth(self, reply: StreamedReply) -> None:
        self._reply = reply
        if self._timer is None:
            self._notify_growth()

    def _notify_growth(self) -> None:
        reply = self._reply
        self.text, self._reasoning, self._notified_size = reply.text, reply.reasoning or "", reply.size
        if self.text and self._reasoning and self._thought is None:
            self._thought = time.monotonic() - self._started
        self._notify("on_text", self.text)
        self._timer = asyncio.get_running_loop().call_later(NOTIFY_INTERVAL, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._reply.size > self._notified_size:
            self._notify_growth()
