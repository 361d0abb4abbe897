"""The progress bar and the final line: rows, tokens and cost, never a prompt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ...notebook.ipython_shell import in_notebook
from ...notebook.progress_bar import NotebookBar
from ...text import money
from ..runtime.simulator_detection import MARK
from .counts import Counts

MIN_SECONDS = 1.0  # of a run, before its pace is shown
MIN_ROWS = 10  # that were sent, before the pace is shown


class Progress:
    """A bar over the rows of a run, drawn by the thread that waits for the run: below the cell of a notebook, else on stderr.

    Where the terminal can't be written to, the bar disappears and the run goes on. ``note`` returns what stands before the tokens,
    such as the model of a comparison.
    """

    def __init__(self, shown: bool | None, note: Callable[[], str] = str) -> None:
        notebook = in_notebook()
        self._shown = (notebook or bool(sys.stderr and not sys.stderr.closed and sys.stderr.isatty())) if shown is None else shown
        self._bar: NotebookBar | _TerminalBar = NotebookBar() if notebook else _TerminalBar()
        self._note, self._pace = note, pace if notebook else lambda *_: ""  # tqdm shows its own
        self._started = time.monotonic()

    def update(self, counts: Counts) -> None:
        """Draw the current counts."""
        seconds = time.monotonic() - self._started
        self._draw(counts, status(counts, seconds), self._pace(counts, seconds))

    def close(self, counts: Counts, line: str) -> None:
        """Draw the last counts, close the bar and show the final line."""
        self._draw(counts, status(counts, time.monotonic() - self._started), line=line)

    def stop(self, counts: Counts) -> None:
        """Draw the last counts of a run that was stopped, and close the bar."""
        self._draw(counts, "" if counts.starting else status(counts), "stopped", line="")

    def _draw(self, counts: Counts, *texts: str, line: str | None = None) -> None:
        """Draw the bar, and with a final line for the last time."""
        if not self._shown:
            return
        done, text = counts.done - counts.not_sent, ", ".join(filter(None, [self._note(), *texts]))
        try:
            if line is None:
                self._bar.draw(done, counts.rows, text)
            else:
                self._bar.finish(done, counts.rows, text, line)
        except (OSError, ValueError, AttributeError):  # the stream is closed, broken or None
            self._shown = False


class _TerminalBar:
    """A tqdm bar on stderr, and the final line below it."""

    def __init__(self) -> None:
        self._bar: Any = None

    def draw(self, done: int, rows: int, text: str) -> None:
        if self._bar is None:
            from tqdm.std import tqdm

            self._bar = tqdm(total=rows, unit=" rows", dynamic_ncols=True, file=sys.stderr)
        self._bar.n, self._bar.total = done, rows
        self._bar.set_postfix_str(text)

    def finish(self, done: int, rows: int, text: str, line: str) -> None:
        self.draw(done, rows, text)
        self._bar.close()
        sys.stderr.write(f"{line}\n" if line else "")


def status(counts: Counts, seconds: float = 0.0) -> str:
    """Return the text beside the bar: tokens, cost so far, projected cost, cost per minute, and counts of rows.

    >>> status(Counts(rows=10, answered=4, cached=1, prompt_tokens=900, completion_tokens=100, cost_known=False))
    '1,000 tokens, 1 cached'
    >>> from decimal import Decimal
    >>> status(Counts(rows=90, answered=30, prompt_tokens=900, cost=Decimal("0.6"), to_send=90, paid=30), seconds=120)
    '900 tokens, 0.60 spent of about 1.80, 0.30 a minute'
    >>> status(Counts(rows=90)), status(Counts(rows=90, simulated=True))
    ('starting', 'SIMULATED, starting')
    """
    tokens = f"{counts.prompt_tokens + counts.completion_tokens:,} tokens"
    parts = [*([MARK] if counts.simulated else []), "starting" if counts.starting else tokens]
    if counts.cost:
        whole = f" of about {money(float(counts.projected), currency=counts.currency)}" if counts.projected is not None else ""
        least = "" if counts.cost_known else "at least "
        parts.append(f"{least}{money(float(counts.cost), currency=counts.currency)} spent{whole}")
        if seconds >= MIN_SECONDS:
            parts.append(f"{money(float(counts.cost) / seconds * 60, currency=counts.currency)} a minute")
    rows = {"cached": counts.cached, "failed": counts.failed, "refused": counts.refused}
    return ", ".join([*parts, *(f"{number:,} {what}" for what, number in rows.items() if number)])


def pace(counts: Counts, seconds: float) -> str:
    """Return how long the rows that are left take at the pace so far; an empty text until it is known.

    >>> pace(Counts(rows=100, answered=25), seconds=10.0), pace(Counts(rows=100, answered=5), seconds=0.2)
    ('about 30 s left', '')
    >>> pace(Counts(rows=9000, answered=25), seconds=10.0)
    'about 60 min left'
    """
    sent, left = counts.answered - counts.cached + counts.failed, counts.rows - counts.done
    if sent < MIN_ROWS or seconds < MIN_SECONDS or not left:
        return ""
    rest = left * seconds / sent
    return f"about {rest:,.0f} s left" if rest < 100 else f"about {rest / 60:,.0f} min left"
