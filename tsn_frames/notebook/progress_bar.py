"""A progress bar below a cell: one output that is redrawn, and ends as one line; it can be read in a reopened notebook."""

from __future__ import annotations

import html
import time
from typing import Any

from .ipython_shell import show_output
from .table_html import LEFT

SECONDS_BETWEEN = 0.2  # a page draws no faster than a reader sees
_FONT = f"font-size:var(--jp-ui-font-size1,13px);line-height:1.6;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;text-wrap:pretty;{LEFT}"


class NotebookBar:
    """The bar of one run in the output of the cell that waits for it."""

    def __init__(self, rows: int) -> None:
        self._rows, self._drawn = rows, 0.0
        self._handle: Any = None

    def rows(self, rows: int) -> None:
        """Set the number of rows."""
        self._rows = rows

    def draw(self, done: int, text: str) -> None:
        """Show how far the run is, if the last drawing is not too recent."""
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN:
            self._show(bar_html(done, self._rows, text), bar_text(done, self._rows, text))

    def finish(self, done: int, text: str, line: str) -> None:
        """Show the final line, or without one how far the run came."""
        if line:
            self._show(line_html(line), line)
        else:
            self._show(bar_html(done, self._rows, text), bar_text(done, self._rows, text))

    def _show(self, as_html: str, as_text: str) -> None:
        self._drawn, self._handle = time.monotonic(), show_output(as_html, as_text, self._handle)


def bar_text(done: int, rows: int, text: str) -> str:
    """Return a bar as one line of text.

    >>> bar_text(40, 160, "1,200 tokens")
    ' 25 % | 40 of 160 rows, 1,200 tokens'
    """
    return f"{_percent(done, rows):3d} % | {done:,} of {rows:,} rows, {text}"


def bar_html(done: int, rows: int, text: str) -> str:
    """Return a bar in the colours of the page, light or dark, that breaks its line where the page is narrow."""
    fill = f"width:{_percent(done, rows)}%;height:100%;background:var(--jp-brand-color1,#1976d2)"
    track = "flex:0 1 12em;min-width:5em;height:.5em;border-radius:.25em;background:rgba(128,128,128,.3);overflow:hidden"
    words = html.escape(f"{done:,} of {rows:,} rows, {text}")
    return (
        f"<div style='display:flex;flex-wrap:wrap;align-items:center;gap:0 .8em;{_FONT}'>"
        f"<div style='{track}'><div style='{fill}'></div></div><div style='opacity:.85'>{words}</div></div>"
    )


def line_html(line: str) -> str:
    """Return one line of text in the page's own colours."""
    return f"<div style='opacity:.85;{_FONT}'>{html.escape(line)}</div>"


def _percent(done: int, rows: int) -> int:
    return 100 * done // rows if rows else 100
