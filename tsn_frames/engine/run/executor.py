"""Execute one run: look up the cache, send each distinct request once, keep every answer, stop when it must.

A request goes through cache, rate limiter, transport, ledger and cache. The results stand in one
:class:`~tsn_frames.engine.outcomes.Outcomes`; only the verbs make a frame of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum

from ..._gc import gc_paused
from ...api import Completion
from ...api.completion import content_error
from ...errors import NOT_SENT, BudgetExceeded, CacheError, ConfigError, RowError, RunError
from ...secret import Secret, redact
from ..budget.worst_case import check_bounded, worst_case
from ..cache.reader import check
from ..cache.store import lookup
from ..ledger.run_record import RunDescription, RunRecord, Saving
from ..limits.circuit_breaker import State
from ..outcomes import Outcome, Outcomes
from ..runtime.client import Client
from ..runtime.process import ServiceAccount, process_state
from ..runtime.session import Session, open_session
from .accounting import RunAccounting, write
from .attempt import AttemptSender, check_within_limits
from .counts import Counts
from .result_handler import ResultHandler
from .retry_queue import PendingRequest, RetryQueue
from .single_flight import SingleFlight
from .spec import RunSpec
from .streamed_answer import StreamOptions

log = logging.getLogger("tsn_frames")
GRACE = 10.0
_IN_FLIGHT = RowError("not_sent", "stopped while in flight; it may have been billed")
_NOT_RETRIED = RowError("not_sent", "the run ended before this row's next attempt; run again to go on")
_NOT_CACHED = RowError("not_cached", "no answer is cached for this request, and cache='only' sends none")


class RunState(Enum):
    """Life of a run; only the loop's thread changes it.

    ``CREATED`` -> ``RUNNING`` -> (``STOPPING`` ->) one of the last four. ``ENDED`` is an end of its own: key refused, budget used
    up, server dead. ``FAILED`` is a run that could not send at all.
    """

    CREATED = "created"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    ENDED = "ended"
    FAILED = "failed"


class RunExecutor:
    """One run. Created in any thread; it works on the engine's loop, except for :meth:`prepare`.

    Attributes
    ----------
    state : RunState
        Where it is in its life.
    answers : Outcomes
        The result of each distinct request.
    counts : Counts
        Counters, as they are now.
    failure : Exception or None
        What is wrong with the key, the cache's folder or a proxy.
    end : RunError or None
        Why the run ended before all requests were tried.
    finished : threading.Event
        Set when it is over, by the loop's thread.
    """

    def __init__(self, client: Client, work: RunSpec) -> None:
        self.client, self.work = client, work
        self.id, self.state = uuid.uuid4().hex[:12], RunState.CREATED
        self.counts, self.answers = Counts(rows=sum(work.copies)), Outcomes(len(work.requests))
        self.finished = threading.Event()
        self.finished_at: float | None = None  # on the monotonic clock
        self.failure: Exception | None = None
        self.end: RunError | None = None
        self.problems: dict[str, str] = {}
        self.waited: dict[str, float] = {}
        self.pauses = 0
        self._account: ServiceAccount | None = None
        self._key = _key_or_reason(client)  # in the caller's thread, where its warnings belong
        self._pending: list[int] | None = None  # positions to send, once the cache has been looked up
        self._min_cost = Decimal(0)
        self._queue = RetryQueue(())
        self._sender: AttemptSender | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._grace: asyncio.TimerHandle | None = None

    @property
    def cost_upper_bound(self) -> Decimal:
        """The most that this run may have cost: what it visibly did, and what is reserved for requests of unknown outcome."""
        budget = self._sender.session.budget if self._sender else None
        return max(self.counts.cost, budget.run_spent if budget else Decimal(0))

    @property
    def stopped(self) -> bool:
        """Whether it was stopped from outside, as opposed to an end of its own."""
        return self.state in (RunState.STOPPING, RunState.STOPPED) and self.end is None

    def forecast(self) -> tuple[int, float]:
        """Return how many requests are still to be sent, and how many a minute the known limits allow."""
        if self._sender is None:
            return 0, math.inf
        limits, rules = self.client.limits, self._sender.session.account.limiter.rules
        tokens = min(limits.tokens_per_minute or math.inf, rules.tokens.limit) / self._sender.usual_tokens()
        left = self.counts.to_send - self.counts.requests + self.counts.refused + self.counts.retried
        return left, min(limits.requests_per_minute or math.inf, rules.requests.limit, tokens)

    def stop(self, grace: float = GRACE) -> None:
        """Send nothing more, and cancel what is in flight after ``grace`` seconds; from any thread."""
        process_state.call(self._stop, grace)

    def prepare(self) -> None:
        """Look up the cache, and check the requests that are left before money is spent.

        It blocks: a caller that waits for the run anyway calls it before the run starts; else :meth:`run` calls it in a thread.
        """
        if isinstance(self._key, Secret):
            self._account = process_state.account(self.client.base_url, self._key)
            self._account.enter()  # first: an answer that another run stores from here on is found by the look-up or announced
        try:
            self._pending = self._look_up()
            if self._pending and self.work.mode != "only":
                self._check(self._pending)
        except Exception as error:  # noqa: BLE001 - raised where the caller waits for the run
            self.failure = error.with_traceback(None)

    async def run(self) -> None:
        """Execute the run, on the engine's loop."""
        if self.state is RunState.CREATED:
            self.state = RunState.RUNNING
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - raised where the caller waits for the run
            self.failure = error.with_traceback(None)  # whose frames refer to this run
        finally:
            if self._account:
                self._account.leave()
            self._finish_all(NOT_SENT)
            self._cancel_grace()
            self.state, self.finished_at = self._last_state(), time.monotonic()

    async def _run(self) -> None:
        work = self.work
        if self._pending is None and self.failure is None:
            await asyncio.to_thread(self.prepare)
        if self.failure is not None:
            return
        about = _without_key(work.about, self._key)
        accounting = RunAccounting(self.id, self.client, replace(work, about=about), self.counts)
        if work.mode == "only":
            self._finish_all(_NOT_CACHED)
        elif self._pending and self.state is RunState.RUNNING and isinstance(self._key, Secret):
            async with open_session(
                self.client, self._key, store=work.mode != "off", shared=work.shared, run=self.id, max_cost=work.max_cost
            ) as session:
                session.writer.note([accounting.record])
                try:
                    await self._send(session, self._pending)
                finally:
                    session.writer.note(self._closing(accounting))
            self.problems |= session.writer.problems
            return
        await self._note(accounting)

    async def _note(self, accounting: RunAccounting) -> None:
        """Record a run that sent nothing; it spent nothing, so a ledger that can't be written is no loss."""
        try:
            await asyncio.to_thread(write, self.client.ledger, self._closing(accounting))
        except Exception as error:  # noqa: BLE001 - see above
            log.info("the ledger can't be written: %s", type(error).__name__)

    def _closing(self, accounting: RunAccounting) -> list[RunRecord | Saving]:
        self._finish_all(NOT_SENT)
        return accounting.ended(self.answers, type(self.end).__name__ if self.end else self._last_state().value)

    def _last_state(self) -> RunState:
        if self.failure is not None:
            return RunState.FAILED
        if self.end is not None:
            return RunState.ENDED
        return RunState.STOPPED if self.state is RunState.STOPPING else RunState.DONE

    def _look_up(self) -> list[int]:
        """Take the cached answers and return the positions of the other requests."""
        work, answers = self.work, self.answers
        if work.mode == "refresh":
            check(self.client.cache.file)
        if work.mode in ("use", "only"):
            index = work.requests.index
            with gc_paused():
                self._add_cached(answers, {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index)
                self.counts.found(answers, work.copies)
        return answers.unfinished()

    def _add_cached(self, answers: Outcomes, index: Mapping[bytes, int]) -> None:
        """Take those answers of an index of keys that are cached."""
        try:
            lookup(self.client.cache.file, index, answers.add_cached)
        except CacheError:
            raise  # another program's file, or a newer version's: the run ends before money is spent
        except Exception as error:  # noqa: BLE001 - an unreadable cache costs money, not the run; the writer recovers it
            log.warning("the cache can't be read: %s", type(error).__name__)

    def _check(self, pending: list[int]) -> None:
        """Check what needs a key, limits or a budget.

        Raises
        ------
        ConfigError
            If there is no key, or a request can't be sent under the user's own limits or budget.
        """
        if isinstance(self._key, ConfigError):
            raise self._key
        requests, prices = self.work.requests, self.client.prices
        check_within_limits(self.client.limits, (requests[i] for i in pending))
        if self.client.budget.with_run(self.work.max_cost):
            check_bounded(prices, (requests[i] for i in pending))
            self._min_cost = min((worst_case(prices, requests[i]) or Decimal(0) for i in pending), default=Decimal(0))

    async def _send(self, session: Session, pending: list[int]) -> None:
        self.counts.to_send = len(pending)
        if self.state is not RunState.RUNNING:  # stopped while the session was opened
            return
        fresh, mode, tags, requests = self.work.fresh, self.work.mode, self.work.tags, self.work.requests
        limiter = session.account.limiter
        items = (PendingRequest(i, requests[i], i in fresh or mode != "use") for i in pending)
        self._queue = RetryQueue(items, paused=lambda: limiter.rules.breaker.state is not State.CLOSED)
        stream = StreamOptions() if self.work.stream else None
        self._sender = AttemptSender(session, self.id, self.counts, lambda i: tags[i] if tags else None, stream=stream)
        handler = ResultHandler(
            self.client, requests.models, self._queue, limiter.rules.breaker,
            counts=self.counts, done=self._done, end=self._end,
        )  # fmt: skip
        waited, pauses = dict(limiter.waited), limiter.rules.breaker.pauses
        number = min(self.client.concurrency, len(pending))
        flights = SingleFlight(session, lambda one, index: asyncio.to_thread(self._add_cached, one, index))
        self._workers = [asyncio.create_task(self._worker(self._sender, handler, flights)) for _ in range(number)]
        ends = await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        self.end = self.end or (session.budget.rejection() if session.budget else None)
        for item in self._queue.drain():
            self._give_up(item, _NOT_RETRIED)
        self.waited = {rule: s - waited.get(rule, 0.0) for rule, s in limiter.waited.items()}
        self.pauses = limiter.rules.breaker.pauses - pauses
        for end in ends:
            if isinstance(end, Exception):  # a bug of ours; what was in flight has been kept
                raise end

    async def _worker(self, sender: AttemptSender, handler: ResultHandler, flights: SingleFlight) -> None:
        try:
            while (item := await self._queue.next()) is not None:
                await self._process(sender, handler, flights, item)
        except Exception:
            self._stop(GRACE)
            raise

    async def _process(self, sender: AttemptSender, handler: ResultHandler, flights: SingleFlight, item: PendingRequest) -> None:
        if not handler.may_send(item):
            return
        answer = None
        try:
            if not item.fresh and (shared := await flights.join(item)):
                self._take_shared(item, *shared)
                return
            answer = handler.handle(item, await sender.send(item))
        except RunError as end:
            self._give_up_unaffordable(sender.session, item, end)
            await asyncio.sleep(0)  # rows that don't fit never wait: let other tasks run between them
        except asyncio.CancelledError:
            self._give_up(item, _IN_FLIGHT if item.in_flight else _NOT_RETRIED if item.attempts or item.refusals else NOT_SENT)
            raise
        finally:
            flights.publish(item, answer)

    def _give_up_unaffordable(self, session: Session, item: PendingRequest, end: RunError) -> None:
        """Give up a request that doesn't fit into the budget; the run goes on while a cheaper one may fit, and the budget is kept."""
        self._give_up(item, RowError("not_sent", str(end)))
        if not isinstance(end, BudgetExceeded) or session.budget is None or session.budget.is_exhausted(self._min_cost):
            self._end(end)

    def _end(self, error: RunError) -> None:
        """End the run: nothing more is sent, what is in flight finishes and is kept."""
        self.end = self.end or error.with_traceback(None)  # whose frames refer to this run
        self._stop(None)

    def _stop(self, grace: float | None) -> None:
        if self.state is RunState.DONE:
            self.state = RunState.STOPPED  # a call of several runs sends no further one
        if self.state not in (RunState.CREATED, RunState.RUNNING, RunState.STOPPING):
            return
        self.state = RunState.STOPPING
        self._queue.close()
        sending = self._sender.sending if self._sender else set()
        for worker in self._workers:
            if worker not in sending and worker is not asyncio.current_task():
                worker.cancel()
        if grace is not None:
            loop = asyncio.get_running_loop()
            if self._grace is None or loop.time() + grace < self._grace.when():
                self._cancel_grace()
                self._grace = loop.call_later(grace, lambda: [worker.cancel() for worker in self._workers])

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _take_shared(self, item: PendingRequest, completion: Completion, when: float) -> None:
        """Finish a request with the answer that another run paid for."""
        self._done(item, Outcome(completion, content_error(completion), answered_at=when, cost=item.cost, shared=True))

    def _give_up(self, item: PendingRequest, error: RowError) -> None:
        self._done(item, Outcome(error=error, cost=item.cost))

    def _done(self, item: PendingRequest, outcome: Outcome) -> None:
        self._finish(item.index, outcome)
        self._queue.done()

    def _finish(self, index: int, outcome: Outcome) -> None:
        self.answers.set(index, outcome)
        self.counts.finish(outcome, self.work.copies[index])

    def _finish_all(self, error: RowError) -> None:
        """Finish all unfinished requests with an error."""
        for index in self.answers.unfinished():
            self._finish(index, Outcome(error=error))


def _without_key(about: RunDescription, key: Secret | ConfigError) -> RunDescription:
    """Return a run's description without the API key, should a user have written it into the prompt."""
    if about.texts is None:
        return about
    words = json.dumps(about.texts, default=str)
    shown = redact(words, None if isinstance(key, ConfigError) else key, most=len(words))
    return about if shown == words else about._replace(texts=json.loads(shown))


def _key_or_reason(client: Client) -> Secret | ConfigError:
    """Return the key, or why there is none, which only matters where something has to be sent."""
    try:
        return client.key()
    except ConfigError as reason:
        return reason.with_traceback(None)
