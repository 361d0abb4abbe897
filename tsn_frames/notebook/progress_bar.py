"""A progress bar below a cell: one output that is redrawn, and ends as one line; it can be read in a reopened notebook."""

from __future__ import annotations

import html
import time
from typing import Any, NamedTuple

from .ipython_shell import show_output
from .table_html import LEFT

SECONDS_BETWEEN = 0.2  # a page draws no faster than a reader sees
_FONT = f"font-size:var(--jp-ui-font-size1,13px);line-height:1.6;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;text-wrap:pretty;{LEFT}"


class RunView(NamedTuple):
    """What a bar shows of a run at a moment: finished rows, all rows, and words; of a run that is over the line in ``text``.

    >>> print(RunView(40, 160, "1,200 tokens", over=False))
     25 % | 40 of 160 rows, 1,200 tokens
    """

    done: int
    rows: int
    text: str
    over: bool

    @property
    def html(self) -> str:
        """The view in the colours of the page, light or dark; a bar breaks its line where the page is narrow."""
        if self.over:
            return f"<div style='opacity:.85;{_FONT}'>{html.escape(self.text)}</div>"
        fill = f"width:{self._percent}%;height:100%;background:var(--jp-brand-color1,#1976d2)"
        track = "flex:0 1 12em;min-width:5em;height:.5em;border-radius:.25em;background:rgba(128,128,128,.3);overflow:hidden"
        words = html.escape(f"{self.done:,} of {self.rows:,} rows, {self.text}")
        return (
            f"<div style='display:flex;flex-wrap:wrap;align-items:center;gap:0 .8em;{_FONT}'>"
            f"<div style='{track}'><div style='{fill}'></div></div><div style='opacity:.85'>{words}</div></div>"
        )

    @property
    def _percent(self) -> int:
        return 100 * self.done // self.rows if self.rows else 100

    def __str__(self) -> str:
        return self.text if self.over else f"{self._percent:3d} % | {self.done:,} of {self.rows:,} rows, {self.text}"


class NotebookBar:
    """The bar of one run in the output of the cell that waits for it."""

    def __init__(self) -> None:
        self._drawn = 0.0
        self._handle: Any = None

    def draw(self, done: int, rows: int, text: str) -> None:
        """Show how far the run is, if the last drawing is not too recent."""
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN:
            self._show(RunView(done, rows, text, over=False))

    def finish(self, done: int, rows: int, text: str, line: str) -> None:
        """Show the final line, or without one how far the run came."""
        self._show(RunView(done, rows, line or text, over=bool(line)))

    def _show(self, view: RunView) -> None:
        self._drawn, self._handle = time.monotonic(), show_output(view.html, str(view), self._handle)
