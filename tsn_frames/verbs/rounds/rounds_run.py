"""The call and the run of a verb of several rounds: one bar, one summary, one warning, one frame so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from ..._gc_pause import gc_paused
from ...engine.ledger.run_id_attrs import add_run_ids
from ...engine.progress.counts import Counts
from ...errors import RunError
from ...frames.output_columns import assign
from ...text import plural, warn
from ..paying_verb import Call
from ..run.background_run import BackgroundRun, OnRun, labelled_warnings
from ..run.run_handle import Run
from ..run.summary import Summary
from .estimate import estimate_rounds
from .rounds import Rounds

Columns = Callable[[], Mapping[str, Any]]
_ROWS = ("rows", "answered", "cached", "deduplicated", "failed", "not_sent")


class RoundsCall(NamedTuple):
    """The prepared call of a verb of several rounds."""

    rounds: Rounds[Any]
    columns: Columns  # returns the columns to add, as the votes are now
    error_column: str
    missing: str  # what a warning says that rows with an error have, such as "no label"
    stale: Sequence[str]  # columns of an earlier result, which this one would contradict

    def frame(self, columns: Mapping[str, Any]) -> pd.DataFrame:
        """Return the frame with the columns added, without those of an earlier result."""
        return assign(self.rounds.df.drop(columns=list(self.stale)), columns)


class RoundsRun(BackgroundRun[pd.DataFrame]):
    """The rounds of one verb in the background; its rows are those of the frame, not those of a round."""

    def __init__(self, call: RoundsCall, on_run: OnRun | None = None) -> None:
        self._call, self._rounds, self._on_run = call, call.rounds, on_run
        self._added: Mapping[str, Any] | None = None
        self._end: Counts | None = None
        super().__init__(call.rounds.client, len(call.rounds.df), self._work_through)

    def _work_through(self, on_run: Callable[[Run[Any]], None]) -> pd.DataFrame:
        self._rounds.on_run = on_run
        with labelled_warnings("", set()):  # an earlier round may have warned of the same
            try:
                self._rounds.run()
            except BaseException as end:
                end.partial = self._finish()  # type: ignore[attr-defined]
                raise
            frame = self._finish()
            self._report(frame)
        return frame

    def _finish(self) -> pd.DataFrame:
        """Decide on all rows for the last time, and return the frame."""
        with gc_paused():
            self._added = self._call.columns()
        self._end = self._final_counts()
        return self.frame

    def _next(self, run: Run[Any]) -> None:
        run._part_of = self
        if self._on_run is not None:
            self._on_run(run)
        super()._next(run)

    @property
    def frame(self) -> pd.DataFrame:
        """The frame with the results of all rounds so far."""
        frame = self._call.frame(self._results())
        add_run_ids(frame, self.ids)
        return frame

    def _results(self) -> Mapping[str, Any]:
        return self._call.columns() if self._added is None else self._added

    @property
    def progress(self) -> Counts:
        """Counts of the frame's rows, and of the requests of all rounds so far."""
        whole, rows = super().progress, self._end or self._rows_so_far()
        return replace(whole, skipped=rows.skipped, **{name: getattr(rows, name) for name in _ROWS})

    def _rows_so_far(self) -> Counts:
        """Count the rows that are not in the round that goes on, or have been answered in it."""
        rounds, now = self._rounds, self._now
        here = min(now.progress.answered + now.progress.failed, rounds.waiting) if now is not None else 0
        answered = len(rounds.ballots) - rounds.waiting + here
        return Counts(rows=len(rounds.df), answered=answered, skipped=len(rounds.texts.problems))

    def _final_counts(self) -> Counts:
        codes = self._codes()
        missing, not_sent, rows = codes.pop("missing", 0), codes.pop("not_sent", 0), len(self._rounds.df)
        failed = codes.total()
        answered = rows - failed - missing - not_sent
        cached = min(int(self._rounds.totals.columns()["cached"].sum()), answered)
        return Counts(rows=rows, answered=answered, cached=cached, failed=failed, skipped=missing, not_sent=not_sent)

    def _codes(self) -> Counter[str]:
        """Return the number of rows by the code of their error."""
        errors = pd.Series(self._results()[self._call.error_column]).dropna()
        return Counter(str(error).partition(":")[0] for error in errors)

    @property
    def summary(self) -> Summary:
        """The summary of all rounds so far; its text is one line."""
        whole, counts = super().summary, self.progress
        return replace(whole, missing=counts.skipped, **{name: getattr(counts, name) for name in _ROWS})

    def _report(self, frame: pd.DataFrame) -> None:
        """Warn of the rows with an error, or raise where the options say so."""
        codes = self._codes()
        codes.pop("missing", None)
        if not codes:
            return
        counted = ", ".join(f"{code} {count:,}" for code, count in codes.most_common())
        have = "has" if codes.total() == 1 else "have"
        failed = f"{plural(codes.total(), 'row')} of {len(frame):,} {have} {self._call.missing}"
        text = f"{failed}: {counted}; the column {self._call.error_column!r} says why"
        if self._rounds.options["errors"] == "raise":
            failure = RunError(f"{text}; errors='coerce' returns the frame all the same")
            failure.partial = frame
            raise failure
        warn(text)

    def _note(self) -> str:
        return ", ".join(filter(None, [self._label, "" if self.done else self._rounds.round]))


def call_of(prepared: RoundsCall) -> Call[pd.DataFrame]:
    """Return the call of a verb of several rounds: it can be waited for, started or estimated."""
    rounds = prepared.rounds

    def result() -> pd.DataFrame:
        run = RoundsRun(prepared)
        try:
            return run.result(progress=rounds.options.get("progress"))
        except BaseException as end:  # Ctrl-C, too
            if getattr(end, "partial", None) is None:
                end.partial = run.frame  # type: ignore[attr-defined]
            raise

    start = partial(RoundsRun, prepared)
    return Call(result, start, lambda: estimate_rounds(rounds), lambda: prepared.frame(prepared.columns()))
