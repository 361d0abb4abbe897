"""A verb of several runs in the background: models one after the other, or the parts of a file."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from decimal import Decimal
from typing import Any, Self, TypeAlias, TypeVar

import pandas as pd

from ...engine.progress.counts import Counts
from ...engine.progress.progress_bar import Progress
from ...engine.run.executor import GRACE
from ...engine.runtime.client import Client
from ...text import warn, warning_receiver, warnings_to
from .run_handle import PaidAnswer, Run
from .summary import Summary, added, total_summary

R = TypeVar("R")
OnRun: TypeAlias = Callable[[Run[Any]], None]


class BackgroundRun(Run[R]):
    """The runs of one verb, one after the other, on a separate thread.

    ``work`` is the verb: it calls its argument with each run before the run starts. ``frame``, ``answers`` and ``client`` are those
    of the current run; counts and costs are of all so far. Warnings are shown to the thread that waits.
    """

    _value: R
    _error: BaseException | None = None

    def __init__(self, client: Client, rows: int, work: Callable[[OnRun], R]) -> None:
        self._client, self._created, self._process = client, time.monotonic(), os.getpid()
        self.finished, self._finished_at, self._first = threading.Event(), 0.0, threading.Event()
        self._now: Run[Any] | None = None
        self._counts, self._summaries, self._spent = Counts(rows=rows), list[Summary](), Decimal(0)
        self._ids = list[str]()
        self._warnings, self._stopping, self._lock = list[str](), False, threading.Lock()
        threading.Thread(target=self._work, args=(work,), name="tsn_frames-verb", daemon=True).start()

    def _work(self, work: Callable[[OnRun], R]) -> None:
        try:
            with warnings_to(self._warnings.append):
                self._value = work(self._next)
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._error = error
        self._finished_at = time.monotonic()
        self.finished.set()
        self._first.set()

    def _next(self, run: Run[Any]) -> None:
        with self._lock:
            if self._now is not None:
                self._counts, self._spent = added(self._counts, self._now.progress), self._spent + self._now.cost_upper_bound
                self._summaries.append(self._now.summary)
                self._ids += self._now.ids
            self._now = run
        self._first.set()
        if self._stopping:
            run.stop()

    def _current(self) -> Run[Any]:
        self._first.wait()
        if self._now is None:
            self._close()
            raise AssertionError("a verb of several runs made none")
        return self._now

    @property
    def frame(self) -> pd.DataFrame:
        """The frame of the current run: rows without an answer yet are NA."""
        return self._current().frame

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all runs so far."""
        with self._lock:
            return (*self._ids, *(self._now.ids if self._now is not None else ()))

    @property
    def client(self) -> Client:
        """The client of the current run."""
        return self._client if self._now is None else self._now.client

    @property
    def progress(self) -> Counts:
        """Counts of all runs so far."""
        with self._lock:
            return self._counts if self._now is None else added(self._counts, self._now.progress)

    @property
    def summary(self) -> Summary:
        """The summary of all runs so far; its text is one line."""
        last, seconds = self._current(), (self._finished_at or time.monotonic()) - self._created
        with self._lock:
            return total_summary([*self._summaries, last.summary], added(self._counts, last.progress), seconds)

    @property
    def cost_upper_bound(self) -> Decimal:
        """The most that all runs have cost so far."""
        with self._lock:
            return self._spent + (self._now.cost_upper_bound if self._now is not None else 0)

    def answers(self) -> Iterator[PaidAnswer]:
        """Yield each distinct answer of the current run."""
        return self._current().answers()

    def stop(self, grace: float = GRACE) -> None:
        """Send nothing more, in this run and those that would follow; what is in flight has ``grace`` seconds to arrive."""
        self._stopping = True
        if self._now is not None:
            self._now.stop(grace)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to send nothing more."""
        return self._stopping

    def _note(self) -> str:
        return self._now._label if self._now is not None else ""

    def _last_state(self) -> str:
        if self._stopping and self.progress.not_sent:
            return "stopped"
        return "done" if self._error is None else "ended early"

    def _summary_text(self) -> str:
        if self._now is None:  # no run has begun
            return "no run has begun" if self._error is None else f"{type(self._error).__name__}: {self._error}"
        return super()._summary_text()

    def _start(self, *, prepare: bool = False) -> Self:  # noqa: ARG002 - the base class has it
        return self  # started by the constructor

    def _warn_if_long(self) -> None:
        while self._warnings:
            warn(self._warnings.pop(0))

    def _show_end(self, bar: Progress) -> None:
        whole = self.done and self._error is None
        bar.close(self.progress, self._last_line() if whole else "")
        if whole:
            self._warn_if_long()

    def _close(self) -> R:
        if self._error is None:
            self._warn_if_long()
            return self._value
        with suppress(Exception):  # a warning that is an error does not take the place of the run's own
            self._warn_if_long()
        raise self._error


def labelled_warnings(label: str, seen: set[str], *, numbers: bool = True) -> AbstractContextManager[None]:
    """Put a label, if any, before warnings, and leave out those of ``seen``; without ``numbers`` whatever their numbers."""
    receive = warning_receiver()

    def labelled(text: str) -> None:
        kind = text if numbers else re.sub(r"\d[\d,.]*", "#", text)
        if kind not in seen:
            seen.add(kind)
            receive(f"{label}: {text}" if label else text)

    return warnings_to(labelled)
