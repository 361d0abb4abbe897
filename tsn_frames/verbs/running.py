"""A run as its user holds it: the frame so far, what happened, waiting for it, and stopping it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass

import pandas as pd

from ..engine.client import Client
from ..engine.progress import Progress, money
from ..engine.registry import here
from ..engine.rows import Counts
from ..engine.run import Engine
from ..errors import RunError, number, warn
from .plan import Errors, Plan

POLL = 0.1
LONG_MINUTES = 10


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Rows: ``rows = answered + failed + skipped + not_sent``; of the answered, ``cached`` came from the cache and
    ``copied`` shared an equal row's request. Requests: ``requests`` were sent, ``refused`` of them by the service's
    limits, ``retried`` were failures tried again, ``unknown`` may have been billed without an answer that was seen.
    ``waited`` is seconds by the limit that was waited for, ``cost`` the currency of the prices.
    """

    rows: int
    answered: int
    cached: int
    copied: int
    failed: int
    skipped: int
    not_sent: int
    requests: int
    refused: int
    retried: int
    pauses: int
    unknown: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float
    host: str
    waited: dict[str, float]

    def __str__(self) -> str:
        rows = [(self.cached, "cached"), (self.copied, "shared"), (self.failed, "failed"), (self.skipped, "skipped"), (self.not_sent, "not sent")]
        detail = ", ".join(f"{n:,} {what}" for n, what in rows if n)
        sent = [(self.refused, "refused"), (self.retried, "retried"), (self.unknown, "possibly billed without an answer")]
        trouble = "".join(f", {n:,} {what}" for n, what in sent if n)
        waits = {rule: s for rule, s in self.waited.items() if s >= 1 and rule != "concurrency"}
        slow = f"; waited {', '.join(f'{s:,.0f} s for {rule}' for rule, s in waits.items())}" if waits else ""
        cost = f", cost {money(self.cost)}" if self.cost else ""
        return (
            f"{self.answered:,} of {number(self.rows, 'row')} answered{f' ({detail})' if detail else ''}; "
            f"{number(self.requests, 'request')} to {self.host}{trouble}; "
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens{cost}; {self.seconds:.1f} s{slow}"
        )


class Run:
    """One run over a frame, going on or over.

    ``complete(..., background=True)`` returns one; :func:`last_run` returns the newest one of this process.
    """

    def __init__(self, engine: Engine, made: Plan, frame: Callable[[Engine], pd.DataFrame], errors: Errors) -> None:
        self._engine, self._made, self._frame, self._errors = engine, made, frame, errors
        self._begun, self._seconds = time.monotonic(), 0.0
        self._told = self._said_long = False
        here.last_run = self  # first, so that an interrupt at any moment finds it
        self._future = self._begin()

    @property
    def frame(self) -> pd.DataFrame:
        """The frame as it is now: rows without an answer yet are NA."""
        return self._frame(self._engine)

    @property
    def client(self) -> Client:
        """The client of the run: its cache, its ledger, its host."""
        return self._engine.client

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self._future.done()

    @property
    def progress(self) -> Counts:
        """Counts of rows, requests and tokens as they are now."""
        return self._engine.counts

    @property
    def summary(self) -> Summary:
        """What the run has come to; its text is one line."""
        counts, engine = self._engine.counts, self._engine
        known = engine.client.prices is not None and counts.cost_known
        names = [field for field in Counts.__slots__ if field in Summary.__dataclass_fields__ and field != "cost"]
        return Summary(
            **{name: getattr(counts, name) for name in names},
            pauses=engine.pauses,
            cost=float(counts.cost) if known else None,
            seconds=self._seconds or time.monotonic() - self._begun,
            host=engine.client.host,
            waited=dict(engine.waited),
        )

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> bool:
        """Wait until the run is over.

        Parameters
        ----------
        timeout : float, optional
            Seconds; default: as long as it takes.
        progress : bool, optional
            Whether to show a bar; default: in a notebook and on a terminal.

        Returns
        -------
        bool
            Whether the run is over.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C: nothing more is sent, what is in flight has ten seconds to arrive, and everything is kept. A
            second Ctrl-C ends at once.
        """
        bar = None
        try:
            bar = Progress(progress, self.progress.rows)
            self._watch(bar, timeout)
        except KeyboardInterrupt:
            self._interrupted(bar or Progress(False, self.progress.rows))
        finally:
            if bar:
                bar.close(self.progress, str(self.summary))
        return self.done

    def stop(self) -> None:
        """Send nothing more; what is in flight has ten seconds to arrive, and everything is kept."""
        self._engine.stop()

    def result(self, *, progress: bool | None = None) -> pd.DataFrame:
        """Wait for the run and return its frame.

        Raises
        ------
        RunError
            If the run ended early, or rows failed and ``errors="raise"``; ``.partial`` is the frame so far.
        """
        self.wait(progress=progress)
        return self._close()

    async def aresult(self, *, progress: bool | None = None) -> pd.DataFrame:
        """Like :meth:`result`, without blocking the caller's event loop."""
        bar = Progress(progress, self.progress.rows)
        future = asyncio.wrap_future(self._future)
        try:
            while not (await asyncio.wait({future}, timeout=POLL))[0]:
                bar.update(self.progress)
        except asyncio.CancelledError:
            self._engine.stop()
            await asyncio.wait({asyncio.wrap_future(self._future)})
            raise
        finally:
            bar.close(self.progress, str(self.summary))
        return self._close()

    def __repr__(self) -> str:
        return f"<Run {'done' if self.done else 'going on'}: {self.summary}>"

    def _begin(self) -> Future[None]:
        counts, skipped = self._engine.counts, sum(problem.code == "missing" for problem in self._made.problems.values())
        counts.rows, counts.skipped, counts.failed = len(self._made.inverse), skipped, len(self._made.problems) - skipped
        return self._engine.start()

    def _watch(self, bar: Progress, timeout: float | None) -> None:
        ends = None if timeout is None else time.monotonic() + timeout
        while not self._future.done() and (ends is None or time.monotonic() < ends):
            left = POLL if ends is None else max(0.0, min(POLL, ends - time.monotonic()))
            wait_for([self._future], left)  # in short steps: a lock without a time limit can't be interrupted everywhere
            bar.update(self.progress)
            self._say_if_long()

    def _say_if_long(self) -> None:
        left, rate = self._engine.forecast()
        if not self._said_long and left / rate > LONG_MINUTES:
            self._said_long = True
            warn(
                f"this run will take about {left / rate:,.0f} minutes: {left:,} requests at {rate:,.0f} a minute, which is what "
                "the limits allow. Ctrl-C keeps every answer, and complete(..., background=True) returns at once"
            )

    def _interrupted(self, bar: Progress) -> None:
        self._engine.stop()
        try:
            self._watch(bar, None)
        except KeyboardInterrupt:
            self._engine.stop(grace=0.0)
            self._watch(bar, 2.0)
        kept = self.progress.answered
        raise KeyboardInterrupt(
            f"stopped: {kept:,} of {self.progress.rows:,} rows are answered and kept (tsn.last_run().frame has them); "
            "run the cell again to go on from there"
        ) from None

    def _close(self) -> pd.DataFrame:
        """Return the frame of a finished run, after what the user should know of it."""
        self._future.result()  # a bug of ours would raise here
        self._seconds = self._seconds or time.monotonic() - self._begun
        frame = self.frame
        if not self._told:
            self._told = True
            for text in warnings_of(self._engine, self._made, self._errors):
                warn(text)
        failure = self._failure()
        if failure is not None:
            failure.partial = frame
            raise failure
        return frame

    def _failure(self) -> RunError | None:
        engine, counts = self._engine, self._engine.counts
        if engine.end is not None:
            kind, cached = type(engine.end), "" if engine.work.mode == "off" or not counts.answered else " and cached"
            return kind(f"{engine.end} — {counts.answered:,} of {number(counts.rows, 'row')} answered{cached}; {kind.mend}")
        if self._errors == "raise" and counts.failed:
            return RunError(f"{counts.failed:,} of {number(counts.rows, 'row')} failed, the first with {_first(engine, self._made)!r}; "
                            f"the others are kept. {_mend(engine)}, or use errors='coerce'")  # fmt: skip
        return None


def warnings_of(engine: Engine, made: Plan, errors: Errors) -> list[str]:
    """Return what a user should know after a run, one sentence each."""
    counts, out = engine.counts, []
    answers = [o.completion for o in engine.outcomes if o and o.completion]
    if counts.failed and errors == "coerce" and engine.end is None:
        why = f"the column 'error' says why (first: {_first(engine, made)})"
        out.append(f"{counts.failed:,} of {number(counts.rows, 'row')} have no answer; {why}. {_mend(engine)}")
    cut = sum(n for o, n in zip(engine.outcomes, engine.work.copies) if o and o.completion and o.completion.finish_reason == "length")
    if cut:
        out.append(f"{number(cut, 'answer')} cut off by max_tokens (finish_reason 'length'); give a larger max_tokens= and run again")
    if engine.client.prices is not None and not counts.cost_known:
        out.append("the cost of some answers is unknown (a model without a price, or no usage): totals are 'at least'")
    out += [_told_models(engine)] if len({a.model for a in answers if a.model}) > len({r.model for r in engine.work.requests}) else []
    for what, problem in engine.problems.items():
        out.append(f"the {what} can't be used ({problem}): this run's answers are in its frame only" if what == "cache"
                   else f"the {what} can't be written ({problem}): this run's spending is not on record")  # fmt: skip
    return out


def _first(engine: Engine, made: Plan) -> str:
    """Return the first reason of a row that failed."""
    before = (problem for problem in made.problems.values() if problem.code != "missing")
    after = (o.error for o in engine.outcomes if o and o.error and o.error.code != "not_sent")
    return next((str(error) for error in (*before, *after)), "")


def _mend(engine: Engine) -> str:
    """Return how to try failed rows again: those whose answer is there, but without text, are asked anew only on request."""
    kept = any(o and o.completion and o.error for o in engine.outcomes)
    return "refresh=out['error'].notna() asks those again" if kept else "Run again to pay only for those"


def _told_models(engine: Engine) -> str:
    found: dict[str, list[float]] = {}
    for outcome in engine.outcomes:
        if outcome and outcome.completion and outcome.completion.model and outcome.answered_at:
            found.setdefault(outcome.completion.model, []).append(outcome.answered_at)
    lines = [f"{model!r} x {len(times):,} ({_day(min(times))} to {_day(max(times))})" for model, times in found.items()]
    return f"the answers come from several models: {', '.join(lines)}; include=('model', 'answered_at') shows which"


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))


def last_run() -> Run | None:
    """Return the newest run of this process, or None.

    Examples
    --------
    >>> last_run() is None or last_run().summary.rows >= 0
    True
    """
    found: Run | None = here.last_run
    return found
