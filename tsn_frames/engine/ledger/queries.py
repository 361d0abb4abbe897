"""What the ledger knows of earlier answers that helps to reckon: how long prompts came to how many tokens, and how fast."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from .file import opened
from .ledger import Ledger
from .run_record import RunRecord

MOST = 20_000  # lines that are looked at, the newest ones
MOST_RUNS = 500
MEASURED = 2  # from this schema number on, lines say how long a prompt was


class PastUsage(NamedTuple):
    """One answer of the past."""

    model: str
    language: str
    prompt_chars: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def recent_usage(ledger: Ledger, models: Collection[str], runs: Collection[str] = ()) -> list[PastUsage]:
    """Return the newest answers of some models whose prompts were measured; only those of some runs, if any are named.

    Raises
    ------
    ConfigError
        If the file is no ledger, a newer version's, or can't be read.
    """
    marks = ", ".join("?" * len(models))
    among = f" AND run IN ({', '.join('?' * len(runs))})" if runs else ""
    query = (
        f"SELECT {', '.join(PastUsage._fields)} FROM attempts WHERE outcome = 'answered' AND model IN ({marks}){among} AND "
        "prompt_chars > 0 AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL ORDER BY id DESC LIMIT ?"
    )
    with opened(ledger.path, MEASURED) as connection:
        return [PastUsage._make(row) for row in connection.execute(query, (*models, *runs, MOST))] if connection else []


def piloted_keys(ledger: Ledger, frame: str | None) -> set[bytes]:
    """Return the keys of those requests of a frame, known by its keys' hash, that pilots of it had an answer to."""
    if frame is None:
        return set()
    runs = [card.run for card, hashes in cards(ledger) if card.verb == "estimate" and hashes.get("frame") == frame][:MOST_RUNS]
    if not runs:
        return set()
    marks = ", ".join("?" * len(runs))
    query = f"SELECT request_key FROM attempts WHERE outcome = 'answered' AND run IN ({marks})"
    with opened(ledger.path) as connection:
        return {bytes(key) for (key,) in connection.execute(query, runs)} if connection else set()


def cards(ledger: Ledger) -> Iterator[tuple[RunRecord, Mapping[str, Any]]]:
    """Yield the cards of runs, newest first, each with its hashes."""
    for card in reversed(list(ledger.cards())):
        yield card, json.loads(card.hashes)
