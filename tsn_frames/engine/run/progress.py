"""The progress bar and the final line: rows, tokens and cost, never a prompt."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from ...text import money
from .counts import Counts

MIN_SECONDS = 1.0  # a cost per minute is shown after this time


class Progress:
    """A tqdm bar over the rows of a run, updated by the thread that waits for the run.

    Where the terminal can't be written to, the bar disappears and the run goes on. ``note`` returns what stands before the tokens, such as the round of a verb of several rounds.
    """

    def __init__(self, shown: bool | None, rows: int, note: Callable[[], str] = str) -> None:
        self._notebook, self._rows, self._note = _in_notebook(), rows, note
        self._shown = (self._notebook or _is_terminal()) if shown is None else shown
        self._bar: Any = None
        self._started = time.monotonic()

    def update(self, counts: Counts) -> None:
        """Draw the current counts."""
        self._draw_safely(lambda: self._draw(counts))

    def close(self, counts: Counts, line: str) -> None:
        """Draw the last counts, close the bar and print the final line."""
        self._draw_safely(lambda: self._finish(counts, line))

    def _draw_safely(self, draw: Callable[[], object]) -> None:
        if self._shown:
            try:
                draw()
            except (OSError, ValueError, AttributeError):  # the stream is closed, broken or None
                self._shown = False

    def _draw(self, counts: Counts) -> None:
        self._bar = self._bar or self._new_bar()
        self._bar.n = counts.done - counts.not_sent
        parts = [self._note(), status(counts, time.monotonic() - self._started)]
        self._bar.set_postfix_str(", ".join(filter(None, parts)))

    def _finish(self, counts: Counts, line: str) -> None:
        self._draw(counts)
        self._bar.close()
        sys.stderr.write(f"{line}\n" if line else "")

    def _new_bar(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a page without widgets
            from tqdm.auto import tqdm
        return tqdm(total=self._rows, unit=" rows", dynamic_ncols=not self._notebook, file=sys.stderr)


def _is_terminal() -> bool:
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def status(counts: Counts, seconds: float = 0.0) -> str:
    """Return the text beside the bar: tokens, cost so far, projected cost, cost per minute, and counts of rows.

    Examples
    --------
    >>> status(Counts(rows=10, answered=4, cached=1, prompt_tokens=900, completion_tokens=100, cost_known=False))
    '1,000 tokens, 1 cached'
    >>> from decimal import Decimal
    >>> status(Counts(rows=90, answered=30, prompt_tokens=900, cost=Decimal("0.6"), to_send=90, paid=30), seconds=120)
    '900 tokens, 0.60 spent of about 1.80, 0.30 a minute'
    """
    parts = [f"{counts.prompt_tokens + counts.completion_tokens:,} tokens"]
    if counts.cost:
        whole = f" of about {money(float(counts.projected))}" if counts.projected is not None else ""
        parts.append(f"{'' if counts.cost_known else 'at least '}{money(float(counts.cost))} spent{whole}")
        parts += [f"{money(float(counts.cost) / seconds * 60)} a minute"] if seconds >= MIN_SECONDS else []
    parts += [
        f"{n:,} {what}" for n, what in ((counts.cached, "cached"), (counts.failed, "failed"), (counts.refused, "refused")) if n
    ]
    return ", ".join(parts)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"
