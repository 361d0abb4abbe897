"""``ledger summary`` and ``runs``: what was spent, as a table to read or in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click
import pandas as pd

from ...engine.runtime.client import Client
from ...verbs.runs import runs as runs_of
from ..options import split
from ..tables.file_formats import STANDARD, Format, TableFormat
from ..tables.write_table import check_target, write_table

_SHOWN_OF_A_RUN = (
    "run", "began", "verb", "models", "rows", "answered", "cached", "failed", "requests", "cost", "currency", "end",
)  # fmt: skip
_PERIODS = ("day", "week", "month", "year")
_BY = f"{', '.join(_PERIODS)}, model, tag, run, host, or several with commas between."
_LEDGER = click.option("--ledger", metavar="FILE", help="File of recorded spending; default: TSN_LEDGER.")


def _as_table(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that shows a table."""
    kinds = click.Choice(get_args(Format))
    given = click.option("--format", "given", type=kinds, help="Of standard output; default: a table to read.")
    output = click.option("-o", "--output", default=STANDARD, metavar="FILE", help="Write the whole table to a file.")
    return given(output(command))


@click.group("ledger")
def ledger_group() -> None:
    """Look at what was spent."""


@ledger_group.command()
@click.option("--by", default="month", show_default=True, help=_BY)
@click.option("--timezone", default="UTC", show_default=True, help="Of the calendar.")
@_LEDGER
@_as_table
def summary(by: str, timezone: str, ledger: str | None, output: str, given: Format | None) -> None:
    """Show spending and savings, grouped.

    \b
    Examples:
      tsn-frames ledger summary --by month,tag
      tsn-frames ledger summary --by day --timezone Europe/Berlin -o spending.xlsx
    """  # noqa: D301 - click reads the backslash
    table = Client(ledger=ledger).ledger.summary(split(by), timezone=timezone).reset_index()
    _show(table, list(table.columns), output, given)


@click.command("runs")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="Only the newest runs.")
@_LEDGER
@_as_table
def runs(last: int, ledger: str | None, output: str, given: Format | None) -> None:
    """Show the newest runs.

    Those of all programs of this user: when, what, how many rows, how much, and how they ended.
    """
    found = runs_of(Client(ledger=ledger)).tail(last)
    _show(found, list(_SHOWN_OF_A_RUN), output, given)


def _show(table: pd.DataFrame, columns: list[str], output: str, given: Format | None) -> None:
    """Write a table to a file or in a format, or show some of its columns to a reader."""
    if output != STANDARD or given is not None:
        form = TableFormat(given)
        check_target(output, form)
        write_table(table, output, form)
        return
    shown = table[columns].copy()
    for name in shown.columns:
        if pd.api.types.is_datetime64_any_dtype(shown[name]):
            shown[name] = shown[name].dt.strftime("%Y-%m-%d" if name in _PERIODS else "%Y-%m-%d %H:%M")
        elif any(isinstance(value, (list, tuple)) for value in shown[name]):
            shown[name] = shown[name].map(", ".join)
    shown = shown.astype(object).where(shown.notna(), "")
    click.echo(shown.to_string(index=False) if len(shown) else "none yet")
