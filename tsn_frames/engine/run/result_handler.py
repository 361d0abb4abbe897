"""The course of a run: what the end of an attempt does to its row, and to the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...api import Requests
from ...api.completion import content_error
from ...errors import ModelError, RateLimitError, RowError, RunError, ServerError
from .. import retry as policy
from ..limits.circuit_breaker import CircuitBreaker
from ..outcomes import Outcome
from ..retry import Classification
from ..runtime.client import Client
from ..transport.http_types import HttpFailure, HttpResponse
from .counts import Counts
from .retry_queue import PendingRequest, RetryQueue

log = logging.getLogger("tsn_frames")
LEAST_PAUSES = 4  # one after another: with few attempts a row is given up sooner than the run


class ResultHandler:
    """What a run has come to as a whole, which decides what a verdict means for it.

    Parameters
    ----------
    client : Client
        Its limits and its policy of retries.
    requests : Requests
        All of the run's distinct requests.
    queue : Queue
        Where a row goes that is to be tried again.
    flow : Flow
        Whether everybody waits, and how often that was so.
    counts : Counts
        What is counted as it happens.
    done : callable
        Takes a row that is finished, with its outcome.
    end : callable
        Takes the reason for which the run ends.
    """

    def __init__(self, client: Client, requests: Requests, queue: RetryQueue, flow: CircuitBreaker, *, counts: Counts,
                 done: Callable[[PendingRequest, Outcome], None], end: Callable[[RunError], None]) -> None:  # fmt: skip
        self.client, self._requests, self._queue, self._flow, self._counts = client, requests, queue, flow, counts
        self._done, self._end_run = done, end
        self._most_retries = self._budget = client.retry.budget + len(requests) / 10
        self._unreachable = self._successes = 0
        self._last_success = time.monotonic()
        self._dead: set[str] = set()

    def finish_if_model_unknown(self, item: PendingRequest) -> bool:
        """Finish a row whose model the service doesn't know, and return whether it was one."""
        if item.request.model not in self._dead:
            return False
        self._give_up(item, _model_error(item.request.model))
        return True

    def handle(
        self, item: PendingRequest, verdict: Classification, result: HttpResponse | HttpFailure
    ) -> tuple[bytes, float] | None:
        """Do what a verdict says for the row and for the run; return the answer for those who wait for it."""
        self._unreachable = self._unreachable + 1 if verdict.kind == "refused" and isinstance(result, HttpFailure) else 0
        if verdict.kind in ("answer", "row_error"):
            self._last_success, self._successes = time.monotonic(), self._successes + 1
        if verdict.completion is not None and isinstance(result, HttpResponse):
            now, error = item.answered_at, content_error(verdict.completion)
            self._budget = min(self._budget + 0.1, self._most_retries)
            self._done(item, Outcome(verdict.completion, error, answered_at=now, cost=item.cost))
            return result.body, now
        assert verdict.error is not None
        if verdict.kind == "row_error":
            self._give_up(item, verdict.error)
        elif verdict.kind == "end_run":
            self._end(item, verdict, verdict.error)
        elif verdict.kind == "refused":
            self._refused(item, verdict, verdict.error)
        else:
            self._again(item, verdict, verdict.error)
        return None

    def _refused(self, item: PendingRequest, verdict: Classification, error: RowError) -> None:
        """Flow control, not an attempt: the row goes back to the front, unless the wait is too long."""
        item.refusals += 1
        self._counts.refused += 1
        log.info("refused (%s), asked to wait %s s", "quota" if verdict.quota else error.code, verdict.wait.seconds)
        most, idle = self.client.limits.max_wait, time.monotonic() - self._last_success
        kind = RateLimitError if verdict.quota else ServerError
        if not self._successes and self._unreachable >= self.client.retry.attempts:
            self._fail(ServerError, f"{self.client.host} can't be reached: {error.message}", item)
        elif (asked := verdict.wait.seconds or verdict.wait.message or 0.0) > most:
            self._fail(kind, f"the service asks for a wait of {asked:,.0f} s, more than max_wait={most:g}: {error}", item)
        elif idle > most:
            self._fail(kind, f"no answer for {idle:,.0f} s, more than max_wait={most:g}: {error}", item)
        elif self._singled_out(item):
            self._give_up(item, RowError("server", f"refused {item.refusals} times while others were answered: {error.message}"))
        else:
            paused = self._flow.state != "open" and not item.alone
            delay = 0.0 if paused else policy.lone_wait(item.refusals, verdict.wait)
            self._queue.requeue(item, delay, last=item.alone > 0)

    def _singled_out(self, item: PendingRequest) -> bool:
        """Return whether a row was refused again and again though others were answered in between: it is at fault itself."""
        item.alone += self._successes > item.seen > 0
        item.seen = self._successes
        return item.alone > 0 and item.refusals >= policy.SINGLED_OUT

    def _again(self, item: PendingRequest, verdict: Classification, error: RowError) -> None:
        """Try a row again later, while its attempts and the run's budget last."""
        item.attempts += 1
        retry = self.client.retry
        log.info("attempt %d of a row failed (%s)", item.attempts, error.code)
        if self._flow.pauses > max(retry.attempts, LEAST_PAUSES) * (2 if self._successes else 1):
            self._fail(ServerError, f"the server has failed for too long; the last failure was {error}", item)
        elif policy.out_of_attempts(retry, error, item.attempts):
            self._give_up(item, error)
        elif self._budget < 1:
            self._fail(ServerError, f"the retries of the whole run are used up; the last failure was {error}", item)
        else:
            self._budget -= 1
            self._counts.retried += 1
            self._queue.requeue(
                item, max(retry.delay(item.attempts), min(verdict.wait.seconds or 0.0, self.client.limits.max_wait))
            )

    def _end(self, item: PendingRequest, verdict: Classification, error: RowError) -> None:
        """End the run, or only a model's rows where other models are left."""
        assert verdict.end is not None
        if verdict.end is ModelError:
            self._dead.add(item.request.model)
            if set(self._requests.models) - self._dead:
                self._give_up(item, _model_error(item.request.model))
                return
        self._fail(verdict.end, error.message, item)

    def _fail(self, kind: type[RunError], message: str, item: PendingRequest) -> None:
        model = _model_error(item.request.model)
        self._give_up(item, model if kind is ModelError else RowError("not_sent", f"the run ended: {message}"))
        self._end_run(kind(message))

    def _give_up(self, item: PendingRequest, error: RowError) -> None:
        self._done(item, Outcome(error=error, cost=item.cost))


def _model_error(model: str) -> RowError:
    return RowError("model", f"the service knows no model {model!r}, or no such endpoint")
