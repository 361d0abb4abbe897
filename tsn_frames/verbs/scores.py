"""The numbers of a comparison: what each model's answers cost, took and are worth, and how far two models agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ..engine.client import Client
from ..engine.ledger import Ledger
from ..engine.ledger_file import Entry
from ..frames.agreement import mcnemar, same, wilson
from .summary import Summary

_COUNTS = ("rows", "answered", "failed", "skipped", "not_sent")
_WHOLE = (*_COUNTS, "prompt_tokens", "completion_tokens", "judged", "correct", "agree", "only_left", "only_right")
_FLAGS = ("cost_known", "billed_known")
_TEXTS = ("currency", "error", "left", "right")


@dataclass(frozen=True)
class Asked:
    """One model's part of a comparison: its frame, what its run came to, and why it ended early."""

    frame: pd.DataFrame
    summary: Summary
    client: Client
    end: Exception | str | None = None


def table(asked: Mapping[str, Asked], answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> pd.DataFrame:
    """Return a row a model; ``answers`` and ``gold`` are what is compared, None where there is nothing."""
    lines = bought(asked.values())
    rows = []
    for label, part in asked.items():
        row = _counts(part.summary) | _spent(part, lines[part.client.ledger]) | _worth(answers[label], gold)
        if gold is not None:
            row["cost_per_correct"] = row["cost"] / row["correct"] if row["correct"] and row["cost"] is not None else None
        row["error"] = f"{type(part.end).__name__}: {part.end}" if isinstance(part.end, Exception) else part.end
        rows.append(row)
    return _typed(rows, pd.Index(asked, name="model"))


def pairs(answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> pd.DataFrame:
    """Return a row a pair of models, over the rows that both have answered."""
    rows = [_pair(left, right, answers, gold) for left, right in combinations(answers, 2)]
    names = ["left", "right", "rows", "agree", "agreement", "agreement_low", "agreement_high"]
    return _typed(rows, None, names + (["only_left", "only_right", "p"] if gold is not None else []))


def _counts(summary: Summary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in _COUNTS}


def _spent(part: Asked, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Return tokens, money and seconds of the distinct answers, and what this run was billed."""
    once = part.frame.dropna(subset="request_key").drop_duplicates("request_key")
    once = once[once["answered_at"].notna()]
    prices = [
        None if (entry := entries.get(key)) is None or entry.cost is None else Decimal(entry.cost) for key in once["request_key"]
    ]
    seconds = [entries[key].seconds for key in once["request_key"] if key in entries]
    known = [price for price in prices if price is not None]
    units = {entries[key].currency for key in once["request_key"] if key in entries and entries[key].cost is not None}
    one = len(units) < 2  # money of two currencies is no sum
    summary = part.summary
    return {
        "prompt_tokens": once["prompt_tokens"].sum(),
        "completion_tokens": once["completion_tokens"].sum(),
        "cost": float(sum(known)) if one and (known or not prices) else None,
        "cost_known": one and len(known) == len(prices),
        "currency": next(iter(units), None) if one else None,
        "billed": summary.cost,
        "billed_known": summary.cost_known,
        "seconds": float(np.median(seconds)) if seconds else None,
        "seconds_total": sum(seconds) if seconds and len(seconds) == len(once) else None,
    }


def bought(asked: Iterable[Asked]) -> dict[Ledger, dict[str, Entry]]:
    """Return the newest line of each answer that the ledgers know; each ledger is read once."""
    wanted: dict[Ledger, dict[bytes, str]] = {}
    for part in asked:
        keys = part.frame["request_key"].dropna()
        wanted.setdefault(part.client.ledger, {}).update((bytes.fromhex(key), key) for key in keys)
    return {
        ledger: {keys[e.request_key]: e for e in ledger.entries() if e.outcome == "answered" and e.request_key in keys}
        for ledger, keys in wanted.items()
    }


def _worth(answers: Sequence[Any], gold: Sequence[Any] | None) -> dict[str, Any]:
    if gold is None:
        return {}
    judged, right = same(answers, gold)
    return {"judged": int(judged.sum()), "correct": int(right.sum())} | _share(int(right.sum()), int(judged.sum()))


def _share(successes: int, trials: int) -> dict[str, float]:
    low, high = wilson(successes, trials)
    return {"agreement": successes / trials if trials else np.nan, "agreement_low": low, "agreement_high": high}


def _pair(left: str, right: str, answers: Mapping[str, Sequence[Any]], gold: Sequence[Any] | None) -> dict[str, Any]:
    both, equal = same(answers[left], answers[right])
    row = {"left": left, "right": right, "rows": int(both.sum()), "agree": int(equal.sum())} | _share(
        int(equal.sum()), int(both.sum())
    )
    if gold is None:
        return row
    judged, left_right = same(answers[left], gold)
    right_right = same(answers[right], gold)[1]
    only = int((both & left_right & ~right_right).sum()), int((both & right_right & ~left_right).sum())
    return row | {"only_left": only[0], "only_right": only[1], "p": mcnemar(*only) if (both & judged).any() else np.nan}


def _typed(rows: list[dict[str, Any]], index: pd.Index[Any] | None, names: Sequence[str] = ()) -> pd.DataFrame:
    frame = pd.DataFrame(rows, index=index, columns=pd.Index([*(names or rows[0])]))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_FLAGS, "boolean") | dict.fromkeys(_TEXTS, "string")
    typed: pd.DataFrame = frame.astype({name: kinds.get(name, "Float64") for name in frame.columns})
    return typed
