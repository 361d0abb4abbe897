"""The demonstration: answer a CSV row by row, twice; the second run sends nothing.

Settings come from the environment, so that make can pass them on: ``CSV``, ``COLUMN``, ``LIVE`` and, live, ``TSN_*``.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pandas as pd

from ..engine.runtime.client import Client
from ..errors import ConfigError, TSNError
from ..sandbox import sample_messages, simulate
from ..text import did_you_mean, warnings_to
from ..verbs.complete import complete
from ..verbs.run.run_handle import last_run
from ..verbs.run.summary import Summary
from .commands.simulate import say
from .exit_codes import report
from .tables.read_table import read_table

if TYPE_CHECKING:
    from ..simulator import Simulator

PROMPT = "Which topic is this message about? Answer with one of: billing, delivery, returns, praise, other.\n\n{%s}"
SYSTEM = "You sort the messages of a shop's customers."


def main() -> int:
    """Run the demonstration and return an exit status."""
    try:
        with ExitStack() as stack, warnings_to(lambda text: report(f"note: {text}")):
            df, column = _input()
            live = os.getenv("LIVE", "").strip().lower() not in ("", "0", "no", "false", "off")
            return _show(df, column, None if live else stack.enter_context(simulate()))
    except TSNError as error:
        report(f"{type(error).__name__}: {error}")
        return 1


def _input() -> tuple[pd.DataFrame, str]:
    path, column = os.getenv("CSV"), os.getenv("COLUMN") or "text"
    if not path:
        return sample_messages()[["message_id", "language", "text"]], "text"
    df = read_table(path)
    if column not in df.columns:
        raise ConfigError(
            f"{path} has no column {column!r}: give the one to ask about as COLUMN=...; {did_you_mean(column, df.columns)}"
        )
    return df, column


def _show(df: pd.DataFrame, column: str, server: Simulator | None) -> int:
    client = None if server else Client()  # live: TSN_API_KEY and TSN_MODEL
    where = "the simulator on this machine: its answers are simulated, no key, no cost" if server else "the real service"
    say(f"Asking {where}.\n\nBefore ({len(df)} rows):\n{_table(df)}\n")
    first, summary, asked = _ask(df, column, client, server, progress=True)
    added = ["content", "total_tokens", "cost", "cached", "error"]
    say(f"\nAfter:\n{_table(first[[*df.columns.drop(added, errors='ignore'), *added]])}\n\nFirst run:  {summary}")
    second, again, asked_again = _ask(df, column, client, server, progress=False)
    same = bool(first["content"].equals(second["content"]))
    counted = f" (the server counted {asked_again - asked})" if server else ""
    say(
        f"Second run: {again}\n\nThe second run sent {again.requests} requests{counted}; its answers are {'' if same else 'NOT '}the same."
    )
    return 0 if same and again.requests == asked_again - asked == 0 else 1


def _ask(
    df: pd.DataFrame, column: str, client: Client | None, server: Simulator | None, *, progress: bool
) -> tuple[pd.DataFrame, Summary, int]:
    """Answer the frame; return it, the run's summary, and the number of requests that the server has counted."""
    out = complete(df, PROMPT % column, system=SYSTEM, max_tokens=16, overwrite=True, progress=progress, client=client)
    run = last_run()
    assert run is not None
    return out, run.summary, server.stats().requests if server else 0


def _table(df: pd.DataFrame) -> str:
    shown = df.head(8).copy()
    for label in shown.columns:
        if shown[label].dtype == object or pd.api.types.is_string_dtype(shown[label].dtype):
            shown[label] = [str(v).replace("\n", " ")[:44] for v in shown[label].fillna("")]
    return shown.to_string(max_colwidth=44)
