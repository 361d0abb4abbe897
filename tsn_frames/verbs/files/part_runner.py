"""The parts of a file, one after the other: each is a run, written when it is whole; and the summary of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from ...engine.progress.counts import Counts
from ...engine.progress.progress_bar import Progress
from ...engine.runtime.interrupts import deferred_interrupts
from ...errors import Interrupted, RunError
from ...frames.arrow import to_frame
from ...text import plural
from ..run.background_run import labelled_warnings
from ..run.run_handle import Run, stopped_error
from ..run.summary import Summary, added, total_summary
from .parquet import Source, Target


@dataclass(frozen=True, repr=False)
class FileSummary(Summary):
    """The result of :func:`complete_file`: a :class:`Summary` of all parts, their number, and their folder."""

    parts: int
    path: Path

    def __str__(self) -> str:
        return f"{super().__str__()}; {plural(self.parts, 'part')} in {self.path}"


class PartRunner:
    """Runs the parts one after the other and writes each."""

    def __init__(self, source: Source, into: Target, most: Decimal | None, kept: bool,
                 ask: Callable[[pd.DataFrame, Decimal | None, int], Run[pd.DataFrame]]) -> None:  # fmt: skip
        self._source, self._into, self._most, self._kept, self._ask = source, into, most, kept, ask
        self._counts, self._cost_upper_bound, self._summaries = Counts(rows=source.rows), Decimal(0), list[Summary]()
        self._warned: set[str] = set()
        self._before: Run[pd.DataFrame] | None = None

    def run(self, progress: bool | None) -> FileSummary:
        """Run and write every part, and return the summary of all."""
        begun, bar = time.monotonic(), Progress(progress)
        try:
            for at, piece in enumerate(self._source.pieces()):
                with labelled_warnings(f"part {at}", self._warned, numbers=False):
                    self._part(at, piece, bar)
            total = total_summary(self._summaries, self._counts, time.monotonic() - begun)
            done = FileSummary(**vars(total), parts=self._into.parts, path=self._into.path)
        except KeyboardInterrupt:
            bar.stop(self._counts)
            raise Interrupted(f"stopped: {self._so_far()}") from None
        except BaseException as error:
            bar.stop(self._counts)
            if self._into.written() or isinstance(error, RunError):
                error.__notes__ = [self._so_far()]  # in place of where the frame of one part is
            raise
        bar.close(self._counts, str(done))
        return done

    def _part(self, at: int, piece: Any, bar: Progress) -> None:
        left = None if self._most is None else max(self._most - self._cost_upper_bound, Decimal("1e-12"))
        before, beyond = self._counts, self._source.rows - self._counts.done - len(piece)
        run = self._ask(to_frame(piece), left, beyond)  # before anything is sent: a warning that is made an error ends it here
        if self._before is not None and (end := stopped_error(self._before, more=True)) is not None:
            raise end  # stopped while this part was prepared
        try:
            run._wait_while(None, lambda counts: bar.update(added(before, counts)))
            answered = run.result(progress=False)
        finally:
            self._counts, self._cost_upper_bound = added(before, run.progress), self._cost_upper_bound + run.cost_upper_bound
        if (end := stopped_error(run)) is not None:  # a stop of one part ends the file
            end.partial = answered
            raise end
        with deferred_interrupts():
            self._into.write(at, piece, answered)
            self._summaries.append(run.summary)
            self._before = run

    def _so_far(self) -> str:
        written = f"{self._into.written():,} of {plural(self._into.parts, 'part')} are whole and in {self._into.path}"
        return f"{written}; run the same call again to go on{': every answer so far is in the cache' if self._kept else ''}"
