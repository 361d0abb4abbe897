"""What the end of an attempt does to its request and to the run: finish, retry, or stop. The one retry policy of rows and chats."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from ...api import Completion
from ...api.completion import content_error
from ...errors import NOT_SENT, ModelError, RateLimitError, RowError, RunError, ServerError
from .. import retry as policy
from ..limits.circuit_breaker import CircuitBreaker
from ..outcomes import Outcome
from ..progress.counts import Counts
from ..retry import Classification
from ..runtime.client import Client
from ..transport.environment import through_proxy
from .request_queue import PendingRequest, RetryQueue

log = logging.getLogger("tsn_frames")
_IN_FLIGHT = RowError("not_sent", "stopped while in flight; it may have been billed")
_NOT_RETRIED = RowError("not_sent", "the run ended before this row's next attempt; run again to go on")
MIN_PAUSES = 4  # pauses in a row before a run ends: with few attempts a request is given up before the run is


class ResultHandler:
    """The state of a run that decides what an attempt's classification means: successes, retry budget, unknown models."""

    def __init__(self, client: Client, models: Sequence[str], queue: RetryQueue, breaker: CircuitBreaker, *, counts: Counts,
                 finish: Callable[[int, Outcome], None], end: Callable[[RunError], None]) -> None:  # fmt: skip
        self.client, self._models, self._queue, self._breaker, self._counts = client, models, queue, breaker, counts
        self._finish, self._end_run = finish, end
        self._max_budget = self._budget = client.retry.budget + len(models) / 10
        self._unreachable = self._successes = 0
        self._last_success = time.monotonic()
        self._unknown_models: set[str] = set()
        self._suspicions = policy.Suspicions(len(models))

    def may_send(self, item: PendingRequest) -> bool:
        """Return whether a request may be sent; finish it where the service doesn't know its model.

        A request that failed, while others have been answered since, fails alone: the fault lies with it, not with the server.
        Then its failures count for itself only, not for the circuit breaker or the retry budget.
        """
        item.fails_alone |= item.attempts > 0 and self._successes > item.seen
        if item.request.model not in self._unknown_models:
            return True
        self._give_up(item, _model_error(item.request.model))
        return False

    def handle(self, item: PendingRequest, found: Classification) -> tuple[Completion, float] | None:
        """Apply the end of an attempt to its request and to the run; return the answer and its time for waiting runs."""
        not_reached = found.kind == "refused" and found.error is not None and found.error.code == "connection"
        self._unreachable = self._unreachable + 1 if not_reached else 0
        if found.kind in ("answer", "row_error"):
            self._last_success, self._successes = time.monotonic(), self._successes + 1
        if found.completion is not None:
            self._suspicions.clear(item.request.model)
            now, error = item.answered_at, content_error(found.completion)
            self._budget = min(self._budget + 0.1, self._max_budget)
            self._done(item, Outcome(found.completion, error, answered_at=now, cost=item.cost))
            return found.completion, now
        assert found.error is not None
        if self._suspicions.confirm(found, item.request.model, item.index):
            self._end(item, found._replace(end=found.suspect), found.error)
        elif found.kind == "row_error":
            self._give_up(item, found.error)
        elif found.kind == "end_run":
            self._end(item, found, found.error)
        elif found.kind == "refused":
            self._refused(item, found, found.error)
        else:
            self._retry(item, found, found.error)
        return None

    def finish_shared(self, item: PendingRequest, completion: Completion, when: float) -> None:
        """Finish a request with the answer that another run paid for."""
        self._done(item, Outcome(completion, content_error(completion), answered_at=when, cost=item.cost, shared=True))

    def give_up_unaffordable(self, item: PendingRequest, error: RunError, *, end_run: bool) -> None:
        """Give up a request that doesn't fit into the budget; end the run where no cheaper one may fit, or no budget is kept."""
        self._give_up(item, RowError("not_sent", str(error)))
        if end_run:
            self._end_run(error)

    def give_up_cancelled(self, item: PendingRequest) -> None:
        """Give up a request that is not sent, or not sent again, since the run has ended."""
        self._give_up(item, _IN_FLIGHT if item.in_flight else _NOT_RETRIED if item.attempts or item.refusals else NOT_SENT)

    def _refused(self, item: PendingRequest, found: Classification, error: RowError) -> None:
        """Requeue a refused request: refusals are flow control and cost no attempt; end the run where the wait is too long."""
        item.refusals += 1
        self._counts.refused += 1
        log.info("refused (%s), asked to wait %s s", "quota" if found.quota else error.code, found.wait)
        most, idle = self.client.limits.max_wait, time.monotonic() - self._last_success
        kind = RateLimitError if found.quota else ServerError
        if not self._successes and self._unreachable >= self.client.retry.attempts:
            via = through_proxy(self.client.base_url)
            self._fail(ServerError, f"{self.client.host} can't be reached{via}: {error.message}", item)
        elif (asked := found.wait or 0.0) > most:
            self._fail(kind, f"the service asks for a wait of {asked:,.0f} s, more than max_wait={most:g}: {error.message}", item)
        elif idle > most:
            self._fail(kind, f"no answer for {idle:,.0f} s, more than max_wait={most:g}: {error.message}", item)
        elif self._singled_out(item):
            self._give_up(item, RowError("server", f"refused {item.refusals} times while others were answered: {error.message}"))
        else:
            paused = self._breaker.paused and not item.alone and not found.wait
            delay = 0.0 if paused else policy.refusal_wait(item.refusals, found.wait, alone=item.alone > 0)
            self._queue.requeue(item, delay, last=item.alone > 0 or found.suspect is not None)  # other rows confirm or refute it

    def _singled_out(self, item: PendingRequest) -> bool:
        """Return whether a request was refused again and again though others were answered in between."""
        item.alone += self._successes > item.seen > 0
        item.seen = self._successes
        return item.alone > 0 and item.refusals >= policy.SINGLED_OUT

    def _retry(self, item: PendingRequest, found: Classification, error: RowError) -> None:
        """Put a request back into the queue, while its attempts and the run's budget last."""
        item.attempts += 1
        item.seen = self._successes
        retry, alone = self.client.retry, item.fails_alone
        kind = self._suspicions.end_of(found, item.request.model)
        log.info("attempt %d of a row failed (%s)", item.attempts, error.code)
        if not alone and self._breaker.pauses_in_a_row > max(retry.attempts, MIN_PAUSES) * (2 if self._successes else 1):
            self._fail(kind, f"the server has failed for too long; the last failure was: {error.message}", item)
        elif item.attempts >= (retry.unreadable if error.code in ("unreadable", "empty") else retry.attempts):
            self._budget = min(self._budget + alone, self._max_budget)  # for its first failure, which looked like the server's
            self._give_up(item, error)
        elif not alone and self._budget < 1:
            self._fail(kind, f"the retries of the whole run are used up; the last failure was: {error.message}", item)
        else:
            self._budget -= not alone
            self._counts.retried += 1
            asked = min(found.wait or 0.0, self.client.limits.max_wait)
            last = alone or found.suspect is not None
            self._queue.requeue(item, max(retry.delay(1 if alone else item.attempts), asked), last=last)

    def _end(self, item: PendingRequest, found: Classification, error: RowError) -> None:
        """End the run, or only a model's requests where other models are left."""
        assert found.end is not None
        if found.end is ModelError:
            self._unknown_models.add(item.request.model)
            if set(self._models) - self._unknown_models:
                self._give_up(item, _model_error(item.request.model))
                return
        self._fail(found.end, error.message, item)

    def _fail(self, kind: type[RunError], message: str, item: PendingRequest) -> None:
        model = _model_error(item.request.model)
        self._give_up(item, model if kind is ModelError else RowError("not_sent", f"the run ended: {message}"))
        self._end_run(kind(message))

    def _give_up(self, item: PendingRequest, error: RowError) -> None:
        self._done(item, Outcome(error=error, cost=item.cost))

    def _done(self, item: PendingRequest, outcome: Outcome) -> None:
        self._finish(item.index, outcome)
        self._queue.done()


def _model_error(model: str) -> RowError:
    return RowError("model", f"the service knows no model {model!r}, or no such endpoint")
