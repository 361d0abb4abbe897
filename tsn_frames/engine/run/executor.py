"""Requests to completions: look up, send each distinct request once, keep every answer, stop when it must.

The way of one request: the cache, else the limiter, the transport, the ledger, the cache. What came of them
stands in one :class:`.answers.Answers`; only the verbs make a frame of it.
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
from decimal import Decimal

from ..._gc import gc_paused
from ...api import Completion
from ...api.completion import content_error
from ...errors import NOT_SENT, BudgetExceeded, CacheError, ConfigError, RowError, RunError
from ...secret import Secret, redact
from ..budget.worst_case import check_bounded
from ..cache.reader import check
from ..cache.store import lookup
from ..ledger.run_record import RunDescription, RunRecord, Saving
from ..outcomes import Outcome, Outcomes
from ..runtime.client import Client
from ..runtime.process import process_state
from ..runtime.session import Session, open_session
from .accounting import RunAccounting, RunRequests, write
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
_NOT_AGAIN = RowError("not_sent", "the run ended before this row's next attempt; run again to go on")
_NOT_CACHED = RowError("not_cached", "no answer is cached for this request, and cache='only' sends none")


class RunExecutor:
    """One run. Made in any thread; all of its work is done on the engine's loop."""

    def __init__(self, client: Client, work: RunSpec) -> None:
        self.client, self.work = client, work
        self.id = uuid.uuid4().hex[:12]
        self.counts = Counts(rows=sum(work.copies))
        self.answers = Outcomes(len(work.requests))
        self.finished = threading.Event()
        self.finished_at: float | None = None  # on the monotonic clock
        self.failure: Exception | None = None  # what is wrong with the key, the cache's folder or a proxy
        self.end: RunError | None = None
        self.problems: dict[str, str] = {}
        self.waited: dict[str, float] = {}
        self.pauses = 0
        self._pending = 0
        self._workers: list[asyncio.Task[None]] = []
        self._sender: AttemptSender | None = None
        self._queue = RetryQueue(())
        self._stopped = False
        self._key = _key_or_reason(client)  # in the caller's thread, where its warnings belong
        self._least = Decimal(0)

    @property
    def cost_upper_bound(self) -> Decimal:
        """The most that this run may have cost: what it visibly did, and what is held for requests of unknown outcome."""
        budget = self._sender.session.budget if self._sender else None
        return max(self.counts.cost, budget.run_spent if budget else Decimal(0))

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it, as opposed to an end of its own."""
        return self._stopped and self.end is None

    def forecast(self) -> tuple[int, float]:
        """Return how many requests are still to be sent, and how many a minute the known limits allow."""
        if self._sender is None:
            return 0, math.inf
        limits, rules = self.client.limits, self._sender.session.account.limiter.rules
        tokens = min(limits.tokens_per_minute or math.inf, rules.tokens.limit) / self._sender.usual_tokens()
        left = self._pending - self.counts.requests + self.counts.refused + self.counts.retried
        return left, min(limits.requests_per_minute or math.inf, rules.requests.limit, tokens)

    def stop(self, grace: float = GRACE) -> None:
        """Send nothing more, and cancel what is in flight after ``grace`` seconds; from any thread."""
        process_state.call(self._stop, grace)

    async def run(self) -> None:
        """Do it, on the engine's loop."""
        account = None if isinstance(self._key, ConfigError) else process_state.account(self.client.base_url, self._key)
        if account:
            account.active_runs += 1
        try:
            await self._do()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self.failure = error
        finally:
            if account:
                account.active_runs -= 1
                account.answered_keys.clear() if not account.active_runs else None
            self._close(NOT_SENT)
            self.finished_at = time.monotonic()

    async def _do(self) -> None:
        work = self.work
        asked = RunRequests(work.requests, work.copies, work.tags, work.other_tags)
        record = RunAccounting(self.id, self.client, asked, self.counts, _without_key(work.about, self._key))
        pending = await self._look_up()
        if work.mode == "only":
            self._close(_NOT_CACHED)
        elif pending and not self._stopped:
            if isinstance(self._key, ConfigError):
                raise self._key
            await asyncio.to_thread(check_within_limits, self.client.limits, (work.requests[i] for i in pending))
            if self.client.budget.with_run(work.max_cost):
                await asyncio.to_thread(check_bounded, self.client.prices, (work.requests[i] for i in pending))
            async with open_session(
                self.client, self._key, store=work.mode != "off", run=self.id, max_cost=work.max_cost
            ) as session:
                session.writer.note([record.card])
                try:
                    await self._send(session, pending)
                finally:
                    session.writer.note(self._closing(record))
            self.problems |= session.writer.problems
            return
        await self._note(record)

    async def _note(self, record: RunAccounting) -> None:
        """Write down a run that sent nothing; it spent nothing, so a ledger that can't be written is no loss."""
        try:
            await asyncio.to_thread(write, self.client.ledger, self._closing(record))
        except Exception as error:  # noqa: BLE001 - see above
            log.info("the ledger can't be written: %s", type(error).__name__)

    def _closing(self, record: RunAccounting) -> list[RunRecord | Saving]:
        self._close(NOT_SENT)
        return record.ended(self.answers, type(self.end).__name__ if self.end else "stopped" if self._stopped else "done")

    async def _look_up(self) -> list[int]:
        """Fill in what is cached and return the positions of the rest."""
        work, answers = self.work, self.answers
        if work.mode == "refresh":
            await asyncio.to_thread(check, self.client.cache.file)
        if work.mode in ("use", "only"):
            index = work.requests.index
            with gc_paused():
                await self._fill(answers, {key: at for key, at in index.items() if at not in work.fresh} if work.fresh else index)
                self.counts.found(answers, work.copies)
        return answers.unfinished()

    async def _fill(self, answers: Outcomes, index: Mapping[bytes, int]) -> None:
        """Fill in those answers of an index of keys that are cached."""
        try:
            await asyncio.to_thread(lookup, self.client.cache.file, index, answers.add_cached)
        except CacheError:
            raise  # not ours, or too new: told before money is spent
        except Exception as error:  # noqa: BLE001 - an unreadable cache costs money, not the run; the writer mends it
            log.warning("the cache can't be read: %s", type(error).__name__)

    async def _send(self, session: Session, pending: list[int]) -> None:
        self._pending = self.counts.to_send = len(pending)
        if session.budget:
            self._least = await asyncio.to_thread(min, (session.budget.worst_case(self.work.requests[i]) for i in pending))
        if self._stopped:  # while the parts were opened, when there was no queue yet to be closed
            return
        fresh, mode, tags = self.work.fresh, self.work.mode, self.work.tags
        self._queue = RetryQueue(PendingRequest(i, self.work.requests[i], i in fresh or mode != "use") for i in pending)
        stream = StreamOptions() if self.work.stream else None
        self._sender = AttemptSender(session, self.id, self.counts, lambda i: tags[i] if tags else None, stream=stream)
        limiter = session.account.limiter
        course = ResultHandler(
            self.client, self.work.requests.models, self._queue, limiter.rules.breaker,
            counts=self.counts, done=self._done, end=self._failed,
        )  # fmt: skip
        waited, pauses = dict(limiter.waited), limiter.rules.breaker.pauses
        number = min(self.client.concurrency, len(pending))
        sharing = SingleFlight(session, self._fill)
        self._workers = [asyncio.create_task(self._worker(self._sender, course, sharing)) for _ in range(number)]
        ends = await asyncio.gather(*self._workers, return_exceptions=True)
        self.end = self.end or (session.budget.rejection() if session.budget else None)
        for item in self._queue.drain():
            self._give_up(item, _NOT_AGAIN)
        self.waited = {rule: s - waited.get(rule, 0.0) for rule, s in limiter.waited.items()}
        self.pauses = limiter.rules.breaker.pauses - pauses
        for end in ends:
            if isinstance(end, Exception):  # a bug of ours, told when what is in flight has been kept
                raise end

    async def _worker(self, sender: AttemptSender, course: ResultHandler, sharing: SingleFlight) -> None:
        try:
            while (item := await self._queue.next()) is not None:
                await self._one(sender, course, sharing, item)
        except Exception:
            self._stop(GRACE)
            raise

    async def _one(self, sender: AttemptSender, course: ResultHandler, sharing: SingleFlight, item: PendingRequest) -> None:
        if not course.may_send(item):
            return
        answer = None
        try:
            if not item.fresh and (bought := await sharing.join(item)):
                self._give(item, *bought)
                return
            answer = course.handle(item, await sender.send(item))
        except BudgetExceeded as end:
            self._unpaid(sender.session, item, end)
            await asyncio.sleep(0)  # of many rows that don't fit none waits for anything, and others have their turn
        except asyncio.CancelledError:
            self._give_up(item, _IN_FLIGHT if item.in_flight else _NOT_AGAIN if item.attempts or item.refusals else NOT_SENT)
            raise
        finally:
            sharing.publish(item, answer)

    def _unpaid(self, session: Session, item: PendingRequest, end: BudgetExceeded) -> None:
        """Give up a row that the budget has no room for; the run goes on while a smaller one may fit."""
        self._give_up(item, RowError("not_sent", str(end)))
        if session.budget is None or session.budget.is_exhausted(self._least):
            self._failed(end)

    def _failed(self, error: RunError) -> None:
        """End the run: nothing more is sent, what is in flight finishes and is kept."""
        self.end = self.end or error
        self._stop(None)

    def _stop(self, grace: float | None) -> None:
        self._stopped = True
        self._queue.close()
        sending = self._sender.sending if self._sender else set()
        for worker in self._workers:
            if worker not in sending and worker is not asyncio.current_task():
                worker.cancel()
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, lambda: [worker.cancel() for worker in self._workers])

    def _give(self, item: PendingRequest, completion: Completion, when: float) -> None:
        """Finish a row with the answer that another run paid for."""
        self._done(item, Outcome(completion, content_error(completion), answered_at=when, cost=item.cost, shared=True))

    def _give_up(self, item: PendingRequest, error: RowError) -> None:
        self._done(item, Outcome(error=error, cost=item.cost))

    def _done(self, item: PendingRequest, outcome: Outcome) -> None:
        self._finish(item.index, outcome)
        self._queue.done()

    def _finish(self, index: int, outcome: Outcome) -> None:
        self.answers.set(index, outcome)
        self.counts.finish(outcome, self.work.copies[index])

    def _close(self, error: RowError) -> None:
        """Finish all that aren't over."""
        for index in self.answers.unfinished():
            self._finish(index, Outcome(error=error))


def _without_key(about: RunDescription, key: Secret | ConfigError) -> RunDescription:
    """Return what is said of a run without the API key, should a user have written it into the prompt."""
    words = json.dumps(about.texts, default=str)
    shown = redact(words, None if isinstance(key, ConfigError) else key, most=len(words))
    return about if about.texts is None or shown == words else about._replace(texts=json.loads(shown))


def _key_or_reason(client: Client) -> Secret | ConfigError:
    """Return the key, or why there is none, which only matters where something has to be sent."""
    try:
        return client.key()
    except ConfigError as reason:
        return reason
