"""``cache stats | prune | export | load | verify``, ``ledger summary`` and ``runs``: what is on the disk of this user."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import click
import pandas as pd

from ..engine.cache import reader
from ..engine.cache.cache import Cache, CacheStats
from ..engine.runtime.client import Client
from ..errors import ParameterError
from ..text import plural, quoted
from ..verbs.runs import runs as runs_of
from .exit_codes import ExitCode, report
from .options import split
from .tables.file_formats import STANDARD, Format
from .tables.write_table import check_target, write_table

_SHOWN_OF_A_RUN = [
    "run",
    "began",
    "verb",
    "models",
    "rows",
    "answered",
    "cached",
    "failed",
    "requests",
    "cost",
    "currency",
    "end",
]
_FOLDER = click.option("--cache-dir", metavar="FOLDER", help="Folder of cached answers; default: TSN_CACHE_DIR.")
_LEDGER = click.option("--ledger", metavar="FILE", help="File of recorded spending; default: TSN_LEDGER.")


def _as_table(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that shows a table."""
    kinds = click.Choice(get_args(Format))
    given = click.option("--format", "given", type=kinds, help="Of standard output; default: a table to read.")
    return given(
        click.option("-o", "--output", default=STANDARD, metavar="FILE", help="Write the whole table to a file.")(command)
    )


@click.group("cache")
def cache_group() -> None:
    """Look at the cached answers, share them, and delete old ones."""


@cache_group.command()
@_FOLDER
def stats(cache_dir: str | None) -> int:
    """Show number, size and age of the answers."""
    click.echo(described(_cache(cache_dir).stats()))
    return ExitCode.DONE


@cache_group.command()
@click.option("--older-than", required=True, metavar="SPAN", help="Such as 90d, 12h or 2w.")
@click.option("--yes", is_flag=True, help="Delete without a question.")
@_FOLDER
def prune(older_than: str, yes: bool, cache_dir: str | None) -> int:
    """Delete old answers.

    To ask for them again is paid for again.

    \b
    Example:
      tsn-frames cache prune --older-than 90d
    """  # noqa: D301 - click reads the backslash
    span = _span(older_than)
    cache = _cache(cache_dir)
    if not yes and not _confirmed(f"Delete the answers in {cache.folder} that are older than {older_than}? They were paid for."):
        return ExitCode.USAGE
    click.echo(f"{plural(cache.prune(older_than=span), 'answer')} deleted")
    return ExitCode.DONE


@cache_group.command()
@click.argument("file")
@_FOLDER
def export(file: str, cache_dir: str | None) -> int:
    """Write all answers to a file.

    FILE ends in .jsonl or .parquet. It holds no prompts and no key, and `load` reads it.
    """
    click.echo(f"{plural(_cache(cache_dir).export(file), 'answer')} written to {file}")
    return ExitCode.DONE


@cache_group.command()
@click.argument("file")
@_FOLDER
def load(file: str, cache_dir: str | None) -> int:
    """Add the answers of an exported file.

    Only those that are missing here are added.
    """
    click.echo(f"{plural(_cache(cache_dir).load(file), 'answer')} added")
    return ExitCode.DONE


@cache_group.command()
@_FOLDER
def verify(cache_dir: str | None) -> int:
    """Check every answer by its checksum.

    Nothing is changed. Exit code 1: some are damaged.
    """
    problem = damage(_cache(cache_dir))
    click.echo(problem or f"whole: {described(_cache(cache_dir).stats())}")
    return ExitCode.ROWS_FAILED if problem else ExitCode.DONE


@click.group("ledger")
def ledger_group() -> None:
    """Look at what was spent."""


@ledger_group.command()
@click.option(
    "--by",
    default="month",
    show_default=True,
    help="day, week, month, year, model, tag, run, host, or several with commas between.",
)
@click.option("--timezone", default="UTC", show_default=True, help="Of the calendar.")
@_LEDGER
@_as_table
def summary(by: str, timezone: str, ledger: str | None, output: str, given: Format | None) -> int:
    """Show spending and savings, grouped.

    \b
    Examples:
      tsn-frames ledger summary --by month,tag
      tsn-frames ledger summary --by day --timezone Europe/Berlin -o spending.xlsx
    """  # noqa: D301 - click reads the backslash
    table = Client(ledger=ledger).ledger.summary(split(by), timezone=timezone)
    return _show(table.reset_index(), list(table.reset_index().columns), output, given)


@click.command("runs")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="Only the newest runs.")
@_LEDGER
@_as_table
def runs(last: int, ledger: str | None, output: str, given: Format | None) -> int:
    """Show the newest runs.

    Those of all programs of this user: when, what, how many rows, how much, and how they ended.
    """
    found = runs_of(Client(ledger=ledger)).tail(last)
    return _show(found, _SHOWN_OF_A_RUN, output, given)


def described(found: CacheStats) -> str:
    """Return the statistics of a cache as a line."""
    ages = [datetime.fromtimestamp(when, UTC).date().isoformat() for when in (found.oldest, found.newest) if when is not None]
    size = f"{found.bytes / 2**20:,.1f} MB" if found.bytes >= 2**20 else f"{found.bytes / 2**10:,.0f} KB"
    return f"{plural(found.answers, 'answer')}, {size}{f', from {ages[0]} to {ages[1]}' if ages else ''}, in {found.folder}"


def damage(cache: Cache) -> str | None:
    """Return what is wrong with a cache's file; None where every page and answer is whole."""
    try:
        reader.check_whole(cache.file)
        stored, whole = reader.totals(cache.file)[0], sum(1 for _ in reader.scan(cache.file))
    except sqlite3.DatabaseError as error:
        return f"damaged: {error} in {cache.file}. The next run saves its readable answers into a new file and keeps the old one"
    changed = stored - whole
    return (
        f"{plural(changed, 'answer')} of {stored:,} differ from their checksums in {cache.file}: they will be asked again"
        if changed
        else None
    )


def _cache(folder: str | None) -> Cache:
    return Client(cache=folder).cache


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower())
    if found is None:
        raise ParameterError(f"--older-than must be a time span such as 90d, 12h or 2w, got {quoted(text)}")
    return timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[found[2]]: int(found[1])})


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        report("There is no terminal to ask on: give --yes.")
        return False
    return click.confirm(question, err=True)


def _show(table: pd.DataFrame, columns: list[str], output: str, given: Format | None) -> int:
    """Write a table to a file or in a format, or show some of its columns to a reader."""
    if output != STANDARD or given is not None:
        check_target(output, given)
        write_table(table, output, given)
        return ExitCode.DONE
    shown = table[columns].copy()
    for name in shown.columns:
        if pd.api.types.is_datetime64_any_dtype(shown[name]):
            shown[name] = shown[name].dt.strftime("%Y-%m-%d %H:%M" if shown[name].dt.tz else "%Y-%m-%d")
        elif any(isinstance(value, (list, tuple)) for value in shown[name]):
            shown[name] = shown[name].map(", ".join)
    shown = shown.astype(object).where(shown.notna(), "")
    click.echo(shown.to_string(index=False) if len(shown) else "none yet")
    return ExitCode.DONE
