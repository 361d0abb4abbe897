"""A run as it is now: its counts, its summary, its state in a word, one line, and a live bar at the end of a cell."""

from __future__ import annotations

import threading
import time

from ...engine.progress.counts import Counts
from ...engine.progress.progress_bar import pace, status
from ...engine.run.executor import RunExecutor
from ...notebook.progress_bar import RunView
from .summary import Summary, summarise


class ShownRun:
    """The counts, the state, the repr and the bar of a run."""

    _label = ""  # what the bar says before its counts, such as the model of a comparison
    _engine: RunExecutor
    _created: float  # on the monotonic clock
    finished: threading.Event

    @property
    def progress(self) -> Counts:
        """Counts of rows, requests and tokens as they are now."""
        return self._engine.counts

    @property
    def summary(self) -> Summary:
        """The summary so far; its text is one line."""
        return summarise(self._engine, (self._engine.finished_at or time.monotonic()) - self._created)

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self.finished.is_set()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to send nothing more."""
        return self._engine.stopped

    def _last_state(self) -> str:
        if self._engine.failure is not None:
            return "failed"
        if self._engine.end is not None:
            return "ended early"
        return "stopped" if self.progress.not_sent else "done"

    def __repr__(self) -> str:
        return f"<Run {self._state()}: {self._summary_text()}>"

    def _state(self) -> str:
        if self.done:
            return self._last_state()
        return "stopping" if self.stopped else "starting" if self.progress.starting else "running"

    def _view(self) -> RunView:
        counts, state, seconds = self.progress, self._state(), time.monotonic() - self._created
        if self.done:
            return RunView(counts.done, counts.rows, self._last_line(), over=True)
        first, last = ("stopping", "") if state == "stopping" else ("", pace(counts, seconds))
        words = [self._note(), first, status(counts, seconds), last]
        return RunView(counts.done - counts.not_sent, counts.rows, ", ".join(filter(None, words)), over=False)

    def _note(self) -> str:
        """Return what a bar shows before the counts."""
        return self._label

    def _last_line(self) -> str:
        """Return the line that takes the place of the bar."""
        parts = [self._label, "" if self._state() == "done" else self._state(), self._summary_text()]
        return ": ".join(filter(None, parts))

    def _summary_text(self) -> str:
        return str(self.summary)
