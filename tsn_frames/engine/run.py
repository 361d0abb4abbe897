"""Requests to completions: look up, send each distinct request once, keep every answer, stop when it must.

The way of one request: the cache, else the limiter, the transport, the ledger, the cache. A run yields outcomes, one a
distinct request; only the verbs make a frame of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .. import errors, wire
from ..errors import NOT_SENT, RowError, RunError
from ..wire import Request
from . import retry as policy
from .client import Client, Session
from .ledger import Entry
from .limiter import Grant
from .registry import here
from .retry import Verdict, judge
from .rows import Counts, Item, Outcome, Queue
from .store import lookup
from .transport import Answer, Failure

log = logging.getLogger("tsn_frames")
CacheMode = Literal["use", "refresh", "off", "only"]
GRACE = 10.0
GUESS_TOKENS = 256


@dataclass(frozen=True)
class Work:
    """What a run is to do.

    Parameters
    ----------
    requests : sequence of Request
        The distinct requests.
    copies : sequence of int
        How many rows share each of them.
    fresh : frozenset of int
        Positions that are asked again though they are cached.
    tags : sequence of str or None
        The ledger's tag of each; empty for none.
    mode : {"use", "refresh", "off", "only"}
        What the cache is for.
    """

    requests: Sequence[Request]
    copies: Sequence[int]
    fresh: frozenset[int] = frozenset()
    tags: Sequence[str | None] = ()
    mode: CacheMode = "use"


class Engine:
    """One run. Made in any thread; all of its work is done on the engine's loop."""

    def __init__(self, client: Client, work: Work) -> None:
        self.client, self.work = client, work
        self.id = uuid.uuid4().hex[:12]
        self.counts = Counts(rows=sum(work.copies))
        self.outcomes: list[Outcome | None] = [None] * len(work.requests)
        self.end: RunError | None = None
        self.waited: dict[str, float] = {}
        self.pauses = 0
        self.started = time.time()
        self._budget = client.retry.budget + len(work.requests) / 10
        self._unreachable = 0
        self._dead: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._queue: Queue | None = None
        self._stopped = False
        self.problems: dict[str, str] = {}
        self.future: Future[None] | None = None

    def start(self) -> Future[None]:
        """Begin, on the engine's loop."""
        self.future = here.submit(self._run())
        return self.future

    def stop(self, grace: float = GRACE) -> None:
        """Send nothing more, and cancel what is in flight after ``grace`` seconds; from any thread."""
        if here.loop:
            here.loop.call_soon_threadsafe(self._stop, grace)

    async def _run(self) -> None:
        pending = await self._look_up()
        if self.work.mode == "only":
            self._close(pending, RowError("not_cached", "no answer is cached for this request, and cache='only' sends none"))
        elif pending and not self._stopped:
            async with self.client.session(store=self.work.mode != "off") as session:
                await self._send(session, pending)
            self.problems = session.writer.problems
        self._close(range(len(self.outcomes)), NOT_SENT)

    async def _look_up(self) -> list[int]:
        """Fill in what is cached and return the positions of the rest."""
        every, work = range(len(self.work.requests)), self.work
        if work.mode in ("refresh", "off"):
            return list(every)
        wanted = [work.requests[i].key for i in every if i not in work.fresh]
        try:
            found = await asyncio.to_thread(lookup, self.client.cache.file, wanted)
        except Exception as error:  # a cache that can't be read costs money, not the run; the writer will tell and mend
            log.warning("the cache can't be read: %s", error)
            self.problems["cache"] = f"{type(error).__name__}: {error}"
            found = {}
        return [i for i in every if i in work.fresh or not self._from_cache(i, found.get(work.requests[i].key))]

    def _from_cache(self, index: int, hit: tuple[bytes, float] | None) -> bool:
        if hit is None:
            return False
        try:
            completion = wire.decode(hit[0])
        except wire.Unreadable:  # a damaged value: ask again
            return False
        outcome = Outcome(completion, policy.content_error(completion), cached=True, answered_at=hit[1])
        self._finish(index, outcome)
        return True

    async def _send(self, session: Session, pending: list[int]) -> None:
        fresh = self.work.fresh
        items = (Item(i, self.work.requests[i], i in fresh or self.work.mode != "use") for i in pending)
        self._queue, limiter = Queue(items), session.account.limiter
        before, pauses, self._last = dict(limiter.waited), limiter.gate.flow.total_pauses, time.monotonic()
        number = min(self.client.concurrency, len(pending))
        self._workers = [asyncio.create_task(self._worker(session)) for _ in range(number)]
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            self.waited = {rule: s - before.get(rule, 0.0) for rule, s in limiter.waited.items()}
            self.pauses = limiter.gate.flow.total_pauses - pauses
        for worker in self._workers:
            if not worker.cancelled() and (bug := worker.exception()):
                raise bug

    async def _worker(self, session: Session) -> None:
        assert self._queue is not None
        try:
            while (item := await self._queue.next()) is not None:
                await self._one(session, item)
        except Exception:
            self._stop(GRACE)
            raise

    async def _one(self, session: Session, item: Item) -> None:
        if item.request.model in self._dead:
            self._give_up(item, self._model_error(item.request.model))
        elif item.fresh or not await self._join(session, item):
            await self._attempt(session, item)

    async def _join(self, session: Session, item: Item) -> bool:
        """Wait for the same request of another run of this process; return whether it brought the answer."""
        name = (str(self.client.cache.folder), item.request.key)
        while (other := session.account.coming.get(name)) is not None:
            if (hit := await asyncio.shield(other)) is not None:
                completion = wire.decode(hit[0])
                self._done(item, Outcome(completion, policy.content_error(completion), answered_at=hit[1]))
                return True
        session.account.coming[name] = asyncio.get_running_loop().create_future()
        item.leads = True
        return False

    async def _attempt(self, session: Session, item: Item) -> None:
        limiter, request = session.account.limiter, item.request
        try:
            grant = await limiter.acquire(session.pace, self._tokens(request))
        except asyncio.CancelledError:
            self._left(session, item, None)
            raise
        task = asyncio.current_task()
        assert task is not None
        self._sending.add(task)
        self.counts.requests += 1
        answer = None
        try:
            answer = await self._exchange(session, item, grant)
        finally:
            self._sending.discard(task)
            self._left(session, item, answer)

    async def _exchange(self, session: Session, item: Item, grant: Grant) -> tuple[bytes, float] | None:
        limiter, begun = session.account.limiter, time.monotonic()
        try:
            result = await session.transport.post(item.request.body, self._idempotency_key(item))
        except BaseException:
            limiter.gate.failed(limiter.clock(), grant, {})
            limiter.pump()
            self.counts.unknown += 1
            self._record(session, item, Verdict("again", billed="unknown"), time.monotonic() - begun)
            self._give_up(item, RowError("not_sent", "stopped while in flight; it may have been billed"))
            raise
        verdict = judge(result, session.secret)
        self._tell(session, grant, result, verdict)
        seconds = time.monotonic() - begun
        if verdict.billed != "no":
            stored = (item.request.key, result.body) if verdict.kind == "answer" and isinstance(result, Answer) else None
            await self._record(session, item, verdict, seconds, stored)
        return await self._act(session, item, verdict, result)

    def _tell(self, session: Session, grant: Grant, result: Answer | Failure, verdict: Verdict) -> None:
        """Let the limiter know how a request ended."""
        limiter, now = session.account.limiter, session.account.limiter.clock()
        headers = policy.headers_of(result)
        if verdict.kind == "refused":
            quota = isinstance(result, Answer) and result.status == 429
            limiter.gate.refused(now, grant, headers, verdict.wait, quota=quota)
        elif verdict.kind in ("answer", "row"):
            used = verdict.completion.usage.total_tokens if verdict.completion else None
            limiter.gate.answered(now, grant, headers, used)
        else:
            limiter.gate.failed(now, grant, headers)
        limiter.pump()

    def _record(
        self, session: Session, item: Item, verdict: Verdict, seconds: float, stored: tuple[bytes, bytes] | None = None
    ) -> asyncio.Future[None]:
        """Write one billed attempt down, and its answer; count what it cost."""
        usage = verdict.completion.usage if verdict.completion else wire.Usage()
        prices, model = self.client.prices, item.request.model
        cost = prices.cost(model, usage) if prices else None
        item.cost = None if item.cost is None or cost is None else item.cost + cost
        self._count(usage, cost)
        entry = Entry(
            time.time(), self.id, self.client.host, model, "answered" if verdict.kind == "answer" else "unknown",
            usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, None if cost is None else str(cost),
            item.request.key, self.work.tags[item.index] if self.work.tags else None, seconds,
        )  # fmt: skip
        return session.writer.put(entry, stored)

    def _count(self, usage: wire.Usage, cost: Decimal | None) -> None:
        self.counts.prompt_tokens += usage.prompt_tokens or 0
        self.counts.completion_tokens += usage.completion_tokens or 0
        self.counts.cost += cost or 0
        self.counts.cost_known = self.counts.cost_known and cost is not None

    async def _act(
        self, session: Session, item: Item, verdict: Verdict, result: Answer | Failure
    ) -> tuple[bytes, float] | None:
        """Do what the verdict says for the row and for the run; return the answer for those who wait for it."""
        self._unreachable = self._unreachable + 1 if verdict.kind == "refused" and isinstance(result, Failure) else 0
        if verdict.kind == "answer" and verdict.completion and isinstance(result, Answer):
            self._last, now = time.monotonic(), time.time()
            self._budget = min(self._budget + 0.1, self.client.retry.budget + len(self.outcomes) / 10)
            error = policy.content_error(verdict.completion)
            self._done(item, Outcome(verdict.completion, error, answered_at=now, cost=item.cost))
            return result.body, now
        assert verdict.error is not None
        if verdict.kind == "row":
            self._last = time.monotonic()
            self._give_up(item, verdict.error)
        elif verdict.kind == "end":
            self._end(item, verdict)
        elif verdict.kind == "refused":
            self._refused(session, item, verdict)
        else:
            self._again(item, verdict)
        return None

    def _refused(self, session: Session, item: Item, verdict: Verdict) -> None:
        """Flow control, not an attempt: the row goes back to the front, unless the wait is too long."""
        assert verdict.error is not None and self._queue is not None
        item.refusals += 1
        self.counts.refused += 1
        log.info("refused: %s (wait %s s)", verdict.error.code, verdict.wait.seconds)
        most, idle = self.client.limits.max_wait, time.monotonic() - self._last
        cold = session.account.limiter.gate.last_success < 0
        if cold and self._unreachable >= self.client.retry.attempts:
            self._fail(errors.ServerError, f"{self.client.host} can't be reached: {verdict.error.message}", item)
        elif (verdict.wait.seconds or 0) > most:
            asked = f"the service asks for a wait of {verdict.wait.seconds:,.0f} s, more than max_wait={most:g}"
            self._fail(errors.RateLimitError, f"{asked} ({verdict.error.message})", item)
        elif idle > most:
            self._fail(errors.RateLimitError, f"no answer for {idle:,.0f} s, more than max_wait={most:g}: {verdict.error}", item)
        else:
            paused = session.account.limiter.gate.flow.state != "open"
            self._queue.back(item, 0.0 if paused else self._own_wait(item, verdict))

    def _own_wait(self, item: Item, verdict: Verdict) -> float:
        """Return how long a lone refusal delays its own row."""
        if verdict.wait.seconds is not None:
            return verdict.wait.seconds
        return min(0.1 * 2**item.refusals, verdict.wait.message or 30.0)

    def _again(self, item: Item, verdict: Verdict) -> None:
        """Try a row again later, while its attempts and the run's budget last."""
        assert verdict.error is not None and self._queue is not None
        item.attempts += 1
        self.counts.unknown += verdict.billed == "unknown"
        log.info("attempt %d of a row failed: %s", item.attempts, verdict.error.code)
        retry = self.client.retry
        if policy.out_of_attempts(retry, verdict.error, item.attempts):
            self._give_up(item, verdict.error)
            return
        self._budget -= 1
        if self._budget < 0:
            self._fail(errors.ServerError, f"the retries of the whole run are used up; the last failure was {verdict.error}", item)
            return
        self.counts.retried += 1
        self._queue.back(item, max(retry.delay(item.attempts), verdict.wait.seconds or 0.0))

    def _end(self, item: Item, verdict: Verdict) -> None:
        """End the run, or only a model's rows where other models are left."""
        assert verdict.error is not None and verdict.end is not None
        if verdict.end is errors.ModelError:
            self._dead.add(item.request.model)
            if not {request.model for request in self.work.requests} <= self._dead:
                self._give_up(item, self._model_error(item.request.model))
                return
        self._fail(verdict.end, verdict.error.message, item)

    def _fail(self, kind: type[RunError], message: str, item: Item) -> None:
        self.end = self.end or kind(message)
        code = "model" if kind is errors.ModelError else "not_sent"
        self._give_up(item, RowError(code, f"the run ended: {message}") if code == "not_sent" else RowError(code, message))
        self._stop(None)

    def _model_error(self, model: str) -> RowError:
        return RowError("model", f"the service knows no model {model!r}, or no such endpoint")

    def _stop(self, grace: float | None) -> None:
        """Send nothing more; what is in flight is waited for, ``grace`` seconds at most."""
        self._stopped = True
        if self._queue:
            self._queue.close()
        for worker in self._workers:
            if worker not in self._sending and worker is not asyncio.current_task():
                worker.cancel()
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self._cancel)

    def _cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def _left(self, session: Session, item: Item, answer: tuple[bytes, float] | None) -> None:
        """Let other runs that wait for this request know."""
        if item.leads:
            item.leads = False
            session.account.coming.pop((str(self.client.cache.folder), item.request.key)).set_result(answer)

    def _idempotency_key(self, item: Item) -> str:
        """The request's own key; one of this run's where a replay of an old answer isn't wanted."""
        return item.request.key.hex() + (f"-{self.id}" if item.fresh else "")

    def _tokens(self, request: Request) -> float:
        answered = self.counts.answered - self.counts.cached
        usual = self.counts.completion_tokens / answered if answered > 0 else GUESS_TOKENS
        return (len(request.head) + len(request.messages)) / 4 + (request.max_tokens or usual)

    def _give_up(self, item: Item, error: RowError) -> None:
        self._done(item, Outcome(error=error, cost=item.cost))

    def _done(self, item: Item, outcome: Outcome) -> None:
        if self.outcomes[item.index] is None:
            self._finish(item.index, outcome)
            if self._queue:
                self._queue.done()

    def _finish(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index], rows, counts = outcome, self.work.copies[index], self.counts
        if outcome.error is None:
            counts.answered += rows
        elif outcome.error.code == "not_sent":
            counts.not_sent += rows
        else:
            counts.failed += rows
        counts.cached += rows if outcome.cached else 0
        counts.copied += 0 if outcome.cached or outcome.completion is None else rows - 1

    def _close(self, indices: Iterator[int] | Sequence[int] | range, error: RowError) -> None:
        for index in indices:
            if self.outcomes[index] is None:
                self._finish(index, Outcome(error=error))
