"""The handle of a run: its frame so far, progress, summary, waiting and stopping."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, cast

import pandas as pd

from ...api import Usage
from ...engine.progress.counts import Counts
from ...engine.progress.progress_bar import Progress
from ...engine.run.executor import GRACE, RunExecutor
from ...engine.runtime.client import PICKLED, Client
from ...engine.runtime.interrupts import POLL, wait_for
from ...engine.runtime.process import process_state
from ...errors import AuthenticationError, Interrupted, RunError
from ...frames.other_libraries import Back
from ...notebook.live_run import show_run
from ...text import plural, warn
from .plan import Errors, Plan
from .run_status import ShownRun
from .summary import first_error, remedy, warnings_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar

    R = DefaultTypeVar("R", default=pd.DataFrame)  # Python 3.13 has this in typing
else:
    R = TypeVar("R")
LONG_MINUTES = 10
WHERE = "tsn.last_run().frame is the frame so far"


class PaidAnswer(NamedTuple):
    """An answer's request key, the model that was asked, its usage, and when it came, in POSIX seconds."""

    key: bytes
    model: str
    usage: Usage
    time: float


class Run(ShownRun, Generic[R]):
    """One run over a frame, running or finished.

    :func:`start` returns one; :func:`last_run` returns the newest one of this process.
    """

    _convert: Back | None = None  # from pandas to the library of the frame that was given
    _part_of: Run[Any] | None = None  # the run of a verb of several rounds, which is the last run and warns of its rows itself

    def __init__(self, engine: RunExecutor, made: Plan, frame: Callable[[RunExecutor], pd.DataFrame], errors: Errors, column: str,
                 *, beyond: int = 0, result: Callable[[pd.DataFrame], R] = lambda frame: cast("R", frame)) -> None:  # fmt: skip
        self._engine, self._made, self._frame, self._errors, self._column = engine, made, frame, errors, column
        self._beyond, self._result, self._process = beyond, result, os.getpid()
        self._created, self.finished = time.monotonic(), engine.finished
        self._started = self._warned_all = self._warned_long = False
        counts, skipped = engine.counts, sum(problem.code == "missing" for problem in made.problems.values())
        counts.rows, counts.skipped, counts.failed = len(made.inverse), skipped, len(made.problems) - skipped

    @property
    def frame(self) -> pd.DataFrame:
        """The frame as it is now: rows without an answer yet are NA."""
        return self._frame(self._engine)

    def unsent(self) -> R:
        """Return what the verb returns, with no row answered; nothing is sent."""
        return self._result(self.frame)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the run in :func:`tsn_frames.runs`; a verb of several rounds or models has several."""
        return (self._engine.id,)

    @property
    def client(self) -> Client:
        """The client of the run: its cache, its ledger, its host."""
        return self._engine.client

    @property
    def cost_upper_bound(self) -> Decimal:
        """The most that the run has cost so far: the known cost, and the reservations of requests with an unknown outcome."""
        return self._engine.cost_upper_bound

    def answers(self) -> Iterator[PaidAnswer]:
        """Yield each distinct answer so far, also those from the cache or another run."""
        found, requests = self._engine.answers, self._engine.work.requests
        for at, answer in enumerate(found.completions):
            if answer is not None:
                yield PaidAnswer(requests.keys[at], requests.models[at], answer.usage, found.times[at])

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
        RunError
            In a forked child, where the run of its parent doesn't go on.
        """
        with self._bar(progress) as bar:
            self._wait_while(timeout, bar.update)
        return self.done

    @contextmanager
    def _bar(self, shown: bool | None) -> Iterator[Progress]:
        """Return the bar of a block that waits, and close it at the end of the block."""
        if os.getpid() != self._process and not self.done:
            raise RunError("this run goes on in the process that started it, not in this child: wait for it there, or make the same "
                           "call here, which takes from the cache what is answered by then")  # fmt: skip
        bar = Progress(shown, self._note)
        try:
            yield bar
        except BaseException:
            bar.stop(self.progress)
            raise
        self._show_end(bar)

    def _wait_while(self, timeout: float | None, show: Callable[[Counts], object]) -> None:
        """Wait as :meth:`wait` does, and call ``show`` with the counts about ten times a second."""

        def on_poll() -> None:
            show(self.progress)
            self._warn_if_long()

        try:
            wait_for(partial(self._start, prepare=timeout is None), timeout, on_poll)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped: {self.progress.answered:,} of {plural(self.progress.rows, 'row')} are answered and kept "
                "(tsn.last_run().frame has them); run the cell again to go on from there"
            ) from None

    def stop(self, grace: float = GRACE) -> None:
        """Send nothing more; what is in flight has ``grace`` seconds to arrive, and everything is kept."""
        self._engine.stop(grace)

    def result(self, *, progress: bool | None = None) -> R:
        """Wait for the run and return what its verb returns: of ``complete`` the frame.

        Raises
        ------
        RunError
            If the run ended early, or rows failed and ``errors="raise"``; ``.partial`` is the frame so far.
        """
        self.wait(progress=progress)
        return converted(self._close, self._convert)

    async def aresult(self, *, progress: bool | None = None) -> R:
        """Like :meth:`result`, without blocking the caller's event loop."""
        with self._bar(progress) as bar:
            try:
                self._start()
                while not await self._moment():
                    bar.update(self.progress)
                    self._warn_if_long()
            except BaseException as error:
                self.stop()
                if isinstance(error, asyncio.CancelledError):  # wait for what is in flight, so that it is kept
                    while not await self._moment():
                        pass
                raise
        return converted(self._close, self._convert)

    def _ipython_display_(self) -> None:
        show_run(self)

    def _start(self, *, prepare: bool = False) -> Self:
        """Start the run once; ``prepare`` looks up the cache in this thread, which waits anyway."""
        if not self._started:
            if prepare:
                process_state.start_loop()  # raises where nothing can be sent
                self._engine.prepare()
            process_state.start_task(self._engine)
            self._started, process_state.last_run = True, self._part_of or self
        return self

    async def _moment(self) -> bool:
        """Sleep for a fraction of the run's time so far, on the caller's event loop, and return whether the run is over."""
        await asyncio.sleep(min(POLL, (time.monotonic() - self._created) / 20))
        return self.done

    def _show_end(self, bar: Progress) -> None:
        if not self.done:
            bar.close(self.progress, "")
        elif self._engine.failure is None:  # else nothing was sent
            bar.close(self.progress, self._last_line())
            if self._failure() is None:
                self._warn_all()

    def _warn_if_long(self) -> None:
        left, rate = self._engine.forecast()
        whole = left + self._beyond
        if not self._warned_long and left and whole > LONG_MINUTES * rate:
            self._warned_long = True
            what, which = ("file", f"up to {whole:,}") if self._beyond else ("run", f"{whole:,}")
            remedy = "the same call goes on from there" if self._beyond else "df.tsn.start(...) returns at once"
            warn(
                f"this {what} will take about {whole / rate:,.0f} minutes: {which} requests at {rate:,.0f} a minute, which is "
                f"what the limits allow. Ctrl-C keeps every answer, and {remedy}"
            )

    def _close(self) -> R:
        """Return the result of a finished run, after its warnings."""
        if self._engine.failure is not None:  # a wrong key, cache folder or proxy
            raise self._engine.failure
        frame, failure = self.frame, self._failure()
        if failure is None:
            self._warn_all()
            return self._result(frame)
        with suppress(Exception):  # a warning that a user has made an error doesn't replace the run's own end
            self._warn_all()
        failure.partial = frame
        failure.add_note(WHERE)
        try:
            raise failure
        finally:
            del failure  # it refers to this frame

    def _warn_all(self) -> None:
        if not self._warned_all:
            self._warned_all = True
            for text in warnings_of(self._engine, self._made, self._errors, self._column, rows=self._part_of is None):
                warn(text)

    def _failure(self) -> RunError | None:
        engine, counts = self._engine, self._engine.counts
        answered = f"{counts.answered:,} of {plural(counts.rows, 'row')} answered"
        if engine.end is not None:
            kind, cached = type(engine.end), "" if engine.work.mode == "off" or not counts.answered else " and cached"
            pickled = f". {PICKLED}" if kind is AuthenticationError and engine.client.api_key.left_out else ""
            return kind(f"{engine.end} — {answered}{cached}; {kind.remedy}{pickled}")
        if self._errors == "raise" and counts.failed:
            first = first_error(engine, self._made)
            return RunError(f"{counts.failed:,} of {plural(counts.rows, 'row')} failed, the first with {first!r}; the others are kept. "
                            f"{remedy(engine, self._made, self._column)}; errors='coerce' returns the frame all the same")  # fmt: skip
        return stopped_error(self) if self._errors == "raise" else None


def converted(result: Callable[[], R], convert: Back | None) -> R:
    """Return a result, converted if it is a frame; the frame of an error is converted, too."""
    if convert is None:
        return result()
    try:
        return cast("R", convert(result()))
    except BaseException as end:
        if hasattr(end, "partial"):
            end.partial = convert(end.partial)
        raise


def stopped_error(run: Run[Any], *, more: bool = False) -> RunError | None:
    """Return the error of a run that was stopped before all rows were sent; with ``more``, before a next run starts."""
    counts = run.progress
    if not counts.not_sent and not (more and run.stopped):
        return None
    return RunError(f"the run was stopped: {counts.answered:,} of {plural(counts.rows, 'row')} answered; {RunError.remedy}")


def last_run() -> Run[Any] | None:
    """Return the newest run of this process, or None.

    Examples
    --------
    >>> last_run() is None or last_run().summary.rows >= 0
    True
    """
    found: Run[Any] | None = process_state.last_run
    return found
