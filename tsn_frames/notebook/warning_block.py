"""The warnings of one cell: one quiet output below it, each kind once, with a count and the user's line."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import Any

from .code_location import CodeLocation, running_cell, typed_cell
from .ipython_shell import running_shell, show_output

_STYLE = (
    "border-left:3px solid var(--jp-warn-color1,#b26a00);padding:.1em .8em;font-size:var(--jp-ui-font-size1,13px);line-height:1.5;"
    "overflow-wrap:anywhere"
)


class WarningBlock:
    """The warnings of the cell that runs now; a new cell begins a new block."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str, int]] = {}  # by kind: the first line, the last text, how often
        self._handle: Any = None

    def add(self, text: str, location: CodeLocation) -> None:
        """Show one more warning, or count it where there is one of its kind."""
        if not self._found:
            running_shell().events.register("post_run_cell", self._end_of_cell)
        kind = re.sub(r"\d[\d,.]*", "#", text)
        first, _, count = self._found.get(kind, (_where(location), "", 0))
        self._found[kind] = (first, text, count + 1)
        lines = [(first, f"{text} ({count} times)" if count > 1 else text) for first, text, count in self._found.values()]
        shown = "\n".join(f"{where}: {text}" for where, text in lines)
        self._handle = show_output(block_html(lines), shown, self._handle)

    def _end_of_cell(self, *_: Any) -> None:
        running_shell().events.unregister("post_run_cell", self._end_of_cell)
        self._found, self._handle = {}, None


_block = WarningBlock()


def warn_in_cell(text: str, category: type[Warning], stacklevel: int) -> None:
    """Warn as :func:`warnings.warn` does by the filters, and show the warning in the cell's block where it would go to stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn(text, category, stacklevel=stacklevel + 1)
    for warning in caught:
        printed = io.StringIO()  # stays empty where the caller records warnings
        warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno, printed)
        if printed.getvalue():
            _block.add(str(warning.message), CodeLocation(warning.filename, warning.lineno))


def block_html(lines: list[tuple[str, str]]) -> str:
    """Return the warnings of a cell as HTML in the colours of the page."""
    items = "".join(
        f"<div><span style='opacity:.65'>{html.escape(where)}:</span> {html.escape(text)}</div>" for where, text in lines
    )
    title = f"<div style='opacity:.65'>{len(lines)} warnings</div>" if len(lines) > 1 else ""
    return f"<div style='{_STYLE}'>{title}{items}</div>"


def _where(location: CodeLocation) -> str:
    """Return the line alone for the cell that runs, else with its cell or file."""
    typed = location.as_typed(typed_cell())
    if typed is not None:
        return f"line {typed.line}"
    return f"line {location.line}" if location.filename == running_cell() else str(location)
