"""A small table of names and values in the colours of the page."""

from __future__ import annotations

import html
from collections.abc import Iterable

LEFT = "padding-left:var(--jp-code-padding,5px)"  # an output of HTML then begins below the code of its cell, as a text does
_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;background:none"


def table_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a table with one row for each name and value, below a title.

    >>> "<b>Client</b>" in table_html("Client", [("model", "sim-small")])
    True
    """
    lines = "".join(
        f"<tr style='background:none'><th style='{_CELL};opacity:.65;font-weight:normal'>{html.escape(name)}</th>"
        f"<td style='{_CELL};overflow-wrap:anywhere'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<div style='{LEFT}'><b>{html.escape(title)}</b><table style='color:inherit;font:inherit;border:none'>{lines}</table></div>"


def lines_html(lines: Iterable[str]) -> str:
    """Return lines of text, one below the other."""
    return f"<div style='{LEFT}'>{'<br>'.join(map(html.escape, lines))}</div>"
