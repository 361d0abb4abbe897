"""Execute one run: look up the cache, send each distinct request once, keep every answer, stop when it must.

A request goes through cache, rate limiter, transport, ledger and cache. The results stand in one
:class:`~tsn_frames.engine.outcomes.Outcomes`; only the verbs make a frame of it.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import uuid
from decimal import Decimal
from enum import Enum

from ...errors import NOT_SENT, BudgetExceeded, RowError, RunError
from ...secret import Secret
from ..ledger.ledger_file import Line
from ..outcomes import Outcome, Outcomes
from ..progress.counts import Counts
from ..runtime.client import Client
from ..runtime.process import ServiceAccount, process_state
from ..runtime.session import Session, open_session
from ..runtime.simulator_detection import is_simulated
from .attempt import AttemptSender
from .cache_lookup import look_up
from .cross_process_single_flight import TAKEN_DELAY, ProcessFlights
from .preflight import check_sendable, key_or_reason
from .request_queue import PendingRequest, RetryQueue
from .result_handler import ResultHandler
from .run_record_and_savings import AccountedKeys, RunAccounting, accounted_hits, write_or_log
from .single_flight import SingleFlight
from .spec import RunSpec
from .streamed_answer import StreamOptions

GRACE = 10.0


class RunState(Enum):
    """Life of a run: ``CREATED``, ``RUNNING``, perhaps ``STOPPING``, one of the others. Only the loop's thread changes it."""

    CREATED = "created"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    ENDED = "ended"  # before all requests were tried: key refused, budget used up, server dead
    FAILED = "failed"  # it could not send at all


class RunExecutor:
    """One run. Created in any thread; it works on the engine's loop, except for :meth:`prepare`."""

    def __init__(self, client: Client, work: RunSpec) -> None:
        self.client, self.work = client, work
        self.id, self.state = uuid.uuid4().hex[:12], RunState.CREATED
        self.counts, self.answers = Counts(rows=sum(work.copies)), Outcomes(len(work.requests))
        self.counts.currency = client.prices.currency if client.prices else None
        self.counts.simulated = is_simulated(client.host, work.requests.models)
        self.finished = threading.Event()
        self.finished_at: float | None = None  # on the monotonic clock
        self.failure: Exception | None = None  # why it could not send at all: the key, the cache's folder, a proxy
        self.end: RunError | None = None  # why it ended before all requests were tried
        self.problems: dict[str, str] = {}  # why ledger or cache can't be written, by name
        self.waited: dict[str, float] = {}  # seconds waited, by the limiter's rule
        self.pauses = 0  # pauses of the circuit breaker while it went on
        self._account: ServiceAccount | None = None
        self._key = key_or_reason(client)  # in the caller's thread, where its warnings belong
        self._pending: list[int] | None = None  # positions to send, once the cache has been looked up
        self._accounted: AccountedKeys = frozenset()  # requests whose cached answers are no saving
        self._min_cost = Decimal(0)
        self._processes: ProcessFlights | None = None
        self._queue = RetryQueue(())
        self._sender: AttemptSender | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._grace_timers: list[asyncio.TimerHandle] = []

    @property
    def cost_upper_bound(self) -> Decimal:
        """The most that this run may have cost: what it visibly did, and what is reserved for requests of unknown outcome."""
        budget = self._sender.session.budget if self._sender else None
        return max(self.counts.cost, budget.run_spent if budget else Decimal(0))

    @property
    def stopped(self) -> bool:
        """Whether it was stopped from outside."""
        return self.state in (RunState.STOPPING, RunState.STOPPED) and self.end is None

    def forecast(self) -> tuple[int, float]:
        """Return how many requests are still to be sent, and how many a minute the known limits allow."""
        if self._sender is None:
            return 0, math.inf
        limits, (requests, tokens) = self.client.limits, self._sender.session.account.limiter.known_limits()
        tokens = min(limits.tokens_per_minute or math.inf, tokens) / self._sender.usual_tokens()
        left = self.counts.to_send - self.counts.requests + self.counts.refused + self.counts.retried
        return left, min(limits.requests_per_minute or math.inf, requests, tokens)

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
            look_up(self.client, self.work, self.answers)
            if self.work.mode == "use" and isinstance(self._key, Secret) and (left := self.answers.unfinished()):
                self._processes = ProcessFlights(self.client.cache)
                # Again: until this run was among the flights, another process didn't announce its own, and may have ended since.
                look_up(self.client, self.work, self.answers, left)
            self._accounted = accounted_hits(self.client.ledger, self.work, self.answers.cached)
            self.counts.add_cached(self.answers, self.work.copies)
            self._pending = self.answers.unfinished()
            if self._pending and self.work.mode != "only":
                self._min_cost = check_sendable(self.client, self._key, self.work, self._pending)
        except Exception as error:  # noqa: BLE001 - raised where the caller waits for the run
            self.failure = error.with_traceback(None)

    async def run(self) -> None:
        """Execute the run, on the engine's loop."""
        if self.state is RunState.CREATED:
            self.state = RunState.RUNNING
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - raised where the caller waits for the run
            self.failure = error.with_traceback(None)  # its frames refer to this run
        finally:
            if self._account:
                self._account.leave()
            if self._processes:
                await self._processes.close()
            self._finish_all(NOT_SENT)
            for timer in self._grace_timers:
                timer.cancel()  # it refers to this run
            self.state, self.finished_at = self._last_state(), time.monotonic()

    async def _run(self) -> None:
        work = self.work
        if self._pending is None and self.failure is None:
            await asyncio.to_thread(self.prepare)
        if self.failure is not None:
            return
        accounting = RunAccounting(self.id, self.client, work, self.counts, self._key, accounted=self._accounted)
        if work.mode == "only":
            self._finish_all(RowError("not_cached", self.client.cache.miss))
        elif self._pending and self.state is RunState.RUNNING and isinstance(self._key, Secret):
            store, most = work.mode != "off", work.max_cost
            async with open_session(
                self.client, self._key, store=store, shared=work.shared, run=self.id, max_cost=most
            ) as session:
                session.writer.note([accounting.record])
                try:
                    await self._send(session, self._pending)
                finally:
                    session.writer.note(self._closing(accounting))
            self.problems |= session.writer.problems
            return
        await asyncio.to_thread(write_or_log, self.client.ledger, self._closing(accounting))

    def _closing(self, accounting: RunAccounting) -> list[Line]:
        self._finish_all(NOT_SENT)
        return accounting.ended(self.answers, type(self.end).__name__ if self.end else self._last_state().value)

    def _last_state(self) -> RunState:
        if self.failure is not None:
            return RunState.FAILED
        if self.end is not None:
            return RunState.ENDED
        return RunState.STOPPED if self.state is RunState.STOPPING else RunState.DONE

    async def _send(self, session: Session, pending: list[int]) -> None:
        self.counts.to_send = len(pending)
        if self.state is not RunState.RUNNING:  # stopped while the session was opened
            return
        fresh, mode, tags, requests = self.work.fresh, self.work.mode, self.work.tags, self.work.requests
        limiter = session.account.limiter
        breaker = limiter.rules.breaker
        items = (PendingRequest(i, requests[i], i in fresh or mode != "use") for i in pending)
        self._queue = RetryQueue(items, preferred_probe=lambda: breaker.preferred_probe)
        stream = StreamOptions() if self.work.stream else None
        self._sender = AttemptSender(session, self.id, self.counts, lambda i: tags[i] if tags else None, stream=stream)
        handler = ResultHandler(
            self.client, requests.models, self._queue, breaker,
            counts=self.counts, finish=self._finish, end=self._end,
        )  # fmt: skip
        waited, pauses = dict(limiter.waited), breaker.pauses
        number = min(self.client.concurrency, len(pending))
        if self._processes:
            await self._processes.start(lambda: self.state is RunState.RUNNING)
        flights = SingleFlight(session, self._processes)
        self._workers = [asyncio.create_task(self._worker(self._sender, handler, flights)) for _ in range(number)]
        ends = await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        self.end = self.end or (session.budget.rejection() if session.budget else None)
        for item in self._queue.drain():
            handler.give_up_cancelled(item)
        self.waited = {rule: s - waited.get(rule, 0.0) for rule, s in limiter.waited.items()}
        self.pauses = breaker.pauses - pauses
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
            found = True if item.fresh else await flights.join(item)
            if found is False:
                self._queue.requeue(item, TAKEN_DELAY, last=True)
                return
            if found is not True:
                handler.finish_shared(item, *found)
                return
            answer = handler.handle(item, await sender.send(item))
        except RunError as error:
            budget = sender.session.budget
            cheaper_may_fit = isinstance(error, BudgetExceeded) and budget is not None and not budget.is_exhausted(self._min_cost)
            handler.give_up_unaffordable(item, error, end_run=not cheaper_may_fit)
            await asyncio.sleep(0)  # rows that don't fit never wait: let other tasks run between them
        except asyncio.CancelledError:
            handler.give_up_cancelled(item)
            raise
        finally:
            flights.publish(item, answer)

    def _end(self, error: RunError) -> None:
        """End the run: nothing more is sent, what is in flight finishes and is kept."""
        self.end = self.end or error.with_traceback(None)  # its frames refer to this run
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
            self._grace_timers.append(loop.call_later(grace, lambda: [worker.cancel() for worker in self._workers]))

    def _finish(self, index: int, outcome: Outcome) -> None:
        self.answers.set(index, outcome)
        self.counts.finish(outcome, self.work.copies[index])

    def _finish_all(self, error: RowError) -> None:
        """Finish all unfinished requests with an error."""
        for index in self.answers.unfinished():
            self._finish(index, Outcome(error=error))
