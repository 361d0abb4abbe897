"""``cache stats | prune | export | load | verify``: the cached answers of this user."""

from __future__ import annotations

import re
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import click

from ...engine.cache import reader
from ...engine.cache.cache import Cache, CacheStats
from ...engine.runtime.client import Client
from ...errors import ParameterError
from ...text import plural, quoted
from ..exit_codes import ExitCode, report
from ..options import CACHE_DIR

_FOLDER = click.option("--cache-dir", metavar="FOLDER", help=CACHE_DIR)


@click.group("cache")
def cache_group() -> None:
    """Look at the cached answers, share them, and delete old ones."""


@cache_group.command()
@_FOLDER
def stats(cache_dir: str | None) -> None:
    """Show number, size and age of the answers."""
    click.echo(described(_cache(cache_dir).stats()))


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
def export(file: str, cache_dir: str | None) -> None:
    """Write all answers to a file.

    FILE ends in .jsonl or .parquet. It holds no prompts and no key, and `load` reads it.
    """
    click.echo(f"{plural(_cache(cache_dir).export(file), 'answer')} written to {file}")


@cache_group.command()
@click.argument("file")
@_FOLDER
def load(file: str, cache_dir: str | None) -> None:
    """Add the answers of an exported file.

    Only those that are missing here are added.
    """
    click.echo(f"{plural(_cache(cache_dir).load(file), 'answer')} added")


@cache_group.command()
@_FOLDER
def verify(cache_dir: str | None) -> int:
    """Check every answer by its checksum.

    Nothing is changed. Exit code 1: some are damaged.
    """
    cache = _cache(cache_dir)
    problem = damage(cache)
    click.echo(problem or f"intact: {described(cache.stats())}")
    return ExitCode.ROWS_FAILED if problem else ExitCode.DONE


def described(found: CacheStats) -> str:
    """Return the statistics of a cache as a line."""
    ages = [datetime.fromtimestamp(when, UTC).date().isoformat() for when in (found.oldest, found.newest) if when is not None]
    size = f"{found.bytes / 2**20:,.1f} MB" if found.bytes >= 2**20 else f"{found.bytes / 2**10:,.0f} KB"
    return f"{plural(found.answers, 'answer')}, {size}{f', from {ages[0]} to {ages[1]}' if ages else ''}, in {found.folder}"


def damage(cache: Cache) -> str | None:
    """Return what is wrong with a cache's file; None where every page and answer is intact."""
    try:
        reader.check_whole(cache.file)
        stored, whole = reader.totals(cache.file)[0], sum(1 for _ in reader.scan(cache.file))
    except sqlite3.DatabaseError as error:
        return f"damaged: {error} in {cache.file}. The next run saves its readable answers into a new file and keeps the old one"
    if stored == whole:
        return None
    changed = plural(stored - whole, "answer")
    return f"{changed} of {stored:,} differ from their checksums in {cache.file}: they will be asked again"


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
